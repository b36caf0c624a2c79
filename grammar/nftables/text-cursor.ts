/** Position in a text that only moves forward, with line numbers and units. */

import type { Position } from "./ast.ts";
import { truncate } from "./line-error.ts";

const TAB = 9;
const LF = 10;
const CR = 13;
const BLANK = 32;
const QUOTE = 34;
const HASH = 35;
const SEMICOLON = 59;
const BACKSLASH = 92;
const OPEN = 123;
const CLOSE = 125;

/** Longest unit (rule, line, element) in UTF-16 units. */
export const LONGEST_UNIT = 1 << 20;

/** One rule or line: its text ends before a line feed, a semicolon, a comment or a closing brace outside its own braces. */
export interface Unit {
  readonly start: number;
  readonly text: string;
  /** Text of the comment after it on the same line, without the `#`; `""` without one. */
  readonly comment: string;
}

export class TextCursor {
  /** Offset of the next character. */
  at = 0;
  /** Line of the offset that was located last. */
  line = 1;
  private lineStart = 0;
  /** Offset up to which lines are counted. */
  private counted = 0;
  /** Units that start before this offset end at the end of their line, because a brace there has no end. */
  private singleLines = 0;

  constructor(readonly text: string) {}

  get done(): boolean {
    return this.at >= this.text.length;
  }

  /** Returns line and column of an offset. Offsets before the last one that was located are slow. */
  locate(offset: number): Position {
    this.moveLine(offset);
    return { line: this.line, column: this.columnOf(offset) };
  }

  /** Returns the column of an offset in the line that was located last. */
  columnOf(offset: number): number {
    return offset - this.lineStart + 1;
  }

  /** Locates an offset, as `locate` does. */
  moveLine(offset: number): void {
    if (offset < this.counted) {
      this.line = 1;
      this.lineStart = 0;
      this.counted = 0;
    }
    for (;;) {
      const feed = this.text.indexOf("\n", this.counted);
      if (feed < 0 || feed >= offset) break;
      this.line++;
      this.lineStart = this.counted = feed + 1;
    }
  }

  /** Returns the place of an offset in a unit whose start was located last, without moving. */
  locateWithin(start: Position, unit: string, offset: number): Position {
    let { line, column } = start;
    let from = 0;
    for (;;) {
      const feed = unit.indexOf("\n", from);
      if (feed < 0 || feed >= offset) return { line, column: column + offset - from };
      line++;
      column = 1;
      from = feed + 1;
    }
  }

  /** Skips blanks, line feeds and semicolons. Returns the character code there; `NaN` at the end. */
  skipBlanks(): number {
    const { text } = this;
    let c = text.charCodeAt(this.at);
    while (
      c === BLANK ||
      c === TAB ||
      c === LF ||
      c === SEMICOLON ||
      (c === CR && this.endsLine(this.at)) ||
      (c === BACKSLASH && this.continues(this.at))
    )
      c = text.charCodeAt(++this.at);
    return c;
  }

