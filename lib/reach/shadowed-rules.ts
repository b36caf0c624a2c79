/**
 * Shadowed rules: rules that no packet can match. The analysis starts with all packets in the base chains of a table, and
 * computes which packets reach each rule and which earlier rules take them.
 */

import { ANY, and, or, type Predicate } from "../packet/predicate.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import { type Choice, type Effect, ends, usual } from "../rules/effect.ts";
import { countRules, type Rule, type TableId } from "../rules/ruleset.ts";
import { BudgetExceeded } from "./budget.ts";
import { EMPTY, FULL, type Node, terminal } from "./node-store.ts";
import { type RangeMemo, TableDomain } from "./table-domain.ts";
import { type Agreement, TableOutcomes } from "./table-outcomes.ts";

/** Why no packet matches a rule. */
export type Shadow =
  /** Its matches contradict each other. */
  | { readonly kind: "contradiction" }
  /** Earlier rules of its chain, those in `by`, take all packets that it matches. */
  | { readonly kind: "taken"; readonly by: readonly TakingRule[] }
  /** No packet that enters its chain matches it. */
  | { readonly kind: "elsewhere" };

/** A rule that takes packets from a later one. */
export interface TakingRule {
  readonly rule: Rule;
  /** `otherwise`: it does something else with some of these packets than the later rule would do. */
  readonly decides: Agreement;
}

/** A rule and the packets that it takes from a later one. */
interface Taking {
  readonly bound: BoundRule;
  readonly taken: Node;
}

/** Most rules of which those that can be left out are searched. */
const MOST_REDUCED = 32;

/** Terminals: results of a chain for a packet; 0 means that the packet reaches the end of the chain. */
const DECIDES = terminal(1);
const RETURNS = terminal(2);

/**
 * Returns the rules of a table that no packet can match, each with the reason. Leaves out rules of chains that nothing
 * enters. Unknowns, marks and fields that rules of the table assign can have any value.
 * @throws BudgetExceeded
 */
export function findShadowedRules(
  program: Program,
  table: TableId,
  budget?: number,
): ReadonlyMap<Rule, Shadow> {
  let known = shadowsByProgram.get(program);
  if (known === undefined)
    shadowsByProgram.set(program, (known = new Map<TableId, ReadonlyMap<Rule, Shadow>>()));
  let found = known.get(table);
  if (found === undefined)
    known.set(table, (found = new ShadowSearch(new TableDomain(program, table, budget)).found));
  return found;
}

/** Results by program and table. */
const shadowsByProgram = new WeakMap<Program, Map<TableId, ReadonlyMap<Rule, Shadow>>>();

/** Returns the shadowed rules; `null` if the ruleset is too large. */
export function findShadowedRulesWithin(
  program: Program,
  table: TableId,
  most: number,
  budget?: number,
): ReadonlyMap<Rule, Shadow> | null {
  if (countRules(program.ruleset) > most) return null;
  try {
    return findShadowedRules(program, table, budget);
  } catch (error) {
    if (error instanceof BudgetExceeded) return null;
    throw error;
  }
}

/** Search for the rules of a table that no packet can match. */
export class ShadowSearch {
  readonly found = new Map<Rule, Shadow>();
  /** Packets that can reach and match a rule, for all other rules of chains that packets enter. */
  readonly matched = new Map<BoundRule, Node>();
  /** Packets that enter a chain, one set for each caller. */
  private readonly entering = new Map<BoundChain, Node[]>();
  private readonly decisions = new Map<BoundChain, Node>();
  private readonly choices = new Map<Choice, Node | null>();
  private readonly matchableRanges: RangeMemo = new Map();
  private readonly takenRanges: RangeMemo = new Map();
  private knownOutcomes: TableOutcomes | undefined;

  /** @param named rules that a shadow names: the first that take its packets, or as few as take all of them */
  constructor(
    readonly table: TableDomain,
    private readonly named: "first" | "fewest" = "first",
  ) {
    for (const chain of table.calleesFirst) this.decisions.set(chain, this.decide(chain));
    for (const chain of table.chains) if (chain.chain.base !== null) this.entering.set(chain, [FULL]);
    // Callers first: the packets that enter a chain must be known before its rules are searched.
    for (const chain of [...table.calleesFirst].reverse()) {
      const sent = this.entering.get(chain);
      if (sent === undefined) continue;
      const all = table.diagrams.unionAll(sent);
      this.search(chain, 0, chain.rules.length, all, all);
    }
  }

