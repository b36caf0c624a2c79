import {
  type Answer,
  flow,
  flowText,
  type Host,
  hasPorts,
  type Packet,
  type PacketJson,
  protoNumber,
  type Ruleset,
  readPacket,
  Simulator,
  safe,
  type TraceOptions,
  traceText,
  unknownsOf,
  waySvg,
} from "../../lib/index.ts";
import { Refused, read } from "../files.ts";
import { oneHost } from "../fleet.ts";
import { doubtful, type HostArgs, inputs } from "../inputs.ts";
import { json, Lines, print, style, tell, width } from "../output.ts";
import { guess } from "../suggest.ts";

interface SimulateArgs extends HostArgs {
  readonly in?: string | undefined;
  readonly src?: string | undefined;
  readonly dst?: string | undefined;
  readonly proto: string;
  readonly sport?: number | undefined;
  readonly dport?: number | undefined;
  readonly tcpFlags?: string | undefined;
  readonly icmpType?: number | undefined;
  readonly state?: string | undefined;
  readonly mark?: number | undefined;
  readonly local?: boolean | undefined;
  readonly flow?: boolean | undefined;
  readonly packets?: string | undefined;
  readonly expect?: "accept" | "drop" | "reject" | undefined;
  readonly short?: boolean | undefined;
  readonly verbose?: boolean | undefined;
  readonly svg?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** Flags that describe the one packet: a file of packets says all of it itself. */
const OF_ONE = [
  "in",
  "local",
  "src",
  "dst",
  "sport",
  "dport",
  "tcpFlags",
  "icmpType",
  "state",
  "mark",
] as const;

/**
 * `fwcheck simulate`: the way of one packet, of a connection, or of a packet a line; 1 when `--expect` is not met, 2 when
 * it is met by rules or host data that are in doubt.
 */
export function run(args: SimulateArgs): number {
  if (args.svg === true) onlyPicture(args);
  const packets = args.packets === undefined ? [one(args)] : batch(args, args.packets);
  oneHost(args.rules, "simulate");
  const { rulesets, host } = inputs(args, packets);
  const doubts = doubtful({ rulesets, host });
  unknownInterfaces(packets, host);
  const assume = assumed(args.assume ?? [], rulesets, host);
  const simulator = new Simulator(rulesets, host, { assume });
  const full = (answer: Answer): Answer & { readonly doubts?: readonly string[] } => ({
    ...answer,
    assumptions: [...host.inferred, ...answer.assumptions],
    ...(doubts.length === 0 ? {} : { doubts }),
  });
  const code = (isMet: boolean): number =>
    !isMet ? 1 : args.expect !== undefined && doubts.length > 0 ? 2 : 0;
  const met = (verdict: Answer["verdict"]): boolean => args.expect === undefined || verdict === args.expect;
  if (args.packets !== undefined) {
    let all = true;
    const lines = new Lines();
    for (const packet of packets) {
      const answer = simulator.packet(packet);
      lines.put(full(answer));
      all = met(answer.verdict) && all;
    }
    lines.end();
    return code(all);
  }
  const detail = args.short === true ? "short" : args.verbose === true ? "all" : "usual";
  const options: TraceOptions = { rulesets, host, style: style(), width: width(), detail };
  const [packet] = packets as [Packet];
  if (args.flow === true) {
    const played = flow(simulator, host, packet);
    const { verdict, broken, notes } = played;
    if (args.json === true)
      json({
        ...{ verdict, broken, notes },
        packets: played.packets.map(({ step, from, trace }) => ({ step, from, ...full(trace.answer) })),
      });
    else print(flowText(played, options));
    tellUnmet(args, met(verdict), verdict);
    return code(met(verdict));
  }
  const trace = simulator.trace(packet);
  if (args.json === true) json(full(trace.answer));
  else if (args.svg === true) print(`${waySvg(trace, options)}\n`);
  else print(traceText(trace, options));
  tellUnmet(args, met(trace.answer.verdict), trace.answer.verdict);
  return code(met(trace.answer.verdict));
}

/** A picture shows one packet, and all of its way. */
function onlyPicture({ packets, flow: whole, json: document, short }: SimulateArgs): void {
  const other = Object.entries({ packets, flow: whole, json: document, short }).find(
    ([, value]) => value !== undefined && value !== false,
  );
  if (other !== undefined)
    throw new Refused(`--svg draws the way of one packet: --${other[0]} does not go with it`);
}

/** A misspelt interface would change the verdict without a word. */
function unknownInterfaces(packets: readonly Packet[], host: Host): void {
  const known = host.interfaces.map((i) => i.name);
  const odd = new Set(packets.flatMap((p) => (p.in === null || known.includes(p.in) ? [] : [p.in])));
  for (const name of odd)
    tell(
      `warning: the host has no interface ${safe(JSON.stringify(name))}, so rules about those it has do not match.${guess(name, known)} It has ${safe(known.join(", "))}\n`,
    );
}

function tellUnmet({ expect, json: quiet }: SimulateArgs, met: boolean, verdict: string): void {
  if (!met && quiet !== true) tell(`expected ${expect}, but the verdict is ${verdict}\n`);
}

/** What a packet's field is called on the command line. */
const FLAG: Readonly<Record<string, string>> = {
  flags: "--tcp-flags",
  type: "--icmp-type",
};

function one(args: SimulateArgs): Packet {
  if (args.src === undefined || args.dst === undefined)
    throw new Refused("simulate needs --src and --dst (or --packets FILE)");
  if (args.in === undefined && args.local !== true)
    throw new Refused("simulate needs --in INTERFACE, or --local for a packet the host itself sends");
  if (args.in === "null")
    throw new Refused("--in null is no interface: --local is for a packet the host itself sends");
  if (args.in !== undefined && args.local === true) throw new Refused("--in and --local exclude each other");
  if (args.flow === true && (args.tcpFlags !== undefined || args.state !== undefined))
    throw new Refused(
      `--flow plays a connection from its first packet: ${args.state === undefined ? "--tcp-flags" : "--state"} does not go with it`,
    );
  const proto = protoNumber(args.proto);
  const icmp = proto === 1 || proto === 58;
  const six = args.dst.includes(":");
  if (icmp && six !== (proto === 58))
    throw new Refused(
      six
        ? "--proto icmp is IPv4's; between IPv6 addresses it is icmpv6"
        : "--proto icmpv6 is IPv6's; between IPv4 addresses it is icmp",
    );
  for (const [flag, value] of Object.entries({
    "--sport": args.sport,
    "--dport": args.dport,
    "--icmp-type": args.icmpType,
    "--mark": args.mark,
  }))
    if (Number.isNaN(value)) throw new Refused(`${flag} must be a whole number`);
  const refuse = (flag: string, wanted: string): never => {
    throw new Refused(`${flag} goes with ${wanted}, not with --proto ${safe(args.proto)}`);
  };
  if (proto !== undefined && !hasPorts(proto)) {
    if (args.sport !== undefined) refuse("--sport", "tcp, udp and others that have ports");
    if (args.dport !== undefined) refuse("--dport", "tcp, udp and others that have ports");
  }
  if (args.tcpFlags !== undefined && proto !== 6) refuse("--tcp-flags", "tcp");
  if (args.icmpType !== undefined && !icmp) refuse("--icmp-type", "icmp and icmpv6");
  const given: PacketJson = {
    in: args.local === true ? null : args.in!,
    src: args.src,
    dst: args.dst,
    proto: args.proto,
  };
  if (proto !== undefined && hasPorts(proto))
    Object.assign(given, { sport: args.sport ?? 40000, dport: args.dport ?? 80 });
  if (proto === 6) given.flags = args.tcpFlags ?? "S";
  if (args.icmpType !== undefined) given.type = args.icmpType;
  else if (icmp) given.type = proto === 1 ? 8 : 128;
  if (args.mark !== undefined) given.mark = args.mark;
  if (args.state !== undefined) given.state = args.state as NonNullable<PacketJson["state"]>;
  const found = readPacket(given);
  if (typeof found === "string")
    throw new Refused(safe(found.replace(/^"([a-z]+)"/, (_, name: string) => FLAG[name] ?? `--${name}`)));
  return found;
}

/** The packets of a file, one a line. @throws Refused with file, line and column of the first that is none */
function batch(args: SimulateArgs, path: string): Packet[] {
  const other = OF_ONE.find((name) => args[name] !== undefined);
  if (other !== undefined || args.flow === true)
    throw new Refused(
      `--packets says all of its packets itself: --${args.flow === true ? "flow" : other!.replace(/[A-Z]/, (c) => `-${c.toLowerCase()}`)} does not go with it`,
    );
  const { name, text } = read(path);
  const out: Packet[] = [];
  for (const [i, each] of text.split("\n").entries()) {
    if (each.trim() === "") continue;
    const wrong = (column: number, what: string): never => {
      throw new Refused(`${safe(name)}:${i + 1}:${column}: error: ${safe(what)}`);
    };
    let value: unknown;
    try {
      value = JSON.parse(each);
    } catch (error) {
      const place = /position (\d+)/.exec((error as Error).message)?.[1];
      wrong(place === undefined ? 1 : Number(place) + 1, `a packet is a JSON object: ${each.slice(0, 80)}`);
    }
    const packet = readPacket(value);
    if (typeof packet === "string") {
      const field = /"([a-z]+)"/.exec(packet)?.[1];
      const column = field === undefined ? -1 : each.indexOf(`"${field}"`);
      wrong(Math.max(0, column) + 1, packet);
    } else out.push(packet);
  }
  return out;
}

/** The truths of `--assume NAME=match`, each of a name that some rule may have. @throws Refused */
function assumed(
  list: readonly string[],
  rulesets: readonly Ruleset[],
  host: Host,
): ReadonlyMap<string, boolean> {
  const out = new Map<string, boolean>();
  const words = list.filter((word) => word !== "complete");
  if (words.length === 0) return out;
  const names = unknownsOf(rulesets, host);
  for (const each of words) {
    const m = /^(.+)=(match|no-match)$/s.exec(each);
    if (m === null) throw new Refused(`--assume needs NAME=match or NAME=no-match, not ${safe(each)}`);
    const name = m[1]!;
    if (!names.here.has(name) && !names.anywhere.has(name))
      throw new Refused(
        `--assume: nothing is called ${safe(JSON.stringify(name))}.${guess(name, [...names.here, ...names.anywhere])} ${names.here.size === 0 ? "These rules have no unknown" : `Unknown in these rules: ${[...names.here].slice(0, 12).map(safe).join(", ")}`}`,
      );
    out.set(name, m[2] === "match");
  }
  return out;
}
