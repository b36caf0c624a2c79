/** Loading of listings and of files for `nft -f`. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { parse } from "nftables-parser-ts";
import { expect, test } from "vitest";
import { readNftables } from "../../lib/nftables/load.ts";
import { withNftables } from "../../lib/nftables/with-nftables.ts";
import { type Predicate, visitLeaves } from "../../lib/packet/predicate.ts";
import { ends, forks } from "../../lib/rules/effect.ts";
import type { Rule } from "../../lib/rules/ruleset.ts";
import { rulesetsOf } from "../builders.ts";
import { chainRules, factsOf, load } from "./builders.ts";

const CAPTURES = new URL("../../../shared/captures-nft", import.meta.url).pathname;

/** Files `nft.txt` below a folder; none without the captures. */
function listings(folder: string): string[] {
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith("nft.txt"))
    .map((path) => `${folder}/${path}`)
    .sort();
}

/** Reasons of the unknowns of a rule in both families. */
function unknowns(rule: Rule): Set<string> {
  const reasons = new Set<string>();
  const note = (p: Predicate): void =>
    visitLeaves(p, (leaf) => {
      if (leaf.kind === "opaque") reasons.add("text" in leaf.reason ? leaf.reason.text : leaf.reason.code);
    });
  for (const family of [4, 6] as const) {
    const { when, effect } = rule.compile(factsOf(family));
    for (const p of [when, ...forks(effect)]) note(p);
    for (const end of ends(effect)) if (end.kind === "opaque") reasons.add(`effect: ${end.key}`);
  }
  return reasons;
}

test.skipIf(listings(CAPTURES).length === 0)(
  "captures are exact but for limits and extensions of iptables",
  () => {
    const reasons = new Set<string>();
    let rules = 0;
    for (const file of listings(CAPTURES)) {
      const { tables, diagnostics, doubts } = readNftables([
        { name: file, text: readFileSync(file, "utf8") },
      ]);
      expect(diagnostics).toEqual([]);
      expect(doubts).toEqual([]);
      for (const { table } of tables)
        for (const chain of table.chains.values())
          for (const rule of chain.rules) {
            rules++;
            for (const reason of unknowns(rule)) reasons.add(reason);
          }
    }
    expect(rules).toBeGreaterThan(900);
    expect([...reasons].sort()).toEqual([
      "IPv6 extension headers are not modelled",
      "nft does not print the options of this extension of iptables",
      "the number of earlier matches is not known",
      "the route to the source :: is not looked up",
    ]);
  },
);

test.each(["1.0.6", "1.1.3", "1.1.7"])(
  "all expressions and statements that nft %s prints are known",
  (version) => {
    const text = readFileSync(
      new URL(`../../grammar/nftables/test/recorded-${version}.txt`, import.meta.url),
      "utf8",
    );
    const { tables, diagnostics } = load(text);
    // Syntax errors are those of rules that nft prints without their text.
    expect(diagnostics.length).toBe(parse(text).diagnostics.length);
    const rules = tables.flatMap(({ table }) => [...table.chains.values()].flatMap((chain) => chain.rules));
    expect(rules.length).toBeGreaterThan(700);
    const exact = rules.filter((rule) => unknowns(rule).size === 0).length;
    expect(exact / rules.length).toBeGreaterThan(0.55);
  },
);

const BASE = (hook: string, priority: string): string =>
  `type filter hook ${hook} priority ${priority}; policy drop;`;

test("base chains have a hook, a type, a priority and a policy", () => {
  const priorities = ["raw", "mangle - 5", "dstnat + 10", "filter", "security", "srcnat", "-7", "0"];
  const chains = priorities.map((p, i) => `\tchain c${i} {\n\t\t${BASE("output", p)}\n\t}\n`).join("\n");
  const { tables, diagnostics } = load(`table inet t {\n${chains}}\n`);
  expect(diagnostics).toEqual([]);
  const bases = [...tables[0]!.table.chains.values()].map(({ base, policy }) => [
    base?.priority,
    base?.hook,
    policy,
  ]);
  expect(bases).toEqual([-300, -155, -90, 0, 50, 100, -7, 0].map((p) => [p, "OUTPUT", "DROP"]));
});

test("rules in braces are a chain of their own", () => {
  const rules = chainRules(
    "table ip t {\n\tchain c {\n\t\ttcp dport 22 jump {\n\t\t\tip saddr 10.0.0.1 accept\n\t\t\tdrop\n\t\t}\n\t}\n}\n",
    "ip t",
    "c",
  );
  expect(rules[0]!.calledChains).toEqual(["__chain0"]);
  const { tables } = load("table ip t {\n\tchain c {\n\t\tjump {\n\t\t\taccept\n\t\t}\n\t}\n}\n");
  expect([...tables[0]!.table.chains.keys()]).toEqual(["c", "__chain0"]);
  expect(tables[0]!.table.chains.get("__chain0")!.rules.map((rule) => rule.text({ family: 4 }))).toEqual([
    "accept",
  ]);
});

