/** Use of the lists of `-m recent` by rules (net/netfilter/xt_recent.c). */
import type { Family } from "../packet/field.ts";
import { siteKey } from "../rules/facts.ts";
import type { Rule } from "../rules/ruleset.ts";
import { optionsOf } from "./print.ts";
import { type IptablesRule, isIptables, type Match } from "./rule.ts";

/** Use of a list by one rule. */
export interface RecentUse {
  readonly list: string;
  /** Options with which it tests the list; `null` if it only writes, or tests more than the source in one list. */
  readonly test: string | null;
  /** An earlier rule that enters every packet which this rule tests into the same list. */
  readonly primer: Rule | null;
  readonly writes: boolean;
  /** Key of the unknown that is the result of the test. */
  readonly key: string;
}

/** Returns how the rule at an index of a chain uses a list; `null` if it uses none. */
export function recentUseOf(rules: readonly Rule[], index: number, family: Family): RecentUse | null {
  const rule = rules[index]!;
  if (!isIptables(rule)) return null;
  const [match, ...more] = recentMatches(rule);
  if (match === undefined) return null;
  const { values } = match;
  const list = String(values.name?.value);
  // Rules that test two lists or the destination address are not compared.
  const isPlain = more.length === 0 && values.rdest === undefined && values.set === undefined;
  const tests = isPlain && values.remove === undefined;
  const { table, chain } = rule;
  return {
    list,
    test: tests ? matchText(match, family) : null,
    primer:
      rules.slice(0, index).find((each) => isIptables(each) && primes(each, rule, list, family)) ?? null,
    writes: !(tests && values.rcheck !== undefined),
    key: siteKey("recent", { table, chain, index: rule.index }),
  };
}

const recentMatches = ({ matches }: IptablesRule): Match[] =>
  matches.filter((m) => m.extension.name === "recent");

/** Returns true if a rule without target enters each packet that matches the other conditions of `rule` into the list. */
function primes(earlier: IptablesRule, rule: IptablesRule, list: string, family: Family): boolean {
  const [match, ...more] = recentMatches(earlier);
  return (
    match !== undefined &&
    more.length === 0 &&
    match.values.set?.not === false &&
    match.values.name?.value === list &&
    earlier.unknown.length === 0 &&
    earlier.target.kind === "none" &&
    otherMatches(earlier, family) === otherMatches(rule, family)
  );
}

/** Returns the text of all matches but lists and comments. */
const otherMatches = ({ matches }: IptablesRule, family: Family): string =>
  matches
    .filter((m) => m.extension.name !== "recent" && m.extension.name !== "comment")
    .map((m) => matchText(m, family))
    .join(" ");

function matchText({ extension, values }: Match, family: Family): string {
  const options = optionsOf(extension, values, { family, proto: undefined });
  return [extension.name, ...options.flatMap((o) => [o.not ? "!" : "", o.name, ...o.words])].join(" ");
}
