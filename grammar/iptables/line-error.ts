/** Error messages for lines that the grammar does not accept. */

import { EOF, type IParserErrorMessageProvider, type IToken, type TokenType } from "chevrotain";
import * as t from "./tokens.ts";

/** A line with a syntax error. */
export interface LineError {
  readonly kind: "error";
  readonly line: number;
  /** 1-based, in UTF-16 units. */
  readonly column: number;
  readonly message: string;
  readonly found: string;
  /** True if the line starts with a command of iptables. Any other line may be unrelated text. */
  readonly command: boolean;
}

const OPTION = "an option, a match or a target";

/** Syntax expected after a token. */
const EXPECTED_AFTER: ReadonlyMap<TokenType, string> = new Map([
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

/** Describes the syntax that the grammar expected after the last accepted token. */
function describeExpected(rule: string, { tokenType: previous }: IToken, end: boolean): string {
  if (rule === "setCounters") return previous === t.Digits ? "a byte count" : "packet and byte counts";
  const next = EXPECTED_AFTER.get(previous);
  if (next !== undefined) return next;
  if (!end) return rule === "chain" || rule === "policy" ? "a policy" : "a value";
  if (rule === "rule") return OPTION;
  return previous === t.Name ? "counters or the end of the line" : "the end of the line";
}

/** Point at which the grammar stopped. */
export interface ParseStop {
  /** Index of the unexpected token; the number of tokens at the end of the line. */
  readonly at: number;
  /** Grammar rule that was being parsed. */
  readonly rule: string;
  /** True if that rule expected the end of the line. */
  readonly end: boolean;
}

const END = "end ";

/** Chevrotain's message is not shown: it carries the fields of `ParseStop`, which `parseStop` reads. */
const encode = (rule: string, end: boolean): string => (end ? END : "") + rule;

export const messages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, ruleName }) => encode(ruleName, expected === EOF),
  buildNoViableAltMessage: ({ ruleName }) => encode(ruleName, false),
  // Never called: every rule ends with EOF and none uses AT_LEAST_ONE.
  buildNotAllInputParsedMessage: ({ ruleName }) => encode(ruleName, true),
  buildEarlyExitMessage: ({ ruleName }) => encode(ruleName, false),
};

/** Decodes a message of `messages`. */
export function parseStop(message: string, at: number): ParseStop {
  const end = message.startsWith(END);
  return { at, rule: end ? message.slice(END.length) : message, end };
}

const COMMANDS: ReadonlySet<TokenType> = new Set([t.Append, t.Insert, t.New, t.Policy, t.Command]);

/** Creates the error of a line at which the grammar stopped. */
export function toLineError(
  stop: ParseStop,
  tokens: readonly IToken[],
  text: string,
  line: number,
): LineError {
  const token = tokens[stop.at];
  const previous = tokens[stop.at - 1]!;
  return {
    kind: "error",
    line,
    column: (token?.startOffset ?? text.length) + 1,
    message:
      token?.tokenType === t.Unterminated
        ? "unterminated quote"
        : `expected ${describeExpected(stop.rule, previous, stop.end)} after ${truncate(previous.image)}`,
    found: truncate(token?.image ?? ""),
    command: COMMANDS.has(tokens[0]!.tokenType),
  };
}

const LONGEST_EXCERPT = 80;

/** Returns at most the first 80 characters of a text. */
export function truncate(text: string): string {
  return text.length > LONGEST_EXCERPT ? text.slice(0, LONGEST_EXCERPT) : text;
}
