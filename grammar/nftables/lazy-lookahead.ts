/** Lookahead of the parser, computed where it is needed: most texts use a small part of the grammar. */

import { type BaseParser, type ILookaheadStrategy, LLkLookaheadStrategy } from "chevrotain";

type Alternation = ReturnType<ILookaheadStrategy["buildLookaheadForAlternation"]>;
type Optional = ReturnType<ILookaheadStrategy["buildLookaheadForOptional"]>;

/** Builds the lookahead of an alternation or a repetition when the parser reaches it first. Creation of the parser takes two thirds of the time. */
export class LazyLookahead extends LLkLookaheadStrategy {
  override buildLookaheadForAlternation(
    options: Parameters<ILookaheadStrategy["buildLookaheadForAlternation"]>[0],
  ): Alternation {
    const build = (): Alternation => super.buildLookaheadForAlternation(options);
    let built: Alternation | undefined;
    return function (this: BaseParser, alternatives) {
      built ??= build();
      return built.call(this, alternatives);
    };
  }

  override buildLookaheadForOptional(
    options: Parameters<ILookaheadStrategy["buildLookaheadForOptional"]>[0],
  ): Optional {
    const build = (): Optional => super.buildLookaheadForOptional(options);
    let built: Optional | undefined;
    return function (this: BaseParser) {
      built ??= build();
      return built.call(this);
    };
  }
}
