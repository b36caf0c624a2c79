/** The hooks and what hangs on each, in priority order (enum nf_ip_hook_priorities, linux/netfilter_ipv4.h). */
import type { Hook, TableName } from "../rules/ruleset.ts";

/** A stop on the way: a table's chain, connection tracking, or translation by the nat table. */
export type Stop =
  | { readonly kind: "table"; readonly table: Exclude<TableName, "nat"> }
  | { readonly kind: "track" }
  | { readonly kind: "nat"; readonly side: "dst" | "src" };

const table = (name: Exclude<TableName, "nat">): Stop => ({ kind: "table", table: name });
const TRACK: Stop = { kind: "track" };
const NAT_DST: Stop = { kind: "nat", side: "dst" };
const NAT_SRC: Stop = { kind: "nat", side: "src" };

export const STOPS: Readonly<Record<Hook, readonly Stop[]>> = {
  PREROUTING: [table("raw"), TRACK, table("mangle"), NAT_DST],
  INPUT: [table("mangle"), table("filter"), table("security"), NAT_SRC],
  FORWARD: [table("mangle"), table("filter"), table("security")],
  OUTPUT: [table("raw"), TRACK, table("mangle"), NAT_DST, table("filter"), table("security")],
  POSTROUTING: [table("mangle"), NAT_SRC],
};