  /** Returns true if a hook, or a rule that packets can match, leads to the chain. */
  isEntered(chain: BoundChain): boolean {
    return this.entering.has(chain);
  }

  /** Exact outcomes of all rules, computed when they are first needed. */
  get outcomes(): TableOutcomes {
    return (this.knownOutcomes ??= new TableOutcomes(this.table));
  }

  /** Returns the packets that a chain certainly decides or returns; others may reach its end. */
  private decide({ rules }: BoundChain): Node {
    const { diagrams } = this.table;
    return diagrams.unionAll(
      rules.map((bound) => {
        const outcome = this.certainOutcome(bound, usual(bound.effect));
        if (outcome === null || !this.table.isCertain(bound.when))
          return mayReturn(bound) ? diagrams.intersect(this.table.possible(bound.when), RETURNS) : EMPTY;
        return diagrams.intersect(this.table.domain.set(bound.when), outcome);
      }),
    );
  }

  /** Returns the diagram from packets to what an effect certainly does with them, as in `decide`; `null` if it is not certain. */
  private certainOutcome(bound: BoundRule, effect: Effect): Node | null {
    const { diagrams } = this.table;
    switch (effect.kind) {
      case "verdict":
      case "nat":
      case "stolen":
        return DECIDES;
      case "return":
        return RETURNS;
      case "note":
        return EMPTY;
      case "jump":
      case "goto": {
        const called = this.decisions.get(this.table.program.target(bound, effect.chain))!;
        const decided = diagrams.preimage(called, 1);
        return effect.kind === "jump" ? decided : diagrams.union(decided, RETURNS);
      }
      case "choice":
        return this.certainChoice(bound, effect);
      case "fork":
        return [...ends(effect)].every(({ kind }) => DECIDING.includes(kind)) ? DECIDES : null;
      default:
        return null;
    }
  }

  private certainChoice(bound: BoundRule, choice: Choice): Node | null {
    let known = this.choices.get(choice);
    if (known === undefined) this.choices.set(choice, (known = this.compileChoice(bound, choice)));
    return known;
  }

  private compileChoice(bound: BoundRule, { cases }: Choice): Node | null {
    const { diagrams } = this.table;
    if (!cases.every(({ when }) => this.table.isCertain(when))) return null;
    const outcomes = cases.map(({ effect }) => this.certainOutcome(bound, effect));
    if (outcomes.includes(null)) return null;
    const first = diagrams.unionAll(
      cases.map(({ when }, i) => this.table.domain.terminalWhere(when, terminal(i + 1))),
    );
    return diagrams.unionAll(
      [...diagrams.split(first)].map(([at, set]) => diagrams.intersect(set, outcomes[at - 1]!)),
    );
  }

  /**
   * Searches the rules from `from` to before `to`. Halving the range keeps the sets small.
   * @param set packets that reach the first rule
   * @param all packets that enter the chain
   */
  private search(chain: BoundChain, from: number, to: number, set: Node, all: Node): void {
    const { diagrams } = this.table;
    const reaching = diagrams.intersect(this.matchable(chain, from, to), set);
    if (to - from > 1) {
      const middle = (from + to) >> 1;
      this.search(chain, from, middle, reaching, all);
      const later = diagrams.intersect(this.matchable(chain, middle, to), reaching);
      this.search(chain, middle, to, diagrams.subtract(later, this.taken(chain, from, middle)), all);
      return;
    }
    const bound = chain.rules[from];
    if (bound === undefined) return;
    if (reaching === EMPTY) this.found.set(bound.rule, this.explain(chain, from, all));
    else {
      this.matched.set(bound, reaching);
      for (const [name, when] of callsOf(bound.effect)) this.enter(bound, name, when, reaching);
    }
  }

  /** Adds the packets of a set that may satisfy a predicate to those that enter a called chain. */
  private enter(bound: BoundRule, name: string, when: Predicate, reaching: Node): void {
    const next = this.table.program.target(bound, name);
    const set = when === ANY ? reaching : this.table.diagrams.intersect(this.table.possible(when), reaching);
    const sent = this.entering.get(next);
    if (sent === undefined) this.entering.set(next, [set]);
    else sent.push(set);
  }

  /** Returns the packets that rules of a range can match, earlier rules aside. */
  matchable(chain: BoundChain, from: number, to: number): Node {
    return this.table.unionOfRange(this.matchableRanges, chain, from, to, (bound) =>
      this.table.possible(bound.when),
    );
  }

