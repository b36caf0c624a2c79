/**
 * States of TCP connections in conntrack (net/netfilter/nf_conntrack_proto_tcp.c). Packets have no sequence numbers here:
 * every segment is assumed to be in its window.
 */
import { TCP_FLAGS } from "../packet/field.ts";
import { IGNORED_FLAGS } from "../path/new-connection.ts";

/** States in the order of enum tcp_conntrack. */
const TCP_STATES = [
  "none",
  "syn-sent",
  "syn-recv",
  "established",
  "fin-wait",
  "close-wait",
  "last-ack",
  "time-wait",
  "close",
  "syn-sent2",
] as const;
type TcpStateName = (typeof TCP_STATES)[number];

/** Kinds of segment in the order of enum tcp_bit_set. */
const SEGMENT_KINDS = ["syn", "synack", "fin", "ack", "rst", "none"] as const;
type SegmentKind = (typeof SEGMENT_KINDS)[number];

const STATE_CODES: Readonly<Record<string, TcpStateName | "invalid" | "ignore">> = {
  SS: "syn-sent",
  SR: "syn-recv",
  ES: "established",
  FW: "fin-wait",
  CW: "close-wait",
  LA: "last-ack",
  TW: "time-wait",
  CL: "close",
  S2: "syn-sent2",
  IV: "invalid",
  IG: "ignore",
};

/** tcp_conntracks: next state by direction, kind of segment and present state. */
const TRANSITIONS = [
  [
    "SS SS IG IG IG IG IG SS SS S2",
    "IV IV SR IV IV IV IV IV IV SR",
    "IV IV FW FW LA LA LA TW CL IV",
    "ES IV ES ES CW CW TW TW CL IV",
    "IV CL CL CL CL CL CL CL CL CL",
    "IV IV IV IV IV IV IV IV IV IV",
  ],
  [
    "IV S2 IV IV IV IV IV SS IV S2",
    "IV SR IG IG IG IG IG IG IG SR",
    "IV IV FW FW LA LA LA TW CL IV",
    "IV IG SR ES CW CW TW TW CL IG",
    "IV CL CL CL CL CL CL CL CL CL",
    "IV IV IV IV IV IV IV IV IV IV",
  ],
].map((direction) => direction.map((row) => row.split(" ").map((code) => STATE_CODES[code]!)));

/** State of a TCP connection (struct ip_ct_tcp). */
export interface TcpState {
  readonly state: TcpStateName;
  readonly last: SegmentKind;
  readonly lastReply: boolean;
  /** One side sent a FIN (IP_CT_TCP_FLAG_CLOSE_INIT). */
  readonly closing: boolean;
  /** Both sides sent a SYN. */
  readonly simultaneous: boolean;
  /** A SYN arrived in last-ack: the reply to it is a challenge ACK, not the last ACK (RFC 5961). */
  readonly challenge: boolean;
}

const NO_STATE: TcpState = {
  state: "none",
  last: "none",
  lastReply: false,
  closing: false,
  simultaneous: false,
  challenge: false,
};

/** Result of a segment for its connection. */
export type SegmentResult =
  | { readonly kind: "accept"; readonly tcp: TcpState; readonly assured: boolean }
  /** A reset before any reply: the connection is removed, and the segment still belongs to it. */
  | { readonly kind: "last"; readonly tcp: TcpState }
  | { readonly kind: "invalid" }
  /** The connection has ended, and the segment opens a new one. */
  | { readonly kind: "reopen" };

const { FIN, SYN, RST, ACK, URG } = TCP_FLAGS;
/** tcp_valid_flags. */
const VALID_FLAGS = new Set([
  SYN,
  SYN | URG,
  SYN | ACK,
  RST,
  RST | ACK,
  FIN | ACK,
  FIN | ACK | URG,
  ACK,
  ACK | URG,
]);

/** Returns true if the combination of flags is valid (tcp_error). */
export const hasValidFlags = (flags: number): boolean => VALID_FLAGS.has(flags & ~IGNORED_FLAGS);

const segmentKind = (flags: number): SegmentKind =>
  flags & RST
    ? "rst"
    : flags & SYN
      ? flags & ACK
        ? "synack"
        : "syn"
      : flags & FIN
        ? "fin"
        : flags & ACK
          ? "ack"
          : "none";

/**
 * Tracks a segment of a connection.
 * @param tcp present state; `undefined` for the first segment
 */
export function trackTcp(
  tcp: TcpState | undefined,
  flags: number,
  reply: boolean,
  seenReply: boolean,
): SegmentResult {
  const before = tcp ?? NO_STATE;
  const kind = segmentKind(flags);
  let next = TRANSITIONS[reply ? 1 : 0]![SEGMENT_KINDS.indexOf(kind)]![TCP_STATES.indexOf(before.state)]!;
  let { simultaneous, challenge } = before;
  const ignored = (): SegmentResult => ({
    kind: "accept",
    assured: false,
    tcp: {
      ...before,
      last: kind,
      lastReply: reply,
      challenge: kind === "syn" && !reply ? before.state === "last-ack" : challenge,
    },
  });
  if (next === "invalid") return { kind: "invalid" };
  if (next === "syn-sent" && (before.state === "time-wait" || before.state === "close")) {
    if (before.closing || (before.lastReply === reply && before.last === "rst")) return { kind: "reopen" };
    return ignored();
  }
  if (next === "ignore") {
    // The reply to a SYN that was ignored: both ends agree, so conntrack takes their state over.
    if (kind === "synack" && before.last === "syn" && before.lastReply !== reply) next = "syn-recv";
    else return ignored();
  }
  if (
    next === "time-wait" &&
    before.state === "last-ack" &&
    kind === "ack" &&
    challenge &&
    before.last === "syn" &&
    before.lastReply !== reply
  )
    return { kind: "accept", assured: false, tcp: { ...before, challenge: false } };
  if (next === "syn-sent2") simultaneous = true;
  if (next === "syn-recv" && reply && kind === "ack" && simultaneous) next = "established";
  const after: TcpState = {
    state: next as TcpStateName,
    last: kind,
    lastReply: reply,
    closing: before.closing || (next === "fin-wait" && before.state !== "fin-wait"),
    simultaneous,
    challenge,
  };
  if (!seenReply && kind === "rst") return { kind: "last", tcp: after };
  const assured =
    seenReply && (before.state === "syn-recv" || before.state === "established") && next === "established";
  return { kind: "accept", tcp: after, assured };
}

/** Returns the state after a reset that the host sends (nf_conntrack_tcp_set_closing). */
export const closedByReset = (tcp: TcpState): TcpState =>
  ["last-ack", "time-wait", "close"].includes(tcp.state) ? tcp : { ...tcp, state: "close" };

/** Returns true if a connection has ended and is kept only for late packets (nf_nat_may_kill). */
export const isEnded = (tcp: TcpState | undefined): boolean =>
  tcp !== undefined && TCP_STATES.indexOf(tcp.state) >= TCP_STATES.indexOf("time-wait");
