/**
 * A whole connection played from its first packet: what the other side answers, where its answers come in and how they
 * are addressed follows from where each packet got to and with which header.
 */
import { type Host, ownAddresses } from "../host/host.ts";
import { prefixes, within } from "../packet/address.ts";
import { type Address, type Family, PROTO, TCP_FLAGS } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import { invertTuple, REPLY_TYPES, tupleOf } from "../path/tuple.ts";
import type { Decision } from "../path/walk.ts";
import type { Trace, TracedBranch } from "./answer.ts";
import type { FlowHeader } from "./packet-state.ts";
import type { Simulator } from "./simulator.ts";

/** One packet of a flow. */
export interface FlowPacket {
  /** What it is to its connection: `SYN/ACK`, `data`, `reply`. */
  readonly step: string;
  /** Who sends it: the client opened the connection. */
  readonly from: "client" | "server";
  /** What becomes of it. */
  readonly trace: Trace;
}

/** A connection from its first packet to its last, or to the one that does not arrive. */
export interface Flow {
  /** `accept` when every packet arrives where it should; else what became of the last one. */
  readonly verdict: Decision;
  /** Why the last packet's receiver can do nothing with it, although no rule stopped it; else `null`. */
  readonly broken: string | null;
  /** What is odd about it, though it may work. */
  readonly notes: readonly string[];
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

/** Where a side of the connection is: behind an interface, or on the host itself (`null`). */
type Location = string | null;

/** What one side sends to reach the other. */
interface Peer {
  readonly at: Location;
  readonly packet: Packet;
}

/**
 * Plays a connection on a simulator, whose connection table it shares.
 * @param first its first packet; TCP flags are those of the handshake whatever it says
 */
export function flow(simulator: Simulator, host: Host, first: Packet): Flow {
  const packets: FlowPacket[] = [];
  const notes: string[] = [];
  const client: Peer = { at: first.in, packet: first };
  let server: Peer | null = null;
  const end = (verdict: Decision, broken: string | null = null): Flow => ({
    ...{ verdict, broken, notes, packets },
  });
  for (const { step, from, flags } of flowSteps(first, host)) {
    const side: Peer = from === "client" || server === null ? client : server;
    const packet = flags === undefined ? side.packet : { ...side.packet, flags };
    const trace = simulator.trace(packet);
    packets.push({ step, from, trace });
    const [way] = trace.branches;
    if (trace.answer.verdict !== "accept" || way === undefined) return end(trace.answer.verdict);
    const at: Location = way.delivery === "local" ? null : way.out;
    if (server === null) {
      server = { at, packet: replyPacket(first, way.header, at) };
      continue;
    }
    const other: Peer = from === "client" ? server : client;
    const why = mismatch(way, at, other);
    if (why !== null) return end("drop", why);
    // Uplinks may lead to the same network; a bridge of containers leads to nothing but its ports.
    if (at !== other.at && other.at !== null && host.bridges.includes(other.at))
      return end(
        "drop",
        `it leaves by ${at}, although its receiver is behind ${other.at}, a bridge of this host`,
      );
    if (at !== other.at) {
      const note = `the ${from}'s packets leave by ${at}, but the ${from === "client" ? "server" : "client"}'s come in by ${other.at}`;
      if (!notes.includes(note)) notes.push(note);
    }
  }
  return end("accept");
}

/** The packets of a connection, by its protocol; one that nobody answers is the only one. */
function flowSteps(first: Packet, host: Host): readonly FlowStep[] {
  if (first.proto === PROTO.tcp) return HANDSHAKE;
  const icmp = first.proto === PROTO.icmp || first.proto === PROTO.icmpv6;
  const unasked = icmp && !REPLY_TYPES.has(first.type ?? 0);
  return unasked || isMulticastOrBroadcast(first.dst, first.family, host) ? REQUEST.slice(0, 1) : REQUEST;
}

const MULTICAST = { 4: prefixes(4, "224.0.0.0/4"), 6: prefixes(6, "ff00::/8") } as const;

/** Whether an address is a multicast group's or everybody's. */
const isMulticastOrBroadcast = (address: Address, family: Family, host: Host): boolean =>
  within(address, MULTICAST[family]) || within(address, ownAddresses(host, family).broadcast);

/** What answers a packet, as it leaves the one who got it. */
function replyPacket(first: Packet, got: FlowHeader, at: Location): Packet {
  const { family, proto, id } = first;
  const t = invertTuple(tupleOf(got));
  const icmp = proto === PROTO.icmp || proto === PROTO.icmpv6;
  return {
    ...{ family, in: at, src: t.src, dst: t.dst, proto },
    ...(got.sport === undefined ? {} : { sport: t.sport }),
    ...(got.dport === undefined ? {} : { dport: t.dport }),
    ...(icmp ? { type: t.dport >> 8, code: t.dport & 0xff } : {}),
    ...(id === undefined ? {} : { id }),
  };
}

/** Why a packet that came through is none of the connection to the one it is for; `null` when it is. */
function mismatch({ header }: TracedBranch, at: Location, other: Peer): string | null {
  if ((other.at === null) !== (at === null))
    return at === null
      ? "it is delivered to the host itself, which is not who it is for"
      : `it leaves by ${at}, although it is for the host itself`;
  const awaited = invertTuple(tupleOf(other.packet));
  const got = tupleOf(header);
  const fits =
    got.src === awaited.src &&
    got.dst === awaited.dst &&
    got.sport === awaited.sport &&
    got.dport === awaited.dport;
  return fits ? null : "its addresses are not those that its receiver knows the connection by";
}
