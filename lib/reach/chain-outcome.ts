/** Outcomes of a chain for packet sets, and their numbers as terminals of diagrams. */
import type { BoundChain } from "../path/program.ts";
import type { Decision } from "../path/walk.ts";
import type { DropReason, Effect, Nat } from "../rules/effect.ts";
import type { Rule } from "../rules/ruleset.ts";
import type { Uncertainty } from "./uncertainty.ts";

/** Outcome of a chain for packets. `rule` is present where each rule has outcomes of its own. */
export type ChainOutcome =
  | {
      readonly kind: "accept" | "drop" | "reject" | "return";
      readonly rule?: Rule;
      /** A match of the rule drops the packets. */
      readonly reason?: DropReason;
    }
  | { readonly kind: "undecided"; readonly reason: Uncertainty; readonly rule?: Rule }
  /** `idle`: the packets already have the header that the translation gives. */
  | { readonly kind: "nat"; readonly nat: Nat; readonly rule: Rule; readonly idle: boolean };

export type NatOutcome = Extract<ChainOutcome, { kind: "nat" }>;

/** Effects that end the evaluation of a chain, and assignments. */
export type TerminalEffect = Exclude<Effect, { kind: "fork" | "choice" | "jump" | "goto" | "note" }>;

/** Returns the reason why packets that an effect decides have no certain outcome. */
const uncertaintyOf = (
  effect: Extract<TerminalEffect, { kind: "opaque" | "stolen" | "assign" }>,
): Uncertainty =>
  effect.kind === "assign" ? { code: "value-not-tracked", field: effect.field } : effect.reason;

/** Returns the outcome of an effect with its rule. */
function attributedOutcome(
  effect: Exclude<TerminalEffect, Nat | { kind: "return" }>,
  rule: Rule,
): ChainOutcome {
  switch (effect.kind) {
    case "verdict":
      return { kind: effect.verdict, rule };
    case "hotdrop":
      return { kind: "drop", rule, reason: effect.reason };
    default:
      return { kind: "undecided", reason: uncertaintyOf(effect), rule };
  }
}

/** Numbers outcomes as terminals, from 1: 0 means not decided. */
export class OutcomeTable {
  private readonly list: ChainOutcome[] = [];
  private readonly byRule = new Map<Effect, number>();
  private readonly idleByRule = new Map<Effect, number>();
  readonly accept = this.add({ kind: "accept" });
  readonly drop = this.add({ kind: "drop" });
  readonly reject = this.add({ kind: "reject" });
  readonly return = this.add({ kind: "return" });
  private readonly attributed = new Map<Rule, Map<unknown, number>>();

  /** @param byDecider true to give the verdicts of each rule terminals of their own */
  constructor(private readonly byDecider: boolean) {}

  private add(outcome: ChainOutcome): number {
    this.list.push(outcome);
    return this.list.length;
  }

  get(value: number): ChainOutcome {
    return this.list[value - 1]!;
  }

  of(effect: TerminalEffect, rule: Rule, idle = false): number {
    return this.byDecider && effect.kind !== "nat" && effect.kind !== "return"
      ? this.ofRule(effect, rule)
      : this.ofAnyRule(effect, rule, idle);
  }

  private ofRule(effect: Exclude<TerminalEffect, Nat | { kind: "return" }>, rule: Rule): number {
    let ids = this.attributed.get(rule);
    if (ids === undefined) this.attributed.set(rule, (ids = new Map()));
    const key = effect.kind === "verdict" ? effect.verdict : effect;
    let id = ids.get(key);
    if (id === undefined) ids.set(key, (id = this.add(attributedOutcome(effect, rule))));
    return id;
  }

  private ofAnyRule(effect: TerminalEffect, rule: Rule, idle: boolean): number {
    switch (effect.kind) {
      case "verdict":
        return this[effect.verdict];
      case "return":
        return this.return;
      case "hotdrop":
        return this.drop;
      default: {
        const ids = idle ? this.idleByRule : this.byRule;
        let id = ids.get(effect);
        if (id === undefined) {
          id = this.add(
            effect.kind === "nat"
              ? { kind: "nat", nat: effect, rule, idle }
              : { kind: "undecided", reason: uncertaintyOf(effect) },
          );
          ids.set(effect, id);
        }
        return id;
      }
    }
  }
}

/** Returns the outcome of a chain's policy; chains of users and missing policies accept. */
export const policyOutcome = (chain: BoundChain): ChainOutcome => ({
  kind: chain.policy === "drop" ? "drop" : "accept",
});

/** Returns the decision of a base chain of a type other than nat. */
export const decisionOfOutcome = (outcome: ChainOutcome): Decision => {
  switch (outcome.kind) {
    case "return":
    case "nat":
      return "accept";
    default:
      return outcome.kind;
  }
};
