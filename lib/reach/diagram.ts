/**
 * Hash-consed interval decision diagrams. A diagram is a function from packets to terminals (whole numbers); a set is
 * a diagram with the terminals 0 and 1. There is one level a variable; a node's edges are sorted intervals of the
 * variable's ordinals, and equal diagrams are the same number, so equality is `===`.
 */

/** A diagram: a node (0 and above) or, below zero, a terminal. */
export type Node = number;

/** The diagram that gives this terminal to every packet. */
export const terminal = (value: number): Node => ~value;
/** No packet: also "not decided", the terminal that `over` looks through. */
export const EMPTY: Node = terminal(0);
/** Every packet. */
export const FULL: Node = terminal(1);

/** The diagrams' nodes may have so many intervals in all, of some 20 bytes each: then the analysis stops and says so. */
export const DEFAULT_BUDGET = 50_000_000;

/** Operations recurse by level; more levels in one diagram could outgrow JavaScript's stack. */
const MOST_LEVELS = 1000;

/** The diagrams may visit so many intervals for each one of their budget: a bound on time that is the same everywhere. */
const VISITS_PER_INTERVAL = 6;

/** The diagrams outgrew their budget: no answer, and never a wrong one. */
export class BudgetExceeded extends Error {
  /** Tells it from other errors. */
  override readonly name = "BudgetExceeded";

  /** @param by what was evaluated: a chain, as `filter FORWARD`, or the routing decision; `null` for all together */
  constructor(
    /** The limit, in units. */
    readonly budget: number,
    /** What was evaluated, `null` for all together. */
    readonly by: string | null = null,
    /** What is limited: `--budget` sets the limit of intervals and steps, the others are fixed. */
    readonly unit:
      | "intervals"
      | "steps"
      | "states"
      | "calls of chains"
      | "rules"
      | "levels of chains"
      | "unknown matches"
      | "unknown matches at once"
      | "values of marks" = "intervals",
  ) {
    super(
      `the sets of packets that ${by ?? "all chains together"} can tell apart need more than ${budget} ${unit}`,
    );
  }

  /** The same, with what was evaluated where that was not known. */
  withContext(by: string): BudgetExceeded {
    return this.by === null ? new BudgetExceeded(this.budget, by, this.unit) : this;
  }

  /** What the user can do. */
  get remedy(): string {
    return this.unit === "intervals" || this.unit === "steps"
      ? "give it a greater --budget, or put long lists of addresses in the rules into ipsets"
      : "this limit is fixed; simulate and explain read such rules";
  }
}

/**
 * What variables become, by level: an ordinal, or what another variable says. `through[o]` is the ordinal that the
 * one has where the other has `o`; without it the two have the same.
 */
export type Substitution = ReadonlyMap<
  number,
  { readonly ordinal: number } | { readonly level: number; readonly through?: readonly number[] }
>;

/** Operations on two diagrams; the numbers tell them apart in the cache. */
const UNION = 0;
const INTERSECT = 1;
const SUBTRACT = 2;
const PREIMAGE = 3;
type Operation = typeof UNION | typeof INTERSECT | typeof SUBTRACT | typeof PREIMAGE;

/** To so many terminals a diagram is split one by one; more of them are told apart in one pass. */
const FEW_TERMINALS = 8;

export class Diagrams {
  private level = new Uint16Array(1 << 12);
  private offset = new Uint32Array(1 << 12);
  private size = new Uint32Array(1 << 12);
  private hashes = new Uint32Array(1 << 12);
  private count = 0;
  /** Starts of a node's intervals, the first always 0, and behind them its children. */
  private pool = new Int32Array(1 << 15);
  private top = 0;
  private buckets = new Int32Array(1 << 13).fill(-1);
  private readonly cacheBits = 18;
  private readonly cache = new Int32Array(3 << 18).fill(-0x8000_0000);
  /** What `exists` found, by the set of levels it was asked about: callers keep those sets. */
  private readonly projections = new WeakMap<ReadonlySet<number>, Map<Node, Node>>();
  private readonly supports = new Map<Node, readonly number[]>();
  /** What a pass over a diagram made of each node: good where the stamp is that of the pass. */
  private stamps = new Uint32Array(1 << 12);
  private passResults = new Int32Array(1 << 12);
  private pass = 0;
  /** Room for the edges of nodes in the making, by how deep the recursion is. */
  private readonly applyBuffers: EdgeBuffer[] = [];
  private readonly rebuildBuffers: EdgeBuffer[] = [];
  private rebuildDepth = 0;
  /** Intervals visited so far. */
  private visits = 0;
  private readonly splitBuffers: EdgeBuffer[] = [];

