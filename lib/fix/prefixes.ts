/** Sets of addresses as ranges and as prefixes. */
import { maxAddress, type Prefix, splitRange } from "../packet/address.ts";
import type { Family, Range, Scalar } from "../packet/field.ts";
import { normalizeRanges } from "../packet/predicate.ts";

const toBigInt = (value: Scalar): bigint => BigInt(value as number | bigint);

/** Returns the number of addresses in some ranges. */
export const countAddresses = (ranges: readonly Range[]): bigint =>
  normalizeRanges(ranges).reduce((total, [lo, hi]) => total + toBigInt(hi) - toBigInt(lo) + 1n, 0n);

/** Returns the addresses that are in the first ranges and not in the others. */
export function subtractRanges(ranges: readonly Range[], others: readonly Range[]): Range[] {
  const bounds = (some: readonly Range[]) =>
    normalizeRanges(some).map(([lo, hi]) => [toBigInt(lo), toBigInt(hi)] as const);
  let rest = bounds(ranges);
  for (const [from, to] of bounds(others))
    rest = rest.flatMap(([lo, hi]) => {
      if (to < lo || from > hi) return [[lo, hi] as const];
      return [...(from > lo ? [[lo, from - 1n] as const] : []), ...(to < hi ? [[to + 1n, hi] as const] : [])];
    });
  return rest as unknown as Range[];
}

/** Returns the fewest prefixes whose union is a range. */
export function prefixesOf([first, last]: Range, family: Family): Prefix[] {
  const max = toBigInt(maxAddress(family));
  const end = toBigInt(last) > max ? max : toBigInt(last);
  return splitRange([toBigInt(first), end], family);
}
