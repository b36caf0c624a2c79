/** Builds the host of a capture in network namespaces: bridges, containers with their programs, clients, and the captured rules. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { older } from "../../kernel/nft/older.ts";
import { bash, FOLDER, fwcheck, inside, must, PYTHON, type Ran, type Where } from "../lab.ts";
import { bare, type Capture, type Container, type Published } from "./capture.ts";

/** The part of `fwcheck fix --json` that is applied. */
export interface Fix {
  readonly holds: boolean;
  readonly failed: readonly string[];
  readonly left: readonly { readonly finding: string | null; readonly why: string }[];
  readonly nft: string;
  readonly script: string;
  readonly unit: string;
  readonly undo: readonly string[];
  readonly proof: { readonly closed: readonly string[]; readonly remaining: readonly string[] };
}

/** Address, on the wire, of a client: those of the machines of the captures. */
export const CLIENTS = {
  outside: { on: "eth0", addresses: ["203.0.113.2/24", "2001:db8:1::2/64"] },
  lan: { on: "eth1", addresses: ["10.99.0.2/24", "2001:db8:99::2/64"] },
} as const;

const NAMESPACES = { outside: "$OUT", lan: "$LAN" } as const;

/** Files of a capture that do not depend on the rules: output of engines, and of others. */
const ENGINE_FILES = [
  "docker-inspect.json",
  "docker-network-inspect.json",
  "docker-info.json",
  "podman-inspect.json",
  "podman-network-inspect.json",
];
const OTHER_FILES = ["ss.txt", "sysctl.txt"];

/** Runs a command on the host. @throws Error with its output if it fails */
export const onHost = (command: string, input = ""): string => must(`${inside("host")} ${command}`, input);

/** Starts a program that ends with the namespaces; returns its process id. */
export const start = (where: Where, command: string): number =>
  Number(must(`${inside(where)} ${command} >/dev/null 2>&1 </dev/null & echo $!`).trim());

/** Rules of the host as nft lists them, without counters. */
export const listing = (): string => onHost("nft -s list ruleset");

export class CaptureHost {
  private readonly containers: readonly Container[];
  /** Process that serves published ports. */
  private proxy: number | null = null;

  /** @param unknownTable table of an engine that fwcheck does not know, and which prints nothing that it reads */
  constructor(
    readonly capture: Capture,
    private readonly unknownTable?: string,
  ) {
    this.containers = capture.containers();
  }

  /**
   * Builds the namespaces and starts the containers' programs. No rules are loaded.
   * @param echoes container whose program echoes, other than the captured one
   */
  up(echoes = ""): void {
    const lines = ["mkdir -p $E2E/www; echo hello >$E2E/www/index.html"];
    for (const name of ["$FW", "$OUT", "$LAN", ...this.containers.map(({ name }) => `$PFX-${name}`)])
      lines.push(
        `ip netns add ${name}; ip -n ${name} link set lo up`,
        `ip netns exec ${name} sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0`,
      );
    const ports = new Map<string, string[]>();
    for (const { name, mac, bridge, master, addresses } of this.capture.interfaces()) {
      if (bridge) lines.push(`ip -n $FW link add ${name} address ${mac} type bridge`);
      else if (master === null) lines.push(clientLink(name, mac));
      else ports.set(master, [...(ports.get(master) ?? []), name]);
      if (master === null) lines.push(...addressed("$FW", name, addresses));
    }
    for (const container of this.containers) lines.push(this.link(container, ports.get(container.bridge)));
    for (const { dst, dev, gateway } of this.capture.routes())
      lines.push(
        `ip -n $FW route add ${dst} ${gateway === undefined ? "" : `via ${gateway}`} ${dev === undefined ? "" : `dev ${dev}`}`,
      );
    // Settings of br_netfilter exist only where a program has loaded it.
    for (const setting of this.capture.sysctls())
      lines.push(
        `ip netns exec $FW sysctl -qw ${setting}${setting.startsWith("net.bridge.") ? " 2>/dev/null || :" : ""}`,
      );
    must(`set -e\n${lines.join("\n")}`);
    for (const container of this.containers) this.run(container, container.name === echoes);
    for (const port of ["8000/tcp", "8080/tcp"]) start("outside", `${PYTHON} serve ${port}`);
  }

