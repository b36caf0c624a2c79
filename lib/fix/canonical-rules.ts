/** Prints generated rules as iptables-save prints them once they are loaded. */

import { readRuleset } from "../iptables/load.ts";
import { mergeMatches } from "../iptables/merge-matches.ts";
import { printBody } from "../iptables/print.ts";
import type { Family } from "../packet/field.ts";
import type { Chain } from "../rules/ruleset.ts";

/** Chains with their rules, each without `-A CHAIN`. */
export type ChainTexts = ReadonlyMap<string, readonly string[]>;

/**
 * Loads chains of table filter.
 * @param called chains of the owner that the rules call
 */
export function loadChains(chains: ChainTexts, called: readonly string[], family: Family): readonly Chain[] {
  const text = [
    "*filter",
    ...[...chains.keys(), ...called].map((chain) => `:${chain} - [0:0]`),
    ...[...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`)),
    "COMMIT\n",
  ].join("\n");
  const { rulesets, diagnostics } = readRuleset([{ name: "fix", text, family }]);
  const error = diagnostics.find((d) => d.severity === "error");
  if (error !== undefined)
    throw new Error(`fwcheck cannot read its own rules: ${error.message}: ${error.found}`);
  return [...rulesets[0]!.tables.get("filter")!.chains.values()].filter(({ name }) => chains.has(name));
}

/**
 * Loads and prints chains, so that a later iptables-save shows the same text.
 * @param called chains of the owner that the rules call
 */
export function canonicalRules(chains: ChainTexts, called: readonly string[], family: Family): ChainTexts {
  if (chains.size === 0) return new Map();
  return new Map(
    loadChains(chains, called, family).map((chain) => [
      chain.name,
      // A generated rule has the matches of several rules.
      chain.rules.map((rule) => printBody(mergeMatches(rule), { family }).trimStart()),
    ]),
  );
}
