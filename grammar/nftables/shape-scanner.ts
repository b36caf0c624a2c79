/**
 * Fast scanner for rules and elements as nft prints these.
 *
 * It cuts the values out of a line. The text that remains, with the kind of each value, is an *outline*. The grammar gives the same
 * result for all lines of one outline, and parses only the first. A line that does not look as nft prints it has no outline: the
 * grammar reads it.
 */

const LF = 10;
const CR = 13;
const BLANK = 32;
const QUOTE = 34;
const HASH = 35;
const COMMA = 44;
const DASH = 45;
const DOT = 46;
const SLASH = 47;
const COLON = 58;
const AT = 64;
const CLOSE_BRACKET = 93;
const OPEN = 123;
const CLOSE = 125;

/** Offsets of words in a text. */
export interface ValueSpans {
  readonly text: string;
  readonly offsets: Uint32Array;
}

/** Classes of characters. */
const OTHER = 0;
/** Letter, or `_`. */
const LETTER = 1;
const DIGIT = 2;
/** Signs that are tokens of their own, and can only be next to blanks and values. */
const SIGN = 4;

const CLASS = new Uint8Array(128);
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_") CLASS[c.charCodeAt(0)] = LETTER;
for (const c of "0123456789") CLASS[c.charCodeAt(0)] = DIGIT;
for (const c of "!=<>&|^()[].,:/*") CLASS[c.charCodeAt(0)] = SIGN;
const HEX = new Uint8Array(128);
for (const c of "0123456789abcdefABCDEF") HEX[c.charCodeAt(0)] = 1;

/** Kinds of values. */
const Kind = { literal: 1, range: 2, prefix: 3, quoted: 4, reference: 5, target: 6 };

/** Longest line with an outline, and most values of one. */
const LONGEST = 4096;
const MOST_VALUES = 256;
const MOST_OUTLINES = 16_384;
/** Most outlines with one hash. A hostile text can have many; the grammar then reads their lines. */
const MOST_EQUAL = 8;
/** Offsets in one block. */
const BLOCK = 100_000;
const HANDLE = / # handle (\d+)\r?(?=\n|$)/y;

/** The text of an outline before each value and after the last one, and the kinds of the values. */
interface Outline<T> {
  readonly texts: readonly string[];
  readonly kinds: Uint8Array;
  readonly shape: T;
}

/** Scans rules, or elements; `T` is what the grammar made of an outline. */
export class ShapeScanner<T> {
  /** Results of `scan`: number of values, end of the rule or element, and offset of what follows. */
  count = 0;
  end = 0;
  next = 0;
  handle: number | null = null;

  private start = 0;
  private hash = 0;
  /** Start and end of each value, without quotes and `@`; kinds of the values. */
  private readonly offsets = new Uint32Array(2 * MOST_VALUES);
  private readonly kinds = new Uint8Array(MOST_VALUES);
  private readonly known = new Map<number, Outline<T>[]>();
  private size = 0;
  /** Start, end and kind of the value that was read last. */
  private valueEnd = 0;
  private kind = 0;
  private block: ValueSpans;
  private used = 0;

  constructor(private readonly text: string) {
    this.block = { text, offsets: new Uint32Array(BLOCK / 16) };
  }

  /** Returns the shape of what was scanned, if the grammar read its outline before. */
  find(): T | undefined {
    const outlines = this.known.get(this.hash);
    if (outlines === undefined) return undefined;
    for (const outline of outlines) if (this.matches(outline)) return outline.shape;
    return undefined;
  }

  /** Adds the outline of what was scanned, after the grammar read it. */
  learn(shape: T): void {
    const outlines = this.known.get(this.hash) ?? [];
    if (this.size === MOST_OUTLINES || outlines.length === MOST_EQUAL) return;
    const texts = Array.from({ length: this.count + 1 }, (_, i) =>
      this.text.slice(this.textStart(i), this.textEnd(i)),
    );
    outlines.push({ texts, kinds: this.kinds.slice(0, this.count), shape });
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
    return i === 0 ? this.start : this.offsets[2 * i - 1]!;
  }

