/**
 * Set operations on interval decision diagrams: union, intersect, subtract, complement. They also combine diagrams with
 * more terminals than 0 and 1; then 0 counts as empty.
 */
import { BudgetExceeded } from "./budget.ts";
import { type EdgeBuffer, EMPTY, FULL, type Node, NodeStore, scratchBuffer, terminal } from "./node-store.ts";

/** Operations recurse by level; deeper recursion could overflow JavaScript's stack. */
const MOST_LEVELS = 1000;

/** Binary operations; the number is part of the cache key. */
const UNION = 0;
const INTERSECT = 1;
const SUBTRACT = 2;
const PREIMAGE = 3;
type Operation = typeof UNION | typeof INTERSECT | typeof SUBTRACT | typeof PREIMAGE;

export class SetAlgebra extends NodeStore {
  private readonly cacheBits = 18;
  private readonly cache = new Int32Array(3 << 18).fill(-0x8000_0000);
  /** Scratch buffers by depth of the recursion. */
  private readonly applyBuffers: EdgeBuffer[] = [];
  protected readonly rebuildBuffers: EdgeBuffer[] = [];
  protected rebuildDepth = 0;

  /**
   * Returns the set of packets whose variable lies in one of the ranges of ordinals.
   * @param ranges sorted and disjoint
   * @param inside the diagram below the ranges
   */
  range(level: number, ranges: readonly (readonly [number, number])[], inside: Node = FULL): Node {
    const { starts, kids } = scratchBuffer(this.rebuildBuffers, this.rebuildDepth, ranges.length * 2 + 1);
    let k = 0;
    const end = this.domains[level]!;
    let at = 0;
    for (const [lo, hi] of ranges) {
      if (lo > at) {
        starts[k] = at;
        kids[k++] = EMPTY;
      }
      starts[k] = lo;
      kids[k++] = inside;
      at = hi + 1;
    }
    if (at < end) {
      starts[k] = at;
      kids[k++] = EMPTY;
    }
    return this.makeNode(level, starts, kids, k);
  }

  /**
   * Union of sets. On other diagrams: `f` where `f` is not 0, else `g`. It is associative, so a list can be folded in any
   * grouping.
   */
  union(f: Node, g: Node): Node {
    return this.apply(UNION, f, g, 0);
  }

  /** Intersection of sets. On other diagrams: `f` where `by` is not 0, else 0. */
  intersect(by: Node, f: Node): Node {
    return this.apply(INTERSECT, by, f, 0);
  }

  /** Returns the set of packets with a terminal other than 0. */
  members(f: Node): Node {
    return this.intersect(f, FULL);
  }

  /** Union of a list, the first operand that is not 0. Balanced halves keep the intermediate diagrams small. */
  unionAll(list: readonly Node[]): Node {
    const fold = (from: number, to: number): Node => {
      if (to - from === 0) return EMPTY;
      if (to - from === 1) return list[from]!;
      const middle = (from + to) >> 1;
      return this.union(fold(from, middle), fold(middle, to));
    };
    return fold(0, list.length);
  }

  /** Complement of a set. */
  complement(set: Node): Node {
    return this.subtract(FULL, set);
  }

  /** Difference of sets. On other diagrams: `a` where `b` is 0, else 0. */
  subtract(a: Node, b: Node): Node {
    return this.apply(SUBTRACT, a, b, 0);
  }

  /** Returns the set of packets with this terminal. */
  preimage(f: Node, value: number): Node {
    return this.apply(PREIMAGE, f, terminal(value), 0);
  }

  private apply(op: Operation, f: Node, g: Node, depth: number): Node {
    if (op === UNION) {
      if (f === EMPTY) return g;
      if (f < 0 || g === EMPTY || f === g) return f;
    } else if (op === INTERSECT) {
      if (f === EMPTY || g === EMPTY) return EMPTY;
      if (f < 0) return g;
    } else if (op === SUBTRACT) {
      if (f === EMPTY || f === g) return EMPTY;
      if (g < 0) return g === EMPTY ? f : EMPTY;
    } else if (f < 0) return f === g ? FULL : EMPTY;
    // One cache for all operations: the operation is in bits that no node number uses.
    const keyG = g ^ (op << 29);
    let h = Math.imul(f, 0x9e3779b1) ^ Math.imul(keyG, 0x27d4eb2f);
    h ^= h >>> 16;
    const slot = (h & ((1 << this.cacheBits) - 1)) * 3;
    const { cache } = this;
    if (cache[slot] === f && cache[slot + 1] === keyG) return cache[slot + 2]!;
    if (depth > MOST_LEVELS) throw new BudgetExceeded(MOST_LEVELS, null, "unknown matches at once");
    const levelF = f < 0 ? 0xffff : this.level[f]!;
    const levelG = g < 0 ? 0xffff : this.level[g]!;
    const result =
      levelF === levelG
        ? this.applyBelowBoth(op, f, g, levelF, depth)
        : this.applyBelowOne(op, f, g, Math.min(levelF, levelG), levelF < levelG, depth);
    cache[slot] = f;
    cache[slot + 1] = keyG;
    cache[slot + 2] = result;
    return result;
  }

  /** Recurses into the operand whose root has the higher variable. */
  private applyBelowOne(op: Operation, f: Node, g: Node, level: number, inF: boolean, depth: number): Node {
    const node = inF ? f : g;
    const k = this.size[node]!;
    const o = this.offset[node]!;
    this.countVisits(k);
    const b = scratchBuffer(this.applyBuffers, depth, k);
    for (let i = 0; i < k; i++) {
      const kid = this.pool[o + k + i]!;
      b.starts[i] = this.pool[o + i]!;
      b.kids[i] = inF ? this.apply(op, kid, g, depth + 1) : this.apply(op, f, kid, depth + 1);
    }
    return this.makeNode(level, b.starts, b.kids, k);
  }

  /** Merges the intervals of both operands. Skips intervals of one operand where the other alone decides. */
  private applyBelowBoth(op: Operation, f: Node, g: Node, level: number, depth: number): Node {
    const kf = this.size[f]!;
    const kg = this.size[g]!;
    const of = this.offset[f]!;
    const og = this.offset[g]!;
    const end = this.domains[level]!;
    const b = scratchBuffer(this.applyBuffers, depth, kf + kg);
    this.countVisits(kf + kg);
    let i = 0;
    let j = 0;
    let length = 0;
    let at = 0;
    while (at < end) {
      const kidF = this.pool[of + kf + i]!;
      const kidG = this.pool[og + kg + j]!;
      const nextF = i + 1 < kf ? this.pool[of + i + 1]! : end;
      const nextG = j + 1 < kg ? this.pool[og + j + 1]! : end;
      const byF = op === UNION ? kidF < 0 && kidF !== EMPTY : kidF === EMPTY;
      const byG = !byF && (op === INTERSECT ? kidG === EMPTY : op === SUBTRACT && kidG < 0 && kidG !== EMPTY);
      const kid = byF || byG ? (op === UNION ? kidF : EMPTY) : this.apply(op, kidF, kidG, depth + 1);
      if (length === 0 || b.kids[length - 1] !== kid) {
        b.starts[length] = at;
        b.kids[length++] = kid;
      }
      at = byF ? nextF : byG ? nextG : Math.min(nextF, nextG);
      if (at === end) break;
      i = nextF === at ? i + 1 : nextF < at ? this.edgeAt(of, kf, i + 1, at) : i;
      j = nextG === at ? j + 1 : nextG < at ? this.edgeAt(og, kg, j + 1, at) : j;
    }
    return this.makeNode(level, b.starts, b.kids, length);
  }
}
