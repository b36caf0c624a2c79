/** Tables of nftables that iptables-nft makes: iptables-save prints their rules in full. */
import { isTableName } from "../rules/ruleset.ts";
import { hookOf, priorityOf } from "./base-chains.ts";
import type { TableDraft } from "./table-draft.ts";

/** Returns true for the family and the name of a table that iptables-nft can make. */
export const isIptablesTable = (family: string, name: string): boolean =>
  (family === "ip" || family === "ip6") && isTableName(name);

/**
 * Returns true if all base chains of a table are those that iptables-nft makes. Others, like `table ip filter` of a file for
 * `nft -f`, iptables-nft refuses to read.
 */
export function isOfIptables({ family, name, chains }: TableDraft): boolean {
  if (!isIptablesTable(family, name)) return false;
  const bases = [...chains.values()].filter(({ base }) => base !== null);
  return (
    bases.length > 0 &&
    bases.every(({ name: chain, base }) => {
      const hook = hookOf(base!.hook);
      return (
        hook === chain && priorities(name, hook).includes(priorityOf(base!.priority, family) ?? Number.NaN)
      );
    })
  );
}

/** Priorities that a built-in chain may have (enum nf_ip_hook_priorities); iptables-nft gives 150 to those of table security. */
const priorities = (table: string, hook: string): readonly number[] => {
  if (table === "nat") return [hook === "PREROUTING" || hook === "OUTPUT" ? -100 : 100];
  return table === "security" ? [50, 150] : [table === "raw" ? -300 : table === "mangle" ? -150 : 0];
};