  /** Matches a sticky pattern here and moves behind it. */
  match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found !== null) this.at = pattern.lastIndex;
    return found;
  }

  /** Returns true if a sticky pattern matches here. */
  starts(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    return pattern.test(this.text);
  }

  /** Returns the text up to the end of the line, without moving. */
  excerpt(): string {
    const feed = this.text.indexOf("\n", this.at);
    const end = feed < 0 ? this.text.length : feed;
    return truncate(this.text.slice(this.at, Math.min(end, this.at + 100)).trimEnd());
  }

  /** Reads a comment at `#`: its text without the `#`. */
  comment(): string {
    const feed = this.text.indexOf("\n", this.at);
    const start = this.at + 1;
    this.at = feed < 0 ? this.text.length : feed;
    const end = this.text.charCodeAt(this.at - 1) === CR ? this.at - 1 : this.at;
    return this.text.slice(start, end);
  }

  /** Returns true if this text precedes the next character in its line, and is all that does. */
  follows(text: string): boolean {
    return this.text.endsWith(`\n${text}`, this.at);
  }

  /**
   * Reads one unit.
   * @param before number of blanks before it that belong to it
   */
  unit(before = 0): Unit {
    const start = this.at - before;
    let end = start < this.singleLines ? -1 : this.unitEnd(start, false);
    if (end < 0) {
      if (start >= this.singleLines) this.singleLines = this.text.length;
      end = this.unitEnd(start, true);
    }
    this.at = end;
    const text = this.text.slice(start, this.withoutBlanks(end));
    return { start, text, comment: this.text.charCodeAt(end) === HASH ? this.comment() : "" };
  }

  /**
   * Goes back to a unit of several lines that has an error: its lines are units of their own. A brace that is not closed
   * makes the lines after it part of the rule.
   * @returns its first line; `null` if the unit has one line
   */
  firstLine({ start, text }: Unit): Unit | null {
    if (start < this.singleLines || !text.includes("\n")) return null;
    this.singleLines = this.at;
    this.at = start;
    return this.unit();
  }

  /** Returns the end of a unit; -1 if a brace is never closed. */
  private unitEnd(start: number, oneLine: boolean): number {
    const { text } = this;
    const limit = Math.min(text.length, start + LONGEST_UNIT);
    let depth = 0;
    let at = start;
    for (; at < limit; at++) {
      const c = text.charCodeAt(at);
      if (c === QUOTE) at = this.quoteEnd(at);
      else if (c === OPEN) depth++;
      else if (c === CLOSE) {
        if (depth === 0) return at;
        depth--;
      } else if (c === BACKSLASH && this.continues(at)) at = text.indexOf("\n", at);
      else if ((depth === 0 || oneLine) && (c === LF || (c === SEMICOLON && depth === 0) || c === HASH))
        return at;
      else if (c === HASH) at = lineEnd(text, at) - 1;
    }
    return oneLine || depth === 0 ? Math.min(at, limit) : -1;
  }

  /** Returns the offset of the closing quote; without one, of the last character of the line. */
  private quoteEnd(start: number): number {
    const { text } = this;
    for (let at = start + 1; at < text.length; at++) {
      const c = text.charCodeAt(at);
      if (c === QUOTE) return at;
      if (c === LF) return at - 1;
    }
    return text.length - 1;
  }

  /** Returns the end of a text without the blanks before it. */
  private withoutBlanks(end: number): number {
    let at = end;
    for (; ; at--) {
      const c = this.text.charCodeAt(at - 1);
      if (c !== BLANK && c !== TAB && c !== LF && !(c === CR && this.endsLine(at - 1))) return at;
    }
  }

  /** Returns true if the carriage return at this offset is a part of the end of a line. Alone it is no blank in nft. */
  private endsLine(at: number): boolean {
    return this.text.charCodeAt(at + 1) === LF;
  }

  /** Returns true if the backslash at this offset continues the line. */
  private continues(at: number): boolean {
    const next = this.text.charCodeAt(at + 1);
    return next === LF || (next === CR && this.text.charCodeAt(at + 2) === LF);
  }

  /**
   * Moves to the next element of `elements = { ... }`, or behind the closing brace.
   * @returns 0 if there is none, 1 for an element, 2 for one after a line feed
   */
  nextElement(): 0 | 1 | 2 {
    const { text } = this;
    let found: 1 | 2 = 1;
    for (; this.at < text.length; this.at++) {
      const c = text.charCodeAt(this.at);
      if (c === LF) found = 2;
      else if (c === HASH) this.at = lineEnd(text, this.at) - 1;
      else if (c === CLOSE) {
        this.at++;
        return 0;
      } else if (
        c !== BLANK &&
        c !== TAB &&
        c !== COMMA &&
        !(c === CR && this.endsLine(this.at)) &&
        !(c === BACKSLASH && this.continues(this.at))
      )
        return found;
    }
    return 0;
  }

  /** Reads one element. */
  element(): Unit {
    const start = this.at;
    this.at = this.elementEnd(start);
    return { start, text: this.text.slice(start, this.withoutBlanks(this.at)), comment: "" };
  }

  private elementEnd(start: number): number {
    const { text } = this;
    const limit = Math.min(text.length, start + LONGEST_UNIT);
    let depth = 0;
    let at = start;
    for (; at < limit; at++) {
      const c = text.charCodeAt(at);
      if (c === QUOTE) at = this.quoteEnd(at);
      else if (c === OPEN) depth++;
      else if (c === CLOSE) {
        if (depth === 0) return at;
        depth--;
      } else if (depth === 0 && (c === COMMA || c === HASH)) return at;
    }
    return Math.min(at, limit);
  }
}

const COMMA = 44;

function lineEnd(text: string, at: number): number {
  const feed = text.indexOf("\n", at);
  return feed < 0 ? text.length : feed;
}
