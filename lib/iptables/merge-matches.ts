/** Merges the matches of one protocol header in a rule. */
import type { Rule } from "../rules/ruleset.ts";
import { asIptables, type Match } from "./rule.ts";
import { withParts } from "./typed-rule.ts";

/**
 * Returns a rule with one match for each protocol header, where no option is given twice. iptables-nft converts header
 * matches to nft expressions and prints one match, so a rule with two would differ from the live rule.
 */
export function mergeMatches(rule: Rule): Rule {
  const matches: Match[] = [];
  for (const match of asIptables(rule).matches) {
    const { protocol } = match.extension;
    const at = protocol === undefined ? -1 : matches.findIndex((m) => m.extension === match.extension);
    const before = matches[at];
    if (before === undefined || Object.keys(match.values).some((key) => Object.hasOwn(before.values, key)))
      matches.push(match);
    else matches[at] = { ...before, values: { ...before.values, ...match.values } };
  }
  return withParts(rule, { matches });
}
