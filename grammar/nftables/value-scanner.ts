/** Reads words and values of a rule at a position of the text, as nft prints these. */

const LF = 10;
const CR = 13;
const BLANK = 32;
const QUOTE = 34;
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

/** Kinds of values. */
export const Kind = { literal: 1, range: 2, prefix: 3, quoted: 4, reference: 5, target: 6 };

/** Reads words and values. The fields are those of the value that was read last. */
export class ValueScanner {
  protected valueEnd = 0;
  /** Kind of the value; 0 if there is none. */
  protected kind = 0;

  constructor(protected readonly text: string) {}

  /**
   * Reads a token, and a value that starts there or follows `jump`.
   * @returns end of what belongs to the outline; -1 if the grammar must read the line
   */
  protected tokenEnd(at: number, c: number): number {
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

  /** Reads a value of a kind, as `tokenEnd` does; an opening quote and an `@` precede it. */
  protected valueAt(at: number, kind: number): boolean {
    if (kind === Kind.quoted) return this.quoted(at - 1);
    if (kind === Kind.reference) return this.reference(at - 1);
    if (kind === Kind.target) return this.target(at);
    const c = this.text.charCodeAt(at);
    const sort = c < 128 ? CLASS[c]! : OTHER;
    if (sort === DIGIT) return this.readValue(at, c, sort) && this.kind === kind;
    return sort === LETTER && HEX[c] === 1 && this.colonAddress(at) && this.kind === kind;
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
    if (c !== DASH) return this.literalEnd(end, Kind.literal, c === COLON && this.dotted(start, end));
    const second = text.charCodeAt(end + 1);
    if (second >= 128 || CLASS[second] !== DIGIT) return false;
    const last = this.atomEnd(end + 1);
    this.kind = Kind.range;
    this.valueEnd = last;
    const next = text.charCodeAt(last);
    return isEnd(next) || (next === COLON && this.dotted(end, last));
  }

  /** Returns true for an IPv4 address, after which a colon and a port may follow. */
  private dotted(start: number, end: number): boolean {
    return this.text.slice(start, end).includes(".");
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
