/** One packet as the input of the simulator. */
import { type Address, type CtState, type Family, PROTO } from "./field.ts";

/** One packet. All fields except addresses and protocol are optional. */
export interface Packet {
  /** 4 or 6. */
  readonly family: Family;
  /** Input interface; `null` for a packet that the host sends. */
  readonly in: string | null;
  /** Source address: a number for IPv4, a bigint for IPv6. */
  readonly src: Address;
  /** Destination address before translation. */
  readonly dst: Address;
  /** Protocol number (IANA); 1 and 58 for ICMP. For IPv6 the protocol after all extension headers. */
  readonly proto: number;
  /** Source port of TCP, UDP, UDP-Lite, SCTP and DCCP; unknown if not given. */
  readonly sport?: number;
  /** Destination port; unknown if not given. */
  readonly dport?: number;
  /** TCP flags as bits of the header (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32); SYN if not given. */
  readonly flags?: number;
  /** ICMP type; unknown if not given. */
  readonly type?: number;
  /** ICMP code; unknown if not given. */
  readonly code?: number;
  /** Mark of the packet (fwmark), 32 bits; 0 if not given. */
  readonly mark?: number;
  /** TOS byte, or traffic class; 0 if not given. */
  readonly tos?: number;
  /** Time to live, or hop limit; 64 if not given. */
  readonly ttl?: number;
  /** Length of the packet in bytes, at least that of its headers; unknown if not given. */
  readonly length?: number;
  /** User of the sending socket, for packets that the host sends. */
  readonly uid?: number;
  /** Group of the sending socket. */
  readonly gid?: number;
  /** Source MAC address, 48 bits. */
  readonly mac?: number;
  /** Input bridge port. */
  readonly physin?: string;
  /** 1 for a fragment other than the first; for TCP over IPv4 one that starts after byte 8. */
  readonly fragment?: number;
  /** Link-layer type: 0 host, 1 broadcast, 2 multicast, 3 otherhost (linux/if_packet.h); 0 if not given. */
  readonly pkttype?: number;
  /** Identifier of an ICMP echo, by which conntrack identifies the connection. */
  readonly id?: number;
  /** The packet that an ICMP error quotes. */
  readonly about?: QuotedPacket;
  /** State of the connection. If not given, it is derived from the packets before. */
  readonly state?: CtState;
}

/** The packet that an ICMP error quotes, as far as conntrack needs it to find the connection. */
export interface QuotedPacket {
  /** Source address. */
  readonly src: Address;
  /** Destination address. */
  readonly dst: Address;
  /** Protocol number. */
  readonly proto: number;
  /** Source port, 0 to 65535. */
  readonly sport?: number;
  /** Destination port, 0 to 65535. */
  readonly dport?: number;
  /** ICMP type, 0 to 255. */
  readonly type?: number;
  /** ICMP code, 0 to 255. */
  readonly code?: number;
  /** ICMP identifier, 0 to 65535. */
  readonly id?: number;
}

/** Smallest header of each protocol, in bytes. */
const HEADERS: ReadonlyMap<number, number> = new Map([
  [PROTO.tcp, 20],
  [PROTO.udp, 8],
  [PROTO.icmp, 8],
  [PROTO.icmpv6, 8],
  [PROTO.sctp, 12],
  [PROTO.dccp, 12],
  [PROTO.udplite, 8],
  [PROTO.gre, 4],
  [PROTO.esp, 8],
  [PROTO.ah, 12],
]);

/** Returns the smallest length of a packet. A fragment other than the first has only an IP header. */
export const leastLength = ({
  family,
  proto,
  fragment,
}: Pick<Packet, "family" | "proto" | "fragment">): number =>
  (family === 4 ? 20 : 40) + (fragment === 1 ? 0 : (HEADERS.get(proto) ?? 0));
