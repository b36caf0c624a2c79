/** Shapes of rules: what rules have in common that differ only in their values. */

import type { Shape } from "./ast.ts";
import { type Builder, builderOf, observed } from "./slots.ts";
import type { RuleContent } from "./statement-parser.ts";

/** A tree with slots, from which others of the same structure are built. */
export class Template<T> {
  private builder: Builder | null = null;

  constructor(private readonly tree: T) {}

  /** Returns the tree with these values. */
  build(values: readonly string[]): T {
    this.builder ??= builderOf(this.tree);
    return this.builder(values) as T;
  }

  /** Returns the tree with these values; a function is called when one is read. */
  observe(values: readonly string[], onRead: (index: number) => void): T {
    return observed(this.tree, values, onRead) as T;
  }
}

/** Statements of all rules of one structure, with slots for their values. */
export class RuleShape implements Shape {
  constructor(
    readonly count: number,
    /** Content with slots; `null` if the rules of the shape are parsed one by one. */
    readonly template: Template<RuleContent> | null,
  ) {}
}

/** Most shapes of one text, and the length of the longest key. Other rules have a shape of their own. */
const MOST_SHAPES = 16_384;
const LONGEST_KEY = 4096;

/** All shapes of one text. */
export class ShapeTable {
  private readonly known = new Map<string, RuleShape>();

  find(key: string): RuleShape | undefined {
    return this.known.get(key);
  }

  /** Returns the shape with this key, which is added if it is new. */
  add(key: string, count: number, template: RuleContent | null): RuleShape {
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const shape = new RuleShape(count, template === null ? null : new Template(template));
    if (key.length <= LONGEST_KEY && this.known.size < MOST_SHAPES) this.known.set(key, shape);
    return shape;
  }
}
