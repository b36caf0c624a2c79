/** Reads the packets that `simulate` is called with: one by flags, or many from a file of JSON lines. */
import { hasPorts, type Packet, type PacketJson, protoNumber, readPacket, safe } from "../lib/index.ts";
import { InputError } from "./errors.ts";
import { readSource } from "./files.ts";

/** Flags about packets. */
export interface PacketArgs {
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
}

/** Flags that describe one packet; with `--packets`, the file describes the packets. */
const PACKET_FLAGS = [
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

/** Flags whose name differs from the name of the packet's field. */
const FLAG_OF_FIELD: Readonly<Record<string, string>> = { flags: "--tcp-flags", type: "--icmp-type" };

const ICMP = 1;
const TCP = 6;
const ICMPV6 = 58;
const isIcmp = (proto: number | undefined): boolean => proto === ICMP || proto === ICMPV6;

/** Returns the packet that the flags describe. @throws InputError */
export function packetOfFlags(args: PacketArgs): Packet {
  const { src, dst } = args;
  if (src === undefined || dst === undefined)
    throw new InputError("simulate needs --src and --dst (or --packets FILE)");
  checkInterface(args);
  const proto = protoNumber(args.proto);
  checkProtocol(args, proto, dst.includes(":"));
  const packet: PacketJson = { in: args.local === true ? null : args.in!, src, dst, proto: args.proto };
  if (proto !== undefined && hasPorts(proto)) {
    packet.sport = args.sport ?? 40000;
    packet.dport = args.dport ?? 80;
  }
  if (proto === TCP) packet.flags = args.tcpFlags ?? "S";
  if (args.icmpType !== undefined) packet.type = args.icmpType;
  else if (isIcmp(proto)) packet.type = proto === ICMP ? 8 : 128;
  if (args.mark !== undefined) packet.mark = args.mark;
  if (args.state !== undefined) packet.state = args.state as NonNullable<PacketJson["state"]>;
  const found = readPacket(packet);
  if (typeof found !== "string") return found;
  throw new InputError(
    safe(found.replace(/^"([a-z]+)"/, (_, name: string) => FLAG_OF_FIELD[name] ?? `--${name}`)),
  );
}

/** @throws InputError unless exactly one of `--in` and `--local` is given, and fits the other flags */
function checkInterface(args: PacketArgs): void {
  if (args.in === undefined && args.local !== true)
    throw new InputError("simulate needs --in INTERFACE, or --local for a packet that the host itself sends");
  if (args.in === "null")
    throw new InputError(
      "--in null is not an interface; use --local for a packet that the host itself sends",
    );
  if (args.in !== undefined && args.local === true)
    throw new InputError("--in and --local exclude each other");
  if (args.flow === true && (args.tcpFlags !== undefined || args.state !== undefined))
    throw new InputError(
      `--flow plays a connection from its first packet; ${args.state === undefined ? "--tcp-flags" : "--state"} cannot be combined with it`,
    );
}

/** @throws InputError if a flag does not fit the protocol, or the protocol does not fit the addresses */
function checkProtocol(args: PacketArgs, proto: number | undefined, isV6: boolean): void {
  if (isIcmp(proto) && isV6 !== (proto === ICMPV6))
    throw new InputError(
      isV6
        ? "--proto icmp is for IPv4; between IPv6 addresses it is icmpv6"
        : "--proto icmpv6 is for IPv6; between IPv4 addresses it is icmp",
    );
  for (const [flag, value] of Object.entries({
    "--sport": args.sport,
    "--dport": args.dport,
    "--icmp-type": args.icmpType,
    "--mark": args.mark,
  }))
    if (Number.isNaN(value)) throw new InputError(`${flag} must be a whole number`);
  const refuse = (flag: string, protocols: string): never => {
    throw new InputError(`${flag} applies to ${protocols}, not to --proto ${safe(args.proto)}`);
  };
  if (proto !== undefined && !hasPorts(proto)) {
    if (args.sport !== undefined) refuse("--sport", "tcp, udp and other protocols with ports");
    if (args.dport !== undefined) refuse("--dport", "tcp, udp and other protocols with ports");
  }
  if (args.tcpFlags !== undefined && proto !== TCP) refuse("--tcp-flags", "tcp");
  if (args.icmpType !== undefined && !isIcmp(proto)) refuse("--icmp-type", "icmp and icmpv6");
}

/** Reads the packets of a file, one per line. @throws InputError with file, line and column of the first error */
export function packetsOfFile(args: PacketArgs, path: string): Packet[] {
  const other = args.flow === true ? "flow" : PACKET_FLAGS.find((name) => args[name] !== undefined);
  if (other !== undefined)
    throw new InputError(
      `--packets reads all packets from a file; --${other.replace(/[A-Z]/, (c) => `-${c.toLowerCase()}`)} cannot be combined with it`,
    );
  const { name, text } = readSource(path);
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    const packet = packetOfLine(line);
    if (!("column" in packet)) return [packet];
    throw new InputError(`${safe(name)}:${i + 1}:${packet.column}: error: ${safe(packet.message)}`);
  });
}

interface LineError {
  /** Column of the error, from 1. */
  readonly column: number;
  readonly message: string;
}

function packetOfLine(line: string): Packet | LineError {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    const offset = /position (\d+)/.exec((error as Error).message)?.[1];
    return { column: Number(offset ?? 0) + 1, message: `a packet is a JSON object: ${line.slice(0, 80)}` };
  }
  const packet = readPacket(value);
  if (typeof packet !== "string") return packet;
  const field = /"([a-z]+)"/.exec(packet)?.[1];
  const offset = field === undefined ? -1 : line.indexOf(`"${field}"`);
  return { column: Math.max(0, offset) + 1, message: packet };
}
