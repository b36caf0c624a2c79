/**
 * Redundant rules: rules that packets match and that can be removed without a change for any packet, since later rules, the
 * callers or the policy do the same with these packets.
 */
import type { BoundChain, BoundRule } from "../path/program.ts";
import { ends } from "../rules/effect.ts";
import type { Rule } from "../rules/ruleset.ts";
import { EMPTY, type Node, terminal } from "./node-store.ts";
import type { ShadowSearch } from "./shadowed-rules.ts";
import type { RangeMemo, TableDomain } from "./table-domain.ts";
import { RETURNED, type TableOutcomes, UNSURE } from "./table-outcomes.ts";

/** A rule that can be removed. With neither `by` nor `reachesEnd` it calls a chain that decides none of its packets. */
export interface Redundancy {
  /** Later rules of its chain that do the same with packets that it decides. */
  readonly by: readonly Rule[];
  /** Some of its packets reach the end of its chain: the policy or the callers do the same. */
  readonly reachesEnd: boolean;
}

/** Most continuations of one chain that are compared one by one. Beyond them a return to the callers equals only a return. */
const MOST_CONTINUATIONS = 8;

/**
 * Returns the redundant rules of a table. Each is redundant while all others stay.
 * @throws BudgetExceeded
 */
export const findRedundantRules = (search: ShadowSearch): ReadonlyMap<Rule, Redundancy> =>
  new RedundancySearch(search).found;

class RedundancySearch {
  readonly found = new Map<Rule, Redundancy>();
  private readonly table: TableDomain;
  private readonly outcomes: TableOutcomes;
  /** Outcomes of packets after a chain returns, one diagram for each way to enter it. */
  private readonly continuations = new Map<BoundChain, Set<Node>>();
  private readonly refuted = new Set<BoundRule>();
  private readonly ranges: RangeMemo = new Map();

  constructor(private readonly search: ShadowSearch) {
    this.table = search.table;
    this.outcomes = search.outcomes;
    for (const chain of this.table.chains)
      if (chain.chain.base !== null) this.continuations.set(chain, new Set([this.outcomes.ofPolicy(chain)]));
    for (const chain of [...this.table.calleesFirst].reverse()) this.visitChain(chain);
  }

  private visitChain(chain: BoundChain): void {
    const known = this.continuations.get(chain);
    if (known === undefined) return;
    const all = known.size > MOST_CONTINUATIONS ? [terminal(RETURNED)] : [...known];
    for (const then of all) this.visit(chain, 0, chain.rules.length, then, then);
    for (const bound of chain.rules)
      if (this.search.matched.has(bound) && this.isRemovable(bound) && !this.refuted.has(bound))
        this.found.set(bound.rule, this.cause(chain, bound));
  }

  /** Returns true for a rule whose only effect is its verdict. A call of an empty chain is a place for rules to come. */
  private isRemovable(bound: BoundRule): boolean {
    const { effect } = bound;
    if (effect.kind === "note") return false;
    return [...ends(effect)].every(
      (end) =>
        (end.kind !== "jump" && end.kind !== "goto") ||
        this.table.program.target(bound, end.chain).rules.length > 0,
    );
  }

  /**
   * Visits the rules from `from` to before `to`. Halving the range keeps the diagrams small.
   * @param rest outcomes of packets that reach the end of the range
   * @param then outcomes of packets that return from the chain
   */
  private visit(chain: BoundChain, from: number, to: number, rest: Node, then: Node): void {
    const { diagrams } = this.table;
    if (to - from > 1) {
      const middle = (from + to) >> 1;
      this.visit(chain, middle, to, this.restrict(chain, middle, to, rest), then);
      const right = this.table.unionOfRange(this.ranges, chain, middle, to, (bound) =>
        this.outcomes.ofRule(bound),
      );
      const left = this.search.matchable(chain, from, middle);
      const decided = this.returnTo(diagrams.intersect(left, right), then);
      this.visit(chain, from, middle, diagrams.union(decided, diagrams.intersect(left, rest)), then);
      return;
    }
    const bound = chain.rules[from];
    if (bound !== undefined) this.visitRule(bound, rest, then);
  }

  private restrict(chain: BoundChain, from: number, to: number, rest: Node): Node {
    return this.table.diagrams.intersect(this.search.matchable(chain, from, to), rest);
  }

  private visitRule(bound: BoundRule, rest: Node, then: Node): void {
    const matched = this.search.matched.get(bound);
    if (matched === undefined) return;
    const { diagrams } = this.table;
    const after = diagrams.intersect(matched, rest);
    const own = this.outcomes.ofRule(bound);
    const decided = this.returnTo(diagrams.intersect(diagrams.members(after), own), then);
    // Two outcomes that are not exact never count as equal.
    if (diagrams.preimage(decided, UNSURE) !== EMPTY || diagrams.union(decided, after) !== after)
      this.refuted.add(bound);
    for (const end of ends(bound.effect))
      if (end.kind === "jump" || end.kind === "goto")
        this.enter(this.table.program.target(bound, end.chain), end.kind === "jump" ? after : then);
  }

  private enter(chain: BoundChain, then: Node): void {
    const known = this.continuations.get(chain);
    if (known === undefined) this.continuations.set(chain, new Set([then]));
    else known.add(then);
  }

  /** Replaces returns from a chain by what follows. */
  private returnTo(outcomes: Node, then: Node): Node {
    const { diagrams } = this.table;
    const returned = diagrams.preimage(outcomes, RETURNED);
    if (returned === EMPTY) return outcomes;
    return diagrams.union(diagrams.subtract(outcomes, returned), diagrams.intersect(returned, then));
  }

  /** Returns the rules that decide the packets of a redundant rule after its removal. */
  private cause(chain: BoundChain, bound: BoundRule): Redundancy {
    const { diagrams } = this.table;
    const by: Rule[] = [];
    const own = diagrams.members(this.outcomes.ofRule(bound));
    let left = diagrams.intersect(own, this.search.matched.get(bound)!);
    const search = (from: number, to: number): void => {
      if (to <= bound.rule.index || left === EMPTY) return;
      const decided = diagrams.members(
        this.table.unionOfRange(this.ranges, chain, from, to, (each) => this.outcomes.ofRule(each)),
      );
      if (diagrams.intersect(decided, left) === EMPTY) return;
      if (to - from === 1) {
        by.push(chain.rules[from]!.rule);
        left = diagrams.subtract(left, decided);
        return;
      }
      const middle = (from + to) >> 1;
      search(from, middle);
      search(middle, to);
    };
    search(0, chain.rules.length);
    return { by, reachesEnd: left !== EMPTY };
  }
}
