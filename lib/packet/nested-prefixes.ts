/** Prefixes that are nested or disjoint: splits the addresses by their most specific prefix. */
import type { Address, Range } from "./field.ts";

/** A prefix as a range of addresses, with a value. */
export interface NestedPrefix<T> {
  readonly lo: Address;
  readonly hi: Address;
  readonly length: number;
  readonly payload: T;
}

/** Addresses with the same most specific prefix. */
export interface PrefixPart<T> {
  readonly range: Range;
  readonly payload: T;
}

const after = (a: Address): Address => (typeof a === "number" ? a + 1 : a + 1n);
const before = (a: Address): Address => (typeof a === "number" ? a - 1 : a - 1n);

/** Returns the addresses of prefixes as disjoint ranges, each with the value of its most specific prefix; of equal prefixes the last. */
export function mostSpecific<T>(prefixes: readonly NestedPrefix<T>[]): PrefixPart<T>[] {
  const sorted = [...prefixes].sort((a, b) => (a.lo < b.lo ? -1 : a.lo > b.lo ? 1 : a.length - b.length));
  const parts: PrefixPart<T>[] = [];
  const give = (payload: T, lo: Address, hi: Address): void => {
    if (lo <= hi) parts.push({ range: [lo, hi], payload });
  };
  // A stack of open prefixes; each keeps the addresses that inner ones leave.
  const open: { readonly hi: Address; readonly payload: T; from: Address }[] = [];
  const close = (): void => {
    const { hi, payload, from } = open.pop()!;
    give(payload, from, hi);
    const under = open.at(-1);
    if (under !== undefined) under.from = after(hi);
  };
  for (const { lo, hi, payload } of sorted) {
    while (open.length > 0 && open.at(-1)!.hi < lo) close();
    const under = open.at(-1);
    if (under !== undefined) give(under.payload, under.from, before(lo));
    open.push({ hi, payload, from: lo });
  }
  while (open.length > 0) close();
  return parts;
}
