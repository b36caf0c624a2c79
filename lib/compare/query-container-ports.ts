/** A likely mistake in queries: `dport` is the port as sent, where that of the container is meant. */
import type { Host } from "../host/host.ts";
import type { Expression, QueryTest } from "../query-language/expression.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { testsOf } from "./query-names.ts";
import { QueryPaths } from "./query-paths.ts";

/** Returns true if packets satisfy an expression for certain with `containerport` in place of `dport`. */
export function reachesContainerPorts(
  ruleset: Ruleset,
  host: Host,
  expression: Expression,
  budget: number | undefined,
): boolean {
  if (host.bridges.length === 0 || !testsOf(expression).some(isDestinationPort)) return false;
  try {
    return new QueryPaths(ruleset, host, withContainerPorts(expression), budget).hasCertain();
  } catch (error) {
    // The answer itself is known: only this remark is left out.
    if (error instanceof BudgetExceeded) return false;
    throw error;
  }
}

/** Returns an expression with `containerport` for each `dport`. */
function withContainerPorts(expression: Expression): Expression {
  switch (expression.kind) {
    case "test": {
      const { test } = expression;
      return isDestinationPort(test)
        ? { kind: "test", test: { code: "container-ports", ranges: test.ranges } }
        : expression;
    }
    case "not":
      return { kind: "not", not: withContainerPorts(expression.not) };
    case "and":
      return { kind: "and", all: expression.all.map(withContainerPorts) };
    case "or":
      return { kind: "or", some: expression.some.map(withContainerPorts) };
  }
}

const isDestinationPort = (test: QueryTest): test is Extract<QueryTest, { code: "ports" }> =>
  test.code === "ports" && test.field === "dport";
