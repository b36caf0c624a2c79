/** The built-in chains of iptables as base chains. */
import { type BaseChain, HOOKS, type Hook } from "../rules/base-chain.ts";
import { TABLES, type TableName } from "../rules/ruleset.ts";

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

/** Priorities of the tables (enum nf_ip_hook_priorities, linux/netfilter_ipv4.h). */
const PRIORITIES: Readonly<Record<Exclude<TableName, "nat">, number>> = {
  raw: -300,
  mangle: -150,
  filter: 0,
  security: 50,
};
/** Destinations are translated before table filter, sources after it. */
const NAT_PRIORITIES: Readonly<Partial<Record<Hook, number>>> = {
  PREROUTING: -100,
  OUTPUT: -100,
  INPUT: 100,
  POSTROUTING: 100,
};

const baseChain = (table: TableName, hook: Hook): BaseChain => ({
  table,
  name: hook,
  hook,
  type: table === "nat" ? "nat" : table === "mangle" && hook === "OUTPUT" ? "route" : "filter",
  priority: table === "nat" ? NAT_PRIORITIES[hook]! : PRIORITIES[table],
});

const BY_NAME = Object.fromEntries(
  TABLES.map((table) => [
    table,
    Object.fromEntries(BUILT_IN[table].map((hook) => [hook, baseChain(table, hook)])),
  ]),
) as Readonly<Record<TableName, Readonly<Partial<Record<string, BaseChain>>>>>;

/** Returns the base chain of this name; `null` for a user chain. */
export const baseChainOf = (table: TableName, chain: string): BaseChain | null =>
  (isBuiltIn(table, chain) ? BY_NAME[table][chain] : undefined) ?? null;

/** All base chains that iptables can have, hook by hook, in no particular order of priority. */
export const BASE_CHAINS: readonly BaseChain[] = HOOKS.flatMap((hook) =>
  TABLES.flatMap((table) => baseChainOf(table, hook) ?? []),
);
