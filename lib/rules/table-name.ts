/** The tables of iptables(8), in the order in which a hook runs them (enum nf_ip_hook_priorities). */
export const TABLES = ["raw", "mangle", "nat", "filter", "security"] as const;
/** Name of a table of iptables(8). */
export type TableName = (typeof TABLES)[number];

export const isTableName = (name: string): name is TableName => (TABLES as readonly string[]).includes(name);
