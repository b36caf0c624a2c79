/**
 * Connection state of a packet that belongs to no known connection: it opens one, or conntrack does not accept it
 * (net/netfilter/nf_conntrack_proto_{tcp,icmp,icmpv6}.c).
 */
import { type Host, sysctl } from "../host/host.ts";
import { type CtState, type Family, PROTO, type Range, TCP_FLAGS } from "../packet/field.ts";
import { ANY, and, bits, is, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { Case } from "./decision-list.ts";

/** Flags that tcp_error ignores. */
export const IGNORED_FLAGS = TCP_FLAGS.PSH | TCP_FLAGS.ECE | TCP_FLAGS.CWR;

const flags = (value: number): Predicate => bits("flags", 0xff & ~IGNORED_FLAGS, value);

/** First packets of a TCP connection: SYN, and a bare ACK if conntrack picks connections up. */
const tcpNew = (picksUp: boolean): Predicate =>
  or(
    flags(TCP_FLAGS.SYN),
    flags(TCP_FLAGS.SYN | TCP_FLAGS.URG),
    ...(picksUp ? [flags(TCP_FLAGS.ACK), flags(TCP_FLAGS.ACK | TCP_FLAGS.URG)] : []),
  );

const types = (...list: number[]): Predicate =>
  within(
    "type",
    list.map((type): Range => [type, type]),
  );

/** IPv6's "no next header". */
const NO_NEXT_HEADER = 59;

/** Returns true if conntrack picks up established connections (nf_conntrack_tcp_loose; on by default). */
export const picksUpConnections = (host: Host): boolean =>
  sysctl(host, "net.netfilter.nf_conntrack_tcp_loose", 1) !== 0;

/** Returns the state of every packet that belongs to no known connection. */
export function initialStateCases(family: Family, picksUp: boolean): Case<CtState>[] {
  const at = (when: Predicate, outcome: CtState): Case<CtState> => ({ when, outcome });
  const tcp = is("proto", PROTO.tcp);
  const icmp = is("proto", family === 4 ? PROTO.icmp : PROTO.icmpv6);
  const icmpOfOtherFamily = is("proto", family === 4 ? PROTO.icmpv6 : PROTO.icmp);
  return [
    at(icmpOfOtherFamily, "INVALID"),
    ...(family === 4 ? [] : [at(is("proto", NO_NEXT_HEADER), "INVALID")]),
    at(and(tcp, not(tcpNew(picksUp))), "INVALID"),
    ...(family === 4
      ? // valid_new: requests for echo, timestamp, information and address mask. Errors without a connection are invalid.
        [at(and(icmp, not(types(8, 13, 15, 17))), "INVALID")]
      : [
          // noct_valid_new: multicast listener, multicast router and neighbour discovery are never tracked.
          at(and(icmp, types(130, 131, 132, 133, 134, 135, 136, 143, 151, 152)), "UNTRACKED"),
          at(and(icmp, not(types(128, 139))), "INVALID"),
        ]),
    at(ANY, "NEW"),
  ];
}
