/**
 * Variables of the diagrams: one per field, whose ordinals are the elementary intervals that the predicates distinguish,
 * and one with two values per unknown.
 */
import {
  type Family,
  FIELDS,
  type Field,
  fieldRange,
  type Range,
  type Scalar,
  successor,
} from "../packet/field.ts";
import { applyMask, normalizeRanges, type Predicate, visitLeaves } from "../packet/predicate.ts";
import { BudgetExceeded } from "./budget.ts";
import type { SharedUnknowns } from "./shared-unknowns.ts";

/** Predicates that a domain has to represent exactly. */
export interface Vocabulary {
  readonly predicates: readonly Predicate[];
  /** All values that the fields of `MARK_FIELDS` can have. */
  readonly markValues: ReadonlyMap<Field, ReadonlySet<number>>;
  /** Unknowns that always have the same value. If one vocabulary keeps an unknown separate, so does the domain. */
  readonly shared?: SharedUnknowns;
}

/** One variable. */
export type Variable =
  | {
      readonly kind: "field";
      readonly field: Field;
      /** First value of each elementary interval, in ascending order. */
      readonly starts: readonly Scalar[];
      readonly last: Scalar;
    }
  | {
      readonly kind: "unknown";
      readonly key: string;
      /** All keys that share this variable. */
      readonly keys: readonly string[];
      /** Ordinary packets do not satisfy it. */
      readonly rare: boolean;
      /** The test of bits that it replaces; `null` for any other unknown. */
      readonly bits: BitTest | null;
    };

/** A test of bits of a field: the value and the mask give `value`. */
export interface BitTest {
  readonly field: Field;
  readonly mask: Scalar;
  readonly value: Scalar;
}

