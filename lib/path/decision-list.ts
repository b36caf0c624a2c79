/** A decision as a list of cases, which both engines choose among as they choose among rules. */
import { and, NEVER, not, or, type Predicate } from "../packet/predicate.ts";

/** One case of a decision: the first whose predicate holds decides. */
export interface Case<T> {
  readonly when: Predicate;
  readonly outcome: T;
}

/** A list of cases as one predicate: the outcome of the first that holds, and never true where none does. */
export function decide(cases: readonly Case<Predicate>[]): Predicate {
  type Half = { readonly some: Predicate; readonly yes: Predicate };
  // Halves are joined, not one after the other, so that the predicate of a long list is not a deep one.
  const join = (list: readonly Case<Predicate>[]): Half => {
    const [first] = list;
    if (first === undefined) return { some: NEVER, yes: NEVER };
    if (list.length === 1) return { some: first.when, yes: and(first.when, first.outcome) };
    const middle = list.length >> 1;
    const [one, other] = [join(list.slice(0, middle)), join(list.slice(middle))];
    return { some: or(one.some, other.some), yes: or(one.yes, and(not(one.some), other.yes)) };
  };
  return join(cases).yes;
}
