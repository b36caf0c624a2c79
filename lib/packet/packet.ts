/**
 * One packet as it is given to the simulator, and its spelling in the contract's JSON.
 */
import { parseAddress, printAddress } from "./address.ts";
import {
  type Address,
  CT,
  type CtState,
  type Family,
  isIpv6ExtensionHeader,
  PROTO,
  protoName,
  protoNumber,
  TCP_FLAGS,
} from "./field.ts";

const FLAG_LETTERS = "FSRPAUEC";
/** Reads `S`, `SA`, `FIN,ACK` or `SYN`. @returns `undefined` for anything else. */
export function parseFlags(text: string): number | undefined {
  let flags = 0;
  if (text === "" || text === "NONE") return 0;
  const names = text.split(",");
  // `FAU` is three letters, `FIN` a name.
  if (names.every((name): name is keyof typeof TCP_FLAGS => Object.hasOwn(TCP_FLAGS, name)))
    return names.reduce((all, name) => all | TCP_FLAGS[name], 0);
  for (const letter of text.replace(/[.]/g, "A")) {
    const at = FLAG_LETTERS.indexOf(letter);
    if (at < 0) return undefined;
    flags |= 1 << at;
  }
  return flags;
}

/** Prints flag bits by their letters, `SA` for SYN and ACK. */
export const printFlags = (flags: number): string =>
  [...FLAG_LETTERS].filter((_, i) => flags & (1 << i)).join("");

/** Reads a hardware address as a 48-bit number. @returns `undefined` when it is none */
export const parseMac = (text: string): number | undefined =>
  /^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/.test(text)
    ? text.split(":").reduce((sum, part) => sum * 256 + Number.parseInt(part, 16), 0)
    : undefined;

/** Prints a 48-bit number as a hardware address. */
export const printMac = (mac: number): string =>
  mac
    .toString(16)
    .padStart(12, "0")
    .replace(/..(?=.)/g, "$&:");

/** A packet as it is given to the simulator: engine values, everything but addresses and protocol optional. */
export interface Packet {
  /** 4 or 6. */
  readonly family: Family;
  /** Interface it arrives on; `null`: sent by the host itself. */
  readonly in: string | null;
  /** Source address: a number for IPv4, a bigint for IPv6. */
  readonly src: Address;
  /** Destination address, before any translation. */
  readonly dst: Address;
  /** Protocol number (IANA); 1 and 58 for ICMP. Of IPv6 the one behind all extension headers. */
  readonly proto: number;
  /** Source port of TCP, UDP, UDP-Lite, SCTP and DCCP; where it is not given, what asks for it is unknown. */
  readonly sport?: number;
  /** Destination port; unknown where it is not given. */
  readonly dport?: number;
  /**
   * TCP flags as bits of the header (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32); SYN where they are not
   * given.
   */
  readonly flags?: number;
  /** ICMP type; unknown where it is not given. */
  readonly type?: number;
  /** ICMP code; unknown where it is not given. */
  readonly code?: number;
  /** Mark of the packet (fwmark), 32 bits; 0 where it is not given. */
  readonly mark?: number;
  /** TOS byte, or traffic class; 0 where it is not given. */
  readonly tos?: number;
  /** Time to live, or hop limit; 64 where it is not given. */
  readonly ttl?: number;
  /** Length of the whole packet in bytes, its headers whole; unknown where it is not given. */
  readonly length?: number;
  /** Owner of the socket that sends it, for packets of the host itself. */
  readonly uid?: number;
  /** Group of that socket. */
  readonly gid?: number;
  /** Source MAC address, 48 bits. */
  readonly mac?: number;
  /** Bridge port it arrives by. */
  readonly physin?: string;
  /** 1 for a fragment behind the first; of TCP in IPv4 one that begins behind byte 8. */
  readonly fragment?: number;
  /** Link-layer kind, see FIELDS; 0 where it is not given, what is addressed to the host. */
  readonly pkttype?: number;
  /** Identifier of an ICMP echo: a connection of its own. */
  readonly id?: number;
  /** The packet that an ICMP error quotes. */
  readonly about?: QuotedPacket;
  /** Take conntrack's word to be this, instead of working it out from the connections seen so far. */
  readonly state?: CtState;
}

