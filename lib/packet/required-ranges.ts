/** Values that a predicate requires of a field, as far as its form shows them. */
import type { Field, Range } from "./field.ts";
import type { Predicate } from "./predicate.ts";

/**
 * Returns ranges that contain the field's value in every packet that satisfies a predicate; `null` if its form restricts the
 * field by none. A negated condition restricts nothing.
 */
export function requiredRanges(p: Predicate, field: Field): readonly Range[] | null {
  switch (p.kind) {
    case "in":
      return p.field === field ? p.ranges : null;
    case "and":
      return p.all.reduce<readonly Range[] | null>(
        (narrowest, part) => narrower(narrowest, requiredRanges(part, field)),
        null,
      );
    case "or": {
      const parts = p.some.map((part) => requiredRanges(part, field));
      return parts.length === 0 || parts.includes(null) ? null : parts.flatMap((part) => part!);
    }
    default:
      return null;
  }
}

const isSingle = ([first, last]: Range): boolean => first === last;

/** Each of two conditions holds: returns the one that only has single values, else the one of fewer ranges. */
function narrower(a: readonly Range[] | null, b: readonly Range[] | null): readonly Range[] | null {
  if (a === null || b === null) return a ?? b;
  const [singleA, singleB] = [a.every(isSingle), b.every(isSingle)];
  if (singleA !== singleB) return singleA ? a : b;
  return b.length < a.length ? b : a;
}

/** Returns the values of ranges that have single values only; none for any other, or for more than `most`. */
export function singleValues<T>(ranges: readonly Range[] | null, most: number): readonly T[] {
  if (ranges === null || ranges.length > most || !ranges.every(isSingle)) return [];
  return ranges.map(([value]) => value as T);
}
