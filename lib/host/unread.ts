/**
 * Base chains that packets pass and whose rules are not followed: tables of nftables (nft(8)) and the dump of the other
 * backend of iptables. Only the hooks are read here, and whether a chain can do anything at all.
 */

import { readRuleset } from "../iptables/load.ts";
import type { Family } from "../packet/field.ts";
import { HOOKS, type Hook } from "../rules/base-chain.ts";
import type { Action } from "../rules/reading.ts";
import { type Ruleset, type Unread, unknownChains } from "../rules/ruleset.ts";
import type { HostDoubt } from "./host-doubt.ts";
import { isDockerTable } from "./known/docker.ts";

/** Families of nftables whose tables see packets of IPv4 and IPv6. ARP is neither. */
const FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  ip: [4],
  ip6: [6],
  inet: [4, 6],
  bridge: [4, 6],
  netdev: [4, 6],
};

/**
 * The hook of iptables at which a drop has the same result. A frame that a bridge drops before or after its own routing
 * decision is lost before PREROUTING or after POSTROUTING (net/bridge/br_netfilter_hooks.c); ingress and egress likewise.
 */
const HOOK_OF: Readonly<Record<string, Readonly<Record<string, Hook>>>> = {
  ip: {
    ingress: "PREROUTING",
    prerouting: "PREROUTING",
    input: "INPUT",
    forward: "FORWARD",
    output: "OUTPUT",
    postrouting: "POSTROUTING",
    egress: "POSTROUTING",
  },
  bridge: {
    prerouting: "PREROUTING",
    input: "PREROUTING",
    forward: "FORWARD",
    output: "POSTROUTING",
    postrouting: "POSTROUTING",
  },
};

/** A table of nftables as `nft list tables` names it: family and name. */
const TABLE = /^table (\S+) (\S+)/;

/** Tables that iptables-nft makes: iptables-save prints them. */
const OF_IPTABLES = /^ip6? (?:raw|mangle|nat|filter|security)$/;

/** Tables that arptables-nft and ebtables-nft make, mostly without a rule; only a listing shows whether they have one. */
const OF_ARPTABLES_AND_EBTABLES = /^(?:arp filter|bridge (?:filter|nat|broute))$/;

/** A chain of a listing. */
interface ListedChain {
  /** Its type, hook and policy; `null` for a chain that only jumps reach. */
  base: { readonly type: string; readonly hook: string; readonly drops: boolean } | null;
  /** The other lines, without what is in quotes. */
  readonly rules: string[];
}

/** Returns true for output of `nft list tables`: every line names a table. */
export function isTableList(text: string): boolean {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return (
    lines.length > 0 && lines.every((line) => /^table (?:ip6?|inet|arp|bridge|netdev) \S+\s*$/.test(line))
  );
}

/** The tables of iptables-nft left out: the names of all others. */
export const foreignTables = (list: string): string[] =>
  list.split("\n").flatMap((line) => {
    const [, family, name] = TABLE.exec(line) ?? [];
    const table = `${family} ${name}`;
    return family === undefined || OF_IPTABLES.test(table) ? [] : [table];
  });

/** Returns the doubt about tables of nftables that are not read; none without such tables. */
export const tableDoubts = (tables: readonly string[]): HostDoubt[] =>
  tables.length === 0 ? [] : [{ code: "nftables-tables", tables }];

/** Returns the doubt about the tables of `nft list tables`, which shows no rules. */
export const listDoubts = (lists: readonly { readonly text: string }[]): HostDoubt[] =>
  tableDoubts(
    lists
      .flatMap(({ text }) => foreignTables(text))
      .filter((table) => !OF_ARPTABLES_AND_EBTABLES.test(table)),
  );

/**
 * Adds to rulesets the base chains that tables of nftables may have, at every hook, since `nft list tables` has no rules.
 * Rulesets of a snapshot already have theirs.
 * @param lists what `nft list tables` printed
 */
export function withTables(
  rulesets: readonly Ruleset[],
  lists: readonly { readonly text: string }[],
): readonly Ruleset[] {
  const unread = unreadTables(
    lists.flatMap(({ text }) => foreignTables(text)),
    null,
  );
  return rulesets.map((ruleset) => {
    const more = [...unread[ruleset.family].values()].flat();
    return more.length === 0 ? ruleset : { ...ruleset, unread: [...(ruleset.unread ?? []), ...more] };
  });
}

/**
 * Returns the tables that may drop or change packets of each family, with their base chains.
 * @param tables their names, as `foreignTables` gives them
 * @param listing what `nft list ruleset` printed; without it a table may have a base chain at each hook
 */
export function unreadTables(
  tables: readonly string[],
  listing: string | null,
): Readonly<Record<Family, ReadonlyMap<string, readonly Unread[]>>> {
  const listed = listing === null ? new Map<string, Map<string, ListedChain>>() : chainsOf(listing);
  const out = { 4: new Map<string, readonly Unread[]>(), 6: new Map<string, readonly Unread[]>() };
  for (const table of new Set(tables)) {
    const [family] = table.split(" ");
    const chains = listed.get(table);
    if (isDockerTable(table) || (chains === undefined && OF_ARPTABLES_AND_EBTABLES.test(table))) continue;
    const by = `nftables table ${table}`;
    const unread =
      chains === undefined
        ? unknownChains(by)
        : unreadChains(chains, HOOK_OF[family === "bridge" ? "bridge" : "ip"]!, by);
    if (unread.length > 0) for (const each of FAMILIES[family ?? ""] ?? []) out[each].set(table, unread);
  }
  return out;
}