  private textEnd(i: number): number {
    return i === this.count ? this.end : this.offsets[2 * i]!;
  }

  value(i: number): string {
    return this.text.slice(this.offsets[2 * i], this.offsets[2 * i + 1]);
  }

  /** Returns true if what was scanned is one literal. */
  isLiteral(): boolean {
    return (
      this.count === 1 &&
      this.kinds[0] === Kind.literal &&
      this.offsets[0] === this.start &&
      this.offsets[1] === this.end
    );
  }

  values(): string[] {
    return Array.from({ length: this.count }, (_, i) => this.value(i));
  }

  /**
   * Stores the offsets of what was scanned: its start and end, then those of the values.
   * @returns index of the first in `spans`
   */
  store(): number {
    if (this.used + 2 + 2 * this.count > this.block.offsets.length) {
      this.block = { text: this.text, offsets: new Uint32Array(BLOCK) };
      this.used = 0;
    }
    const { offsets } = this.block;
    const index = this.used;
    offsets[index] = this.start;
    offsets[index + 1] = this.end;
    for (let i = 0; i < 2 * this.count; i++) offsets[index + 2 + i] = this.offsets[i]!;
    this.used += 2 + 2 * this.count;
    return index;
  }

  get spans(): ValueSpans {
    return this.block;
  }

