/** `nft list tables`: which tables there are beside those of iptables-nft. */

const LINE = /^table (?:ip6?|inet|arp|bridge|netdev) \S+\s*$/;

/** Tables that iptables-nft makes are printed by iptables-save; what others hold is not. */
const OWN = /^table (?:ip6? (?:raw|mangle|nat|filter|security)|arp filter|bridge (?:filter|nat|broute))$/;

/** Whether a text is such a list: every line names a table. */
export function isTableList(text: string): boolean {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.length > 0 && lines.every((line) => LINE.test(line));
}

/** Doubt about tables of nftables, which nothing here reads; none where there are only those of iptables-nft. */
export function tablesBeside(texts: readonly string[]): string[] {
  const lines = texts.flatMap((text) => text.split("\n")).map((line) => line.trim());
  const tables = lines.filter((line) => line.startsWith("table ") && !OWN.test(line));
  if (tables.length === 0) return [];
  const names = tables.map((t) => t.slice(6)).join(", ");
  return [`nftables holds tables of its own, which may drop what these rules accept: ${names}`];
}
