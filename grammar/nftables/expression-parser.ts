/** Grammar of expressions. */

import { EMPTY_ALT, type IToken } from "chevrotain";
import type {
  Binary,
  Element,
  Expression,
  MapLookup,
  SetLiteral,
  SetReference,
  Value,
  Variable,
  Verdict,
} from "./ast.ts";
import { Mode, SelectorParser, spread } from "./selector-parser.ts";
import * as t from "./tokens.ts";

/** Most operators of one expression: the tree is as deep. */
const MOST_OPERATORS = 64;

/** The part of the parser that reads expressions. */
export class ExpressionParser extends SelectorParser {
  /** A concatenation, with a map after it. */
  expression = this.RULE("expression", (mode: Mode): Expression => {
    const key = this.SUBRULE(this.concatenation, { ARGS: [mode, true] });
    let result: Expression = key;
    this.OPTION(() => {
      this.CONSUME(t.MapWord);
      const map = this.SUBRULE(this.mapTarget);
      result = { kind: "map", key, map } satisfies MapLookup;
    });
    return result;
  });

  /** The map of `map` and `vmap`. */
  mapTarget = this.RULE("mapTarget", (): SetLiteral | SetReference | Variable =>
    this.OR<SetLiteral | SetReference | Variable>([
      { ALT: () => this.SUBRULE(this.setLiteral) },
      { ALT: () => this.reference(this.CONSUME(t.Reference)) },
      { ALT: () => ({ kind: "variable", name: this.CONSUME(t.Variable).image.slice(1) }) },
    ]),
  );

  private reference(token: IToken): SetReference {
    return { kind: "reference", name: this.ACTION(() => this.nameOf(token)) };
  }

  concatenation = this.RULE("concatenation", (mode: Mode, lists: boolean): Expression => {
    const first = this.SUBRULE(this.list, { ARGS: [mode, lists] });
    const parts: Expression[] = [first];
    this.MANY(() => {
      this.CONSUME(t.Dot);
      parts.push(this.SUBRULE1(this.list, { ARGS: [mode, lists] }));
    });
    return parts.length === 1 ? first : { kind: "concatenation", parts };
  });

  /** `syn,ack`, and `syn / syn,ack`. */
  private list = this.RULE("list", (mode: Mode, lists: boolean): Expression => {
    const value = this.SUBRULE(this.items, { ARGS: [mode, lists] });
    let result: Expression = value;
    this.OPTION({
      GATE: () => lists,
      DEF: () => {
        this.CONSUME(t.Slash);
        const mask = this.SUBRULE1(this.items, { ARGS: [mode, lists] });
        result = { kind: "mask", value, mask };
      },
    });
    return result;
  });

  private items = this.RULE("items", (mode: Mode, lists: boolean): Expression => {
    const first = this.SUBRULE(this.bits, { ARGS: [mode] });
    const items: Expression[] = [first];
    this.MANY({
      GATE: () => lists,
      DEF: () => {
        this.CONSUME(t.Comma);
        items.push(this.SUBRULE1(this.bits, { ARGS: [mode] }));
      },
    });
    return items.length === 1 ? first : { kind: "list", items };
  });

  // Operators, from the lowest to the highest precedence. The right side of an operator can contain constants.

  private bits = this.RULE("bits", (mode: Mode): Expression => {
    let left = this.SUBRULE(this.xor, { ARGS: [mode] });
    let count = 0;
    this.MANY({
      GATE: () => count < MOST_OPERATORS,
      DEF: () => {
        count++;
        const { image } = this.CONSUME(t.Or);
        left = binary(image, left, this.SUBRULE1(this.xor, { ARGS: [mode && Mode.value] }));
      },
    });
    return left;
  });

  private xor = this.RULE("xor", (mode: Mode): Expression => {
    let left = this.SUBRULE(this.and, { ARGS: [mode] });
    let count = 0;
    this.MANY({
      GATE: () => count < MOST_OPERATORS,
      DEF: () => {
        count++;
        const { image } = this.CONSUME(t.Xor);
        left = binary(image, left, this.SUBRULE1(this.and, { ARGS: [mode && Mode.value] }));
      },
    });
    return left;
  });

