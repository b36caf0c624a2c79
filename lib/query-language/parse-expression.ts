/** Parses the text of an expression; entry point of the room. */
import { EOF, type IRecognitionException, type IToken, Lexer, type TokenType } from "chevrotain";
import type { Expected, Expression, QueryError } from "./expression.ts";
import { ExpressionParser, spanOf } from "./grammar.ts";
import { suggestionFor } from "./suggestion.ts";
import * as t from "./tokens.ts";

/** Longest text and deepest nesting of parentheses that are parsed. */
const LONGEST = 10_000;
const DEEPEST = 100;

let tools: { readonly lexer: Lexer; readonly parser: ExpressionParser } | undefined;
const created = (): NonNullable<typeof tools> =>
  (tools ??= {
    lexer: new Lexer(t.vocabulary, { positionTracking: "onlyOffset", skipValidations: true }),
    parser: new ExpressionParser(),
  });

/** Parses an expression. An empty text is an error: `new` selects all packets. */
export function parseExpression(text: string): Expression | QueryError {
  if (text.length > LONGEST) return { code: "too-long", limit: LONGEST, start: LONGEST, end: LONGEST + 1 };
  const { lexer, parser } = created();
  const { tokens } = lexer.tokenize(text);
  const deep = tooDeep(tokens);
  if (deep !== undefined) return { code: "too-deep", limit: DEEPEST, ...spanOf(deep) };
  parser.input = tokens;
  const expression = parser.expression();
  const { fault } = parser;
  const [error] = parser.errors;
  if (error === undefined) return fault ?? expression;
  const found = syntaxError(error, tokens, text.length);
  return fault !== null && fault.start <= found.start ? fault : found;
}

/** Returns the parenthesis that opens a level too many. */
function tooDeep(tokens: readonly IToken[]): IToken | undefined {
  let depth = 0;
  return tokens.find(({ tokenType }) => {
    if (tokenType === t.Close) depth--;
    return tokenType === t.Open && ++depth > DEEPEST;
  });
}

/** What the grammar needs after a token; after any other one a test is complete. */
const EXPECTED_AFTER: ReadonlyMap<TokenType, Expected> = new Map([
  [t.From, "addresses"],
  [t.To, "addresses"],
  [t.Container, "name"],
  [t.Network, "name"],
  [t.In, "name"],
  [t.Out, "name"],
  [t.By, "name"],
  [t.Proto, "protocol"],
  [t.Sport, "ports"],
  [t.Dport, "ports"],
  [t.ContainerPort, "ports"],
  [t.Verdict, "verdict"],
  [t.Ct, "state"],
  [t.State, "state"],
  [t.Open, "test"],
]);

/** Tokens after which a list in braces has another value, or ends. */
const VALUES: readonly TokenType[] = [t.Word, t.Quoted];

const OPERATORS: readonly TokenType[] = [t.Or, t.And, t.Not];
const hasCategory = ({ tokenType }: IToken, categories: readonly TokenType[]): boolean =>
  categories.includes(tokenType) || (tokenType.CATEGORIES ?? []).some((each) => categories.includes(each));

/** Returns the error at a token that the grammar does not accept. */
function syntaxError(
  { token, context }: IRecognitionException,
  tokens: readonly IToken[],
  length: number,
): QueryError {
  const isEnd = token.tokenType === EOF;
  const at = isEnd ? { start: length, end: length } : spanOf(token);
  if (token.tokenType === t.Unterminated) return { code: "unterminated-name", ...at };
  const previous = tokens[(isEnd ? tokens.length : tokens.indexOf(token)) - 1];
  const expected = expectedAt(previous, tokens, token, context.ruleStack);
  const found = isEnd ? "" : token.image;
  return { code: "unexpected", expected, found, suggestion: suggestionFor(found, expected), ...at };
}

function expectedAt(
  previous: IToken | undefined,
  tokens: readonly IToken[],
  token: IToken,
  ruleStack: readonly string[],
): Expected {
  const rule = ruleStack.at(-1);
  if (rule === "decider") return previous?.tokenType === t.By ? "name" : "rule";
  if (rule === "words" || rule === "names") {
    if (previous !== undefined && VALUES.includes(previous.tokenType)) return "closing-brace";
    const test = tokens
      .slice(0, tokens.indexOf(token))
      .findLast((each) => EXPECTED_AFTER.has(each.tokenType));
    return test === undefined ? "operator" : EXPECTED_AFTER.get(test.tokenType)!;
  }
  if (previous === undefined || hasCategory(previous, OPERATORS)) return "test";
  const isStart =
    rule !== undefined && ["endpoint", "interface", "protocol", "ports", "verdict", "state"].includes(rule);
  if (isStart || previous.tokenType === t.Open) return EXPECTED_AFTER.get(previous.tokenType) ?? "test";
  // Any word in the place of an operator is a misspelt test.
  if (hasCategory(token, [t.Name])) return "test";
  return token.tokenType === EOF && ruleStack.length > 1 ? "closing-parenthesis" : "operator";
}