test.each([
  ["tcp dport ssj accept", "expected a port", "ssj", 3, 13],
  ["ip saddr 10.0.0.300 accept", "expected an IPv4 address", "10.0.0.300", 3, 12],
  ["ip saddr @missing accept", "set @missing does not exist in this table", "@missing", 3, 12],
  ["jump missing", "chain missing does not exist in this table", "missing", 3, 8],
  ["meta frobnicate 5 accept", "expected a key of meta after meta", "frobnicate", 3, 8],
  ["ip saddr $office accept", "$office is not defined", "$office", 3, 12],
  ["tcp dport 90-80 accept", "expected a port", "90-80", 3, 13],
])("a fault is reported with its place: %s", (rule, message, found, line, column) => {
  const { diagnostics, doubts, tables } = load(`table ip t {\n\tchain c {\n\t\t${rule}\n\t}\n}\n`);
  expect(diagnostics.map((d) => [d.message, d.found, d.line])).toEqual([[message, found, line]]);
  expect(diagnostics[0]!.column).toBe(column);
  expect(doubts).toMatchObject([{ code: "rule-errors", line: 3, count: 1 }]);
  // The rule stays, and no packet is said to match it or not.
  const [only] = tables[0]!.table.chains.get("c")!.rules;
  if (!rule.startsWith("jump")) expect(unknowns(only!).size).toBe(1);
});

const SETS = `table ip t {
	set s {
		type ipv4_addr
	}

	chain c {
		ip saddr @s drop
	}
}
`;

test("a listing whose sets have no elements may be one of nft -t", () => {
  const { doubts, tables } = load(SETS, false);
  expect(doubts).toEqual([{ code: "set-elements-missing", source: "nft", sets: ["ip t s"] }]);
  expect([...unknowns(tables[0]!.table.chains.get("c")!.rules[0]!)]).toEqual([
    "the listing has no elements of this set",
  ]);
  expect(load(SETS, true).doubts).toEqual([]);
  expect(unknowns(chainRules(SETS, "ip t", "c")[0]!).size).toBe(0);
});

const OF_IPTABLES = `table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy accept;
		drop
	}
}
table inet mine {
	chain input {
		type filter hook input priority filter; policy accept;
	}
}
table ip6 asleep {
	flags dormant

	chain input {
		type filter hook input priority filter; policy drop;
	}
}
`;

test("tables join the rulesets of their families", () => {
  const loaded = load(OF_IPTABLES);
  const alone = withNftables([], loaded);
  expect(alone.rulesets.map((r) => [r.family, [...r.tables.keys()]])).toEqual([
    [4, ["ip filter", "inet mine"]],
    [6, ["inet mine", "ip6 asleep"]],
  ]);
  // Rules of a dormant table switch connection tracking on, but no hook runs them.
  expect(alone.rulesets[1]!.tables.get("ip6 asleep")!.chains.get("input")!.base).toBeNull();
  expect(alone.fromIptables).toEqual([]);
  const both = withNftables(rulesetsOf("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", { family: 4 }), loaded);
  expect(both.rulesets.map((r) => [r.family, [...r.tables.keys()]])).toEqual([
    [4, ["filter", "inet mine"]],
    [6, ["inet mine", "ip6 asleep"]],
  ]);
  expect(both.fromIptables.map(({ table }) => table.name)).toEqual(["ip filter"]);
});

test("table security of iptables-nft has the priority that nft lists", () => {
  const loaded = load(
    "table ip security {\n\tchain INPUT {\n\t\ttype filter hook input priority 150; policy accept;\n\t}\n}\n",
  );
  const save = rulesetsOf("*security\n:INPUT ACCEPT [0:0]\nCOMMIT\n", { family: 4 });
  const [ruleset] = withNftables(save, loaded).rulesets;
  expect(ruleset!.tables.get("security")!.chains.get("INPUT")!.base!.priority).toBe(150);
  expect([...ruleset!.tables.keys()]).toEqual(["security"]);
});

test("numbers that nft 1.0.6 prints as of an invalid type", () => {
  const [rule] = chainRules(
    "table ip t {\n\tchain c {\n\t\tct original proto-dst { 0x50 [invalid type], 0x1bb [invalid type]-0x1bd [invalid type] } drop\n\t}\n}\n",
    "ip t",
    "c",
  );
  expect(rule!.text({ family: 4 })).toContain("0x50 [invalid type]");
  expect(unknowns(rule!)).toEqual(new Set());
});

test("chains of bridges and devices that may drop are named", () => {
  const { tables } = load(`table netdev n {
	chain in {
		type filter hook ingress device "eth0" priority 0; policy accept;
		ip saddr 10.0.0.0/8 drop
	}
}
table bridge b {
	chain forward {
		type filter hook forward priority 0; policy accept;
		accept
	}
}
table arp a {
	chain in {
		type filter hook input priority 0; policy drop;
	}
}
table bridge c {
	chain forward {
		type filter hook forward priority 0; policy accept;
		meta mark set 1
	}
}
`);
  expect(tables.map(({ unread }) => unread.map(({ hook, changes }) => [hook, changes ?? false]))).toEqual([
    [["PREROUTING", false]],
    [],
    [],
    ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].map((hook) => [hook, true]),
  ]);
});
