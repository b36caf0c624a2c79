/**
 * Grammar of one line. It defines the syntax: the scanner only accepts rules whose shape this parser has read before.
 *
 * Error recovery is by line: an error in one line does not affect the next line.
 */

import { EmbeddedActionsParser, EOF, type IToken, type TokenType } from "chevrotain";
import { type ChainLine, type CommandLine, type Comment, Rule, type ShapeOption } from "./ast.ts";
import { type Counters, parseCounters } from "./counters.ts";
import { type LineError, messages, type ParseStop, parseStop, toLineError } from "./line-error.ts";
import { LineLexer } from "./line-lexer.ts";
import type { ShapeTrie } from "./shape-trie.ts";
import * as t from "./tokens.ts";

/** Result for one line; `null` for a blank line. */
export type ParsedLine =
  | { readonly kind: "table"; readonly line: number; readonly name: string }
  | { readonly kind: "commit"; readonly line: number }
  | { readonly kind: "text"; readonly line: number }
  | ChainLine
  | CommandLine
  | Comment
  | Rule
  | LineError
  | null;

/** Longest line that is parsed, in UTF-16 units. iptables-restore accepts at most 10,239 bytes. */
export const LONGEST_LINE = 65_536;

/** Largest number of memoized errors, and the largest number of tokens of a memoized line. */
const MOST_STOPS = 1024;
const MOST_TOKENS = 64;
/** A rule number of `-I CHAIN NUMBER`. */
const POSITION = /^[1-9]\d{0,8}$/;

/** Returns a key of the token types of a line. The grammar stops at the same token in all lines with the same key. */
function tokenKinds(tokens: readonly IToken[]): string {
  let kind = "";
  for (const { tokenType, image } of tokens) {
    kind += String.fromCharCode(tokenType.tokenTypeIdx!);
    if (tokenType === t.Digits && POSITION.test(image)) kind += "p";
  }
  return kind;
}

/** Parser of one line. Create it once and lazily: creation takes longer than parsing a small file. */
export class LineParser extends EmbeddedActionsParser {
  private readonly lexer = new LineLexer(t.vocabulary);
  private shapes!: ShapeTrie;
  private number = 0;
  // Parts of the rule that is being parsed.
  private options: ShapeOption[] = [];
  private values: string[] = [];
  private counters: Counters | null = null;
  /** Memo: the point at which the grammar stopped, by `tokenKinds`. */
  private readonly stops = new Map<string, ParseStop>();

  constructor({ validate = false } = {}) {
    super(t.vocabulary, {
      maxLookahead: 1,
      errorMessageProvider: messages,
      skipValidations: !validate,
    });
    this.performSelfAnalysis();
  }

  /**
   * Parses one line, without its line feed.
   * @param strict use no memoized errors; the result is the same
   */
  read(text: string, line: number, shapes: ShapeTrie, strict: boolean): ParsedLine {
    const tokens = this.lexer.tokenize(text);
    // Chevrotain throws an exception at an error, which takes ten times as long as parsing a line. Memoize the errors.
    const kind = !strict && tokens.length <= MOST_TOKENS ? tokenKinds(tokens) : "";
    const known = this.stops.get(kind);
    if (known !== undefined) return toLineError(known, tokens, text, line);
    this.input = tokens;
    this.number = line;
    this.shapes = shapes;
    const result = this.line();
    const error = this.errors[0];
    // Release the tokens, which keep the text alive.
    this.input = [];
    if (error === undefined) return result;
    const at = tokens.indexOf(error.token);
    const stop = parseStop(error.message, at < 0 ? tokens.length : at);
    if (kind !== "" && this.stops.size < MOST_STOPS) this.stops.set(kind, stop);
    return toLineError(stop, tokens, text, line);
  }

  private line = this.RULE("line", (): ParsedLine => {
    let result: ParsedLine = null;
    this.OPTION(() => {
      result = this.OR([
        { ALT: () => this.SUBRULE(this.table) },
        { ALT: () => this.SUBRULE(this.chain) },
        { ALT: () => this.SUBRULE(this.rule) },
        { ALT: () => this.SUBRULE(this.create) },
        { ALT: () => this.SUBRULE(this.policy) },
        { ALT: () => this.SUBRULE(this.command) },
        { ALT: () => this.SUBRULE(this.commit) },
        { ALT: () => createComment(this.CONSUME(t.Hash).image, this.number) },
        {
          ALT: (): ParsedLine => {
            this.CONSUME(t.Text);
            return { kind: "text", line: this.number };
          },
        },
      ]);
    });
    return result;
  });

  /** `*filter` */
  private table = this.RULE("table", (): ParsedLine => {
    this.CONSUME(t.Star);
    const name = this.CONSUME(t.TableName).image;
    this.CONSUME(EOF);
    return { kind: "table", line: this.number, name };
  });

  /** `:INPUT DROP [0:0]` */
  private chain = this.RULE("chain", (): ParsedLine => {
    this.CONSUME(t.Colon);
    const name = this.CONSUME(t.Name).image;
    const policy = this.CONSUME2(t.Name).image;
    let counters: Counters | null = null;
    this.OPTION(() => {
      const { image } = this.CONSUME(t.Counters);
      this.ACTION(() => {
        counters = parseCounters(image);
      });
    });
    this.CONSUME(EOF);
    return {
      kind: "chain",
      line: this.number,
      command: ":",
      name,
      policy: policy === "-" ? null : policy,
      counters,
    };
  });

  /** `-N NAME` */
  private create = this.RULE("create", (): ParsedLine => {
    this.CONSUME(t.New);
    const name = t.unquote(this.CONSUME(t.Value).image);
    this.CONSUME(EOF);
    return { kind: "chain", line: this.number, command: "-N", name, policy: null, counters: null };
  });

