/**
 * Parses and prints addresses, prefixes and ranges.
 *
 * An IPv4 address is a `number` (0 to 2^32-1), an IPv6 address a `bigint` (0 to 2^128-1). ip-num parses and prints IPv6.
 * Its modules are imported one by one: its index creates address objects at load time, which costs 10 ms per run.
 */
import { collapseIPv6Number, expandIPv6Number } from "ip-num/dist/src/IPv6Utils.js";
import { Validator } from "ip-num/dist/src/Validator.js";
import type { Address, Family, Range, Scalar } from "./field.ts";

/** Width of an address in bits. */
export const addressBits = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** Highest address of a family. */
export const maxAddress = (family: Family): Address => (family === 4 ? 0xffff_ffff : (1n << 128n) - 1n);

const IPV4_TEXT = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/**
 * Parses one address as inet_pton(3) does.
 * @returns the address, or `undefined` if the text is not an address of that family
 */
export function parseAddress(text: string, family: Family): Address | undefined {
  return family === 4 ? parseIPv4(text) : parseIPv6(text);
}

/** Parses a dotted quad. It creates no objects, because a large ruleset contains hundreds of thousands of addresses. */
function parseIPv4(text: string): number | undefined {
  const m = IPV4_TEXT.exec(text);
  if (m === null) return undefined;
  const a = Number(m[1]);
  const b = Number(m[2]);
  const c = Number(m[3]);
  const d = Number(m[4]);
  if (a > 255 || b > 255 || c > 255 || d > 255) return undefined;
  return a * 0x1000000 + b * 0x10000 + c * 0x100 + d;
}

/** Parsed IPv6 addresses by text: routes, rules and Docker's output repeat those of a host. */
const parsed = new Map<string, bigint>();
/** Most entries of `parsed`, which is emptied then. */
const MOST_PARSED = 1024;

/** Parses an IPv6 address. ip-num also accepts a zone (`fe80::1%eth0`), which iptables does not. */
function parseIPv6(text: string): bigint | undefined {
  const known = parsed.get(text);
  if (known !== undefined) return known;
  if (text.includes("%") || !Validator.IPV6_PATTERN.test(text)) return undefined;
  const address = BigInt(`0x${expandIPv6Number(text).replaceAll(":", "")}`);
  if (parsed.size >= MOST_PARSED) parsed.clear();
  parsed.set(text, address);
  return address;
}

/** Returns the family of an address in text, or `undefined` if the text is not an address. */
export function familyOf(text: string): Family | undefined {
  const family: Family = text.includes(":") ? 6 : 4;
  return parseAddress(text, family) === undefined ? undefined : family;
}

/** Returns the family of an address. */
export const addressFamily = (address: Address): Family => (typeof address === "number" ? 4 : 6);

/** Prints an address as inet_ntop(3), ip(8) and iptables-save do (RFC 5952 for IPv6). */
export function printAddress(address: Address): string {
  if (typeof address === "bigint") return printIPv6(address);
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}

/** IPv4-compatible (`::a.b.c.d`) and IPv4-mapped (`::ffff:a.b.c.d`) addresses end in a dotted quad. */
function printIPv6(address: bigint): string {
  const quad = printAddress(Number(address & 0xffff_ffffn));
  const high = address >> 32n;
  if (high === 0xffffn) return `::ffff:${quad}`;
  if (high === 0n && address > 0xffffn) return `::${quad}`;
  const groups = address.toString(16).padStart(32, "0").match(/.{4}/g)!;
  return collapseIPv6Number(groups.join(":"));
}

/** A prefix or, with a mask that is not contiguous, any masked address. */
export interface Prefix {
  /** The address, its bits outside the mask cleared. */
  readonly address: Address;
  /** The mask as an address. */
  readonly mask: Address;
}

/** Returns the mask with `bits` leading ones. */
export function prefixMask(bits: number, family: Family): Address {
  if (family === 4) return bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
  return ((1n << BigInt(bits)) - 1n) << BigInt(128 - bits);
}

/** Returns the prefix length of a mask, or `undefined` for a mask with holes. */
export function maskBits(mask: Address): number | undefined {
  if (typeof mask === "number") {
    const bits = Math.clz32(~mask >>> 0);
    return prefixMask(bits, 4) === mask ? bits : undefined;
  }
  let bits = 0;
  while (bits < 128 && (mask >> BigInt(127 - bits)) & 1n) bits++;
  return prefixMask(bits, 6) === mask ? bits : undefined;
}

/**
 * Parses `address`, `address/bits` or `address/mask`, and clears the host bits as iptables(8) does.
 * @returns `undefined` if the text has another form
 */
