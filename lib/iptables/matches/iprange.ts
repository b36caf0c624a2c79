/** Ranges of addresses (net/netfilter/xt_iprange.c). */
import type { Address, Field } from "../../packet/field.ts";
import { and, between, NEVER, negate, type Predicate } from "../../packet/predicate.ts";
import { addressRange } from "../address-codecs.ts";
import { type Given, match, negatable, Unreadable } from "../extension.ts";
import { ALWAYS, addressesIn, allOf, headerOf } from "../nft-form.ts";

// A range with its end before its start is empty.
const inRange = (field: Field, given: Given<readonly [Address, Address]> | undefined): Predicate =>
  given === undefined
    ? and()
    : negate(
        given.not,
        given.value[0] <= given.value[1] ? between(field, given.value[0], given.value[1]) : NEVER,
      );

export const iprange = match({
  name: "iprange",
  options: { src: negatable("--src-range", addressRange), dst: negatable("--dst-range", addressRange) },
  normalize: (values) =>
    values.src === undefined && values.dst === undefined
      ? new Unreadable("--src-range or --dst-range")
      : values,
  independentOptions: true,
  copy: ({ src }) => (src === undefined ? "by-destination" : "unchanged"),
  nft: ({ src, dst }, context) =>
    allOf(
      src === undefined
        ? ALWAYS
        : addressesIn(`${headerOf(context)} saddr`, src.not, src.value, context.family),
      dst === undefined
        ? ALWAYS
        : addressesIn(`${headerOf(context)} daddr`, dst.not, dst.value, context.family),
    ),
  predicate: ({ src, dst }) => and(inRange("src", src), inRange("dst", dst)),
});
