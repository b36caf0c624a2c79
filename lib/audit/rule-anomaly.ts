/** Anomalies of rules, after Al-Shaer and Hamed (Discovery of Policy Anomalies in Distributed Firewalls, 2004), as data. */
import type { Family } from "../packet/field.ts";
import type { BudgetExceeded } from "../reach/budget.ts";
import type { Agreement } from "../reach/table-outcomes.ts";
import type { TableId } from "../rules/ruleset.ts";
import type { RuleNote } from "./rule-note.ts";

/** Another rule that causes an anomaly. */
export interface AnomalyCause {
  /** The other rule. */
  readonly rule: RuleNote;
  /**
   * `same`: it does the same with the packets of both rules. `otherwise`: it does something else with some of them.
   * `unknown`: the inputs do not determine what one of both does.
   */
  readonly decides: Agreement;
}

/** Code and typed fields of one kind of anomaly. */
export type AnomalyDetail =
  /**
   * No packet matches the rule. `contradiction`: its conditions exclude each other. `no-packet`: no packet that enters its
   * chain satisfies its conditions.
   */
  | { readonly kind: "dead"; readonly reason: "contradiction" | "no-packet" }
  /** No hook, and no rule that packets can match, leads to the chain of the rule, its first. `rules` is its number of rules. */
  | { readonly kind: "dead"; readonly reason: "chain-not-entered"; readonly rules: number }
  /** Earlier rules of its chain take all packets of the rule, and not all of them do the same as the rule. */
  | { readonly kind: "shadowed"; readonly by: readonly AnomalyCause[] }
  /** Earlier rules of its chain take all packets of the rule and do the same with them. */
  | { readonly kind: "redundant"; readonly reason: "earlier"; readonly by: readonly AnomalyCause[] }
  /**
   * Packets match the rule. Without it, the later rules in `by` do the same with them; `reachesEnd`: so do, for some packets,
   * the policy, or the rules after the calls of the chain. With neither, the rule calls a chain that decides none of them.
   */
  | {
      readonly kind: "redundant";
      readonly reason: "later";
      readonly by: readonly AnomalyCause[];
      readonly reachesEnd: boolean;
    }
  /**
   * The rule and the earlier rules in `by` match some packets in common and decide these otherwise, and neither matches all packets of
   * the other: their order decides.
   */
  | { readonly kind: "correlated"; readonly by: readonly AnomalyCause[] };

/** Kind of an anomaly. */
export type AnomalyKind = AnomalyDetail["kind"];

/** An anomaly of a rule. */
export type RuleAnomaly = AnomalyDetail & {
  /** Families whose packets the rule is evaluated for. */
  readonly families: readonly Family[];
  /** The rule. */
  readonly rule: RuleNote;
  /** Program that fills the chain of the rule; `null` for rules of the owner. */
  readonly program: string | null;
};

/**
 * A table whose rules were not all compared, because a limit was exceeded. With the unit `pairs of rules` only its correlated rules
 * are missing.
 */
export interface UnsettledTable {
  /** 4 or 6. */
  readonly family: Family;
  /** Its id. */
  readonly table: TableId;
  /** The limit. */
  readonly limit: number;
  /** Limited quantity. */
  readonly unit: BudgetExceeded["unit"];
}

/** Result of `lintRules`: dead, shadowed, redundant and, if they were asked for, correlated rules. */
export interface RuleLint {
  /** In the order of the rules. */
  readonly anomalies: readonly RuleAnomaly[];
  /** Number of anomalies of rules that programs wrote, where they are left out. */
  readonly omitted: number;
  /** Number of rules that were compared; a rule for both families counts once. */
  readonly rules: number;
  /** Tables whose rules were not all compared. */
  readonly unsettled: readonly UnsettledTable[];
}
