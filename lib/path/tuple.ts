/** Connection tuples as conntrack keeps them (struct nf_conntrack_tuple): one per direction of a connection. */
import { type Address, PROTO, tracksPorts } from "../packet/field.ts";

/** One direction of a connection. ICMP has its identifier in `sport`, and its type and code in `dport`. */
export interface Tuple {
  /** Protocol number. */
  readonly proto: number;
  /** Source address. */
  readonly src: Address;
  /** Destination address. */
  readonly dst: Address;
  /** Source port; 0 if the protocol has none. */
  readonly sport: number;
  /** Destination port; 0 if the protocol has none. */
  readonly dport: number;
}

/** ICMP and ICMPv6 request types, each with its reply type (`invmap` in nf_conntrack_proto_icmp.c). */
export const REPLY_TYPES: ReadonlyMap<number, number> = new Map<number, number>([
  [8, 0],
  [13, 14],
  [15, 16],
  [17, 18],
  [128, 129],
  [139, 140],
]);

/** Returns the tuple of the replies to packets of this tuple (nf_ct_invert_tuple). */
export function invertTuple(t: Tuple): Tuple {
  if (t.proto === PROTO.icmp || t.proto === PROTO.icmpv6) {
    const type = t.dport >> 8;
    const other = REPLY_TYPES.get(type) ?? [...REPLY_TYPES].find(([, reply]) => reply === type)?.[0] ?? type;
    return { ...t, src: t.dst, dst: t.src, dport: (other << 8) | (t.dport & 0xff) };
  }
  return { proto: t.proto, src: t.dst, dst: t.src, sport: t.dport, dport: t.sport };
}

/** Returns the tuple of a packet header. */
export function tupleOf(h: {
  proto: number;
  src: Address;
  dst: Address;
  sport?: number | undefined;
  dport?: number | undefined;
  type?: number | undefined;
  code?: number | undefined;
  id?: number | undefined;
}): Tuple {
  const { proto, src, dst } = h;
  if (tracksPorts(proto)) return { proto, src, dst, sport: h.sport ?? 0, dport: h.dport ?? 0 };
  if (proto === PROTO.icmp || proto === PROTO.icmpv6)
    return { proto, src, dst, sport: h.id ?? 0, dport: ((h.type ?? 0) << 8) | (h.code ?? 0) };
  return { proto, src, dst, sport: 0, dport: 0 };
}
