/** Simpler forms of packet sets: with free choice outside of a set, and as products of sets of fields. */
import type { Diagrams } from "./diagram.ts";
import { EMPTY, FULL, type Node } from "./node-store.ts";

/**
 * Returns a set that contains the same packets of `care` as `set`, with the smallest diagram that this algorithm finds
 * (Coudert and Madre, ICCAD 1990: `restrict`). Both sets must be sets, not diagrams with other terminals.
 */
export function simplify(diagrams: Diagrams, set: Node, care: Node): Node {
  const memo = new Map<string, Node | null>();
  /** Returns `null` where no packet counts. */
  const go = (f: Node, c: Node): Node | null => {
    if (c === EMPTY) return null;
    if (f < 0) return f;
    const key = `${f} ${c}`;
    let result = memo.get(key);
    if (result === undefined) memo.set(key, (result = below(f, c)));
    return result;
  };
  const below = (f: Node, c: Node): Node | null => {
    const level = diagrams.levelOf(f);
    if (c >= 0 && diagrams.levelOf(c) < level) {
      const kids: Node[] = [];
      diagrams.edges(c, (kid) => kids.push(kid));
      return go(f, diagrams.unionAll(kids));
    }
    const parts: { readonly first: number; readonly last: number; result: Node | null }[] = [];
    diagrams.edges(f, (kid, first, last) => {
      if (c < 0 || diagrams.levelOf(c) !== level) parts.push({ first, last, result: go(kid, c) });
      else
        diagrams.edges(c, (inner, from, to) => {
          const [low, high] = [Math.max(first, from), Math.min(last, to)];
          if (low <= high) parts.push({ first: low, last: high, result: go(kid, inner) });
        });
    });
    return joined(diagrams, level, parts);
  };
  return go(set, care) ?? EMPTY;
}

/** Joins the parts of a node. A part where no packet counts gets the result of the part before it, or after it. */
function joined(
  diagrams: Diagrams,
  level: number,
  parts: readonly { readonly first: number; readonly last: number; readonly result: Node | null }[],
): Node | null {
  let last = parts.find(({ result }) => result !== null)?.result ?? null;
  if (last === null) return null;
  const ranges = new Map<Node, [number, number][]>();
  for (const part of parts) {
    last = part.result ?? last;
    const own = ranges.get(last);
    const before = own?.at(-1);
    if (own === undefined) ranges.set(last, [[part.first, part.last]]);
    else if (before![1] + 1 === part.first) before![1] = part.last;
    else own.push([part.first, part.last]);
  }
  if (ranges.size === 1) return last;
  return diagrams.unionAll([...ranges].map(([kid, own]) => diagrams.range(level, own, kid)));
}

/** A product of sets: one for each group of levels. */
export type Product = readonly Node[];

/**
 * Returns a set as disjoint products.
 * @param bounds last level of each group of levels, in ascending order; the last group has all other levels
 */
export function productsOf(diagrams: Diagrams, set: Node, bounds: readonly number[]): Product[] {
  const memo = bounds.map(() => new Map<Node, Product[]>());
  const go = (x: Node, group: number): Product[] => {
    if (x === EMPTY) return [];
    if (group === bounds.length) return [[x]];
    let products = memo[group]!.get(x);
    if (products === undefined) {
      products = [...cofactors(diagrams, x, bounds[group]!)].flatMap(([below, above]) =>
        go(below, group + 1).map((rest): Product => [above, ...rest]),
      );
      memo[group]!.set(x, products);
    }
    return products;
  };
  return mergeProducts(diagrams, go(set, 0));
}

/** Returns the diagrams below a level, each with the values of the levels above that lead to it. */
function cofactors(diagrams: Diagrams, set: Node, bound: number): ReadonlyMap<Node, Node> {
  const memo = new Map<Node, ReadonlyMap<Node, Node>>();
  const go = (x: Node): ReadonlyMap<Node, Node> => {
    if (x < 0 || diagrams.levelOf(x) > bound) return new Map(x === EMPTY ? [] : [[x, FULL]]);
    const known = memo.get(x);
    if (known !== undefined) return known;
    const parts = new Map<Node, Node[]>();
    const level = diagrams.levelOf(x);
    diagrams.edges(x, (kid, first, last) => {
      for (const [below, above] of go(kid)) {
        const part = diagrams.range(level, [[first, last]], above);
        const own = parts.get(below);
        if (own === undefined) parts.set(below, [part]);
        else own.push(part);
      }
    });
    const result = new Map([...parts].map(([below, own]) => [below, diagrams.unionAll(own)]));
    memo.set(x, result);
    return result;
  };
  return go(set);
}

/** Merges disjoint products that differ in one group of levels, until none do. */
export function mergeProducts(diagrams: Diagrams, products: readonly Product[]): Product[] {
  let all = [...products];
  for (let before = -1; before !== all.length; ) {
    before = all.length;
    for (let group = 0; group < (all[0]?.length ?? 0); group++) {
      const same = new Map<string, Product[]>();
      for (const product of all) {
        const key = product.filter((_, i) => i !== group).join(" ");
        const own = same.get(key);
        if (own === undefined) same.set(key, [product]);
        else own.push(product);
      }
      all = [...same.values()].map((own) =>
        own.length === 1
          ? own[0]!
          : own[0]!.map((node, i) => (i === group ? diagrams.unionAll(own.map((p) => p[group]!)) : node)),
      );
    }
  }
  return all;
}
