/** Compares what iptables-save and nft print for tables of iptables-nft. The listings of equal rules are those of nft 1.0.6. */
import { describe, expect, test } from "vitest";
import { listingDifferences } from "../../lib/host/listing-differences.ts";
import { readNftables } from "../../lib/nftables/load.ts";
import { withNftables } from "../../lib/nftables/with-nftables.ts";
import { rulesetsOf } from "../builders.ts";

/** Number of the first rule that differs; `null` if the listings are alike. */
function firstDifference(saved: readonly string[], listed: readonly string[]): number | null {
  const save = `*filter\n:FORWARD ACCEPT [0:0]\n:x - [0:0]\n${saved.map((rule) => `-A FORWARD ${rule}`).join("\n")}\nCOMMIT\n`;
  const nft = `table ip filter {\n\tchain x {\n\t}\n\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy accept;\n${listed.map((rule) => `\t\t${rule}\n`).join("")}\t}\n}\n`;
  const loaded = readNftables([{ name: "nft", text: nft, complete: true }]);
  expect(loaded.diagnostics).toEqual([]);
  const { rulesets, fromIptables } = withNftables(rulesetsOf(save, { family: 4 }), loaded);
  const [first] = rulesets.flatMap((ruleset) => listingDifferences(ruleset, fromIptables));
  return first?.code === "listings-differ" ? first.rule : null;
}

describe("the same rule in both listings", () => {
  test.each([
    ["-s 10.0.0.0/8 ! -o br-1 -j MASQUERADE", 'oifname != "br-1" ip saddr 10.0.0.0/8 counter masquerade'],
    [
      "-i ppp0 -p tcp -m tcp --dport 81 -j DNAT --to-destination 10.1.1.1",
      'iifname "ppp0" tcp dport 81 dnat to 10.1.1.1',
    ],
    ["-j MARK --set-xmark 0x0/0xff", "counter packets 0 bytes 0 meta mark set mark and 0xffffff00"],
    [
      "-m conntrack --ctstate RELATED,ESTABLISHED -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000",
      "ct state related,established meta mark set ct mark and 0xff0000",
    ],
    ["-p tcp -m multiport --dports 138,53,137 -j DROP", "meta l4proto tcp tcp dport { 138, 53, 137 } drop"],
    [
      "-m iprange ! --dst-range 10.0.0.0-10.255.255.255 -j ACCEPT",
      "ip daddr != 10.0.0.0-10.255.255.255 accept",
    ],
    ["-m set --match-set s src -j DROP", 'xt match "set" drop'],
    ["-p udp -j x", "meta l4proto udp jump x"],
  ])("%s", (saved, listed) => {
    expect(firstDifference([saved], [listed])).toBe(null);
  });
});

describe("another rule", () => {
  test.each([
    ["lost condition", "-p udp -j DROP", "udp length > 512 drop"],
    ["port", "-p tcp -m tcp --dport 80 -j DROP", "tcp dport 81 drop"],
    ["address", "-s 10.0.0.1/32 -j DROP", "ip saddr 10.0.0.2 drop"],
    ["lost address", "-j DROP", "ip saddr 10.0.0.2 drop"],
    ["negation", "! -i eth0 -j DROP", 'iifname "eth0" drop'],
    ["protocol", "-p tcp -j ACCEPT", "meta l4proto udp accept"],
    ["verdict", "-s 10.0.0.1/32 -j ACCEPT", "ip saddr 10.0.0.1 drop"],
    ["chain", "-j x", "accept"],
  ])("%s: %s", (_what, saved, listed) => {
    expect(firstDifference(["-j ACCEPT", saved], ["accept", listed])).toBe(2);
  });
  test("a rule is missing", () => {
    expect(firstDifference(["-j ACCEPT"], ["accept", "drop"])).toBe(2);
  });
});
