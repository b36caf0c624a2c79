/**
 * Splits a line into chevrotain's tokens, by the vocabulary of `tokens.ts`.
 *
 * It does what chevrotain's own lexer does in its safe mode. Creating that lexer takes longer than reading the rules of
 * most hosts: it analyses every pattern and fills tables for all 65,536 characters.
 */

import { type IMultiModeLexerDefinition, type IToken, Lexer, type TokenType } from "chevrotain";

/** A token type that can be found in a mode. */
interface LexerRule {
  readonly type: TokenType;
  /** Matches at its `lastIndex` only. */
  readonly pattern: RegExp;
  readonly isSkipped: boolean;
  /** Mode of the rest of the line; `null` for the same mode. */
  readonly next: string | null;
}

function lexerRules(types: readonly TokenType[]): readonly LexerRule[] {
  const rules: LexerRule[] = [];
  for (const type of types) {
    // Abstract types have no pattern of their own.
    if (!(type.PATTERN instanceof RegExp) || type.PATTERN === Lexer.NA) continue;
    rules.push({
      type,
      pattern: new RegExp(type.PATTERN.source, "y"),
      isSkipped: type.GROUP === Lexer.SKIPPED,
      next: type.PUSH_MODE ?? null,
    });
  }
  return rules;
}

/** Lexer of lines. In each mode the first token type that matches wins. */
export class LineLexer {
  private readonly modes: ReadonlyMap<string, readonly LexerRule[]>;
  private readonly start: readonly LexerRule[];

  constructor({ modes, defaultMode }: IMultiModeLexerDefinition) {
    this.modes = new Map(Object.entries(modes).map(([name, types]) => [name, lexerRules(types)]));
    this.start = this.modes.get(defaultMode!)!;
  }

  /** Returns the tokens of a line without its line feed. */
  tokenize(text: string): IToken[] {
    const tokens: IToken[] = [];
    let mode = this.start;
    for (let at = 0; at < text.length; ) {
      const rule = ruleAt(mode, text, at);
      // A character that starts no token is left out, as chevrotain does; only a line feed is such a character.
      const end = rule?.pattern.lastIndex ?? at + 1;
      if (rule !== undefined && !rule.isSkipped) tokens.push(token(rule.type, text, at, end));
      mode = (rule?.next && this.modes.get(rule.next)) || mode;
      at = end;
    }
    return tokens;
  }
}

/** Returns the first rule that matches at an offset; its pattern's `lastIndex` is the end of the match. */
function ruleAt(mode: readonly LexerRule[], text: string, at: number): LexerRule | undefined {
  for (const rule of mode) {
    rule.pattern.lastIndex = at;
    if (rule.pattern.test(text)) return rule;
  }
  return undefined;
}

const token = (tokenType: TokenType, text: string, startOffset: number, end: number): IToken => ({
  image: text.slice(startOffset, end),
  startOffset,
  tokenTypeIdx: tokenType.tokenTypeIdx!,
  tokenType,
});
