/**
 * The kinds of value that options take: ports, prefixes, names, numbers with masks. Each reads every spelling that
 * iptables(8) accepts and writes the one that iptables-save prints.
 */
import type { Prefix } from "../packet/address.ts";
import {
  addressBits,
  addressFamily,
  maskBits,
  maxAddress,
  parseAddress,
  parsePrefix,
  prefixMask,
  prefixRange,
  printAddress,
  printPrefix,
} from "../packet/address.ts";
import { type Address, LAST_NAME, type Range } from "../packet/field.ts";
import { type Codec, inDigits, type Spelling, Unreadable } from "./extension.ts";
import { isKnownProtocol, protocolName, protocolNumber, serviceName } from "./system-names.ts";

/** A codec of one word. */
export const word = <T>(
  expects: string,
  read: (text: string, spelling: Spelling) => T | Unreadable | undefined,
  write: (value: T, spelling: Spelling) => string,
): Codec<T> => ({
  words: 1,
  expects,
  read: ([text], spelling) => read(text!, spelling) ?? new Unreadable(expects),
  write: (value, spelling) => [write(value, spelling)],
});

/** An option without a value. */
export const flag: Codec<true> = { words: 0, expects: "nothing", read: () => true, write: () => [] };

/** Reads a whole number in decimal, hexadecimal (`0x`) or octal (`0`), as strtoul(3) with base 0 does. */
export function wholeNumber(text: string, max: number): number | undefined {
  if (!/^(0[xX][0-9a-fA-F]{1,13}|0[0-7]{0,17}|[1-9][0-9]{0,15})$/.test(text)) return undefined;
  const value = /^0[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number(text);
  return value <= max ? value : undefined;
}

/** Reads a whole number of up to 64 bits. */
export function bigNumber(text: string, max: bigint): bigint | undefined {
  if (!/^(0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,22}|[1-9][0-9]{0,19})$/.test(text)) return undefined;
  const value = BigInt(/^0[0-7]+$/.test(text) ? `0o${text.slice(1)}` : text);
  return value <= max ? value : undefined;
}

/** Largest unsigned 64-bit number. */
export const MAX64 = (1n << 64n) - 1n;

/** A whole number, printed in decimal. */
export const number = (max: number, what = `a number from 0 to ${max}`): Codec<number> =>
  word(what, (text) => wholeNumber(text, max), String);

/** A whole number that must not be 0. */
export const positive = (max: number, what = `a number from 1 to ${max}`): Codec<number> =>
  word(what, (text) => wholeNumber(text, max) || undefined, String);

/** A whole number of up to 64 bits, printed in decimal. */
export const number64: Codec<bigint> = word(
  "a number of up to 64 bits",
  (text) => bigNumber(text, MAX64),
  String,
);

/** Prints `0x` and at least `width` hexadecimal digits. */
export const hex = (n: number, width = 1): string => `0x${n.toString(16).padStart(width, "0")}`;

/** A whole number, printed with at least `width` hexadecimal digits. */
export const hexNumber = (max: number, width = 1, what = `a number from 0 to ${max}`): Codec<number> =>
  word(
    what,
    (text) => wholeNumber(text, max),
    (n) => hex(n, width),
  );

/** First and last, `first:last`; either may be omitted. A single number is a range of one. */
export const numberRange = (max: number, what: string, separator = ":"): Codec<readonly [number, number]> =>
  word(
    what,
    (text) => {
      const [a, b, more] = text.split(separator);
      if (more !== undefined) return undefined;
      const first = a === "" && b !== undefined ? 0 : wholeNumber(a!, max);
      const last = b === undefined ? first : b === "" ? max : wholeNumber(b, max);
      return first === undefined || last === undefined || first > last ? undefined : ([first, last] as const);
    },
    ([first, last]) => (first === last ? String(first) : `${first}${separator}${last}`),
  );

/** Reads a port or the name of a service. */
export const readPort = (text: string, spelling: Spelling): number | undefined =>
  wholeNumber(text, 0xffff) ?? serviceName(text, spelling.proto);