/** Order of the levels with the smallest diagrams by measurement: interfaces, state, destination, source. */
const MEASURED_ORDER: readonly Field[] = [
  "out",
  "in",
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

/** A list of sources of this length, as of an ipset, moves the source above the destination. */
const LONG_LIST = 4096;

/**
 * Order for long lists of sources. Below the destination each service with sources of its own would have a copy of the list;
 * above it there is one.
 */
const SOURCE_FIRST: readonly Field[] = FIELD_ORDER.flatMap((field) =>
  field === "dst" ? (["src", "dst"] as const) : field === "src" ? [] : [field],
);

/** Interfaces of rules and routes from which on the destination is above the interfaces. */
const MANY_INTERFACES = 200;

const INTERFACE_FIELDS: readonly Field[] = ["out", "in", "physin", "physout"];

/**
 * Order for many interfaces. Each has routes of its own: below the interfaces there would be as many copies of the routing
 * table; above them, a destination leads to a few interfaces. The sources of an interface follow it.
 */
const DESTINATION_FIRST: readonly Field[] = FIELD_ORDER.flatMap((field) =>
  field === "dst"
    ? ["dst", ...INTERFACE_FIELDS, "src"]
    : field === "src" || INTERFACE_FIELDS.includes(field)
      ? []
      : [field],
);

/** Level of unknowns whose predicates test no field. */
const LAST_LEVEL = FIELD_ORDER.length;

/** Fields between which translation and conntrack copy values; they share their elementary intervals. */
const TWINS: readonly (readonly Field[])[] = [
  ["src", "ctorigsrc", "ctrepldst", "dst", "ctorigdst", "ctreplsrc"],
  ["sport", "ctorigsrcport", "ctrepldstport", "dport", "ctorigdstport", "ctreplsrcport"],
  ["proto", "ctproto"],
  ["in", "out", "physin", "physout"],
];

/** Each unknown is a level of the diagrams, and levels have 16 bits. */
const MOST_UNKNOWNS = 60_000;

/** A mask that matches more separate ranges than this becomes an unknown. */
const MOST_MASK_RANGES = 1 << 16;

/** Fields whose values all come from rules. Each possible value has its own interval, so that masks can be evaluated. */
export const MARK_FIELDS = ["mark", "ctmark"] as const satisfies readonly Field[];
export const isMark = (field: Field): boolean => (MARK_FIELDS as readonly Field[]).includes(field);

/** Fields that the host decrements by one. Their intervals also distinguish the values before the decrement. */
const DECREMENTED: readonly Field[] = ["ttl"];

/**
 * Returns the variables of a domain for these vocabularies, by level. The level of an unknown follows the fields of the
 * rules that contain it: `-s A -m mac ...` is decided next to A.
 * @throws BudgetExceeded if there are too many unknowns
 */
export function variablesOf(family: Family, vocabularies: readonly Vocabulary[]): Variable[] {
  const predicates = vocabularies.flatMap((vocabulary) => vocabulary.predicates);
  const collector = new Collector(family, orderOf(predicates));
  for (const { markValues } of vocabularies) collector.addMarks(markValues);
  for (const predicate of predicates) collector.addPredicate(predicate);
  return collector.variables(vocabularies);
}

/** Returns the order of the fields for these predicates. */
function orderOf(predicates: readonly Predicate[]): readonly Field[] {
  const names = new Set<Scalar>();
  let longest = 0;
  for (const predicate of predicates)
    visitLeaves(predicate, (leaf) => {
      if (leaf.kind !== "in") return;
      if (leaf.field === "src") longest = Math.max(longest, leaf.ranges.length);
      else if (INTERFACE_FIELDS.includes(leaf.field)) for (const [name] of leaf.ranges) names.add(name);
    });
  if (names.size >= MANY_INTERFACES) return DESTINATION_FIRST;
  return longest >= LONG_LIST ? SOURCE_FIRST : FIELD_ORDER;
}

/** Collects the bounds of elementary intervals and the unknowns of predicates. */
class Collector {
  private readonly bounds = new Map<Field, Set<Scalar>>();
  private readonly twinBounds = new Map<Field, Set<Scalar>>();
  /** Keys of all unknowns. */
  private readonly unknowns = new Set<string>();
  private readonly rare = new Set<string>();
  /** Lowest level of the fields next to each unknown. */
  private readonly levels = new Map<string, number>();
  private readonly masks = new Set<string>();
  /** Tests of bits that are unknowns, by their keys. */
  private readonly bitTests = new Map<string, BitTest>();

  constructor(
    private readonly family: Family,
    private readonly order: readonly Field[],
  ) {
    for (const twins of TWINS) {
      const shared = new Set<Scalar>();
      for (const field of twins) this.twinBounds.set(field, shared);
    }
  }

  private boundsOf(field: Field): Set<Scalar> {
    let bounds = this.bounds.get(field);
    if (bounds === undefined) this.bounds.set(field, (bounds = this.twinBounds.get(field) ?? new Set()));
    return bounds;
  }

  addMarks(markValues: ReadonlyMap<Field, ReadonlySet<number>>): void {
    for (const [field, values] of markValues) {
      const bounds = this.boundsOf(field);
      for (const value of values) {
        bounds.add(value);
        if (value < (FIELDS[field] as number)) bounds.add(value + 1);
      }
    }
  }

  addPredicate(predicate: Predicate): void {
    let level: number | undefined;
    visitLeaves(predicate, (leaf) => {
      if (leaf.kind === "opaque") {
        this.unknowns.add(leaf.key);
        if (leaf.rare === true) this.rare.add(leaf.key);
        level ??= lowestLevel(predicate, this.order);
        this.levels.set(leaf.key, Math.max(this.levels.get(leaf.key) ?? 0, level));
      } else this.addLeaf(leaf);
    });
  }

  private addLeaf(leaf: Exclude<Leaf, { kind: "opaque" }>): void {
    const { field } = leaf;
    const bounds = this.boundsOf(field);
    if (leaf.kind === "in") {
      this.addRanges(field, bounds, leaf.ranges);
      return;
    }
    const key = maskKey(leaf);
    if (isMark(field) || this.masks.has(key)) return;
    this.masks.add(key);
    const ranges = bitRanges(field, leaf.mask, leaf.value, this.family);
    if (ranges === undefined) this.addBitTest(leaf);
    else this.addRanges(field, bounds, ranges);
  }

  /** Adds the unknown of a test of bits for each field whose value can become that of the tested one. */
  private addBitTest({ field: tested, mask, value }: BitTest): void {
    for (const field of TWINS.find((twins) => twins.includes(tested)) ?? [tested]) {
      const key = maskKey({ field, mask, value });
      this.unknowns.add(key);
      this.bitTests.set(key, { field, mask, value });
    }
  }

  private addRanges(field: Field, bounds: Set<Scalar>, ranges: readonly Range[]): void {
    const last = fieldRange(field, this.family)[1];
    for (const [lo, hi] of ranges)
      for (const bound of [lo, successor(hi)]) {
        if (bound <= last) bounds.add(bound);
        if (DECREMENTED.includes(field) && successor(bound) <= last) bounds.add(successor(bound));
      }
  }

  variables(vocabularies: readonly Vocabulary[]): Variable[] {
    const unknowns = this.unknownsByLevel(vocabularies);
    const variables: Variable[] = [];
    const sorted = new Map<ReadonlySet<Scalar>, readonly Scalar[]>();
    for (const [level, field] of this.order.entries()) {
      const twins = TWINS.find((t) => t.includes(field)) ?? [field];
      if (!twins.some((twin) => this.bounds.has(twin))) continue;
      const [first, last] = fieldRange(field, this.family);
      const bounds = this.boundsOf(field);
      let starts = sorted.get(bounds);
      if (starts === undefined) sorted.set(bounds, (starts = ascending(bounds, first)));
      variables.push({ kind: "field", field, starts, last });
      variables.push(...(unknowns.get(level) ?? []));
    }
    variables.push(...(unknowns.get(LAST_LEVEL) ?? []));
    return variables;
  }

  private unknownsByLevel(vocabularies: readonly Vocabulary[]): Map<number, Variable[]> {
    const byLevel = new Map<number, Variable[]>();
    const groups = groupUnknowns(this.unknowns, vocabularies);
    if (groups.size > MOST_UNKNOWNS) throw new BudgetExceeded(MOST_UNKNOWNS, null, "unknown matches");
    for (const [key, keys] of groups) {
      const level = keys.reduce((most, k) => Math.max(most, this.levels.get(k) ?? LAST_LEVEL), 0);
      const variable: Variable = {
        kind: "unknown",
        key,
        keys,
        rare: keys.every((k) => this.rare.has(k)),
        bits: this.bitTests.get(key) ?? null,
      };
      const others = byLevel.get(level);
      if (others === undefined) byLevel.set(level, [variable]);
      else others.push(variable);
    }
    return byLevel;
  }
}

/** Returns the values of a set and a further value in ascending order. */
const ascending = (values: ReadonlySet<Scalar>, first: Scalar): readonly Scalar[] =>
  [...new Set([first, ...values])].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));

