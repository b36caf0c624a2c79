/** ICMP types and codes (iptables-extensions(8) icmp and icmp6; net/ipv4/netfilter/ip_tables.c icmp_match). */
import { type Family, PROTO } from "../../packet/field.ts";
import { and, between, is, negate, type Predicate } from "../../packet/predicate.ts";
import { type Codec, type Given, inDigits, match, negatable, Unreadable } from "../extension.ts";
import {
  ALWAYS,
  allOf,
  compare,
  NEVER,
  type NftContext,
  type NftForm,
  neither,
  withHeader,
} from "../nft-form.ts";
import { wholeNumber } from "../number-codecs.ts";
import { word } from "../word-codecs.ts";

/** A type and its codes. Type 255 of IPv4 means any. */
interface IcmpType {
  readonly type: number;
  readonly codes: readonly [number, number];
}

type Names = ReadonlyMap<string, readonly [type: number, code?: number]>;

/** Names of libipt_icmp and libip6t_icmp6. */
const V4: Names = new Map<string, readonly [number, number?]>([
  ["any", [255]],
  ["echo-reply", [0]],
  ["pong", [0]],
  ["destination-unreachable", [3]],
  ["network-unreachable", [3, 0]],
  ["host-unreachable", [3, 1]],
  ["protocol-unreachable", [3, 2]],
  ["port-unreachable", [3, 3]],
  ["fragmentation-needed", [3, 4]],
  ["source-route-failed", [3, 5]],
  ["network-unknown", [3, 6]],
  ["host-unknown", [3, 7]],
  ["network-prohibited", [3, 9]],
  ["host-prohibited", [3, 10]],
  ["TOS-network-unreachable", [3, 11]],
  ["TOS-host-unreachable", [3, 12]],
  ["communication-prohibited", [3, 13]],
  ["host-precedence-violation", [3, 14]],
  ["precedence-cutoff", [3, 15]],
  ["source-quench", [4]],
  ["redirect", [5]],
  ["network-redirect", [5, 0]],
  ["host-redirect", [5, 1]],
  ["TOS-network-redirect", [5, 2]],
  ["TOS-host-redirect", [5, 3]],
  ["echo-request", [8]],
  ["ping", [8]],
  ["router-advertisement", [9]],
  ["router-solicitation", [10]],
  ["time-exceeded", [11]],
  ["ttl-exceeded", [11]],
  ["ttl-zero-during-transit", [11, 0]],
  ["ttl-zero-during-reassembly", [11, 1]],
  ["parameter-problem", [12]],
  ["ip-header-bad", [12, 0]],
  ["required-option-missing", [12, 1]],
  ["timestamp-request", [13]],
  ["timestamp-reply", [14]],
  ["address-mask-request", [17]],
  ["address-mask-reply", [18]],
]);

const V6: Names = new Map<string, readonly [number, number?]>([
  ["destination-unreachable", [1]],
  ["no-route", [1, 0]],
  ["communication-prohibited", [1, 1]],
  ["beyond-scope", [1, 2]],
  ["address-unreachable", [1, 3]],
  ["port-unreachable", [1, 4]],
  ["failed-policy", [1, 5]],
  ["reject-route", [1, 6]],
  ["packet-too-big", [2]],
  ["time-exceeded", [3]],
  ["ttl-exceeded", [3]],
  ["ttl-zero-during-transit", [3, 0]],
  ["ttl-zero-during-reassembly", [3, 1]],
  ["parameter-problem", [4]],
  ["bad-header", [4, 0]],
  ["unknown-header-type", [4, 1]],
  ["unknown-option", [4, 2]],
  ["echo-request", [128]],
  ["ping", [128]],
  ["echo-reply", [129]],
  ["pong", [129]],
  // ip6tables 1.8.9 of Debian rejects these four; other versions list them in their help.
  ["mld-listener-query", [130]],
  ["mld-listener-report", [131]],
  ["mld-listener-done", [132]],
  ["mld-listener-reduction", [132]],
  ["router-solicitation", [133]],
  ["router-advertisement", [134]],
  ["neighbor-solicitation", [135]],
  ["neighbour-solicitation", [135]],
  ["neighbor-advertisement", [136]],
  ["neighbour-advertisement", [136]],
  ["redirect", [137]],
]);

