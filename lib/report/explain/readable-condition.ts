/**
 * Predicates normalized for printing: negations are pushed down to the tests, tests of one field are merged, and tests
 * that another part of the rule already implies are removed. A condition holds for the same packets as its predicate.
 */
import { type Family, FIELDS, type Field, type Range, type Scalar } from "../../packet/field.ts";
import { normalizeRanges, type Predicate } from "../../packet/predicate.ts";
import type { UnknownReason } from "../../packet/unknown-reason.ts";

/** A test of one field, or a match that is printed as written. */
export type FieldTest =
  | { readonly kind: "in"; readonly field: Field; readonly ranges: readonly Range[]; readonly not: boolean }
  | {
      readonly kind: "bits";
      readonly field: Field;
      readonly mask: Scalar;
      readonly value: Scalar;
      readonly not: boolean;
    }
  /** Match printed as iptables-save writes it; `unknown` is the reason that its value is unknown, `null` if it is known. */
  | {
      readonly kind: "text";
      readonly text: string;
      readonly unknown: UnknownReason | null;
      readonly not: boolean;
    };

/** Field test of kind `in`. */
export type RangeTest = Extract<FieldTest, { kind: "in" }>;

/** Conjunctions and disjunctions of field tests. An empty conjunction always holds, an empty disjunction never. */
export type ReadableCondition =
  | FieldTest
  | { readonly kind: "all"; readonly parts: readonly ReadableCondition[] }
  | { readonly kind: "some"; readonly parts: readonly ReadableCondition[] };

const ALWAYS_HOLDS: ReadableCondition = { kind: "all", parts: [] };
const NEVER_HOLDS: ReadableCondition = { kind: "some", parts: [] };

/** Returns true if the condition holds for every packet. */
export const alwaysHolds = (condition: ReadableCondition): boolean =>
  condition.kind === "all" && condition.parts.length === 0;
/** Returns true if the condition holds for no packet. */
export const neverHolds = (condition: ReadableCondition): boolean =>
  condition.kind === "some" && condition.parts.length === 0;

/**
 * Converts a predicate to a condition.
 * @param textOf prints an unknown, given its key
 */
export function readableConditionOf(
  p: Predicate,
  family: Family,
  textOf: (key: string) => string,
  not = false,
): ReadableCondition {
  switch (p.kind) {
    case "any":
      return not ? NEVER_HOLDS : ALWAYS_HOLDS;
    case "in":
      if (p.ranges.length === 0) return not ? ALWAYS_HOLDS : NEVER_HOLDS;
      return { kind: "in", field: p.field, ranges: normalizeRanges(p.ranges), not };
    case "bits":
      return coversField(p.field, p.mask, family)
        ? { kind: "in", field: p.field, ranges: [[p.value, p.value]], not }
        : { kind: "bits", field: p.field, mask: p.mask, value: p.value, not };
    case "opaque":
      return { kind: "text", text: textOf(p.key), unknown: p.reason, not };
    case "not":
      return readableConditionOf(p.not, family, textOf, !not);
    case "and":
    case "or": {
      const parts = p.kind === "and" ? p.all : p.some;
      const conditions = parts.map((part) => readableConditionOf(part, family, textOf, not));
      return (p.kind === "and") !== not ? conjunction(conditions) : disjunction(conditions);
    }
  }
}

function coversField(field: Field, mask: Scalar, family: Family): boolean {
  const kind = FIELDS[field];
  if (kind === "name") return false;
  if (kind === "address") return mask === (family === 4 ? 0xffff_ffff : (1n << 128n) - 1n);
  return mask === kind;
}

/** Conjunction of conditions, simplified. */
export function conjunction(parts: readonly ReadableCondition[]): ReadableCondition {
  const flat = unique(parts.flatMap((part) => (part.kind === "all" ? part.parts : [part])));
  if (flat.some(neverHolds)) return NEVER_HOLDS;
  const known = flat.filter(isTest);
  const simplified = flat.map((part) => (part.kind === "some" ? simplify(part, known) : part));
  if (simplified.some((part, i) => part !== flat[i])) return conjunction(simplified);
  return flat.length === 1 ? flat[0]! : { kind: "all", parts: merged(flat, true) };
}

