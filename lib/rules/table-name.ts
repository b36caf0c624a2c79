import type { Family } from "../packet/field.ts";

/** The tables of iptables(8), in the order in which a hook runs them (enum nf_ip_hook_priorities). */
export const TABLES = ["raw", "mangle", "nat", "filter", "security"] as const;
/** Name of a table of iptables(8). */
export type TableName = (typeof TABLES)[number];

/** The backends of iptables. The kernel evaluates the tables of both. */
export const BACKENDS = ["iptables-nft", "iptables-legacy"] as const;
/** A backend of iptables. */
export type Backend = (typeof BACKENDS)[number];

/** Returns the program of a backend for a family: `ip6tables-nft`. */
export const programOf = (backend: Backend, family: Family): string =>
  family === 4 ? backend : backend.replace("iptables", "ip6tables");

/**
 * Identifies a table in a ruleset of one family: the name of a table of iptables(8), or family and name of a table of nftables,
 * as nft(8) writes them: `inet filter`, `ip docker-bridges`. Where both backends of iptables have rules, the tables of the one
 * that Docker does not use have its name in front: `iptables-legacy filter`.
 */
export type TableId = string;

export const isTableName = (name: string): name is TableName => (TABLES as readonly string[]).includes(name);

/** Returns the id of a table of the other backend of iptables. */
export const otherTableId = (backend: Backend, name: TableName): TableId => `${backend} ${name}`;

const BY_OTHER_ID: ReadonlyMap<TableId, { readonly backend: Backend; readonly name: TableName }> = new Map(
  BACKENDS.flatMap((backend) => TABLES.map((name) => [otherTableId(backend, name), { backend, name }])),
);

/** Returns the name that iptables gives a table, of either backend; `null` for a table of nftables. */
export const iptablesName = (id: TableId): TableName | null =>
  isTableName(id) ? id : (BY_OTHER_ID.get(id)?.name ?? null);

/** Returns the backend of a table whose id names it; `null` for any other table. */
export const namedBackend = (id: TableId): Backend | null => BY_OTHER_ID.get(id)?.backend ?? null;
