/**
 * Bans: what fail2ban, CrowdSec and blocklists drop by who sends it. They hang off INPUT, so whoever is banned still
 * reaches published ports.
 */
import { purposeOf } from "../host/purpose.ts";
import type { BoundRule, Program } from "../path/program.ts";
import { type Chain, chainOf, type Rule, type Ruleset, targetName } from "../rules/ruleset.ts";
import { without } from "./docker-rules.ts";

/** One ban list. */
export interface Ban {
  /** Who bans, and in which chain or set: `fail2ban (f2b-sshd)`. */
  readonly by: string;
  /** The chain or the ipset that holds the list. */
  readonly list: string;
  /** The rule that asks it on the way from INPUT. */
  readonly entry: Rule;
  /** The rules that drop. */
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
          by: `${banner} (${called.name})`,
          list: called.name,
          entry: rule,
          rules: dropping(called, ruleset),
        });
        continue;
      }
      const set = blocklist(rule);
      if (set === undefined || !(stops(rule) || called?.rules.some(stops) === true)) continue;
      const by = /crowdsec/i.test(set) ? `CrowdSec (ipset ${set})` : `a blocklist (ipset ${set})`;
      bans.push({ by, list: set, entry: rule, rules: [rule] });
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
  return bansOf(ruleset).filter((ban) => !asked.has(ban.list));
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
