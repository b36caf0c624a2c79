/**
 * Bans: what fail2ban, CrowdSec and blocklists drop by who sends it. They hang off INPUT, so whoever is banned still
 * reaches published ports.
 */
import { purposeOf } from "../host/purpose.ts";
import type { BoundRule, Program } from "../path/program.ts";
import { type Chain, chainOf, type Rule, type Ruleset, targetName } from "../rules/ruleset.ts";
import { without } from "./docker-rules.ts";

/** A list of banned sources: a chain or an ipset. */
export interface BanList {
  /** Program that fills it; `null` for a set of unknown origin. */
  readonly program: string | null;
  /** Whether the list is a chain or an ipset. */
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

const STOPS = ["DROP", "REJECT", "TARPIT"];
const stops = (rule: Rule): boolean => STOPS.includes(targetName(rule));

/** The ban lists that INPUT asks. */
export function bansOf(ruleset: Ruleset): Ban[] {
  const bans: Ban[] = [];
  for (const chain of below(ruleset, "INPUT")) {
    if (bannerOf(chain.name) !== undefined) continue;
    for (const rule of chain.rules) {
      const called = jumped(rule, ruleset);
      const banner = called === undefined ? undefined : bannerOf(called.name);
      if (called !== undefined && banner !== undefined) {
        bans.push({
          list: { program: banner, kind: "chain", name: called.name },
          entry: rule,
          rules: dropping(called, ruleset),
        });
        continue;
      }
      const set = blocklist(rule);
      if (set === undefined || !(stops(rule) || called?.rules.some(stops) === true)) continue;
      const program = /crowdsec/i.test(set) ? "CrowdSec" : null;
      bans.push({ list: { program, kind: "ipset", name: set }, entry: rule, rules: [rule] });
    }
  }
  return bans;
}

/** Ban lists that nothing on the way to containers asks. */
export function missed(ruleset: Ruleset): Ban[] {
  const asked = new Set<string>();
  for (const chain of below(ruleset, "FORWARD"))
    for (const rule of chain.rules) {
      asked.add(targetName(rule));
      const set = blocklist(rule);
      if (set !== undefined) asked.add(set);
    }
  return bansOf(ruleset).filter((ban) => !asked.has(ban.list.name));
}

/** The ruleset without its bans. */
export function withoutBans(ruleset: Ruleset, bans: readonly Ban[]): Ruleset {
  const rules = new Set(bans.flatMap((ban) => ban.rules));
  return without(ruleset, (rule) => rules.has(rule));
}

/** The rules of a ban as the program holds them. */
export const boundRules = (program: Program, { rules }: Ban): BoundRule[] => {
  const wanted = new Set(rules);
  const chains = new Set(rules.map((rule) => rule.chain));
  return [...chains].flatMap((name) =>
    (program.chain("filter", name)?.rules ?? []).filter(({ rule }) => wanted.has(rule)),
  );
};

/** The program that fills a chain with bans; `undefined` where the name is no such program's. */
export function bannerOf(chain: string): string | undefined {
  const purpose = purposeOf("filter", chain);
  return purpose?.role === "bans" ? purpose.by : undefined;
}

/** The set a rule asks for the sender, where it asks for one. */
function blocklist(rule: Rule): string | undefined {
  for (const { extension, values } of rule.matches) {
    const asked = extension.name === "set" ? values.set : undefined;
    if (asked === undefined || asked.not) continue;
    const { set, sides } = asked.value as { set?: string; sides?: readonly string[] };
    if (set !== undefined && sides?.[0] === "src") return set;
  }
  return undefined;
}

function jumped(rule: Rule, ruleset: Ruleset): Chain | undefined {
  const { target } = rule;
  return target.kind === "jump" || target.kind === "goto"
    ? chainOf(ruleset, "filter", target.chain)
    : undefined;
}

/** The rules of a chain, and of those it leads to, that drop. */
const dropping = (chain: Chain, ruleset: Ruleset): Rule[] =>
  [...reached(chain, ruleset)].flatMap(({ rules }) => rules.filter(stops));

/** The chains that a built-in chain of table filter leads to, itself included. */
export function below(ruleset: Ruleset, start: string): Set<Chain> {
  const first = chainOf(ruleset, "filter", start);
  return first === undefined ? new Set() : reached(first, ruleset);
}

/** A chain of table filter, and the chains that it leads to. */
function reached(first: Chain, ruleset: Ruleset): Set<Chain> {
  const found = new Set([first]);
  for (const chain of found)
    for (const rule of chain.rules) {
      const called = jumped(rule, ruleset);
      if (called !== undefined) found.add(called);
    }
  return found;
}
