/** Adds tables of nftables to the rulesets of iptables: all base chains of a host run in one path. */
import type { Family } from "../packet/field.ts";
import { type Chain, isTableName, type Ruleset, type Table } from "../rules/ruleset.ts";
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
    const listed = seen.filter((each) => fromIptables.has(each));
    const ruleset = own === undefined ? emptyRuleset(family, loaded) : withListedHooks(own, listed);
    return [addTables(ruleset, tables, loaded)];
  });
  return { rulesets: combined, fromIptables: [...fromIptables] };
}

const emptyRuleset = (family: Family, { tables }: LoadedNftables): Ruleset => ({
  family,
  source: tables[0]?.place.source ?? "",
  tables: new Map(),
  doubts: [],
});

/** Gives the chains of iptables-save the priorities that nft lists: those of table security are not those of the legacy backend. */
function withListedHooks(ruleset: Ruleset, listed: readonly NftTable[]): Ruleset {
  const tables = new Map(ruleset.tables);
  for (const { name, table } of listed) {
    const own = tables.get(name)!;
    const chains = [...own.chains].map(([chain, given]): [string, Chain] => {
      const base = table.chains.get(chain)?.base ?? null;
      if (given.base === null || base === null) return [chain, given];
      return [chain, { ...given, base: { ...given.base, priority: base.priority } }];
    });
    tables.set(name, { ...own, chains: new Map(chains) });
  }
  return { ...ruleset, tables };
}

/** No hook calls the chains of a dormant table, but its rules switch connection tracking on (nft_ct_get_init). */
function withoutHooks({ table, dormant }: NftTable): { readonly table: Table } {
  if (!dormant) return { table };
  const chains = [...table.chains].map(([name, chain]): [string, Chain] => [
    name,
    { ...chain, base: null, policy: null },
  ]);
  return { table: { ...table, chains: new Map(chains) } };
}

function addTables(ruleset: Ruleset, tables: readonly NftTable[], loaded: LoadedNftables): Ruleset {
  const active = tables.filter(({ dormant }) => !dormant);
  const followed = tables.filter(({ family }) => isFollowed(family)).map(withoutHooks);
  const unread = [...(ruleset.unread ?? []), ...active.flatMap((each) => each.unread)];
  return {
    ...ruleset,
    tables: new Map<string, Table>([
      ...ruleset.tables,
      ...followed.map(({ table }): [string, Table] => [table.name, table]),
    ]),
    nftTables: loaded.tables.map(({ family, name }) => `${family} ${name}`),
    doubts: [...ruleset.doubts, ...loaded.doubts],
    ...(unread.length === 0 ? {} : { unread }),
    ...(loaded.damaged ? { damaged: true } : {}),
  };
}
