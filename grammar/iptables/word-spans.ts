/** Words as positions in the text. The strings are cut when they are read, because most programs read only a few. */

const QUOTE = 34;

/** Start and end offsets of words in a text. */
export class WordSpans {
  constructor(
    /** The whole text. */
    readonly text: string,
    /** Start and end of each word in turn. The offsets of a quoted word exclude the quotes. */
    readonly offsets: Uint32Array,
  ) {}

  /**
   * Returns one word without quotes and backslashes.
   * @param index index of its start in `offsets`
   */
  wordAt(index: number): string {
    const start = this.offsets[index]!;
    const word = this.text.slice(start, this.offsets[index + 1]);
    // A backslash outside quotes is an ordinary character.
    return this.text.charCodeAt(start - 1) === QUOTE ? removeBackslashes(word) : word;
  }
}

/** Removes the backslashes from the text between two quotes. */
export function removeBackslashes(quoted: string): string {
  return quoted.includes("\\") ? quoted.replace(/\\([^\n])/g, "$1") : quoted;
}