  private link({ name, bridge, mac, addresses, gateways }: Container, ports: string[] | undefined): string {
    const port = ports?.shift();
    if (port === undefined) throw new Error(`${this.capture.name}: ${bridge} has no port for ${name}`);
    return [
      `ip -n $FW link add ${port} type veth peer name eth0 address ${mac} netns $PFX-${name}`,
      `ip -n $FW link set ${port} master ${bridge} up`,
      ...addressed(`$PFX-${name}`, "eth0", addresses),
      ...gateways
        .filter(reachableFrom(addresses))
        .map((via) => `ip -n $PFX-${name} route add default via ${via}`),
    ].join("\n");
  }

  /** Runs the program of a container, or one that echoes on its port. */
  private run({ name, command }: Container, echoes: boolean): void {
    const [program, ...words] = command.map((word) => (word === "/www" ? join(FOLDER, "www") : word));
    const port = words[words.indexOf("-p") + 1];
    const line = echoes
      ? `socat TCP-LISTEN:${port},fork,reuseaddr EXEC:/bin/cat`
      : `${program === "httpd" ? "busybox httpd" : program} ${words.join(" ")}`;
    start({ netns: name }, line);
  }

  /** What a person states about the host to fwcheck. */
  flags(): readonly string[] {
    const { unknownTable } = this;
    return ["--assume", "complete", ...(unknownTable === undefined ? [] : ["--engine-table", unknownTable])];
  }

  all(): readonly Container[] {
    return this.containers;
  }

  /** Container with an address. */
  at(address: string): Container {
    const found = this.containers.find(({ addresses }) => addresses.map(bare).includes(address));
    if (found === undefined) throw new Error(`${this.capture.name}: no container has ${address}`);
    return found;
  }

  /** Published ports, each with its container. */
  published(): readonly (readonly [Container, Published])[] {
    return this.containers.flatMap((container) =>
      container.published.map((each): [Container, Published] => [container, each]),
    );
  }

  /**
   * Starts what listens on the host for published TCP ports, as docker-proxy does, instead of what was started before.
   * @param edit changes the addresses of containers
   */
  proxies(edit: (address: string) => string = (address) => address): void {
    this.stopProxies();
    const pairs = this.published().flatMap(([container, { proto, address, port, to }]) => {
      const targets = container.addresses.map(bare).map(edit);
      const target = targets.find((each) => each.includes(":") === address.includes(":")) ?? targets[0];
      return proto === "tcp" ? [{ listen: [address, port], to: [target, to] }] : [];
    });
    this.proxy = start("host", `${PYTHON} proxy '${JSON.stringify(pairs)}'`);
    must("sleep 0.3");
  }

  stopProxies(): void {
    if (this.proxy !== null) process.kill(this.proxy);
    this.proxy = null;
  }

  /** Loads tables, as nft 1.0.6 reads them. */
  load(text: string): void {
    onHost("nft -f -", older(text));
  }

  /** Loads what iptables-save printed of the capture, if it has such files. */
  loadIptables(): void {
    for (const [file, tool] of [
      ["iptables-save.txt", "iptables"],
      ["ip6tables-save.txt", "ip6tables"],
    ] as const)
      if (this.capture.has(file)) onHost(`${tool}-nft-restore`, this.capture.text(file));
  }