  /**
   * @param domains number of ordinals of each variable, by level
   * @param budget how many intervals the nodes may have in all
   */
  constructor(
    readonly domains: readonly number[],
    private readonly budget = DEFAULT_BUDGET,
  ) {}

  /** Nodes made so far. */
  get nodes(): number {
    return this.count;
  }

  levelOf(node: Node): number {
    return node < 0 ? 0xffff : this.level[node]!;
  }

  /** Calls `visit` for each edge: its child and the first and last ordinal that lead there. */
  edges(node: Node, visit: (kid: Node, first: number, last: number) => void): void {
    const k = this.size[node]!;
    const o = this.offset[node]!;
    const end = this.domains[this.level[node]!]!;
    for (let i = 0; i < k; i++) {
      const last = (i + 1 < k ? this.pool[o + i + 1]! : end) - 1;
      visit(this.pool[o + k + i]!, this.pool[o + i]!, last);
    }
  }

  /** A node from its edges: `starts[0]` is 0, neighbours with one child are joined, a single child stands alone. */
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

  /** Counts visits of intervals. @throws BudgetExceeded */
  private countVisits(visits: number): void {
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

  /** The set of packets whose variable lies in one of the ranges of ordinals (sorted, disjoint). */
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

  /** `f` where `f` decides (is not 0), else `g`: associative, so chains fold in any grouping. On sets: union. */
  union(f: Node, g: Node): Node {
    return this.apply(UNION, f, g, 0);
  }

  /** `f` where the other decides (is not 0), else 0. On sets: intersection. */
  intersect(by: Node, f: Node): Node {
    return this.apply(INTERSECT, by, f, 0);
  }

  /** The set of packets to which a diagram gives any terminal but 0. */
  members(f: Node): Node {
    return this.intersect(f, FULL);
  }

  /** The first that decides, of many: by balanced halves, which keeps the intermediate diagrams small. */
  unionAll(list: readonly Node[]): Node {
    const fold = (from: number, to: number): Node => {
      if (to - from === 0) return EMPTY;
      if (to - from === 1) return list[from]!;
      const middle = (from + to) >> 1;
      return this.union(fold(from, middle), fold(middle, to));
    };
    return fold(0, list.length);
  }

  complement(set: Node): Node {
    return this.subtract(FULL, set);
  }

  /** `a` where `b` does not decide (is 0), else 0. On sets: difference. */
  subtract(a: Node, b: Node): Node {
    return this.apply(SUBTRACT, a, b, 0);
  }

  /** The set of packets to which a diagram gives this terminal. */
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
    // One cache for all: the operation stands in bits that no diagram's number reaches.
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

  /** Descends in the one that asks about the higher variable. */
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

  /** Walks the intervals of both side by side; where one alone decides, past those of the other. */
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

  /** Of the intervals that start at `offset` in the pool, the one an ordinal lies in; not before `from`. */
  private edgeAt(offset: number, length: number, from: number, ordinal: number): number {
    let lo = from;
    let hi = length - 1;
    // Mostly it is near.
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

  /** Begins a pass over diagrams that are there now: nothing is made of their nodes yet. Passes do not nest. */
  private beginPass(): void {
    if (this.stamps.length < this.level.length) {
      this.stamps = new Uint32Array(this.level.length);
      this.passResults = new Int32Array(this.level.length);
      this.pass = 0;
    }
    this.pass++;
  }

  /** The diagram with each terminal replaced. */
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

  /** A node with each child replaced, at its own level. */
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
   * The diagram after a substitution: a variable becomes a fixed ordinal, or a function of another variable (or of
   * itself, as it was before).
   * @param bound by level; best only levels that the diagram asks about
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

  /** Rebuilds a node whose children may now ask about variables above it. */
  private rebuildOrdered(x: Node, go: (kid: Node) => Node, bound: Substitution): Node {
    const level = this.level[x]!;
    for (const to of bound.values())
      if ("level" in to && to.level <= level) return this.substituteLevel(x, { level }, go);
    return this.rebuild(x, go);
  }

  /** The node's cases asked of another variable, wherever that stands. */
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

  /** The child that an ordinal leads to. */
  child(x: Node, ordinal: number): Node {
    const k = this.size[x]!;
    const o = this.offset[x]!;
    return this.pool[o + k + this.edgeAt(o, k, 0, ordinal)]!;
  }

  /** The set of packets that a value of these variables makes a member. */
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

  /** The set of packets that every value of these variables leaves a member. */
  forall(set: Node, levels: ReadonlySet<number>): Node {
    return this.complement(this.project(this.complement(set), levels));
  }

  /** The levels a diagram asks about. */
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

  /** Calls `see` for each node of a diagram once, and for each terminal as often as an edge leads to it. */
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

  /** The terminals that a diagram gives to any packet, but for 0. */
  terminals(f: Node): number[] {
    const values = new Set<number>();
    this.visit(f, (x) => {
      if (x < 0 && x !== EMPTY) values.add(~x);
    });
    return [...values];
  }

  /** The set of packets for each terminal but 0. */
  split(f: Node): Map<number, Node> {
    const found = this.terminals(f);
    if (found.length <= FEW_TERMINALS) return new Map(found.map((value) => [value, this.preimage(f, value)]));
    const memo = new Map<Node, Split>();
    const places = new Map<number, number>();
    const go = (x: Node): Split => {
      if (x < 0) return x === EMPTY ? NO_TERMINALS : { values: [~x], sets: [FULL] };
      let split = memo.get(x);
      if (split === undefined) {
        const k = this.size[x]!;
        const o = this.offset[x]!;
        const parts: Split[] = [];
        for (let i = 0; i < k; i++) parts.push(go(this.pool[o + k + i]!));
        memo.set(x, (split = this.mergeSplits(x, parts, places)));
      }
      return split;
    };
    const { values, sets } = go(f);
    return new Map(values.map((value, i) => [value, sets[i]!]));
  }

  /** A node for each terminal below one, of what its children are for it. Counted first, so that all lie in one room. */
  private mergeSplits(x: Node, parts: readonly Split[], places: Map<number, number>): Split {
    const level = this.level[x]!;
    const domain = this.domains[level]!;
    const o = this.offset[x]!;
    places.clear();
    const values: number[] = [];
    const ends: number[] = [];
    for (const part of parts)
      for (const value of part.values) {
        const place = places.get(value);
        if (place !== undefined) ends[place]! += 2;
        else {
          places.set(value, values.length);
          values.push(value);
          ends.push(3);
        }
      }
    let total = 0;
    const from: number[] = [];
    this.countVisits(places.size);
    for (let place = 0; place < ends.length; place++) {
      from.push(total);
      total += ends[place]!;
      ends[place] = from[place]!;
    }
    const { starts, kids } = scratchBuffer(this.splitBuffers, 0, total);
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!;
      const first = this.pool[o + i]!;
      const next = i + 1 < parts.length ? this.pool[o + i + 1]! : domain;
      for (let j = 0; j < part.values.length; j++) {
        const place = places.get(part.values[j]!)!;
        let end = ends[place]!;
        // Before the first interval, and where one does not begin as the last one ended, stands a gap of nothing.
        if (end === from[place] && first > 0) {
          starts[end] = 0;
          kids[end++] = EMPTY;
        }
        if (end > from[place]! && starts[end - 1] === first) end--;
        starts[end] = first;
        kids[end++] = part.sets[j]!;
        starts[end] = next;
        kids[end++] = EMPTY;
        ends[place] = end;
      }
    }
    const sets: Node[] = [];
    for (let place = 0; place < values.length; place++) {
      const [begin, end] = [from[place]!, ends[place]!];
      const length = (starts[end - 1] === domain ? end - 1 : end) - begin;
      sets.push(this.makeNode(level, starts.subarray(begin, end), kids.subarray(begin, end), length));
    }
    return { values, sets };
  }

  /** Where one packet leads: the terminal's value. `ordinal` gives the packet's ordinal of a variable. */
  evaluate(f: Node, ordinal: (level: number) => number): number {
    let x = f;
    while (x >= 0) x = this.child(x, ordinal(this.level[x]!));
    return ~x;
  }
}

/** The terminals below a node, and the set that leads to each. */
interface Split {
  readonly values: readonly number[];
  readonly sets: readonly Node[];
}
const NO_TERMINALS: Split = { values: [], sets: [] };

/** Edges of a node in the making. */
interface EdgeBuffer {
  readonly starts: Int32Array;
  readonly kids: Int32Array;
}

/** Room for so many edges, which are those of nobody else at that depth. */
function scratchBuffer(list: EdgeBuffer[], depth: number, length: number): EdgeBuffer {
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