  /**
   * Scans the rule or element that starts at an offset, and sets the fields above.
   * @param element stop at a comma or brace outside the braces of the element
   * @returns false if it has no outline
   */
  scan(start: number, element: boolean): boolean {
    const { text, offsets } = this;
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
      offsets[2 * this.count] = at;
      offsets[2 * this.count + 1] = this.valueEnd;
      this.kinds[this.count++] = this.kind;
      // The closing quote belongs to the outline.
      at = this.kind === Kind.quoted ? this.valueEnd + 1 : this.valueEnd;
    }
    this.end = last === BLANK ? at - 1 : at;
    this.next = at;
    this.hash = hash;
    this.handle = null;
    if (depth !== 0 || at >= limit || this.end <= start) return false;
    if (element) return c === COMMA || c === CLOSE;
    return c === HASH ? this.handleAt(at - 1) : true;
  }

  /**
   * Reads a token, and a value that starts there or follows `jump`.
   * @returns end of what belongs to the outline; -1 if the grammar must read the line
   */
  private tokenEnd(at: number, c: number): number {
    const { text } = this;
    const sort = c < 128 ? CLASS[c]! : OTHER;
    this.kind = 0;
    if (c === BLANK || c === OPEN || c === CLOSE) return at + 1;
    if (sort === SIGN && !(c === COLON && text.charCodeAt(at + 1) === COLON)) return at + 1;
    if (sort === LETTER && !(HEX[c] === 1 && this.colonAddress(at))) {
      this.kind = 0;
      const end = this.wordEnd(at);
      const isJump = end - at === 4 && (text.startsWith("jump", at) || text.startsWith("goto", at));
      if (!isJump) return end;
      return text.charCodeAt(end) === BLANK && this.target(end + 1) ? end + 1 : -1;
    }
    if (sort !== LETTER && !this.readValue(at, c, sort)) return -1;
    // The outline contains the quote or the `@`; the value does not.
    return this.kind === Kind.quoted || this.kind === Kind.reference ? at + 1 : at;
  }

  /** Reads `# handle 5` at the end of a rule. */
  private handleAt(at: number): boolean {
    HANDLE.lastIndex = at;
    const found = HANDLE.exec(this.text);
    if (found === null) return false;
    this.handle = Number(found[1]);
    this.next = HANDLE.lastIndex;
    return true;
  }

  /** Returns the end of a word; -1 if a sign follows that could be a part of it. */
  private wordEnd(start: number): number {
    const { text } = this;
    let at = start + 1;
    let c = text.charCodeAt(at);
    while (c < 128 && ((CLASS[c]! & 3) !== 0 || c === DOT || c === SLASH || c === DASH))
      c = text.charCodeAt(++at);
    return isEnd(c) ? at : -1;
  }

  /** Reads the name of a chain. */
  private target(start: number): boolean {
    const { text } = this;
    let at = start;
    let c = text.charCodeAt(at);
    while (c < 128 && ((CLASS[c]! & 3) !== 0 || c === DASH || c === DOT)) c = text.charCodeAt(++at);
    this.kind = Kind.target;
    this.valueEnd = at;
    return at > start && c !== CLOSE_BRACKET && isEnd(c);
  }

  /** Reads a value: a literal, a range, a prefix, a string or `@name`. */
  private readValue(at: number, c: number, sort: number): boolean {
    if (c === QUOTE) return this.quoted(at);
    if (c === AT) return this.reference(at);
    if (this.colonAddress(at)) return true;
    return sort === DIGIT && this.number(at);
  }

  private quoted(start: number): boolean {
    const { text } = this;
    let at = start + 1;
    let c = text.charCodeAt(at);
    while (c !== QUOTE && c > CR) c = text.charCodeAt(++at);
    this.kind = Kind.quoted;
    this.valueEnd = at;
    return c === QUOTE && isEnd(text.charCodeAt(at + 1));
  }

  private reference(start: number): boolean {
    const c = this.text.charCodeAt(start + 1);
    if (c >= 128 || CLASS[c] !== LETTER) return false;
    const end = this.wordEnd(start + 1);
    this.kind = Kind.reference;
    this.valueEnd = end;
    return end > 0 && this.text.charCodeAt(end) !== COMMA;
  }

  /** Reads an IPv6 or hardware address, and a prefix of one. */
  private colonAddress(start: number): boolean {
    const { text } = this;
    let at = start;
    let colons = 0;
    let group = 0;
    for (; ; at++) {
      const c = text.charCodeAt(at);
      if (c === COLON) {
        colons++;
        group = 0;
      } else if (c < 128 && HEX[c] === 1 && group < 4) group++;
      else break;
    }
    if (colons < 2 || colons > 8) return false;
    return this.literalEnd(at, Kind.literal);
  }

  /** Reads a number, a time or an IPv4 address, and a range or a prefix of these. */
  private number(start: number): boolean {
    const { text } = this;
    const end = this.atomEnd(start);
    const c = text.charCodeAt(end);
    if (c !== DASH) return this.literalEnd(end, Kind.literal, text.slice(start, end).includes("."));
    const second = text.charCodeAt(end + 1);
    if (second >= 128 || CLASS[second] !== DIGIT) return false;
    const last = this.atomEnd(end + 1);
    this.kind = Kind.range;
    this.valueEnd = last;
    const next = text.charCodeAt(last);
    return isEnd(next) || (next === COLON && text.slice(end, last).includes("."));
  }

  /** Ends a literal, or reads the length of a prefix. */
  private literalEnd(end: number, kind: number, port = false): boolean {
    const { text } = this;
    const c = text.charCodeAt(end);
    this.kind = kind;
    this.valueEnd = end;
    // `10.0.0.1:80` is an address and a port.
    if (isEnd(c) || (port && c === COLON)) return true;
    if (c !== SLASH) return false;
    let at = end + 1;
    let d = text.charCodeAt(at);
    while (d < 128 && (CLASS[d]! & 3) !== 0) d = text.charCodeAt(++at);
    this.kind = Kind.prefix;
    this.valueEnd = at;
    return at > end + 1 && isEnd(d);
  }

  private atomEnd(start: number): number {
    const { text } = this;
    let at = start + 1;
    let c = text.charCodeAt(at);
    while (c < 128 && ((CLASS[c]! & 3) !== 0 || c === DOT)) c = text.charCodeAt(++at);
    return at;
  }
}

/** Returns true for characters that can follow any token. */
function isEnd(c: number): boolean {
  return (
    c === BLANK ||
    c === LF ||
    c === CR ||
    c === COMMA ||
    c === CLOSE ||
    c === CLOSE_BRACKET ||
    Number.isNaN(c)
  );
}
