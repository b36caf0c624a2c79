/** Reads the rules of a host in both languages: what iptables-save and nft print becomes one ruleset for each family. */
import { type LoadedRulesets, readRuleset as readIptables, type TableConflict } from "../iptables/load.ts";
import { type HookedFunction, isHookList, readHookList } from "../nftables/hook-list.ts";
import { familiesOf, type LoadedNftables, readNftables } from "../nftables/load.ts";
import { withNftables } from "../nftables/with-nftables.ts";
import type { Family } from "../packet/field.ts";
import { HOOKS, type Hook } from "../rules/base-chain.ts";
import {
  type Backend,
  backendOf,
  baseChainsOf,
  idOfBackend,
  iptablesName,
  isTableName,
  type MissingRules,
  type Ruleset,
} from "../rules/ruleset.ts";
import type { RulesetDoubt } from "../rules/ruleset-doubt.ts";
import { DOCKER_CHAIN } from "./known/docker.ts";
import { listingDifferences } from "./listing-differences.ts";

export type { LoadedRulesets, TableConflict };

/** A text with rules, or the output of `nft list hooks`. */
export interface RulesetText {
  /** Name of the file, for diagnostics. */
  readonly name: string;
  /** Contents of the file. */
  readonly text: string;
  /** Family of a dump of iptables that does not show it. */
  readonly family?: Family;
  /** Backend of iptables that printed a dump without comments. */
  readonly backend?: Backend;
  /** Of a dump in a snapshot: rules that the dump lacks, as far as the snapshot shows them. */
  readonly missing?: MissingRules;
  /** Of a listing of nft in a snapshot: it has all elements of the sets. */
  readonly complete?: boolean;
}

/** A table header, a command, or the first line of a script for nft. */
const NFT =
  /^[ \t]*(?:#!.*\bnft\b|table[ \t]+(?:(?:ip6?|inet|arp|bridge|netdev)[ \t]+)?[\w.-]+[ \t]*\{|(?:add|create|insert|replace|delete|destroy|flush)[ \t]+(?:table|chain|rule|set|map|element|ruleset)\b|define[ \t]+\w+[ \t]*=)/m;
const IPTABLES = /^(?:\*\w+|-[AIN] |\[\d+:\d+\] -A )/m;

/** Returns true for rules in the language of nft: a listing, or a file for `nft -f`. */
export const isNftRuleset = (text: string): boolean => !IPTABLES.test(text) && NFT.test(text);

/** Returns true for a file for `nft -f` with commands; a listing has tables only. */
export const isNftScript = (text: string): boolean =>
  isNftRuleset(text) &&
  /^[ \t]*(?:#!|(?:add|create|insert|replace|delete|destroy|flush|include|define)[ \t])/m.test(text);

/**
 * Reads rulesets from the texts of iptables-save and ip6tables-save, of `nft list ruleset` or files for `nft -f`, and of
 * `nft list hooks`, each recognized by its contents. Everything that makes a text unreliable is in the `doubts` of the
 * rulesets.
 *
 * @param inputs texts with the names that diagnostics use
 * @returns at most one ruleset for each family and the faults of the texts; it never throws on a text
 */
export function readRuleset(inputs: readonly RulesetText[]): LoadedRulesets {
  const hooks = inputs.filter(({ text }) => isHookList(text));
  const native = inputs.filter((input) => !hooks.includes(input) && isNftRuleset(input.text));
  const saved = inputs.filter((input) => !hooks.includes(input) && !native.includes(input));
  const loaded = readIptables(saved, (chain) => chain === DOCKER_CHAIN);
  const order = readHookList(hooks.map(({ text }) => text).join("\n"));
  const ordered = (rulesets: readonly Ruleset[]): Ruleset[] =>
    rulesets.map((ruleset) => withHookOrder(ruleset, order.get(ruleset.family)));
  if (native.length === 0) return { ...loaded, rulesets: ordered(loaded.rulesets) };
  const listed = readNftables(native);
  const { rulesets, fromIptables } = withNftables(loaded.rulesets, listed);
  const isSaved = (family: Family): boolean => loaded.rulesets.some((each) => each.family === family);
  const combined = rulesets.map(
    (ruleset): Ruleset => ({
      ...ruleset,
      programs: isSaved(ruleset.family) ? ["iptables-save", "nft"] : ["nft"],
      doubts: [
        ...ruleset.doubts,
        ...unfollowedTables(ruleset, listed),
        ...listingDifferences(ruleset, fromIptables),
      ],
    }),
  );
  return {
    rulesets: ordered(combined),
    diagnostics: [...loaded.diagnostics, ...listed.diagnostics],
    conflicts: loaded.conflicts,
  };
}

/** Returns a doubt for each table whose base chains are not followed and see packets of the ruleset. */
const unfollowedTables = ({ family }: Ruleset, { tables }: LoadedNftables): RulesetDoubt[] =>
  tables
    .filter((table) => table.unread.length > 0 && familiesOf(table.family).includes(family))
    .map(({ family: of, name }) => ({ code: "table-not-followed", table: `${of} ${name}` }));

/** Adds the order in which the kernel calls base chains. */
function withHookOrder(
  ruleset: Ruleset,
  hooks: ReadonlyMap<Hook, readonly HookedFunction[]> | undefined,
): Ruleset {
  if (hooks === undefined) return ruleset;
  const order = HOOKS.flatMap((hook): [Hook, string[]][] => {
    const functions = hooks.get(hook);
    return functions === undefined
      ? []
      : [[hook, functions.flatMap((each) => hookedName(each, hook, ruleset) ?? [])]];
  });
  return { ...ruleset, hookOrder: new Map(order) };
}

/** Returns table and chain of a function as a ruleset names them, `conntrack` or `nat`; `null` for any other function. */
function hookedName(
  { chain, function: name, priority }: HookedFunction,
  hook: Hook,
  ruleset: Ruleset,
): string | null {
  if (chain !== null) {
    const { family, table } = chain;
    const id =
      family !== "inet" && isTableName(table) ? idOfBackend(ruleset, "iptables-nft", table) : undefined;
    const isSaved = id !== undefined && ruleset.tables.has(id);
    return `${isSaved ? id : `${family} ${table}`} ${chain.name}`;
  }
  if (/conntrack_(?:in|local)/.test(name)) return "conntrack";
  if (/^(?:nf_)?nat/.test(name)) return "nat";
  if (!/^(?:ipt|ip6t)_do_table|^ip6?table_/.test(name)) return null;
  const isLegacy = (table: string): boolean =>
    iptablesName(table) !== null && backendOf(ruleset, table) !== "iptables-nft";
  const base = baseChainsOf(ruleset).find(
    (each) => isLegacy(each.table) && each.hook === hook && each.priority === priority && each.type !== "nat",
  );
  return base === undefined ? null : `${base.table} ${base.name}`;
}
