/**
 * Correlated rules: two rules of one chain match some packets in common, neither matches all packets of the other, and their
 * verdicts differ. The order of both decides about the common packets.
 */
import type { BoundChain, BoundRule } from "../path/program.ts";
import type { Rule } from "../rules/ruleset.ts";
import { BudgetExceeded } from "./budget.ts";
import { EMPTY, type Node } from "./node-store.ts";
import type { ShadowSearch } from "./shadowed-rules.ts";
import type { RangeMemo, TableDomain } from "./table-domain.ts";
import { UNSURE } from "./table-outcomes.ts";

/** Most pairs of one table. */
const MOST_PAIRS = 100_000;

/**
 * Returns rules with the earlier rules that each is correlated with.
 * @throws BudgetExceeded
 */
export const findCorrelatedRules = (search: ShadowSearch): ReadonlyMap<Rule, readonly Rule[]> =>
  new CorrelationSearch(search).found;

class CorrelationSearch {
  readonly found = new Map<Rule, Rule[]>();
  private readonly table: TableDomain;
  /** Sets of the rules with another verdict than a terminal. */
  private readonly others = new Map<Node, RangeMemo>();
  private pairs = 0;

  constructor(private readonly search: ShadowSearch) {
    this.table = search.table;
    for (const chain of this.table.chains)
      for (const [i, bound] of chain.rules.entries()) {
        const verdict = this.verdictOf(bound);
        if (verdict !== null) this.searchLater(chain, i, verdict, 0, chain.rules.length);
      }
  }

  /** Returns the terminal of a rule that packets match and that certainly gives all of them one verdict; else `null`. */
  private verdictOf(bound: BoundRule): Node | null {
    if (bound.effect.kind !== "verdict" || !this.search.matched.has(bound)) return null;
    const { diagrams } = this.table;
    const [number, ...more] = diagrams.split(this.search.outcomes.ofRule(bound)).keys();
    return number === undefined || number === UNSURE || more.length > 0 ? null : number;
  }

  /** Adds the pairs of a rule and later rules of a range with another verdict. */
  private searchLater(chain: BoundChain, at: number, verdict: Node, from: number, to: number): void {
    if (to <= at + 1) return;
    const { diagrams } = this.table;
    const earlier = chain.rules[at]!;
    let memo = this.others.get(verdict);
    if (memo === undefined) this.others.set(verdict, (memo = new Map()));
    const later = this.table.unionOfRange(memo, chain, from, to, (bound) => {
      const own = this.verdictOf(bound);
      return own === null || own === verdict ? EMPTY : this.table.possible(bound.when);
    });
    if (diagrams.intersect(later, this.search.matched.get(earlier)!) === EMPTY) return;
    if (to - from > 1) {
      const middle = (from + to) >> 1;
      this.searchLater(chain, at, verdict, from, middle);
      this.searchLater(chain, at, verdict, middle, to);
      return;
    }
    const first = this.table.possible(earlier.when);
    if (diagrams.subtract(first, later) === EMPTY || diagrams.subtract(later, first) === EMPTY) return;
    if (++this.pairs > MOST_PAIRS) throw new BudgetExceeded(MOST_PAIRS, null, "pairs of rules");
    const { rule } = chain.rules[from]!;
    const known = this.found.get(rule);
    if (known === undefined) this.found.set(rule, [earlier.rule]);
    else known.push(earlier.rule);
  }
}
