/**
 * IPv6 extension headers: frag, hbh, dst, rt, ipv6header, mh, srh (net/ipv6/netfilter/ip6t_*.c). fwcheck does not model
 * them, so each match is an unknown, shared by all rules with the same options.
 */

import type { Address } from "../../packet/field.ts";
import { and, is, opaque, type Predicate } from "../../packet/predicate.ts";
import { protocolNumber } from "../../packet/system-names.ts";
import { sharedKey } from "../../rules/facts.ts";
import { address, looseAddress } from "../address-codecs.ts";
import { type Codec, match, negatable, option, Unreadable } from "../extension.ts";
import { number, numberRange, wholeNumber } from "../number-codecs.ts";
import { flag, protocolDigits, word } from "../word-codecs.ts";
import { MISHEADED } from "./hotdrop.ts";

const why = "IPv6 extension headers are not modelled";
const MAX = 0xffff_ffff;

/**
 * Returns the unknown that all rules with the same options and values share.
 * @param rare packets without the header never match, not even negated options (ip6t_rt.c and others)
 */
function unknown(name: string, values: object, rare = false): Predicate {
  const text = JSON.stringify(values, (_key, value: unknown) =>
    typeof value === "bigint" ? value.toString() : value,
  );
  return opaque(sharedKey(name, text), why, rare);
}

const numbers = numberRange(MAX, "a number, or two as first:last");
const all: readonly [number, number] = [0, MAX];

export const frag = match({
  name: "frag",
  family: 6,
  opaque: why,
  options: {
    id: { ...negatable("--fragid", numbers), silent: all },
    length: negatable("--fraglen", number(MAX)),
    reserved: option("--fragres", flag),
    first: option("--fragfirst", flag),
    more: option("--fragmore", flag),
    last: option("--fraglast", flag),
  },
  normalize: (values) =>
    values.more !== undefined && values.last !== undefined
      ? new Unreadable("either --fragmore or --fraglast")
      : values,
  copy: () => "unchanged",
  predicate: (values) => unknown("frag", values, true),
});

/** `type[:length],...` of hbh and dst. */
const headerOptions: Codec<string> = word(
  "up to 16 option types as type or type:length, separated by commas",
  (text) => {
    const list = text.split(",");
    const fine = list.every((part) => {
      const [type, length, more] = part.split(":");
      return (
        wholeNumber(type!, 255) !== undefined &&
        (length === undefined || wholeNumber(length, 255) !== undefined) &&
        more === undefined
      );
    });
    return fine && list.length <= 16
      ? list
          .map((part) =>
            part
              .split(":")
              .map((n) => wholeNumber(n, 255))
              .join(":"),
          )
          .join(",")
      : undefined;
  },
  (text) => text,
);

export const hbh = match({
  name: "hbh",
  family: 6,
  opaque: why,
  options: { length: negatable("--hbh-len", number(MAX)), opts: option("--hbh-opts", headerOptions) },
  copy: () => "unchanged",
  predicate: (values) => unknown("hbh", values, true),
});

export const dst = match({
  name: "dst",
  family: 6,
  opaque: why,
  options: { length: negatable("--dst-len", number(MAX)), opts: option("--dst-opts", headerOptions) },
  copy: () => "unchanged",
  predicate: (values) => unknown("dst", values, true),
});

/** Addresses of a type 0 routing header. */
const hopList: Codec<readonly Address[]> = word(
  "up to 16 addresses, separated by commas",
  (text, spelling) => {
    const list = text.split(",").map((part) => address.read([part], spelling));
    return list.length > 16 || list.some((a) => a instanceof Unreadable) ? undefined : (list as Address[]);
  },
  (list, spelling) => list.flatMap((a) => address.write(a, spelling)).join(","),
);

export const rt = match({
  name: "rt",
  family: 6,
  opaque: why,
  options: {
    type: negatable("--rt-type", number(MAX)),
    segments: { ...negatable("--rt-segsleft", numbers), silent: all },
    length: negatable("--rt-len", number(MAX)),
    reserved: option("--rt-0-res", flag),
    addresses: option("--rt-0-addrs", hopList),
    loose: option("--rt-0-not-strict", flag),
  },
  normalize: (values) =>
    (values.reserved ?? values.addresses ?? values.loose) !== undefined &&
    (values.type === undefined || values.type.not || values.type.value !== 0)
      ? new Unreadable("--rt-type 0 for its --rt-0 options")
      : values,
  copy: () => "unchanged",
  predicate: (values) => unknown("rt", values, true),
});

