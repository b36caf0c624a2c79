/**
 * Interval decision diagrams. A diagram is a function from packets to terminals (whole numbers). A set is a diagram with
 * the terminals 0 and 1. Each variable has one level. This class adds the functions that traverse one diagram: project,
 * substitute, split, support.
 */
import { type EdgeBuffer, EMPTY, FULL, type Node, scratchBuffer, terminal } from "./node-store.ts";
import { SetAlgebra } from "./set-algebra.ts";

/**
 * New value of a variable: an ordinal, or a function of another variable. `through[o]` is the new ordinal if the other
 * variable has the ordinal `o`; without `through` both ordinals are equal.
 */
export type Substitute =
  | { readonly ordinal: number }
  | { readonly level: number; readonly through?: readonly number[] };

/** New values of variables, by level. */
export type Substitution = ReadonlyMap<number, Substitute>;

/** Up to this many parts are computed one by one; more are divided in a single pass. */
const FEW_TERMINALS = 8;

export class Diagrams extends SetAlgebra {
  /** Results of `project` by the set of levels. The keys are weak: callers keep those sets. */
  private readonly projections = new WeakMap<ReadonlySet<number>, Map<Node, Node>>();
  private readonly supports = new Map<Node, readonly number[]>();
  /** Result of the current pass for each node; valid if the stamp equals the number of the pass. */
  private stamps = new Uint32Array(1 << 12);
  private passResults = new Int32Array(1 << 12);
  private pass = 0;
  private readonly splitBuffers: EdgeBuffer[] = [];

  /** Starts a pass over existing nodes: invalidates the results of the last one. Passes do not nest. */
  private beginPass(): void {
    if (this.stamps.length < this.level.length) {
      this.stamps = new Uint32Array(this.level.length);
      this.passResults = new Int32Array(this.level.length);
      this.pass = 0;
    }
    this.pass++;
  }

  /** Returns the diagram with each terminal replaced. */
  mapTerminals(f: Node, change: (value: number) => number): Node {
    this.beginPass();
    const go = (x: Node): Node => {
      if (x < 0) return terminal(change(~x));
      if (this.stamps[x] === this.pass) return this.passResults[x]!;
      const y = this.rebuild(x, go);
      this.stamps[x] = this.pass;
      return (this.passResults[x] = y);
    };
    return go(f);
  }

  /** Returns the node with each child replaced; the new children are below its level. */
  private rebuild(x: Node, child: (kid: Node) => Node): Node {
    const k = this.size[x]!;
    const o = this.offset[x]!;
    this.countVisits(k);
    const b = scratchBuffer(this.rebuildBuffers, this.rebuildDepth++, k);
    for (let i = 0; i < k; i++) {
      b.starts[i] = this.pool[o + i]!;
      b.kids[i] = child(this.pool[o + k + i]!);
    }
    this.rebuildDepth--;
    return this.makeNode(this.level[x]!, b.starts, b.kids, k);
  }

  /**
   * Returns the diagram after a simultaneous substitution: a variable becomes an ordinal, or a function of a variable,
   * which may be the same one.
   * @param bound by level; levels outside the diagram's support only cost time
   */
  substitute(f: Node, bound: Substitution): Node {
    if (bound.size === 0) return f;
    this.beginPass();
    const go = (x: Node): Node => {
      if (x < 0) return x;
      if (this.stamps[x] === this.pass) return this.passResults[x]!;
      const to = bound.get(this.level[x]!);
      const y =
        to === undefined
          ? this.rebuildOrdered(x, go, bound)
          : "ordinal" in to
            ? go(this.child(x, to.ordinal))
            : this.substituteLevel(x, to, go);
      this.stamps[x] = this.pass;
      return (this.passResults[x] = y);
    };
    return go(f);
  }

  /** Rebuilds a node. Its new children may test variables above it; then the order of levels is restored. */
  private rebuildOrdered(x: Node, go: (kid: Node) => Node, bound: Substitution): Node {
    const level = this.level[x]!;
    for (const to of bound.values())
      if ("level" in to && to.level <= level) return this.substituteLevel(x, { level }, go);
    return this.rebuild(x, go);
  }

  /** Returns the node with its cases tested on another variable; its level can be any. */
  private substituteLevel(
    x: Node,
    { level, through }: { level: number; through?: readonly number[] },
    go: (kid: Node) => Node,
  ): Node {
    const cases: Node[] = [];
    const add = (kid: Node, first: number, last: number): void => {
      const inner = go(kid);
      if (inner !== EMPTY) cases.push(this.intersect(this.range(level, [[first, last]]), inner));
    };
    if (through === undefined) this.edges(x, add);
    else for (const [then, now] of through.entries()) add(this.child(x, now), then, then);
    return this.unionAll(cases);
  }

  /** Existential quantification: projects out the given variables. */
  project(set: Node, levels: ReadonlySet<number>): Node {
    let memo = this.projections.get(levels);
    if (memo === undefined) this.projections.set(levels, (memo = new Map<Node, Node>()));
    const last = Math.max(-1, ...levels);
    const go = (x: Node): Node => {
      if (x < 0) return x;
      let y = memo.get(x);
      if (y !== undefined) return y;
      if (this.level[x]! > last) return x;
      if (levels.has(this.level[x]!)) {
        const kids: Node[] = [];
        this.edges(x, (kid) => kids.push(go(kid)));
        y = this.unionAll(kids);
      } else y = this.rebuild(x, go);
      memo.set(x, y);
      return y;
    };
    return go(set);
  }

