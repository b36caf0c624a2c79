/** Ban lists of fail2ban, CrowdSec and blocklists: INPUT evaluates them, so banned sources still reach published ports. */
import { banSetProgram, knownChain } from "../host/known/chains.ts";
import type { BoundRule, Program } from "../path/program.ts";
import type { Hook } from "../rules/base-chain.ts";
import { CallGraph } from "../rules/call-graph.ts";
import {
  type Chain,
  calledChain,
  chainOf,
  filterTables,
  type Rule,
  type Ruleset,
  setLookups,
  type TableId,
} from "../rules/ruleset.ts";
import { withoutRules } from "./docker-rules.ts";

/** A list of banned sources: a chain or an ipset. */
export interface BanList {
  /** Program that fills it; `null` for a set of unknown origin. */
  readonly program: string | null;
  /** Kind of the list. */
  readonly kind: "chain" | "ipset";
  /** Name of the chain or set. */
  readonly name: string;
}

/** A ban list that INPUT evaluates. */
export interface Ban {
  readonly list: BanList;
  /** Rule in INPUT, or in a chain below it, that calls the chain or matches the set. */
  readonly entry: Rule;
  /** Rules that drop the sources. */
  readonly rules: readonly Rule[];
}

const isDenying = ({ action }: Rule): boolean => action === "drop" || action === "reject";

/** Returns the ban lists that INPUT evaluates. */
export function bansOf(ruleset: Ruleset): Ban[] {
  return chainsAt(ruleset, "INPUT").flatMap((chain) =>
    banProgram(chain.name) === undefined ? chain.rules.flatMap((rule) => banOf(rule, ruleset)) : [],
  );
}

/** Returns the ban list that a rule calls or matches, if it does. */
function banOf(rule: Rule, ruleset: Ruleset): Ban[] {
  const name = calledChain(rule);
  const called = name === null ? undefined : chainOf(ruleset, rule.table, name);
  const program = called === undefined ? undefined : banProgram(called.name);
  if (called !== undefined && program !== undefined) {
    const rules = chainsBelow(ruleset, called.table, called.name).flatMap((chain) =>
      chain.rules.filter(isDenying),
    );
    return [{ list: { program, kind: "chain", name: called.name }, entry: rule, rules }];
  }
  const set = sourceSet(rule);
  if (set === undefined || !(isDenying(rule) || called?.rules.some(isDenying) === true)) return [];
  return [{ list: { program: banSetProgram(set), kind: "ipset", name: set }, entry: rule, rules: [rule] }];
}

/** Returns the ban lists of INPUT that FORWARD does not evaluate. */
export function bansMissingInForward(ruleset: Ruleset): Ban[] {
  const evaluated = new Set<string>();
  for (const chain of chainsAt(ruleset, "FORWARD"))
    for (const rule of chain.rules) {
      const called = calledChain(rule);
      const set = sourceSet(rule);
      if (called !== null) evaluated.add(`${rule.table} ${called}`);
      if (set !== undefined) evaluated.add(set);
    }
  return bansOf(ruleset).filter(
    ({ list: { kind, name }, entry }) => !evaluated.has(kind === "ipset" ? name : `${entry.table} ${name}`),
  );
}

/** Returns the ruleset without the rules of its bans. */
export function withoutBans(ruleset: Ruleset, bans: readonly Ban[]): Ruleset {
  const rules = new Set(bans.flatMap((ban) => ban.rules));
  return withoutRules(ruleset, (rule) => rules.has(rule));
}

/** Returns the rules of a ban, bound to a program. */
export const boundRules = (program: Program, { rules }: Ban): BoundRule[] => {
  const wanted = new Set(rules);
  const chains = new Map(rules.map((rule) => [`${rule.table} ${rule.chain}`, rule]));
  return [...chains.values()].flatMap(({ table, chain }) =>
    (program.chain(table, chain)?.rules ?? []).filter(({ rule }) => wanted.has(rule)),
  );
};

/** Returns the program that fills a chain with bans; `undefined` for any other chain. */
export function banProgram(chain: string): string | undefined {
  const purpose = knownChain("filter", chain);
  return purpose?.role === "bans" ? purpose.by : undefined;
}

/** Returns the set that a rule looks the source address up in. */
const sourceSet = (rule: Rule): string | undefined =>
  setLookups(rule).find(({ not, value }) => !not && value.sides[0] === "src")?.value.set;

/** Returns a chain and all chains below it. */
export const chainsBelow = (ruleset: Ruleset, table: TableId, name: string): Chain[] =>
  [...new CallGraph(ruleset).below(table, name)].map((each) => chainOf(ruleset, table, each)!);

/** Returns the base chains of the tables filter at a hook, of both backends of iptables, and all chains below these. */
export const chainsAt = (ruleset: Ruleset, hook: Hook): Chain[] =>
  filterTables(ruleset).flatMap((table) => chainsBelow(ruleset, table, hook));