/** Headers in the order of their bits: the name that iptables-save prints, number, aliases. */
const HEADERS: readonly (readonly [name: string, number: number, ...more: string[]])[] = [
  ["hop-by-hop", 0, "hop"],
  ["ipv6-opts", 60, "dst"],
  ["ipv6-route", 43, "route"],
  ["ipv6-frag", 44, "frag"],
  ["ah", 51, "auth"],
  ["esp", 50],
  ["ipv6-nonxt", 59, "none"],
  ["protocol", 255, "prot"],
];

const headers: Codec<readonly string[]> = word(
  `one or more of ${HEADERS.map((h) => h[0]).join(", ")}, separated by commas`,
  (text) => {
    const given = text.split(",").map((part) => {
      const n = wholeNumber(part, 255) ?? protocolNumber(part);
      return HEADERS.find(([name, number, ...more]) => name === part || more.includes(part) || number === n);
    });
    return given.includes(undefined) ? undefined : HEADERS.filter((h) => given.includes(h)).map((h) => h[0]);
  },
  (list) => list.join(","),
);

export const ipv6header = match({
  name: "ipv6header",
  family: 6,
  opaque: why,
  options: { headers: negatable("--header", headers), soft: option("--soft", flag) },
  normalize: (values) => (values.headers === undefined ? new Unreadable("--header") : values),
  copy: () => "unchanged",
  predicate: (values) => unknown("ipv6header", values),
});

/** Types of the mobility header by name (RFC 6275). */
const MOBILITY: ReadonlyMap<string, number> = new Map([
  ["binding-refresh-request", 0],
  ["brr", 0],
  ["home-test-init", 1],
  ["hoti", 1],
  ["careof-test-init", 2],
  ["coti", 2],
  ["home-test", 3],
  ["hot", 3],
  ["careof-test", 4],
  ["cot", 4],
  ["binding-update", 5],
  ["bu", 5],
  ["binding-acknowledgement", 6],
  ["ba", 6],
  ["binding-error", 7],
  ["be", 7],
]);

const mobilityType = (text: string): number | undefined =>
  wholeNumber(text, 255) ?? MOBILITY.get(text.toLowerCase());

const mobilityTypes: Codec<readonly [number, number]> = word(
  "a type of the mobility header, by number or name, or two as first:last",
  (text) => {
    const [a, b, more] = text.split(":");
    const first = a === "" && b !== undefined ? 0 : mobilityType(a!);
    const last = b === undefined ? first : b === "" ? 255 : mobilityType(b);
    if (first === undefined || last === undefined || more !== undefined || first > last) return undefined;
    return [first, last];
  },
  ([first, last]) => (first === last ? String(first) : `${first}:${last}`),
);

export const mh = match({
  name: "mh",
  aliases: ["ipv6-mh", "mobility-header"],
  family: 6,
  protocol: 135,
  protocols: [135],
  opaque: "the type of a mobility header is not modelled",
  options: { type: { ...negatable("--mh-type", mobilityTypes), silent: [0, 255] as const } },
  copy: () => "unchanged",
  predicate: (values) => and(is("fragment", 0), values.type === undefined ? and() : unknown("mh", values)),
  hotdrop: () => MISHEADED,
});

export const srh = match({
  name: "srh",
  family: 6,
  opaque: why,
  options: {
    next: negatable("--srh-next-hdr", protocolDigits),
    lengthEq: negatable("--srh-hdr-len-eq", number(255)),
    lengthGt: negatable("--srh-hdr-len-gt", number(255)),
    lengthLt: negatable("--srh-hdr-len-lt", number(255)),
    leftEq: negatable("--srh-segs-left-eq", number(255)),
    leftGt: negatable("--srh-segs-left-gt", number(255)),
    leftLt: negatable("--srh-segs-left-lt", number(255)),
    lastEq: negatable("--srh-last-entry-eq", number(255)),
    lastGt: negatable("--srh-last-entry-gt", number(255)),
    lastLt: negatable("--srh-last-entry-lt", number(255)),
    tag: negatable("--srh-tag", number(0xffff)),
    psid: negatable("--srh-psid", looseAddress),
    nsid: negatable("--srh-nsid", looseAddress),
    lsid: negatable("--srh-lsid", looseAddress),
  },
  copy: () => "unchanged",
  predicate: (values) => unknown("srh", values, true),
});