  private and = this.RULE("and", (mode: Mode): Expression => {
    let left = this.SUBRULE(this.shift, { ARGS: [mode] });
    let count = 0;
    this.MANY({
      GATE: () => count < MOST_OPERATORS,
      DEF: () => {
        count++;
        const { image } = this.CONSUME(t.And);
        left = binary(image, left, this.SUBRULE1(this.shift, { ARGS: [mode && Mode.value] }));
      },
    });
    return left;
  });

  private shift = this.RULE("shift", (mode: Mode): Expression => {
    let left = this.SUBRULE(this.range, { ARGS: [mode] });
    let count = 0;
    this.MANY({
      GATE: () => count < MOST_OPERATORS,
      DEF: () => {
        count++;
        const { image } = this.CONSUME(t.Shift);
        left = binary(image, left, this.SUBRULE1(this.range, { ARGS: [mode && Mode.value] }));
      },
    });
    return left;
  });

  /** A primary expression, a range, or a prefix. Ranges and prefixes of numbers without blanks are one token. */
  private range = this.RULE("range", (mode: Mode): Expression => {
    const first = this.SUBRULE(this.primary, { ARGS: [mode] });
    let result = first;
    this.OPTION(() => {
      this.CONSUME(t.Dash);
      const last = this.SUBRULE1(this.primary, { ARGS: [mode] });
      result = { kind: "range", first, last };
    });
    this.OPTION1({
      GATE: () => isLiteral(this.LA(0)) && isLiteral(this.LA(2)),
      DEF: () => {
        this.CONSUME(t.Slash);
        const length = this.SUBRULE(this.number);
        result = { kind: "prefix", value: first, length };
      },
    });
    return result;
  });

  private primary = this.RULE(
    "primary",
    (mode: Mode): Expression =>
      this.OR<Expression>({
        DEF: [
          {
            GATE: () => mode !== Mode.constant && (mode === Mode.selector || this.startsSelector()),
            ALT: () => this.SUBRULE(this.selection),
          },
          { GATE: () => mode !== Mode.selector, ALT: () => this.SUBRULE(this.constant) },
          { ALT: () => this.SUBRULE(this.mapTarget) },
          { ALT: () => this.SUBRULE(this.parentheses, { ARGS: [mode] }) },
        ],
        IGNORE_AMBIGUITIES: true,
      }),
  );

  private parentheses = this.RULE("parentheses", (mode: Mode): Expression => {
    this.CONSUME(t.OpenParen);
    const inner = this.SUBRULE(this.bits, { ARGS: [mode] });
    this.CONSUME(t.CloseParen);
    return inner;
  });

  private constant = this.RULE(
    "constant",
    (): Expression =>
      this.OR<Expression>([
        { ALT: () => value(this.textOf(this.CONSUME(t.Literal))) },
        {
          ALT: () => {
            const token = this.CONSUME(t.Range);
            return {
              kind: "range",
              first: value(this.textOf(token, "<")),
              last: value(this.textOf(token, ">")),
            };
          },
        },
        {
          ALT: () => {
            const token = this.CONSUME(t.Prefix);
            return {
              kind: "prefix",
              value: value(this.textOf(token, "<")),
              length: this.textOf(token, ">"),
            };
          },
        },
        { ALT: () => value(this.textOf(this.CONSUME(t.Quoted)), true) },
        { ALT: () => value(this.CONSUME(t.Word).image) },
        {
          ALT: () => {
            this.CONSUME(t.Star);
            return { kind: "catch-all" };
          },
        },
        {
          ALT: () => {
            this.CONSUME(t.OpenBracket);
            const address = this.textOf(this.CONSUME1(t.Literal));
            this.CONSUME(t.CloseBracket);
            return value(address);
          },
        },
      ]),
  );

  /** A selector, or a hash of selectors. */
  private selection = this.RULE(
    "selection",
    (): Expression =>
      this.OR<Expression>([
        { ALT: () => ({ kind: "selector", words: this.SUBRULE(this.selector) }) },
        {
          ALT: () => {
            this.CONSUME(t.JhashWord);
            const input = this.SUBRULE(this.concatenation, { ARGS: [Mode.selector, false] });
            const words = ["jhash", ...spread(this.SUBRULE(this.hash))];
            return { kind: "selector", words, inputs: [input] };
          },
        },
      ]),
  );

  // Sets.

