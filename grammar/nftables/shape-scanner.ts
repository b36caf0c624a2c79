/**
 * Fast scanner for rules and elements as nft prints these.
 *
 * It cuts the values out of a line. The text that remains, with the kind of each value, is an *outline*. The grammar gives the same
 * result for all lines of one outline, and parses only the first. A line that does not look as nft prints it has no outline: the
 * grammar reads it.
 */

import { VALUE_SPANS, type ValueSpans } from "./ast.ts";
import { RuleSpan } from "./parsed-rule.ts";
import { Kind, ValueScanner } from "./value-scanner.ts";

const LF = 10;
const CR = 13;
const BLANK = 32;
const HASH = 35;
const COMMA = 44;
const OPEN = 123;
const CLOSE = 125;

/** Longest line with an outline, and most values of one. */
const LONGEST = 4096;
const MOST_VALUES = 256;
const MOST_OUTLINES = 16_384;
/** Most outlines with one hash. A hostile text can have many; the grammar then reads their lines. */
const MOST_EQUAL = 8;
/** Offsets in one block. */
const BLOCK = 100_000;
const HANDLE = / # handle (\d+)\r?(?=\n|$)/y;

/** Greatest handle that is stored in 32 bits together with "none". */
const MOST_HANDLE = 2 ** 32 - 2;
/** Outlines that are compared before a rule is scanned. */
const MOST_FOLLOWERS = 4;

/** The text of an outline before each value and after the last one, and the kinds of the values. */
interface Outline<T> {
  readonly texts: readonly string[];
  readonly kinds: Uint8Array;
  readonly shape: T;
  /** Outlines that followed this one in the text, the latest first. */
  readonly followers: Outline<T>[];
}

/** Scans rules, or elements; `T` is what the grammar made of an outline. */
export class ShapeScanner<T> extends ValueScanner {
  /** Results of `rule` and `element`: number of values, end of the text, and offset of what follows. */
  count = 0;
  end = 0;
  next = 0;
  /** Offsets of all rules that were stored, then those of the values that were scanned last. */
  spans: ValueSpans;

  private start = 0;
  private hash = 0;
  /** Handle of the rule plus 1; 0 without one. */
  private handle = 0;
  /** Kinds of the values. */
  private readonly kinds = new Uint8Array(MOST_VALUES);
  private readonly known = new Map<number, Outline<T>[]>();
  private size = 0;
  /** Number of stored offsets, and index of the start of the first value after these. */
  private used = 0;
  private first = VALUE_SPANS;
  /** Outline of what was scanned, if it was compared as a whole, and the outline before it. */
  private outline: Outline<T> | undefined;
  private previous: Outline<T> | undefined;

  constructor(text: string) {
    super(text);
    this.spans = { text, offsets: new Uint32Array(BLOCK / 16) };
  }

  /** Returns the shape of what was scanned, if the grammar read its outline before. */
  find(): T | undefined {
    const outline = this.outline ?? this.known.get(this.hash)?.find((each) => this.matches(each));
    const followers = this.previous?.followers;
    this.previous = outline;
    if (outline === undefined) return undefined;
    if (followers !== undefined && followers[0] !== outline) promote(followers, outline);
    return outline.shape;
  }

  /** Adds the outline of what was scanned, after the grammar read it. */
  learn(shape: T): void {
    const outlines = this.known.get(this.hash) ?? [];
    if (this.size === MOST_OUTLINES || outlines.length === MOST_EQUAL) return;
    const texts = Array.from({ length: this.count + 1 }, (_, i) =>
      this.text.slice(this.textStart(i), this.textEnd(i)),
    );
    outlines.push({ texts, kinds: this.kinds.slice(0, this.count), shape, followers: [] });
    this.known.set(this.hash, outlines);
    this.size++;
  }

  private matches({ texts, kinds }: Outline<T>): boolean {
    if (kinds.length !== this.count) return false;
    for (let i = 0; i < texts.length; i++) {
      const start = this.textStart(i);
      const text = texts[i]!;
      if (text.length !== this.textEnd(i) - start || !this.text.startsWith(text, start)) return false;
      if (i < kinds.length && kinds[i] !== this.kinds[i]) return false;
    }
    return true;
  }

  private textStart(i: number): number {
    return i === 0 ? this.start : this.spans.offsets[this.first + 2 * i - 1]!;
  }

  private textEnd(i: number): number {
    return i === this.count ? this.end : this.spans.offsets[this.first + 2 * i]!;
  }

  value(i: number): string {
    const { offsets } = this.spans;
    return this.text.slice(offsets[this.first + 2 * i], offsets[this.first + 2 * i + 1]);
  }

  /** Returns true if what was scanned is one literal. */
  isLiteral(): boolean {
    const { first } = this;
    const { offsets } = this.spans;
    return (
      this.count === 1 &&
      this.kinds[0] === Kind.literal &&
      offsets[first] === this.start &&
      offsets[first + 1] === this.end
    );
  }