  /** `-P NAME POLICY`, with the `-c packets bytes` that `iptables -v -S` adds. */
  private policy = this.RULE("policy", (): ParsedLine => {
    this.counters = null;
    this.CONSUME(t.Policy);
    const name = t.unquote(this.CONSUME(t.Value).image);
    const policy = t.unquote(this.CONSUME2(t.Value).image);
    this.OPTION(() => this.SUBRULE(this.setCounters));
    this.CONSUME(EOF);
    return { kind: "chain", line: this.number, command: "-P", name, policy, counters: this.counters };
  });

  /** `-F INPUT` */
  private command = this.RULE("command", (): ParsedLine => {
    const { image } = this.CONSUME(t.Command);
    const words: string[] = [];
    this.MANY(() => {
      words.push(t.unquote(this.CONSUME(t.Any).image));
    });
    this.CONSUME(EOF);
    return { kind: "command", line: this.number, command: t.otherCommands.get(image) ?? image, words };
  });

  /** `COMMIT` */
  private commit = this.RULE("commit", (): ParsedLine => {
    this.CONSUME(t.Commit);
    this.CONSUME(EOF);
    return { kind: "commit", line: this.number };
  });

  /** `[12:345] -A CHAIN options` */
  private rule = this.RULE("rule", (): ParsedLine => {
    this.ACTION(() => {
      this.options = [];
      this.values = [];
      this.counters = null;
    });
    this.OPTION1(() => {
      const { image } = this.CONSUME(t.StartCounters);
      this.ACTION(() => {
        this.counters = parseCounters(image);
      });
    });
    let position: number | null = null;
    this.OR([
      { ALT: () => this.CONSUME(t.Append) },
      {
        ALT: () => {
          this.CONSUME(t.Insert);
          position = 1;
        },
      },
    ]);
    const chain = t.unquote(this.CONSUME(t.Value).image);
    this.OPTION2({
      GATE: () => position !== null && POSITION.test(this.LA(1).image),
      DEF: () => {
        position = Number(this.CONSUME(t.Digits).image);
      },
    });
    this.MANY(() => {
      this.OR2([{ ALT: () => this.SUBRULE(this.setCounters) }, { ALT: () => this.SUBRULE(this.entry) }]);
    });
    this.CONSUME(EOF);
    return this.ACTION(
      (): ParsedLine =>
        new Rule(
          this.number,
          position === null ? "-A" : "-I",
          this.shapes.intern(chain),
          this.shapes.shapeOf(this.options, this.values),
          this.values,
          this.counters,
          position,
        ),
    );
  });

  /** `-c 12 345`, `-c 12,345` */
  private setCounters = this.RULE("setCounters", (): void => {
    this.CONSUME(t.SetCounters);
    const image = this.OR([
      { ALT: () => this.CONSUME(t.Pair).image },
      { ALT: () => `${this.CONSUME1(t.Digits).image},${this.CONSUME2(t.Digits).image}` },
    ]);
    this.ACTION(() => {
      this.counters = parseCounters(image);
    });
  });

  /** `! --dport 80` */
  private entry = this.RULE("entry", (): void => {
    const at = this.values.length;
    let negated = false;
    this.OPTION1(() => {
      this.CONSUME(t.Bang);
      negated = true;
    });
    const name = this.OR([
      { ALT: () => this.SUBRULE(this.named) },
      { ALT: () => this.SUBRULE(this.free) },
      { ALT: () => this.SUBRULE(this.assigned) },
      { ALT: () => this.SUBRULE(this.plain) },
    ]);
    this.ACTION(() => {
      this.options.push({ name, negated, at, count: this.values.length - at });
    });
  });

  /** `-m NAME`, `-j NAME` */
  private named = this.RULE("named", (): string => {
    const name = this.OR([
      { ALT: () => this.CONSUME(t.Match).image },
      { ALT: () => this.CONSUME(t.Jump).image },
    ]);
    this.value(this.CONSUME(t.Value));
    return name;
  });

  /** `--comment TEXT`, and `--string ! TEXT` as in old scripts. */
  private free = this.RULE("free", (): string => {
    const name = this.CONSUME(t.Free).image;
    const word = this.CONSUME(t.Any);
    this.value(word);
    this.OPTION({
      GATE: () => word.tokenType === t.Bang,
      DEF: () => this.value(this.CONSUME(t.Value)),
    });
    return name;
  });

  /** `--dport=80` */
  private assigned = this.RULE("assigned", (): string => {
    const { image } = this.CONSUME(t.Assign);
    const split = image.indexOf("=");
    this.ACTION(() => {
      this.values.push(t.unquote(image.slice(split + 1)));
    });
    return image.slice(0, split);
  });

  /** `--tcp-flags SYN,ACK SYN`, and `--dport ! 80` as in old scripts. */
  private plain = this.RULE("plain", (): string => {
    const name = this.CONSUME(t.Option).image;
    this.OPTION({
      GATE: () => this.isValue(this.LA(2).tokenType),
      DEF: () => this.value(this.CONSUME(t.Bang)),
    });
    this.MANY(() => this.value(this.CONSUME(t.Value)));
    return name;
  });

  private isValue(type: TokenType): boolean {
    return type.CATEGORIES?.includes(t.Value) ?? false;
  }

  private value(token: IToken): void {
    this.ACTION(() => {
      this.values.push(t.unquote(token.image));
    });
  }
}

/** Creates a comment without the carriage return of a CRLF line end. */
export function createComment(image: string, line: number): Comment {
  let end = image.length;
  while (image.charCodeAt(end - 1) === 13) end--;
  return { kind: "comment", line, text: image.slice(1, end) };
}
