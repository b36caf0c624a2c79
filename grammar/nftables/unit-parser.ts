/** Parser of one unit: a rule, a line of a chain or a set, an element. The document reader splits the text into units. */

import { type IToken, Lexer, type TokenType } from "chevrotain";
import type { Element, Expression, Rule, Statement } from "./ast.ts";
import { type Base, DeclarationParser, type SetType } from "./declaration-parser.ts";
import { KNOWN, truncate } from "./line-error.ts";
import { ParsedRule } from "./parsed-rule.ts";
import { Mode } from "./selector-parser.ts";
import { type RuleShape, type ShapeTable, Template } from "./shapes.ts";
import type { RuleContent } from "./statement-parser.ts";
import * as t from "./tokens.ts";

/** A syntax error in a unit. */
export interface UnitError {
  readonly message: string;
  readonly found: string;
  /** Offset in the unit. */
  readonly at: number;
}

/** Result of parsing a unit: what was read, or the error. */
export type UnitResult<T> =
  | { readonly node: T; readonly error: null }
  | { readonly node: null; readonly error: UnitError };

/** Point at which the grammar stopped: index of the unexpected token, and what was expected; `null` if it is nested too deeply. */
interface Stop {
  readonly index: number;
  readonly expected: string | null;
}

/** A rule with a syntax error: what was read before, and the index of the first token after it. */
interface Failure {
  readonly stop: Stop;
  readonly partial: Template<RuleContent>;
  readonly unread: number;
}

/** Most memoized errors, and the length of the longest key. */
const MOST_FAILURES = 1024;
const LONGEST_KEY = 1024;

/** Deepest nesting of braces and parentheses. */
const MOST_DEPTH = 32;

/** A place in the document. */
type Place = { readonly line: number; readonly column: number };

/** Create it once and lazily: creation takes longer than parsing a small file. */
export class UnitParser extends DeclarationParser {
  private readonly lexer: Lexer;
  private readonly elementStops = new Map<string, Stop>();
  private readonly failures = new Map<string, Failure>();

  constructor({ validate = false } = {}) {
    super(validate);
    this.lexer = new Lexer(t.vocabulary, {
      positionTracking: "onlyOffset",
      ensureOptimizations: validate,
      skipValidations: !validate,
    });
    this.performSelfAnalysis();
  }

  /** Splits a unit into words as it is written; strings have their quotes. */
  words(text: string): readonly string[] {
    return this.tokenize(text, "line").map((token) => token.image);
  }

  private tokenize(text: string, mode: "line" | "set"): IToken[] {
    const { tokens } = this.lexer.tokenize(text, mode);
    t.classify(tokens);
    return tokens;
  }

  /**
   * Parses a rule.
   * @param locate returns the line and column of an offset in the unit
   */
  rule(
    text: string,
    shapes: ShapeTable,
    handle: number | null,
    strict: boolean,
    locate: (at: number) => Place,
  ): { readonly rule: Rule; readonly error: UnitError | null } {
    const plain = this.tokenize(text, "line");
    const tokens = t.withEmpty(plain, text);
    const result = this.ruleOf(text, tokens, shapes, handle, strict, locate);
    // Blanks that are no empty text, in a rule that a person wrote.
    return result.error !== null && tokens.length > plain.length
      ? this.ruleOf(text, plain, shapes, handle, strict, locate)
      : result;
  }

  private ruleOf(
    text: string,
    tokens: IToken[],
    shapes: ShapeTable,
    handle: number | null,
    strict: boolean,
    locate: (at: number) => Place,
  ): { readonly rule: Rule; readonly error: UnitError | null } {
    const { key, values, nested } = outline(tokens);
    const { line, column } = locate(0);
    const create = (shape: RuleShape, own: readonly string[], content: RuleContent | null): Rule =>
      new ParsedRule(line, column, shape, handle, { text, values: own, content });
    const known = strict ? undefined : shapes.find(key);
    if (known?.template) return { rule: create(known, values, null), error: null };
    this.slots = !nested;
    this.nested = (content, first, last) => {
      const place = locate(first.startOffset);
      const excerpt = text.slice(first.startOffset, last.startOffset + last.image.length);
      const own = { text: excerpt, values: [], content };
      return new ParsedRule(place.line, place.column, shapes.add(key, 0, null), null, own);
    };
    let failure = strict ? undefined : this.failures.get(key);
    if (failure === undefined) {
      const { node, stop } = this.run(tokens, () => this.ruleContent());
      if (stop === null)
        return {
          rule: nested
            ? create(shapes.add(key, 0, null), [], node)
            : create(shapes.add(key, values.length, node), values, null),
          error: null,
        };
      failure = this.failureOf(tokens, stop);
      // Chevrotain throws an exception at an error, which takes ten times as long as parsing a line.
      if (!nested && key.length < LONGEST_KEY && this.failures.size < MOST_FAILURES)
        this.failures.set(key, failure);
    }
    const { statements, comment } = failure.partial.build(values);
    const rest: Statement = { kind: "unknown", text: text.slice(tokens[failure.unread]?.startOffset ?? 0) };
    const content = { statements: [...statements, rest], comment };
    return {
      rule: create(shapes.add("unknown", 0, null), [], content),
      error: toError(failure.stop, tokens, text),
    };
  }

