/**
 * Slots: places of a syntax tree where rules of one shape differ.
 *
 * The grammar parses the first rule of a shape with a slot in place of each value. The tree of another rule of the shape is that
 * tree with its own values. Control characters mark a slot, because no word of a rule contains these.
 */

/** Part of a value: all of it, or the text before or after the `-` of a range or the `/` of a prefix. */
export type Part = "" | "<" | ">";

const SLOT = /\u0001(\d+)([<>]?)\u0002/g;
const WHOLE = /^\u0001(\d+)([<>]?)\u0002$/;

/** Returns the text of a slot. */
export function slot(index: number, part: Part): string {
  return `\u0001${index}${part}\u0002`;
}

/** Returns a part of a range or a prefix. */
export function partOf(value: string, part: string): string {
  if (part === "") return value;
  const at = value.search(/[-/]/);
  return part === "<" ? value.slice(0, at) : value.slice(at + 1);
}

/** Builds a tree from the values of one rule. */
export type Builder = (values: readonly string[]) => unknown;

/** Returns a function that copies a tree with values in its slots. Parts without slots are shared by all copies. */
export function builderOf(tree: unknown): Builder {
  return compile(tree) ?? (() => tree);
}

/** Returns `null` for a part without slots. */
function compile(node: unknown): Builder | null {
  if (typeof node === "string") return compileText(node);
  if (Array.isArray(node)) return compileArray(node);
  return typeof node === "object" && node !== null ? compileObject(node) : null;
}

function compileText(text: string): Builder | null {
  const whole = WHOLE.exec(text);
  if (whole !== null) {
    const index = Number(whole[1]);
    const part = whole[2]!;
    return part === "" ? (values) => values[index] : (values) => partOf(values[index]!, part);
  }
  if (!text.includes("\u0001")) return null;
  return (values) => text.replace(SLOT, (_, index: string, part: string) => partOf(values[+index]!, part));
}

function compileArray(nodes: readonly unknown[]): Builder | null {
  const builders = nodes.map(compile);
  if (builders.every((builder) => builder === null)) return null;
  return (values) => nodes.map((node, i) => builders[i]?.(values) ?? node);
}

function compileObject(node: object): Builder | null {
  const fields = Object.entries(node).map(([key, value]) => [key, compile(value)] as const);
  const varying = fields.filter((field): field is readonly [string, Builder] => field[1] !== null);
  if (varying.length === 0) return null;
  return (values) => {
    const copy = { ...node } as Record<string, unknown>;
    for (const [key, builder] of varying) copy[key] = builder(values);
    return copy;
  };
}

/** Returns a copy of a tree with values in its slots, whose texts with slots call a function when they are read. */
export function observed(tree: unknown, values: readonly string[], onRead: (index: number) => void): unknown {
  if (typeof tree !== "object" || tree === null) return tree;
  const copy: object = Array.isArray(tree) ? [] : {};
  for (const [key, node] of Object.entries(tree)) {
    const build = typeof node === "string" ? compileText(node) : null;
    const get = (): unknown => {
      for (const [, index] of (node as string).matchAll(SLOT)) onRead(Number(index));
      return build!(values);
    };
    const property = build === null ? { value: observed(node, values, onRead) as unknown } : { get };
    Object.defineProperty(copy, key, { ...property, enumerable: true });
  }
  return copy;
}
