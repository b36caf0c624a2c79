/** IPsec: esp, ah, ipcomp and policy (net/netfilter/xt_esp.c, ipt_ah.c, xt_ipcomp.c, xt_policy.c). */
import { PROTO } from "../../packet/field.ts";
import { and, between, is, negate, opaque, type Predicate } from "../../packet/predicate.ts";
import { sharedKey, siteKey } from "../../rules/facts.ts";
import { shortPrefix } from "../address-codecs.ts";
import {
  type Given,
  type GivenOption,
  match,
  negatable,
  option,
  Unreadable,
  type Written,
  written,
} from "../extension.ts";
import { ALWAYS, allOf, among, type NftContext, type NftForm, withHeader } from "../nft-form.ts";
import { hexNumber, number, numberRange } from "../number-codecs.ts";
import { flag, oneOf } from "../word-codecs.ts";

const MAX = 0xffff_ffff;
type Spis = readonly [number, number];
const spis = numberRange(MAX, "an SPI, or two as first:last");
const all: Spis = [0, MAX];

const spi = (given: Given<Spis> | undefined): Predicate =>
  and(
    is("fragment", 0),
    given === undefined ? and() : negate(given.not, between("spi", given.value[0], given.value[1])),
  );

const spiForm = (left: string, given: Given<Spis> | undefined, context: NftContext): NftForm | null =>
  allOf(withHeader(context), given === undefined ? ALWAYS : among(left, given.not, [given.value], all));

export const esp = match({
  name: "esp",
  protocol: PROTO.esp,
  protocols: [PROTO.esp],
  options: { spi: { ...negatable("--espspi", spis), silent: all } },
  nft: ({ spi: given }, context) => spiForm("esp spi", given, context),
  predicate: ({ spi: given }) => spi(given),
});

export const ah4 = match({
  name: "ah",
  family: 4,
  protocol: PROTO.ah,
  protocols: [PROTO.ah],
  options: { spi: { ...negatable("--ahspi", spis), silent: all } },
  nft: ({ spi: given }, context) => spiForm("ah spi", given, context),
  predicate: ({ spi: given }) => spi(given),
});

const whyAh = "IPv6 extension headers are not modelled";

export const ah6 = match({
  name: "ah",
  family: 6,
  protocol: PROTO.ah,
  opaque: whyAh,
  options: {
    spi: { ...negatable("--ahspi", spis), silent: all },
    length: { ...negatable("--ahlen", number(MAX)), silent: 0 },
    reserved: option("--ahres", flag),
  },
  predicate: (v) =>
    opaque(
      sharedKey("ah", JSON.stringify([v.spi ?? null, v.length ?? null, v.reserved === undefined])),
      whyAh,
    ),
});

export const ipcomp = match({
  name: "ipcomp",
  protocol: 108,
  protocols: [108],
  options: { spi: negatable("--ipcompspi", spis), reserved: option("--compres", flag) },
  // The default of --ipcompspi is SPI 0; the kernel compares nothing else.
  normalize: (values) => ({ ...values, spi: values.spi ?? { not: false, value: [0, 0] as const } }),
  predicate: ({ spi: given }) => spi(given),
});

/** One `--reqid ... --tunnel-src` group of a policy, between `--next`s. */
type PolicyElement = readonly GivenOption[];

const ELEMENT = {
  reqid: negatable("--reqid", number(MAX)),
  spi: negatable("--spi", hexNumber(MAX)),
  proto: negatable("--proto", oneOf(["ah", "esp", "ipcomp", "ipip"])),
  mode: negatable("--mode", oneOf(["tunnel", "transport"])),
  tunnelDst: negatable("--tunnel-dst", shortPrefix),
  tunnelSrc: negatable("--tunnel-src", shortPrefix),
};

export const policy = match({
  name: "policy",
  opaque: "the IPsec policies of the host are not known",
  options: {
    dir: option("--dir", oneOf(["in", "out"])),
    pol: option("--pol", oneOf(["none", "ipsec"])),
    strict: option("--strict", flag),
    ...ELEMENT,
    next: option("--next", flag),
    elements: option<readonly PolicyElement[]>("", {
      words: 0,
      expects: "",
      read: () => [],
      write: () => [],
    }),
  },
  gather(given) {
    const elements: GivenOption[][] = [[]];
    const rest = new Map<string, GivenOption>();
    for (const each of given) {
      if (each.key === "next") elements.push([]);
      else if (Object.hasOwn(ELEMENT, each.key)) {
        if (elements.at(-1)!.some((e) => e.key === each.key))
          return new Unreadable("--next before an option is given again");
        elements.at(-1)!.push(each);
      } else rest.set(each.key, each);
    }
    if (!rest.has("dir")) return new Unreadable("--dir in or --dir out");
    if (!rest.has("pol")) return new Unreadable("--pol none or --pol ipsec");
    return { ...Object.fromEntries(rest), elements: { not: false, value: elements } };
  },
  print(v, spelling) {
    const out: Written[] = [written("--dir", v.dir!.value), written("--pol", v.pol!.value)];
    if (v.strict !== undefined) out.push(written("--strict"));
    v.elements!.value.forEach((element, i) => {
      if (i > 0) out.push(written("--next"));
      for (const [key, spec] of Object.entries(ELEMENT))
        for (const given of element)
          if (given.key === key)
            out.push({
              not: given.not,
              name: spec.name,
              words: spec.codec.write(given.value as never, spelling),
            });
    });
    return out;
  },
  predicate: (_values, _facts, site) =>
    opaque(siteKey("policy", site), "the IPsec policies of the host are not known"),
});
