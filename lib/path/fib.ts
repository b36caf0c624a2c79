/**
 * Routing tables as a list of cases: the rules of policy routing in order, in each table the longest prefix
 * (net/core/fib_rules.c fib_rules_lookup, net/ipv4/fib_trie.c, net/ipv6/ip6_fib.c).
 */
import type { Host } from "../host/host.ts";
import type { RoutingRule } from "../host/routes.ts";
import type { Family } from "../packet/field.ts";
import { and, NEVER, not, opaque, or, type Predicate } from "../packet/predicate.ts";
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
  const gotos = new Gotos(rules);
  return rules.flatMap((rule, at): Case<RouteResult>[] => {
    const { action } = rule;
    if (action.kind === "goto") {
      gotos.add(at, action.priority, rulePredicate(host, rule, lookup));
      return [];
    }
    const when = and(not(gotos.skipping(at)), rulePredicate(host, rule, lookup));
    switch (action.kind) {
      case "table":
        return tableCases(host, family, [action.table], lookup, rule).map((c) => ({
          when: and(when, c.when),
          outcome: c.outcome,
        }));
      case "nop":
        return [];
      default:
        return [
          { when, outcome: { kind: "refused", reason: { code: "routing-rule", action: action.kind } } },
        ];
    }
  });
}

/** Conditions of skipped rules beyond this number together are unknown. */
const MOST_CONDITIONS = 100_000;

/** Packets that a `goto` takes past rules. */
class Gotos {
  /** Number of the first rule of each priority. */
  private readonly numbers = new Map<number, number>();
  /** Packets of the gotos that were evaluated, by the number of the rule that they lead to. */
  private readonly targets = new Map<number, Predicate[]>();
  private conditions = 0;
  /** Number of the predicates in `targets`. */
  private pending = 0;
  private skipped: Predicate | null = NEVER;

  constructor(rules: readonly RoutingRule[]) {
    for (const [number, { priority }] of rules.entries())
      if (!this.numbers.has(priority)) this.numbers.set(priority, number);
  }

  /** Adds a rule with a goto. A goto to a missing rule is ignored; a goto never leads backwards. */
  add(at: number, priority: number | null, matched: Predicate): void {
    this.end(at);
    const to = priority === null ? -1 : (this.numbers.get(priority) ?? -1);
    if (to <= at + 1) return;
    // Packets that skip this rule and go at least as far need not be excluded.
    const when = this.isNearest(to) ? matched : and(not(this.skipping(at)), matched);
    const same = this.targets.get(to);
    if (same === undefined) this.targets.set(to, [when]);
    else same.push(when);
    this.pending++;
    this.skipped = null;
  }

  /** Returns the packets that skip a rule. Rules are evaluated in ascending order, none is left out. */
  skipping(at: number): Predicate {
    this.end(at);
    if (this.skipped === null) {
      this.conditions += this.pending;
      this.skipped = this.isExceeded()
        ? opaque("ip-rule(goto)", { code: "routing-rule-unfollowed", selector: "goto" })
        : or(...[...this.targets.values()].flat());
    }
    return this.skipped;
  }

  /** Removes the gotos that lead to a rule. */
  private end(at: number): void {
    const ended = this.targets.get(at)?.length ?? 0;
    if (ended === 0) return;
    this.targets.delete(at);
    this.pending -= ended;
    this.skipped = null;
  }

  private isExceeded(): boolean {
    return this.conditions > MOST_CONDITIONS;
  }

  /** Returns true if no goto that was evaluated leads to a rule before this one. */
  private isNearest(to: number): boolean {
    if (this.isExceeded()) return false;
    for (const other of this.targets.keys()) if (other < to) return false;
    return true;
  }
}
