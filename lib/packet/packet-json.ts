/** The JSON format of packets, TCP flags and hardware addresses. */
import { parseAddress, printAddress } from "./address.ts";
import {
  CT,
  type CtState,
  type Family,
  isIpv6ExtensionHeader,
  protoName,
  protoNumber,
  TCP_FLAGS,
} from "./field.ts";
import { leastLength, type Packet } from "./packet.ts";

/** The packet that an ICMP error quotes, in JSON. */
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

/** A packet in JSON. */
export interface PacketJson {
  /** Input interface; `null` or absent for a packet that the host sends. */
  in?: string | null;
  /** Source address as text. */
  src: string;
  /** Destination address as text, before translation. */
  dst: string;
  /** Name (`tcp`) or number; TCP by default. */
  proto?: string | number;
  /** Source port. */
  sport?: number;
  /** Destination port. */
  dport?: number;
  /** TCP flags as letters: `S`, `SA`, `R`, `FA`. */
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
  /** Length of the packet in bytes. */
  length?: number;
  /** User of the sending socket. */
  uid?: number;
  /** Group of the sending socket. */
  gid?: number;
  /** Source hardware address, `02:00:00:00:00:01`. */
  mac?: string;
  /** 1 for a fragment other than the first. */
  fragment?: number;
  /** Link-layer type: 0 host, 1 broadcast, 2 multicast, 3 otherhost (linux/if_packet.h). */
  pkttype?: number;
  /** Identifier of an ICMP echo. */
  id?: number;
  /** The packet that an ICMP error quotes. */
  about?: QuotedPacketJson;
  /** State of the connection; derived if absent. */
  state?: CtState;
}

const FLAG_LETTERS = "FSRPAUEC";
/** Parses `S`, `SA`, `FIN,ACK` or `SYN`; `undefined` for other text. */
export function parseFlags(text: string): number | undefined {
  let flags = 0;
  if (text === "" || text === "NONE") return 0;
  const names = text.split(",");
  // `FAU` consists of letters, `FIN` is a name.
  if (names.every((name): name is keyof typeof TCP_FLAGS => Object.hasOwn(TCP_FLAGS, name)))
    return names.reduce((all, name) => all | TCP_FLAGS[name], 0);
  for (const letter of text.replace(/[.]/g, "A")) {
    const at = FLAG_LETTERS.indexOf(letter);
    if (at < 0) return undefined;
    flags |= 1 << at;
  }
  return flags;
}

/** Prints flag bits as letters, `SA` for SYN and ACK. */
const printFlags = (flags: number): string => [...FLAG_LETTERS].filter((_, i) => flags & (1 << i)).join("");

/** Parses a hardware address into a 48-bit number; `undefined` for other text. */
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
const KEYS: ReadonlySet<string> = new Set(
  ["in", "src", "dst", "proto", "flags", "state", "mac", "about"].concat(Object.keys(NUMBERS)),
);

/**
 * Reads a packet from JSON.
 * @returns the packet, or a message that names the invalid field
 */
export function readPacket(json: unknown): Packet | string {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return "a packet is a JSON object";
  for (const key of Object.keys(json))
    if (!KEYS.has(key)) return `unknown packet field ${JSON.stringify(key)}`;
  // Only known fields are read, by name, so that keys of hostile objects have no effect.
  const given = json as { readonly [K in keyof PacketJson]: unknown };
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  const input = given.in ?? null;
  if (input !== null && (typeof input !== "string" || input === ""))
    return `"in" must be an interface name, or null for a packet that the host sends`;
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
    return `"proto" must be the protocol after all IPv6 extension headers; ${proto} is an extension header`;
  const packet: { -readonly [K in keyof Packet]: Packet[K] } = { family, in: input, src, dst, proto };
  for (const [key, max] of NUMBER_LIST) {
    const value = given[key];
    if (value === undefined || value === null) continue;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max)
      return `${JSON.stringify(key)} must be a whole number from 0 to ${max}, not ${JSON.stringify(value)}`;
    packet[key] = value;
  }
  if (packet.length !== undefined && packet.length < leastLength(packet))
    return `"length" must be at least ${leastLength(packet)}, the length of the headers`;
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
  if (given.about !== undefined) {
    const quoted = readQuoted(given.about, family);
    if (typeof quoted === "string") return quoted;
    packet.about = quoted;
  }
  const state = given.state;
  if (state !== undefined) {
    if (typeof state !== "string" || !Object.hasOwn(CT, state))
      return `"state" must be one of ${Object.keys(CT).join(", ")}`;
    packet.state = state as CtState;
  }
  return packet;
}

/** Reads the packet that an ICMP error quotes. */
function readQuoted(json: unknown, family: Family): NonNullable<Packet["about"]> | string {
  const packet = readPacket(json);
  if (typeof packet === "string") return `in "about": ${packet}`;
  if (packet.family !== family) return `"about" must quote a packet of the same family`;
  const { src, dst, proto, sport, dport, type, code, id } = packet;
  const given = Object.entries({ sport, dport, type, code, id }).filter(([, v]) => v !== undefined);
  return { src, dst, proto, ...Object.fromEntries(given) };
}

/** Returns a packet as JSON, without the fields that are not given. */
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
