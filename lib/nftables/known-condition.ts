/** Comparisons as the conditions that analyses read: addresses, interfaces, protocol, ports, states. */
import type { Match } from "nftables-parser-ts";
import { isInRanges, isPrefixRange, maxAddress, type Prefix } from "../packet/address.ts";
import { type Address, CT_STATUS, LAST_NAME, type Range } from "../packet/field.ts";
import type { KnownConditions, Negatable, PortRange } from "../rules/reading.ts";
import type { ReadValue } from "./read-value.ts";
import { CT_STATE_BITS } from "./symbols.ts";
import { bitXor } from "./values.ts";

type Read = (ranges: readonly Range[], not: boolean) => KnownConditions | null;

/** A prefix, if the ranges are one. */
function prefix(ranges: readonly Range[]): Prefix | null {
  const [range] = ranges;
  if (ranges.length !== 1 || !isPrefixRange(range!)) return null;
  const [address, last] = range as readonly [Address, Address];
  const hole = bitXor(address, last);
  return { address, mask: bitXor(hole, maxAddress(typeof address === "bigint" ? 6 : 4)) as Address };
}

const ofPrefix =
  (name: "src" | "dst" | "originalDestination"): Read =>
  (ranges, not) => {
    const value = prefix(ranges);
    return value === null ? null : { [name]: { not, value } satisfies Negatable<Prefix> };
  };

/** One name, or all names with a beginning, which `+` marks as in iptables. */
const ofName =
  (name: "in" | "out"): Read =>
  (ranges, not) => {
    const [range] = ranges as readonly (readonly [string, string])[];
    if (ranges.length !== 1 || range![0] === "") return null;
    const [first, last] = range!;
    if (first === last) return { [name]: { not, value: first } };
    return last === `${first}${LAST_NAME}` ? { [name]: { not, value: `${first}+` } } : null;
  };

const ofProtocol: Read = (ranges, not) =>
  ranges.length === 1 && ranges[0]![0] === ranges[0]![1]
    ? { proto: { not, value: ranges[0]![0] as number } }
    : null;

const ofPorts =
  (name: "sourcePorts" | "destinationPorts" | "originalPorts"): Read =>
  (ranges, not) => ({ [name]: { not, value: ranges as readonly PortRange[] } });

const ofDirection: Read = (ranges, not) =>
  ranges.length !== 1 || ranges[0]![0] !== ranges[0]![1]
    ? null
    : { direction: { not, value: ranges[0]![0] === 0 ? "ORIGINAL" : "REPLY" } };

const READS: Readonly<Record<string, Read>> = {
  "ip saddr": ofPrefix("src"),
  "ip6 saddr": ofPrefix("src"),
  "ip daddr": ofPrefix("dst"),
  "ip6 daddr": ofPrefix("dst"),
  iifname: ofName("in"),
  "meta iifname": ofName("in"),
  iif: ofName("in"),
  "meta iif": ofName("in"),
  oifname: ofName("out"),
  "meta oifname": ofName("out"),
  oif: ofName("out"),
  "meta oif": ofName("out"),
  "ip protocol": ofProtocol,
  "meta l4proto": ofProtocol,
  "ct original ip daddr": ofPrefix("originalDestination"),
  "ct original ip6 daddr": ofPrefix("originalDestination"),
  "ct original proto-dst": ofPorts("originalPorts"),
  "ct direction": ofDirection,
};

/** States by their names in iptables-extensions(8). */
const STATES = [...CT_STATE_BITS].map(([name, bit]) => [name.toUpperCase(), bit] as const);
const NAT_STATES = [
  ["SNAT", CT_STATUS.SRC_NAT],
  ["DNAT", CT_STATUS.DST_NAT],
] as const;

/** A test of bits of the state or the status. */
function ofBits(name: string, bits: number, not: boolean): KnownConditions | null {
  const list = name === "ct state" ? STATES : name === "ct status" ? NAT_STATES : [];
  const value = list.filter(([, bit]) => bits & bit).map(([state]) => state);
  // Bits without a name are another condition.
  const known = list.reduce((sum, [, bit]) => sum | bit, 0);
  return value.length === 0 || bits & ~known ? null : { states: { not, value } };
}

/** Protocols whose ports a comparison restricts; `th` restricts no protocol. */
const PORTS: Readonly<Record<string, number | null>> = {
  tcp: 6,
  udp: 17,
  udplite: 136,
  sctp: 132,
  dccp: 33,
  th: null,
};

/** Returns a comparison as conditions; `null` if analyses have no such condition. */
export function knownCondition(
  key: readonly ReadValue[],
  { operator }: Pick<Match, "operator">,
  { ranges, bits }: { readonly ranges?: readonly Range[] | undefined; readonly bits?: number },
): KnownConditions | null {
  const [only] = key;
  if (key.length !== 1 || only!.mask !== null) return null;
  const not = operator === "!=";
  const { name } = only!.operand;
  if (bits !== undefined) return ofBits(name, bits, operator === "!");
  if (ranges === undefined) return null;
  if (name === "ct state")
    return {
      states: { not, value: STATES.filter(([, bit]) => isInRanges(bit, ranges)).map(([state]) => state) },
    };
  const known = READS[name];
  if (known !== undefined) return known(ranges, not);
  const [protocol, field] = name.split(" ");
  const number = PORTS[protocol!];
  if (number === undefined || (field !== "sport" && field !== "dport")) return null;
  const ports = ofPorts(field === "sport" ? "sourcePorts" : "destinationPorts")(ranges, not);
  return number === null ? ports : { proto: { not: false, value: number }, ...ports };
}
