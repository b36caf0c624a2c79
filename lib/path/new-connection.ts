/**
 * What conntrack says of a packet that belongs to no connection it knows: the first packet of a new one, or nothing
 * it can make sense of (net/netfilter/nf_conntrack_proto_{tcp,icmp,icmpv6}.c).
 */
import { type Host, sysctl } from "../host/host.ts";
import { type CtState, type Family, PROTO, type Range, TCP_FLAGS } from "../packet/field.ts";
import { ANY, and, bits, is, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { Case } from "./decision-list.ts";

/** PSH, ECE and CWR do not count (tcp_error). */
const UNCOUNTED = TCP_FLAGS.PSH | TCP_FLAGS.ECE | TCP_FLAGS.CWR;

const flags = (value: number): Predicate => bits("flags", 0xff & ~UNCOUNTED, value);

/** A SYN opens a connection; a bare ACK picks one up in the middle (nf_conntrack_tcp_loose, on unless switched off). */
const tcpNew = (loose: boolean): Predicate =>
  or(
    flags(TCP_FLAGS.SYN),
    flags(TCP_FLAGS.SYN | TCP_FLAGS.URG),
    ...(loose ? [flags(TCP_FLAGS.ACK), flags(TCP_FLAGS.ACK | TCP_FLAGS.URG)] : []),
  );

const types = (...list: number[]): Predicate =>
  within(
    "type",
    list.map((type): Range => [type, type]),
  );

/** Whether conntrack takes up connections in their middle. */
export const loose = (host: Host): boolean => sysctl(host, "net.netfilter.nf_conntrack_tcp_loose", 1) !== 0;

/** The cases, first one that holds; they cover every packet. */
export function freshCases(family: Family, takesUp: boolean): Case<CtState>[] {
  const tcp = is("proto", PROTO.tcp);
  const icmp = is("proto", family === 4 ? PROTO.icmp : PROTO.icmpv6);
  // The other family's ICMP is nothing that conntrack could follow.
  const foreign = is("proto", family === 4 ? PROTO.icmpv6 : PROTO.icmp);
  return [
    { when: foreign, outcome: "INVALID" },
    // IPv6's "no next header": nothing follows that could be tracked.
    ...(family === 4 ? [] : [{ when: is("proto", 59), outcome: "INVALID" as const }]),
    { when: and(tcp, not(tcpNew(takesUp))), outcome: "INVALID" },
    ...(family === 4
      ? // valid_new: echo, timestamp, information and address mask requests. Errors without their connection are invalid.
        [{ when: and(icmp, not(types(8, 13, 15, 17))), outcome: "INVALID" as const }]
      : [
          // noct_valid_new: multicast listener, multicast router and neighbour discovery are never tracked.
          {
            when: and(icmp, types(130, 131, 132, 133, 134, 135, 136, 143, 151, 152)),
            outcome: "UNTRACKED" as const,
          },
          { when: and(icmp, not(types(128, 139))), outcome: "INVALID" as const },
        ]),
    { when: ANY, outcome: "NEW" },
  ];
}
