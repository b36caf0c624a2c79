/**
 * Compares what iptables-save and nft print for the tables of iptables-nft. nft can change such a table, and iptables-save
 * omits what it does not know: `udp length > 512 drop` becomes `-p udp -j DROP`.
 */
import type { NftTable } from "../nftables/load.ts";
import { savedId } from "../nftables/with-nftables.ts";
import type { Range } from "../packet/field.ts";
import { normalizeRanges } from "../packet/predicate.ts";
import type { Action, Negatable } from "../rules/reading.ts";
import type { Chain, Rule, Ruleset } from "../rules/ruleset.ts";
import type { RulesetDoubt } from "../rules/ruleset-doubt.ts";

/**
 * Returns a doubt for each chain of a table of iptables-nft that the two listings show with different rules.
 * @param tables tables of the nft listing whose rules come from iptables-save
 */
export function listingDifferences(ruleset: Ruleset, tables: readonly NftTable[]): RulesetDoubt[] {
  const family = ruleset.family === 4 ? "ip" : "ip6";
  return tables.flatMap((each): RulesetDoubt[] => {
    const { name, table } = each;
    const id = each.family === family ? savedId(ruleset, each) : null;
    if (id === null) return [];
    const saved = ruleset.tables.get(id)!;
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
    if (differs(rule, other)) return i + 1;
  }
  return null;
}

/** Conditions that both languages have. A condition that nft does not print is in `others`. */
const COMPARED = ["src", "dst", "in", "out", "proto", "sourcePorts", "destinationPorts"] as const;

/** Conditions that nft prints as extensions of iptables, without their options. */
const UNPRINTED = ["sets", "recents", "originalDestination", "originalPorts", "direction"] as const;

/** Verdicts that nft prints as such; extensions of iptables are `unknown` there. */
const VERDICTS: readonly Action[] = ["accept", "drop", "return", "jump", "goto"];

/** Returns true if the rule of iptables-save is certainly another one than that of nft. */
function differs(saved: Rule, listed: Rule): boolean {
  const [mine, other] = [saved.reading, listed.reading];
  return (
    saved.calledChains.join() !== listed.calledChains.join() ||
    (!mine.others && UNPRINTED.every((key) => mine[key] === undefined) && hasOthers(listed)) ||
    (VERDICTS.includes(other.action) && mine.action !== other.action) ||
    COMPARED.some((key) =>
      mine[key] === undefined || other[key] === undefined
        ? // It may be in a form that the other language has only.
          mine[key] !== other[key] && !mine.others && !other.others
        : textOf(mine[key]) !== textOf(other[key]),
    )
  );
}

/** Returns true for conditions that iptables-save may have lost; a statement that changes a mark has some of its own. */
const hasOthers = ({ conditions, reading }: Rule): boolean =>
  reading.action === "other"
    ? conditions.some((each) => Object.keys(each.reading).length === 0)
    : reading.others;

/** Text of a condition; ports may be listed in any order, and a range in parts. */
const textOf = ({ not, value }: Negatable<unknown>): string =>
  `${not} ${jsonOf(Array.isArray(value) ? normalizeRanges(value as Range[]) : value)}`;

/** Addresses of IPv6 are numbers that JSON does not have. */
const jsonOf = (value: unknown): string =>
  JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? String(part) : part));
