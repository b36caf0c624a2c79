/**
 * The vocabulary of the engines: a packet's fields, the kinds of value they hold, and the numbers the kernel gives
 * to protocols and conntrack states.
 */

/** The address family of a ruleset, a packet or a table: 4 for iptables, 6 for ip6tables. */
export type Family = 4 | 6;

/** An address as the engines hold it: `number` for IPv4, `bigint` for IPv6. */
export type Address = number | bigint;

/**
 * A value of a field: a `number`, a `bigint` for IPv6 addresses, or a `string` for names. All three are ordered, and
 * a name pattern is a range like any other: `br-+` asks for a name from `"br-"` to `"br-\uffff"`.
 */
export type Scalar = number | bigint | string;

/** A closed interval of field values, `lo <= hi`. */
export type Range = readonly [lo: Scalar, hi: Scalar];

/**
 * The fields of a packet on its way through the host. Names: the kernel's sk_buff, the headers' RFCs, and conntrack's
 * tuple; `in`/`out` are interface names and `""` where there is none (struct nf_hook_state).
 */
export const FIELDS = {
  /** Interface the packet came in by; `""` on OUTPUT and POSTROUTING of local packets. */
  in: "name",
  /** Interface the packet goes out by; `""` before the routing decision and on INPUT. */
  out: "name",
  /** Bridge port it came in by and goes out by (bridged traffic under br_netfilter); `""` otherwise. */
  physin: "name",
  physout: "name",
  src: "address",
  dst: "address",
  /** IP protocol number, 0 to 255. */
  proto: 0xff,
  sport: 0xffff,
  dport: 0xffff,
  /** TCP flag bits FIN=1 SYN=2 RST=4 PSH=8 ACK=16 URG=32 ECE=64 CWR=128. */
  flags: 0xff,
  /** ICMP or ICMPv6 type and code. */
  type: 0xff,
  code: 0xff,
  /** 1 for a fragment that is not the first, as it is seen where nothing defragments. */
  fragment: 1,
  /** IPv4 TOS or IPv6 traffic class, whole byte. */
  tos: 0xff,
  /** TTL or hop limit. */
  ttl: 0xff,
  /** Length of the whole packet in bytes. */
  length: 0xffff,
  /** Source hardware address as a 48-bit number. */
  mac: 0xffff_ffff_ffff,
  /** Link-layer kind: 0 host, 1 broadcast, 2 multicast, 3 other host, as PACKET_* in linux/if_packet.h. */
  pkttype: 7,
  mark: 0xffff_ffff,
  /** SPI of an AH or ESP header, CPI of an IPComp header. */
  spi: 0xffff_ffff,
  /** 1 when a local socket sent it (sk_buff's `sk`), 0 for what came in by an interface. */
  socket: 1,
  /** Owner of the local socket that sent it. */
  uid: 0xffff_ffff,
  gid: 0xffff_ffff,
  /** See CT: what conntrack says of this packet. */
  ctstate: 5,
  ctmark: 0xffff_ffff,
  /** 0 original, 1 reply direction. */
  ctdir: 1,
  /** IPS_* bits of nf_conntrack_common.h, of which fwcheck keeps those in CT_STATUS. */
  ctstatus: 0xffff,
  ctproto: 0xff,
  ctorigsrc: "address",
  ctorigdst: "address",
  ctorigsrcport: 0xffff,
  ctorigdstport: 0xffff,
  ctreplsrc: "address",
  ctrepldst: "address",
  ctreplsrcport: 0xffff,
  ctrepldstport: 0xffff,
} as const satisfies Record<string, "name" | "address" | number>;

/** Name of a field of a packet: see FIELDS. */
export type Field = keyof typeof FIELDS;

/** A port of a bridge of which nobody knows the name; no interface can be called so. */
export const UNNAMED_BRIDGE_PORT = ":";

/** The greatest string there is for a name field, so that `+` is the range from `""` to it. */
export const LAST_NAME = "\uffff";

/** First and last value of a field. */
export function fieldRange(field: Field, family: Family): [Scalar, Scalar] {
  const kind = FIELDS[field];
  if (kind === "name") return ["", LAST_NAME];
  if (kind === "address") return family === 4 ? [0, 0xffff_ffff] : [0n, (1n << 128n) - 1n];
  return [0, kind];
}

/** Values of `ctstate`, in the order of `--ctstate`'s bits (linux/netfilter/xt_conntrack.h). */
export const CT = { INVALID: 0, NEW: 1, ESTABLISHED: 2, RELATED: 3, UNTRACKED: 4 } as const;
/** What `ctstate` is in raw once a rule said how the connection is to be kept: it will be tracked, whatever else raw says. */
export const CT_TEMPLATE = 5;
/** A state of conntrack as `--ctstate` spells it (iptables-extensions(8), conntrack). */
export type CtState = keyof typeof CT;

/** Bits of `ctstatus` (enum ip_conntrack_status). */
export const CT_STATUS = {
  EXPECTED: 1,
  SEEN_REPLY: 2,
  ASSURED: 4,
  CONFIRMED: 8,
  SRC_NAT: 16,
  DST_NAT: 32,
  /** The nat table was asked for that side; it is asked once a connection. */
  SRC_NAT_DONE: 128,
  DST_NAT_DONE: 256,
} as const;

/** Protocol numbers that the code speaks of by name. */
export const PROTO = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
} as const;

const PROTO_NAMES = new Map<number, string>(Object.entries(PROTO).map(([name, number]) => [number, name]));

/** Name of a protocol as the contract spells it, or its number in digits. */
export const protoName = (number: number): string => PROTO_NAMES.get(number) ?? String(number);

/** Number of a protocol in the contract's spelling (`tcp`, `icmpv6`, `47`), or `undefined`. */
export function protoNumber(name: string): number | undefined {
  if (/^\d{1,3}$/.test(name)) return Number(name) <= 255 ? Number(name) : undefined;
  return Object.hasOwn(PROTO, name)
    ? PROTO[name as keyof typeof PROTO]
    : name === "ipv6-icmp"
      ? PROTO.icmpv6
      : undefined;
}

/** Numbers of IPv6 extension headers (ipv6_ext_hdr): of a packet that has one, the protocol is what stands behind it. */
export const isIpv6ExtensionHeader = (proto: number): boolean => [0, 43, 44, 51, 60].includes(proto);

/** Whether the header of a protocol, by its number, carries ports where TCP and UDP have them. */
export const hasPorts = (proto: number): boolean =>
  proto === PROTO.tcp ||
  proto === PROTO.udp ||
  proto === PROTO.sctp ||
  proto === PROTO.dccp ||
  proto === PROTO.udplite;

/** Those whose ports conntrack tells connections by: Linux 6.18 knows nothing of DCCP. */
export const tracksPorts = (proto: number): boolean => hasPorts(proto) && proto !== PROTO.dccp;

/** TCP flags by name, in the order of the bits. */
export const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 } as const;

/** The least value above another one of the same kind. */
export function successor(value: Scalar): Scalar {
  if (typeof value === "number") return value + 1;
  if (typeof value === "bigint") return value + 1n;
  return `${value}\0`;
}
