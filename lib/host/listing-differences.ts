/**
 * Compares what iptables-save and nft print for the tables of iptables-nft. nft can change such a table, and iptables-save
 * omits what it does not know: `udp length > 512 drop` becomes `-p udp -j DROP`.
 */
import type { NftTable } from "../nftables/load.ts";
import type { Chain, Ruleset } from "../rules/ruleset.ts";
import type { RulesetDoubt } from "../rules/ruleset-doubt.ts";

/**
 * Returns a doubt for each chain of a table of iptables-nft that the two listings show with different rules.
 * @param tables tables of the nft listing whose rules come from iptables-save
 */
export function listingDifferences(ruleset: Ruleset, tables: readonly NftTable[]): RulesetDoubt[] {
  const family = ruleset.family === 4 ? "ip" : "ip6";
  return tables.flatMap(({ family: of, name, table }): RulesetDoubt[] => {
    const saved = of === family ? ruleset.tables.get(name) : undefined;
    if (saved === undefined) return [];
    const names = new Set([...saved.chains.keys(), ...table.chains.keys()]);
    return [...names].flatMap((chain): RulesetDoubt[] => {
      const rule = firstDifference(saved.chains.get(chain), table.chains.get(chain));
      return rule === null ? [] : [{ code: "listings-differ", table: `${family} ${name}`, chain, rule }];
    });
  });
}

/** Returns the number of the first rule that differs, from 1; `null` if the chains are alike. */
function firstDifference(saved: Chain | undefined, listed: Chain | undefined): number | null {
  // iptables-save prints built-in chains that nft does not have yet; without rules they do nothing.
  const rules = saved?.rules ?? [];
  const others = listed?.rules ?? [];
  if (rules.length !== others.length) return Math.min(rules.length, others.length) + 1;
  for (const [i, rule] of rules.entries()) {
    const other = others[i]!;
    const sameCall = rule.calledChains.join() === other.calledChains.join();
    const conditionLost = other.reading.others && !rule.reading.others;
    if (!sameCall || conditionLost) return i + 1;
  }
  return null;
}
