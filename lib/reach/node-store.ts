/**
 * Nodes of interval decision diagrams, hash-consed: equal diagrams are the same number, so that equality is `===`. A
 * node tests the variable of its level; its edges are sorted intervals of that variable's ordinals.
 */
import { BudgetExceeded } from "./budget.ts";

/** A diagram: the number of a node, or `~value` for a terminal. */
export type Node = number;

/** Returns the diagram that maps every packet to this value. */
export const terminal = (value: number): Node => ~value;
/** The empty set. In a diagram with more terminals: not decided, so that `union` continues with its second operand. */
export const EMPTY: Node = terminal(0);
/** The set of all packets. */
export const FULL: Node = terminal(1);

/** Intervals of all nodes together, at about 20 bytes each. Beyond them the analysis stops as inconclusive. */
const DEFAULT_BUDGET = 50_000_000;

/** Intervals visited per interval of the budget: a bound on time that does not depend on the machine. */
const VISITS_PER_INTERVAL = 6;

/** Stores nodes in typed arrays. */
export class NodeStore {
  protected level = new Uint16Array(1 << 12);
  protected offset = new Uint32Array(1 << 12);
  protected size = new Uint32Array(1 << 12);
  private hashes = new Uint32Array(1 << 12);
  private count = 0;
  /** For each node the starts of its intervals, of which the first is 0, followed by its children. */
  protected pool = new Int32Array(1 << 15);
  private top = 0;
  private buckets = new Int32Array(1 << 13).fill(-1);
  /** Intervals visited so far. */
  private visits = 0;

  /**
   * @param domains number of ordinals of each variable, by level
   * @param budget most intervals of all nodes together
   */
  constructor(
    readonly domains: readonly number[],
    private readonly budget = DEFAULT_BUDGET,
  ) {}

  /** Number of nodes. */
  get nodes(): number {
    return this.count;
  }

  /** Returns the level of a diagram's root; terminals are below all variables. */
  levelOf(node: Node): number {
    return node < 0 ? 0xffff : this.level[node]!;
  }

  /** Calls `visit` for each edge with its child and the first and last ordinal of its interval. */
  edges(node: Node, visit: (kid: Node, first: number, last: number) => void): void {
    const k = this.size[node]!;
    const o = this.offset[node]!;
    const end = this.domains[this.level[node]!]!;
    for (let i = 0; i < k; i++) {
      const last = (i + 1 < k ? this.pool[o + i + 1]! : end) - 1;
      visit(this.pool[o + k + i]!, this.pool[o + i]!, last);
    }
  }

  /**
   * Returns the node with these edges; `starts[0]` is 0. Merges adjacent intervals with the same child. A single interval
   * is redundant: its child is returned.
   */
  makeNode(level: number, starts: Int32Array, kids: Int32Array, length: number): Node {
    let k = 0;
    for (let i = 1; i < length; i++)
      if (kids[i] !== kids[k]) {
        k++;
        kids[k] = kids[i]!;
        starts[k] = starts[i]!;
      }
    k++;
    if (k === 1) return kids[0]!;
    let h = level;
    for (let i = 0; i < k; i++) {
      h = Math.imul(h ^ starts[i]!, 0x9e3779b1);
      h ^= h >>> 15;
      h = Math.imul(h ^ kids[i]!, 0x85ebca6b);
      h ^= h >>> 13;
    }
    h >>>= 0;
    const mask = this.buckets.length - 1;
    let b = h & mask;
    for (;;) {
      const x = this.buckets[b]!;
      if (x < 0) break;
      if (
        this.hashes[x] === h &&
        this.size[x] === k &&
        this.level[x] === level &&
        this.equalsNode(x, starts, kids, k)
      )
        return x;
      b = (b + 1) & mask;
    }
    return this.add(level, starts, kids, k, h, b);
  }

