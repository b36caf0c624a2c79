/** Base chains that packets pass and whose rules are not followed: tables of nftables that are known by name only. */
import { isIptablesTable } from "../nftables/iptables-tables.ts";
import { familiesOf } from "../nftables/load.ts";
import type { Family } from "../packet/field.ts";
import {
  backendOf,
  iptablesName,
  iptablesTables,
  type Ruleset,
  type Unread,
  unknownChains,
} from "../rules/ruleset.ts";
import type { HostDoubt } from "./host-doubt.ts";

/** A table of nftables as `nft list tables` names it: family and name. */
const TABLE = /^table (\S+) (\S+)/gm;

/** Tables that arptables-nft and ebtables-nft make, mostly without a rule; only a listing shows whether they have one. */
const OF_ARPTABLES_AND_EBTABLES = /^(?:arp filter|bridge (?:filter|nat|broute))$/;

/** Returns true for output of `nft list tables`: every line names a table. */
export function isTableList(text: string): boolean {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return (
    lines.length > 0 && lines.every((line) => /^table (?:ip6?|inet|arp|bridge|netdev) \S+\s*$/.test(line))
  );
}

/** Returns true for a table of nftables whose rules the save program of iptables-nft printed. */
type IsSaved = (family: string, name: string) => boolean;

/** Returns family and name of the tables that `nft list tables` names, without those that a save program prints. */
const foreignTables = (list: string, isSaved: IsSaved): string[] =>
  [...list.matchAll(TABLE)].flatMap(([, family, name]) =>
    isIptablesTable(family!, name!) && isSaved(family!, name!) ? [] : [`${family} ${name}`],
  );

/** Returns false for a table that a ruleset with tables of iptables lacks, or has of iptables-legacy only. */
const isSavedByNft = (ruleset: Ruleset | undefined, name: string): boolean => {
  const saved = ruleset === undefined ? [] : iptablesTables(ruleset);
  return (
    saved.length === 0 ||
    saved.some((id) => iptablesName(id) === name && backendOf(ruleset!, id) !== "iptables-legacy")
  );
};

/** Returns the tables of lists that no text of the rulesets contains. */
function tablesWithoutText(
  lists: readonly { readonly text: string }[],
  rulesets: readonly Ruleset[],
): readonly string[] {
  const read = new Set(rulesets.flatMap(({ nftTables }) => nftTables ?? []));
  const isSaved: IsSaved = (family, name) =>
    isSavedByNft(
      rulesets.find((ruleset) => familiesOf(family).includes(ruleset.family)),
      name,
    );
  return lists.flatMap(({ text }) => foreignTables(text, isSaved)).filter((table) => !read.has(table));
}

/** Returns the doubt about tables of nftables that are not read; none without such tables. */
export const tableDoubts = (tables: readonly string[]): HostDoubt[] =>
  tables.length === 0 ? [] : [{ code: "nftables-tables", tables }];

/** Returns the doubt about the tables of `nft list tables` whose rules no text of the rulesets contains. */
export const listDoubts = (
  lists: readonly { readonly text: string }[],
  rulesets: readonly Ruleset[],
): HostDoubt[] =>
  tableDoubts(tablesWithoutText(lists, rulesets).filter((table) => !OF_ARPTABLES_AND_EBTABLES.test(table)));

/**
 * Adds to rulesets the base chains that tables of nftables may have, at every hook, since `nft list tables` has no rules.
 * Tables whose text is in the rulesets are left out. Rulesets of a snapshot already have theirs.
 * @param lists what `nft list tables` printed
 */
export function withTables(
  rulesets: readonly Ruleset[],
  lists: readonly { readonly text: string }[],
): readonly Ruleset[] {
  const unread = unreadTables(tablesWithoutText(lists, rulesets));
  return rulesets.map((ruleset) => {
    const more = [...unread[ruleset.family].values()].flat();
    return more.length === 0 ? ruleset : { ...ruleset, unread: [...(ruleset.unread ?? []), ...more] };
  });
}

/**
 * Returns the tables that a list names and no listing shows, with base chains at every hook.
 * @param list what `nft list tables` printed
 * @param listing what `nft list ruleset` printed
 * @param saved names of the tables of iptables-nft that a save program printed, by family; `null` if none succeeded
 */
export function unlistedTables(
  list: string,
  listing: string,
  saved: Readonly<Record<Family, ReadonlySet<string> | null>>,
): Readonly<Record<Family, ReadonlyMap<string, readonly Unread[]>>> {
  const listed = new Set(listedTables(listing));
  const isSaved: IsSaved = (family, name) =>
    familiesOf(family).every((each) => saved[each] === null || saved[each].has(name));
  return unreadTables(foreignTables(list, isSaved).filter((table) => !listed.has(table)));
}

function unreadTables(
  tables: readonly string[],
): Readonly<Record<Family, ReadonlyMap<string, readonly Unread[]>>> {
  const out = { 4: new Map<string, readonly Unread[]>(), 6: new Map<string, readonly Unread[]>() };
  for (const table of new Set(tables)) {
    if (OF_ARPTABLES_AND_EBTABLES.test(table)) continue;
    const [family] = table.split(" ");
    const unread = unknownChains(`nftables table ${table}`);
    for (const each of familiesOf(family!)) out[each].set(table, unread);
  }
  return out;
}

/** Returns family and name of each table of a listing. */
const listedTables = (listing: string): string[] =>
  [...listing.matchAll(/^table (\S+) (\S+) \{/gm)].map(([, family, name]) => `${family} ${name}`);

/** Returns the families whose packets a table of a listing sees that iptables did not make. */
export function nativeFamilies(listing: string): readonly Family[] {
  const families = foreignTables(listing, () => true).map((table) => table.split(" ")[0]!);
  return ([4, 6] as const).filter((family) => families.some((each) => familiesOf(each).includes(family)));
}
