/** Wording of changes that rules of nftables make. */
import { explain, readHost, readRuleset } from "fwcheck";
import { expect, test } from "vitest";

const CHANGES: readonly (readonly [rule: string, words: string])[] = [
  ["meta mark set 0x7", "get the mark 7"],
  ["ct mark set meta mark", "have their mark saved as the connection mark"],
  ["meta mark set ct mark", "get the connection mark as their mark"],
  ["meta mark set ct mark << 8", "get the connection mark as their mark, shifted by 8 bits to the left"],
  [
    "ct mark set meta mark >> 1",
    "have their mark saved as the connection mark, shifted by 1 bit to the right",
  ],
  [
    "ct mark set ct mark << 1",
    "get the connection mark as their connection mark, shifted by 1 bit to the left",
  ],
  ["ip ttl set 5", "get the TTL 5"],
  ["ip daddr set 10.0.0.1", "get the destination address 10.0.0.1"],
  ["ip6 saddr set 2001:db8::1", "get the source address 2001:db8::1"],
  [
    "ip6 daddr set ip6 daddr & ffff:ffff:ffff:ffff:: | ::7",
    "get the destination address (old & ffff:ffff:ffff:ffff::) ^ ::7",
  ],
  ["meta l4proto tcp tcp dport set 8080", "get the destination port 8080"],
];

test.each(CHANGES)("%s", (rule, words) => {
  const text = `table inet t {\n\tchain c {\n\t\ttype filter hook prerouting priority 0; policy accept;\n\t\t${rule}\n\t}\n}\n`;
  const { rulesets, diagnostics } = readRuleset([{ name: "a.nft", text }]);
  expect(diagnostics).toEqual([]);
  const family = rule.startsWith("ip6") ? 6 : 4;
  const found = explain(rulesets, readHost({ complete: true }, rulesets), { chain: "c", family });
  expect(found.chains[0]!.rules[0]!.says).toContain(`${words} and continue with the next rule`);
});
