/**
 * The variables of the diagrams: one a field, cut into the elementary intervals that the predicates can tell apart,
 * and one of two values for each unknown. An IPv6 address costs what an IPv4 address costs.
 */
import {
  type Address,
  type Family,
  FIELDS,
  type Field,
  fieldRange,
  type Range,
  type Scalar,
  successor,
} from "../packet/field.ts";
import { between, leaves, masked, normalizeRanges, type Predicate } from "../packet/predicate.ts";
import { BudgetExceeded } from "./budget.ts";
import { Diagrams } from "./diagram.ts";
import { EMPTY, FULL, type Node, terminal } from "./node-store.ts";
import type { SharedUnknowns } from "./shared-unknowns.ts";

/**
 * Order of the levels, best first by measurement: interfaces, state, what is asked for, who asks. An unknown comes right
 * behind the fields that its rules ask with it: `-s A -m mac ...` is settled where A is. One that is asked alone comes last.
 */
const MEASURED_ORDER: readonly Field[] = [
  "in",
  "out",
  "physin",
  "physout",
  "ctstate",
  "ctdir",
  "ctstatus",
  "mark",
  "ctmark",
  "dst",
  "ctorigdst",
  "ctreplsrc",
  "proto",
  "ctproto",
  "dport",
  "ctorigdstport",
  "ctreplsrcport",
  "src",
  "ctorigsrc",
  "ctrepldst",
  "sport",
  "ctorigsrcport",
  "ctrepldstport",
  "flags",
  "type",
  "code",
];

const FIELD_ORDER: readonly Field[] = [
  ...MEASURED_ORDER,
  ...(Object.keys(FIELDS) as Field[]).filter((field) => !MEASURED_ORDER.includes(field)),
];
const LAST_LEVEL = FIELD_ORDER.length;

/** The lowest level of the fields that a predicate asks for, `LAST` where it asks for none. */
function lowestLevel(predicate: Predicate): number {
  let place = -1;
  leaves(predicate, (leaf) => {
    if (leaf.kind !== "opaque") place = Math.max(place, FIELD_ORDER.indexOf(leaf.field));
  });
  return place < 0 ? LAST_LEVEL : place;
}

/** Fields that hold the same kind of value as another one before translation, and so share its cuts. */
const TWINS: readonly (readonly Field[])[] = [
  ["src", "ctorigsrc", "ctrepldst", "dst", "ctorigdst", "ctreplsrc"],
  ["sport", "ctorigsrcport", "ctrepldstport", "dport", "ctorigdstport", "ctreplsrcport"],
  ["proto", "ctproto"],
  ["in", "out", "physin", "physout"],
];

/** More unknowns than this are not followed: each is a level of the diagrams, whose numbers have 16 bits. */
const MOST_UNKNOWNS = 60_000;

/** A mask with this many scattered bits makes more intervals than anybody wants. */
const MOST_MASK_RANGES = 1 << 16;

/**
 * Fields whose value is always one that the rules gave, or none: they are cut at those values, and a mask is asked of
 * each of them.
 */
export const MARK_FIELDS = ["mark", "ctmark"] as const satisfies readonly Field[];
const isMark = (field: Field): boolean => (MARK_FIELDS as readonly Field[]).includes(field);

/** Fields that are counted down by one on the way: they are cut so that one can tell what they were before. */
const DECREMENTED: readonly Field[] = ["ttl"];

/** What a domain must be able to tell apart. */
export interface Vocabulary {
  readonly predicates: Iterable<Predicate>;
  /** All values that the fields of `GIVEN` can have. */
  readonly markValues: ReadonlyMap<Field, ReadonlySet<number>>;
  /** Which unknowns are one; what one vocabulary keeps apart stays apart. */
  readonly shared?: SharedUnknowns;
}

/** One variable. */
export type Variable =
  | {
      readonly kind: "field";
      readonly field: Field;
      readonly starts: readonly Scalar[];
      readonly last: Scalar;
    }
  | {
      readonly kind: "unknown";
      readonly key: string;
      /** All keys that it is asked by. */
      readonly keys: readonly string[];
      readonly why: string;
      /** Ordinary packets do not satisfy it. */
      readonly rare: boolean;
    };

