/**
 * Exact outcomes of the rules and chains of a table, as diagrams from packets to terminals. An outcome that is not exact, or
 * that changes anything but the verdict, is `UNSURE`: it equals no other.
 */
import { visitLeaves } from "../packet/predicate.ts";
import type { BoundChain, BoundRule } from "../path/program.ts";
import { type Choice, type Effect, forks } from "../rules/effect.ts";
import { EMPTY, type Node, terminal } from "./node-store.ts";
import type { TableDomain } from "./table-domain.ts";

/** Numbers of terminals; 0 means that the packet reaches the end of the chain unchanged. */
export const RETURNED = 1;
export const UNSURE = 2;

/** Comparison of what two rules do with the same packets. */
export type Agreement = "same" | "otherwise" | "unknown";

export class TableOutcomes {
  private readonly byChain = new Map<BoundChain, Node>();
  private readonly byRule = new Map<BoundRule, Node>();
  private readonly numbers = new Map<string, number>();

  constructor(private readonly table: TableDomain) {
    for (const chain of table.calleesFirst) {
      const outcomes = chain.rules.map((bound) => this.computeRule(bound));
      for (const [i, bound] of chain.rules.entries()) this.byRule.set(bound, outcomes[i]!);
      this.byChain.set(chain, table.diagrams.unionAll(outcomes));
    }
  }

  /** Returns the outcome of a rule for the packets that it matches; 0 for all that continue with the next rule. */
  ofRule(bound: BoundRule): Node {
    return this.byRule.get(bound)!;
  }

  /** Returns the terminal of a policy. */
  ofPolicy({ policy }: BoundChain): Node {
    return this.verdict(policy === "drop" ? "drop" : "accept");
  }

  /** Compares two diagrams of outcomes on a set. */
  compare(set: Node, one: Node, other: Node): Agreement {
    const { diagrams } = this.table;
    const unsure = diagrams.union(diagrams.preimage(one, UNSURE), diagrams.preimage(other, UNSURE));
    const sure = diagrams.subtract(set, unsure);
    if (diagrams.intersect(sure, one) !== diagrams.intersect(sure, other)) return "otherwise";
    return sure === set ? "same" : "unknown";
  }

  private verdict(key: string): Node {
    let number = this.numbers.get(key);
    if (number === undefined) this.numbers.set(key, (number = UNSURE + 1 + this.numbers.size));
    return terminal(number);
  }

  private computeRule(bound: BoundRule): Node {
    const { diagrams, domain } = this.table;
    const { when, effect, rule } = bound;
    const possible = this.table.possible(when);
    // Evaluating a limit or a list of `recent` changes its state, whatever the result is.
    if (mayKeepState(bound))
      return diagrams.intersect(diagrams.project(possible, domain.unknownLevels), terminal(UNSURE));
    if (rule.sideEffect !== null) return diagrams.intersect(possible, terminal(UNSURE));
    const outcome = this.ofEffect(bound, effect);
    if (this.table.isCertain(when)) return diagrams.intersect(domain.set(when), outcome);
    return diagrams.intersect(diagrams.intersect(possible, diagrams.members(outcome)), terminal(UNSURE));
  }

  private ofEffect(bound: BoundRule, effect: Effect): Node {
    const { diagrams, program } = this.table;
    switch (effect.kind) {
      case "verdict":
        return this.verdict(
          effect.verdict === "reject" ? `reject ${bound.rule.targetText(program.ruleset)}` : effect.verdict,
        );
      case "return":
        return terminal(RETURNED);
      case "note":
        return EMPTY;
      case "jump":
      case "goto": {
        const called = this.byChain.get(program.target(bound, effect.chain))!;
        return effect.kind === "goto"
          ? diagrams.union(called, terminal(RETURNED))
          : diagrams.subtract(called, diagrams.preimage(called, RETURNED));
      }
      case "choice":
        return this.ofChoice(bound, effect);
      case "fork": {
        if (!this.table.isCertain(effect.when)) return terminal(UNSURE);
        const yes = this.table.domain.set(effect.when);
        return diagrams.union(
          diagrams.intersect(yes, this.ofEffect(bound, effect.yes)),
          diagrams.subtract(this.ofEffect(bound, effect.no), yes),
        );
      }
      default:
        return terminal(UNSURE);
    }
  }

  private ofChoice(bound: BoundRule, { cases }: Choice): Node {
    const { diagrams, domain } = this.table;
    if (!cases.every(({ when }) => this.table.isCertain(when))) return terminal(UNSURE);
    const first = diagrams.unionAll(cases.map(({ when }, i) => domain.terminalWhere(when, terminal(i + 1))));
    return diagrams.unionAll(
      [...diagrams.split(first)].map(([at, set]) =>
        diagrams.intersect(set, this.ofEffect(bound, cases[at - 1]!.effect)),
      ),
    );
  }
}

/** Returns true if the result of a rule may depend on earlier packets, and later results on this one. */
function mayKeepState({ when, effect, rule }: BoundRule): boolean {
  let found = rule.conditions.some(({ opaque }) => opaque);
  for (const predicate of [when, ...forks(effect)])
    visitLeaves(predicate, (leaf) => {
      // A lookup in an unknown set changes nothing.
      if (leaf.kind === "opaque" && leaf.reason.code !== "set-missing") found = true;
    });
  return found;
}
