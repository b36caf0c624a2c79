/**
 * Prints tests of packet fields as clauses about packets: `arrive on eth0`, `are to port 80`. There is one wording per
 * field, so an extension needs no text of its own.
 */
import { containerAt, type Host } from "../../host/host.ts";
import { icmpName } from "../../iptables/matches/icmp.ts";
import { printAddressRange, printPrefix } from "../../packet/address.ts";
import {
  type Address,
  CT,
  CT_STATUS,
  protoName,
  type Range,
  type Scalar,
  TCP_FLAGS,
} from "../../packet/field.ts";
import { normalizeRanges } from "../../packet/predicate.ts";
import type { AddressType, Facts } from "../../rules/facts.ts";
import { listText } from "../text/list.ts";
import type { FieldTest, RangeTest } from "./readable-condition.ts";

type BitsTest = Extract<FieldTest, { kind: "bits" }>;

/** The host of the rules: source of container names and of the host's own addresses. */
export interface Naming {
  readonly facts: Facts;
  readonly host: Host;
}

/** Longer lists of values are counted. */
const MOST_VALUES = 6;

const shortened = (items: readonly string[]): string =>
  items.length <= MOST_VALUES
    ? listText(items)
    : listText([...items.slice(0, 3), `${items.length - 3} more`]);

/** Returns the only value of a test; `undefined` if several values satisfy it. */
const onlyValue = ({ ranges }: RangeTest): Scalar | undefined =>
  ranges.length === 1 && ranges[0]![0] === ranges[0]![1] ? ranges[0]![0] : undefined;

/** Returns true for a test that exactly one value satisfies. */
export const isEquality = (test: RangeTest): boolean => !test.not && onlyValue(test) !== undefined;

/** Address types with a name of their own. */
const TYPE_NAMES: readonly (readonly [AddressType, string])[] = [
  ["LOCAL", "this host's own addresses"],
  ["BROADCAST", "broadcast addresses"],
  ["MULTICAST", "multicast addresses"],
  ["UNICAST", "unicast addresses"],
  ["ANYCAST", "anycast addresses"],
];

const rangesKey = (ranges: readonly Range[]): string => normalizeRanges(ranges).join(";");

function addresses(ranges: readonly Range[], { facts, host }: Naming): string {
  const key = rangesKey(ranges);
  for (const [type, name] of TYPE_NAMES) {
    const ofType = facts.addressIs("dst", type, undefined);
    if (ofType.kind === "in" && rangesKey(ofType.ranges) === key) return name;
  }
  const texts = ranges.map((range) => {
    const text = printAddressRange(range);
    const container = range[0] === range[1] ? containerAt(host, range[0] as Address) : null;
    if (container !== null) return `${text} (container ${container.name})`;
    if (range[0] !== range[1] && (text === "127.0.0.0/8" || text === "::1")) return `${text} (loopback)`;
    return text;
  });
  return shortened(texts);
}

const interfaces = (ranges: readonly Range[]): string =>
  shortened(
    ranges.map(([lo, hi]) =>
      lo !== hi ? `${lo}+ (any name with this prefix)` : lo === "" ? "no interface" : String(lo),
    ),
  );

const numbers = (ranges: readonly Range[], print: (value: number) => string = String): string =>
  shortened(
    ranges.map(([lo, hi]) =>
      lo === hi ? print(lo as number) : `${print(lo as number)} to ${print(hi as number)}`,
    ),
  );

const portNumbers = (ranges: readonly Range[]): string =>
  shortened(ranges.map(([lo, hi]) => (lo === hi ? String(lo) : `${lo}-${hi}`)));

/** Hexadecimal from 10 on, as iptables prints marks. */
export const hexText = (value: Scalar): string =>
  typeof value === "number" && value < 10 ? String(value) : `0x${value.toString(16)}`;

const PROTOCOL_NAMES: Readonly<Record<string, string>> = {
  tcp: "TCP",
  udp: "UDP",
  icmp: "ICMP",
  icmpv6: "ICMPv6",
  igmp: "IGMP",
  sctp: "SCTP",
  dccp: "DCCP",
  udplite: "UDP-Lite",
  gre: "GRE",
  esp: "ESP",
  ah: "AH",
};
/** Returns the name of a protocol as RFCs write it; `undefined` for a protocol known by its number alone. */
export const protocolAcronym = (proto: number): string | undefined => PROTOCOL_NAMES[protoName(proto)];
const protocol = (proto: number): string => protocolAcronym(proto) ?? `protocol ${protoName(proto)}`;

const mac = (value: number): string => value.toString(16).padStart(12, "0").match(/../g)!.join(":");

const STATES: Readonly<Record<number, string>> = {
  [CT.INVALID]: "are INVALID (belong to no valid connection)",
  [CT.NEW]: "are NEW (open a connection)",
  [CT.ESTABLISHED]: "belong to an ESTABLISHED connection",
  [CT.RELATED]: "are RELATED to a connection",
  [CT.UNTRACKED]: "are UNTRACKED",
};

