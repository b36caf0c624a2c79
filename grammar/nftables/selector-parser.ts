/** Grammar of selectors: the words that read a field of the packet, of the connection, or of the host. */

import { EmbeddedActionsParser, type IToken, type TokenType } from "chevrotain";
import { LazyLookahead } from "./lazy-lookahead.ts";
import { messages } from "./line-error.ts";
import { type Part, partOf, slot } from "./slots.ts";
import * as t from "./tokens.ts";
import {
  ctKeys,
  fibFields,
  fibResults,
  fieldParts,
  headerFields,
  metaKeys,
  tunnelHeaders,
} from "./vocabulary.ts";

/** Returns words to be spread. While chevrotain records the grammar, a rule returns a placeholder instead. */
export const spread = <T>(words: readonly T[]): readonly T[] => (Array.isArray(words) ? words : []);

/** What an expression can contain. */
export const Mode = {
  /** Constants: the right side of a match, an element. */
  constant: 0,
  /** Constants and selectors: the value of a `set`, an address. */
  value: 1,
  /** Selectors only, unless an operator precedes: the left side of a match, a key. */
  selector: 2,
} as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

/** The part of the parser that reads selectors. */
export class SelectorParser extends EmbeddedActionsParser {
  /** True while slots take the place of values. */
  protected slots = false;
  /** Syntax that the rule `known` expected last. */
  protected expected = "";

  constructor(validate: boolean) {
    super(t.vocabulary, {
      maxLookahead: 1,
      lookaheadStrategy: new LazyLookahead({ maxLookahead: 1 }),
      errorMessageProvider: messages,
      skipValidations: !validate,
    });
  }

  /** Text of a value without quotes, or its slot. */
  protected textOf(token: IToken, part: Part = ""): string {
    const index: unknown = token.payload;
    if (this.slots && typeof index === "number") return slot(index, part);
    return partOf(t.unquote(token.image), part);
  }

  /** A value as a word: a string has its quotes. */
  protected wordOf(token: IToken): string {
    return token.tokenType === t.Quoted ? `"${this.textOf(token)}"` : this.textOf(token);
  }

  /** Name of a set without the `@`. The value of its slot has none. */
  protected nameOf(token: IToken): string {
    return this.slots ? this.textOf(token) : token.image.slice(1);
  }

  protected next(image: string): boolean {
    return this.LA(1).image === image;
  }

  protected nextIs(type: TokenType): boolean {
    return this.LA(1).tokenType === type;
  }

  /** A word of a set, or a syntax error that names what was expected. */
  protected known = this.RULE("known", (set: ReadonlySet<string>, what: string): string =>
    this.OR([
      {
        GATE: () => {
          this.expected = what;
          return set.has(this.LA(1).image);
        },
        ALT: () => this.CONSUME(t.Word).image,
      },
    ]),
  );

  protected word = this.RULE("word", (): string => this.CONSUME(t.Word).image);

  /** A number, as a word. */
  protected number = this.RULE("number", (): string =>
    this.OR([
      { ALT: () => this.textOf(this.CONSUME(t.Literal)) },
      { ALT: () => this.CONSUME(t.Variable).image },
    ]),
  );

  /** Returns true if the next words are a selector, and not symbols of the same name. */
  protected startsSelector(): boolean {
    const { tokenType, image } = this.LA(1);
    const { image: second } = this.LA(2);
    if (tokenType === t.HeaderWord)
      return headerFields.get(image)!.has(second) || (tunnelHeaders.has(image) && headerFields.has(second));
    return SELECTOR_STARTS.has(tokenType);
  }

  /** Returns true if the next token can start a selector. */
  protected maySelect(): boolean {
    const { tokenType } = this.LA(1);
    return tokenType === t.HeaderWord || tokenType === t.OpenParen || SELECTOR_STARTS.has(tokenType);
  }

