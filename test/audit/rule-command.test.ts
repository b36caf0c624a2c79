/** Rules of nftables as the commands that people type. */
import { readRuleset } from "fwcheck";
import { expect, test } from "vitest";
import { ruleCommand } from "../../lib/audit/rule-command.ts";
import { chainOf } from "../../lib/rules/ruleset.ts";

/** Returns the command of the only rule of a chain. */
function commandOf(table: string, chain: string, rule: string): string | null {
  const text = `table ${table} {\n\tchain ${chain} {\n\t\t${rule}\n\t}\n}\n`;
  const { rulesets, diagnostics } = readRuleset([{ name: "nft.txt", text, complete: true }]);
  expect(diagnostics).toEqual([]);
  const [loaded] = chainOf(rulesets[0]!, table, chain)!.rules;
  return ruleCommand(loaded!, loaded!.text(rulesets[0]!), 4);
}

test.each([
  ["inet filter", "input", "tcp dport 22 accept", "nft add rule inet filter input tcp dport 22 accept"],
  ["ip mine", "fwd", "ip saddr 192.0.2.0/24 drop", "nft add rule ip mine fwd ip saddr 192.0.2.0/24 drop"],
  [
    "inet firewalld",
    "filter_IN_public_allow",
    "tcp dport 80 accept",
    "firewall-cmd --zone=public --add-port=80/tcp",
  ],
  [
    "inet firewalld",
    "filter_IN_my_zone_allow",
    "udp dport 5000-5010 accept",
    "firewall-cmd --zone=my_zone --add-port=5000-5010/udp",
  ],
  [
    "inet firewalld",
    "filter_IN_public_deny",
    "ip saddr 203.0.113.66 drop",
    `firewall-cmd --zone=public --add-rich-rule='rule family="ipv4" source address="203.0.113.66" drop'`,
  ],
  [
    "inet firewalld",
    "filter_IN_public_allow",
    "ip saddr 198.51.100.0/24 tcp dport 5432 accept",
    `firewall-cmd --zone=public --add-rich-rule='rule family="ipv4" source address="198.51.100.0/24" port port="5432" protocol="tcp" accept'`,
  ],
  [
    "inet firewalld",
    "filter_FWD_policy_docker-in_allow",
    "tcp dport 80 accept",
    "firewall-cmd --policy=docker-in --add-port=80/tcp",
  ],
])("%s %s: %s", (table, chain, rule, command) => {
  expect(commandOf(table, chain, rule)).toBe(command);
});

test.each([
  ["ip docker-bridges", "filter-forward-in__docker0", "ip daddr 172.17.0.2 tcp dport 80 accept"],
  ["inet netavark", "NETAVARK-ISOLATION-3", 'oifname "podman0" drop'],
  ["inet firewalld", "filter_INPUT", "ct status dnat accept"],
  ["inet firewalld", "filter_IN_public_allow", "tcp dport != 80 accept"],
  ["inet firewalld", "filter_IN_public_log", "tcp dport 22 accept"],
  ["inet firewalld", "filter_FWD_public_allow", 'oifname "eth0" accept'],
])("no person types a rule of %s %s: %s", (table, chain, rule) => {
  expect(commandOf(table, chain, rule)).toBeNull();
});