/** Link-layer kinds (PACKET_* in linux/if_packet.h). */
const PACKET_TYPES: Readonly<Record<number, string>> = {
  0: "to this host's link-layer address",
  1: "as a link-layer broadcast",
  2: "as a link-layer multicast",
  3: "to the link-layer address of another host",
  5: "by this host to itself",
};

/** Bits of conntrack's status: the clause for a bit that is set, and for one that is not. */
const STATUS: readonly (readonly [bit: number, set: string, clear: string])[] = [
  [CT_STATUS.EXPECTED, "that a helper expected", "that no helper expected"],
  [CT_STATUS.SEEN_REPLY, "with a reply", "without a reply"],
  [CT_STATUS.ASSURED, "that is assured (traffic in both directions)", "that is not assured"],
  [CT_STATUS.CONFIRMED, "that is confirmed (its first packet was accepted)", "that is not confirmed"],
  [CT_STATUS.SRC_NAT, "with a translated source (SNAT)", "without a translated source"],
  [CT_STATUS.DST_NAT, "with a translated destination (DNAT)", "without a translated destination"],
];

/** Names of the TCP flags in a bit mask. */
export const flagNames = (bits: number): string[] =>
  Object.entries(TCP_FLAGS).flatMap(([name, bit]) => (bits & bit ? [name] : []));

/** Prefixes the exception of a negated test: `any address except 10.0.0.1`. */
const except = (not: boolean, values: string, any: string): string =>
  not ? `${any} except ${values}` : values;

/** Addresses or ports of a test without the verb: `10.0.0.1`, `ports 80 or 443`, `any port except 22`. */
export function endpointValues(test: RangeTest | BitsTest, naming: Naming): string {
  if (test.kind === "bits") {
    const prefix = printPrefix({ address: test.value as Address, mask: test.mask as Address });
    return except(test.not, prefix, "any address");
  }
  const { field, ranges, not } = test;
  if (!field.endsWith("port")) return except(not, addresses(ranges, naming), "any address");
  if (not) return `any port except ${portNumbers(ranges)}`;
  return `${onlyValue(test) === undefined ? "ports" : "port"} ${portNumbers(ranges)}`;
}

/** Prints a test of one field as a clause with the packets as its subject: `arrive on eth0`, `are to port 80`. */
export function rangeClause(test: RangeTest, naming: Naming): string {
  const { field, ranges, not } = test;
  const only = onlyValue(test);
  const dont = not ? "do not " : "";
  const are = not ? "are not" : "are";
  const endpoint = (): string => endpointValues(test, naming);
  switch (field) {
    case "in":
      if (only === "") return not ? "arrive on an interface" : "arrive on no interface";
      return `arrive on ${except(not, interfaces(ranges), "any interface")}`;
    case "out":
      if (only === "") return not ? "leave through an interface" : "leave through no interface";
      return `leave through ${except(not, interfaces(ranges), "any interface")}`;
    case "physin":
      if (only === "") return `arrive on ${not ? "a bridge port" : "no bridge port"}`;
      return `arrive on ${except(not, `bridge port ${interfaces(ranges)}`, "anything")}`;
    case "physout":
      if (only === "") return `leave through ${not ? "a bridge port" : "no bridge port"}`;
      return `leave through ${except(not, `bridge port ${interfaces(ranges)}`, "anything")}`;
    case "src":
    case "sport":
      return `are from ${endpoint()}`;
    case "dst":
    case "dport":
      return `are to ${endpoint()}`;
    case "proto":
      return `${are} ${listText(ranges.map(([lo, hi]) => (lo === hi ? protocol(lo as number) : `protocols ${lo} to ${hi}`)))}`;
    case "type":
      return `${are} of ICMP type ${numbers(ranges, (type) => {
        const name = icmpName(type, naming.facts.family);
        return name === undefined ? String(type) : `${type} (${name})`;
      })}`;
    case "code":
      return `${are} of ICMP code ${numbers(ranges)}`;
    case "fragment":
      return `${(only === 1) !== not ? "are" : "are not"} fragments after the first`;
    case "flags":
      return `${dont}have the TCP flag bits ${numbers(ranges)}`;
    case "tos":
      return `${dont}have TOS ${numbers(ranges, hexText)}`;
    case "ttl":
      return `${dont}have a ${naming.facts.family === 4 ? "TTL" : "hop limit"} of ${numbers(ranges)}`;
    case "length":
      return `${are} ${numbers(ranges)} bytes long`;
    case "mac":
      return `come from ${except(not, `MAC address ${numbers(ranges, mac)}`, "any MAC address")}`;
    case "pkttype":
      return `were ${not ? "not " : ""}sent ${numbers(ranges, (v) => PACKET_TYPES[v] ?? `as packet type ${v}`)}`;
    case "mark":
      if (only === 0) return not ? "have a mark" : "have no mark";
      return `${dont}have the mark ${numbers(ranges, hexText)}`;
    case "spi":
      return `${dont}have the SPI ${numbers(ranges, hexText)}`;
    case "socket":
      return `${(only === 1) !== not ? "come" : "do not come"} from a local socket`;
    case "uid":
      return `${not ? "were not" : "were"} sent by user id ${numbers(ranges)}`;
    case "gid":
      return `${not ? "were not" : "were"} sent by group id ${numbers(ranges)}`;
    case "ctstate":
      return stateClause(test);
    case "ctmark":
      return `${dont}belong to a connection with mark ${numbers(ranges, hexText)}`;
    case "ctdir":
      return (only === 0) !== not ? "go in the original direction" : "go in the reply direction";
    case "ctstatus":
      return `${dont}belong to a connection with status ${numbers(ranges, hexText)}`;
    case "ctproto":
      return `${dont}belong to a connection of ${listText(ranges.map(([lo]) => protocol(lo as number)))}`;
    case "ctorigsrc":
    case "ctorigsrcport":
      return `belong to a connection with original source ${endpoint()}`;
    case "ctorigdst":
    case "ctorigdstport":
      return `belong to a connection with original destination ${endpoint()}`;
    case "ctreplsrc":
    case "ctreplsrcport":
      return `belong to a connection with reply source ${endpoint()}`;
    case "ctrepldst":
    case "ctrepldstport":
      return `belong to a connection with reply destination ${endpoint()}`;
  }
}