  values(): string[] {
    return Array.from({ length: this.count }, (_, i) => this.value(i));
  }

  /**
   * Stores the rule that was scanned.
   * @returns its index in `spans`
   */
  store(column: number): number {
    const { offsets } = this.spans;
    const at = this.used;
    offsets[at + RuleSpan.start] = this.start;
    offsets[at + RuleSpan.end] = this.end;
    offsets[at + RuleSpan.column] = column;
    offsets[at + RuleSpan.handle] = this.handle;
    this.used = this.first + 2 * this.count;
    this.first = this.used + VALUE_SPANS;
    return at;
  }

  /** Makes room for the offsets of a rule. */
  private reserve(): void {
    if (this.first + 2 * MOST_VALUES <= this.spans.offsets.length) return;
    this.spans = { text: this.text, offsets: new Uint32Array(BLOCK) };
    this.used = 0;
    this.first = VALUE_SPANS;
  }

  /**
   * Scans the rule that starts at an offset, and sets the fields above. Neighbouring rules have few outlines: those that
   * followed the last one before are compared first.
   * @returns false if it has no outline
   */
  rule(start: number): boolean {
    this.reserve();
    const followers = this.previous?.followers;
    if (followers !== undefined)
      for (let i = 0; i < followers.length; i++)
        if (this.follows(followers[i]!, start)) {
          this.outline = followers[i];
          return true;
        }
    this.outline = undefined;
    return this.scan(start, false);
  }

  /**
   * Scans the element that starts at an offset, and sets the fields above.
   * @returns false if it has no outline
   */
  element(start: number): boolean {
    return this.scan(start, true);
  }

  /** Scans a rule that may have a known outline. The text between the values is compared as a whole, which is fast. */
  private follows({ texts, kinds }: Outline<T>, start: number): boolean {
    const { text, first } = this;
    const { offsets } = this.spans;
    const count = kinds.length;
    let at = start;
    for (let i = 0; ; i++) {
      const between = texts[i]!;
      if (!text.startsWith(between, at)) return false;
      at += between.length;
      if (i === count) break;
      if (!this.valueAt(at, kinds[i]!)) return false;
      offsets[first + 2 * i] = at;
      offsets[first + 2 * i + 1] = at = this.valueEnd;
    }
    this.start = start;
    this.count = count;
    this.end = this.next = at;
    this.handle = 0;
    if (at - start >= LONGEST) return false;
    return text.charCodeAt(at) === LF || (text.startsWith(" # handle ", at) && this.handleAt(at));
  }

  /** Scans a rule or an element, which ends at a comma or brace outside its own braces. */
  private scan(start: number, element: boolean): boolean {
    const { text, first } = this;
    const { offsets } = this.spans;
    const limit = Math.min(text.length, start + LONGEST);
    let depth = 0;
    let at = start;
    let hash = 0;
    let c = BLANK;
    let last = BLANK;
    this.start = start;
    this.count = 0;
    for (; at < limit; last = c) {
      c = text.charCodeAt(at);
      if (c === LF || c === CR || c === HASH) break;
      if (depth === 0 && element && (c === COMMA || c === CLOSE)) break;
      if (c === BLANK && last === BLANK) return false;
      if (c === OPEN) depth++;
      else if (c === CLOSE && --depth < 0) return false;
      const end = this.tokenEnd(at, c);
      if (end < 0) return false;
      for (let i = at; i < end; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
      at = end;
      if (this.kind === 0) continue;
      if (this.count === MOST_VALUES) return false;
      hash = (Math.imul(hash, 31) + this.kind) | 0;
      offsets[first + 2 * this.count] = at;
      offsets[first + 2 * this.count + 1] = this.valueEnd;
      this.kinds[this.count++] = this.kind;
      // The closing quote belongs to the outline.
      at = this.kind === Kind.quoted ? this.valueEnd + 1 : this.valueEnd;
    }
    if (c === CR && text.charCodeAt(at + 1) !== LF) return false;
    this.end = last === BLANK ? at - 1 : at;
    this.next = at;
    this.hash = hash;
    this.handle = 0;
    if (depth !== 0 || at >= limit || this.end <= start) return false;
    if (element) return c === COMMA || c === CLOSE;
    return c === HASH ? this.handleAt(at - 1) : true;
  }

  /** Reads `# handle 5` at the end of a rule. */
  private handleAt(at: number): boolean {
    HANDLE.lastIndex = at;
    const found = HANDLE.exec(this.text);
    if (found === null) return false;
    const handle = Number(found[1]);
    this.handle = handle + 1;
    this.next = HANDLE.lastIndex;
    return handle <= MOST_HANDLE;
  }
}

/** Moves an outline to the front. */
function promote<T>(followers: Outline<T>[], outline: Outline<T>): void {
  const at = followers.indexOf(outline);
  if (at >= 0) followers.splice(at, 1);
  followers.unshift(outline);
  if (followers.length > MOST_FOLLOWERS) followers.pop();
}