/** The hooks at which a table may drop a packet; where it changes packets, what rules at any hook see may be changed. */
function unreadChains(
  chains: ReadonlyMap<string, ListedChain>,
  hookOf: Readonly<Record<string, Hook>>,
  by: string,
): Unread[] {
  const hooks = new Set<Hook>();
  for (const { base, rules } of chains.values()) {
    if (base === null) continue;
    const hook = hookOf[base.hook];
    if (hook === undefined) return unknownChains(by);
    const all = reached(rules, chains);
    // A chain that only translates sources, after the last filter, drops nothing and changes nothing that a rule matches.
    const idle = all.every((rule) => base.type === "nat" && base.hook === "postrouting" && SOURCE.test(rule));
    if (idle && !base.drops) continue;
    if (all.some((rule) => CHANGES.test(rule.replaceAll(NAMES, "")))) return unknownChains(by);
    hooks.add(hook);
  }
  return dropping(hooks, by);
}

const dropping = (hooks: ReadonlySet<Hook>, by: string): Unread[] =>
  HOOKS.flatMap((hook) => (hooks.has(hook) ? [{ hook, by }] : []));

/** Statements of nft(8) that change a packet, its mark or its way. */
const CHANGES = /\b(?:set|dnat|snat|masquerade|redirect|tproxy|notrack|dup|fwd|queue|synproxy|flow)\b/;
/** Names in a statement: a set, a map, a chain. */
const NAMES = /@\S+|\b(?:jump|goto) \S+/g;
const SOURCE = /\b(?:masquerade|snat)\b/;

/** The rules of a base chain and of all chains that they lead to. A map of verdicts may lead to any of its table. */
function reached(rules: readonly string[], chains: ReadonlyMap<string, ListedChain>): string[] {
  const out = [...rules];
  const seen = new Set<string>();
  for (let i = 0; i < out.length; i++) {
    const names = /\bvmap @/.test(out[i]!)
      ? [...chains].flatMap(([name, { base }]) => (base === null ? [name] : []))
      : [...out[i]!.matchAll(/\b(?:jump|goto) (\S+?)(?=[,\s}]|$)/g)].map(([, name]) => name!);
    for (const name of names) {
      if (seen.has(name)) continue;
      seen.add(name);
      out.push(...(chains.get(name)?.rules ?? ["drop"]));
    }
  }
  return out;
}

/** The chains of each table of a listing (nft prints one tab for each level). */
function chainsOf(listing: string): Map<string, Map<string, ListedChain>> {
  const tables = new Map<string, Map<string, ListedChain>>();
  let chains: Map<string, ListedChain> | undefined;
  let chain: ListedChain | undefined;
  for (const line of listing.split(/\r?\n/)) {
    const [, family, name] = /^table (\S+) (\S+) \{/.exec(line) ?? [];
    if (family !== undefined) tables.set(`${family} ${name}`, (chains = new Map()));
    const [, opened] = /^\tchain (\S+) \{/.exec(line) ?? [];
    if (opened !== undefined) chains?.set(opened, (chain = { base: null, rules: [] }));
    else if (/^\t?\}/.test(line)) chain = undefined;
    else if (chain !== undefined && line.startsWith("\t\t")) {
      const [, type, hook, policy] = /^\t\ttype (\S+) hook (\S+) .*?(?:policy (\w+);)?$/.exec(line) ?? [];
      if (type !== undefined) chain.base = { type, hook: hook!, drops: policy === "drop" };
      else if (!/^\t\tcomment "/.test(line)) chain.rules.push(line.replaceAll(/"[^"]*"/g, '""'));
    }
  }
  return tables;
}

/** The hooks at which the dump of the other backend has rules, or a policy that drops. */
export function unreadDump(text: string, family: Family, by: string): Unread[] {
  const ruleset = readRuleset([{ name: by, text, family }]).rulesets[0];
  return ruleset === undefined ? [] : unreadRules(ruleset, by);
}

/** Actions that change nothing a later rule matches. */
const FINAL: readonly Action[] = ["accept", "drop", "reject", "return", "log", "jump", "goto", "none"];

function unreadRules(ruleset: Ruleset, by: string): Unread[] {
  const hooks = new Set<Hook>();
  for (const { name: table, chains } of ruleset.tables.values()) {
    const changes = [...chains.values()].some(({ rules }) =>
      rules.some(({ action }) => !FINAL.includes(action)),
    );
    for (const { name, policy, rules } of chains.values()) {
      if (policy === null || (rules.length === 0 && policy === "ACCEPT")) continue;
      const sources = table === "nat" && (name === "POSTROUTING" || name === "INPUT");
      if (sources && policy === "ACCEPT") continue;
      if (changes) return unknownChains(by);
      hooks.add(name as Hook);
    }
  }
  return dropping(hooks, by);
}
