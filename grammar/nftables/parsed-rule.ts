/** Rules as the parser returns them: the statements are built at each read. */

import type { Rule, Shape, Statement } from "./ast.ts";
import type { ValueSpans } from "./shape-scanner.ts";
import type { RuleShape } from "./shapes.ts";
import type { RuleContent } from "./statement-parser.ts";

/** Text, values and content of a rule that the grammar read. */
interface OwnContent {
  readonly text: string;
  /** Values of the shape's slots; none if the shape has no template. */
  readonly values: readonly string[];
  /** Content of a rule whose shape has no template. */
  readonly content: RuleContent | null;
}

/** A rule of a chain, or of a command. */
export class ParsedRule implements Rule {
  readonly kind = "rule";

  constructor(
    readonly line: number,
    readonly column: number,
    readonly shape: Shape,
    readonly handle: number | null,
    /** `null` for a rule that the scanner read: its strings are cut from the text at each read, and take no memory. */
    private readonly own: OwnContent | null,
    private readonly spans: ValueSpans | null = null,
    /** Index of its first offset in `spans`: start and end of the rule, then those of the values. */
    private readonly at = 0,
  ) {}

  get text(): string {
    return this.own?.text ?? this.cut(0);
  }

  get values(): readonly string[] {
    return this.own?.values ?? Array.from({ length: this.shape.count }, (_, i) => this.cut(i + 1));
  }

  private cut(i: number): string {
    const { text, offsets } = this.spans!;
    return text.slice(offsets[this.at + 2 * i], offsets[this.at + 2 * i + 1]);
  }

  private read(): RuleContent {
    return this.own?.content ?? (this.shape as RuleShape).template!.build(this.values);
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