function readPorts(text: string, spelling: Spelling): readonly [number, number] | undefined {
  const colon = text.indexOf(":");
  if (colon < 0) {
    const port = readPort(text, spelling);
    return port === undefined ? undefined : [port, port];
  }
  const first = colon === 0 ? 0 : readPort(text.slice(0, colon), spelling);
  const last = colon === text.length - 1 ? 0xffff : readPort(text.slice(colon + 1), spelling);
  return first === undefined || last === undefined || first > last ? undefined : [first, last];
}

const writePorts = ([first, last]: readonly [number, number]): string =>
  first === last ? String(first) : `${first}:${last}`;

/** Returns true if text[start, end) is a port in decimal digits. */
export function isPort(text: string, start: number, end: number): boolean {
  // A leading zero makes it octal.
  if (end === start || end - start > 5 || text.charCodeAt(start) === 48) return false;
  let port = 0;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code < 48 || code > 57) return false;
    port = port * 10 + code - 48;
  }
  return port <= 0xffff;
}

/** A port, a range of ports, or the name of a service. */
export const ports: Codec<readonly [number, number]> = {
  ...word("a port or a service name, or a range first:last", readPorts, writePorts),
  isValid: isPort,
};

/** All ports; iptables-save omits this range. */
export const ALL_PORTS: readonly [number, number] = [0, 0xffff];

/** Up to 15 ports, where a range counts as two (xt_multiport). A range needs both ends. */
export const portList: Codec<readonly (readonly [number, number])[]> = word(
  "up to 15 ports or ranges, separated by commas; a range counts as two",
  (text, spelling) => {
    const list: (readonly [number, number])[] = [];
    let slots = 0;
    for (const part of text.split(",")) {
      const read = /^:|:$/.test(part) ? undefined : readPorts(part, spelling);
      if (read === undefined) return undefined;
      slots += part.includes(":") ? 2 : 1;
      list.push(read);
    }
    return slots <= 15 ? list : undefined;
  },
  (list) => list.map(writePorts).join(","),
);

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

/**
 * Returns true if text[start, end) is a dotted quad, with a prefix length if `length` allows one. It reads digit by digit,
 * since every rule of a large file has one or two addresses.
 */
export function isQuad(text: string, start: number, end: number, length: boolean): boolean {
  let parts = 0;
  let value = -1;
  let slash = false;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code >= 48 && code <= 57) {
      // Leading zeros are left to the parser.
      if (value === 0) return false;
      value = (value < 0 ? 0 : value * 10) + code - 48;
      if (value > (slash ? 32 : 255)) return false;
    } else if (value < 0 || slash) return false;
    else {
      if (code === 47 && length) slash = true;
      else if (code !== 46) return false;
      parts++;
      value = -1;
      if (parts > 4 || slash !== (parts === 4)) return false;
    }
  }
  return value >= 0 && (slash || parts === 3);
}

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

/** Number or name of a protocol; `all` is 0. */
export const protocol: Codec<number> = word(
  "a protocol, by name or by a number from 0 to 255",
  protocolNumber,
  (number, spelling) =>
    inDigits(spelling) && !isKnownProtocol(number) ? String(number) : protocolName(number),
);

/** A protocol that is printed as a number. */
export const protocolDigits: Codec<number> = { ...protocol, write: (n) => [String(n)] };

/** An interface name of at most 15 characters (IFNAMSIZ). A final `+` matches any continuation. */
export const device: Codec<string> = {
  ...word(
    "an interface name of at most 15 characters",
    // Interface names contain no slash or blank (dev_valid_name), but iptables only warns.
    (text) => (text.length > 0 && text.length <= 15 ? text : undefined),
    (name) => name,
  ),
  isValid: (_, start, end) => end > start && end - start <= 15,
};

