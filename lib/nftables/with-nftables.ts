/** Adds tables of nftables to the rulesets of iptables: all base chains of a host run in one path. */
import type { Family } from "../packet/field.ts";
import {
  type Chain,
  idOfBackend,
  iptablesTables,
  isTableName,
  type Ruleset,
  type Table,
  type TableId,
} from "../rules/ruleset.ts";
import { familiesOf, isFollowed, type LoadedNftables, type NftTable } from "./load.ts";

/** Rulesets with the tables of nftables. */
export interface CombinedRulesets {
  /** At most one ruleset for each family, IPv4 first. */
  readonly rulesets: readonly Ruleset[];
  /** Tables of iptables-nft whose rules come from iptables-save, to compare both. */
  readonly fromIptables: readonly NftTable[];
}

/**
 * Adds tables of nftables to rulesets. A table of iptables-nft is left out where the ruleset has it already; those of
 * iptables-legacy are in no listing, so a table of the same name is another one. Families that
 * have no ruleset get one if a table sees their packets, and both if there is no ruleset at all.
 */
export function withNftables(rulesets: readonly Ruleset[], loaded: LoadedNftables): CombinedRulesets {
  const fromIptables = new Set<NftTable>();
  const combined = ([4, 6] as const).flatMap((family): Ruleset[] => {
    const own = rulesets.find((ruleset) => ruleset.family === family);
    const seen = loaded.tables.filter((each) => familiesOf(each.family).includes(family));
    if (own === undefined && seen.length === 0 && rulesets.length > 0) return [];
    const tables = seen.filter((each) => {
      const known = own !== undefined && savedId(own, each) !== null;
      if (known) fromIptables.add(each);
      // The save programs of iptables-nft create tables without rules for what they list.
      return (
        !known &&
        !(each.ofIptables && isIdle(each.table) && own !== undefined && iptablesTables(own).length > 0)
      );
    });
    const listed = seen.filter((each) => fromIptables.has(each));
    const ruleset = own === undefined ? emptyRuleset(family, loaded) : withListedHooks(own, listed);
    return [addTables(ruleset, tables, loaded)];
  });
  return { rulesets: combined, fromIptables: [...fromIptables] };
}

/** Returns the id in a ruleset of a table of iptables-nft that iptables-save printed, too; `null` if the ruleset lacks it. */
export function savedId(ruleset: Ruleset, { ofIptables, name }: NftTable): TableId | null {
  if (!ofIptables || !isTableName(name)) return null;
  const id = idOfBackend(ruleset, "iptables-nft", name);
  return ruleset.tables.has(id) ? id : null;
}

const isIdle = ({ chains }: Table): boolean =>
  [...chains.values()].every(({ rules, policy }) => rules.length === 0 && policy !== "DROP");

const emptyRuleset = (family: Family, { tables }: LoadedNftables): Ruleset => ({
  family,
  source: tables[0]?.place.source ?? "",
  tables: new Map(),
  doubts: [],
});

/** Gives the chains of iptables-save the priorities that nft lists: releases of iptables-nft may differ from each other. */
function withListedHooks(ruleset: Ruleset, listed: readonly NftTable[]): Ruleset {
  const tables = new Map(ruleset.tables);
  for (const each of listed) {
    const id = savedId(ruleset, each)!;
    const own = tables.get(id)!;
    const chains = [...own.chains].map(([chain, given]): [string, Chain] => {
      const base = each.table.chains.get(chain)?.base ?? null;
      if (given.base === null || base === null) return [chain, given];
      return [chain, { ...given, base: { ...given.base, priority: base.priority } }];
    });
    tables.set(id, { ...own, chains: new Map(chains) });
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
