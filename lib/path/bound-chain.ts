/** Chains and rules compiled for one host. */
import { Classifier } from "../packet/classifier.ts";
import type { Predicate } from "../packet/predicate.ts";
import type { Effect, Verdict } from "../rules/effect.ts";
import { type Chain, type CompiledRule, type Rule, type TableId, targetName } from "../rules/ruleset.ts";

/** A rule with its predicate and its effect. */
export interface BoundRule {
  readonly rule: Rule;
  readonly when: Predicate;
  readonly effect: Effect;
  /** The step that TRACE reports for it, memoized by `stepOf`. */
  step: Step | null;
  /** The chain that it jumped to last, memoized by `Program.target`. */
  to: BoundChain | null;
}

export interface BoundChain {
  readonly chain: Chain;
  readonly rules: readonly BoundRule[];
  /** Finds the first rule that matches. */
  readonly classifier: Classifier;
  /** `null` for a chain that is no base chain. */
  readonly policy: Verdict | null;
  /** The step that TRACE reports at its end. */
  readonly end: Step;
}

/** One step as the kernel's TRACE target reports it: a rule that matched, the return from a user chain, or a policy. */
export type Step =
  | {
      readonly table: TableId;
      readonly chain: string;
      readonly step: "rule";
      /** Number in its chain, from 1. */
      readonly rule: number;
      readonly target: string;
      readonly line: number;
    }
  | { readonly table: TableId; readonly chain: string; readonly step: "return" }
  | {
      readonly table: TableId;
      readonly chain: string;
      readonly step: "policy";
      readonly policy: "ACCEPT" | "DROP";
    };

/** A rule that matched. */
export type RuleStep = Extract<Step, { step: "rule" }>;

/** Returns the step of a rule that matched. All packets share one object. */
export function stepOf(bound: BoundRule): Step {
  const { table, chain, index, line } = bound.rule;
  bound.step ??= Object.freeze<Step>({
    table,
    chain,
    step: "rule",
    rule: index,
    target: targetName(bound.rule),
    line,
  });
  return bound.step;
}

/** Compiles a chain. */
export function bindChain(chain: Chain, compile: (rule: Rule) => CompiledRule): BoundChain {
  const rules = chain.rules.map((rule): BoundRule => {
    const { when, effect } = compile(rule);
    return { rule, when, effect, step: null, to: null };
  });
  return {
    chain,
    rules,
    classifier: Classifier.forList(rules),
    policy: chain.policy === null ? null : chain.policy === "ACCEPT" ? "accept" : "drop",
    end: Object.freeze(endStep(chain)),
  };
}

const endStep = ({ table, name, policy }: Chain): Step =>
  policy === null ? { table, chain: name, step: "return" } : { table, chain: name, step: "policy", policy };