export class Domain {
  readonly diagrams: Diagrams;
  private readonly levels: ReadonlyMap<Field, number>;
  private readonly unknowns: ReadonlyMap<string, number>;
  private readonly compiled = new Map<Predicate, Node>();
  /** What masks ask, which is many times the same. */
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
   * The domain that can tell apart what these vocabularies tell apart.
   * @throws BudgetExceeded where they have too many unknowns
   */
  static of(family: Family, vocabularies: readonly Vocabulary[], budget?: number): Domain {
    const cuts = new Map<Field, Set<Scalar>>();
    const unknowns = new Map<string, string>();
    const rare = new Set<string>();
    const places = new Map<string, number>();
    const masks = new Set<string>();
    const group = new Map<Field, Set<Scalar>>();
    for (const twins of TWINS) {
      const shared = new Set<Scalar>();
      for (const field of twins) group.set(field, shared);
    }
    const cutsOf = (field: Field): Set<Scalar> => {
      let set = cuts.get(field);
      if (set === undefined) cuts.set(field, (set = group.get(field) ?? new Set()));
      return set;
    };
    for (const { markValues } of vocabularies)
      for (const [field, values] of markValues)
        for (const value of values) {
          cutsOf(field).add(value);
          if (value < (FIELDS[field] as number)) cutsOf(field).add(value + 1);
        }
    const read = (predicate: Predicate): void => {
      let place: number | undefined;
      leaves(predicate, (leaf) => {
        if (leaf.kind === "opaque") {
          unknowns.set(leaf.key, leaf.why);
          if (leaf.rare === true) rare.add(leaf.key);
          place ??= lowestLevel(predicate);
          places.set(leaf.key, Math.max(places.get(leaf.key) ?? 0, place));
          return;
        }
        const set = cutsOf(leaf.field);
        if (leaf.kind === "bits") {
          const name = maskKey(leaf);
          if (isMark(leaf.field) || masks.has(name)) return;
          masks.add(name);
        }
        const last = fieldRange(leaf.field, family)[1];
        const ranges =
          leaf.kind === "in" ? leaf.ranges : bitRanges(leaf.field, leaf.mask, leaf.value, family);
        if (leaf.kind === "bits" && ranges === undefined)
          unknowns.set(maskKey(leaf), "the mask has too many holes to follow");
        for (const [lo, hi] of ranges ?? [])
          for (const cut of [lo, successor(hi)]) {
            if (cut <= last) set.add(cut);
            if (DECREMENTED.includes(leaf.field) && successor(cut) <= last) set.add(successor(cut));
          }
      });
    };
    for (const { predicates } of vocabularies) for (const predicate of predicates) read(predicate);
    const heads = new Map<number, Variable[]>();
    const groups = groupUnknowns(unknowns.keys(), vocabularies);
    if (groups.size > MOST_UNKNOWNS) throw new BudgetExceeded(MOST_UNKNOWNS, null, "unknown matches");
    for (const [key, keys] of groups) {
      const place = keys.reduce((most, k) => Math.max(most, places.get(k) ?? LAST_LEVEL), 0);
      const variable: Variable = {
        ...{ kind: "unknown", key, keys, why: unknowns.get(keys[0]!)! },
        rare: keys.every((k) => rare.has(k)),
      };
      const head = heads.get(place);
      if (head === undefined) heads.set(place, [variable]);
      else head.push(variable);
    }
    const variables: Variable[] = [];
    for (const [place, field] of FIELD_ORDER.entries()) {
      const twins = TWINS.find((t) => t.includes(field));
      if (!cuts.has(field) && !(twins?.some((t) => cuts.has(t)) ?? false)) continue;
      const [first, last] = fieldRange(field, family);
      const starts = [...new Set([first, ...cutsOf(field)])].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      variables.push({ kind: "field", field, starts, last });
      variables.push(...(heads.get(place) ?? []));
    }
    variables.push(...(heads.get(LAST_LEVEL) ?? []));
    return new Domain(family, variables, budget);
  }

  /** Whether it can tell apart what another can, its unknowns no less and no more. */
  refines(other: Domain): boolean {
    return other.variables.every((its) => {
      if (its.kind === "unknown") {
        const mine = this.variables[this.unknowns.get(its.key) ?? -1];
        return mine?.kind === "unknown" && mine.keys.join("\n") === its.keys.join("\n");
      }
      const level = this.levels.get(its.field);
      if (level === undefined) return false;
      const { starts } = this.variables[level] as Extract<Variable, { kind: "field" }>;
      return its.starts.every((start) => starts[this.ordinal(level, start)] === start);
    });
  }

