/** A decision as a list of cases, which both engines choose among as they choose among rules. */
import type { Predicate } from "../packet/predicate.ts";

/** One case of a decision: the first whose predicate holds decides. */
export interface Case<T> {
  readonly when: Predicate;
  readonly outcome: T;
}