/** Returns the names that a pattern matches as a range of ordered names. */
export const deviceRange = (pattern: string): Range =>
  pattern.endsWith("+") ? [pattern.slice(0, -1), `${pattern.slice(0, -1)}${LAST_NAME}`] : [pattern, pattern];

/** Returns the length of a text in UTF-8. */
export function byteLength(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) bytes += code > 0x7ff && (code < 0xd800 || code > 0xdfff) ? 2 : 1;
  }
  return bytes;
}

/** A text with a minimum and a maximum number of bytes. */
export const string = (max: number, what = `a text of at most ${max} bytes`, min = 0): Codec<string> => ({
  ...word(
    what,
    (text) => (text.length >= min && byteLength(text) <= max ? text : undefined),
    (text) => text,
  ),
  // A UTF-16 unit takes at most three bytes in UTF-8, and removing escapes leaves at least half of the text.
  isValid: (_, start, end) => end - start >= 2 * min && (end - start) * 3 <= max,
});

/** Rules for the comparison with a list of words. */
interface Folding {
  /** Ignores case. */
  readonly fold?: boolean;
  /** Accepts an abbreviation; if it is ambiguous, the first word of the list. */
  readonly prefix?: boolean;
  /** Aliases of some words. */
  readonly also?: ReadonlyMap<string, string>;
}

/** Returns the word of a list that a text names. */
function lookup<T extends string>(list: readonly T[], text: string, how: Folding): T | undefined {
  if ((list as readonly string[]).includes(text)) return text as T;
  const fold = (s: string): string => (how.fold === true || how.prefix === true ? s.toLowerCase() : s);
  const given = fold(text);
  const other = how.also?.get(given);
  if (other !== undefined) return other as T;
  if (given === "") return undefined;
  return list.find((item) => (how.prefix === true ? fold(item).startsWith(given) : fold(item) === given));
}

/** One word of a list, printed as in the list. */
export const oneOf = <T extends string>(list: readonly T[], how: Folding = {}): Codec<T> =>
  word(
    `one of ${list.join(", ")}`,
    (text) => lookup(list, text, how),
    (item) => item,
  );

/** Words of a list, separated by commas; printed once each in the order of the list. */
export const someOf = <T extends string>(list: readonly T[], how: Folding = {}): Codec<readonly T[]> =>
  word(
    `one or more of ${list.join(", ")}, separated by commas`,
    (text) => {
      const given: T[] = [];
      for (const part of text.split(",")) {
        const item = lookup(list, part, how);
        if (item === undefined) return undefined;
        given.push(item);
      }
      return list.filter((item) => given.includes(item));
    },
    (items) => items.join(","),
  );

/** `value[/mask]`, hexadecimal: marks and the like. */
export interface Masked {
  readonly value: number;
  readonly mask: number;
}

/** Reads `value` or `value/mask`. */
export function readMasked(text: string, max: number, whole = max): Masked | undefined {
  const slash = text.indexOf("/");
  const value = wholeNumber(slash < 0 ? text : text.slice(0, slash), max);
  const mask = slash < 0 ? whole : wholeNumber(text.slice(slash + 1), max);
  return value === undefined || mask === undefined ? undefined : { value, mask };
}

/** A number with an optional mask, printed in hexadecimal; a full mask is omitted. */
export const masked = (max: number, what = "a number, or value/mask"): Codec<Masked> =>
  word(
    what,
    (text) => readMasked(text, max),
    ({ value, mask }) => (mask === max ? hex(value) : `${hex(value)}/${hex(mask)}`),
  );

/** A number with an optional mask, always printed with the mask and at least `width` digits. */
export const fullyMasked = (max: number, width = 1, what = "a number, or value/mask"): Codec<Masked> => ({
  ...masked(max, what),
  write: ({ value, mask }) => [`${hex(value, width)}/${hex(mask, width)}`],
});

/** Returns the range of a prefix; `undefined` if its mask is not contiguous. */
export const contiguous = (p: Prefix): Range | undefined =>
  maskBits(p.mask) === undefined ? undefined : prefixRange(p);
