/**
 * Unknowns that always have the same value. `-m recent --update --seconds 30 --hitcount 6` tests how often a list
 * contains an address. Two rules with equal options get the same result for one packet if it entered the list equally
 * often before (net/netfilter/xt_recent.c). So `ufw limit`, and its copy in the path of Docker's packets, have the
 * same result.
 */

import { type RecentUse, recentUseOf } from "../iptables/recent-lists.ts";
import { areDisjoint } from "../packet/predicate.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import type { Hook } from "../rules/base-chain.ts";
import { ends } from "../rules/effect.ts";
import {
  iptablesName,
  iptablesTables,
  isTableName,
  type Rule,
  TABLES,
  type TableId,
} from "../rules/ruleset.ts";

/** Maps the key of an unknown to the name that unknowns with the same value share; `null` if it has a value of its own. */
export type SharedUnknowns = ReadonlyMap<string, string | null>;

/** Sequences of hooks that one packet can pass. */
const PATHS: readonly (readonly Hook[])[] = [
  ["PREROUTING", "INPUT"],
  ["PREROUTING", "FORWARD", "POSTROUTING"],
  ["OUTPUT", "POSTROUTING", "PREROUTING", "INPUT"],
];

/** Most visits of chains. Beyond them, or if chains are nested too deep, each unknown has a value of its own. */
const MOST_CHAIN_VISITS = 20_000;

/** A rule that tests or changes a list of `recent`. */
interface RecentRule extends RecentUse {
  readonly bound: BoundRule;
}

/** Returns the unknowns of a program that share their value with others, or that must not. */
export function sharedUnknowns(program: Program): SharedUnknowns {
  const inOrder = tablesInOrder(program);
  const lists = new RecentLists(program, inOrder);
  if (!lists.any) return new Map();
  for (const path of PATHS) {
    let met: ReadonlySet<RecentRule> = new Set();
    for (const hook of path)
      for (const table of inOrder) {
        const chain = program.chain(table, hook);
        if (chain !== undefined) met = lists.visit(chain, met);
      }
  }
  lists.separateBackends();
  return lists.same;
}

/** Returns the tables of iptables of both backends in the order of a hook; that of two with one name is not known. */
function tablesInOrder({ ruleset }: Program): TableId[] {
  const saved = iptablesTables(ruleset);
  return TABLES.flatMap((name) => saved.filter((id) => iptablesName(id) === name));
}

class RecentLists {
  readonly same = new Map<string, string | null>();
  readonly any: boolean;
  private readonly rules = new Map<Rule, RecentRule>();
  private readonly touching = new Map<BoundChain, boolean>();
  private visits = 0;

  constructor(
    private readonly program: Program,
    tables: readonly TableId[],
  ) {
    for (const table of tables)
      for (const chain of program.ruleset.tables.get(table)?.chains.values() ?? [])
        for (const [i, rule] of chain.rules.entries()) {
          const use = recentUseOf(chain.rules, i, program.ruleset.family);
          if (use === null) continue;
          this.rules.set(rule, { ...use, bound: program.chain(table, chain.name)!.rules[i]! });
        }
    this.any = this.rules.size > 0;
  }

  /**
   * Visits a chain and the chains that it calls.
   * @param met rules that can have written to lists before the chain
   * @returns the rules that can have written to lists after it
   */
  visit(chain: BoundChain, met: ReadonlySet<RecentRule>): ReadonlySet<RecentRule> {
    if (!this.touches(chain)) return met;
    if (++this.visits > MOST_CHAIN_VISITS || this.program.isDeep(chain)) {
      for (const { key } of this.rules.values()) this.same.set(key, null);
      return met;
    }
    let now = met;
    const left = new Set<RecentRule>();
    for (const { rule, effect } of chain.rules) {
      const listed = this.rules.get(rule);
      if (listed !== undefined) {
        this.classify(listed, now);
        if (listed.writes) now = new Set([...now, listed]);
      }
      for (const end of ends(effect)) {
        if (end.kind !== "jump" && end.kind !== "goto") continue;
        const after = this.visit(this.program.chain(rule.table, end.chain)!, now);
        // After a goto the packet returns to the caller of this chain, not to the next rule.
        if (end.kind === "jump") now = after;
        else for (const each of after) left.add(each);
      }
    }
    return left.size === 0 ? now : new Set([...now, ...left]);
  }

  /** Gives the tests of a list that rules of both backends use values of their own: the kernel has one list for all of them. */
  separateBackends(): void {
    const used = [...this.rules];
    const isPlain = (rule: Rule): boolean => isTableName(rule.table);
    for (const [rule, { key, list }] of used)
      if (used.some(([other, use]) => use.list === list && isPlain(other) !== isPlain(rule)))
        this.same.set(key, null);
  }

  private classify(listed: RecentRule, met: ReadonlySet<RecentRule>): void {
    const { bound, list, test, primer, key } = listed;
    const counted = [...met].some(
      (other) =>
        other.list === list &&
        other.bound.rule !== primer &&
        // A rule with equal options writes only if it matches, and then this one matches too.
        !(test !== null && other.test === test) &&
        !areDisjoint(other.bound.when, bound.when),
    );
    if (test === null || counted) this.same.set(key, null);
    else if (this.same.get(key) !== null)
      this.same.set(key, primer === null ? test : `${test} (once entered)`);
  }

  private touches(chain: BoundChain): boolean {
    if (!this.touching.has(chain))
      for (const each of this.program.calleesFirst([chain]))
        this.touching.set(
          each,
          each.rules.some(
            ({ rule, effect }) =>
              this.rules.has(rule) ||
              [...ends(effect)].some(
                (end) =>
                  (end.kind === "jump" || end.kind === "goto") &&
                  this.touching.get(this.program.chain(rule.table, end.chain)!)!,
              ),
          ),
        );
    return this.touching.get(chain)!;
  }
}
