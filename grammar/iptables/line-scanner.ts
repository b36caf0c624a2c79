/**
 * Fast scanner for lines as iptables-save prints them. It returns `undefined` for all other lines, which the parser reads.
 *
 * It reads the text through a window of character codes. Reading bytes is faster than `charCodeAt` and compiles to less
 * machine code, which saves a seventh of the CPU time of a short process.
 */

import { type ChainLine, type Comment, Rule } from "./ast.ts";
import { type Counters, parseCounters } from "./counters.ts";
import { createComment, LONGEST_LINE } from "./line-parser.ts";
import { ExpectedWord, MOST_VALUES, type ShapeTrie, type TrieNode } from "./shape-trie.ts";
import { isExtensionTarget, LONGEST_EXTENSION } from "./tokens.ts";
import { WordSpans } from "./word-spans.ts";

const LF = 10;
const CR = 13;
const BLANK = 32;
const BANG = 33;
const QUOTE = 34;
const HASH = 35;
const DASH = 45;
const LETTER_A = 65;
const ZERO = 48;
const NINE = 57;
const COLON = 58;
const OPEN = 91;
const BACKSLASH = 92;
const CLOSE = 93;
/** Code for every character above ASCII. They have no meaning in the syntax. */
const OTHER = 127;

/** Window size in UTF-16 units. */
const WINDOW = 4 * LONGEST_LINE;
/** Largest number of offsets in one block (400 KB). Each block is twice as large as the block before it. */
const BLOCK = 100_000;
/** Largest number of offsets of one rule: start and end of its counters, its chain and its values. */
const MOST_OFFSETS = 2 * (MOST_VALUES + 2);

/** Shared by the many chains whose counters are zero. */
const NONE: Counters = [0, 0];
const NO_VALUES: readonly string[] = [];

/** Returns true for a lone `!`, for options, and for a few rare values that look like options. */
function isOptionLike(codes: Uint8Array, start: number, end: number): boolean {
  if (codes[start] === BANG) return end === start + 1;
  if (codes[start] !== DASH || end === start + 1) return false;
  const second = codes[start + 1]!;
  return second < ZERO || second > NINE || second === ZERO + 4 || second === ZERO + 6;
}

const encoder = new TextEncoder();

export class LineScanner {
  /** Offset of the end of the line that was read last. */
  end = 0;

  private readonly text: string;
  private readonly shapes: ShapeTrie;

  /** Text in the window, its offset, and the offset from which on a line may exceed the window. */
  private part = "";
  private base = 0;
  private limit = -1;
  /** Character codes of the window, then a line feed at the end of the text, else a 0, which ends the fast path. */
  private readonly codes = new Uint8Array(WINDOW + 1);

  /** Index in the window of the next character. */
  private at = 0;
  /** Current block of word spans, and the number of offsets used in it. */
  private spans: WordSpans;
  private usedOffsets = 0;

  constructor(text: string, shapes: ShapeTrie) {
    this.text = text;
    this.shapes = shapes;
    this.spans = new WordSpans(text, new Uint32Array(2 * MOST_OFFSETS));
  }

  /**
   * Scans the line that starts at offset `at`.
   * @returns `null` if it is empty, `undefined` if the parser must read it
   */
  line(at: number, number: number): Rule | ChainLine | Comment | null | undefined {
    if (at > this.limit) this.moveWindow(at);
    const start = at - this.base;
    this.at = start;
    const c = this.codes[start]!;
    const item = c === OPEN || c === DASH ? this.rule(number) : this.chainOrComment(c, number);
    this.end = this.base + this.at;
    return this.at - start > LONGEST_LINE ? undefined : item;
  }

  /** Moves the window to offset `at`. */
  private moveWindow(at: number): void {
    const { text, codes } = this;
    const part = text.slice(at, at + WINDOW);
    const { read, written } = encoder.encodeInto(part, codes);
    if (read !== part.length || written !== part.length)
      for (let i = 0; i < part.length; i++) codes[i] = Math.min(part.charCodeAt(i), OTHER);
    const last = at + part.length === text.length;
    codes[part.length] = last ? LF : 0;
    this.part = part;
    this.base = at;
    this.limit = last ? text.length : at + WINDOW - LONGEST_LINE - 2;
  }

  private chainOrComment(c: number, number: number): ChainLine | Comment | null | undefined {
    if (c === COLON) return this.chainLine(number);
    if (c === HASH) return this.comment(number);
    return c === LF ? null : undefined;
  }

  private comment(number: number): Comment | undefined {
    const start = this.at;
    const feed = this.part.indexOf("\n", start);
    this.at = feed < 0 ? this.part.length : feed;
    return createComment(this.part.slice(start, this.at), number);
  }

  /** `:NAME POLICY [0:0]` */
  private chainLine(number: number): ChainLine | undefined {
    this.at++;
    const name = this.name();
    const policy = this.name();
    if (name === "" || policy === "") return undefined;
    const start = this.at;
    if (!this.counters()) return undefined;
    const counters = this.part.slice(start, this.at);
    if (!this.atLineEnd()) return undefined;
    return {
      kind: "chain",
      line: number,
      command: ":",
      name,
      policy: policy === "-" ? null : this.shapes.intern(policy),
      counters: counters === "[0:0]" ? NONE : parseCounters(counters),
    };
  }

