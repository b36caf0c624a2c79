/**
 * Shadowed rules: rules that no packet can match. The analysis starts with all packets in the base chains of a table, and
 * computes which packets reach each rule and which earlier rules take them.
 */

import { isBuiltIn } from "../iptables/base-chains.ts";
import type { Field } from "../packet/field.ts";
import { ANY, and, or, type Predicate, visitLeaves } from "../packet/predicate.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import { ends, usual } from "../rules/effect.ts";
import { countRules, type Rule, type TableName } from "../rules/ruleset.ts";
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
  table: TableName,
  budget?: number,
): ReadonlyMap<Rule, Shadow> {
  let known = shadowsByProgram.get(program);
  if (known === undefined)
    shadowsByProgram.set(program, (known = new Map<TableName, ReadonlyMap<Rule, Shadow>>()));
  let found = known.get(table);
  if (found === undefined) known.set(table, (found = new ShadowSearch(program, table, budget).found));
  return found;
}

/** Results by program and table. */
const shadowsByProgram = new WeakMap<Program, Map<TableName, ReadonlyMap<Rule, Shadow>>>();

/** Returns the shadowed rules; `null` if the ruleset is too large. */
export function findShadowedRulesWithin(
  program: Program,
  table: TableName,
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
  private readonly matchableRanges = new Map<BoundChain, Map<string, Node>>();
  private readonly takenRanges = new Map<BoundChain, Map<string, Node>>();

  constructor(
    private readonly program: Program,
    table: TableName,
    budget?: number,
  ) {
    const names = [...(program.ruleset.tables.get(table)?.chains.keys() ?? [])];
    const chains = names.map((name) => program.chain(table, name)!);
    // Marks can have any value, so their values need no intervals.
    const predicates = chains.flatMap(({ rules }) => rules.map(({ when }) => when));
    const vocabulary = { predicates, markValues: new Map(), shared: sharedUnknowns(program) };
    this.domain = Domain.of(program.ruleset.family, [vocabulary], budget);
    for (const { rules } of chains)
      for (const { effect } of rules)
        for (const end of ends(effect)) if (end.kind === "assign") this.variableFields.add(end.field);
    const order = program.calleesFirst(chains);
    for (const chain of order) this.decisions.set(chain, this.decide(chain));
    for (const chain of chains) if (isBuiltIn(table, chain.chain.name)) this.entering.set(chain, [FULL]);
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
        const kind = certainEffect(bound);
        if (kind === "return" || (kind === "goto" && !this.isCertain(bound.when)))
          return diagrams.intersect(this.possible(bound.when), RETURNS);
        if (!this.isCertain(bound.when)) return EMPTY;
        const when = this.domain.set(bound.when);
        if (kind === "decides") return diagrams.intersect(when, DECIDES);
        if (kind !== "jump" && kind !== "goto") return EMPTY;
        const decided = this.decidedBy(bound);
        return diagrams.intersect(when, kind === "jump" ? decided : diagrams.union(decided, RETURNS));
      }),
    );
  }

  /** Returns the packets that the chain called by a rule certainly decides. */
  private decidedBy(call: BoundRule): Node {
    return this.domain.diagrams.preimage(this.decisions.get(this.program.target(call))!, 1);
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
    else if (calls(bound)) {
      const next = this.program.target(bound);
      const sent = this.entering.get(next);
      if (sent === undefined) this.entering.set(next, [reaching]);
      else sent.push(reaching);
    }
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
    const kind = certainEffect(bound);
    if (kind === "continues" || !this.isCertain(bound.when)) return EMPTY;
    const when = this.domain.set(bound.when);
    return kind === "jump" ? this.domain.diagrams.intersect(when, this.decidedBy(bound)) : when;
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

/** Returns what a rule certainly does with packets that it matches. A `hotdrop` stops packets in any case. */
function certainEffect({ effect }: BoundRule): "decides" | "return" | "jump" | "goto" | "continues" {
  const { kind } = usual(effect);
  if (kind === "return" || kind === "jump" || kind === "goto") return kind;
  const all = [...ends(usual(effect))];
  return all.every((end) => ["verdict", "nat", "stolen"].includes(end.kind)) ? "decides" : "continues";
}

const calls = (bound: BoundRule): boolean => ["jump", "goto"].includes(certainEffect(bound));
