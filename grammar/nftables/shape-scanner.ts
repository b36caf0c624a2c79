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

/** Kinds of values, in an outline. No text of a rule contains these characters. */
export const Kind = {
  literal: "\u0001",
  range: "\u0002",
  prefix: "\u0003",
  quoted: "\u0004",
  reference: "\u0005",
  target: "\u0006",
};

/** Longest line with an outline, and most values of one. */
const LONGEST = 4096;
const MOST_VALUES = 256;
const MOST_OUTLINES = 16_384;
const HANDLE = / # handle (\d+)\r?(?=\n|$)/y;

/** Scans rules, or elements; `T` is what the grammar made of an outline. */
export class ShapeScanner<T> {
  /** Result of `scan`. */
  outline = "";
  values: string[] = [];
  /** Offset of the end of the rule or element, and of what follows: the line feed after a handle, or the separator. */
  end = 0;
  next = 0;
  handle: number | null = null;

  private readonly known = new Map<string, T>();
  /** End and kind of the value that was read last. */
  private valueEnd = 0;
  private kind = "";

  constructor(private readonly text: string) {}

  /** Returns the shape of an outline that the grammar read before. */
  find(outline: string): T | undefined {
    return this.known.get(outline);
  }

  /** Adds an outline, after the grammar read its first line. */
  learn(outline: string, shape: T): void {
    if (this.known.size < MOST_OUTLINES) this.known.set(outline, shape);
  }

  /**
   * Scans the rule or element that starts at an offset, and sets the fields above.
   * @param element stop at a comma or brace outside the braces of the element
   * @returns false if it has no outline
   */
  scan(start: number, element: boolean): boolean {
    const { text } = this;
    const values: string[] = [];
    const limit = Math.min(text.length, start + LONGEST);
    let outline = "";
    let from = start;
    let depth = 0;
    let at = start;
    let c = BLANK;
    let last = BLANK;
    while (at < limit) {
      c = text.charCodeAt(at);
      if (c === LF || c === CR || c === HASH) break;
      if (depth === 0 && element && (c === COMMA || c === CLOSE)) break;
      const sort = c < 128 ? CLASS[c]! : OTHER;
      if (sort === LETTER && !(HEX[c] === 1 && this.colonAddress(at))) {
        const end = this.wordEnd(at);
        if (end < 0) return false;
        const isJump = end - at === 4 && (text.startsWith("jump", at) || text.startsWith("goto", at));
        last = c;
        at = end;
        if (!isJump) continue;
        at = end + 1;
        if (text.charCodeAt(end) !== BLANK || !this.target(at)) return false;
      } else if (c === BLANK) {
        if (last === BLANK) return false;
        last = BLANK;
        at++;
        continue;
      } else if (c === OPEN || c === CLOSE) {
        depth += c === OPEN ? 1 : -1;
        if (depth < 0) return false;
        last = c;
        at++;
        continue;
      } else if (sort === SIGN && !(c === COLON && text.charCodeAt(at + 1) === COLON)) {
        last = c;
        at++;
        continue;
      } else if (!this.value(at, c, sort)) return false;
      const quoted = this.kind === Kind.quoted || this.kind === Kind.reference;
      const { valueEnd } = this;
      outline += text.slice(from, at) + this.kind;
      values.push(text.slice(quoted ? at + 1 : at, this.kind === Kind.quoted ? valueEnd - 1 : valueEnd));
      if (values.length > MOST_VALUES) return false;
      from = at = valueEnd;
      last = 0;
    }
    if (depth !== 0 || at >= limit) return false;
    this.end = last === BLANK ? at - 1 : at;
    if (this.end <= start) return false;
    this.outline = outline + text.slice(from, this.end);
    this.values = values;
    this.next = at;
    this.handle = null;
    if (element) return c === COMMA || c === CLOSE;
    return c === HASH ? this.handleAt(at - 1) : true;
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
  private value(at: number, c: number, sort: number): boolean {
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
    this.valueEnd = at + 1;
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
  private literalEnd(end: number, kind: string, port = false): boolean {
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