/** What an ICMP error quotes of the packet it is about: enough to find its connection. */
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

/** A quoted packet in JSON. */
export interface QuotedPacketJson {
  /** Source address as text. */
  src: string;
  /** Destination address as text. */
  dst: string;
  /** Protocol by name or number. */
  proto?: string | number;
  /** Source port, 0 to 65535. */
  sport?: number;
  /** Destination port, 0 to 65535. */
  dport?: number;
  /** ICMP type, 0 to 255. */
  type?: number;
  /** ICMP code, 0 to 255. */
  code?: number;
  /** ICMP identifier, 0 to 65535. */
  id?: number;
}

/** A packet as the contract's JSON spells it. */
export interface PacketJson {
  /** Interface it arrives on; `null` or absent for a packet of the host itself. */
  in?: string | null;
  /** Source address as text. */
  src: string;
  /** Destination address as text, before any translation. */
  dst: string;
  /** Name (`tcp`) or number; TCP by default. */
  proto?: string | number;
  /** Source port. */
  sport?: number;
  /** Destination port. */
  dport?: number;
  /** Letters of the TCP flags that are set: `S`, `SA`, `R`, `FA`. */
  flags?: string;
  /** ICMP type. */
  type?: number;
  /** ICMP code. */
  code?: number;
  /** Mark of the packet (fwmark). */
  mark?: number;
  /** TOS byte, or traffic class. */
  tos?: number;
  /** Time to live, or hop limit. */
  ttl?: number;
  /** Length of the whole packet in bytes. */
  length?: number;
  /** Owner of the sending socket. */
  uid?: number;
  /** Group of the sending socket. */
  gid?: number;
  /** Source hardware address, `02:00:00:00:00:01`. */
  mac?: string;
  /** 1 for a fragment behind the first. */
  fragment?: number;
  /** Link-layer kind: 0 host, 1 broadcast, 2 multicast, 3 otherhost (linux/if_packet.h). */
  pkttype?: number;
  /** Identifier of an ICMP echo. */
  id?: number;
  /** What an ICMP error quotes. */
  about?: QuotedPacketJson;
  /** Take conntrack's word to be this. */
  state?: CtState;
}

/** How long the header of a protocol is at least, in bytes. */
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

/** The least length of a packet that has its headers whole; a fragment behind the first has IP's alone. */
export const leastLength = ({
  family,
  proto,
  fragment,
}: Pick<Packet, "family" | "proto" | "fragment">): number =>
  (family === 4 ? 20 : 40) + (fragment === 1 ? 0 : (HEADERS.get(proto) ?? 0));

const NUMBERS = {
  sport: 0xffff,
  dport: 0xffff,
  type: 0xff,
  code: 0xff,
  mark: 0xffff_ffff,
  tos: 0xff,
  ttl: 0xff,
  length: 0xffff,
  uid: 0xffff_ffff,
  gid: 0xffff_ffff,
  fragment: 1,
  pkttype: 7,
  id: 0xffff,
} as const;

const NUMBER_LIST = Object.entries(NUMBERS) as [keyof typeof NUMBERS, number][];
const KEYS: ReadonlySet<string> = new Set([
  ...["in", "src", "dst", "proto", "flags", "state", "mac", "about"],
  ...Object.keys(NUMBERS),
]);

/**
 * Reads a packet in the contract's spelling.
 * @returns the packet, or a sentence that says what is wrong with which field.
 */
