/** DOCKER-USER as tables of nftables: the same packets are stopped, or the rules that cannot be translated are named. */
import { spawnSync } from "node:child_process";
import { migrate, migrationJson, migrationText, readHost, readRuleset } from "fwcheck";
import { describe, expect, test } from "vitest";
import { differenceOf } from "../../lib/fix/migrate.ts";

const CHAINS = ["DOCKER-USER", "partners"] as const;

/** Translates rules of DOCKER-USER, given without `-A`. */
function migrated(rules: readonly string[], partners: readonly string[] = [], ip6 = false) {
  const text = [
    "*filter",
    ":FORWARD DROP [0:0]",
    ...CHAINS.map((chain) => `:${chain} - [0:0]`),
    "-A FORWARD -j DOCKER-USER",
    ...rules.map((rule) => `-A DOCKER-USER ${rule}`),
    ...partners.map((rule) => `-A partners ${rule}`),
    "COMMIT\n",
  ].join("\n");
  const { rulesets, diagnostics } = readRuleset([{ name: "save", text, family: ip6 ? 6 : 4 }]);
  expect(diagnostics).toEqual([]);
  return migrate(rulesets, readHost({}, rulesets));
}

/** The lines of the chains that the rules become. */
const lines = (text: string): string[] =>
  text
    .split("\n")
    .filter((line) => /^\t\t/.test(line))
    .map((line) => line.trim());

const able = spawnSync("unshare", ["-n", "nft", "list", "ruleset"]).status === 0;

const SAME: readonly (readonly [rules: readonly string[], partners?: readonly string[]])[] = [
  [["-i eth0 -p tcp -m tcp --dport 80 -j DROP"]],
  [["-i eth0 ! -s 192.0.2.0/24 -j DROP", "-j RETURN"]],
  [
    ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", "-i eth+ -j partners", "-j DROP"],
    ["-s 192.0.2.1 -j RETURN", "-j DROP"],
  ],
  [
    ["-i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -g partners", "-p udp -j DROP"],
    ["-s 192.0.2.1 -j ACCEPT", "-p tcp -j REJECT --reject-with tcp-reset"],
  ],
  [["-i eth0 -p tcp -m multiport --dports 443,9000:9010 -m conntrack ! --ctstate DNAT -j REJECT"]],
  [["-i eth0 -m conntrack --ctstate DNAT,INVALID -j DROP"]],
  [["-m mark ! --mark 0x1/0xff -j MARK --set-xmark 0x10/0xf0", "-m mark --mark 0x10/0x10 -j DROP"]],
  [["-m iprange ! --src-range 192.0.2.1-192.0.2.9 -p icmp -m icmp --icmp-type 8 -j DROP"]],
  [
    [
      "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m limit --limit 5/sec --limit-burst 9 -j RETURN",
      "-p tcp -j DROP",
    ],
  ],
  [['-p tcp -m tcp ! --dport 80 -m comment --comment "not the web" -j DROP']],
];

describe.each(SAME.map(([rules, partners = []]) => ({ rules, partners })))(
  "$rules",
  ({ rules, partners }) => {
    const [result] = migrated(rules, partners);

    test("stops the same packets", () => {
      expect([result!.difference, result!.untranslated]).toEqual([null, []]);
      expect(lines(result!.text).length).toBeGreaterThan(rules.length);
    });

    test.skipIf(!able)("is accepted by nft, twice", () => {
      const nft = (text: string) =>
        spawnSync("unshare", ["-n", "nft", "-f", "-"], { input: text, encoding: "utf8" });
      const { status, stderr } = nft(result!.text + result!.text);
      expect([stderr, status]).toEqual(["", 0]);
    });
  },
);

test("a table that stops other packets fails the proof, with one of them", () => {
  const [result] = migrated(["-i eth0 -p tcp -m tcp --dport 80 -j DROP"]);
  const { rulesets } = readRuleset([
    {
      name: "save",
      text: "*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n",
    },
  ]);
  const chain = rulesets[0]!.tables.get("filter")!.chains.get("DOCKER-USER")!;
  const compared = (text: string) =>
    differenceOf(
      rulesets[0]!,
      [{ chain, name: "DOCKER-USER", rules: [["one"]] }],
      text,
      readHost({}, rulesets),
    );
  expect(compared(result!.text)).toBeNull();
  expect(compared(result!.text.replace("dport 80", "dport 80-81"))).toMatchObject({ dport: 81, in: "eth0" });
  expect(compared(result!.text.replace('iifname "eth0" ', ""))).toMatchObject({ dport: 80 });
});

test("a RETURN goes back to the chain that called, and the base chain accepts", () => {
  const [result] = migrated(["-i eth0 -j partners", "-i eth0 -j DROP"], ["-s 192.0.2.1 -j RETURN"]);
  expect(lines(result!.text)).toEqual([
    "ip saddr 192.0.2.1 return",
    'iifname "eth0" jump user-partners',
    'iifname "eth0" drop',
    "type filter hook forward priority filter - 10; policy accept;",
    "jump DOCKER-USER",
  ]);
});

test("both families have a table", () => {
  const [result] = migrated(["-s 2001:db8::/32 -j DROP"], [], true);
  expect(result).toMatchObject({ family: 6, difference: null });
  expect(result!.text).toContain("table ip6 docker-user {");
});

test("a rule without an exact form is named with its line, and no rules are printed", () => {
  const result = migrated([
    "-i eth0 -m recent --update --seconds 60 --hitcount 4 --name x -j DROP",
    "-j DROP",
  ]);
  expect(result).toMatchObject([
    { text: "", untranslated: [{ line: 6, part: expect.stringContaining("-m recent") }] },
  ]);
  expect(migrationText(result)).toMatch(/no rules are printed.*\n.*line 6.*-m recent/);
  expect(migrationJson(result)).toMatchObject({ version: 1, holds: false });
});

test("an accept is named: it no longer overrides Docker's drops", () => {
  const result = migrated(["-i wg0 -j ACCEPT", "-j DROP"]);
  expect(result[0]!.accepts).toEqual(["-A DOCKER-USER -i wg0 -j ACCEPT"]);
  expect(migrationText(result)).toContain("does not override a drop of another table");
  expect(migrationJson(result).holds).toBe(true);
});

test("a chain without rules of the owner has nothing to migrate", () => {
  expect(migrated(["-j RETURN"])).toEqual([]);
  expect(migrated([])).toEqual([]);
});

test("chains whose names become the same in nft stay apart", () => {
  const text = [
    ...["*filter", ":FORWARD DROP [0:0]", ":DOCKER-USER - [0:0]", ":a.b - [0:0]", ":a_b - [0:0]"],
    ...["-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -i eth0 -j a.b", "-A DOCKER-USER -i eth1 -j a_b"],
    ...["-A a.b -p tcp -j DROP", "-A a_b -p udp -j DROP", "COMMIT\n"],
  ].join("\n");
  const { rulesets } = readRuleset([{ name: "save", text }]);
  const [result] = migrate(rulesets, readHost({}, rulesets));
  expect(result!.difference).toBeNull();
  expect(lines(result!.text)).toEqual(
    expect.arrayContaining(['iifname "eth0" jump user-a_b', 'iifname "eth1" jump user-a_b-2']),
  );
  expect(result!.text).toContain("chain user-a_b-2 {\n\t\tmeta l4proto udp drop");
});
