/**
 * Counters of the kernel: connbytes, connlimit, quota, nfacct (net/netfilter/xt_connbytes.c, xt_connlimit.c, xt_quota.c,
 * xt_nfacct.c). No input contains their values.
 */
import { tracked } from "../../packet/connection.ts";
import { and, negate, opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { type Codec, match, negatable, option, Unreadable } from "../extension.ts";
import { bigNumber, MAX64, number, number64 } from "../number-codecs.ts";
import { flag, oneOf, text, word } from "../word-codecs.ts";
import { HEADLESS } from "./hotdrop.ts";

/** `from[:to]`; a range without an end is printed without one. */
const amount: Codec<readonly [bigint, bigint]> = word(
  "a number, or two as from:to",
  (text) => {
    const [a, b, more] = text.split(":");
    const from = a === "" ? 0n : bigNumber(a!, MAX64);
    // An end of `0` means no end (xt_connbytes).
    const to = b === undefined || b === "" ? MAX64 : bigNumber(b, MAX64);
    if (from === undefined || to === undefined || more !== undefined) return undefined;
    const end = to === 0n ? MAX64 : to;
    return from <= end ? ([from, end] as const) : undefined;
  },
  ([from, to]) => (to === MAX64 ? String(from) : `${from}:${to}`),
);

const whyBytes = "the traffic of a connection so far is not known";

export const connbytes = match({
  name: "connbytes",
  traits: { needsConntrack: true },
  opaque: whyBytes,
  options: {
    amount: negatable("--connbytes", amount),
    mode: option("--connbytes-mode", oneOf(["packets", "bytes", "avgpkt"])),
    dir: option("--connbytes-dir", oneOf(["original", "reply", "both"])),
  },
  normalize: (v) =>
    v.amount === undefined || v.mode === undefined || v.dir === undefined
      ? new Unreadable("--connbytes, --connbytes-mode and --connbytes-dir")
      : v,
  predicate: (v, _facts, site) =>
    and(tracked, negate(v.amount!.not, opaque(siteKey("connbytes", site), whyBytes))),
});

const whyLimit = "the number of connections is not known";

export const connlimit = match({
  name: "connlimit",
  traits: { needsConntrack: true },
  opaque: whyLimit,
  options: {
    upto: negatable("--connlimit-upto", number(0xffff_ffff)),
    above: negatable("--connlimit-above", number(0xffff_ffff)),
    mask: option("--connlimit-mask", number(128, "a prefix length")),
    source: option("--connlimit-saddr", flag),
    destination: option("--connlimit-daddr", flag),
  },
  normalize({ upto, above, mask, source, destination }, { family }) {
    if ((upto === undefined) === (above === undefined))
      return new Unreadable("exactly one of --connlimit-upto and --connlimit-above");
    const width = family === 4 ? 32 : 128;
    if (mask !== undefined && mask.value > width)
      return new Unreadable(`a --connlimit-mask of at most ${width}`);
    const { not, value } = (upto ?? above)!;
    const kept = { not: false, value };
    return {
      ...((above !== undefined) !== not ? { above: kept } : { upto: kept }),
      mask: mask ?? { not: false, value: width },
      ...(destination === undefined
        ? { source: source ?? { not: false, value: true as const } }
        : { destination }),
    };
  },
  predicate: (_values, _facts, site) => opaque(siteKey("connlimit", site), whyLimit),
  // nf_ct_get_tuplepr fails for these. Fragments do not get here, since the match enables connection tracking.
  hotdrop: (_values, { family }) => (family === 4 ? undefined : HEADLESS),
});

const whyQuota = "the number of bytes so far is not known";

export const quota = match({
  name: "quota",
  opaque: whyQuota,
  options: { quota: negatable("--quota", number64) },
  normalize: (v) => (v.quota === undefined ? new Unreadable("--quota") : v),
  predicate: (v, _facts, site) => negate(v.quota!.not, opaque(siteKey("quota", site), whyQuota)),
});

const whyAccount = "the quota of an accounting object and its use are not known";

export const nfacct = match({
  name: "nfacct",
  opaque: whyAccount,
  options: { name: option("--nfacct-name", text(31, "the name of an accounting object", 1)) },
  normalize: (v) => (v.name === undefined ? new Unreadable("--nfacct-name") : v),
  requires: ({ name }) => (name === undefined ? [] : [{ kind: "accounting object", name: name.value }]),
  predicate: (_values, _facts, site) => opaque(siteKey("nfacct", site), whyAccount),
});