  /** Any selector but `jhash`. */
  protected selector = this.RULE("selector", (): string[] =>
    this.OR<string[]>([
      { ALT: () => this.SUBRULE(this.header) },
      {
        ALT: () => [
          this.CONSUME(t.MetaWord).image,
          this.SUBRULE(this.known, { ARGS: [metaKeys, "a key of meta"] }),
        ],
      },
      { ALT: () => [this.CONSUME(t.MetaKey).image] },
      { ALT: () => this.SUBRULE(this.ct) },
      { ALT: () => this.SUBRULE(this.fib) },
      { ALT: () => this.SUBRULE(this.socket) },
      { ALT: () => this.SUBRULE(this.osf) },
      { ALT: () => this.SUBRULE(this.numgen) },
      {
        ALT: () => {
          this.CONSUME(t.SymhashWord);
          return ["symhash", ...spread(this.SUBRULE(this.hash))];
        },
      },
      { ALT: () => this.SUBRULE(this.ipsec) },
      { ALT: () => [this.CONSUME(t.ExthdrWord).image, this.SUBRULE(this.word)] },
      {
        ALT: () => [
          this.CONSUME(t.TunnelWord).image,
          this.SUBRULE1(this.known, { ARGS: [TUNNEL, "id or path"] }),
        ],
      },
      {
        ALT: () => [
          "@",
          ...this.CONSUME(t.Raw)
            .image.slice(1)
            .split(/[, \t]+/),
        ],
      },
    ]),
  );

  private header = this.RULE("header", (): string[] => {
    const header = this.CONSUME(t.HeaderWord).image;
    return this.OR<string[]>({
      DEF: [
        {
          GATE: () => tunnelHeaders.has(header) && !headerFields.get(header)!.has(this.LA(1).image),
          ALT: () => [header, ...spread(this.SUBRULE(this.header))],
        },
        { ALT: () => [header, ...spread(this.SUBRULE(this.field, { ARGS: [header] }))] },
      ],
      IGNORE_AMBIGUITIES: true,
    });
  });

  private field = this.RULE("field", (header: string): string[] => {
    const words = [
      this.SUBRULE(this.known, { ARGS: [headerFields.get(header) ?? NONE, `a field of ${header}`] }),
    ];
    const parts = this.ACTION(() => fieldParts.get(`${header} ${words[0]}`));
    this.OPTION({
      GATE: () => parts !== undefined && KINDS.has(words[0]!),
      DEF: () => words.push(this.SUBRULE(this.optionKind)),
    });
    this.OPTION1({
      GATE: () => parts?.has(this.LA(1).image) ?? false,
      DEF: () => words.push(this.SUBRULE(this.word)),
    });
    this.OPTION2(() => {
      this.CONSUME(t.OpenBracket);
      const index = this.textOf(this.CONSUME(t.Literal));
      this.CONSUME(t.CloseBracket);
      words.push(`${words.pop()}[${index}]`);
    });
    return words;
  });

  /** Kind of a TCP or IP option or of an SCTP chunk: a name, a number, or `@34,8,8`. */
  private optionKind = this.RULE("optionKind", (): string =>
    this.OR([
      { ALT: () => this.CONSUME(t.Word).image },
      { ALT: () => this.textOf(this.CONSUME(t.Literal)) },
      { ALT: () => this.CONSUME(t.Raw).image },
    ]),
  );

  private ct = this.RULE("ct", (): string[] => {
    const words = [this.CONSUME(t.CtWord).image];
    this.OPTION({
      GATE: () => this.next("original") || this.next("reply"),
      DEF: () => words.push(this.SUBRULE(this.word)),
    });
    this.OPTION1({
      GATE: () => this.next("ip") || this.next("ip6"),
      DEF: () => words.push(this.SUBRULE1(this.word)),
    });
    words.push(this.SUBRULE(this.known, { ARGS: [ctKeys, "a key of ct"] }));
    return words;
  });