  /** Returns the packets that rules of a range certainly keep from later rules. */
  private taken(chain: BoundChain, from: number, to: number): Node {
    return this.table.unionOfRange(this.takenRanges, chain, from, to, (bound) => this.takenByRule(bound));
  }

  /** Returns the packets that a rule certainly keeps from later rules. */
  private takenByRule(bound: BoundRule): Node {
    const outcome = this.certainOutcome(bound, usual(bound.effect));
    if (outcome === null || outcome === EMPTY || !this.table.isCertain(bound.when)) return EMPTY;
    const { diagrams } = this.table;
    return diagrams.intersect(this.table.domain.set(bound.when), diagrams.members(outcome));
  }

  /** Returns the reason why no packet matches a rule. */
  private explain(chain: BoundChain, at: number, all: Node): Shadow {
    const { diagrams } = this.table;
    const matched = this.table.possible(chain.rules[at]!.when);
    if (matched === EMPTY) return { kind: "contradiction" };
    let left = diagrams.intersect(matched, all);
    if (left === EMPTY) return { kind: "elsewhere" };
    const taking: Taking[] = [];
    const search = (from: number, to: number): void => {
      if (from >= at || left === EMPTY) return;
      const taken = diagrams.intersect(this.taken(chain, from, to), left);
      if (taken === EMPTY) return;
      if (to - from === 1) {
        taking.push({ bound: chain.rules[from]!, taken });
        left = diagrams.subtract(left, taken);
        return;
      }
      const middle = (from + to) >> 1;
      search(from, middle);
      search(middle, to);
    };
    search(0, chain.rules.length);
    const named = this.named === "first" ? taking : this.fewest(diagrams.intersect(matched, all), taking);
    const by = named.map(({ bound, taken }) => ({
      rule: bound.rule,
      decides: this.agreement(taken, chain.rules[at]!, bound),
    }));
    return { kind: "taken", by };
  }

  /** Returns some of the rules, such that together they take a set and no one can be left out. */
  private fewest(set: Node, taking: readonly Taking[]): readonly Taking[] {
    const { diagrams } = this.table;
    let kept = taking.map(({ bound }) => ({
      bound,
      taken: diagrams.intersect(this.takenByRule(bound), set),
    }));
    const alone = kept.find(({ taken }) => taken === set);
    if (alone !== undefined) return [alone];
    if (taking.length > MOST_REDUCED) return taking;
    for (const each of kept) {
      const others = kept.filter((other) => other !== each);
      if (diagrams.unionAll(others.map(({ taken }) => taken)) === set) kept = others;
    }
    return kept;
  }

  /** Compares what an earlier rule does with packets that it takes from a later one with what that would do. */
  private agreement(taken: Node, later: BoundRule, earlier: BoundRule): Agreement {
    if (later.rule.sideEffect !== null || !COMPARED.includes(usual(later.effect).kind)) return "otherwise";
    const { outcomes } = this;
    return outcomes.compare(taken, outcomes.ofRule(later), outcomes.ofRule(earlier));
  }
}

/** Kinds of effects whose outcomes are compared; all others change something. */
const COMPARED: readonly Effect["kind"][] = ["verdict", "return", "jump", "goto", "choice"];

/** Kinds of effects that end the evaluation of a base chain. A `hotdrop` stops packets in any case. */
const DECIDING: readonly Effect["kind"][] = ["verdict", "nat", "stolen"];

const mayReturn = ({ effect }: BoundRule): boolean =>
  [...ends(usual(effect))].some(({ kind }) => kind === "return" || kind === "goto");

/** Yields the chains that an effect may call, each with a predicate that holds for all packets that it sends there. */
function* callsOf(effect: Effect): Generator<readonly [chain: string, when: Predicate]> {
  if (effect.kind !== "choice") {
    for (const end of ends(usual(effect)))
      if (end.kind === "jump" || end.kind === "goto") yield [end.chain, ANY];
    return;
  }
  const whens = new Map<string, Predicate[]>();
  for (const { when, effect: chosen } of effect.cases)
    for (const [chain, inner] of callsOf(chosen)) {
      const known = whens.get(chain);
      if (known === undefined) whens.set(chain, [and(when, inner)]);
      else known.push(and(when, inner));
    }
  for (const [chain, some] of whens) yield [chain, or(...some)];
}