  /** Level of a field's variable; `undefined` when nothing ever asks about the field. */
  levelOf(field: Field): number | undefined {
    return this.levels.get(field);
  }

  /** Level of an unknown's variable; `undefined` when nothing ever asks for it. */
  levelOfUnknown(key: string): number | undefined {
    return this.unknowns.get(key);
  }

  /** Levels of all unknowns. */
  readonly unknownLevels: ReadonlySet<number>;

  /** Levels of the unknowns that ordinary packets do not satisfy. */
  get rareLevels(): ReadonlySet<number> {
    return new Set(this.variables.flatMap((v, i) => (v.kind === "unknown" && v.rare ? [i] : [])));
  }

  private readonly allBut = new Map<Field, ReadonlySet<number>>();

  /**
   * Cuts a set into the parts that the predicates take, the first that holds: each packet gets the number of its part,
   * from 1. `rest` is what none takes.
   */
  partition(set: Node, predicates: readonly Predicate[]): { readonly parts: Node; readonly rest: Node } {
    const { diagrams } = this;
    const parts = diagrams.intersect(
      set,
      diagrams.unionAll(predicates.map((p, i) => this.terminalWhere(p, terminal(i + 1)))),
    );
    return { parts, rest: diagrams.subtract(set, parts) };
  }

  /** Of each part what lies inside and outside of a set, all in one pass: one by one, each would walk the whole set. */
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

  /** A set over one field alone: which of its values some member has. */
  projectOnto(set: Node, field: Field): Node {
    let others = this.allBut.get(field);
    if (others === undefined) {
      const level = this.levels.get(field);
      others = new Set(this.variables.map((_, i) => i).filter((i) => i !== level));
      this.allBut.set(field, others);
    }
    return this.diagrams.project(set, others);
  }

  /** The values of one field that some member of a set has, as ranges. */
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

  /** The values of one field that members of a set have, as far as the domain tells each of them from all others. */
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

  /** The elementary interval a value lies in. */
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
   * The set of packets whose field has a value that the domain does not tell from this one: all of them go where one goes.
   * Unlike `set`, it takes a value that no predicate names.
   */
  sameInterval(field: Field, value: Address): Node {
    const level = this.levels.get(field);
    if (level === undefined) return FULL;
    const [first, last] = this.interval(level, this.ordinal(level, value)) as readonly [Address, Address];
    return this.set(between(field, first, last));
  }

  /** First and last value of an elementary interval; for names the last is the start of the next, not included. */
  interval(level: number, ordinal: number): Range {
    const variable = this.variables[level] as Extract<Variable, { kind: "field" }>;
    const first = variable.starts[ordinal]!;
    const next = variable.starts[ordinal + 1];
    if (next === undefined) return [first, variable.last];
    return [first, typeof next === "bigint" ? next - 1n : typeof next === "number" ? next - 1 : next];
  }

  /** By the ordinal that a number has now, the one that it has when it is less by so much; never less than 0. */
  decrementedOrdinals(level: number, less: number): number[] {
    const { starts } = this.variables[level] as Extract<Variable, { kind: "field" }>;
    return starts.map((start) => this.ordinal(level, Math.max(0, (start as number) - less)));
  }

  /** The set of packets that satisfy a predicate. */
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

  /** A terminal for the packets that satisfy a predicate, 0 for all others. */
  terminalWhere(predicate: Predicate, value: Node): Node {
    const { diagrams } = this;
    // Questions of single variables are stacked from the lowest level up; what is left is laid over them.
    const questions: VariableRanges[] = [];
    let rest = FULL;
    const take = (part: Predicate): void => {
      if (part.kind === "and") for (const each of part.all) take(each);
      else if (isLeaf(part)) questions.push(this.compileLeaf(part));
      else if (part.kind === "not" && isLeaf(part.not))
        questions.push(this.complementRanges(this.compileLeaf(part.not)));
      else rest = diagrams.intersect(rest, this.set(part));
    };
    take(predicate);
    questions.sort((a, b) => b.level - a.level);
    let node = value;
    for (const { level, ranges } of questions)
      node =
        diagrams.levelOf(node) === level
          ? diagrams.intersect(diagrams.range(level, ranges), node)
          : diagrams.range(level, ranges, node);
    return diagrams.intersect(rest, node);
  }