  private fib = this.RULE("fib", (): string[] => {
    this.CONSUME(t.FibWord);
    let input = this.SUBRULE(this.known, { ARGS: [fibFields, "a field of fib"] });
    this.MANY(() => {
      this.CONSUME(t.Dot);
      input += ` . ${this.SUBRULE1(this.known, { ARGS: [fibFields, "a field of fib"] })}`;
    });
    return ["fib", input, this.SUBRULE2(this.known, { ARGS: [fibResults, "a result of fib"] })];
  });

  private socket = this.RULE("socket", (): string[] => {
    const words = [
      this.CONSUME(t.SocketWord).image,
      this.SUBRULE(this.known, { ARGS: [SOCKET, "a key of socket"] }),
    ];
    this.OPTION({
      GATE: () => this.next("level"),
      DEF: () => words.push(this.SUBRULE(this.word), this.SUBRULE(this.number)),
    });
    return words;
  });

  private osf = this.RULE("osf", (): string[] => {
    const words = [this.CONSUME(t.OsfWord).image];
    this.OPTION({
      GATE: () => this.next("ttl"),
      DEF: () => words.push(this.SUBRULE(this.word), this.SUBRULE1(this.word)),
    });
    words.push(this.SUBRULE(this.known, { ARGS: [OSF, "name or version"] }));
    return words;
  });

  private numgen = this.RULE("numgen", (): string[] => [
    this.CONSUME(t.NumgenWord).image,
    this.SUBRULE(this.known, { ARGS: [NUMGEN, "inc or random"] }),
    ...spread(this.SUBRULE(this.hash)),
  ]);

  /** `mod 2 seed 0xdead offset 100`. */
  protected hash = this.RULE("hash", (): string[] => {
    const words = [this.SUBRULE(this.known, { ARGS: [MOD, "mod"] }), this.SUBRULE(this.number)];
    this.OPTION({
      GATE: () => this.next("seed"),
      DEF: () => words.push(this.SUBRULE(this.word), this.SUBRULE1(this.number)),
    });
    this.OPTION1({
      GATE: () => this.next("offset"),
      DEF: () => words.push(this.SUBRULE1(this.word), this.SUBRULE2(this.number)),
    });
    return words;
  });

  private ipsec = this.RULE("ipsec", (): string[] => {
    const words = [
      this.CONSUME(t.IpsecWord).image,
      this.SUBRULE(this.known, { ARGS: [IN_OUT, "in or out"] }),
    ];
    this.OPTION({
      GATE: () => this.next("spnum"),
      DEF: () => words.push(this.SUBRULE(this.word), this.SUBRULE(this.number)),
    });
    this.OPTION1({
      GATE: () => this.next("ip") || this.next("ip6"),
      DEF: () => words.push(this.SUBRULE1(this.word)),
    });
    words.push(this.SUBRULE1(this.known, { ARGS: [IPSEC, "a key of ipsec"] }));
    return words;
  });
}

const NONE: ReadonlySet<string> = new Set();
const KINDS: ReadonlySet<string> = new Set(["option", "chunk"]);
const TUNNEL: ReadonlySet<string> = new Set(["id", "path"]);
const SOCKET: ReadonlySet<string> = new Set(["transparent", "mark", "wildcard", "cgroupv2"]);
const OSF: ReadonlySet<string> = new Set(["name", "version"]);
const NUMGEN: ReadonlySet<string> = new Set(["inc", "random"]);
const MOD: ReadonlySet<string> = new Set(["mod"]);
const IN_OUT: ReadonlySet<string> = new Set(["in", "out"]);
const IPSEC: ReadonlySet<string> = new Set(["reqid", "spi", "saddr", "daddr"]);

/** Token types that start a selector, in whichever position. */
const SELECTOR_STARTS: ReadonlySet<TokenType> = new Set([
  t.MetaWord,
  t.MetaKey,
  t.CtWord,
  t.FibWord,
  t.SocketWord,
  t.OsfWord,
  t.NumgenWord,
  t.JhashWord,
  t.SymhashWord,
  t.IpsecWord,
  t.ExthdrWord,
  t.TunnelWord,
  t.Raw,
]);