export function parsePrefix(text: string, family: Family): Prefix | undefined {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash), family);
  if (address === undefined) return undefined;
  let mask = maxAddress(family);
  if (slash >= 0) {
    const tail = text.slice(slash + 1);
    const max = addressBits(family);
    if (/^\d{1,3}$/.test(tail) && Number(tail) <= max) mask = prefixMask(Number(tail), family);
    else {
      const parsed = parseAddress(tail, family);
      if (parsed === undefined) return undefined;
      mask = parsed;
    }
  }
  return { address: maskAddress(address, mask), mask };
}

function maskAddress(a: Address, b: Address): Address {
  return typeof a === "number" ? (a & (b as number)) >>> 0 : a & (b as bigint);
}

/** Prints `10.0.0.0/8`, or `10.0.0.1/255.0.0.255` for a mask with holes, as iptables-save does. */
export function printPrefix(prefix: Prefix): string {
  return `${printAddress(prefix.address)}/${maskBits(prefix.mask) ?? printAddress(prefix.mask)}`;
}

/** Returns the first and last address of a prefix with a contiguous mask. */
export function prefixRange(prefix: Prefix): Range {
  const { address, mask } = prefix;
  if (typeof address === "number") return [address, (address | ~(mask as number)) >>> 0];
  return [address, address | ((mask as bigint) ^ (maxAddress(6) as bigint))];
}

/** Returns the fewest prefixes whose union is a range, in ascending order (ip_set_range_to_cidr). */
export function splitRange([first, last]: Range, family: Family): Prefix[] {
  // Most ranges are one address.
  if (first === last && typeof first === (family === 4 ? "number" : "bigint"))
    return [{ address: first as Address, mask: maxAddress(family) }];
  const bits = addressBits(family);
  const end = BigInt(last);
  const out: Prefix[] = [];
  for (let lo = BigInt(first); lo <= end; ) {
    let free = 0;
    const fits = (n: number): boolean => {
      const size = 1n << BigInt(n);
      return (lo & (size - 1n)) === 0n && lo + size - 1n <= end;
    };
    while (free < bits && fits(free + 1)) free++;
    out.push({ address: family === 4 ? Number(lo) : lo, mask: prefixMask(bits - free, family) });
    lo += 1n << BigInt(free);
  }
  return out;
}

/** Returns the ranges of prefixes that are constants in the code. Throws if one is invalid. */
export function prefixes(family: Family, ...texts: string[]): Range[] {
  return texts.map((text) => {
    const prefix = parsePrefix(text, family);
    if (prefix === undefined) throw new Error(`not a prefix: ${text}`);
    return prefixRange(prefix);
  });
}

/** Loopback addresses by family. */
export const LOOPBACK = { 4: prefixes(4, "127.0.0.0/8"), 6: prefixes(6, "::1/128") } as const;

/** Multicast groups by family. */
export const MULTICAST = { 4: prefixes(4, "224.0.0.0/4"), 6: prefixes(6, "ff00::/8") } as const;

/** IPv6 addresses of link scope, groups included, whatever their flags (ipv6_addr_type). */
export const LINK_SCOPE: readonly Range[] = prefixes(
  6,
  "fe80::/10",
  ...Array.from({ length: 16 }, (_, flags) => `ff${flags.toString(16)}2::/16`),
);

/** Returns the length of the prefix that a range of addresses is; `undefined` if it is no prefix. */
function rangeBits([lo, hi]: Range): number | undefined {
  const [a, b] = [lo as Address, hi as Address];
  const family = addressFamily(a);
  for (let bits = 0; bits <= addressBits(family); bits++) {
    const mask = prefixMask(bits, family);
    if (maskAddress(a, mask) === a && prefixRange({ address: a, mask })[1] === b) return bits;
  }
  return undefined;
}

/** Returns true if a range of addresses is a prefix; a single address is one. */
export const isPrefixRange = (range: Range): boolean => rangeBits(range) !== undefined;

/** Prints a range of addresses as a prefix if possible, else as `first-last`. */
export function printAddressRange(range: Range): string {
  const [a, b] = range as readonly [Address, Address];
  if (a === b) return printAddress(a);
  const bits = rangeBits(range);
  return bits === undefined ? `${printAddress(a)}-${printAddress(b)}` : `${printAddress(a)}/${bits}`;
}

/** Returns true if a value is in one of the ranges. */
export function isInRanges(value: Scalar, ranges: readonly Range[]): boolean {
  for (const [lo, hi] of ranges) if (value >= lo && value <= hi) return true;
  return false;
}

/** Parses a prefix of either family. */
export function parseAnyPrefix(text: string): { family: Family; prefix: Prefix } | undefined {
  const family = familyOf(text.replace(/\/.*$/, ""));
  const prefix = family === undefined ? undefined : parsePrefix(text, family);
  return family === undefined || prefix === undefined ? undefined : { family, prefix };
}
