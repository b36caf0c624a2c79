/** Rules as the parser returns them: the statements are built at each read. */

import type { Rule, Shape, Statement } from "./ast.ts";
import type { RuleShape } from "./shapes.ts";
import type { RuleContent } from "./statement-parser.ts";

/** A rule of a chain, or of a command. */
export class ParsedRule implements Rule {
  readonly kind = "rule";

  constructor(
    readonly line: number,
    readonly column: number,
    readonly shape: Shape,
    /** Values of the shape's slots; none if the shape has no template. */
    readonly values: readonly string[],
    /** Content of a rule whose shape has no template. */
    private readonly content: RuleContent | null,
    readonly text: string,
    readonly handle: number | null,
  ) {}

  private read(): RuleContent {
    return this.content ?? (this.shape as RuleShape).template!.build(this.values);
  }

  get statements(): readonly Statement[] {
    return this.read().statements;
  }

  get comment(): string | null {
    return this.read().comment;
  }

  /** Returns the rule for `JSON.stringify`. */
  toJSON(): object {
    const { line, column, text, handle } = this;
    const { statements, comment } = this.read();
    return {
      kind: "rule",
      line,
      column,
      statements,
      ...(comment === null ? {} : { comment }),
      ...(handle === null ? {} : { handle }),
      text,
    };
  }
}
