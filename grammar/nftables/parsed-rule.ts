/** Rules as the parser returns them: the statements are built at each read. */

import { type Rule, type Shape, type Statement, VALUE_SPANS, type ValueSpans } from "./ast.ts";
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

/** Members that both kinds of rules compute from the others. */
abstract class AnyRule {
  declare readonly shape: Shape;
  declare readonly line: number;
  abstract readonly column: number;
  abstract readonly handle: number | null;
  abstract readonly text: string;
  abstract readonly values: readonly string[];

  get kind(): "rule" {
    return "rule";
  }

  get statements(): readonly Statement[] {
    return this.read().statements;
  }

  get comment(): string | null {
    return this.read().comment;
  }

  observe(onRead: (index: number) => void): readonly Statement[] | null {
    return (this.shape as RuleShape).template?.observe(this.values, onRead).statements ?? null;
  }

  protected read(): RuleContent {
    return (this.shape as RuleShape).template!.build(this.values);
  }

  /** Returns the rule for `JSON.stringify`. */
  toJSON(): object {
    const { kind, line, column, text, handle } = this;
    const { statements, comment } = this.read();
    return {
      kind,
      line,
      column,
      statements,
      ...(comment === null ? {} : { comment }),
      ...(handle === null ? {} : { handle }),
      text,
    };
  }
}

/** A rule that the grammar read. */
export class ParsedRule extends AnyRule implements Rule {
  readonly spans = null;
  readonly at = 0;

  constructor(
    override readonly line: number,
    readonly column: number,
    override readonly shape: Shape,
    readonly handle: number | null,
    private readonly own: OwnContent,
  ) {
    super();
  }

  get text(): string {
    return this.own.text;
  }

  get values(): readonly string[] {
    return this.own.values;
  }

  value(index: number): string {
    return this.own.values[index]!;
  }

  protected override read(): RuleContent {
    return this.own.content ?? super.read();
  }
}

/** Indexes of the numbers of a rule before its values: start and end of its text, column, and handle + 1. */
export const RuleSpan = { start: 0, end: 1, column: 2, handle: 3 };

/** A rule that the scanner read. Its strings are cut from the text at each read: a text has up to a million rules. */
export class ScannedRule extends AnyRule implements Rule {
  constructor(
    override readonly line: number,
    override readonly shape: Shape,
    readonly spans: ValueSpans,
    readonly at: number,
  ) {
    super();
  }

  get column(): number {
    return this.spans.offsets[this.at + RuleSpan.column]!;
  }

  get handle(): number | null {
    const stored = this.spans.offsets[this.at + RuleSpan.handle]!;
    return stored === 0 ? null : stored - 1;
  }

  get text(): string {
    return this.cut(this.at + RuleSpan.start);
  }

  get values(): readonly string[] {
    const values: string[] = [];
    for (let i = 0; i < this.shape.count; i++) values.push(this.value(i));
    return values;
  }

  value(index: number): string {
    return this.cut(this.at + VALUE_SPANS + 2 * index);
  }

  private cut(at: number): string {
    const { text, offsets } = this.spans;
    return text.slice(offsets[at], offsets[at + 1]);
  }
}
