/** Prints a fix as a file for `nft -f`: one table for each family, which one transaction replaces. */
import { printAddress } from "../../packet/address.ts";
import { protoName } from "../../packet/field.ts";
import { FORWARD_CHAIN, nftTableId } from "../chain-names.ts";
import type { IpSet } from "../endpoint-sets.ts";
import { type FamilyRules, sha256 } from "./family.ts";
import { listingText } from "./nft-listing.ts";

/**
 * First line of the base chain. Its priority is before that of `filter`, at which most owners and Docker filter. Only drops
 * of this chain are final, so its place among the others does not change a verdict.
 */
const BASE = "type filter hook forward priority filter - 10; policy accept;";

/**
 * Returns the table of one family. `table` and `delete table` in front of it make the text valid whether the table exists or
 * not: `nft -f` applies the whole file as one transaction, so that it replaces the table without a gap.
 */
export const nftTable = ({ family, chains, sets }: FamilyRules): string =>
  tableText(nftTableId(family), chains, sets);

/**
 * Returns a table with a base chain at the forward hook, replaced as a whole; only its removal if it has no chains.
 * @param id family and name of the table
 * @param chains chains with their rules; `forward` is the base chain
 */
export function tableText(id: string, chains: FamilyRules["chains"], sets: FamilyRules["sets"] = []): string {
  const table = `table ${id}`;
  const head = `${table}\ndelete ${table}\n`;
  if (chains.size === 0) return head;
  // Chains that rules go to stand before them.
  const texts = [...chains].reverse().map(chainText);
  return `${head}${table} {
${sets.map((set) => `${setText(set)}\n`).join("")}${texts.join("\n")}}
`;
}

/** Returns the tables of both families; the table of a family that needs no rules is only removed. */
export const nftFile = (parts: readonly FamilyRules[]): string => parts.map(nftTable).join("");

/** Returns a file for `nft -f` with its instructions. */
export const nftForm = (parts: readonly FamilyRules[], listing: string | null): string =>
  `#!/usr/sbin/nft -f
${nftHeading(
  listing,
  `Apply: nft -f THIS. Check: nft list ruleset | fwcheck audit -. Undo: ${nftUndo(parts).join("; ")}`,
).join("\n")}
${nftFile(parts)}`;

/** Returns the rules of one family as commands of nft. */
export const addedRules = ({ family, chains }: FamilyRules): string[] =>
  [...chains].flatMap(([chain, rules]) =>
    rules.map((rule) => `add rule ${nftTableId(family)} ${chain} ${rule}`),
  );

/** Returns the commands that remove the fix. */
export const nftUndo = (parts: readonly FamilyRules[]): string[] =>
  parts.filter(({ chains }) => chains.size > 0).map(({ family }) => `nft delete table ${nftTableId(family)}`);

/** Returns the digest of a listing, without what changes by itself. */
export const nftDigest = (listing: string): string => sha256(listingText.stable(listing));

/** Returns the comment lines at the start of a form. */
export const nftHeading = (listing: string | null, how: string): string[] => [
  `# fwcheck: the firewall's own policy, made to hold for containers (nft list ruleset of ${listing === null ? "rules" : `sha256 ${sha256(listing)}`}).`,
  `# ${how}`,
  "# flush ruleset removes it: apply it after each reload of nftables.conf.",
];

const chainText = ([name, rules]: readonly [string, readonly string[]]): string =>
  [
    `\tchain ${name} {`,
    ...(name === FORWARD_CHAIN ? [BASE] : []).concat(rules).map((rule) => `\t\t${rule}`),
    "\t}\n",
  ].join("\n");

const setText = ({ name, family, entries }: IpSet): string =>
  [
    `\tset ${name} {`,
    `\t\ttype ipv${family}_addr . inet_proto . inet_service`,
    `\t\telements = { ${entries.map(({ ip, proto, port }) => `${printAddress(ip)} . ${protoName(proto)} . ${port}`).join(",\n\t\t\t     ")} }`,
    "\t}\n",
  ].join("\n");
