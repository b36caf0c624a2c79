/** Index over a list of predicates: finds by the value of one register the few predicates that can be true. */
import { FIELDS, type Field } from "./field.ts";
import { Intervals } from "./intervals.ts";
import { conjuncts, normalizeRanges, type Predicate, visitLeaves } from "./predicate.ts";
import type { PredicateProgram } from "./predicate-program.ts";

/** A conjunct with more ranges is not used for the index. */
const MOST_RANGES = 64;
/** Largest number of index entries per predicate, on average. */
const ENTRIES_PER_PREDICATE = 8;

/** Ranges of values of a register. */
type RegisterRanges = readonly (readonly [number, number])[];

/**
 * Predicates that are found by the value of one register, or (register -1) are tested one by one.
 *
 * An item is `2 * (index + 1)` of the predicate, plus 1 if the interval alone makes the predicate true.
 */
export interface IndexGroup {
  readonly register: number;
  /** Smallest index of a predicate of this group. */
  readonly least: number;
  /** Items by interval; `null` for register -1. */
  readonly intervals: Intervals | null;
  /** Items of register -1. */
  readonly rest: Int32Array;
}

/** The conjunct by which the index finds a predicate. */
interface IndexKey {
  readonly rule: number;
  /** True if the predicate has no other conjunct. */
  readonly whole: boolean;
  /** -1 if no conjunct is suitable. */
  register: number;
  readonly ranges: RegisterRanges;
  /** Share of the intervals of the register that the ranges cover. */
  readonly share: number;
  /** Number of intervals that the ranges cover. */
  readonly count: number;
}

/** Returns true if a field contains numbers up to 255. */
export const isByte = (field: Field): boolean => {
  const kind = FIELDS[field];
  return typeof kind === "number" && kind <= 0xff;
};

/** Builds the index of a compiled list. */
export function buildIndex(list: readonly Predicate[], program: PredicateProgram): IndexGroup[] {
  const groups = new Map<number, IndexKey[]>();
  for (const key of chooseKeys(list, program)) {
    const group = groups.get(key.register) ?? [];
    group.push(key);
    groups.set(key.register, group);
  }
  return [...groups].map(([register, keys]) => toGroup(register, keys)).sort((a, b) => a.least - b.least);
}

function toGroup(register: number, keys: readonly IndexKey[]): IndexGroup {
  const least = keys[0]!.rule;
  const items = keys.map(({ rule, ranges, whole }) => ({
    item: 2 * (rule + 1) + (whole && register >= 0 ? 1 : 0),
    ranges,
  }));
  if (register < 0)
    return { register, least, intervals: null, rest: Int32Array.from(items, (each) => each.item) };
  const intervals = new Intervals(keys.flatMap((key) => key.ranges));
  intervals.assign(items);
  return { register, least, intervals, rest: new Int32Array(0) };
}

/** Chooses for each predicate the conjunct that covers the smallest share of the values of its field. */
function chooseKeys(list: readonly Predicate[], { fields, coders }: PredicateProgram): readonly IndexKey[] {
  const rangesOfRegister = new Map<number, [number, number][]>();
  const candidates = list.map((predicate) => {
    const suitable: { register: number; ranges: RegisterRanges }[] = [];
    const parts = conjuncts(predicate);
    for (const part of parts) {
      if (part.kind !== "in" || part.ranges.length > MOST_RANGES) continue;
      const register = fields.indexOf(part.field);
      const coder = coders[register]!;
      const ranges = normalizeRanges(part.ranges).map(([lo, hi]): [number, number] =>
        coder === null ? [lo as number, hi as number] : [coder.code(lo), coder.code(hi)],
      );
      suitable.push({ register, ranges });
      const all = rangesOfRegister.get(register) ?? [];
      all.push(...ranges);
      rangesOfRegister.set(register, all);
    }
    return { suitable, whole: parts.length === 1 };
  });
  const spaces = new Map(
    [...rangesOfRegister].map(([register, ranges]) => [register, new Intervals(ranges)]),
  );
  const keys = candidates.map(({ suitable, whole }, rule) => {
    let best: IndexKey = { rule, whole, register: -1, ranges: [], share: 1, count: 0 };
    for (const { register, ranges } of suitable) {
      const space = spaces.get(register)!;
      const count = ranges.reduce((sum, [lo, hi]) => sum + space.find(hi) - space.find(lo) + 1, 0);
      const share = count / space.size;
      if (share < best.share) best = { rule, whole, register, ranges, share, count };
    }
    return best;
  });
  // Wide predicates would be listed in nearly every interval: those above the limit are tested one by one.
  let room = ENTRIES_PER_PREDICATE * list.length;
  for (const key of [...keys].sort((a, b) => a.count - b.count)) {
    room -= key.count;
    if (room < 0) key.register = -1;
  }
  return keys;
}

/**
 * Returns the intervals of each register that the list distinguishes. Two packets with the same fields absent, and with
 * all registers in the same intervals, have the same result. Returns `null` if masks over wide fields prevent this.
 */
export function distinguishIntervals(
  list: readonly Predicate[],
  { fields, coders }: PredicateProgram,
): readonly Intervals[] | null {
  const ranges = fields.map((): [number, number][] => []);
  let known = true;
  for (const predicate of list)
    visitLeaves(predicate, (leaf) => {
      if (leaf.kind === "opaque" || (leaf.kind === "in" && leaf.ranges.length === 0)) return;
      const register = fields.indexOf(leaf.field);
      const coder = coders[register]!;
      const own = ranges[register]!;
      if (leaf.kind === "in")
        for (const [lo, hi] of leaf.ranges)
          own.push(coder === null ? [lo as number, hi as number] : [coder.code(lo), coder.code(hi)]);
      else if (!isByte(leaf.field)) known = false;
      else for (let value = 0; value <= 0xff; value++) own.push([value, value]);
    });
  return known ? ranges.map((each) => new Intervals(each)) : null;
}
