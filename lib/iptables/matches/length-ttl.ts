/** Length and lifetime: length, ttl, hl, tcpmss (net/netfilter/xt_length.c, xt_hl.c, xt_tcpmss.c). */
import { type Family, PROTO, TCP_FLAGS } from "../../packet/field.ts";
import {
  and,
  between,
  bits,
  is,
  negate,
  not,
  opaque,
  or,
  type Predicate,
  within,
} from "../../packet/predicate.ts";
import { type Site, sharedKey, siteKey } from "../../rules/facts.ts";
import { type Given, type MatchExtension, match, negatable, option, Unreadable } from "../extension.ts";
import { among, type NftContext, type NftForm } from "../nft-form.ts";
import { number, numberRange } from "../number-codecs.ts";
import { GARBLED } from "./hotdrop.ts";

const range = numberRange(0xffff, "a number from 0 to 65535, or two as first:last");

/** Bytes that the kernel adds to a SYN without a maximum segment size (tcpmss_mangle_packet). */
const OPTION = 4;
const OPENS = and(is("proto", PROTO.tcp), bits("flags", TCP_FLAGS.SYN, TCP_FLAGS.SYN));

/** Packets with a length in a range, before or after TCPMSS made them longer. */
const longer = (lo: number, hi: number, site: Site): Predicate =>
  or(
    hi - OPTION < lo ? or() : between("length", lo, hi - OPTION),
    and(
      between("length", Math.max(0, lo - OPTION), hi),
      opaque(siteKey("length", site), "whether TCPMSS made the packet longer is not known"),
    ),
  );

export const length = match({
  name: "length",
  except: "of a SYN if a rule sets its maximum segment size, which may make it longer",
  options: { length: negatable("--length", range) },
  normalize: (values) => (values.length === undefined ? new Unreadable("--length") : values),
  copy: () => "unchanged",
  nft: ({ length: given }) => among("meta length", given!.not, [given!.value], [0, 0xffff]),
  predicate({ length: given }, facts, site) {
    const [lo, hi] = given!.value;
    const inside = between("length", lo, hi);
    return negate(
      given!.not,
      facts.lengthens ? or(and(OPENS, longer(lo, hi, site)), and(not(OPENS), inside)) : inside,
    );
  },
});

interface HopsTest {
  readonly eq?: Given<number>;
  readonly lt?: Given<number>;
  readonly gt?: Given<number>;
}

function hops({ eq, lt, gt }: HopsTest): Predicate {
  if (eq !== undefined) return negate(eq.not, is("ttl", eq.value));
  if (lt !== undefined) return within("ttl", lt.value === 0 ? [] : [[0, lt.value - 1]]);
  return within("ttl", gt!.value === 255 ? [] : [[gt!.value + 1, 255]]);
}

function hopsForm({ eq, lt, gt }: HopsTest, context: NftContext): NftForm {
  const left = context.family === 4 ? "ip ttl" : "ip6 hoplimit";
  const range = (lo: number, hi: number, not = false): NftForm => among(left, not, [[lo, hi]], [0, 255]);
  if (eq !== undefined) return range(eq.value, eq.value, eq.not);
  return lt !== undefined ? range(0, lt.value - 1) : range(gt!.value + 1, 255);
}

const hopMatch = (name: "ttl" | "hl", family: Family): MatchExtension =>
  match({
    name,
    family,
    options: {
      eq: negatable(`--${name}-eq`, number(255), `--${name}`),
      lt: option(`--${name}-lt`, number(255)),
      gt: option(`--${name}-gt`, number(255)),
    },
    normalize: (values) =>
      Object.keys(values).length === 1
        ? values
        : new Unreadable(`exactly one of --${name}-eq, --${name}-lt and --${name}-gt`),
    nft: hopsForm,
    predicate: hops,
  });

export const ttl = hopMatch("ttl", 4);
export const hl = hopMatch("hl", 6);

const why = "the maximum segment size is not modelled";

export const tcpmss = match({
  name: "tcpmss",
  protocols: [PROTO.tcp],
  opaque: why,
  options: { mss: negatable("--mss", range) },
  normalize: (values) => (values.mss === undefined ? new Unreadable("--mss") : values),
  copy: () => "unchanged",
  predicate: ({ mss }, { rewritesOptions }, site) =>
    negate(
      mss!.not,
      opaque(rewritesOptions ? siteKey("tcpmss", site) : sharedKey("tcpmss", mss!.value.join(":")), why),
    ),
  hotdrop: (_values, { family }) => (family === 4 ? GARBLED : undefined),
});
