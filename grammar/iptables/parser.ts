/**
 * The grammar of one line, and the only authority on what a line means: the scanner of `shapes.ts` merely repeats
 * what this parser once said of a rule written alike.
 *
 * A line is parsed on its own. That is the error recovery: whatever is wrong with a line, the next one starts afresh.
 */

import {
  EmbeddedActionsParser,
  EOF,
  type IParserErrorMessageProvider,
  type IToken,
  Lexer,
  type TokenType,
} from "chevrotain";
import {
  type ChainLine,
  type CommandLine,
  type Comment,
  type Counters,
  Rule,
  type ShapeOption,
} from "./ast.ts";
import type { Shapes } from "./shapes.ts";
import * as t from "./tokens.ts";
import { pair } from "./words.ts";

/** What a line can be; `null` is a blank one. */
export type Line =
  | { readonly kind: "table"; readonly line: number; readonly name: string }
  | { readonly kind: "commit"; readonly line: number }
  | { readonly kind: "text"; readonly line: number }
  | ChainLine
  | CommandLine
  | Comment
  | Rule
  | Fault
  | null;

/** A line that cannot be read. */
export interface Fault {
  readonly kind: "fault";
  readonly line: number;
  /** 1-based, in UTF-16 units. */
  readonly column: number;
  readonly message: string;
  readonly found: string;
  /** The line starts with a command, so it was surely meant for iptables; otherwise it may be any text. */
  readonly command: boolean;
}

/** Longest line that is read, in UTF-16 units. iptables-restore itself reads no more than 10,239 bytes of a line. */
export const LONGEST_LINE = 65_536;

const OPTION = "an option, a match or a target";

/** What should stand behind a token, in the field's words. */
const after: ReadonlyMap<TokenType, string> = new Map([
  [t.Star, "a table name"],
  [t.Colon, "a chain name"],
  [t.Append, "a chain name"],
  [t.Insert, "a chain name"],
  [t.New, "a chain name"],
  [t.Policy, "a chain name"],
  [t.StartCounters, "-A or -I"],
  [t.Match, "a match name"],
  [t.Jump, "a target or a chain name"],
  [t.Bang, OPTION],
]);

/** What is missing, where the grammar wants a token. */
function wanted(ruleName: string, { tokenType: previous }: IToken, end: boolean): string {
  if (ruleName === "setCounters") return previous === t.Digits ? "a byte count" : "packet and byte counts";
  const next = after.get(previous);
  if (next !== undefined) return next;
  if (!end) return ruleName === "chain" || ruleName === "policy" ? "a policy" : "a value";
  if (ruleName === "rule") return OPTION;
  return previous === t.Name ? "counters or the end of the line" : "the end of the line";
}

/** Where the grammar stopped reading: the token it did not expect, the rule it was in, and whether that was to end. */
interface Stop {
  readonly at: number;
  readonly rule: string;
  readonly end: boolean;
}

/** Chevrotain asks for a message when it stops; that is told from this, when the line is at hand. */
let stopped: Omit<Stop, "at"> = { rule: "", end: false };
const stop = (rule: string, end: boolean): string => {
  stopped = { rule, end };
  return "";
};

const messages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, ruleName }) => stop(ruleName, expected === EOF),
  buildNoViableAltMessage: ({ ruleName }) => stop(ruleName, false),
  // Every rule ends in EOF, and none asks for one or more: these two are never called.
  buildNotAllInputParsedMessage: ({ ruleName }) => stop(ruleName, true),
  buildEarlyExitMessage: ({ ruleName }) => stop(ruleName, false),
};

/** Kinds of faulty lines that are remembered, and of how many tokens at most. */
const MOST_STOPS = 1024;
const MOST_TOKENS = 64;
/** What makes a number a position. */
const POSITION = /^[1-9]\d{0,8}$/;

/** All of a line's tokens that the grammar looks at: lines of one kind are read alike, and stop at the same token. */
function kindOf(tokens: readonly IToken[]): string {
  let kind = "";
  for (const { tokenType, image } of tokens) {
    kind += String.fromCharCode(tokenType.tokenTypeIdx!);
    if (tokenType === t.Digits && POSITION.test(image)) kind += "p";
  }
  return kind;
}

const FOUND = 80;
/** At most 80 characters of what stands in the text. */
export function cut(text: string): string {
  return text.length > FOUND ? text.slice(0, FOUND) : text;
}

/** Chevrotain's parser of a line. Make one, and only when it is needed: building it costs more than a small file. */
export class LineParser extends EmbeddedActionsParser {
  private readonly lexer: Lexer;
  private shapes!: Shapes;
  private number = 0;
  // The rule being read.
  private options: ShapeOption[] = [];
  private values: string[] = [];
  private counters: Counters | null = null;
  /** Where the grammar stopped in lines of each kind. */
  private readonly stops = new Map<string, Stop>();

  constructor({ validate = false } = {}) {
    super(t.vocabulary, {
      maxLookahead: 1,
      errorMessageProvider: messages,
      skipValidations: !validate,
    });
    this.lexer = new Lexer(t.vocabulary, {
      positionTracking: "onlyOffset",
      ensureOptimizations: validate,
      skipValidations: !validate,
    });
    this.performSelfAnalysis();
  }