/** A part of a predicate that tests a field or an unknown. */
export type Leaf = Extract<Predicate, { kind: "in" | "bits" | "opaque" }>;

/** Returns the lowest level of the fields of a predicate; `LAST_LEVEL` if it tests none. */
function lowestLevel(predicate: Predicate, order: readonly Field[]): number {
  let level = -1;
  visitLeaves(predicate, (leaf) => {
    if (leaf.kind !== "opaque") level = Math.max(level, order.indexOf(leaf.field));
  });
  return level < 0 ? LAST_LEVEL : level;
}

/** Groups the keys of unknowns that share one value, by the first key of each group. */
function groupUnknowns(keys: Iterable<string>, vocabularies: readonly Vocabulary[]): Map<string, string[]> {
  const separate = new Set<string>();
  const names = new Map<string, string>();
  for (const { shared } of vocabularies)
    for (const [key, name] of shared ?? [])
      if (name === null) separate.add(key);
      else names.set(key, name);
  const heads = new Map<string, string>();
  const groups = new Map<string, string[]>();
  for (const key of keys) {
    const name = separate.has(key) ? undefined : names.get(key);
    const head = name === undefined ? key : (heads.get(name) ?? key);
    if (name !== undefined) heads.set(name, head);
    const group = groups.get(head);
    if (group === undefined) groups.set(head, [key]);
    else group.push(key);
  }
  return groups;
}

/** Key of a mask and its value: of the unknown that replaces it, and of its memo. */
export const maskKey = ({ field, mask, value }: BitTest): string => `bits:${field}&${mask}=${value}`;

/** Returns the values with `value & mask === wanted` as ranges; `undefined` if there are too many. */
export function bitRanges(field: Field, mask: Scalar, wanted: Scalar, family: Family): Range[] | undefined {
  if (applyMask(wanted, mask) !== wanted) return [];
  const [, last] = fieldRange(field, family);
  if (typeof last === "string") return undefined;
  const max = BigInt(last as number | bigint);
  const free = max & ~BigInt(mask as number | bigint);
  // The lowest run of free bits is one range; each free bit above it doubles the number of ranges.
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