export function readPacket(json: unknown): Packet | string {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return "a packet is a JSON object";
  for (const key of Object.keys(json))
    if (!KEYS.has(key)) return `unknown packet field ${JSON.stringify(key)}`;
  // Only fields of a packet are asked for, by name: what else an object has is never a key.
  const given = json as { readonly [K in keyof PacketJson]: unknown };
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  const input = given.in ?? null;
  if (input !== null && (typeof input !== "string" || input === ""))
    return `"in" must be an interface name, or null for a packet the host sends`;
  const family: Family = (text(given.dst) ?? "").includes(":") ? 6 : 4;
  const src = parseAddress(text(given.src) ?? "", family);
  const dst = parseAddress(text(given.dst) ?? "", family);
  if (dst === undefined) return `"dst" must be an IPv4 or IPv6 address, not ${JSON.stringify(given.dst)}`;
  if (src === undefined)
    return `"src" must be an IPv${family} address like "dst", not ${JSON.stringify(given.src)}`;
  const proto = protoNumber(String(given.proto ?? "tcp"));
  if (proto === undefined)
    return `"proto" must be tcp, udp, icmp, icmpv6 or a number from 0 to 255, not ${JSON.stringify(given.proto)}`;
  if (family === 6 && isIpv6ExtensionHeader(proto))
    return `"proto" must be the protocol behind all IPv6 extension headers, which ${proto} is one of`;
  const packet: { -readonly [K in keyof Packet]: Packet[K] } = { family, in: input, src, dst, proto };
  for (const [key, max] of NUMBER_LIST) {
    const value = given[key];
    if (value === undefined || value === null) continue;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max)
      return `${JSON.stringify(key)} must be a whole number from 0 to ${max}, not ${JSON.stringify(value)}`;
    packet[key] = value;
  }
  if (packet.length !== undefined && packet.length < leastLength(packet))
    return `"length" must be at least ${leastLength(packet)}: a packet is described with its headers whole`;
  if (given.flags !== undefined) {
    const flags = parseFlags(text(given.flags) ?? "?");
    if (flags === undefined)
      return `"flags" must be TCP flag letters (FSRPAUEC) or names, not ${JSON.stringify(given.flags)}`;
    packet.flags = flags;
  }
  if (given.mac !== undefined) {
    const mac = parseMac(text(given.mac) ?? "");
    if (mac === undefined) return `"mac" must be a MAC address like 02:00:00:00:00:01`;
    packet.mac = mac;
  }
  const about = given.about;
  if (about !== undefined) {
    const quoted = readPacket(about);
    if (typeof quoted === "string") return `in "about": ${quoted}`;
    if (quoted.family !== family) return `"about" must quote a packet of the same family`;
    const { src, dst, proto, sport, dport, type, code, id } = quoted;
    const optional = { sport, dport, type, code, id };
    packet.about = {
      src,
      dst,
      proto,
      ...Object.fromEntries(Object.entries(optional).filter(([, v]) => v !== undefined)),
    };
  }
  const state = given.state;
  if (state !== undefined) {
    if (typeof state !== "string" || !Object.hasOwn(CT, state))
      return `"state" must be one of ${Object.keys(CT).join(", ")}`;
    packet.state = state as CtState;
  }
  return packet;
}

/** Spells a packet as the contract's JSON does; what was not given is left out. */
export function packetJson(packet: Packet): PacketJson {
  const json: PacketJson = {
    in: packet.in,
    src: printAddress(packet.src),
    dst: printAddress(packet.dst),
    proto: protoName(packet.proto),
  };
  for (const [key] of NUMBER_LIST) {
    const value = packet[key];
    if (value !== undefined) json[key] = value;
  }
  if (packet.mac !== undefined) json.mac = printMac(packet.mac);
  if (packet.flags !== undefined) json.flags = printFlags(packet.flags);
  if (packet.about !== undefined) {
    const { src, dst, proto, ...rest } = packet.about;
    json.about = { src: printAddress(src), dst: printAddress(dst), proto: protoName(proto), ...rest };
  }
  if (packet.state !== undefined) json.state = packet.state;
  return json;
}
