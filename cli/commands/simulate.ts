import {
  type Packet,
  type PacketJson,
  protoNumber,
  readPacket,
  Simulator,
  safe,
  traceText,
} from "../../lib/index.ts";
import { type HostArgs, inputs, Refused, read } from "../inputs.ts";
import { json, line, print, style } from "../output.ts";

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
  readonly packets?: string | undefined;
  readonly assume?: readonly string[] | undefined;
  readonly expect?: "accept" | "drop" | "reject" | undefined;
  readonly json?: boolean | undefined;
}

/** `fwcheck simulate`: the way of one packet, or of one a line; 1 when `--expect` is not met. */
export function run(args: SimulateArgs): number {
  const packets = args.packets === undefined ? [one(args)] : [...lines(read(args.packets).text)];
  const { rulesets, host } = inputs(args, packets);
  const simulator = new Simulator(rulesets, host, { assume: assumed(args.assume ?? []) });
  let met = true;
  for (const packet of packets) {
    const answer = simulator.packet(packet);
    const full = { ...answer, assumptions: [...host.inferred, ...answer.assumptions] };
    if (args.expect !== undefined && answer.verdict !== args.expect) met = false;
    if (args.packets !== undefined) line(full);
    else if (args.json === true) json(full);
    else print(traceText(full, rulesets, style()));
  }
  if (!met && args.json !== true) process.stderr.write(`expected ${args.expect}\n`);
  return met ? 0 : 1;
}

function one(args: SimulateArgs): Packet {
  if (args.src === undefined || args.dst === undefined)
    throw new Refused("simulate needs --src and --dst (or --packets FILE)");
  if (args.in === undefined && args.local !== true)
    throw new Refused("simulate needs --in INTERFACE, or --local for a packet the host itself sends");
  if (args.in !== undefined && args.local === true) throw new Refused("--in and --local exclude each other");
  const proto = protoNumber(args.proto);
  const ports = proto === 6 || proto === 17;
  const given: PacketJson = {
    in: args.local === true ? null : args.in!,
    src: args.src,
    dst: args.dst,
    proto: args.proto,
  };
  if (ports) Object.assign(given, { sport: args.sport ?? 40000, dport: args.dport ?? 80 });
  if (proto === 6) given.flags = args.tcpFlags ?? "S";
  if (args.icmpType !== undefined) given.type = args.icmpType;
  else if (proto === 1) given.type = 8;
  else if (proto === 58) given.type = 128;
  if (args.mark !== undefined) given.mark = args.mark;
  if (args.state !== undefined) given.state = args.state as NonNullable<PacketJson["state"]>;
  return packet(given, "");
}

function packet(json: unknown, where: string): Packet {
  const read = readPacket(json);
  if (typeof read === "string") throw new Refused(`${where}${safe(read)}`);
  return read;
}

function* lines(text: string): Generator<Packet> {
  let number = 0;
  for (const each of text.split("\n")) {
    number++;
    if (each.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(each);
    } catch {
      throw new Refused(`packets line ${number}: no JSON: ${safe(each.slice(0, 80))}`);
    }
    yield packet(value, `packets line ${number}: `);
  }
}

function assumed(list: readonly string[]): Map<string, boolean> {
  const out = new Map<string, boolean>();
  for (const each of list) {
    const m = /^(.+)=(match|no-match)$/s.exec(each);
    if (m === null) throw new Refused(`--assume needs NAME=match or NAME=no-match, not ${safe(each)}`);
    out.set(m[1]!, m[2] === "match");
  }
  return out;
}