  /** Scans a name and the blank after it; `""` if there is no name. */
  private name(): string {
    const start = this.at;
    const end = this.wordEnd(start);
    this.at = end + 1;
    return this.codes[end] === BLANK && this.codes[start] !== OPEN ? this.part.slice(start, end) : "";
  }

  /**
   * `[12:345] -A CHAIN ...`: follows the trie to the end of the line; `undefined` if the trie does not contain the shape.
   *
   * One long function on purpose: V8 inlines smaller functions into each other several times. That compilation takes
   * more time than the scan itself in a short process.
   */
  private rule(number: number): Rule | undefined {
    if (this.usedOffsets + MOST_OFFSETS > this.spans.offsets.length) this.startBlock();
    const { codes, base, spans, usedOffsets } = this;
    const { offsets } = spans;
    let at = this.at;
    let c = codes[at]!;
    offsets[usedOffsets] = base + at;
    if (c === OPEN) {
      let digits = at + 1;
      while ((c = codes[++at]!) >= ZERO && c <= NINE);
      if (c !== COLON || at === digits) return undefined;
      digits = at + 1;
      while ((c = codes[++at]!) >= ZERO && c <= NINE);
      if (c !== CLOSE || at === digits || codes[++at] !== BLANK) return undefined;
      offsets[usedOffsets + 1] = base + at++;
    } else offsets[usedOffsets + 1] = base + at;
    if (codes[at] !== DASH || codes[at + 1] !== LETTER_A || codes[at + 2] !== BLANK) return undefined;
    let start = at + 3;
    at = start;
    c = codes[at]!;
    if (c === DASH || c === BANG) return undefined;
    while (c > QUOTE || c === BANG) c = codes[++at]!;
    if (at === start) return undefined;
    offsets[usedOffsets + 2] = base + start;
    offsets[usedOffsets + 3] = base + at;
    const first = usedOffsets + 4;
    let count = 0;
    let node = this.shapes.root;
    while (c === BLANK) {
      while (c === BLANK) c = codes[++at]!;
      if (c === LF || c === CR) break;
      start = at;
      const { expected } = node;
      let end: number;
      let found: TrieNode | null = null;
      if (c === QUOTE) {
        if (expected === ExpectedWord.match || expected === ExpectedWord.jump) return undefined;
        start++;
        while ((c = codes[++at]!) !== QUOTE) {
          if (c === BACKSLASH) c = codes[++at]!;
          if (c === LF || c === 0) return undefined;
        }
        end = at++;
        found = node.valueChild;
      } else {
        while (c > QUOTE || c === BANG) c = codes[++at]!;
        end = at;
        const optionLike = expected !== ExpectedWord.free && isOptionLike(codes, start, at);
        if (optionLike || expected > ExpectedWord.free) found = node.find(codes, start, at);
        if (found === null) {
          found = node.valueChild;
          if (optionLike || (expected === ExpectedWord.jump && this.isExtension(start, at))) return undefined;
        }
      }
      if (found === null) return undefined;
      c = codes[at]!;
      if (count < 2 * MOST_VALUES && (expected !== ExpectedWord.any || found === node.valueChild)) {
        offsets[first + count++] = base + start;
        offsets[first + count++] = base + end;
      }
      node = found;
    }
    if (c === CR) c = codes[++at]!;
    this.at = at;
    const { shape } = node;
    if (c !== LF || shape === null) return undefined;
    this.usedOffsets = first + count;
    return new Rule(number, "-A", "", shape, NO_VALUES, null, null, spans, usedOffsets);
  }

  /** Starts a new block of word spans. */
  private startBlock(): void {
    const { text, offsets } = this.spans;
    this.spans = new WordSpans(text, new Uint32Array(Math.min(2 * offsets.length, BLOCK)));
    this.usedOffsets = 0;
  }

  private isExtension(start: number, end: number): boolean {
    return end - start <= LONGEST_EXTENSION && isExtensionTarget(this.part.slice(start, end));
  }

  /** Returns the end of the bare word that starts at `at`: a blank, a quote, a control character or the end. */
  private wordEnd(at: number): number {
    const { codes } = this;
    let end = at;
    while (codes[end]! > QUOTE || codes[end] === BANG) end++;
    return end;
  }

  /** Returns true if the line ends here; a carriage return is skipped. */
  private atLineEnd(): boolean {
    if (this.codes[this.at] === CR) this.at++;
    return this.codes[this.at] === LF;
  }

  /** Skips `[12:345]`. */
  private counters(): boolean {
    const read = this.digits(OPEN, COLON) && this.digits(COLON, CLOSE);
    this.at++;
    return read;
  }

  /** Skips a number and the character before it; stops at the character after it. */
  private digits(open: number, close: number): boolean {
    const { codes } = this;
    const start = this.at + 1;
    let at = start;
    while (codes[at]! >= ZERO && codes[at]! <= NINE) at++;
    const read = codes[this.at] === open && codes[at] === close && at > start;
    this.at = at;
    return read;
  }
}
