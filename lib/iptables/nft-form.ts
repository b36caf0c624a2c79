/** Texts of nft(8) for matches and targets of iptables: alternatives of conjunctions of expressions. */
import { printAddress } from "../packet/address.ts";
import { type Address, type Family, fieldRange, type Range, type Scalar } from "../packet/field.ts";
import { normalizeRanges } from "../packet/predicate.ts";

/** Properties of a rule and of its packets that the nft text depends on. */
export interface NftContext {
  readonly family: Family;
  /** Protocol of `-p`; `undefined` if it is absent or negated. */
  readonly proto: number | undefined;
  /** The kernel reassembles packets before it evaluates the rule, as connection tracking requires. */
  readonly defragmented: boolean;
  /** Text of RETURN. */
  readonly returns: "return" | "accept";
}

/**
 * Alternatives, each a conjunction of expressions that becomes a rule of its own. At most one of them holds for a packet, so
 * that a LOG or a jump runs once. None: the match never holds.
 */
export type NftForm = readonly (readonly string[])[];

export const ALWAYS: NftForm = [[]];
export const NEVER: NftForm = [];

/** The packet has a connection; an expression that reads one implies it. */
export const TRACKED: NftForm = [["ct state new,established,related"]];

/** One conjunction. */
export const expressions = (...list: readonly string[]): NftForm => [list];

/** Conjunction of forms; `null` if one of them has no text. */
export function allOf(...forms: readonly (NftForm | null)[]): NftForm | null {
  let product: NftForm = ALWAYS;
  for (const form of forms) {
    if (form === null) return null;
    if (form === ALWAYS) continue;
    product = product.flatMap((left) => form.map((right) => [...left, ...right]));
  }
  return product;
}

/** Negation of a conjunction of two conditions. */
export const neither = (
  first: (not: boolean) => NftForm,
  second: (not: boolean) => NftForm,
): NftForm | null => {
  const rest = allOf(first(false), second(true));
  return rest === null ? null : [...first(true), ...rest];
};

/** Comparison with one value or a text that nft reads as a range or prefix. */
export const compare = (left: string, not: boolean, right: string): NftForm =>
  expressions(`${left} ${not ? "!= " : ""}${right}`);

const constant = (holds: boolean): NftForm => (holds ? ALWAYS : NEVER);

/**
 * Comparison with ranges.
 * @param all least and greatest value: nft rejects a comparison with all values in a set
 */
export function among(
  left: string,
  not: boolean,
  given: readonly Range[],
  all: Range,
  print: (value: Scalar) => string = String,
): NftForm {
  const ranges = normalizeRanges(given.filter(([lo, hi]) => lo <= hi));
  const [first] = ranges;
  if (first === undefined) return constant(not);
  if (first[0] === all[0] && first[1] === all[1]) return constant(!not);
  const texts = ranges.map(([lo, hi]) => (lo === hi ? print(lo) : `${print(lo)}-${print(hi)}`));
  return compare(left, not, texts.length === 1 ? texts[0]! : `{ ${texts.join(", ")} }`);
}

/** Comparison with ports of a connection. */
export const tuplePortsIn = (left: string, not: boolean, ranges: readonly Range[]): NftForm =>
  among(left, not, ranges, [0, 0xffff]);

/**
 * Comparison with ports of the packet. nft 1.0.6 merges `sport != 1 dport != 2` into one comparison of four bytes, which holds
 * for packets that differ in one port; it does not merge a range.
 */
export function portsIn(
  protocol: string,
  side: "sport" | "dport",
  not: boolean,
  ranges: readonly Range[],
): NftForm {
  const left = `${protocol} ${side}`;
  const [first] = ranges;
  const single = ranges.length === 1 && first![0] === first![1];
  return not && single && side === "sport"
    ? compare(left, not, `${first![0]}-${first![1]}`)
    : tuplePortsIn(left, not, ranges);
}

/** Comparison of an address with a range. */
export const addressesIn = (left: string, not: boolean, range: Range, family: Family): NftForm =>
  among(left, not, [range], fieldRange("src", family), (value) => printAddress(value as Address));

/** Comparison with each value that `holds`, of a field with few values. Elements of a set that are no ranges. */
export function eachOf(
  left: string,
  not: boolean,
  count: number,
  holds: (value: number) => boolean,
): NftForm {
  const values = Array.from({ length: count }, (_, value) => value).filter(holds);
  if (values.length === 0 || values.length === count) return constant(not === (values.length === 0));
  const texts = values.map((value) => `0x${value.toString(16)}`);
  return compare(left, not, texts.length === 1 ? texts[0]! : `{ ${texts.join(", ")} }`);
}

/** Comparison of the bits of a mask with a value. */
export function maskedIs(
  left: string,
  not: boolean,
  { value, mask }: { readonly value: number; readonly mask: number },
  full: number,
): NftForm {
  if ((value & ~mask) !== 0) return constant(not);
  if (mask === 0) return constant(!not);
  const hex = `0x${value.toString(16)}`;
  if (mask === full) return compare(left, not, hex);
  return expressions(`${left} & 0x${mask.toString(16)} ${not ? "!=" : "=="} ${hex}`);
}

/**
 * Packets with a transport header. In a rule of iptables later fragments never have one; nft reads the bytes at its place.
 * `null` for IPv6, where nft(8) has no exact test of the offset that all its versions print back.
 */
export const withHeader = ({ family, defragmented }: NftContext): NftForm | null =>
  defragmented ? ALWAYS : family === 4 ? expressions("ip frag-off & 0x1fff == 0") : null;

/** Name of the IP header of a family in nft: `ip`, `ip6`. */
export const headerOf = ({ family }: { readonly family: Family }): "ip" | "ip6" =>
  family === 4 ? "ip" : "ip6";

/** Names of protocols that every version of nft knows without the system's file. */
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, "icmp"],
  [6, "tcp"],
  [17, "udp"],
  [33, "dccp"],
  [50, "esp"],
  [51, "ah"],
  [58, "icmpv6"],
  [132, "sctp"],
  [136, "udplite"],
]);

/** Prints a protocol. */
export const nftProtocol = (proto: number): string => PROTOCOLS.get(proto) ?? String(proto);

/** Returns true for a text that nft reads between quotes as it is. */
export const isQuotable = (text: string): boolean => !/["\\\p{Cc}\p{Zl}\p{Zp}]/u.test(text);
