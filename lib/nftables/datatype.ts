/** Datatypes of nft(8), DATA TYPES: parse the literals of a type into values of a field. */
import type { Value } from "nftables-parser-ts";
import { parseAddress } from "../packet/address.ts";
import { type Family, LAST_NAME, type Range, type Scalar } from "../packet/field.ts";
import { isDecimal, isQuad } from "../packet/literal-check.ts";
import { parseMac } from "../packet/packet-json.ts";
import { protocolNumber, serviceName } from "../packet/system-names.ts";
import * as symbols from "./symbols.ts";

/** A datatype. Values of one type are of one kind: numbers, bigints or names. */
export interface Datatype {
  /** As `type` of a set names it: `ipv4_addr`. */
  readonly name: string;
  /** Width in bits; `null` for names. */
  readonly bits: number | null;
  /** A value is a set of bits: a plain comparison tests if any bit is set. */
  readonly bitmask?: true;
  /** Parses a literal to its values; `undefined` if it is not of this type. */
  parse(value: Value): Range | undefined;
  /** Returns true if text[start, end) is certainly one value of the type. False means "unknown": fall back to `parse`. */
  isValid?(text: string, start: number, end: number, quoted: boolean): boolean;
  /** Description of a literal for messages. */
  readonly expects: string;
}

const UNTYPED = " [invalid type]";

