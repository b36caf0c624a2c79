/** Files for `nft -f`: commands are executed in their order. */
import { expect, test } from "vitest";
import { load, matches, SYN } from "./builders.ts";

/** Texts of the rules of a chain. */
const texts = (text: string, table: string, chain: string): string[] | undefined =>
  load(text)
    .tables.find((each) => each.table.name === table)
    ?.table.chains.get(chain)
    ?.rules.map((rule) => rule.text({ family: 4 }));

const CHAIN = `add table inet t
add chain inet t c { type filter hook input priority 0; policy drop; }
add rule inet t c tcp dport 1 accept
add rule inet t c tcp dport 2 accept
`;

test("rules are added, inserted and removed", () => {
  const more = `insert rule inet t c tcp dport 0 accept
insert rule inet t c index 1 tcp dport 3 accept
add rule inet t c index 1 tcp dport 4 accept
`;
  const ports = texts(CHAIN + more, "inet t", "c")!.map((text) => text.split(" ")[2]);
  expect(ports).toEqual(["0", "3", "4", "1", "2"]);
  expect(texts(`${CHAIN}flush chain inet t c\n`, "inet t", "c")).toEqual([]);
  expect(texts(`${CHAIN}flush table inet t\nadd rule inet t c drop\n`, "inet t", "c")).toEqual(["drop"]);
});

test("tables are removed", () => {
  expect(load(`${CHAIN}delete table inet t\n`).tables).toEqual([]);
  expect(load(`${CHAIN}flush ruleset\n`).tables).toEqual([]);
  expect(load("destroy table inet t\n").diagnostics).toEqual([]);
  expect(load("delete table inet t\n").diagnostics).toMatchObject([
    { message: "table inet t does not exist", line: 1 },
  ]);
});

test("a definition has the value of the last line before its use", () => {
  const text = `define port = 80
define office = { 203.0.113.0/24, 10.0.0.0/8 }
table inet t {
	chain c {
		ip saddr $office tcp dport $port accept
	}
}
redefine port = 81
add rule inet t c tcp dport $port accept
`;
  const { tables, diagnostics } = load(text);
  expect(diagnostics).toEqual([]);
  const rules = tables[0]!.table.chains.get("c")!.rules;
  expect(rules.map((rule) => matches(rule, SYN))).toEqual([true, false]);
  expect(matches(rules[1]!, { ...SYN, dport: 81 })).toBe(true);
});

test("elements are added and removed", () => {
  const sets = `add set inet t s { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 } }
add rule inet t c ip saddr @s drop
`;
  const last = (more: string): boolean | string => {
    const { tables, diagnostics } = load(CHAIN + sets + more);
    expect(diagnostics).toEqual([]);
    return matches(tables[0]!.table.chains.get("c")!.rules.at(-1)!, SYN);
  };
  expect(last("")).toBe(true);
  expect(last("delete element inet t s { 203.0.113.0/24 }\n")).toBe(false);
  expect(last("flush set inet t s\n")).toBe(false);
  expect(last("flush set inet t s\nadd element inet t s { 203.0.113.7 }\n")).toBe(true);
});

test("a definition in a block is known after it in that block", () => {
  const text = `define a = 1
table inet t {
	define b = 2
	chain c {
		tcp dport $a accept
		define a = 3
		tcp dport $a accept
		tcp dport $b accept
		undefine a
		tcp dport $a accept
		tcp dport $c accept
	}
	define c = 4
	set s {
		define e = 5
		type inet_service
		elements = { $c, $e }
	}
	chain d { tcp dport $c accept; tcp dport $e accept; }
}
add rule inet t c tcp dport $b accept
`;
  const { tables, diagnostics } = load(text);
  expect(diagnostics.map(({ message, line }) => `${line}: ${message}`).sort()).toEqual([
    "11: $c is not defined",
    "19: $e is not defined",
    "21: $b is not defined",
  ]);
  const { rules } = tables[0]!.table.chains.get("c")!;
  expect(
    rules.slice(0, 4).map((rule) => [1, 2, 3].filter((dport) => matches(rule, { ...SYN, dport }))),
  ).toEqual([[1], [3], [2], [1]]);
});

test.each([
  ["delete chain inet t handle 1", "chain with handle 1 is unknown; use its name"],
  ["destroy table inet handle 1", "table with handle 1 is unknown; use its name"],
  ["add rule inet t absent accept", "chain absent does not exist in table inet t"],
  ["add element inet t absent { 1.2.3.4 }", "set absent does not exist in table inet t"],
  ["insert rule inet t c index 9 accept", "chain c has no rule with index 9"],
  ["delete chain inet t absent", "chain absent does not exist in table inet t"],
])("a command that fails is reported: %s", (command, message) => {
  expect(load(`${CHAIN}${command}\n`).diagnostics).toMatchObject([{ message, line: 5 }]);
});