  /**
   * Reads one line, without its line feed.
   * @param strict nothing that was learned from lines before, and the same result
   */
  read(text: string, line: number, shapes: Shapes, strict: boolean): Line {
    const { tokens } = this.lexer.tokenize(text);
    // Chevrotain throws when it stops, which takes ten times as long as all the rest.
    const kind = !strict && tokens.length <= MOST_TOKENS ? kindOf(tokens) : "";
    const known = this.stops.get(kind);
    if (known !== undefined) return fault(known, tokens, text, line);
    this.input = tokens;
    this.number = line;
    this.shapes = shapes;
    const result = this.line();
    const error = this.errors[0];
    // The tokens would keep the text alive.
    this.input = [];
    if (error === undefined) return result;
    const at = tokens.indexOf(error.token);
    const stop = { ...stopped, at: at < 0 ? tokens.length : at };
    if (kind !== "" && this.stops.size < MOST_STOPS) this.stops.set(kind, stop);
    return fault(stop, tokens, text, line);
  }

  private line = this.RULE("line", (): Line => {
    let result: Line = null;
    this.OPTION(() => {
      result = this.OR([
        { ALT: () => this.SUBRULE(this.table) },
        { ALT: () => this.SUBRULE(this.chain) },
        { ALT: () => this.SUBRULE(this.rule) },
        { ALT: () => this.SUBRULE(this.create) },
        { ALT: () => this.SUBRULE(this.policy) },
        { ALT: () => this.SUBRULE(this.command) },
        { ALT: () => this.SUBRULE(this.commit) },
        { ALT: () => comment(this.CONSUME(t.Hash).image, this.number) },
        {
          ALT: (): Line => {
            this.CONSUME(t.Text);
            return { kind: "text", line: this.number };
          },
        },
      ]);
    });
    return result;
  });

  /** `*filter` */
  private table = this.RULE("table", (): Line => {
    this.CONSUME(t.Star);
    const name = this.CONSUME(t.TableName).image;
    this.CONSUME(EOF);
    return { kind: "table", line: this.number, name };
  });

  /** `:INPUT DROP [0:0]` */
  private chain = this.RULE("chain", (): Line => {
    this.CONSUME(t.Colon);
    const name = this.CONSUME(t.Name).image;
    const policy = this.CONSUME2(t.Name).image;
    let counters: Counters | null = null;
    this.OPTION(() => {
      const { image } = this.CONSUME(t.Counters);
      this.ACTION(() => {
        counters = pair(image);
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
  private create = this.RULE("create", (): Line => {
    this.CONSUME(t.New);
    const name = t.unquote(this.CONSUME(t.Value).image);
    this.CONSUME(EOF);
    return { kind: "chain", line: this.number, command: "-N", name, policy: null, counters: null };
  });

  /** `-P NAME POLICY`, with the `-c packets bytes` that `iptables -v -S` adds. */
  private policy = this.RULE("policy", (): Line => {
    this.counters = null;
    this.CONSUME(t.Policy);
    const name = t.unquote(this.CONSUME(t.Value).image);
    const policy = t.unquote(this.CONSUME2(t.Value).image);
    this.OPTION(() => this.SUBRULE(this.setCounters));
    this.CONSUME(EOF);
    return { kind: "chain", line: this.number, command: "-P", name, policy, counters: this.counters };
  });

  /** `-F INPUT` */
  private command = this.RULE("command", (): Line => {
    const { image } = this.CONSUME(t.Command);
    const words: string[] = [];
    this.MANY(() => {
      words.push(t.unquote(this.CONSUME(t.Any).image));
    });
    this.CONSUME(EOF);
    return { kind: "command", line: this.number, command: t.otherCommands.get(image) ?? image, words };
  });

  /** `COMMIT` */
  private commit = this.RULE("commit", (): Line => {
    this.CONSUME(t.Commit);
    this.CONSUME(EOF);
    return { kind: "commit", line: this.number };
  });

  /** `[12:345] -A CHAIN options` */
  private rule = this.RULE("rule", (): Line => {
    this.ACTION(() => {
      this.options = [];
      this.values = [];
      this.counters = null;
    });
    this.OPTION1(() => {
      const { image } = this.CONSUME(t.StartCounters);
      this.ACTION(() => {
        this.counters = pair(image);
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
      (): Line =>
        new Rule(
          this.number,
          position === null ? "-A" : "-I",
          this.shapes.intern(chain),
          this.shapes.of(this.options, this.values),
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
      this.counters = pair(image);
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

  /** `--comment TEXT`, and `--string ! TEXT` as old scripts spell it. */
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

  /** `--tcp-flags SYN,ACK SYN`, and `--dport ! 80` as old scripts spell it. */
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

const commands: ReadonlySet<TokenType> = new Set([t.Append, t.Insert, t.New, t.Policy, t.Command]);

/** What to say of a line at which the grammar stopped. */
function fault({ at, rule, end }: Stop, tokens: readonly IToken[], text: string, line: number): Fault {
  const token = tokens[at];
  const previous = tokens[at - 1]!;
  return {
    kind: "fault",
    line,
    column: (token?.startOffset ?? text.length) + 1,
    message:
      token?.tokenType === t.Unterminated
        ? "unterminated quote"
        : `expected ${wanted(rule, previous, end)} after ${cut(previous.image)}`,
    found: cut(token?.image ?? ""),
    command: commands.has(tokens[0]!.tokenType),
  };
}

/** `# text`, without the carriage return that CRLF leaves. */
export function comment(image: string, line: number): Comment {
  let end = image.length;
  while (image.charCodeAt(end - 1) === 13) end--;
  return { kind: "comment", line, text: image.slice(1, end) };
}
