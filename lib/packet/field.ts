/** Fields of a packet, the kinds of their values, and the kernel's numbers of protocols and conntrack states. */

/** Address family of a ruleset, a packet or a table: 4 for iptables, 6 for ip6tables. */
export type Family = 4 | 6;

/** An address: `number` for IPv4, `bigint` for IPv6. */
export type Address = number | bigint;

/**
 * Value of a field: a `number`, a `bigint` for IPv6 addresses, or a `string` for names. All three are ordered. A name
 * pattern is a range, too: `br-+` is the range from `"br-"` to `"br-\uffff"`.
 */
export type Scalar = number | bigint | string;

/** Source or destination of a packet. */
export type Side = "src" | "dst";

/** A closed interval of field values, `lo <= hi`. */
export type Range = readonly [lo: Scalar, hi: Scalar];

/**
 * Fields of a packet on its path through the host. The names follow the kernel's sk_buff, the RFCs of the headers and
 * conntrack's tuples. `in` and `out` are interface names, or `""` without an interface (struct nf_hook_state).
 */
export const FIELDS = {
  /** Input interface; `""` on OUTPUT and on POSTROUTING of local packets. */
  in: "name",
  /** Output interface; `""` before the routing decision and on INPUT. */
  out: "name",
  /** Input and output bridge port (bridged traffic with br_netfilter); else `""`. */
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
  /** 1 for a fragment other than the first. Rules see fragments only if conntrack does not defragment. */
  fragment: 1,
  /** IPv4 TOS or IPv6 traffic class, whole byte. */
  tos: 0xff,
  /** TTL or hop limit. */
  ttl: 0xff,
  /** Length of the whole packet in bytes. */
  length: 0xffff,
  /** Source hardware address as a 48-bit number. */
  mac: 0xffff_ffff_ffff,
  /** Link-layer type: 0 host, 1 broadcast, 2 multicast, 3 other host, as PACKET_* in linux/if_packet.h. */
  pkttype: 7,
  mark: 0xffff_ffff,
  /** SPI of an AH or ESP header, CPI of an IPComp header. */
  spi: 0xffff_ffff,
  /** 1 if a local socket sent the packet (sk_buff's `sk`), 0 if it arrived on an interface. */
  socket: 1,
  /** Owner of the local socket that sent the packet. */
  uid: 0xffff_ffff,
  gid: 0xffff_ffff,
  /** State of the connection, see CT. */
  ctstate: 5,
  ctmark: 0xffff_ffff,
  /** 0 original, 1 reply direction. */
  ctdir: 1,
  /** IPS_* bits of nf_conntrack_common.h; fwcheck models the bits of CT_STATUS. */
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

/** Name of a field of a packet. */
export type Field = keyof typeof FIELDS;

/** Placeholder for a bridge port of unknown name. No interface can have this name. */
export const UNNAMED_BRIDGE_PORT = ":";

/** Greatest value of a name field: the pattern `+` is the range from `""` to this value. */
export const LAST_NAME = "\uffff";

/** Returns the first and last value of a field. */
export function fieldRange(field: Field, family: Family): [Scalar, Scalar] {
  const kind = FIELDS[field];
  if (kind === "name") return ["", LAST_NAME];
  if (kind === "address") return family === 4 ? [0, 0xffff_ffff] : [0n, (1n << 128n) - 1n];
  return [0, kind];
}

/** Values of `ctstate`, in the order of `--ctstate`'s bits (linux/netfilter/xt_conntrack.h). */
export const CT = { INVALID: 0, NEW: 1, ESTABLISHED: 2, RELATED: 3, UNTRACKED: 4 } as const;
/** `ctstate` in raw after target CT attached a template: the packet will be tracked, and NOTRACK has no effect. */
export const CT_TEMPLATE = 5;
/** State of a connection, as in `--ctstate` (iptables-extensions(8), conntrack). */
export type CtState = keyof typeof CT;

/** Bits of `ctstatus` (enum ip_conntrack_status). */
export const CT_STATUS = {
  EXPECTED: 1,
  SEEN_REPLY: 2,
  ASSURED: 4,
  CONFIRMED: 8,
  SRC_NAT: 16,
  DST_NAT: 32,
  /** Set after the nat table was evaluated for that direction, which happens once per connection. */
  SRC_NAT_DONE: 128,
  DST_NAT_DONE: 256,
} as const;

/** Bits of a connection whose chains of type nat were evaluated, by the side that they translate. */
export const NAT_DONE: Readonly<Record<Side, number>> = {
  dst: CT_STATUS.DST_NAT_DONE,
  src: CT_STATUS.SRC_NAT_DONE,
};

/** Numbers of the protocols that the code treats specially. */
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

/** Returns the name of a protocol in the JSON format, or its number in digits. */
export const protoName = (number: number): string => PROTO_NAMES.get(number) ?? String(number);

/** Parses a protocol of the JSON format (`tcp`, `icmpv6`, `47`); `undefined` if it is unknown. */
export function protoNumber(name: string): number | undefined {
  if (/^\d{1,3}$/.test(name)) return Number(name) <= 255 ? Number(name) : undefined;
  return Object.hasOwn(PROTO, name)
    ? PROTO[name as keyof typeof PROTO]
    : name === "ipv6-icmp"
      ? PROTO.icmpv6
      : undefined;
}

/** Returns true for IPv6 extension headers (ipv6_ext_hdr). They are not the protocol of a packet. */
export const isIpv6ExtensionHeader = (proto: number): boolean => [0, 43, 44, 51, 60].includes(proto);

/** Returns true if the header of a protocol has ports at the same offsets as TCP and UDP. */
export const hasPorts = (proto: number): boolean =>
  proto === PROTO.tcp ||
  proto === PROTO.udp ||
  proto === PROTO.sctp ||
  proto === PROTO.dccp ||
  proto === PROTO.udplite;

/** Returns true if conntrack identifies connections by ports. Linux 6.18 does not track DCCP. */
export const tracksPorts = (proto: number): boolean => hasPorts(proto) && proto !== PROTO.dccp;

/** TCP flags by name, in the order of the bits. */
export const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 } as const;

/** Returns the smallest value that is greater than the given one. */
export function successor(value: Scalar): Scalar {
  if (typeof value === "number") return value + 1;
  if (typeof value === "bigint") return value + 1n;
  return `${value}\0`;
}
