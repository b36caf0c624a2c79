/**
 * The fast reader of lines spelled as iptables-save spells them. Whatever looks otherwise it leaves to the grammar:
 * `undefined` means "ask the parser".
 *
 * It looks at the text through a window of character codes: reading bytes is quicker than `charCodeAt`, and compiles
 * to far less machine code, which saves a short-lived process a seventh of its time.
 */

import { type ChainLine, type Comment, type Counters, Rule } from "./ast.ts";
import { comment, LONGEST_LINE } from "./parser.ts";
import { MOST_VALUES, Next, type Node, type Shapes } from "./shapes.ts";
import { isExtensionTarget, LONGEST_EXTENSION } from "./tokens.ts";
import { pair, Words } from "./words.ts";

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
/** Stands for every character beyond ASCII: they are letters, all of them. */
const OTHER = 127;

/** Holds a few of the longest lines. */
const WINDOW = 4 * LONGEST_LINE;
/** Places are kept in blocks, each twice the one before it up to this: 400 KB. */
const BLOCK = 100_000;
/** Places of one rule: start and end of its counters, its chain and its values. */
const MOST_PLACES = 2 * (MOST_VALUES + 2);

/** Most chains were never met by a packet. */
const NONE: Counters = [0, 0];
const NO_VALUES: readonly string[] = [];

/** `true` for what cannot be a value: an option or a lone `!`; also for a few words that can, which are rare. */
function isMark(codes: Uint8Array, start: number, end: number): boolean {
  if (codes[start] === BANG) return end === start + 1;
  if (codes[start] !== DASH || end === start + 1) return false;
  const second = codes[start + 1]!;
  return second < ZERO || second > NINE || second === ZERO + 4 || second === ZERO + 6;
}

const encoder = new TextEncoder();

export class Scanner {
  /** Where the line ends that was read last. */
  end = 0;

  private readonly text: string;
  private readonly shapes: Shapes;

  /** The part of the text that is looked at, where it starts, and from where on a line may not fit. */
  private part = "";
  private base = 0;
  private limit = -1;
  /** The codes of the part. Behind them a line feed at the text's end, else a 0, which belongs to no fast line. */
  private readonly codes = new Uint8Array(WINDOW + 1);

  /** How far the line is read. */
  private at = 0;
  /** The places of the rules so far, and how many are taken. */
  private words: Words;
  private taken = 0;

  constructor(text: string, shapes: Shapes) {
    this.text = text;
    this.shapes = shapes;
    this.words = new Words(text, new Uint32Array(2 * MOST_PLACES));
  }

  /** Reads the line that starts at `at`; `null` if it is empty. */
  line(at: number, number: number): Rule | ChainLine | Comment | null | undefined {
    if (at > this.limit) this.look(at);
    const start = at - this.base;
    this.at = start;
    const c = this.codes[start]!;
    const item = c === OPEN || c === DASH ? this.rule(number) : this.other(c, number);
    this.end = this.base + this.at;
    return this.at - start > LONGEST_LINE ? undefined : item;
  }

