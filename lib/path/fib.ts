/**
 * Routing tables as a list of cases: the rules of policy routing in order, in each table the longest prefix
 * (net/core/fib_rules.c fib_rules_lookup, net/ipv4/fib_trie.c, net/ipv6/ip6_fib.c).
 */
import type { Host } from "../host/host.ts";
import type { Family } from "../packet/field.ts";
import { and, NEVER, not, or, type Predicate } from "../packet/predicate.ts";
import type { Case } from "./decision-list.ts";
import { hasPolicyRouting, policyRules, rulePredicate } from "./policy-rules.ts";
import type { Lookup } from "./routing-lookup.ts";
import { type RouteResult, type Tables, tableCases } from "./routing-table.ts";

/** Tables in the order of the default rules. IPv4 keeps `local` and `main` in one trie (fib_new_table, fib_unmerge). */
const DEFAULT_ORDER: Readonly<Record<Family, readonly Tables[]>> = {
  4: [["local", "main"], ["default"]],
  6: [["local"], ["main"], ["default"]],
};

/** Returns the tables of the default rules; the last rule may have been deleted. */
function defaultTables(host: Host, family: Family): readonly Tables[] {
  const rules = policyRules(host, family);
  return rules.length === 0 || rules.some((r) => r.priority === 32767)
    ? DEFAULT_ORDER[family]
    : DEFAULT_ORDER[family].filter(([table]) => table !== "default");
}

/** Returns the cases of IPv4's lookup of an address type: table `local`, and the table that shares its trie. */
export const localCases = (host: Host, lookup: Lookup): Case<RouteResult>[] =>
  tableCases(host, 4, hasPolicyRouting(host, 4) ? ["local"] : DEFAULT_ORDER[4][0]!, lookup);

/** Returns the cases of a lookup. A packet that no case matches has no route. */
export function fibCases(host: Host, family: Family, lookup: Lookup): Case<RouteResult>[] {
  if (!hasPolicyRouting(host, family))
    return defaultTables(host, family).flatMap((tables) => tableCases(host, family, tables, lookup));
  const rules = policyRules(host, family).sort((a, b) => a.priority - b.priority);
  /** Packets that a `goto` takes past each rule. */
  const skipped = rules.map((): Predicate => NEVER);
  return rules.flatMap((rule, at): Case<RouteResult>[] => {
    const { action } = rule;
    const when = and(not(skipped[at]!), rulePredicate(host, rule, lookup));
    switch (action.kind) {
      case "table":
        return tableCases(host, family, [action.table], lookup, rule).map((c) => ({
          when: and(when, c.when),
          outcome: c.outcome,
        }));
      case "goto":
        // A goto to a missing rule is ignored; a goto never leads backwards.
        for (let to = rules.findIndex((r) => r.priority === action.priority) - 1; to > at; to--)
          skipped[to] = or(skipped[to]!, when);
        return [];
      case "nop":
        return [];
      default:
        return [
          { when, outcome: { kind: "refused", reason: { code: "routing-rule", action: action.kind } } },
        ];
    }
  });
}
