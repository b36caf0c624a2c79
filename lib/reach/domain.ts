/**
 * Packet sets as diagrams: compiles predicates, and translates between values of fields and ordinals of variables. An
 * IPv6 address costs as much as an IPv4 address.
 */
import {
  type Address,
  type Family,
  type Field,
  type Range,
  type Scalar,
  successor,
} from "../packet/field.ts";
import { applyMask, between, normalizeRanges, type Predicate } from "../packet/predicate.ts";
import { Diagrams } from "./diagram.ts";
import { EMPTY, FULL, type Node, terminal } from "./node-store.ts";
import {
  bitRanges,
  isMark,
  type Leaf,
  maskKey,
  type Variable,
  type Vocabulary,
  variablesOf,
} from "./variables.ts";

export class Domain {
  readonly diagrams: Diagrams;
  private readonly levels: ReadonlyMap<Field, number>;
  private readonly unknowns: ReadonlyMap<string, number>;
  private readonly compiled = new Map<Predicate, Node>();
  /** Memo of compiled masks: rules often repeat a mask. */
  private readonly masks = new Map<string, VariableRanges>();

  private constructor(
    readonly family: Family,
    readonly variables: readonly Variable[],
    budget?: number,
  ) {
    this.diagrams = new Diagrams(
      variables.map((v) => (v.kind === "field" ? v.starts.length : 2)),
      budget,
    );
    this.levels = new Map(variables.flatMap((v, i) => (v.kind === "field" ? [[v.field, i] as const] : [])));
    this.unknowns = new Map(
      variables.flatMap((v, i) => (v.kind === "unknown" ? v.keys.map((key) => [key, i] as const) : [])),
    );
    this.unknownLevels = new Set(this.unknowns.values());
  }

  /**
   * Returns the domain in which each predicate of these vocabularies is a set.
   * @throws BudgetExceeded if there are too many unknowns
   */
  static of(family: Family, vocabularies: readonly Vocabulary[], budget?: number): Domain {
    return new Domain(family, variablesOf(family, vocabularies), budget);
  }

  /** Returns true if each set of the other domain is a set of this one, and both combine unknowns alike. */
  refines(other: Domain): boolean {
    return other.variables.every((theirs) => {
      if (theirs.kind === "unknown") {
        const mine = this.variables[this.unknowns.get(theirs.key) ?? -1];
        return mine?.kind === "unknown" && mine.keys.join("\n") === theirs.keys.join("\n");
      }
      const level = this.levels.get(theirs.field);
      if (level === undefined) return false;
      const { starts } = this.variables[level] as Extract<Variable, { kind: "field" }>;
      return theirs.starts.every((start) => starts[this.ordinal(level, start)] === start);
    });
  }

  /** Returns the level of a field's variable; `undefined` if no predicate tests the field. */
  levelOf(field: Field): number | undefined {
    return this.levels.get(field);
  }

  /** Returns the level of an unknown's variable; `undefined` if no predicate contains it. */
  levelOfUnknown(key: string): number | undefined {
    return this.unknowns.get(key);
  }

  /** Levels of all unknowns. */
  readonly unknownLevels: ReadonlySet<number>;

  /** Levels of the unknowns that ordinary packets do not satisfy. */
  get rareLevels(): ReadonlySet<number> {
    return new Set(this.variables.flatMap((v, i) => (v.kind === "unknown" && v.rare ? [i] : [])));
  }

  /** Levels of all variables but those of some fields, by the names of the fields. */
  private readonly allBut = new Map<string, ReadonlySet<number>>();

  /**
   * Splits a set by the first predicate that each packet satisfies. `parts` maps a packet to the number of that predicate,
   * from 1; `rest` contains the packets that satisfy none.
   */
  partition(set: Node, predicates: readonly Predicate[]): { readonly parts: Node; readonly rest: Node } {
    const { diagrams } = this;
    const parts = diagrams.intersect(
      set,
      diagrams.unionAll(predicates.map((p, i) => this.terminalWhere(p, terminal(i + 1)))),
    );
    return { parts, rest: diagrams.subtract(set, parts) };
  }

  /** Intersects each part with a set and with its complement, in one pass over all parts. */
  divide(parts: Node, by: Node): Map<number, Divided> {
    const { diagrams } = this;
    const inside = diagrams.split(diagrams.intersect(by, parts));
    const outside = diagrams.split(diagrams.subtract(parts, by));
    const numbers = [...new Set([...inside.keys(), ...outside.keys()])].sort((a, b) => a - b);
    return new Map(
      numbers.map((number) => {
        const [yes, no] = [inside.get(number) ?? EMPTY, outside.get(number) ?? EMPTY];
        return [number, { all: diagrams.union(yes, no), inside: yes, outside: no }];
      }),
    );
  }