  /** Moves the window. */
  private look(at: number): void {
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

  private other(c: number, number: number): ChainLine | Comment | null | undefined {
    if (c === COLON) return this.chainLine(number);
    if (c === HASH) return this.comment(number);
    return c === LF ? null : undefined;
  }

  private comment(number: number): Comment | undefined {
    const start = this.at;
    const feed = this.part.indexOf("\n", start);
    this.at = feed < 0 ? this.part.length : feed;
    return comment(this.part.slice(start, this.at), number);
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
    if (!this.ended()) return undefined;
    return {
      kind: "chain",
      line: number,
      command: ":",
      name,
      policy: policy === "-" ? null : this.shapes.intern(policy),
      counters: counters === "[0:0]" ? NONE : pair(counters),
    };
  }

  /** A word and the blank behind it; `""` if there is none, or counters. */
  private name(): string {
    const start = this.at;
    const end = this.wordEnd(start);
    this.at = end + 1;
    return this.codes[end] === BLANK && this.codes[start] !== OPEN ? this.part.slice(start, end) : "";
  }

  /**
   * `[12:345] -A CHAIN ...`: walks the trie to the end of the line; `undefined` if no rule went this way.
   *
   * One function on purpose: cut up, V8 compiles the pieces into each other several times over, which costs a
   * short-lived process more than the reading.
   */
  private rule(number: number): Rule | undefined {
    if (this.taken + MOST_PLACES > this.words.places.length) this.makeRoom();
    const { codes, base, words, taken } = this;
    const { places } = words;
    let at = this.at;
    let c = codes[at]!;
    places[taken] = base + at;
    if (c === OPEN) {
      let digits = at + 1;
      while ((c = codes[++at]!) >= ZERO && c <= NINE);
      if (c !== COLON || at === digits) return undefined;
      digits = at + 1;
      while ((c = codes[++at]!) >= ZERO && c <= NINE);
      if (c !== CLOSE || at === digits || codes[++at] !== BLANK) return undefined;
      places[taken + 1] = base + at++;
    } else places[taken + 1] = base + at;
    if (codes[at] !== DASH || codes[at + 1] !== LETTER_A || codes[at + 2] !== BLANK) return undefined;
    let start = at + 3;
    at = start;
    c = codes[at]!;
    if (c === DASH || c === BANG) return undefined;
    while (c > QUOTE || c === BANG) c = codes[++at]!;
    if (at === start) return undefined;
    places[taken + 2] = base + start;
    places[taken + 3] = base + at;
    const first = taken + 4;
    let count = 0;
    let node = this.shapes.root;
    while (c === BLANK) {
      while (c === BLANK) c = codes[++at]!;
      if (c === LF || c === CR) break;
      start = at;
      const { next } = node;
      let end: number;
      let found: Node | null = null;
      if (c === QUOTE) {
        if (next === Next.match || next === Next.jump) return undefined;
        start++;
        while ((c = codes[++at]!) !== QUOTE) {
          if (c === BACKSLASH) c = codes[++at]!;
          if (c === LF || c === 0) return undefined;
        }
        end = at++;
        found = node.value;
      } else {
        while (c > QUOTE || c === BANG) c = codes[++at]!;
        end = at;
        const mark = next !== Next.free && isMark(codes, start, at);
        if (mark || next > Next.free) found = node.find(codes, start, at);
        if (found === null) {
          found = node.value;
          if (mark || (next === Next.jump && this.isExtension(start, at))) return undefined;
        }
      }
      if (found === null) return undefined;
      c = codes[at]!;
      if (count < 2 * MOST_VALUES && (next !== Next.any || found === node.value)) {
        places[first + count++] = base + start;
        places[first + count++] = base + end;
      }
      node = found;
    }
    if (c === CR) c = codes[++at]!;
    this.at = at;
    const { shape } = node;
    if (c !== LF || shape === null) return undefined;
    this.taken = first + count;
    return new Rule(number, "-A", "", shape, NO_VALUES, null, null, words, taken);
  }

  /** Begins a block. */
  private makeRoom(): void {
    const { text, places } = this.words;
    this.words = new Words(text, new Uint32Array(Math.min(2 * places.length, BLOCK)));
    this.taken = 0;
  }

  private isExtension(start: number, end: number): boolean {
    return end - start <= LONGEST_EXTENSION && isExtensionTarget(this.part.slice(start, end));
  }

  /** Where the bare word ends that starts at `at`: at a blank, a quote, a control character or the end. */
  private wordEnd(at: number): number {
    const { codes } = this;
    let end = at;
    while (codes[end]! > QUOTE || codes[end] === BANG) end++;
    return end;
  }

  /** `true` if the line ends here, and then that is where we are. */
  private ended(): boolean {
    if (this.codes[this.at] === CR) this.at++;
    return this.codes[this.at] === LF;
  }

  /** Reads over `[12:345]`. */
  private counters(): boolean {
    const read = this.digits(OPEN, COLON) && this.digits(COLON, CLOSE);
    this.at++;
    return read;
  }

  /** Reads over a number, from the character in front of it to the one behind it. */
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