/** Returns the name of an ICMP or ICMPv6 type without a code; `undefined` if it has none. */
export function icmpName(type: number, family: Family): string | undefined {
  for (const [name, [number, code]] of family === 4 ? V4 : V6)
    if (number === type && code === undefined && name !== "any") return name;
  return undefined;
}

const ALL_CODES = [0, 255] as const;

/** Looks up a name or an unambiguous abbreviation in any case (parse_icmp of xtables). */
function lookup(names: Names, text: string): readonly [number, number?] | undefined {
  const given = text.toLowerCase();
  if (!/^[a-z]/.test(given)) return undefined;
  const begun: (readonly [number, number?])[] = [];
  for (const [name, type] of names) {
    if (name.toLowerCase() === given) return type;
    if (name.toLowerCase().startsWith(given)) begun.push(type);
  }
  return begun.length === 1 ? begun[0] : undefined;
}

const icmpType = (names: Names, any: number | undefined): Codec<IcmpType> =>
  word(
    "an ICMP type, as name, number or type/code",
    (text) => {
      const named = lookup(names, text);
      if (named !== undefined)
        return { type: named[0], codes: named[1] === undefined ? ALL_CODES : [named[1], named[1]] };
      const [t, c, more] = text.split("/");
      const type = wholeNumber(t!, 255);
      const code = c === undefined ? undefined : wholeNumber(c, 255);
      if (type === undefined || more !== undefined || (c !== undefined && code === undefined))
        return undefined;
      return { type, codes: code === undefined ? ALL_CODES : [code, code] };
    },
    ({ type, codes }, spelling) => {
      const one = codes[0] === codes[1];
      if (type === any && !(one && inDigits(spelling))) return "any";
      return one ? `${type}/${codes[0]}` : String(type);
    },
  );

const typePredicate = (any: number | undefined, value: IcmpType): Predicate =>
  value.type === any
    ? and()
    : and(
        is("type", value.type),
        value.codes === ALL_CODES ? and() : between("code", value.codes[0], value.codes[1]),
      );

const typeForm = (
  header: "icmp" | "icmpv6",
  any: number | undefined,
  given: Given<IcmpType> | undefined,
  context: NftContext,
): NftForm | null => {
  if (given === undefined) return withHeader(context);
  const { not, value } = given;
  const type = (negated: boolean): NftForm => compare(`${header} type`, negated, String(value.type));
  const code = (negated: boolean): NftForm => compare(`${header} code`, negated, String(value.codes[0]));
  const form =
    value.type === any
      ? not
        ? NEVER
        : ALWAYS
      : value.codes === ALL_CODES
        ? type(not)
        : not
          ? neither(type, code)
          : allOf(type(false), code(false));
  return allOf(withHeader(context), form);
};

/** Rejects options without a type. */
const needsType =
  (option: string) =>
  <V extends { readonly type?: unknown }>(values: V): V | Unreadable =>
    values.type === undefined ? new Unreadable(option) : values;

export const icmp = match({
  name: "icmp",
  family: 4,
  protocol: PROTO.icmp,
  protocols: [PROTO.icmp],
  normalize: needsType("--icmp-type"),
  options: { type: negatable("--icmp-type", icmpType(V4, 255)) },
  copy: () => "unchanged",
  nft: ({ type }, context) => typeForm("icmp", 255, type, context),
  predicate: ({ type }) =>
    and(is("fragment", 0), type === undefined ? and() : negate(type.not, typePredicate(255, type.value))),
});

export const icmp6 = match({
  name: "icmp6",
  aliases: ["icmpv6", "ipv6-icmp"],
  family: 6,
  protocol: PROTO.icmpv6,
  protocols: [PROTO.icmpv6],
  normalize: needsType("--icmpv6-type"),
  options: { type: negatable("--icmpv6-type", icmpType(V6, undefined)) },
  copy: () => "unchanged",
  nft: ({ type }, context) => typeForm("icmpv6", undefined, type, context),
  predicate: ({ type }) =>
    and(
      is("fragment", 0),
      type === undefined ? and() : negate(type.not, typePredicate(undefined, type.value)),
    ),
});