  /** Projects a set onto fields: the result depends on the values of these fields alone. */
  projectOnto(set: Node, ...fields: readonly Field[]): Node {
    const key = fields.join();
    let others = this.allBut.get(key);
    if (others === undefined) {
      const kept = fields.map((field) => this.levels.get(field));
      others = new Set(this.variables.map((_, level) => level).filter((level) => !kept.includes(level)));
      this.allBut.set(key, others);
    }
    return this.diagrams.project(set, others);
  }

  /** Returns the values of one field in a set, as ranges. */
  valueRanges(set: Node, field: Field): Range[] {
    const level = this.levels.get(field);
    const only = this.projectOnto(set, field);
    if (only === EMPTY || level === undefined) return [];
    const last = this.diagrams.domains[level]! - 1;
    if (only === FULL) return [[this.interval(level, 0)[0], this.interval(level, last)[1]]];
    const out: Range[] = [];
    this.diagrams.edges(only, (kid, first, end) => {
      if (kid !== EMPTY) out.push([this.interval(level, first)[0], this.interval(level, end)[1]]);
    });
    return out;
  }

  /** Returns the values of one field in a set that have an elementary interval of their own, at most `most` values. */
  singleValues(set: Node, field: Field, most: number): Scalar[] {
    const level = this.levels.get(field);
    const only = this.projectOnto(set, field);
    const out: Scalar[] = [];
    if (level === undefined || only < 0) return out;
    this.diagrams.edges(only, (kid, first, end) => {
      if (kid === EMPTY) return;
      for (let ordinal = first; ordinal <= end && out.length < most; ordinal++) {
        const [lo, hi] = this.interval(level, ordinal);
        if (lo === hi) out.push(lo);
      }
    });
    return out;
  }

  /** Returns the set of packets with a value of a field; `null` if the value has no elementary interval of its own. */
  singleton(field: Field, value: Scalar): Node | null {
    const level = this.levels.get(field);
    if (level === undefined) return null;
    const ordinal = this.ordinal(level, value);
    const [first, last] = this.interval(level, ordinal);
    return first === value && last === value ? this.diagrams.range(level, [[ordinal, ordinal]]) : null;
  }

  /** Returns the index of the elementary interval of a value. */
  ordinal(level: number, value: Scalar): number {
    const { starts } = this.variables[level] as Extract<Variable, { kind: "field" }>;
    let lo = 0;
    let hi = starts.length - 1;
    while (lo < hi) {
      const middle = (lo + hi + 1) >> 1;
      if (starts[middle]! <= value) lo = middle;
      else hi = middle - 1;
    }
    return lo;
  }

  /**
   * Returns the set of packets whose field has a value in the elementary interval of this one. All take the same
   * path. Unlike `set`, it accepts a value that no predicate contains.
   */
  sameInterval(field: Field, value: Address): Node {
    const level = this.levels.get(field);
    if (level === undefined) return FULL;
    const [first, last] = this.interval(level, this.ordinal(level, value)) as readonly [Address, Address];
    return this.set(between(field, first, last));
  }

  /** Returns the first and last value of an elementary interval. The end of an interval of names is exclusive. */
  interval(level: number, ordinal: number): Range {
    const variable = this.variables[level] as Extract<Variable, { kind: "field" }>;
    const first = variable.starts[ordinal]!;
    const next = variable.starts[ordinal + 1];
    if (next === undefined) return [first, variable.last];
    return [first, typeof next === "bigint" ? next - 1n : typeof next === "number" ? next - 1 : next];
  }

  /** Maps each ordinal to the ordinal of (value - decrement), clamped at 0. */
  decrementedOrdinals(level: number, decrement: number): number[] {
    const { starts } = this.variables[level] as Extract<Variable, { kind: "field" }>;
    return starts.map((start) => this.ordinal(level, Math.max(0, (start as number) - decrement)));
  }

  /** Returns the set of packets that satisfy a predicate. */
  set(predicate: Predicate): Node {
    switch (predicate.kind) {
      case "any":
        return FULL;
      case "not":
        return this.diagrams.complement(this.set(predicate.not));
      case "and":
      case "or": {
        let node = this.compiled.get(predicate);
        if (node === undefined) {
          node =
            predicate.kind === "and"
              ? this.terminalWhere(predicate, FULL)
              : this.diagrams.unionAll(predicate.some.map((p) => this.set(p)));
          this.compiled.set(predicate, node);
        }
        return node;
      }
      default: {
        const { level, ranges } = this.compileLeaf(predicate);
        return this.diagrams.range(level, ranges);
      }
    }
  }

