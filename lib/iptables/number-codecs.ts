/** Codecs of numbers: decimal, hexadecimal, ranges, numbers with a mask. */
import type { Codec } from "./extension.ts";
import { word } from "./word-codecs.ts";

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
export const printHex = (n: number, width = 1): string => `0x${n.toString(16).padStart(width, "0")}`;

/** A whole number, printed with at least `width` hexadecimal digits. */
export const hexNumber = (max: number, width = 1, what = `a number from 0 to ${max}`): Codec<number> =>
  word(
    what,
    (text) => wholeNumber(text, max),
    (n) => printHex(n, width),
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
    ({ value, mask }) => (mask === max ? printHex(value) : `${printHex(value)}/${printHex(mask)}`),
  );

/** A number with an optional mask, always printed with the mask and at least `width` digits. */
export const fullyMasked = (max: number, width = 1, what = "a number, or value/mask"): Codec<Masked> => ({
  ...masked(max, what),
  write: ({ value, mask }) => [`${printHex(value, width)}/${printHex(mask, width)}`],
});
