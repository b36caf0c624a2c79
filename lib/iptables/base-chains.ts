/** The built-in chains of iptables as base chains. */
import { type BaseChain, HOOKS, type Hook } from "../rules/base-chain.ts";
import { type Backend, TABLES, type TableId, type TableName } from "../rules/ruleset.ts";

/** The built-in chains of each table; a chain has the name of its hook (iptables(8)). */
export const BUILT_IN: Readonly<Record<TableName, readonly Hook[]>> = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  security: ["INPUT", "FORWARD", "OUTPUT"],
};

/** Returns true for a chain that the kernel calls at the hook of the same name. */
export const isBuiltIn = (table: TableName, chain: string): boolean =>
  (BUILT_IN[table] as readonly string[]).includes(chain);

/** A table of iptables in a ruleset. */
export interface TableRef {
  readonly id: TableId;
  readonly name: TableName;
  /** `null` if it is unknown. */
  readonly backend: Backend | null;
}

/** Priorities of the tables (enum nf_ip_hook_priorities, linux/netfilter_ipv4.h). */
const PRIORITIES: Readonly<Record<Exclude<TableName, "nat">, number>> = {
  raw: -300,
  mangle: -150,
  filter: 0,
  security: 50,
};
/** iptables-nft gives table security another priority (xtables_ipv4 in iptables/nft.c), after translation at INPUT. */
const NFT_SECURITY = 150;
/** Destinations are translated before table filter, sources after it. */
const NAT_PRIORITIES: Readonly<Partial<Record<Hook, number>>> = {
  PREROUTING: -100,
  OUTPUT: -100,
  INPUT: 100,
  POSTROUTING: 100,
};

function priorityOf({ name, backend }: TableRef, hook: Hook): number {
  if (name === "nat") return NAT_PRIORITIES[hook]!;
  return name === "security" && backend === "iptables-nft" ? NFT_SECURITY : PRIORITIES[name];
}

/** Returns the base chain of this name; `null` for a user chain. */
export function baseChainOf(table: TableRef, chain: string): BaseChain | null {
  const hook = BUILT_IN[table.name].find((each) => each === chain);
  if (hook === undefined) return null;
  return {
    table: table.id,
    name: hook,
    hook,
    type: table.name === "nat" ? "nat" : table.name === "mangle" && hook === "OUTPUT" ? "route" : "filter",
    priority: priorityOf(table, hook),
  };
}

/** Returns a table by its plain name. */
export const plainTable = (name: TableName, backend: Backend | null = null): TableRef => ({
  id: name,
  name,
  backend,
});

/** All base chains that one backend of iptables can have, hook by hook, in no particular order of priority. */
export const BASE_CHAINS: readonly BaseChain[] = HOOKS.flatMap((hook) =>
  TABLES.flatMap((table) => baseChainOf(plainTable(table), hook) ?? []),
);