  setLiteral = this.RULE("setLiteral", (): SetLiteral => {
    const elements: Element[] = [];
    this.CONSUME(t.Open);
    this.OPTION(() => {
      elements.push(this.SUBRULE(this.element));
      this.MANY(() => {
        this.CONSUME(t.Comma);
        // A comma can precede the closing brace.
        this.OPTION1(() => elements.push(this.SUBRULE1(this.element)));
      });
    });
    this.CONSUME(t.Close);
    return { kind: "set", elements };
  });

  element = this.RULE("element", (): Element => {
    const key = this.SUBRULE(this.concatenation, { ARGS: [Mode.constant, false] });
    const options: string[] = [];
    let comment: string | undefined;
    let expires = false;
    let data: Expression | Verdict | null = null;
    this.MANY(() => {
      const words = this.SUBRULE(this.elementOption);
      this.ACTION(() => {
        if (words[0] === "comment") comment = t.unquote(words[1]!);
        if (words[0] === "timeout" || words[0] === "expires") expires = true;
        options.push(...words);
      });
    });
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      data = this.SUBRULE(this.data);
    });
    return {
      key,
      data,
      options,
      ...(comment === undefined ? {} : { comment }),
      ...(expires ? { expires: true as const } : {}),
    };
  });

  /** The words of one option of an element, such as `timeout 1h`. */
  private elementOption = this.RULE("elementOption", (): string[] => {
    const words = [this.SUBRULE(this.known, { ARGS: [ELEMENT_OPTIONS, "a comma or }"] })];
    const atWord = (): boolean => words[0] !== "comment" && !ELEMENT_OPTIONS.has(this.LA(1).image);
    this.OR([
      {
        GATE: () => words[0] === "comment",
        ALT: () => words.push(this.wordOf(this.CONSUME(t.Quoted))),
      },
      { GATE: atWord, ALT: () => words.push(this.SUBRULE(this.optionWord)) },
      { GATE: () => words[0] === "counter" || words[0] === "last", ALT: EMPTY_ALT() },
    ]);
    this.MANY({ GATE: atWord, DEF: () => words.push(this.SUBRULE1(this.optionWord)) });
    return words;
  });

  private optionWord = this.RULE("optionWord", (): string =>
    this.OR([
      { ALT: () => this.textOf(this.CONSUME(t.Literal)) },
      { ALT: () => this.textOf(this.CONSUME(t.Prefix)) },
      { ALT: () => this.wordOf(this.CONSUME(t.Quoted)) },
      { ALT: () => this.CONSUME(t.Variable).image },
      {
        GATE: () => OPTION_WORDS.has(this.LA(1).image) || this.LA(1).image.includes("/"),
        ALT: () => this.CONSUME(t.Word).image,
      },
    ]),
  );

  /** Right side of an element of a map. */
  data = this.RULE("data", (): Expression | Verdict =>
    this.OR<Expression | Verdict>({
      DEF: [
        { ALT: () => verdict(this.CONSUME(t.VerdictWord).image) },
        {
          ALT: () => {
            const jump = this.CONSUME(t.Jump).image;
            return { ...verdict(jump), chain: this.textOf(this.CONSUME(t.Target)) };
          },
        },
        { ALT: () => this.SUBRULE(this.concatenation, { ARGS: [Mode.constant, false] }) },
      ],
      IGNORE_AMBIGUITIES: true,
    }),
  );
}

const ELEMENT_OPTIONS: ReadonlySet<string> = new Set([
  "timeout",
  "expires",
  "counter",
  "limit",
  "quota",
  "last",
  "ct",
  "comment",
]);

/** Words after these; a rate such as `mbytes/second` also is one. */
const OPTION_WORDS: ReadonlySet<string> = new Set([
  "packets",
  "bytes",
  "kbytes",
  "mbytes",
  "gbytes",
  "rate",
  "over",
  "until",
  "burst",
  "used",
  "never",
  "count",
]);

const value = (text: string, quoted = false): Value => ({ kind: "value", text, quoted });
function binary(image: string, left: Expression, right: Expression): Binary {
  const operator = t.operatorSymbol(image);
  return { kind: "binary", operator, ...(operator === image ? {} : { word: image }), left, right };
}

export const verdict = (word: string): Verdict => ({ kind: "verdict", verdict: word as Verdict["verdict"] });

function isLiteral(token: IToken): boolean {
  return token.tokenType.CATEGORIES?.includes(t.Literal) ?? false;
}
