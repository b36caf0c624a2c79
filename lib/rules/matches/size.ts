/** How long and how old: length, ttl, hl, tcpmss (net/netfilter/xt_length.c, xt_hl.c, xt_tcpmss.c). */
import { PROTO } from "../../packet/field.ts";
import { between, is, negate, opaque, type Predicate, within } from "../../packet/predicate.ts";
import { number, numberRange } from "../codecs.ts";
import { type Given, match, negatable, option, Unreadable } from "../extension.ts";
import { sharedKey } from "../facts.ts";

const range = numberRange(0xffff, "a number from 0 to 65535, or two as first:last");

export const length = match({
  name: "length",
  options: { length: negatable("--length", range) },
  normalize: (values) => (values.length === undefined ? new Unreadable("--length") : values),
  ask: ({ length: given }) => negate(given!.not, between("length", given!.value[0], given!.value[1])),
});

interface Hops {
  readonly eq?: Given<number>;
  readonly lt?: Given<number>;
  readonly gt?: Given<number>;
}

const one =
  (name: string) =>
  <V extends Hops>(values: V): V | Unreadable =>
    Object.keys(values).length === 1
      ? values
      : new Unreadable(`exactly one of --${name}-eq, --${name}-lt and --${name}-gt`);

function hops({ eq, lt, gt }: Hops): Predicate {
  if (eq !== undefined) return negate(eq.not, is("ttl", eq.value));
  if (lt !== undefined) return within("ttl", lt.value === 0 ? [] : [[0, lt.value - 1]]);
  return within("ttl", gt!.value === 255 ? [] : [[gt!.value + 1, 255]]);
}

export const ttl = match({
  name: "ttl",
  family: 4,
  options: {
    eq: negatable("--ttl-eq", number(255), "--ttl"),
    lt: option("--ttl-lt", number(255)),
    gt: option("--ttl-gt", number(255)),
  },
  normalize: one("ttl"),
  ask: hops,
});

export const hl = match({
  name: "hl",
  family: 6,
  options: {
    eq: negatable("--hl-eq", number(255), "--hl"),
    lt: option("--hl-lt", number(255)),
    gt: option("--hl-gt", number(255)),
  },
  normalize: one("hl"),
  ask: hops,
});

const why = "the maximum segment size is not part of the packet that is described";

export const tcpmss = match({
  name: "tcpmss",
  needs: [PROTO.tcp],
  opaque: why,
  options: { mss: negatable("--mss", range) },
  normalize: (values) => (values.mss === undefined ? new Unreadable("--mss") : values),
  ask: ({ mss }) => negate(mss!.not, opaque(sharedKey("tcpmss", mss!.value.join(":")), why)),
});
