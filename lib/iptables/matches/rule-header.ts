/** Conditions of a rule without `-m`: protocol, addresses, interfaces, fragments (iptables(8), PARAMETERS). */
import {
  addressBits,
  addressFamily,
  maskBits,
  type Prefix,
  prefixRange,
  printAddress,
} from "../../packet/address.ts";
import { type Family, type Field, isIpv6ExtensionHeader } from "../../packet/field.ts";
import { and, bits, is, NEVER, negate, type Predicate, within } from "../../packet/predicate.ts";
import { contiguous, prefix } from "../address-codecs.ts";
import { type Given, match, negatable, Unreadable } from "../extension.ts";
import {
  ALWAYS,
  addressesIn,
  allOf,
  compare,
  expressions,
  headerOf,
  isQuotable,
  type NftForm,
  NEVER as NO_PACKET,
  nftProtocol,
} from "../nft-form.ts";
import { byteLength, device, deviceRange, flag, protocol } from "../word-codecs.ts";

/** Returns the predicate of an address and a mask. A mask that is not contiguous is compared bit by bit. */
export function inPrefix(field: Field, value: Prefix): Predicate {
  const range = contiguous(value);
  return range === undefined ? bits(field, value.mask, value.address) : within(field, [range]);
}

const named = (field: Field, given: Given<string> | undefined): Predicate =>
  given === undefined ? and() : negate(given.not, within(field, [deviceRange(given.value)]));

/** Prints the test of an address against a network. */
export function addressForm(left: string, given: Given<Prefix> | undefined): NftForm {
  if (given === undefined) return ALWAYS;
  const { not, value } = given;
  const bits = maskBits(value.mask);
  if (bits === undefined)
    return expressions(
      `${left} & ${printAddress(value.mask)} ${not ? "!=" : "=="} ${printAddress(value.address)}`,
    );
  const family = addressFamily(value.address);
  if (bits === 0 || bits === addressBits(family)) return addressesIn(left, not, prefixRange(value), family);
  return compare(left, not, `${printAddress(value.address)}/${bits}`);
}

/** Longest name with its escape (IFNAMSIZ with the final zero). */
const MOST_NAME = 15;

/** Prints the test of an interface; `null` for a name that nft cannot quote. */
function deviceForm(left: string, given: Given<string> | undefined): NftForm | null {
  if (given === undefined) return ALWAYS;
  const { not, value } = given;
  const pattern = value.endsWith("+");
  const name = pattern ? value.slice(0, -1) : value;
  if (pattern && name === "") return not ? NO_PACKET : ALWAYS;
  if (!isQuotable(name)) return null;
  const text = pattern ? `${name}*` : name.endsWith("*") ? `${name.slice(0, -1)}\\*` : name;
  return byteLength(text) > MOST_NAME ? null : compare(left, not, `"${text}"`);
}

/** Returns true for the default, which iptables omits: all addresses, not negated. */
const everywhere = (given: Given<Prefix> | undefined): boolean =>
  given !== undefined && !given.not && (given.value.mask === 0 || given.value.mask === 0n);
const anywhere = (given: Given<string> | undefined): boolean =>
  given !== undefined && !given.not && given.value === "+";

/** IPv6 compares the protocol after all extension headers, which is never an extension header (ip6_packet_match). */
const isNoProtocol = (value: number, family: Family): boolean => family === 6 && isIpv6ExtensionHeader(value);

function protocolForm(given: Given<number> | undefined, family: Family): NftForm {
  if (given === undefined) return ALWAYS;
  if (isNoProtocol(given.value, family)) return given.not ? ALWAYS : NO_PACKET;
  return compare("meta l4proto", given.not, nftProtocol(given.value));
}

export const ruleHeader = match({
  name: "",
  checksPresence: true,
  options: {
    src: negatable("-s", prefix, "--source", "--src"),
    dst: negatable("-d", prefix, "--destination", "--dst"),
    in: negatable("-i", device, "--in-interface"),
    out: negatable("-o", device, "--out-interface"),
    proto: negatable("-p", protocol, "--protocol"),
    fragment: negatable("-f", flag, "--fragments"),
  },
  normalize(values, { family }) {
    if (values.fragment !== undefined && family === 6)
      return new Unreadable("-m frag instead of -f in ip6tables");
    if (values.proto?.value === 0 && values.proto.not)
      return new Unreadable("a protocol other than all for ! -p");
    if (
      !everywhere(values.src) &&
      !everywhere(values.dst) &&
      !anywhere(values.in) &&
      !anywhere(values.out) &&
      values.proto?.value !== 0
    )
      return values;
    const { src, dst, in: input, out, proto, fragment } = values;
    return {
      ...(src === undefined || everywhere(src) ? {} : { src }),
      ...(dst === undefined || everywhere(dst) ? {} : { dst }),
      ...(input === undefined || anywhere(input) ? {} : { in: input }),
      ...(out === undefined || anywhere(out) ? {} : { out }),
      ...(proto === undefined || proto.value === 0 ? {} : { proto }),
      ...(fragment === undefined ? {} : { fragment }),
    };
  },
  independentOptions: true,
  copy: ({ src, dst, in: input, out, proto }) =>
    src !== undefined || proto !== undefined || input !== undefined
      ? "unchanged"
      : dst !== undefined || out !== undefined
        ? "by-destination"
        : "never",
  originalOption: ({ dst }) => (dst === undefined ? undefined : "--ctorigdst"),
  conditions: ({ src, dst, in: input, out, proto }) => ({ src, dst, in: input, out, proto }),
  // The protocol is last, next to the ports that imply it.
  nft: ({ src, dst, in: input, out, proto, fragment }, context) =>
    allOf(
      deviceForm("iifname", input),
      deviceForm("oifname", out),
      addressForm(`${headerOf(context)} saddr`, src),
      addressForm(`${headerOf(context)} daddr`, dst),
      fragment === undefined ? ALWAYS : expressions(`ip frag-off & 0x1fff ${fragment.not ? "==" : "!="} 0`),
      protocolForm(proto, context.family),
    ),
  predicate({ src, dst, in: input, out, proto, fragment }, { family }) {
    const protocol = (value: number): Predicate => (isNoProtocol(value, family) ? NEVER : is("proto", value));
    return and(
      src === undefined ? and() : negate(src.not, inPrefix("src", src.value)),
      dst === undefined ? and() : negate(dst.not, inPrefix("dst", dst.value)),
      named("in", input),
      named("out", out),
      proto === undefined ? and() : negate(proto.not, protocol(proto.value)),
      fragment === undefined ? and() : negate(fragment.not, is("fragment", 1)),
    );
  },
});
