/**
 * Shadowed rules: rules that no packet can match. The analysis starts with all packets in the base chains of a table, and
 * computes which packets reach each rule and which earlier rules take them.
 */

import type { Field } from "../packet/field.ts";
import { ANY, and, or, type Predicate, visitLeaves } from "../packet/predicate.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import { type Choice, type Effect, ends, forks, usual } from "../rules/effect.ts";
import { countRules, type Rule, type TableId } from "../rules/ruleset.ts";
import { BudgetExceeded } from "./budget.ts";
import { Domain } from "./domain.ts";
import { EMPTY, FULL, type Node, terminal } from "./node-store.ts";
import { sharedUnknowns } from "./shared-unknowns.ts";

/** Why no packet matches a rule. */
export type Shadow =
  /** Its matches contradict each other. */
  | { readonly kind: "contradiction" }
  /** Earlier rules of its chain take all packets that it matches; `by` names the first such rules. */
  | { readonly kind: "taken"; readonly by: readonly Rule[]; readonly more: boolean }
  /** No packet that enters its chain matches it. */
  | { readonly kind: "elsewhere" };

/** Terminals: results of a chain for a packet; 0 means that the packet reaches the end of the chain. */
const DECIDES = terminal(1);
const RETURNS = terminal(2);

/** Most rules that a shadow names. */
const MOST_NAMED_RULES = 4;

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
  if (found === undefined) known.set(table, (found = new ShadowSearch(program, table, budget).found));
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

class ShadowSearch {
  readonly found = new Map<Rule, Shadow>();
  private readonly domain: Domain;
  /** Fields that can have any value: those that rules assign, and marks, which sockets, tc and NFQUEUE also set. */
  private readonly variableFields = new Set<Field>(["mark", "ctmark"]);
  /** Packets that enter a chain, one set for each caller. */
  private readonly entering = new Map<BoundChain, Node[]>();
  private readonly decisions = new Map<BoundChain, Node>();
  private readonly choices = new Map<Choice, Node | null>();
  private readonly matchableRanges = new Map<BoundChain, Map<string, Node>>();
  private readonly takenRanges = new Map<BoundChain, Map<string, Node>>();

  constructor(
    private readonly program: Program,
    table: TableId,
    budget?: number,
  ) {
    const names = [...(program.ruleset.tables.get(table)?.chains.keys() ?? [])];
    const chains = names.map((name) => program.chain(table, name)!);
    // Marks can have any value, so their values need no intervals.
    const predicates = chains.flatMap(({ rules }) =>
      rules.flatMap(({ when, effect }) => (effect.kind === "choice" ? [when, ...forks(effect)] : [when])),
    );
    const vocabulary = { predicates, markValues: new Map(), shared: sharedUnknowns(program) };
    this.domain = Domain.of(program.ruleset.family, [vocabulary], budget);
    for (const { rules } of chains)
      for (const { effect } of rules)
        for (const end of ends(effect)) if (end.kind === "assign") this.variableFields.add(end.field);
    const order = program.calleesFirst(chains);
    for (const chain of order) this.decisions.set(chain, this.decide(chain));
    for (const chain of chains) if (chain.chain.base !== null) this.entering.set(chain, [FULL]);
    // Callers first: the packets that enter a chain must be known before its rules are searched.
    for (const chain of order.reverse()) {
      const sent = this.entering.get(chain);
      if (sent === undefined) continue;
      const all = this.domain.diagrams.unionAll(sent);
      this.search(chain, 0, chain.rules.length, all, all);
    }
  }

  /** Returns the packets that a chain certainly decides or returns; others may reach its end. */
  private decide({ rules }: BoundChain): Node {
    const { diagrams } = this.domain;
    return diagrams.unionAll(
      rules.map((bound) => {
        const outcome = this.certainOutcome(bound, usual(bound.effect));
        if (outcome === null || !this.isCertain(bound.when))
          return mayReturn(bound) ? diagrams.intersect(this.possible(bound.when), RETURNS) : EMPTY;
        return diagrams.intersect(this.domain.set(bound.when), outcome);
      }),
    );
  }

