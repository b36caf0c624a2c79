/** The tables of iptables(8), in the order in which a hook runs them (enum nf_ip_hook_priorities). */
export const TABLES = ["raw", "mangle", "nat", "filter", "security"] as const;
/** Name of a table of iptables(8); it is also its id in a ruleset. */
export type TableName = (typeof TABLES)[number];

/**
 * Identifies a table in a ruleset of one family: the name of a table of iptables(8), or family and name of a table of nftables,
 * as nft(8) writes them: `inet filter`, `ip docker-bridges`.
 */
export type TableId = string;

export const isTableName = (name: string): name is TableName => (TABLES as readonly string[]).includes(name);
