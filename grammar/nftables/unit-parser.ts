/** Parser of one unit: a rule, a line of a chain or a set, an element. The document reader splits the text into units. */

import { type IToken, Lexer, type TokenType } from "chevrotain";
import type { BaseChainLine, Element, Expression, Rule } from "./ast.ts";
import { KNOWN, truncate } from "./line-error.ts";
import { ParsedRule } from "./parsed-rule.ts";
import { Mode, spread } from "./selector-parser.ts";
import { type RuleShape, type ShapeTable, Template } from "./shapes.ts";
import { type RuleContent, StatementParser } from "./statement-parser.ts";
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

/** Key and data of a named set. */
export interface SetType {
  readonly key: { readonly type: readonly string[] } | { readonly typeof: Expression };
  readonly data: { readonly type: readonly string[] } | { readonly typeof: Expression } | null;
  readonly dataWord?: string;
}

type Base = Omit<BaseChainLine, "policy" | "line" | "column">;

/** Deepest nesting of braces and parentheses. */
const MOST_DEPTH = 32;

/** A place in the document. */
type Place = { readonly line: number; readonly column: number };

/** Create it once and lazily: creation takes longer than parsing a small file. */
export class UnitParser extends StatementParser {
  private readonly lexer: Lexer;

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
      new ParsedRule(line, column, shape, own, content, text, handle);
    const known = strict ? undefined : shapes.find(key);
    if (known?.template) return { rule: create(known, values, null), error: null };
    this.slots = !nested;
    this.nested = (content, first, last) => {
      const place = locate(first.startOffset);
      const excerpt = text.slice(first.startOffset, last.startOffset + last.image.length);
      return new ParsedRule(place.line, place.column, shapes.add(key, 0, null), [], content, excerpt, null);
    };
    const { node, error } = this.run(text, tokens, () => this.ruleContent());
    if (error === null) {
      const rule = nested
        ? create(shapes.add(key, 0, null), [], node)
        : create(shapes.add(key, values.length, node), values, null);
      return { rule, error };
    }
    return { rule: create(shapes.add("unknown", 0, null), [], this.withUnknown(text, tokens)), error };
  }

  /** Returns what was read before a syntax error, and the rest of the rule as an unknown statement. */
  private withUnknown(text: string, tokens: readonly IToken[]): RuleContent {
    if (this.slots) {
      // Read the statements again, with their values.
      this.slots = false;
      this.run(text, tokens, () => this.ruleContent());
    }
    const { statements, comment } = this.partial;
    const start = this.unread?.startOffset ?? 0;
    return { statements: [...statements, { kind: "unknown", text: text.slice(start) }], comment };
  }

  /** Parses one element of a set or a map. */
  elementOf(text: string): UnitResult<Element> {
    this.slots = false;
    return this.run(text, this.tokenize(text, "set"), () => this.element());
  }

  /** Parses an element as a template for others. */
  elementTemplate(text: string): Template<Element> | null {
    const tokens = this.tokenize(text, "set");
    outline(tokens);
    this.slots = true;
    const { node } = this.run(text, tokens, () => this.element());
    return node === null ? null : new Template(node);
  }

  /** Parses `type filter hook input priority filter + 5`. */
  baseChain(text: string): UnitResult<Base> {
    this.slots = false;
    return this.run(text, this.tokenize(text, "line"), () => this.base());
  }

  /** Parses `type ...` and `typeof ...` of a set. */
  setType(text: string): UnitResult<SetType> {
    this.slots = false;
    return this.run(text, this.tokenize(text, "line"), () => this.type());
  }

  /** Parses the right side of `define NAME = ...`. */
  definition(text: string): UnitResult<Expression> {
    this.slots = false;
    return this.run(text, this.tokenize(text, "line"), () => this.concatenation(Mode.constant, true));
  }

  private run<T>(text: string, tokens: readonly IToken[], read: () => T): UnitResult<T> {
    const deep = tooDeep(tokens);
    if (deep !== undefined) {
      this.resetRule();
      this.unread = tokens[0];
      return { node: null, error: { message: "nested too deeply", found: deep.image, at: deep.startOffset } };
    }
    this.input = tokens as IToken[];
    this.resetRule();
    const node = read();
    const error = this.errors[0];
    // Release the tokens, which keep the text alive.
    this.input = [];
    if (error === undefined) return { node, error: null };
    const at = tokens.indexOf(error.token);
    const token = tokens[at];
    const previous = at < 0 ? tokens.at(-1) : tokens[at - 1];
    const expected = error.message === KNOWN ? this.expected : error.message;
    return {
      node: null,
      error: {
        message:
          token?.tokenType === t.Unterminated
            ? "unterminated quote"
            : `expected ${expected}${previous === undefined ? "" : ` after ${truncate(previous.image)}`}`,
        found: truncate(token?.image ?? "").replace(/\n.*/s, ""),
        at: token?.startOffset ?? text.length,
      },
    };
  }

  private base = this.RULE("base", (): Base => {
    this.SUBRULE(this.known, { ARGS: [TYPE, "type"] });
    const type = this.SUBRULE(this.word);
    this.SUBRULE1(this.known, { ARGS: [HOOK, "hook"] });
    const hook = this.SUBRULE2(this.known, { ARGS: [HOOKS, "a hook"] });
    const devices: string[] = [];
    this.OPTION({
      GATE: () => this.next("device"),
      DEF: () => {
        this.SUBRULE1(this.word);
        devices.push(this.SUBRULE(this.device));
      },
    });
    this.OPTION1({
      GATE: () => this.next("devices"),
      DEF: () => {
        this.SUBRULE2(this.word);
        this.CONSUME(t.Equals);
        devices.push(...spread(this.SUBRULE(this.deviceList)));
      },
    });
    this.SUBRULE3(this.known, { ARGS: [PRIORITY, "priority"] });
    const priority = this.SUBRULE(this.priority);
    const bare = this.ACTION(() => devices.some((name) => !name.startsWith('"')));
    const names = this.ACTION(() => devices.map(t.unquote));
    return { type, hook, devices: names, ...(bare ? { bareDevices: true as const } : {}), priority };
  });

  private deviceList = this.RULE("deviceList", (): string[] => {
    const devices: string[] = [];
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Open);
          this.MANY_SEP({ SEP: t.Comma, DEF: () => devices.push(this.SUBRULE(this.device)) });
          this.CONSUME(t.Close);
        },
      },
      { ALT: () => devices.push(this.CONSUME(t.Variable).image) },
    ]);
    return devices;
  });

  /** Name of a device as written: in quotes or not, or a variable. */
  private device = this.RULE("device", (): string =>
    this.OR([
      { ALT: () => this.CONSUME(t.Quoted).image },
      { ALT: () => this.CONSUME(t.Word).image },
      { ALT: () => this.CONSUME(t.Variable).image },
    ]),
  );

  /** `0`, `-100`, `filter`, `filter + 10`. */
  private priority = this.RULE("priority", (): string =>
    this.OR([
      { ALT: () => this.SUBRULE(this.number) },
      {
        ALT: () => {
          this.CONSUME(t.Dash);
          return `-${this.SUBRULE1(this.number)}`;
        },
      },
      {
        ALT: () => {
          let text = this.SUBRULE(this.word);
          this.OPTION(() => {
            const sign = this.OR1([
              { ALT: () => this.CONSUME(t.Plus).image },
              { ALT: () => this.CONSUME1(t.Dash).image },
            ]);
            text += ` ${sign} ${this.SUBRULE2(this.number)}`;
          });
          return text;
        },
      },
    ]),
  );

  private type = this.RULE("type", (): SetType => {
    const word = this.SUBRULE(this.known, { ARGS: [TYPES, "type or typeof"] });
    let key: SetType["key"] = { type: [] };
    let data: SetType["data"] = null;
    let dataWord = "";
    this.OR([
      { GATE: () => word === "typeof", ALT: () => (key = this.SUBRULE(this.typeofExpression)) },
      { ALT: () => (key = this.SUBRULE(this.typeNames)) },
    ]);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.OPTION1({
        GATE: () => this.next("interval"),
        DEF: () => {
          dataWord = this.SUBRULE(this.word);
        },
      });
      this.OR1({
        DEF: [
          {
            GATE: () => word === "typeof" && !OBJECTS.has(this.LA(1).image),
            ALT: () => (data = this.SUBRULE1(this.typeofExpression)),
          },
          { ALT: () => (data = this.SUBRULE1(this.typeNames)) },
        ],
        IGNORE_AMBIGUITIES: true,
      });
    });
    return { key, data, ...(dataWord === "" ? {} : { dataWord }) };
  });

  private typeofExpression = this.RULE("typeofExpression", (): { typeof: Expression } => ({
    typeof: this.SUBRULE(this.concatenation, { ARGS: [Mode.selector, false] }),
  }));

  private typeNames = this.RULE("typeNames", (): { type: string[] } => {
    const type = [this.SUBRULE(this.word)];
    // `ct helper`, `ct timeout` and `ct expectation` are one type.
    this.OPTION({
      GATE: () => type[0] === "ct",
      DEF: () => {
        type[0] += ` ${this.SUBRULE2(this.word)}`;
      },
    });
    this.MANY(() => {
      this.CONSUME(t.Dot);
      type.push(this.SUBRULE1(this.word));
    });
    return { type };
  });
}

const TYPE: ReadonlySet<string> = new Set(["type"]);
const HOOK: ReadonlySet<string> = new Set(["hook"]);
const PRIORITY: ReadonlySet<string> = new Set(["priority"]);
const TYPES: ReadonlySet<string> = new Set(["type", "typeof"]);
const HOOKS: ReadonlySet<string> = new Set([
  "prerouting",
  "input",
  "forward",
  "output",
  "postrouting",
  "ingress",
  "egress",
]);
/** Data of a map that are no values. */
const OBJECTS: ReadonlySet<string> = new Set([
  "verdict",
  "counter",
  "quota",
  "limit",
  "ct",
  "secmark",
  "synproxy",
]);

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
