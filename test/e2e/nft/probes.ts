/** Connections that clients try on the host of a capture, and what is known of each: measured there, or by the owner's policy. */
import type { Packet } from "fwcheck";
import { printAddress } from "../../../lib/packet/address.ts";
import { protoName } from "../../../lib/packet/field.ts";
import type { Line } from "../../hosts/nft-connections.ts";
import { answered, type ResultLine } from "../../hosts/nft-results.ts";
import { must, type Probe, PYTHON, tried, type Where } from "../lab.ts";
import { bare, type Container, type Published } from "./capture.ts";
import { type CaptureHost, CLIENTS, start } from "./capture-host.ts";

/** A connection with its result before the fix. */
export interface Case {
  readonly probe: Probe;
  /** True if the client gets an answer. */
  readonly open: boolean;
  /** True for a client outside and a published port: the owner's input hook decides. */
  readonly governed: boolean;
}

/** Seconds in which an answer arrives between namespaces of one machine. */
const WAIT = 0.6;

/** Sections of result files from before any fix. */
const BEFORE = new Set(["", "no fix"]);

/** Returns the connections of a result file from before any fix. */
export function recorded(
  host: CaptureHost,
  lines: readonly ResultLine[],
  connections: Readonly<Record<string, Line>>,
): Case[] {
  return lines.flatMap(({ section, label, value }) => {
    const line = connections[label];
    if (!BEFORE.has(section) || line?.kind !== "connection" || line.openedBefore === true) return [];
    const probe = probeOf(host, label, line.packet);
    return [{ probe, open: answered(value), governed: isGoverned(host, probe) }];
  });
}

/** Returns the probe of a simulated packet: a connection from the same place. */
function probeOf(host: CaptureHost, id: string, packet: Packet): Probe {
  const [src, dst] = [printAddress(packet.src), printAddress(packet.dst)];
  const from = ((): Where => {
    if (packet.in === null) return "host";
    const client = Object.entries(CLIENTS).find(([, { on }]) => on === packet.in);
    return client === undefined ? { netns: host.at(src).name } : (client[0] as keyof typeof CLIENTS);
  })();
  const proto = protoName(packet.proto) as "tcp" | "udp";
  return { id, from, proto, dst, port: packet.dport!, wait: WAIT };
}

/** Returns true if a client outside the host connects to a published port of the host. */
const isGoverned = (host: CaptureHost, { from, proto, dst, port }: Probe): boolean =>
  isClient(from) &&
  !host.published().some(([container]) => container.addresses.map(bare).includes(dst)) &&
  host.published().some(([, each]) => each.proto === proto && each.port === port);

const isClient = (where: Where): boolean => where === "outside" || where === "lan";

/** Returns true if a client that connects to an address of the host uses a published port. */
const publishes = ({ address }: Published, dst: string): boolean =>
  address === dst || (address === "0.0.0.0" && !dst.includes(":")) || (address === "::" && dst.includes(":"));

/** Returns true if the program of a container listens on a port. */
const listensOn = ({ command }: Container, port: number): boolean =>
  command.some((word, i) => (word === "-p" && command[i + 1] === String(port)) || word.includes(`:${port},`));

/**
 * Returns a probe for each published port from each client, and for each container that has a way out one to the outside and
 * one from the host. Both families where the engine publishes both by translation.
 */
export function derived(host: CaptureHost): Case[] {
  const cases = new Map<string, Case>();
  const add = (id: string, rest: Omit<Probe, "id" | "wait">, open: boolean, governed: boolean): void =>
    void cases.set(id, { probe: { id, wait: WAIT, ...rest }, open, governed });
  for (const [container, published] of host.published()) {
    const v6 = published.address.includes(":");
    // A port of IPv6 without an address of IPv6 in the container is docker-proxy's: a socket of the host.
    if (v6 && !container.addresses.some((each) => each.includes(":"))) continue;
    for (const [from, { addresses }] of Object.entries(CLIENTS)) {
      const dst = bare(addresses[v6 ? 1 : 0]).replace(/2$/, "1");
      const { proto, port, to } = published;
      if (!publishes(published, dst)) continue;
      const id = `${from} -> ${dst} port ${port}/${proto} of ${container.name}`;
      add(id, { from: from as Where & string, proto, dst, port } as Probe, listensOn(container, to), true);
    }
  }
  for (const { name, addresses, gateways, command, masqueraded } of host.all()) {
    const dst = bare(addresses[0]!);
    const port = Number(command[command.indexOf("-p") + 1]);
    if (command.includes("-p"))
      add(`host -> ${name} by its address`, { from: "host", proto: "tcp", dst, port }, true, false);
    if (gateways.length === 0) continue;
    const out = { from: { netns: name }, proto: "tcp", dst: bare(CLIENTS.outside.addresses[0]) } as const;
    // Docker drops replies to a container's own address in chain raw-PREROUTING.
    for (const to of [8000, 8080])
      add(`${name} -> outside port ${to}`, { ...out, port: to }, masqueraded, false);
  }
  return [...cases.values()];
}

/** Results by the id of the probe: true if the client got an answer. */
export type Results = ReadonlyMap<string, boolean>;

export const attempt = (cases: readonly Case[]): Results =>
  cases.length === 0
    ? new Map()
    : new Map([...tried(cases.map(({ probe }) => probe))].map(([id, answer]) => [id, answer === "open"]));

/**
 * Measures what the owner's own rules decide: with these alone in the kernel, programs listen on the published ports of the
 * host, and the clients connect.
 */
export function measureIntent(host: CaptureHost, cases: readonly Case[]): Results {
  const ports = new Set(host.published().map(([, { proto, port }]) => `${port}/${proto}`));
  const listener = start("host", `${PYTHON} serve ${[...ports].join(" ")}`);
  // Listeners bind before the first client.
  must("sleep 0.4");
  const results = attempt(cases.filter(({ governed }) => governed));
  process.kill(listener);
  return results;
}
