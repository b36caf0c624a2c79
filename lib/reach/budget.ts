/** Limits of the analysis of packet sets. A ruleset that exceeds one gets no answer, never a wrong one. */

/** Thrown if the packet sets of a ruleset exceed a limit. */
export class BudgetExceeded extends Error {
  /** Distinguishes this error from others. */
  override readonly name = "BudgetExceeded";

  constructor(
    /** The limit, in `unit`s. */
    readonly budget: number,
    /** Object of the evaluation: a chain, such as `filter FORWARD`, the routing decision, or a kind of rules; `null` if it is not known. */
    readonly by: string | null = null,
    /** Limited quantity. `--budget` sets the limit of intervals and steps; the other limits are fixed. */
    readonly unit:
      | "intervals"
      | "steps"
      | "states"
      | "calls of chains"
      | "rules"
      | "levels of chains"
      | "unknown matches"
      | "unknown matches at once"
      | "values of marks"
      | "pairs of rules" = "intervals",
  ) {
    super(`the packet sets of ${by ?? "all chains together"} need more than ${budget} ${unit}`);
  }

  /** Returns the error with the name of what was being evaluated, if it has none yet. */
  withContext(by: string): BudgetExceeded {
    return this.by === null ? new BudgetExceeded(this.budget, by, this.unit) : this;
  }
}

/** Evaluates something; a BudgetExceeded that it throws names it. */
export function withBudgetContext<T>(name: string, evaluate: () => T): T {
  try {
    return evaluate();
  } catch (error) {
    throw error instanceof BudgetExceeded ? error.withContext(name) : error;
  }
}