  /**
   * Counts visits of intervals.
   * @throws BudgetExceeded
   */
  protected countVisits(visits: number): void {
    this.visits += visits;
    const most = VISITS_PER_INTERVAL * this.budget;
    if (this.visits > most) throw new BudgetExceeded(most, null, "steps");
  }

  private equalsNode(x: Node, starts: Int32Array, kids: Int32Array, k: number): boolean {
    const o = this.offset[x]!;
    for (let i = 0; i < k; i++)
      if (this.pool[o + i] !== starts[i] || this.pool[o + k + i] !== kids[i]) return false;
    return true;
  }

  private add(
    level: number,
    starts: Int32Array,
    kids: Int32Array,
    k: number,
    h: number,
    bucket: number,
  ): Node {
    if (this.top + 2 * k > 2 * this.budget) throw new BudgetExceeded(this.budget);
    if (this.count === this.level.length) {
      this.level = grown(this.level, Uint16Array);
      this.offset = grown(this.offset, Uint32Array);
      this.size = grown(this.size, Uint32Array);
      this.hashes = grown(this.hashes, Uint32Array);
    }
    while (this.top + 2 * k > this.pool.length) this.pool = grown(this.pool, Int32Array);
    const x = this.count++;
    this.level[x] = level;
    this.offset[x] = this.top;
    this.size[x] = k;
    this.hashes[x] = h;
    for (let i = 0; i < k; i++) {
      this.pool[this.top + i] = starts[i]!;
      this.pool[this.top + k + i] = kids[i]!;
    }
    this.top += 2 * k;
    this.buckets[bucket] = x;
    if (this.count * 2 > this.buckets.length) this.rehash();
    return x;
  }

  private rehash(): void {
    const buckets = new Int32Array(this.buckets.length * 2).fill(-1);
    const mask = buckets.length - 1;
    for (let x = 0; x < this.count; x++) {
      let b = this.hashes[x]! & mask;
      while (buckets[b]! >= 0) b = (b + 1) & mask;
      buckets[b] = x;
    }
    this.buckets = buckets;
  }

  /** Returns the child for an ordinal. */
  child(x: Node, ordinal: number): Node {
    const k = this.size[x]!;
    const o = this.offset[x]!;
    return this.pool[o + k + this.edgeAt(o, k, 0, ordinal)]!;
  }

  /** Returns the index of the interval of an ordinal, at `from` or after it, among the `length` intervals at `offset`. */
  protected edgeAt(offset: number, length: number, from: number, ordinal: number): number {
    let lo = from;
    let hi = length - 1;
    // Galloping search: the interval is usually close to `from`.
    for (let step = 1; lo + step <= hi; step *= 2) {
      if (this.pool[offset + lo + step]! > ordinal) {
        hi = lo + step - 1;
        break;
      }
      lo += step;
    }
    while (lo < hi) {
      const middle = (lo + hi + 1) >> 1;
      if (this.pool[offset + middle]! <= ordinal) lo = middle;
      else hi = middle - 1;
    }
    return lo;
  }

  /** Returns the terminal's value for one packet; `ordinal` returns the packet's ordinal of a variable. */
  evaluate(f: Node, ordinal: (level: number) => number): number {
    let x = f;
    while (x >= 0) x = this.child(x, ordinal(this.level[x]!));
    return ~x;
  }
}

/** Scratch space for the edges of a node. */
export interface EdgeBuffer {
  readonly starts: Int32Array;
  readonly kids: Int32Array;
}

/** Scratch buffer for one recursion depth; callers at other depths never share it. */
export function scratchBuffer(list: EdgeBuffer[], depth: number, length: number): EdgeBuffer {
  const found = list[depth];
  if (found !== undefined && found.starts.length >= length) return found;
  const size = Math.max(64, length * 2);
  return (list[depth] = { starts: new Int32Array(size), kids: new Int32Array(size) });
}

function grown<T extends Uint16Array | Uint32Array | Int32Array>(old: T, make: new (length: number) => T): T {
  const next = new make(old.length * 2);
  next.set(old);
  return next;
}
