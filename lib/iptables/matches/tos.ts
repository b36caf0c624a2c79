/** The TOS byte and its fields: tos, dscp, ecn (net/netfilter/xt_dscp.c, xt_ecn.c). */
import { PROTO, TCP_FLAGS } from "../../packet/field.ts";
import { and, bits, negate } from "../../packet/predicate.ts";
import { type Codec, match, negatable, Unreadable } from "../extension.ts";
import { ALWAYS, allOf, eachOf, headerOf, maskedIs, type NftForm, neither } from "../nft-form.ts";
import { fullyMasked, type Masked, number, printHex, readMasked } from "../number-codecs.ts";
import { flag, word } from "../word-codecs.ts";

/** Names of iptables for values of the byte, with the mask 0x3f. */
const SYMBOLS: ReadonlyMap<string, number> = new Map([
  ["minimize-delay", 0x10],
  ["maximize-throughput", 0x08],
  ["maximize-reliability", 0x04],
  ["minimize-cost", 0x02],
  ["normal-service", 0x00],
]);

/** `value/mask` or a symbolic name, of the match and the target. */
export const tosValue: Codec<Masked> = word(
  "a number from 0 to 255, value/mask, or a name like Minimize-Delay",
  (text) => {
    const symbol = SYMBOLS.get(text.toLowerCase());
    return symbol === undefined ? readMasked(text, 0xff) : { value: symbol, mask: 0x3f };
  },
  (value) => fullyMasked(0xff, 2).write(value, { family: 4, proto: undefined })[0]!,
);

/** A DiffServ code point, printed as two hexadecimal digits. */
export const codePoint: Codec<number> = word(
  "a number from 0 to 63",
  (text) => number(63).read([text], { family: 4, proto: undefined }),
  (n) => printHex(n, 2),
);

/** The name of a DiffServ class: BE, EF, CS0 to CS7, AF11 to AF43. */
export const codeClass: Codec<number> = word(
  "a DiffServ class: BE, EF, CS0 to CS7 or AF11 to AF43",
  (text) => {
    const name = text.toUpperCase();
    if (name === "BE") return 0;
    if (name === "EF") return 0x2e;
    const selector = /^CS([0-7])$/.exec(name);
    if (selector !== null) return Number(selector[1]) * 8;
    const assured = /^AF([1-4])([1-3])$/.exec(name);
    return assured === null ? undefined : Number(assured[1]) * 8 + Number(assured[2]) * 2;
  },
  (n) => printHex(n, 2),
);

export const tos = match({
  name: "tos",
  options: { tos: negatable("--tos", tosValue) },
  normalize: (values) => (values.tos === undefined ? new Unreadable("--tos") : values),
  copy: () => "unchanged",
  // nft has names for the two fields of the byte, and nft 1.0.6 prints masks of them in a form that it cannot read.
  nft({ tos: given }, context) {
    const { value, mask } = given!.value;
    const header = headerOf(context);
    const dscp = (not: boolean): NftForm =>
      eachOf(`${header} dscp`, not, 64, (each) => (each & (mask >> 2)) === value >> 2);
    const ecn = (not: boolean): NftForm =>
      eachOf(`${header} ecn`, not, 4, (each) => (each & mask) === (value & 3));
    return given!.not ? neither(dscp, ecn) : allOf(dscp(false), ecn(false));
  },
  predicate: ({ tos: given }) => negate(given!.not, bits("tos", given!.value.mask, given!.value.value)),
});

export const dscp = match({
  name: "dscp",
  options: { dscp: negatable("--dscp", codePoint), named: negatable("--dscp-class", codeClass) },
  normalize({ dscp: given, named }) {
    if ((given === undefined) === (named === undefined))
      return new Unreadable("exactly one of --dscp and --dscp-class");
    return { dscp: given ?? named! };
  },
  copy: () => "unchanged",
  nft: ({ dscp: given }, context) =>
    eachOf(`${headerOf(context)} dscp`, given!.not, 64, (each) => each === given!.value),
  predicate: ({ dscp: given }) => negate(given!.not, bits("tos", 0xfc, given!.value << 2)),
});

export const ecn = match({
  name: "ecn",
  options: {
    ece: negatable("--ecn-tcp-ece", flag),
    cwr: negatable("--ecn-tcp-cwr", flag),
    ect: negatable("--ecn-ip-ect", number(3)),
  },
  normalize(values, { proto }) {
    if (Object.keys(values).length === 0) return new Unreadable("at least one of its options");
    if ((values.ece !== undefined || values.cwr !== undefined) && proto !== PROTO.tcp)
      return new Unreadable("-p tcp for --ecn-tcp-ece and --ecn-tcp-cwr");
    return values;
  },
  nft({ ece, cwr, ect }, context) {
    const flag = (given: typeof ece, value: number): NftForm =>
      given === undefined ? ALWAYS : maskedIs("tcp flags", given.not, { value, mask: value }, 0xff);
    return allOf(
      ect === undefined
        ? ALWAYS
        : eachOf(`${headerOf(context)} ecn`, ect.not, 4, (each) => each === ect.value),
      flag(ece, TCP_FLAGS.ECE),
      flag(cwr, TCP_FLAGS.CWR),
    );
  },
  // match_tcp reads the flags of later fragments, too: the bytes at their place.
  predicate: ({ ece, cwr, ect }) =>
    and(
      ect === undefined ? and() : negate(ect.not, bits("tos", 3, ect.value)),
      ece === undefined ? and() : negate(ece.not, bits("flags", TCP_FLAGS.ECE, TCP_FLAGS.ECE)),
      cwr === undefined ? and() : negate(cwr.not, bits("flags", TCP_FLAGS.CWR, TCP_FLAGS.CWR)),
    ),
});
