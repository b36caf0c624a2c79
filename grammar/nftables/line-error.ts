/** Messages for syntax errors. */

import { EOF, type IParserErrorMessageProvider, tokenLabel } from "chevrotain";

/** What a rule of the grammar expects if none of its alternatives fits. */
const EXPECTED: ReadonlyMap<string, string> = new Map([
  ["ruleContent", "a statement"],
  ["statement", "a statement"],
  ["selector", "a field or a key"],
  ["header", "a field"],
  ["optionKind", "an option"],
  ["primary", "a value"],
  ["optionWord", "a comma or }"],
  ["constant", "a value"],
  ["selection", "a field or a key"],
  ["selecting", "a value"],
  ["comparison", "a value"],
  ["number", "a number"],
  ["mapTarget", "a set or a map"],
  ["data", "a value or a verdict"],
  ["assignedData", "a value or a verdict"],
  ["jump", "a chain name"],
  ["objectName", "a name"],
  ["destination", "an address or a port"],
  ["rate", "a rate"],
  ["log", "a value"],
  ["reject", "an ICMP type"],
  ["anonymousChain", "a rule"],
]);

/** The rule `known` names what it expects by itself: see `expected` of the parser. */
export const KNOWN = "known";

export const messages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, ruleName }) =>
    expected === EOF ? "the end" : ruleName === KNOWN ? KNOWN : tokenLabel(expected),
  buildNotAllInputParsedMessage: () => "a statement",
  buildNoViableAltMessage: ({ ruleName }) =>
    ruleName === KNOWN ? KNOWN : (EXPECTED.get(ruleName) ?? "a word"),
  buildEarlyExitMessage: ({ ruleName }) => EXPECTED.get(ruleName) ?? "a word",
};

const LONGEST_EXCERPT = 80;

/** Returns at most the first 80 characters of a text. */
export function truncate(text: string): string {
  return text.length > LONGEST_EXCERPT ? text.slice(0, LONGEST_EXCERPT) : text;
}
