/**
 * Simulates a connection from its first packet. The replies, their input interface and their addresses follow from where
 * each packet arrived and from its header there.
 */
import type { Host } from "../host/host.ts";
import { ownAddresses } from "../host/own-addresses.ts";
import { isInRanges, MULTICAST } from "../packet/address.ts";
import { type Address, type Family, PROTO, TCP_FLAGS } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import { invertTuple, REPLY_TYPES, tupleOf } from "../path/tuple.ts";
import type { Decision } from "../path/walk.ts";
import type { Trace, TracedBranch } from "./answer.ts";
import type { FlowHeader } from "./packet-state.ts";
import type { Simulator } from "./simulator.ts";

/** One packet of a flow. */
export interface FlowPacket {
  /** Its role in the connection: `SYN/ACK`, `data`, `reply`. */
  readonly step: string;
  /** Its sender; the client opened the connection. */
  readonly from: "client" | "server";
  /** Its trace. */
  readonly trace: Trace;
}

/** Reason why the receiver cannot match a packet to the connection. `lib/report/text` has the sentences. */
export type FlowBreak =
  /** The packet is delivered to the host, and its receiver is elsewhere. */
  | { readonly code: "delivered-here" }
  /** The packet leaves, and its receiver is the host. */
  | { readonly code: "leaves-host"; readonly out: string }
  /** The packet leaves by another interface than the container bridge of its receiver. */
  | { readonly code: "off-bridge"; readonly out: string; readonly bridge: string }
  /** The receiver has no connection with these addresses and ports. */
  | { readonly code: "no-connection" };

/** Peculiarity of a connection that can still work. */
export type FlowNote =
  /** Packets of one peer leave by another interface than those of the other peer come in by. */
  {
    readonly code: "asymmetric";
    readonly from: "client" | "server";
    readonly out: string | null;
    readonly in: string | null;
  };

/** A connection from its first packet to its last, or to the one that does not arrive. */
export interface Flow {
  /** `accept` if every packet arrives where it should; otherwise the verdict of the last one. */
  readonly verdict: Decision;
  /** Reason why the receiver of the last packet cannot use it, although no rule dropped it; otherwise `null`. */
  readonly brokenCode: FlowBreak | null;
  /** Peculiarities of a connection that can still work. */
  readonly noteCodes: readonly FlowNote[];
  /** Its packets in order, up to the one that does not arrive. */
  readonly packets: readonly FlowPacket[];
}

const { FIN, SYN, PSH, ACK } = TCP_FLAGS;

interface FlowStep {
  readonly step: string;
  readonly from: "client" | "server";
  readonly flags?: number;
}

const HANDSHAKE: readonly FlowStep[] = [
  { step: "SYN", from: "client", flags: SYN },
  { step: "SYN/ACK", from: "server", flags: SYN | ACK },
  { step: "ACK", from: "client", flags: ACK },
  { step: "data", from: "client", flags: PSH | ACK },
  { step: "data", from: "server", flags: PSH | ACK },
  { step: "FIN", from: "client", flags: FIN | ACK },
  { step: "FIN", from: "server", flags: FIN | ACK },
  { step: "last ACK", from: "client", flags: ACK },
];
const REQUEST: readonly FlowStep[] = [
  { step: "request", from: "client" },
  { step: "reply", from: "server" },
];

/** Location of a peer: the interface that leads to it, or the host itself (`null`). */
type Location = string | null;

/** One peer: its location, and the packet with which it reaches the other. */
interface Peer {
  readonly at: Location;
  readonly packet: Packet;
}

/**
 * Simulates a connection on a simulator, whose connection table it shares.
 * @param first its first packet; its TCP flags are replaced by those of the handshake
 */
export function flow(simulator: Simulator, host: Host, first: Packet): Flow {
  const packets: FlowPacket[] = [];
  const noteCodes: FlowNote[] = [];
  const client: Peer = { at: first.in, packet: first };
  let server: Peer | null = null;
  const end = (verdict: Decision, brokenCode: FlowBreak | null = null): Flow => ({
    verdict,
    brokenCode,
    noteCodes,
    packets,
  });
  for (const { step, from, flags } of flowSteps(first, host)) {
    const side: Peer = from === "client" || server === null ? client : server;
    const packet = flags === undefined ? side.packet : { ...side.packet, flags };
    const trace = simulator.trace(packet);
    packets.push({ step, from, trace });
    const [branch] = trace.branches;
    if (trace.answer.verdict !== "accept" || branch === undefined) return end(trace.answer.verdict);
    const at: Location = branch.delivery === "local" ? null : branch.out;
    if (server === null) {
      server = { at, packet: replyPacket(first, branch.header, at) };
      continue;
    }
    const other: Peer = from === "client" ? server : client;
    const broken = mismatch(branch, at, other);
    if (broken !== null) return end("drop", broken);
    // Two uplinks can lead to the same network; a container bridge leads only to its ports.
    if (at !== null && at !== other.at && other.at !== null && host.bridges.includes(other.at))
      return end("drop", { code: "off-bridge", out: at, bridge: other.at });
    if (at !== other.at && !noteCodes.some((n) => n.from === from && n.out === at))
      noteCodes.push({ code: "asymmetric", from, out: at, in: other.at });
  }
  return end("accept");
}

/** Returns the packets of a connection of this protocol; only the first if there is no reply to it. */
function flowSteps(first: Packet, host: Host): readonly FlowStep[] {
  if (first.proto === PROTO.tcp) return HANDSHAKE;
  const icmp = first.proto === PROTO.icmp || first.proto === PROTO.icmpv6;
  const noReply = icmp && !REPLY_TYPES.has(first.type ?? 0);
  return noReply || isMulticastOrBroadcast(first.dst, first.family, host) ? REQUEST.slice(0, 1) : REQUEST;
}

/** Returns true for multicast and broadcast addresses. */
const isMulticastOrBroadcast = (address: Address, family: Family, host: Host): boolean =>
  isInRanges(address, MULTICAST[family]) || isInRanges(address, ownAddresses(host, family).broadcast);

/** Returns the reply to a packet, as its receiver sends it. */
function replyPacket(first: Packet, got: FlowHeader, at: Location): Packet {
  const { family, proto, id } = first;
  const t = invertTuple(tupleOf(got));
  const icmp = proto === PROTO.icmp || proto === PROTO.icmpv6;
  return {
    family,
    in: at,
    src: t.src,
    dst: t.dst,
    proto,
    ...(got.sport === undefined ? {} : { sport: t.sport }),
    ...(got.dport === undefined ? {} : { dport: t.dport }),
    ...(icmp ? { type: t.dport >> 8, code: t.dport & 0xff } : {}),
    ...(id === undefined ? {} : { id }),
  };
}

/** Returns the reason why the receiver cannot match an accepted packet to the connection; `null` if it can. */
function mismatch({ header }: TracedBranch, at: Location, other: Peer): FlowBreak | null {
  if ((other.at === null) !== (at === null))
    return at === null ? { code: "delivered-here" } : { code: "leaves-host", out: at };
  const awaited = invertTuple(tupleOf(other.packet));
  const got = tupleOf(header);
  const fits =
    got.src === awaited.src &&
    got.dst === awaited.dst &&
    got.sport === awaited.sport &&
    got.dport === awaited.dport;
  return fits ? null : { code: "no-connection" };
}
