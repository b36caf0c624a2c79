/**
 * Targets that write a mark: MARK, CONNMARK, HMARK, and the security marks (net/netfilter/xt_mark.c, xt_connmark.c,
 * xt_HMARK.c, xt_SECMARK.c, xt_CONNSECMARK.c).
 */

import { type Effect, NOTE, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import { type Given, option, target, Unreadable } from "../extension.ts";
import { fullyMasked, hexNumber, type Masked, number, positive, printHex } from "../number-codecs.ts";
import { flag, text, word } from "../word-codecs.ts";

const MAX = 0xffff_ffff;
const masked = fullyMasked(MAX);
const plain = number(MAX);
const given = (value: number, mask: number): Given<Masked> => ({
  not: false,
  value: { value: value >>> 0, mask: mask >>> 0 },
});

/** Options that clear and flip bits; iptables-save prints all as --set-xmark. */
const SETTERS = {
  xset: option("--set-xmark", masked),
  set: option("--set-mark", masked),
  and: option("--and-mark", plain),
  or: option("--or-mark", plain),
  xor: option("--xor-mark", plain),
};

interface Setters {
  readonly xset?: Given<Masked>;
  readonly set?: Given<Masked>;
  readonly and?: Given<number>;
  readonly or?: Given<number>;
  readonly xor?: Given<number>;
}

/** Returns the equivalent `--set-xmark`; `undefined` without a setter, `null` for several. */
function setter({ xset, set, and, or, xor }: Setters): Given<Masked> | undefined | null {
  if ([xset, set, and, or, xor].filter((g) => g !== undefined).length > 1) return null;
  if (set !== undefined) return given(set.value.value, set.value.value | set.value.mask);
  if (and !== undefined) return given(0, ~and.value);
  if (or !== undefined) return given(or.value, or.value);
  if (xor !== undefined) return given(xor.value, 0);
  return xset;
}

/** Prints `target = (source & kept) ^ flipped`. */
function assignment(target: string, source: string, kept: number, flipped: number): string {
  if (kept === 0) return `${target} set ${printHex(flipped)}`;
  const mask = kept === MAX ? "" : ` & ${printHex(kept)}`;
  const flip = flipped === 0 ? "" : ` ^ ${printHex(flipped)}`;
  return `${target} set ${source}${mask}${flip}`;
}

/** Prints a change of some bits of a mark. */
const change = (target: string, { value: { value, mask } }: Given<Masked>): string =>
  assignment(target, target, ~mask >>> 0, value);

const ONE = "exactly one of --set-xmark, --set-mark, --and-mark, --or-mark and --xor-mark";

export const markTarget = target({
  name: "MARK",
  options: SETTERS,
  normalize(values) {
    const xset = setter(values);
    return xset === undefined || xset === null ? new Unreadable(ONE) : { xset };
  },
  nft: ({ xset }) => change("meta mark", xset!),
  effect: ({ xset }): Effect => ({
    kind: "assign",
    field: "mark",
    change: { kind: "bits", clear: xset!.value.mask, xor: xset!.value.value },
  }),
});

const shift = number(31);

export const connmarkTarget = target({
  name: "CONNMARK",
  traits: { needsConntrack: true },
  except: "--left-shift-mark and --right-shift-mark: shifts are not modelled",
  options: {
    ...SETTERS,
    save: option("--save-mark", flag),
    restore: option("--restore-mark", flag),
    nfmask: option("--nfmask", hexNumber(MAX)),
    ctmask: option("--ctmask", hexNumber(MAX)),
    mask: option("--mask", hexNumber(MAX)),
    left: option("--left-shift-mark", shift),
    right: option("--right-shift-mark", shift),
  },
  normalize(v) {
    const xset = setter(v);
    if (xset === null || [xset, v.save, v.restore].filter((g) => g !== undefined).length !== 1)
      return new Unreadable(
        "exactly one of --set-xmark, --set-mark, --save-mark, --restore-mark and the like",
      );
    const shifts = {
      ...(v.left === undefined ? {} : { left: v.left }),
      ...(v.right === undefined ? {} : { right: v.right }),
    };
    const masks = v.nfmask !== undefined || v.ctmask !== undefined;
    if (xset !== undefined)
      return masks || v.mask !== undefined
        ? new Unreadable("--save-mark or --restore-mark for a mask")
        : { xset, ...shifts };
    if (masks && v.mask !== undefined) return new Unreadable("either --mask or --nfmask and --ctmask");
    const whole = { not: false, value: v.mask?.value ?? MAX };
    return {
      ...(v.save === undefined ? {} : { save: v.save }),
      ...(v.restore === undefined ? {} : { restore: v.restore }),
      nfmask: v.nfmask ?? whole,
      ctmask: v.ctmask ?? whole,
      ...shifts,
    };
  },
  nftExcept: "shifts, and --save-mark and --restore-mark that keep bits of the other mark",
  nft({ xset, save, nfmask, ctmask, left, right }) {
    if (left !== undefined || right !== undefined) return null;
    if (xset !== undefined) return change("ct mark", xset);
    const [nf, ct] = [nfmask!.value, ctmask!.value];
    // The bits of one mark are copied, and the same or other bits of the other mark are cleared before.
    if (save !== undefined) return ct === MAX ? assignment("ct mark", "meta mark", nf, 0) : null;
    return nf === MAX ? assignment("meta mark", "ct mark", ct, 0) : null;
  },
  effect({ xset, save, nfmask, ctmask, left, right }, _facts, site): Effect {
    if (left !== undefined || right !== undefined)
      return unknownEffect(siteKey("CONNMARK", site), "the mark is shifted");
    if (xset !== undefined)
      return {
        kind: "assign",
        field: "ctmark",
        change: { kind: "bits", clear: xset.value.mask, xor: xset.value.value },
      };
    const [nf, ct] = [nfmask!.value, ctmask!.value];
    return save !== undefined
      ? { kind: "assign", field: "ctmark", change: { kind: "copy", from: "mark", mask: nf, clear: ct } }
      : { kind: "assign", field: "mark", change: { kind: "copy", from: "ctmark", mask: ct, clear: nf } };
  },
});

const TUPLE = ["src", "dst", "sport", "dport", "spi", "proto", "ct"] as const;

const tuple = word<readonly string[]>(
  `one or more of ${TUPLE.join(", ")}, separated by commas`,
  (text) => {
    const list = text.split(",");
    return list.every((item) => (TUPLE as readonly string[]).includes(item)) ? list : undefined;
  },
  (list) => list.join(","),
);

const whyHash = "the mark is a hash that is not computed";

export const hmark = target({
  name: "HMARK",
  opaque: whyHash,
  options: {
    src: option("--hmark-src-prefix", number(128, "a prefix length")),
    dst: option("--hmark-dst-prefix", number(128, "a prefix length")),
    sport: option("--hmark-sport-mask", hexNumber(0xffff, 4)),
    dport: option("--hmark-dport-mask", hexNumber(0xffff, 4)),
    spi: option("--hmark-spi-mask", hexNumber(MAX, 8)),
    proto: option("--hmark-proto-mask", hexNumber(0xffff, 2)),
    rnd: option("--hmark-rnd", hexNumber(MAX, 8)),
    mod: option("--hmark-mod", positive(MAX)),
    offset: option("--hmark-offset", number(MAX)),
    tuple: option("--hmark-tuple", tuple),
  },
  normalize({ tuple: by, ...masks }, { family }) {
    if (masks.mod === undefined) return new Unreadable("--hmark-mod");
    const items = by?.value ?? [];
    if (by === undefined && Object.keys(masks).every((key) => ["mod", "rnd", "offset"].includes(key)))
      return new Unreadable("--hmark-tuple, or what to hash");
    const full = <T>(item: string, before: Given<T> | undefined, value: T) =>
      items.includes(item) ? { not: false, value } : before;
    const width = family === 4 ? 32 : 128;
    const all = {
      src: full("src", masks.src, width),
      dst: full("dst", masks.dst, width),
      sport: full("sport", masks.sport, 0xffff),
      dport: full("dport", masks.dport, 0xffff),
      spi: full("spi", masks.spi, MAX),
      proto: full("proto", masks.proto, 0xffff),
      rnd: masks.rnd,
      mod: masks.mod,
      offset: masks.offset,
      tuple: items.includes("ct") ? { not: false, value: ["ct"] } : undefined,
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as typeof masks;
  },
  effect: (_values, _facts, site) => unknownEffect(siteKey("HMARK", site), whyHash),
});

export const secmark = target({
  name: "SECMARK",
  sideEffect: "sets a security label",
  tables: ["mangle", "security"],
  options: { context: option("--selctx", text(255, "a security context", 1)) },
  normalize: (v) => (v.context === undefined ? new Unreadable("--selctx") : v),
  effect: () => NOTE,
});

export const connsecmark = target({
  name: "CONNSECMARK",
  traits: { needsConntrack: true },
  sideEffect: "keeps the security label with the connection",
  tables: ["mangle", "security"],
  options: { save: option("--save", flag), restore: option("--restore", flag) },
  normalize: (v) =>
    (v.save === undefined) === (v.restore === undefined)
      ? new Unreadable("exactly one of --save and --restore")
      : v,
  effect: () => NOTE,
});