/** Returns a number as strtoull(3) with base 0 reads it; `undefined` for any other text. */
export function integer(given: string): number | undefined {
  // nft 1.0.6 prints this after a number whose type it does not know.
  const text = given.endsWith(UNTYPED) ? given.slice(0, -UNTYPED.length) : given;
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return /^(?:0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : undefined;
}

const single = (value: Scalar | undefined): Range | undefined =>
  value === undefined ? undefined : [value, value];

const greatest = (bits: number): number => 2 ** bits - 1;

interface NumberOptions {
  readonly known?: symbols.Symbols;
  readonly bitmask?: true;
  /** Finds other names. */
  lookup?(text: string): number | undefined;
}

/** Returns a type of numbers, some values have names. */
const numeric = (name: string, bits: number, expects: string, options: NumberOptions = {}): Datatype => ({
  name,
  bits,
  expects,
  ...(options.bitmask === true ? { bitmask: true } : {}),
  parse({ text, quoted }) {
    const named = options.known?.get(text) ?? options.known?.get(text.toLowerCase());
    if (named !== undefined) return [named, named];
    const number = quoted ? undefined : integer(text);
    const value = number ?? options.lookup?.(text);
    return value === undefined || value > greatest(bits) ? undefined : [value, value];
  },
  isValid: (text, start, end, quoted) => !quoted && isDecimal(text, start, end, greatest(bits)),
});

/** An IPv4 address may be written as a number. */
const addressNumber = (text: string): number | undefined => {
  const number = integer(text);
  return number === undefined || number > greatest(32) ? undefined : number;
};

const address = (name: string, family: Family): Datatype => ({
  name,
  bits: family === 4 ? 32 : 128,
  expects: `an IPv${family} address`,
  parse: ({ text }) => single(parseAddress(text, family) ?? (family === 4 ? addressNumber(text) : undefined)),
  isValid: (text, start, end) => family === 4 && isQuad(text, start, end, false),
});

/** Longest name of an interface (IFNAMSIZ). */
const MOST_NAME = 15;

/** A name of an interface; an unescaped `*` at its end matches all names with that beginning. */
function readName({ text }: Value): Range | undefined {
  const literal = text.endsWith("\\*") ? `${text.slice(0, -2)}*` : text;
  if (literal.length > MOST_NAME + 1 || text === "") return undefined;
  if (literal !== text || !text.endsWith("*")) return [literal, literal];
  const start = text.slice(0, -1);
  return [start, `${start}${LAST_NAME}`];
}

const service = numeric("inet_service", 16, "a port", {
  lookup: (text) => serviceName(text, undefined),
});

/**
 * Interfaces are compared by name: nft prints the name of the interface with an index. The index 0 has none, and another number
 * is that of no interface of the host; no name contains a colon.
 */
const interfaceIndex: Datatype = {
  name: "iface_index",
  bits: null,
  expects: "an interface",
  parse: ({ text }) => single(text === "0" ? "" : /^\d+$/.test(text) ? `:${text}` : text),
};

const day: Datatype = {
  ...numeric("day", 8, "a day of the week", { known: symbols.WEEKDAY }),
};

const anything = (name: string): Datatype => ({
  name,
  bits: null,
  expects: "a value",
  parse: ({ text }) => [text, text],
});

/** A user or a group. Only root has the same number on every host. */
const identity = (name: string): Datatype =>
  numeric(name, 32, "a numeric id; names of users and groups are not looked up", {
    lookup: (text) => (text === "root" ? 0 : undefined),
  });

export const TYPES = {
  ipv4_addr: address("ipv4_addr", 4),
  ipv6_addr: address("ipv6_addr", 6),
  ether_addr: {
    name: "ether_addr",
    bits: 48,
    expects: "a hardware address like 00:11:22:33:44:55",
    parse: ({ text }) => single(parseMac(text)),
  },
  inet_service: service,
  inet_proto: numeric("inet_proto", 8, "a protocol", { lookup: protocolNumber }),
  ct_state: numeric("ct_state", 32, "a connection state", { known: symbols.CT_STATE_BITS, bitmask: true }),
  ct_status: numeric("ct_status", 32, "a connection status", {
    known: symbols.CT_STATUS_BITS,
    bitmask: true,
  }),
  ct_dir: numeric("ct_dir", 8, "original or reply", { known: symbols.CT_DIRECTION }),
  ct_id: numeric("ct_id", 32, "a number"),
  ct_label: { ...anything("ct_label"), bitmask: true },
  ct_event: { ...anything("ct_event"), bitmask: true },
  tcp_flag: numeric("tcp_flag", 8, "TCP flags", { known: symbols.TCP_FLAG, bitmask: true }),
  icmp_type: numeric("icmp_type", 8, "an ICMP type", { known: symbols.ICMP_TYPE }),
  icmpv6_type: numeric("icmpv6_type", 8, "an ICMPv6 type", { known: symbols.ICMPV6_TYPE }),
  icmp_code: numeric("icmp_code", 8, "an ICMP code", { known: symbols.ICMP_CODE }),
  icmpv6_code: numeric("icmpv6_code", 8, "an ICMPv6 code", { known: symbols.ICMPV6_CODE }),
  igmp_type: numeric("igmp_type", 8, "an IGMP type", { known: symbols.IGMP_TYPE }),
  dccp_pkttype: numeric("dccp_pkttype", 4, "a DCCP packet type", { known: symbols.DCCP_TYPE }),
  mark: numeric("mark", 32, "a mark"),
  classid: anything("classid"),
  realm: numeric("realm", 32, "a realm"),
  uid: identity("uid"),
  gid: identity("gid"),
  fib_addrtype: numeric("fib_addrtype", 32, "an address type", { known: symbols.FIB_TYPE }),
  pkt_type: numeric("pkt_type", 8, "a packet type", { known: symbols.PACKET_TYPE }),
  ifname: {
    name: "ifname",
    bits: null,
    expects: "the name of an interface",
    parse: readName,
    isValid: (text, start, end) => end > start && end - start <= MOST_NAME && !text.startsWith("*", end - 1),
  },
  iface_index: interfaceIndex,
  iface_type: numeric("iface_type", 16, "a type of interfaces", { known: symbols.INTERFACE_TYPE }),
  devgroup: numeric("devgroup", 32, "an interface group", { known: symbols.DEVICE_GROUP }),
  dscp: numeric("dscp", 6, "a DiffServ code point", { known: symbols.DSCP }),
  ecn: numeric("ecn", 2, "an ECN value", { known: symbols.ECN }),
  ether_type: numeric("ether_type", 16, "an EtherType", { known: symbols.ETHER_TYPE }),
  nf_proto: numeric("nf_proto", 8, "ipv4 or ipv6", { known: symbols.NF_PROTO }),
  boolean: numeric("boolean", 8, "exists or missing", { known: symbols.BOOLEAN }),
  integer: numeric("integer", 32, "a number", { known: symbols.BOOLEAN }),
  time: anything("time"),
  hour: anything("hour"),
  day,
  string: anything("string"),
} as const satisfies Record<string, Datatype>;

/** Other names of datatypes in declarations of sets. */
const ALIASES: Readonly<Record<string, Datatype>> = {
  ll_addr: TYPES.ether_addr,
  iface: TYPES.iface_index,
  device_group: TYPES.devgroup,
};

/** Returns the datatype of a name; `undefined` if it is unknown. */
export const datatype = (name: string): Datatype | undefined =>
  Object.hasOwn(TYPES, name) ? TYPES[name as keyof typeof TYPES] : ALIASES[name];
