/**
 * The fast reader of lines spelled as iptables-save spells them. Whatever looks otherwise it leaves to the grammar:
 * `undefined` means "ask the parser".
 *
 * It looks at the text through a window of character codes: reading bytes is quicker than `charCodeAt`, and compiles
 * to far less machine code, which saves a short-lived process a seventh of its time.
 */

import { type ChainLine, type Comment, type Counters, Rule, type Shape } from "./ast.ts";
import { comment, LONGEST_LINE } from "./parser.ts";
import { MOST_VALUES, Next, type Node, type Shapes } from "./shapes.ts";
import { isExtensionTarget, withoutEscapes } from "./tokens.ts";

const LF = 10;
const CR = 13;
const BLANK = 32;
const BANG = 33;
const QUOTE = 34;
const HASH = 35;
const DASH = 45;
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
/** Digits that a number holds without loss. */
const EXACT_DIGITS = 15;

/** Most chains were never met by a packet. */
const NONE: Counters = [0, 0];

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

  /** The rule being read: how far, and its values so far. */
  private at = 0;
  private readonly values: string[] = new Array(MOST_VALUES).fill("");
  private count = 0;
  /** The chain of the rule before: rules stand by chain. */
  private chain = "";

  constructor(text: string, shapes: Shapes) {
    this.text = text;
    this.shapes = shapes;
  }

  /** Reads the line that starts at `at`; `null` if it is empty. */
  line(at: number, number: number): Rule | ChainLine | Comment | null | undefined {
    if (at > this.limit) this.look(at);
    const start = at - this.base;
    this.at = start;
    const item = this.item(this.codes[start]!, number);
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

  private item(c: number, number: number): Rule | ChainLine | Comment | null | undefined {
    if (c === OPEN || c === DASH) return this.rule(number);
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
    const counters = this.counters();
    if (counters === null || !this.ended()) return undefined;
    return {
      kind: "chain",
      line: number,
      command: ":",
      name,
      policy: policy === "-" ? null : this.shapes.intern(policy),
      counters,
    };
  }

  /** A word and the blank behind it; `""` if there is none, or counters. */
  private name(): string {
    const start = this.at;
    const end = this.wordEnd(start);
    this.at = end + 1;
    return this.codes[end] === BLANK && this.codes[start] !== OPEN ? this.part.slice(start, end) : "";
  }

  /** `[12:345] -A CHAIN ...` */
  private rule(number: number): Rule | undefined {
    let counters: Counters | null = null;
    if (this.codes[this.at] === OPEN) {
      counters = this.counters();
      if (counters === null || this.codes[this.at++] !== BLANK) return undefined;
    }
    if (!this.part.startsWith("-A ", this.at)) return undefined;
    this.at += 3;
    if (!this.chainName()) return undefined;
    const shape = this.options();
    if (shape === null) return undefined;
    return new Rule(number, "-A", this.chain, shape, this.values.slice(0, this.count), counters, null);
  }

  private chainName(): boolean {
    const start = this.at;
    const c = this.codes[start]!;
    if (c === DASH || c === BANG) return false;
    this.at = this.wordEnd(start);
    if (this.at - start !== this.chain.length || !this.part.startsWith(this.chain, start))
      this.chain = this.shapes.intern(this.part.slice(start, this.at));
    return this.at > start;
  }

  /**
   * Walks the trie to the end of the line; `null` if no rule went this way.
   *
   * One function on purpose: cut up, V8 compiles the pieces into each other several times over, which costs a
   * short-lived process a few percent.
   */
  private options(): Shape | null {
    const { codes, part, values } = this;
    let node = this.shapes.root;
    let count = 0;
    let at = this.at;
    for (;;) {
      let c = codes[at]!;
      if (c !== BLANK) break;
      while (c === BLANK) c = codes[++at]!;
      if (c === LF || c === CR) break;
      const start = at;
      const { next } = node;
      let found: Node | null = null;
      let value = "";
      if (c === QUOTE) {
        if (next === Next.match || next === Next.jump) return null;
        let escaped = false;
        while ((c = codes[++at]!) !== QUOTE) {
          if (c === BACKSLASH) {
            escaped = true;
            c = codes[++at]!;
          }
          if (c === LF || c === 0) return null;
        }
        value = part.slice(start + 1, at++);
        if (escaped) value = withoutEscapes(value);
        found = node.value;
      } else {
        while (c > QUOTE || c === BANG) c = codes[++at]!;
        const mark = next !== Next.free && isMark(codes, start, at);
        if (mark || next > Next.free) {
          found = node.find(part, start, at);
          if (found !== null) value = found.word;
        }
        if (found === null) {
          found = node.value;
          if (found === null || mark) return null;
          value = found.repeated(part, start, at);
          if (next === Next.jump && isExtensionTarget(value)) return null;
        }
      }
      if (found === null) return null;
      if (count < MOST_VALUES && (next !== Next.any || found === node.value)) values[count++] = value;
      node = found;
    }
    this.at = at;
    this.count = count;
    return this.ended() ? node.shape : null;
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

  /** `[12:345]` */
  private counters(): Counters | null {
    const packets = this.digits(OPEN, COLON);
    const bytes = this.digits(COLON, CLOSE);
    this.at++;
    if (packets < 0 || bytes < 0) return null;
    return packets === 0 && bytes === 0 ? NONE : [packets, bytes];
  }

  /** The number between two characters; -1 if there is none, or one too long. */
  private digits(open: number, close: number): number {
    const { codes } = this;
    if (codes[this.at] !== open) return -1;
    const start = this.at + 1;
    let n = 0;
    let at = start;
    for (let c = codes[at]!; c >= ZERO && c <= NINE; c = codes[++at]!) n = n * 10 + c - ZERO;
    this.at = at;
    return codes[at] === close && at > start && at - start <= EXACT_DIGITS ? n : -1;
  }
}