  /** Returns what was read before a syntax error. */
  private failureOf(tokens: readonly IToken[], stop: Stop): Failure {
    const unread = this.unread === undefined ? 0 : tokens.indexOf(this.unread);
    return { stop, partial: new Template<RuleContent>(this.partial), unread };
  }

  /** Parses one element of a set or a map. */
  elementOf(text: string): UnitResult<Element> {
    const tokens = this.tokenize(text, "set");
    const { key } = outline(tokens);
    const known = this.elementStops.get(key);
    if (known !== undefined) return { node: null, error: toError(known, tokens, text) };
    this.slots = false;
    const { node, stop } = this.run(tokens, () => this.element());
    if (stop === null) return { node, error: null };
    if (key.length < LONGEST_KEY && this.elementStops.size < MOST_FAILURES) this.elementStops.set(key, stop);
    return { node: null, error: toError(stop, tokens, text) };
  }

  /** Parses an element as a template for others. */
  elementTemplate(text: string): Template<Element> | null {
    const tokens = this.tokenize(text, "set");
    outline(tokens);
    this.slots = true;
    const { node } = this.run(tokens, () => this.element());
    return node === null ? null : new Template(node);
  }

  /** Parses `type filter hook input priority filter + 5`. */
  baseChain(text: string): UnitResult<Base> {
    this.slots = false;
    return this.parse(text, this.tokenize(text, "line"), () => this.base());
  }

  /** Parses `type ...` and `typeof ...` of a set. */
  setType(text: string): UnitResult<SetType> {
    this.slots = false;
    return this.parse(text, this.tokenize(text, "line"), () => this.type());
  }

  /** Parses the right side of `define NAME = ...`. */
  definition(text: string): UnitResult<Expression> {
    this.slots = false;
    return this.parse(text, this.tokenize(text, "line"), () => this.concatenation(Mode.constant, true));
  }

  private parse<T>(text: string, tokens: readonly IToken[], read: () => T): UnitResult<T> {
    const { node, stop } = this.run(tokens, read);
    return stop === null ? { node, error: null } : { node: null, error: toError(stop, tokens, text) };
  }

  private run<T>(
    tokens: readonly IToken[],
    read: () => T,
  ): { node: T; stop: null } | { node: null; stop: Stop } {
    this.resetRule();
    const deep = tooDeep(tokens);
    if (deep !== undefined) return { node: null, stop: { index: tokens.indexOf(deep), expected: null } };
    this.input = tokens as IToken[];
    const node = read();
    const error = this.errors[0];
    // Release the tokens, which keep the text alive.
    this.input = [];
    if (error === undefined) return { node, stop: null };
    const index = tokens.indexOf(error.token);
    const expected = error.message === KNOWN ? this.expected : error.message;
    return { node: null, stop: { index: index < 0 ? tokens.length : index, expected } };
  }
}

/** Returns the error of a unit at which the grammar stopped. */
function toError({ index, expected }: Stop, tokens: readonly IToken[], text: string): UnitError {
  const token = tokens[index];
  const previous = tokens[index - 1];
  const after = previous === undefined ? "" : ` after ${truncate(previous.image)}`;
  const message = expected === null ? "nested too deeply" : `expected ${expected}${after}`;
  return {
    message: token?.tokenType === t.Unterminated ? "unterminated quote" : message,
    found: truncate(token?.image ?? "").replace(/\n.*/s, ""),
    at: token?.startOffset ?? text.length,
  };
}

/** Token types that are a value of a rule. Rules that differ only in these have one shape. */
const SLOTS: ReadonlySet<TokenType> = new Set([t.Range, t.Prefix, t.Quoted, t.Reference, t.Target]);

/** Returns a key that is equal for rules of one shape, and numbers the tokens that are values. */
function outline(tokens: readonly IToken[]): { key: string; values: string[]; nested: boolean } {
  let key = "";
  let nested = false;
  const values: string[] = [];
  for (const token of tokens) {
    const { tokenType: type, image } = token;
    const isLiteral = type.CATEGORIES?.includes(t.Literal) ?? false;
    if (isLiteral || SLOTS.has(type)) {
      token.payload = values.length;
      values.push(type === t.Reference ? image.slice(1) : t.unquote(image));
      key += `\n${isLiteral ? t.Literal.name : type.name}\n`;
    } else key += `${image}\n`;
    if (type === t.OpenChain) nested = true;
  }
  return { key, values, nested };
}

/** Returns the bracket that is nested too deeply. */
function tooDeep(tokens: readonly IToken[]): IToken | undefined {
  let depth = 0;
  return tokens.find(({ tokenType: type }) => {
    if (type === t.Open || type === t.OpenChain || type === t.OpenParen) depth++;
    else if (type === t.Close || type === t.CloseParen) depth--;
    return depth > MOST_DEPTH;
  });
}
