/** Groups of interfaces and routing realms (net/netfilter/xt_devgroup.c, xt_realm.c). */
import { and, negate, opaque, type Predicate } from "../../packet/predicate.ts";
import { sharedKey, siteKey } from "../../rules/facts.ts";
import { inGroup } from "../../rules/link-layer.ts";
import { type Codec, type Given, inDigits, match, negatable, Unreadable } from "../extension.ts";
import { type Masked, printHex, readMasked } from "../number-codecs.ts";
import { word } from "../word-codecs.ts";

const MAX = 0xffff_ffff;

/** A number with an optional mask. iproute2 has a name for 0 in files that moved in Debian 13. */
const numbered = (what: string, zero: string): Codec<Masked> =>
  word(
    what,
    (text) => (text === zero ? { value: 0, mask: MAX } : readMasked(text, MAX)),
    ({ value, mask }, spelling) => {
      if (mask !== MAX) return `${printHex(value)}/${printHex(mask)}`;
      return value === 0 && !inDigits(spelling) ? zero : printHex(value);
    },
  );

const why = "the groups of interfaces are not known";
const group = numbered("an interface group, by number, value/mask, or default", "default");

export const devgroup = match({
  name: "devgroup",
  except: "interfaces without a numeric group in `ip -j addr`",
  options: { src: negatable("--src-group", group), dst: negatable("--dst-group", group) },
  normalize: (values) =>
    values.src === undefined && values.dst === undefined
      ? new Unreadable("--src-group or --dst-group")
      : values,
  predicate({ src, dst }, facts, site) {
    const groupPredicate = (
      field: "in" | "out",
      given: Given<Masked> | undefined,
      key: string,
    ): Predicate => {
      if (given === undefined) return and();
      const { value, mask } = given.value;
      const holds = (known: number): boolean => ((known ^ value) & mask) === 0;
      return negate(given.not, inGroup(field, holds, facts, opaque(key, why)));
    };
    // The input interface never changes; the output interface is known only after routing.
    const text = ({ value, mask }: Masked): string => `${value}/${mask}`;
    return and(
      groupPredicate("in", src, src === undefined ? "" : sharedKey("devgroup", text(src.value))),
      groupPredicate("out", dst, siteKey("devgroup", site)),
    );
  },
});

export const realm = match({
  name: "realm",
  family: 4,
  opaque: "routing realms are not known",
  options: { realm: negatable("--realm", numbered("a routing realm, by number or value/mask", "cosmos")) },
  normalize: (values) => (values.realm === undefined ? new Unreadable("--realm") : values),
  predicate: ({ realm: given }, _facts, site) =>
    negate(given!.not, opaque(siteKey("realm", site), "routing realms are not known")),
});
