/**
 * Rules that no packet meets. Over all packets, whatever comes to a table's built-in chains: which of them get to each
 * rule, and which rules in front of it take those that it asks for.
 */

import { isBuiltIn } from "../iptables/base-chains.ts";
import type { Field } from "../packet/field.ts";
import { ANY, and, leaves, or, type Predicate } from "../packet/predicate.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import { ends, usual } from "../rules/effect.ts";
import { countRules, type Rule, type TableName } from "../rules/ruleset.ts";
import { BudgetExceeded } from "./budget.ts";
import { Domain } from "./domain.ts";
import { EMPTY, FULL, type Node, terminal } from "./node-store.ts";
import { sharedUnknowns } from "./shared-unknowns.ts";

/** Why no packet meets a rule. */
export type Shadow =
  /** No packet is all that it asks at once. */
  | { readonly kind: "contradiction" }
  /** Rules in front of it, in its own chain, take all packets that it asks for; the first of them. */
  | { readonly kind: "taken"; readonly by: readonly Rule[]; readonly more: boolean }
  /** What its chain is called for is never what it asks for. */
  | { readonly kind: "elsewhere" };

/** What a chain makes of a packet that comes to it, as terminals: 0 is what falls off its end. */
const DECIDES = terminal(1);
const RETURNS = terminal(2);

/** Of more rules that stand in the way of one, the others are not named. */
const MOST_NAMED_RULES = 4;

/**
 * The rules of a table that no packet meets, each with the reason; rules of chains to which nothing comes at all are
 * not among them. What is not known may go either way, and so may marks and what rules of the table change.
 * @throws BudgetExceeded
 */
export function shadowedRules(
  program: Program,
  table: TableName,
  budget?: number,
): ReadonlyMap<Rule, Shadow> {
  let known = memo.get(program);
  if (known === undefined) memo.set(program, (known = new Map<TableName, ReadonlyMap<Rule, Shadow>>()));
  let found = known.get(table);
  if (found === undefined) known.set(table, (found = new ShadowSearch(program, table, budget).found));
  return found;
}

/** What was found, for whoever needs it again. */
const memo = new WeakMap<Program, Map<TableName, ReadonlyMap<Rule, Shadow>>>();

/** The same of a ruleset that is not too large for it; `null` of one that is. */
export function shadowedRulesWithin(
  program: Program,
  table: TableName,
  most: number,
  budget: number,
): ReadonlyMap<Rule, Shadow> | null {
  if (countRules(program.ruleset) > most) return null;
  try {
    return shadowedRules(program, table, budget);
  } catch (error) {
    if (error instanceof BudgetExceeded) return null;
    throw error;
  }
}

