/** Decisions of the kernel as ordered lists of cases. Both engines evaluate them like rules. */
import { and, NEVER, not, or, type Predicate } from "../packet/predicate.ts";

/** One case of a decision. The first case whose predicate holds decides. */
export interface Case<T> {
  readonly when: Predicate;
  readonly outcome: T;
}

/** Returns a list of cases as one predicate: that of the first case that holds, `NEVER` if no case does. */
export function decide(cases: readonly Case<Predicate>[]): Predicate {
  type Half = { readonly some: Predicate; readonly yes: Predicate };
  // Joining halves keeps the predicate of a long list shallow.
  const join = (list: readonly Case<Predicate>[]): Half => {
    const [first] = list;
    if (first === undefined) return { some: NEVER, yes: NEVER };
    if (list.length === 1) return { some: first.when, yes: and(first.when, first.outcome) };
    const middle = list.length >> 1;
    const [left, right] = [join(list.slice(0, middle)), join(list.slice(middle))];
    return { some: or(left.some, right.some), yes: or(left.yes, and(not(left.some), right.yes)) };
  };
  return join(cases).yes;
}
