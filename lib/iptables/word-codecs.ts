/**
 * Codecs of words: text, interfaces, protocols, words of a list. A codec reads every spelling of a value that iptables(8)
 * accepts and writes the one that iptables-save prints.
 */
import { LAST_NAME, type Range } from "../packet/field.ts";
import { isKnownProtocol, protocolName, protocolNumber } from "../packet/system-names.ts";
import { type Codec, inDigits, type Spelling, Unreadable } from "./extension.ts";

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
export const text = (max: number, what = `a text of at most ${max} bytes`, min = 0): Codec<string> => ({
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