  /** Returns the diagram from packets to what an effect certainly does with them, as in `decide`; `null` if it is not certain. */
  private certainOutcome(bound: BoundRule, effect: Effect): Node | null {
    const { diagrams } = this.domain;
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
        const called = this.decisions.get(this.program.target(bound, effect.chain))!;
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
    const { diagrams } = this.domain;
    if (!cases.every(({ when }) => this.isCertain(when))) return null;
    const outcomes = cases.map(({ effect }) => this.certainOutcome(bound, effect));
    if (outcomes.includes(null)) return null;
    const first = diagrams.unionAll(
      cases.map(({ when }, i) => this.domain.terminalWhere(when, terminal(i + 1))),
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
    const { diagrams } = this.domain;
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
    else for (const [name, when] of callsOf(bound.effect)) this.enter(bound, name, when, reaching);
  }

  /** Adds the packets of a set that may satisfy a predicate to those that enter a called chain. */
  private enter(bound: BoundRule, name: string, when: Predicate, reaching: Node): void {
    const next = this.program.target(bound, name);
    const set = when === ANY ? reaching : this.domain.diagrams.intersect(this.possible(when), reaching);
    const sent = this.entering.get(next);
    if (sent === undefined) this.entering.set(next, [set]);
    else sent.push(set);
  }

  /** Returns the packets that rules of a range can match, earlier rules aside. */
  private matchable(chain: BoundChain, from: number, to: number): Node {
    return this.unionOfRange(this.matchableRanges, chain, from, to, (bound) => this.possible(bound.when));
  }

  /** Returns the packets that rules of a range certainly keep from later rules. */
  private taken(chain: BoundChain, from: number, to: number): Node {
    return this.unionOfRange(this.takenRanges, chain, from, to, (bound) => this.takenByRule(bound));
  }

  /** Union of a set for each rule of a range, memoized for the halves in which ranges are searched. */
  private unionOfRange(
    known: Map<BoundChain, Map<string, Node>>,
    chain: BoundChain,
    from: number,
    to: number,
    one: (bound: BoundRule) => Node,
  ): Node {
    if (from === to) return EMPTY;
    if (to - from === 1) return one(chain.rules[from]!);
    let halves = known.get(chain);
    if (halves === undefined) known.set(chain, (halves = new Map<string, Node>()));
    const key = `${from}-${to}`;
    let node = halves.get(key);
    if (node === undefined) {
      const middle = (from + to) >> 1;
      const [left, right] = [
        this.unionOfRange(known, chain, from, middle, one),
        this.unionOfRange(known, chain, middle, to, one),
      ];
      node = this.domain.diagrams.union(left, right);
      halves.set(key, node);
    }
    return node;
  }

  /** Returns the packets that a rule certainly keeps from later rules. */
  private takenByRule(bound: BoundRule): Node {
    const outcome = this.certainOutcome(bound, usual(bound.effect));
    if (outcome === null || outcome === EMPTY || !this.isCertain(bound.when)) return EMPTY;
    const { diagrams } = this.domain;
    return diagrams.intersect(this.domain.set(bound.when), diagrams.members(outcome));
  }

  /** Returns the reason why no packet matches a rule. */
  private explain(chain: BoundChain, at: number, all: Node): Shadow {
    const { diagrams } = this.domain;
    const matched = this.possible(chain.rules[at]!.when);
    if (matched === EMPTY) return { kind: "contradiction" };
    let left = diagrams.intersect(matched, all);
    if (left === EMPTY) return { kind: "elsewhere" };
    const by: Rule[] = [];
    const search = (from: number, to: number): void => {
      if (from >= at || left === EMPTY || by.length === MOST_NAMED_RULES) return;
      const taken = this.taken(chain, from, to);
      if (diagrams.intersect(taken, left) === EMPTY) return;
      if (to - from === 1) {
        by.push(chain.rules[from]!.rule);
        left = diagrams.subtract(left, taken);
        return;
      }
      const middle = (from + to) >> 1;
      search(from, middle);
      search(middle, to);
    };
    search(0, chain.rules.length);
    return { kind: "taken", by, more: left !== EMPTY };
  }

  /** Returns true if the predicate tests no field that can have any value. */
  private isCertain(when: Predicate): boolean {
    let sure = true;
    visitLeaves(when, (leaf) => {
      if (leaf.kind !== "opaque" && this.variableFields.has(leaf.field)) sure = false;
    });
    return sure;
  }

  /** Returns the packets that can satisfy a predicate. */
  private possible(when: Predicate): Node {
    return this.domain.set(this.isCertain(when) ? when : this.relax(when));
  }

  /** Weakens a predicate: parts that test a field with any value become true. */
  private relax(when: Predicate): Predicate {
    if (when.kind === "and") return and(...when.all.map((part) => this.relax(part)));
    if (when.kind === "or") return or(...when.some.map((part) => this.relax(part)));
    return this.isCertain(when) ? when : ANY;
  }
}

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