  /** The ordinals of a range. A range that no vocabulary spoke of would silently grow to its interval: refused. */
  private ordinalRange(level: number, lo: Scalar, hi: Scalar): readonly [number, number] {
    const { starts, last, field } = this.variables[level] as Extract<Variable, { kind: "field" }>;
    const [first, end] = [this.ordinal(level, lo), this.ordinal(level, hi)];
    if (starts[first] !== lo || (end + 1 < starts.length ? starts[end + 1] !== successor(hi) : hi !== last))
      throw new Error(`the domain was not made to tell ${field} ${lo} to ${hi} apart`);
    return [first, end];
  }

  /** What a part of a predicate asks of its variable. */
  private compileLeaf(leaf: Leaf): VariableRanges {
    if (leaf.kind === "opaque") return this.unknownRanges(leaf.key);
    const level = this.levels.get(leaf.field)!;
    if (leaf.kind === "in") return this.fieldRanges(level, leaf.ranges);
    if (isMark(leaf.field)) {
      // A mask is asked of each value that the field can have.
      const { starts } = this.variables[level] as Extract<Variable, { kind: "field" }>;
      const holds = starts.flatMap((start, i) =>
        masked(start, leaf.mask) === leaf.value ? [[i, i] as const] : [],
      );
      return { level, ranges: holds };
    }
    const name = maskKey(leaf);
    let question = this.masks.get(name);
    if (question === undefined) {
      const ranges = bitRanges(leaf.field, leaf.mask, leaf.value, this.family);
      question = ranges === undefined ? this.unknownRanges(name) : this.fieldRanges(level, ranges);
      this.masks.set(name, question);
    }
    return question;
  }

  /** The other ordinals of the same variable. */
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

type Leaf = Extract<Predicate, { kind: "in" | "bits" | "opaque" }>;

const isLeaf = (p: Predicate): p is Leaf => p.kind === "in" || p.kind === "bits" || p.kind === "opaque";

/** Which ordinals of a variable are asked for, sorted and disjoint. */
interface VariableRanges {
  readonly level: number;
  readonly ranges: readonly (readonly [number, number])[];
}

/** A set, and what of it lies inside and outside of another one. */
export interface Divided {
  readonly all: Node;
  readonly inside: Node;
  readonly outside: Node;
}

/** The unknowns by the key of the first of those that are one. */
function groupUnknowns(keys: Iterable<string>, vocabularies: readonly Vocabulary[]): Map<string, string[]> {
  const apart = new Set<string>();
  const names = new Map<string, string>();
  for (const { shared } of vocabularies)
    for (const [key, name] of shared ?? [])
      if (name === null) apart.add(key);
      else names.set(key, name);
  const first = new Map<string, string>();
  const out = new Map<string, string[]>();
  for (const key of keys) {
    const name = apart.has(key) ? undefined : names.get(key);
    const head = name === undefined ? key : (first.get(name) ?? key);
    if (name !== undefined) first.set(name, head);
    const group = out.get(head);
    if (group === undefined) out.set(head, [key]);
    else group.push(key);
  }
  return out;
}

const maskKey = (leaf: { field: Field; mask: Scalar; value: Scalar }): string =>
  `bits:${leaf.field}&${leaf.mask}=${leaf.value}`;

/** The values with `value & mask === wanted`, as ranges; `undefined` when there are too many. */
export function bitRanges(field: Field, mask: Scalar, wanted: Scalar, family: Family): Range[] | undefined {
  if (masked(wanted, mask) !== wanted) return [];
  const [, last] = fieldRange(field, family);
  if (typeof last === "string") return undefined;
  const max = BigInt(last as number | bigint);
  const free = max & ~BigInt(mask as number | bigint);
  // The low run of free bits is one range; each free bit above it doubles the number of ranges.
  let low = 0n;
  while ((free >> low) & 1n) low++;
  const high: bigint[] = [];
  for (let bit = low; 1n << bit <= max; bit++) if ((free >> bit) & 1n) high.push(1n << bit);
  if (1 << Math.min(high.length, 30) > MOST_MASK_RANGES) return undefined;
  const span = (1n << low) - 1n;
  const base = BigInt(wanted as number | bigint);
  const out: Range[] = [];
  const narrow = (n: bigint): Scalar => (typeof last === "bigint" ? n : Number(n));
  for (let i = 0; i < 1 << high.length; i++) {
    let start = base;
    for (let j = 0; j < high.length; j++) if (i & (1 << j)) start |= high[j]!;
    out.push([narrow(start), narrow(start + span)]);
  }
  return normalizeRanges(out);
}