  /** Universal quantification over the given variables. */
  forall(set: Node, levels: ReadonlySet<number>): Node {
    return this.complement(this.project(this.complement(set), levels));
  }

  /** Returns the levels that a diagram tests, in ascending order. */
  support(f: Node): readonly number[] {
    let levels = this.supports.get(f);
    if (levels === undefined) {
      const found = new Set<number>();
      this.visit(f, (x) => {
        if (x >= 0) found.add(this.level[x]!);
      });
      this.supports.set(f, (levels = [...found].sort((a, b) => a - b)));
    }
    return levels;
  }

  /** Calls `see` once for each node of a diagram, and once for each edge to a terminal. */
  private visit(f: Node, see: (x: Node) => void): void {
    this.beginPass();
    const open = [f];
    while (open.length > 0) {
      const x = open.pop()!;
      if (x >= 0) {
        if (this.stamps[x] === this.pass) continue;
        this.stamps[x] = this.pass;
        this.countVisits(this.size[x]!);
        const first = this.offset[x]! + this.size[x]!;
        for (let i = first + this.size[x]! - 1; i >= first; i--) open.push(this.pool[i]!);
      }
      see(x);
    }
  }

  /** Returns the terminals of a diagram other than 0. */
  terminals(f: Node): number[] {
    const values = new Set<number>();
    this.visit(f, (x) => {
      if (x < 0 && x !== EMPTY) values.add(~x);
    });
    return [...values];
  }

  /** Returns the set of packets for each terminal other than 0. */
  split(f: Node): Map<number, Node> {
    const found = this.terminals(f);
    if (found.length <= FEW_TERMINALS) return new Map(found.map((value) => [value, this.preimage(f, value)]));
    return this.divided(f, (value) => ({ values: [value], sets: [FULL] }));
  }

  /** Returns the part of a diagram for each group of terminals; the parts keep their terminals. 0 is in no group. */
  splitByGroup(f: Node, groupOf: (value: number) => number): Map<number, Node> {
    const groups = new Set(this.terminals(f).map(groupOf));
    if (groups.size <= FEW_TERMINALS)
      return new Map(
        [...groups].map((group) => [
          group,
          this.mapTerminals(f, (value) => (value !== 0 && groupOf(value) === group ? value : 0)),
        ]),
      );
    return this.divided(f, (value) => ({ values: [groupOf(value)], sets: [terminal(value)] }));
  }

  /** Divides a diagram in one pass over its nodes. */
  private divided(f: Node, part: (value: number) => Split): Map<number, Node> {
    const memo = new Map<Node, Split>();
    const slots = new Map<number, number>();
    const go = (x: Node): Split => {
      if (x < 0) return x === EMPTY ? NO_TERMINALS : part(~x);
      let split = memo.get(x);
      if (split === undefined) {
        const k = this.size[x]!;
        const o = this.offset[x]!;
        const parts: Split[] = [];
        for (let i = 0; i < k; i++) parts.push(go(this.pool[o + k + i]!));
        memo.set(x, (split = this.mergeSplits(x, parts, slots)));
      }
      return split;
    };
    const { values, sets } = go(f);
    return new Map(values.map((value, i) => [value, sets[i]!]));
  }

  /** Combines the splits of a node's children. Counts the intervals first, so that all results share one buffer. */
  private mergeSplits(x: Node, parts: readonly Split[], slots: Map<number, number>): Split {
    const level = this.level[x]!;
    const domain = this.domains[level]!;
    const o = this.offset[x]!;
    slots.clear();
    const values: number[] = [];
    const ends: number[] = [];
    for (const part of parts)
      for (const value of part.values) {
        const slot = slots.get(value);
        if (slot !== undefined) ends[slot]! += 2;
        else {
          slots.set(value, values.length);
          values.push(value);
          ends.push(3);
        }
      }
    let total = 0;
    const from: number[] = [];
    this.countVisits(slots.size);
    for (let slot = 0; slot < ends.length; slot++) {
      from.push(total);
      total += ends[slot]!;
      ends[slot] = from[slot]!;
    }
    const { starts, kids } = scratchBuffer(this.splitBuffers, 0, total);
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!;
      const first = this.pool[o + i]!;
      const next = i + 1 < parts.length ? this.pool[o + i + 1]! : domain;
      for (let j = 0; j < part.values.length; j++) {
        const slot = slots.get(part.values[j]!)!;
        let end = ends[slot]!;
        // A gap, before the first interval or between two intervals, leads to the empty set.
        if (end === from[slot] && first > 0) {
          starts[end] = 0;
          kids[end++] = EMPTY;
        }
        if (end > from[slot]! && starts[end - 1] === first) end--;
        starts[end] = first;
        kids[end++] = part.sets[j]!;
        starts[end] = next;
        kids[end++] = EMPTY;
        ends[slot] = end;
      }
    }
    const sets: Node[] = [];
    for (let slot = 0; slot < values.length; slot++) {
      const [begin, end] = [from[slot]!, ends[slot]!];
      const length = (starts[end - 1] === domain ? end - 1 : end) - begin;
      sets.push(this.makeNode(level, starts.subarray(begin, end), kids.subarray(begin, end), length));
    }
    return { values, sets };
  }
}

/** The groups of a diagram's terminals, and the part of the diagram for each. */
interface Split {
  readonly values: readonly number[];
  readonly sets: readonly Node[];
}
const NO_TERMINALS: Split = { values: [], sets: [] };
