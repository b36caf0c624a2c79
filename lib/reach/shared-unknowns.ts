/**
 * Which unknowns are one and the same. `-m recent --update --seconds 30 --hitcount 6` asks how often a list saw an
 * address: two rules that ask it alike of one packet get one answer, wherever they stand, as long as the packet has
 * entered the list as often before (net/netfilter/xt_recent.c). So `ufw limit`, and a copy of it that stands where
 * Docker's packets pass, are known to decide alike.
 */

import { optionsOf } from "../iptables/print.ts";
import { apart } from "../packet/predicate.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import type { Hook } from "../rules/base-chain.ts";
import { ends } from "../rules/effect.ts";
import { siteKey } from "../rules/facts.ts";
import { type Match, type Rule, TABLES } from "../rules/ruleset.ts";

/** An unknown's key, and the name that it shares with others; `null` where it must be kept apart. */
export type SharedUnknowns = ReadonlyMap<string, string | null>;

/** The hooks that one packet can pass, in order. */
const PATHS: readonly (readonly Hook[])[] = [
  ["PREROUTING", "INPUT"],
  ["PREROUTING", "FORWARD", "POSTROUTING"],
  ["OUTPUT", "POSTROUTING", "PREROUTING", "INPUT"],
];

/** More chains than this, and chains that are nested too deep, are not followed: every unknown is kept apart then. */
const MOST_CHAIN_VISITS = 20_000;

/** A rule that asks or changes a list of `recent`. */
interface RecentRule {
  readonly bound: BoundRule;
  readonly list: string;
  /** Asks, and how; `null` for a rule that only writes. */
  readonly question: string | null;
  /** The rule in front of it that enters every packet into the list which this one asks about. */
  readonly primer: Rule | null;
  readonly writes: boolean;
}

export function sharedUnknowns(program: Program): SharedUnknowns {
  const lists = new RecentLists(program);
  if (!lists.any) return new Map();
  for (const path of PATHS) {
    let met: ReadonlySet<RecentRule> = new Set();
    for (const hook of path)
      for (const table of TABLES) {
        const chain = program.chain(table, hook);
        if (chain !== undefined) met = lists.visit(chain, met);
      }
  }
  return lists.same;
}

class RecentLists {
  readonly same = new Map<string, string | null>();
  readonly any: boolean;
  private readonly rules = new Map<Rule, RecentRule>();
  private readonly touching = new Map<BoundChain, boolean>();
  private visits = 0;

  constructor(private readonly program: Program) {
    for (const table of TABLES)
      for (const chain of program.ruleset.tables.get(table)?.chains.values() ?? [])
        for (const [i, rule] of chain.rules.entries()) {
          const found = rule.matches.filter((m) => m.extension.name === "recent");
          if (found.length === 0) continue;
          const listed = this.read(program.chain(table, chain.name)!, i, found);
          this.rules.set(rule, listed);
        }
    this.any = this.rules.size > 0;
  }

  private read(chain: BoundChain, at: number, found: readonly Match[]): RecentRule {
    const bound = chain.rules[at]!;
    const [{ values }] = found as [Match];
    const list = String(values.name?.value);
    // A rule that asks two lists, or the address it goes to, has no like.
    const plain = found.length === 1 && values.rdest === undefined && values.set === undefined;
    const asks = plain && values.remove === undefined;
    const others = (rule: Rule): string =>
      rule.matches
        .filter((m) => m.extension.name !== "recent" && m.extension.name !== "comment")
        .map((m) => this.text(m))
        .join(" ");
    const primer = chain.chain.rules.slice(0, at).find((rule) => {
      const sets = rule.matches.filter((m) => m.extension.name === "recent");
      return (
        sets.length === 1 &&
        sets[0]!.values.set?.not === false &&
        sets[0]!.values.name?.value === list &&
        rule.unknown.length === 0 &&
        rule.target.kind === "none" &&
        others(rule) === others(bound.rule)
      );
    });
    return {
      bound,
      list,
      question: asks ? this.text(found[0]!) : null,
      primer: primer ?? null,
      writes: !(asks && values.rcheck !== undefined),
    };
  }

  private text({ extension, values }: Match): string {
    const words = optionsOf(extension, values, { family: this.program.ruleset.family, proto: undefined });
    return [extension.name, ...words.flatMap((o) => [o.not ? "!" : "", o.name, ...o.words])].join(" ");
  }

  /** Goes through a chain with what may have written to lists before; what may have when the chain is left. */
  visit(chain: BoundChain, met: ReadonlySet<RecentRule>): ReadonlySet<RecentRule> {
    if (!this.touches(chain)) return met;
    if (++this.visits > MOST_CHAIN_VISITS || this.program.isDeep(chain)) {
      for (const { bound } of this.rules.values()) this.same.set(this.key(bound.rule), null);
      return met;
    }
    let now = met;
    const left = new Set<RecentRule>();
    for (const { rule, effect } of chain.rules) {
      const listed = this.rules.get(rule);
      if (listed !== undefined) {
        this.judge(listed, now);
        if (listed.writes) now = new Set([...now, listed]);
      }
      for (const end of ends(effect)) {
        if (end.kind !== "jump" && end.kind !== "goto") continue;
        const after = this.visit(this.program.chain(rule.table, end.chain)!, now);
        // What a goto takes comes back to the caller of this chain, never to its next rule.
        if (end.kind === "jump") now = after;
        else for (const each of after) left.add(each);
      }
    }
    return left.size === 0 ? now : new Set([...now, ...left]);
  }

  private judge(listed: RecentRule, met: ReadonlySet<RecentRule>): void {
    const { bound, list, question, primer } = listed;
    const key = this.key(bound.rule);
    const counted = [...met].some(
      (other) =>
        other.list === list &&
        other.bound.rule !== primer &&
        // Asked alike it writes only where it matched, and then this one does, too.
        !(question !== null && other.question === question) &&
        !apart(other.bound.when, bound.when),
    );
    if (question === null || counted) this.same.set(key, null);
    else if (this.same.get(key) !== null)
      this.same.set(key, primer === null ? question : `${question} (once entered)`);
  }

  private key({ table, chain, index }: Rule): string {
    return siteKey("recent", { table, chain, index });
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
