/** Words that stay in their text until somebody asks for them, so that a large file is not cut up to be read. */

const QUOTE = 34;

/** Packets and bytes; `bigint` only beyond 2^53. */
export type Counters = readonly [packets: number | bigint, bytes: number | bigint];

/** Places of words in a text. */
export class Words {
  constructor(
    /** The whole text. */
    readonly text: string,
    /** Start and end of each word in turn; a quoted word's are those of what stands between the quotes. */
    readonly places: Uint32Array,
  ) {}

  /** A word of which the start stands at this index of the places, without quotes and escapes. */
  cut(at: number): string {
    const start = this.places[at]!;
    const word = this.text.slice(start, this.places[at + 1]);
    // A bare word stands behind a blank; its backslashes are its own.
    return this.text.charCodeAt(start - 1) === QUOTE ? withoutEscapes(word) : word;
  }
}

/** What stands between quotes, without its backslashes. */
export function withoutEscapes(quoted: string): string {
  return quoted.includes("\\") ? quoted.replace(/\\([^\n])/g, "$1") : quoted;
}

/** `"12"`: a number while it is exact, else a bigint. */
export function count(digits: string): number | bigint {
  const n = Number(digits);
  return Number.isSafeInteger(n) ? n : BigInt(digits);
}

/** `[12:345]` or `12,345`. */
export function pair(image: string): Counters {
  const [packets, bytes] = image.match(/\d+/g)!;
  return [count(packets!), count(bytes!)];
}