const ALL_STATES = Object.values(CT).sort();

/** The conntrack states that satisfy a test of `ctstate`. */
function statesOf({ ranges, not }: RangeTest): number[] {
  const inRanges = (s: number): boolean =>
    ranges.some(([lo, hi]) => s >= (lo as number) && s <= (hi as number));
  return ALL_STATES.filter((s) => inRanges(s) !== not);
}

const sameStates = (states: readonly number[], ...others: number[]): boolean =>
  states.length === others.length && others.every((s) => states.includes(s));

/** Returns true if a test of `ctstate` holds for exactly the packets of connections that conntrack tracks. */
export const isTracked = (test: RangeTest): boolean =>
  sameStates(statesOf(test), CT.NEW, CT.ESTABLISHED, CT.RELATED);

function stateClause(test: RangeTest): string {
  const states = statesOf(test);
  if (isTracked(test)) return "belong to a tracked connection";
  if (sameStates(states, CT.ESTABLISHED, CT.RELATED))
    return "belong to or are related to an existing connection (RELATED,ESTABLISHED)";
  if (sameStates(states, CT.INVALID, CT.UNTRACKED))
    return "belong to no tracked connection (INVALID,UNTRACKED)";
  return listText(states.map((s) => STATES[s]!));
}

/** Prints a masked test as a clause with the packets as its subject: `have a mark with bit 0x4000`. */
export function bitsClause(test: BitsTest, naming: Naming): string {
  const { field, not } = test;
  const dont = not ? "do not " : "";
  const [mask, value] = [test.mask as number, test.value as number];
  if (field === "flags") return `${dont}have the TCP flags ${flagStates(mask, value)}`;
  const status = field === "ctstatus" ? statusClause(mask, value, not) : null;
  if (status !== null) return status;
  if (field === "tos" && mask === 0xfc) return `${dont}have DSCP ${value >>> 2}`;
  if (field === "tos" && mask === 0x03) return `${dont}have the ECN bits ${value}`;
  if (field === "src") return `are from ${endpointValues(test, naming)}`;
  if (field === "dst") return `are to ${endpointValues(test, naming)}`;
  const verb =
    field === "mark"
      ? "have a mark"
      : field === "ctmark"
        ? "belong to a connection with a mark"
        : field === "tos"
          ? "have a TOS"
          : `have a value of ${field}`;
  const allSet = test.value === test.mask;
  const noneSet = test.value === 0 || test.value === 0n;
  const singleBit = typeof test.mask === "number" && (mask & (mask - 1)) === 0;
  if (!allSet && !noneSet)
    return `${dont}${verb} that is ${hexText(test.value)} in the bits ${hexText(test.mask)}`;
  if (singleBit || !not)
    return `${verb} ${allSet !== not ? "with" : "without"} ${singleBit ? "bit" : "the bits"} ${hexText(test.mask)}`;
  return `${allSet ? dont : ""}${verb} with ${allSet ? "all" : "any"} of the bits ${hexText(test.mask)}`;
}

function flagStates(mask: number, value: number): string {
  const set = flagNames(mask & value);
  const clear = flagNames(mask & ~value);
  return [
    ...(set.length === 0 ? [] : [`${listText(set, "and")} set`]),
    ...(clear.length === 0 ? [] : [`${listText(clear, "and")} not set`]),
  ].join(" and ");
}

function statusClause(mask: number, value: number, not: boolean): string | null {
  const tested = STATUS.filter(([bit]) => (mask & bit) !== 0);
  if (tested.length === 0) return null;
  // The negation of a single bit is the other wording of the same bit.
  const flip = not && tested.length === 1;
  const clauses = tested.map(([bit, set, clear]) => (((value & bit) !== 0) !== flip ? set : clear));
  return `${not && !flip ? "do not " : ""}belong to a connection ${listText(clauses, "and")}`;
}
