/** Adds tables of nftables to the rulesets of iptables: all base chains of a host run in one path. */
import type { Family } from "../packet/field.ts";
import { isTableName, type Ruleset, type Table } from "../rules/ruleset.ts";
import { familiesOf, isFollowed, type LoadedNftables, type NftTable } from "./load.ts";

/** Rulesets with the tables of nftables. */
export interface CombinedRulesets {
  /** At most one ruleset for each family, IPv4 first. */
  readonly rulesets: readonly Ruleset[];
  /** Tables of iptables-nft whose rules come from iptables-save, to compare both. */
  readonly fromIptables: readonly NftTable[];
}

/**
 * Adds tables of nftables to rulesets. A table of iptables-nft is left out where the ruleset has it already. Families that
 * have no ruleset get one if a table sees their packets, and both if there is no ruleset at all.
 */
export function withNftables(rulesets: readonly Ruleset[], loaded: LoadedNftables): CombinedRulesets {
  const fromIptables = new Set<NftTable>();
  const combined = ([4, 6] as const).flatMap((family): Ruleset[] => {
    const own = rulesets.find((ruleset) => ruleset.family === family);
    const seen = loaded.tables.filter((each) => familiesOf(each.family).includes(family));
    if (own === undefined && seen.length === 0 && rulesets.length > 0) return [];
    const tables = seen.filter((each) => {
      const known = each.ofIptables && isTableName(each.name) && own?.tables.has(each.name) === true;
      if (known) fromIptables.add(each);
      return !known;
    });
    return [addTables(own ?? emptyRuleset(family, loaded), tables, loaded)];
  });
  return { rulesets: combined, fromIptables: [...fromIptables] };
}

const emptyRuleset = (family: Family, { tables }: LoadedNftables): Ruleset => ({
  family,
  source: tables[0]?.place.source ?? "",
  tables: new Map(),
  doubts: [],
});

function addTables(ruleset: Ruleset, tables: readonly NftTable[], loaded: LoadedNftables): Ruleset {
  const active = tables.filter(({ dormant }) => !dormant);
  const followed = active.filter(({ family }) => isFollowed(family));
  const unread = [...(ruleset.unread ?? []), ...active.flatMap((each) => each.unread)];
  return {
    ...ruleset,
    tables: new Map<string, Table>([
      ...ruleset.tables,
      ...followed.map(({ table }): [string, Table] => [table.name, table]),
    ]),
    doubts: [...ruleset.doubts, ...loaded.doubts],
    ...(unread.length === 0 ? {} : { unread }),
    ...(loaded.damaged ? { damaged: true } : {}),
  };
}