/** Disjunction of conditions, simplified. */
function disjunction(parts: readonly ReadableCondition[]): ReadableCondition {
  const flat = unique(parts.flatMap((part) => (part.kind === "some" ? part.parts : [part])));
  if (flat.some(alwaysHolds)) return ALWAYS_HOLDS;
  const joined = merged(flat, false);
  return joined.length === 1 ? joined[0]! : { kind: "some", parts: joined };
}

const keyOf = (condition: ReadableCondition): string =>
  JSON.stringify(condition, (_, value) => (typeof value === "bigint" ? `${value}n` : value));

const unique = (conditions: readonly ReadableCondition[]): ReadableCondition[] => {
  const seen = new Set<string>();
  return conditions.filter((each) => !seen.has(keyOf(each)) && seen.add(keyOf(each)));
};

const isTest = (condition: ReadableCondition): condition is FieldTest =>
  condition.kind !== "all" && condition.kind !== "some";

/** Replaces the parts of a condition that the known tests imply or contradict. */
function simplify(condition: ReadableCondition, known: readonly FieldTest[]): ReadableCondition {
  if (!isTest(condition)) {
    const parts = condition.parts.map((part) => simplify(part, known));
    if (parts.every((part, i) => part === condition.parts[i])) return condition;
    return condition.kind === "some" ? disjunction(parts) : conjunction(parts);
  }
  const key = keyOf(condition);
  const negated = keyOf({ ...condition, not: !condition.not });
  for (const fact of known) {
    const factKey = keyOf(fact);
    if (factKey === key) return ALWAYS_HOLDS;
    if (factKey === negated) return NEVER_HOLDS;
    if (condition.kind !== "in" || fact.kind !== "in" || fact.not || fact.field !== condition.field) continue;
    const subset = fact.ranges.every(([lo, hi]) => condition.ranges.some(([a, b]) => a <= lo && hi <= b));
    const disjoint = fact.ranges.every(([lo, hi]) => condition.ranges.every(([a, b]) => hi < a || b < lo));
    if (subset || disjoint) return subset !== condition.not ? ALWAYS_HOLDS : NEVER_HOLDS;
  }
  return condition;
}

/** Merges tests of one field: in a disjunction the positive ones, in a conjunction the negated ones. */
function merged(conditions: readonly ReadableCondition[], isConjunction: boolean): ReadableCondition[] {
  const out: ReadableCondition[] = [];
  for (const condition of conditions) {
    const at =
      condition.kind === "in" && condition.not === isConjunction
        ? out.findIndex(
            (other) => other.kind === "in" && other.field === condition.field && other.not === condition.not,
          )
        : -1;
    if (at < 0) out.push(condition);
    else {
      const other = out[at] as RangeTest;
      const ranges = normalizeRanges([...other.ranges, ...(condition as RangeTest).ranges]);
      out[at] = { ...other, ranges };
    }
  }
  return out;
}

/** Parts of a conjunction; any other condition is its own only part. */
export const partsOf = (condition: ReadableCondition): readonly ReadableCondition[] =>
  condition.kind === "all" ? condition.parts : [condition];

/** Nesting depth of conjunctions and disjunctions. */
export const depth = (condition: ReadableCondition): number =>
  isTest(condition) ? 0 : 1 + Math.max(0, ...condition.parts.map(depth));

/** Returns true if some test of the condition satisfies `matches`. */
export const hasTest = (condition: ReadableCondition, matches: (test: FieldTest) => boolean): boolean =>
  isTest(condition) ? matches(condition) : condition.parts.some((part) => hasTest(part, matches));

/** Number of tests. */
export const countTests = (condition: ReadableCondition): number =>
  isTest(condition) ? 1 : condition.parts.reduce((sum, part) => sum + countTests(part), 0);

/** Protocol that the condition requires; `undefined` if it requires none. */
export function requiredProtocol(condition: ReadableCondition): number | undefined {
  for (const part of partsOf(condition))
    if (part.kind === "in" && part.field === "proto" && !part.not) return part.ranges[0]![0] as number;
  return undefined;
}

/** Destination ports that the condition requires; `undefined` if it requires none. */
export function requiredPorts(
  condition: ReadableCondition,
): readonly (readonly [number, number])[] | undefined {
  for (const part of partsOf(condition))
    if (part.kind === "in" && part.field === "dport" && !part.not)
      return part.ranges as readonly (readonly [number, number])[];
  return undefined;
}