  /** Gives a container another address. Its program answers there. */
  move(name: string, from: string, to: string): void {
    const { addresses, gateways } = this.containers.find((each) => each.name === name)!;
    const bits = addresses.find((each) => !each.includes(":"))!.replace(/.*\//, "");
    must(
      `ip -n $PFX-${name} addr del ${from}/${bits} dev eth0; ip -n $PFX-${name} addr add ${to}/${bits} dev eth0; ip -n $PFX-${name} route replace default via ${gateways[0]}`,
    );
  }

  /** Writes what a person would collect; returns the folder. @param edit changes texts of the capture's files */
  collect(edit: (text: string) => string = (text) => text): string {
    const folder = join(FOLDER, "collected");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const file of [...(this.unknownTable === undefined ? ENGINE_FILES : []), ...OTHER_FILES])
      if (this.capture.has(file)) writeFileSync(join(folder, file), edit(this.capture.text(file)));
    const iptables = this.capture.has("iptables-save.txt");
    must(
      `cd ${folder}; ${inside("host")} sh -c '
        nft list ruleset >nft.txt
        ${iptables ? "iptables-nft-save >iptables-save.txt; ip6tables-nft-save >ip6tables-save.txt" : ":"}
        find . -empty -delete
        ip -j addr >addr.json; ip -d -j link >link.json
        ip -j route show table all >route4.json; ip -6 -j route show table all >route6.json
        ip -j rule >rule4.json; ip -6 -j rule >rule6.json'`,
    );
    return folder;
  }
}

/** Runs `fwcheck fix` on a host as it is. @param edit changes texts of the capture's files @throws Error if it prints no document */
export function solve(host: CaptureHost, strategy: string, edit?: (text: string) => string): Fix {
  const { out, err } = fwcheck("fix", host.collect(edit), "--strategy", strategy, ...host.flags(), "--json");
  if (out === "") throw new Error(`fwcheck fix printed nothing: ${err}`);
  return JSON.parse(out) as Fix;
}

/** Runs `fwcheck audit` on a host as it is. */
export const audit = (host: CaptureHost, edit?: (text: string) => string): Ran =>
  fwcheck("audit", host.collect(edit), ...host.flags(), "--json");

/** Ends all namespaces of the lab with their processes. */
export const down = (): void =>
  void bash(`
    for n in $(ip netns list | grep -o "^$PFX-[^ ]*"); do
      for p in $(ip netns pids "$n"); do kill -9 "$p"; done
      ip netns del "$n"
    done
    for c in /sys/fs/cgroup/*/"$PFX" /sys/fs/cgroup/"$PFX"; do find "$c" -depth -type d -exec rmdir {} +; done 2>/dev/null`);

/** Commands that give an interface its addresses. */
const addressed = (namespace: string, name: string, addresses: readonly string[]): string[] => [
  ...addresses.map(
    (each) => `ip -n ${namespace} addr add ${each} dev ${name}${each.includes(":") ? " nodad" : ""}`,
  ),
  `ip -n ${namespace} link set ${name} up`,
];

/** Commands that connect interfaces of the host with these addresses to their clients. */
export const clientLinks = (links: Readonly<Record<string, readonly string[]>>): string =>
  Object.entries(links)
    .flatMap(([name, addresses]) => [clientLink(name, null), ...addressed("$FW", name, addresses)])
    .join("\n");

/** Commands that connect an interface of the host to its client. */
function clientLink(name: string, mac: string | null): string {
  const [client] = Object.entries(CLIENTS).find(([, { on }]) => on === name) ?? [];
  if (client === undefined) throw new Error(`no client is behind ${name}`);
  const namespace = NAMESPACES[client as keyof typeof CLIENTS];
  const { addresses } = CLIENTS[client as keyof typeof CLIENTS];
  return [
    `ip -n $FW link add ${name} ${mac === null ? "" : `address ${mac}`} type veth peer name eth0 netns ${namespace}`,
    ...addressed(namespace, "eth0", addresses),
    // The clients of the captures had routes to the containers' networks by the host.
    ...addresses.map((each) => `ip -n ${namespace} route add default via ${hostOf(each)} onlink dev eth0`),
  ].join("\n");
}

/** The host's address on the link of a client. */
const hostOf = (client: string): string => bare(client).replace(/2$/, "1");

/** Returns a filter of addresses of the families that a container has. */
const reachableFrom =
  (addresses: readonly string[]) =>
  (address: string): boolean =>
    addresses.some((each) => each.includes(":") === address.includes(":"));