class ShadowSearch {
  readonly found = new Map<Rule, Shadow>();
  private readonly domain: Domain;
  /** What may be anything: what rules of the table change, and marks, which others give, too (sockets, tc, NFQUEUE). */
  private readonly variableFields = new Set<Field>(["mark", "ctmark"]);
  /** What each caller sends to a chain. */
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
    // Marks may be anything, so no value of theirs is told from another.
    const predicates = chains.flatMap(({ rules }) => rules.map(({ when }) => when));
    const vocabulary = { predicates, markValues: new Map(), shared: sharedUnknowns(program) };
    this.domain = Domain.of(program.ruleset.family, [vocabulary], budget);
    for (const { rules } of chains)
      for (const { effect } of rules)
        for (const end of ends(effect)) if (end.kind === "assign") this.variableFields.add(end.field);
    const order = program.calleesFirst(chains);
    for (const chain of order) this.decisions.set(chain, this.decide(chain));
    for (const chain of chains) if (isBuiltIn(table, chain.chain.name)) this.entering.set(chain, [FULL]);
    // Callers first: what comes to a chain is known when its rules are looked at.
    for (const chain of order.reverse()) {
      const sent = this.entering.get(chain);
      if (sent === undefined) continue;
      const all = this.domain.diagrams.unionAll(sent);
      this.search(chain, 0, chain.rules.length, all, all);
    }
  }

  /** What a chain surely decides; all else may come back to its caller. */
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

  /** What the chain surely decides that a rule calls. */
  private decidedBy(call: BoundRule): Node {
    return this.domain.diagrams.preimage(this.decisions.get(this.program.target(call))!, 1);
  }

  /** Looks at rules from one on to another: `set` gets to the first of them, `all` to the chain. By halves, which keeps the sets small. */
  private search(chain: BoundChain, from: number, to: number, set: Node, all: Node): void {
    const { diagrams } = this.domain;
    const asking = diagrams.intersect(this.matchable(chain, from, to), set);
    if (to - from > 1) {
      const middle = (from + to) >> 1;
      this.search(chain, from, middle, asking, all);
      const behind = diagrams.intersect(this.matchable(chain, middle, to), asking);
      this.search(chain, middle, to, diagrams.subtract(behind, this.taken(chain, from, middle)), all);
      return;
    }
    const bound = chain.rules[from];
    if (bound === undefined) return;
    if (asking === EMPTY) this.found.set(bound.rule, this.explain(chain, from, all));
    else if (calls(bound)) {
      const next = this.program.target(bound);
      const sent = this.entering.get(next);
      if (sent === undefined) this.entering.set(next, [asking]);
      else sent.push(asking);
    }
  }

  /** What rules of a chain may match, whatever stands in front of them. */
  private matchable(chain: BoundChain, from: number, to: number): Node {
    return this.unionOfRange(this.matchableRanges, chain, from, to, (bound) => this.possible(bound.when));
  }

  /** What rules of a chain surely keep from those behind them. */
  private taken(chain: BoundChain, from: number, to: number): Node {
    return this.unionOfRange(this.takenRanges, chain, from, to, (bound) => this.takenByRule(bound));
  }

  /** Of rules from one on to another, by the halves that they are looked at in. */
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

  /** What a rule surely keeps from those behind it. */
  private takenByRule(bound: BoundRule): Node {
    const kind = certainEffect(bound);
    if (kind === "goes on" || !this.isCertain(bound.when)) return EMPTY;
    const when = this.domain.set(bound.when);
    return kind === "jump" ? this.domain.diagrams.intersect(when, this.decidedBy(bound)) : when;
  }

  /** Why no packet meets a rule. */
  private explain(chain: BoundChain, at: number, all: Node): Shadow {
    const { diagrams } = this.domain;
    const asked = this.possible(chain.rules[at]!.when);
    if (asked === EMPTY) return { kind: "contradiction" };
    let left = diagrams.intersect(asked, all);
    if (left === EMPTY) return { kind: "elsewhere" };
    const by: Rule[] = [];
    const search = (from: number, to: number): void => {
      if (from >= at || left === EMPTY || by.length === MOST_NAMED_RULES) return;
      const kept = this.taken(chain, from, to);
      if (diagrams.intersect(kept, left) === EMPTY) return;
      if (to - from === 1) {
        by.push(chain.rules[from]!.rule);
        left = diagrams.subtract(left, kept);
        return;
      }
      const middle = (from + to) >> 1;
      search(from, middle);
      search(middle, to);
    };
    search(0, chain.rules.length);
    return { kind: "taken", by, more: left !== EMPTY };
  }

  /** Whether nothing that may be anything has a say in it. */
  private isCertain(when: Predicate): boolean {
    let sure = true;
    leaves(when, (leaf) => {
      if (leaf.kind !== "opaque" && this.variableFields.has(leaf.field)) sure = false;
    });
    return sure;
  }

  /** Packets that may be what is asked. */
  private possible(when: Predicate): Node {
    return this.domain.set(this.isCertain(when) ? when : this.relax(when));
  }

  /** What is asked but for what may be anything. */
  private relax(when: Predicate): Predicate {
    if (when.kind === "and") return and(...when.all.map((part) => this.relax(part)));
    if (when.kind === "or") return or(...when.some.map((part) => this.relax(part)));
    return this.isCertain(when) ? when : ANY;
  }
}

/** What a rule surely does with what it matches; what a match throws away goes no further in any case. */
function certainEffect({ effect }: BoundRule): "decides" | "return" | "jump" | "goto" | "goes on" {
  const { kind } = usual(effect);
  if (kind === "return" || kind === "jump" || kind === "goto") return kind;
  const all = [...ends(usual(effect))];
  return all.every((end) => ["verdict", "nat", "stolen"].includes(end.kind)) ? "decides" : "goes on";
}

const calls = (bound: BoundRule): boolean => ["jump", "goto"].includes(certainEffect(bound));
