/** Codecs of addresses: address, prefix, netmask, range. */
import {
  addressBits,
  addressFamily,
  maskBits,
  maxAddress,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixMask,
  prefixRange,
  printAddress,
  printPrefix,
} from "../packet/address.ts";
import type { Address, Range } from "../packet/field.ts";
import { isQuad } from "../packet/literal-check.ts";
import { type Codec, Unreadable } from "./extension.ts";
import { wholeNumber } from "./number-codecs.ts";
import { word } from "./word-codecs.ts";

const NAME = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*\.?$/;

/** Returns the error for an invalid address. fwcheck does not resolve host names. */
function notAnAddress(text: string, expects: string): Unreadable {
  const bare = text.replace(/\/.*$/, "");
  if (NAME.test(bare) && /[A-Za-z]/.test(bare) && !/^[0-9.]+$/.test(bare))
    return new Unreadable(`${expects}; host names are not looked up`);
  return new Unreadable(expects);
}

/** Pads `10/8` and `10.1/16` with zeros, as numeric_to_ipmask of xtables does. */
function padded(text: string): string {
  const m = /^(\d{1,3}(?:\.\d{1,3}){0,2})(\/.*)?$/.exec(text);
  if (m === null) return text;
  return m[1]! + ".0".repeat(4 - m[1]!.split(".").length) + (m[2] ?? "");
}

/** ip6tables accepts the IPv4 notation of the whole address space, too. */
const everything = (text: string): Prefix | undefined =>
  text === "0/0" || text === "0.0.0.0/0" ? { address: 0n, mask: 0n } : undefined;

const PREFIX = "an address or a network, like 192.0.2.1 or 192.0.2.0/24 (2001:db8::/32 in ip6tables)";

/** An address with a prefix length or mask; host bits are cleared. */
export const prefix: Codec<Prefix> = {
  ...word(
    PREFIX,
    (text, { family }) =>
      parsePrefix(text, family) ??
      (family === 4 ? parsePrefix(padded(text), family) : everything(text)) ??
      notAnAddress(text, PREFIX),
    printPrefix,
  ),
  isValid: (text, start, end, { family }) => family === 4 && isQuad(text, start, end, true),
};

/** A prefix that is printed without its length if it is a single address. */
export const shortPrefix: Codec<Prefix> = {
  ...prefix,
  write: (p) => [p.mask === maxAddress(addressFamily(p.address)) ? printAddress(p.address) : printPrefix(p)],
};

/** An address and a prefix length, the host bits kept. */
export const looseAddress: Codec<{ readonly address: Address; readonly bits: number }> = word(
  "an address, or address/length",
  (text, { family }) => {
    const [a, b, more] = text.split("/");
    const address = parseAddress(a!, family);
    const bits = b === undefined ? addressBits(family) : wholeNumber(b, addressBits(family));
    return address === undefined || bits === undefined || more !== undefined ? undefined : { address, bits };
  },
  ({ address, bits }) => `${printAddress(address)}/${bits}`,
);

/** One address. */
export const address: Codec<Address> = word(
  "an address",
  (text, { family }) => parseAddress(text, family) ?? notAnAddress(text, "an address"),
  printAddress,
);

/** A netmask, as an address. */
export const netmask: Codec<Address> = word(
  "a netmask",
  (text, { family }) =>
    parseAddress(text, family) ??
    (/^\d{1,3}$/.test(text) && Number(text) <= addressBits(family)
      ? prefixMask(Number(text), family)
      : undefined),
  printAddress,
);

/** Two addresses as `first-last`, or one. */
export const addressRange: Codec<readonly [Address, Address]> = word(
  "an address, or two as first-last",
  (text, { family }) => {
    const [a, b, more] = text.split("-");
    if (more !== undefined) return undefined;
    const first = parseAddress(a!, family);
    const last = b === undefined ? first : parseAddress(b, family);
    return first === undefined || last === undefined ? undefined : ([first, last] as const);
  },
  ([first, last]) => `${printAddress(first)}-${printAddress(last)}`,
);

/** Returns the range of a prefix; `undefined` if its mask is not contiguous. */
export const contiguous = (p: Prefix): Range | undefined =>
  maskBits(p.mask) === undefined ? undefined : prefixRange(p);