  /** Returns the diagram with this terminal for packets that satisfy a predicate, and 0 for all others. */
  terminalWhere(predicate: Predicate, value: Node): Node {
    const { diagrams } = this;
    // Ranges of single variables are stacked from the lowest level up, which needs no set operation.
    const leaves: VariableRanges[] = [];
    let rest = FULL;
    const take = (part: Predicate): void => {
      if (part.kind === "and") for (const each of part.all) take(each);
      else if (isLeaf(part)) leaves.push(this.compileLeaf(part));
      else if (part.kind === "not" && isLeaf(part.not))
        leaves.push(this.complementRanges(this.compileLeaf(part.not)));
      else rest = diagrams.intersect(rest, this.set(part));
    };
    take(predicate);
    leaves.sort((a, b) => b.level - a.level);
    let node = value;
    for (const { level, ranges } of leaves)
      node =
        diagrams.levelOf(node) === level
          ? diagrams.intersect(diagrams.range(level, ranges), node)
          : diagrams.range(level, ranges, node);
    return diagrams.intersect(rest, node);
  }

  /** Returns the ordinals of a range. Throws if its ends are no ends of intervals: the result would be a superset. */
  private ordinalRange(level: number, lo: Scalar, hi: Scalar): readonly [number, number] {
    const { starts, last, field } = this.variables[level] as Extract<Variable, { kind: "field" }>;
    const [first, end] = [this.ordinal(level, lo), this.ordinal(level, hi)];
    if (starts[first] !== lo || (end + 1 < starts.length ? starts[end + 1] !== successor(hi) : hi !== last))
      throw new Error(`the domain has no intervals for ${field} ${lo} to ${hi}`);
    return [first, end];
  }

  /** Compiles a leaf of a predicate to ranges of its variable. */
  private compileLeaf(leaf: Leaf): VariableRanges {
    if (leaf.kind === "opaque") return this.unknownRanges(leaf.key);
    const level = this.levels.get(leaf.field)!;
    if (leaf.kind === "in") return this.fieldRanges(level, leaf.ranges);
    if (isMark(leaf.field)) {
      // The intervals of a mark are its possible values: evaluate the mask on each interval.
      const { starts } = this.variables[level] as Extract<Variable, { kind: "field" }>;
      const holds = starts.flatMap((start, i) =>
        applyMask(start, leaf.mask) === leaf.value ? [[i, i] as const] : [],
      );
      return { level, ranges: holds };
    }
    const name = maskKey(leaf);
    let compiled = this.masks.get(name);
    if (compiled === undefined) {
      const ranges = bitRanges(leaf.field, leaf.mask, leaf.value, this.family);
      compiled = ranges === undefined ? this.unknownRanges(name) : this.fieldRanges(level, ranges);
      this.masks.set(name, compiled);
    }
    return compiled;
  }

  /** Complements the ranges of a variable. */
  private complementRanges({ level, ranges }: VariableRanges): VariableRanges {
    const others: [number, number][] = [];
    let at = 0;
    for (const [lo, hi] of ranges) {
      if (lo > at) others.push([at, lo - 1]);
      at = hi + 1;
    }
    const end = this.diagrams.domains[level]!;
    if (at < end) others.push([at, end - 1]);
    return { level, ranges: others };
  }

  private unknownRanges(key: string): VariableRanges {
    return { level: this.unknowns.get(key)!, ranges: [[1, 1]] };
  }

  private fieldRanges(level: number, ranges: readonly Range[]): VariableRanges {
    const sorted = ranges.length > 1 ? normalizeRanges(ranges) : ranges;
    return { level, ranges: sorted.map(([lo, hi]) => this.ordinalRange(level, lo, hi)) };
  }
}

const isLeaf = (p: Predicate): p is Leaf => p.kind === "in" || p.kind === "bits" || p.kind === "opaque";

/** Ranges of ordinals of a variable, sorted and disjoint. */
interface VariableRanges {
  readonly level: number;
  readonly ranges: readonly (readonly [number, number])[];
}

/** A set, its intersection with another set and with the complement of that set. */
export interface Divided {
  readonly all: Node;
  readonly inside: Node;
  readonly outside: Node;
}
