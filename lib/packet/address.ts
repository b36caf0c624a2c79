/**
 * Addresses at the edges of the engines: text in, numbers out, and back.
 *
 * An IPv4 address is a `number` (0 to 2^32-1), an IPv6 address a `bigint` (0 to 2^128-1). A library for
 * them (ip-num, which the tests hold this against) would be a tenth of what one simulated packet costs, start-up included.
 */
import type { Address, Family, Range, Scalar } from "./field.ts";

/** Width of an address in bits. */
export const addressBits = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** The highest address of a family. */
export const maxAddress = (family: Family): Address => (family === 4 ? 0xffff_ffff : (1n << 128n) - 1n);

const IPV4_TEXT = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/**
 * Reads one address.
 * @returns the address, or `undefined` when the text is no address of that family.
 */
export function parseAddress(text: string, family: Family): Address | undefined {
  if (family === 4) {
    // The hot path of every loader: a strict dotted quad without going through an object.
    const m = IPV4_TEXT.exec(text);
    if (m === null) return undefined;
    const a = Number(m[1]);
    const b = Number(m[2]);
    const c = Number(m[3]);
    const d = Number(m[4]);
    if (a > 255 || b > 255 || c > 255 || d > 255) return undefined;
    return a * 0x1000000 + b * 0x10000 + c * 0x100 + d;
  }
  return parse6(mappedToHex(text));
}

const GROUP = /^[0-9a-fA-F]{1,4}$/;

/** inet_pton(3), without a dotted tail: eight groups, or fewer with `::` for those that are zero. */
function parse6(text: string): bigint | undefined {
  const [front, back, more] = text.split("::").map((half) => (half === "" ? [] : half.split(":")));
  if (front === undefined || more !== undefined) return undefined;
  const zeros = 8 - front.length - (back?.length ?? 0);
  if (back === undefined ? zeros !== 0 : zeros < 1) return undefined;
  const groups = [...front, ...Array<string>(zeros).fill("0"), ...(back ?? [])];
  if (!groups.every((group) => GROUP.test(group))) return undefined;
  return BigInt(`0x${groups.map((group) => group.padStart(4, "0")).join("")}`);
}

/** `::ffff:192.0.2.1` spells its last 32 bits as a dotted quad. */
function mappedToHex(text: string): string {
  const at = text.lastIndexOf(":");
  const tail = text.slice(at + 1);
  if (!tail.includes(".")) return text;
  const v4 = parseAddress(tail, 4) as number | undefined;
  if (v4 === undefined) return text;
  return `${text.slice(0, at + 1)}${(v4 >>> 16).toString(16)}:${(v4 & 0xffff).toString(16)}`;
}

/** Family of an address in text, told from its colons; `undefined` when it is no address. */
export function familyOf(text: string): Family | undefined {
  const family: Family = text.includes(":") ? 6 : 4;
  return parseAddress(text, family) === undefined ? undefined : family;
}

/** Prints an address as `ip` and iptables-save do (RFC 5952 for IPv6). */
export function printAddress(address: Address): string {
  // Every answer prints addresses: an object for each would be half of its cost.
  if (typeof address === "number")
    return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
  return compress(address);
}

/** inet_ntop(3): the longest run of two or more zero groups becomes `::`; v4-mapped and v4-compatible tails are dotted. */
function compress(value: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn));
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > length) {
      start = i;
      length = j - i;
    }
    if (j > i) i = j;
  }
  const dotted = start === 0 && (length === 6 || (length === 5 && groups[5] === 0xffff));
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(":");
  if (dotted) {
    const v4 = printAddress(groups[6]! * 0x10000 + groups[7]!);
    return length === 6 ? `::${v4}` : `::ffff:${v4}`;
  }
  return start < 0 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}

/** A prefix or, with a mask that is not contiguous, any masked address. */
export interface Prefix {
  readonly address: Address;
  readonly mask: Address;
}

/** The mask with `bits` leading ones. */
export function prefixMask(bits: number, family: Family): Address {
  if (family === 4) return bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
  return ((1n << BigInt(bits)) - 1n) << BigInt(128 - bits);
}

/** Number of leading ones of a contiguous mask, or `undefined` for a mask with holes. */
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
 * Reads `address`, `address/bits` or `address/mask`; host bits are cleared, as iptables(8) does.
 * @returns `undefined` when it is none of them.
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
  return { address: and(address, mask), mask };
}

function and(a: Address, b: Address): Address {
  return typeof a === "number" ? (a & (b as number)) >>> 0 : a & (b as bigint);
}

/** `10.0.0.0/8`, or `10.0.0.1/255.0.0.255` for a mask with holes: iptables-save's spelling, always with its length. */
export function printPrefix(prefix: Prefix): string {
  return `${printAddress(prefix.address)}/${maskBits(prefix.mask) ?? printAddress(prefix.mask)}`;
}

/** First and last address of a prefix with a contiguous mask. */
export function prefixRange(prefix: Prefix): Range {
  const { address, mask } = prefix;
  if (typeof address === "number") return [address, (address | ~(mask as number)) >>> 0];
  return [address, address | ((mask as bigint) ^ (maxAddress(6) as bigint))];
}

/** The ranges of one or more prefixes given as text constants (trusted input: throws on a typing error). */
export function prefixes(family: Family, ...texts: string[]): Range[] {
  return texts.map((text) => {
    const prefix = parsePrefix(text, family);
    if (prefix === undefined) throw new Error(`not a prefix: ${text}`);
    return prefixRange(prefix);
  });
}

/** Prints a range of addresses as a prefix when it is one, else as `first-last`. */
export function printAddressRange([lo, hi]: Range): string {
  const [a, b] = [lo as Address, hi as Address];
  if (a === b) return printAddress(a);
  const family: Family = typeof a === "number" ? 4 : 6;
  for (let bits = 0; bits <= addressBits(family); bits++) {
    const mask = prefixMask(bits, family);
    if (and(a, mask) === a && prefixRange({ address: a, mask })[1] === b) return `${printAddress(a)}/${bits}`;
  }
  return `${printAddress(a)}-${printAddress(b)}`;
}

/** Whether a scalar lies in one of the ranges. */
export function within(value: Scalar, ranges: readonly Range[]): boolean {
  for (const [lo, hi] of ranges) if (value >= lo && value <= hi) return true;
  return false;
}
