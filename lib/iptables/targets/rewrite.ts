/**
 * Targets that rewrite the header: TOS, DSCP, ECN, TTL, HL, TCPMSS, TCPOPTSTRIP, SNPT, DNPT
 * (net/netfilter/xt_DSCP.c, xt_HL.c, xt_TCPMSS.c, xt_TCPOPTSTRIP.c, net/ipv4/netfilter/ipt_ECN.c,
 * net/ipv6/netfilter/ip6t_NPT.c).
 */
import { type Family, PROTO, TCP_FLAGS } from "../../packet/field.ts";
import { type Change, type Effect, NOTE, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import { prefix } from "../address-codecs.ts";
import { type Codec, type Given, option, type TargetExtension, target, Unreadable } from "../extension.ts";
import { codeClass, codePoint, tosValue } from "../matches/tos.ts";
import { type Masked, number, wholeNumber } from "../number-codecs.ts";
import { flag, word } from "../word-codecs.ts";

const assign = (field: "tos" | "ttl" | "flags", change: Change): Effect => ({
  kind: "assign",
  field,
  change,
});
const given = (value: number, mask: number): Given<Masked> => ({
  not: false,
  value: { value, mask: mask & 0xff },
});
const bits = number(0xff);

export const tosTarget = target({
  name: "TOS",
  tables: ["mangle"],
  options: {
    set: option("--set-tos", tosValue),
    and: option("--and-tos", bits),
    or: option("--or-tos", bits),
    xor: option("--xor-tos", bits),
  },
  normalize({ set, and, or, xor }) {
    const all = [
      set,
      and === undefined ? undefined : given(0, ~and.value),
      or === undefined ? undefined : given(or.value, or.value),
      xor === undefined ? undefined : given(xor.value, 0),
    ].filter((g) => g !== undefined);
    return all.length === 1
      ? { set: all[0]! }
      : new Unreadable("exactly one of --set-tos, --and-tos, --or-tos and --xor-tos");
  },
  effect: ({ set }) => assign("tos", { kind: "bits", clear: set!.value.mask, xor: set!.value.value }),
});

export const dscpTarget = target({
  name: "DSCP",
  tables: ["mangle"],
  options: { set: option("--set-dscp", codePoint), named: option("--set-dscp-class", codeClass) },
  normalize: ({ set, named }) =>
    (set === undefined) === (named === undefined)
      ? new Unreadable("exactly one of --set-dscp and --set-dscp-class")
      : { set: (set ?? named)! },
  effect: ({ set }) => assign("tos", { kind: "bits", clear: 0xfc, xor: set!.value << 2 }),
});

export const ecnTarget = target({
  name: "ECN",
  family: 4,
  tables: ["mangle"],
  protocols: [PROTO.tcp],
  options: { remove: option("--ecn-tcp-remove", flag) },
  normalize: (v) => (v.remove === undefined ? new Unreadable("--ecn-tcp-remove") : v),
  effect: () => assign("flags", { kind: "bits", clear: TCP_FLAGS.ECE | TCP_FLAGS.CWR, xor: 0 }),
});

interface HopsChange {
  readonly set?: Given<number>;
  readonly dec?: Given<number>;
  readonly inc?: Given<number>;
}

function hops({ set, dec, inc }: HopsChange): Effect {
  if (set !== undefined) return assign("ttl", { kind: "bits", clear: 0xff, xor: set.value });
  return assign("ttl", { kind: "add", by: inc === undefined ? -dec!.value : inc.value });
}

const hopTarget = (name: "ttl" | "hl", family: Family): TargetExtension =>
  target({
    name: name.toUpperCase(),
    family,
    tables: ["mangle"],
    options: {
      set: option(`--${name}-set`, bits),
      dec: option(`--${name}-dec`, bits),
      inc: option(`--${name}-inc`, bits),
    },
    normalize(values) {
      if (Object.keys(values).length !== 1)
        return new Unreadable(`exactly one of --${name}-set, --${name}-dec and --${name}-inc`);
      return (values.dec ?? values.inc)?.value === 0 ? new Unreadable("a change of at least 1") : values;
    },
    effect: hops,
  });

export const ttlTarget = hopTarget("ttl", 4);
export const hlTarget = hopTarget("hl", 6);

export const tcpmssTarget = target({
  name: "TCPMSS",
  traits: { rewritesTcpOptions: true, lengthens: true },
  sideEffect: "changes the maximum segment size of the TCP handshake",
  protocols: [PROTO.tcp],
  options: { set: option("--set-mss", number(0xffff)), clamp: option("--clamp-mss-to-pmtu", flag) },
  normalize: (v) =>
    (v.set === undefined) === (v.clamp === undefined)
      ? new Unreadable("exactly one of --set-mss and --clamp-mss-to-pmtu")
      : v,
  effect: () => NOTE,
});

const TCP_OPTIONS: ReadonlyMap<string, number> = new Map([
  ["wscale", 3],
  ["mss", 2],
  ["sack-permitted", 4],
  ["sack", 5],
  ["timestamp", 8],
  ["md5", 19],
]);

/** Numbers of TCP options, stored as a bitmap and so printed in order. */
const tcpOptions: Codec<readonly number[]> = word(
  `TCP options, 2 to 255 or one of ${[...TCP_OPTIONS.keys()].join(", ")}, separated by commas`,
  (text) => {
    const list = text.split(",").map((part) => TCP_OPTIONS.get(part) ?? wholeNumber(part, 255));
    if (list.some((n) => n === undefined || n < 2)) return undefined;
    return [...new Set(list as number[])].sort((a, b) => a - b);
  },
  (list) => list.join(","),
);

export const tcpoptstrip = target({
  name: "TCPOPTSTRIP",
  traits: { rewritesTcpOptions: true },
  sideEffect: "removes TCP options",
  tables: ["mangle"],
  protocols: [PROTO.tcp],
  options: { strip: option("--strip-options", tcpOptions) },
  effect: () => NOTE,
});

const whyPrefix = "the checksum-neutral change of the address is not computed";
const npt = (name: "SNPT" | "DNPT") =>
  target({
    name,
    family: 6,
    tables: ["mangle"],
    opaque: whyPrefix,
    options: { from: option("--src-pfx", prefix), to: option("--dst-pfx", prefix) },
    normalize: (v) =>
      v.from === undefined || v.to === undefined ? new Unreadable("--src-pfx and --dst-pfx") : v,
    effect: (_values, _facts, site) => unknownEffect(siteKey(name, site), whyPrefix),
  });

export const snpt = npt("SNPT");
export const dnpt = npt("DNPT");
