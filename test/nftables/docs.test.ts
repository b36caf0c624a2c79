/** docs/nftables.md is generated from the expressions, and from examples of all statements; `UPDATE=1` writes it again. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { UNKNOWN } from "../../lib/nftables/expressions/unknown.ts";
import { EXPRESSIONS, expression } from "../../lib/nftables/expressions.ts";
import { type Predicate, visitLeaves } from "../../lib/packet/predicate.ts";
import { ends, forks } from "../../lib/rules/effect.ts";
import { factsOf, ruleOf } from "./builders.ts";

const file = new URL("../../docs/nftables.md", import.meta.url);

const meaning = (opaque: string | undefined, except: string | undefined): string =>
  opaque !== undefined
    ? `unknown | ${opaque}`
    : except !== undefined
      ? `exact, except | ${except}`
      : "exact | ";

/** Expressions with parameters: their words, and an example. */
const WITH_PARAMETERS: readonly (readonly [name: string, words: string])[] = [
  ["fib KEYS type", "fib daddr type"],
  ["fib KEYS . mark type", "fib daddr . mark type"],
  ["fib KEYS oif, oifname, check", "fib saddr . iif oif"],
];

const parametrized = (words: string): string => {
  const [first, ...rest] = words.split(" ");
  const { opaque, except } = expression([first!, rest.slice(0, -1).join(" "), rest.at(-1)!], "inet")!;
  return meaning(opaque, except);
};

const expressionRows = [
  ...EXPRESSIONS.map(({ name, opaque, except }) => [name, meaning(opaque, except)] as const),
  ...WITH_PARAMETERS.map(([name, words]) => [name, parametrized(words)] as const),
  ...UNKNOWN.map(({ prefix, why }) => [`${prefix} ...`, `unknown | ${why}`] as const),
].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

/** Sets, maps and objects that the statements use. */
const OBJECTS = `
	limit slow {
		rate 3/minute
	}

	set plain {
		type ipv4_addr
		elements = { 10.0.0.1 }
	}

	set timed {
		type ipv4_addr
		flags timeout
		elements = { 10.0.0.1 expires 5m }
	}

	set dynamic {
		type ipv4_addr
		size 100
		flags dynamic
	}

	map verdicts {
		type ipv4_addr : verdict
		elements = { 10.0.0.1 : drop }
	}
`;

/** Statements and lookups of nft(8), each with an example. */
const STATEMENTS: readonly (readonly [name: string, rule: string])[] = [
  ["accept, drop", "drop"],
  ["continue", "continue"],
  ["return", "return"],
  ["jump, goto", "jump other"],
  ["queue", "queue num 1"],
  ["reject", "reject with icmpx admin-prohibited"],
  ["vmap of an anonymous map", "tcp dport vmap { 22 : accept, 80-90 : drop }"],
  ["vmap of a named map", "ip saddr vmap @verdicts"],
  ["vmap of a random number", "numgen random mod 2 vmap { 0 : accept, 1 : drop }"],
  ["lookup in an anonymous set", "tcp dport { 22, 80-90 } accept"],
  ["lookup in a named set", "ip saddr @plain accept"],
  ["lookup in a set with timeouts", "ip saddr @timed accept"],
  ["lookup in a set that rules change", "ip saddr @dynamic accept"],
  ["meta mark set VALUE", "meta mark set 1"],
  ["meta mark set ct mark, ct mark set meta mark", "meta mark set ct mark | 0x10"],
  ["meta mark set VALUE map", "meta mark set tcp dport map { 80 : 1 }"],
  ["meta mark set, from another field", "meta mark set ip dscp"],
  ["meta priority set", "meta priority set 1:2"],
  ["meta pkttype set", "meta pkttype set host"],
  ["meta nftrace set", "meta nftrace set 1"],
  ["ct mark set", "ct mark set 1"],
  ["ct zone set", "ct zone set 1"],
  ["ct label set, ct event set", "ct event set new"],
  ["notrack", "notrack"],
  ["ip saddr set, ip daddr set", "ip daddr set 10.0.0.1"],
  ["ip6 saddr set, ip6 daddr set", "ip6 daddr set ::1"],
  ["sport set, dport set", "tcp dport set 80"],
  ["ip dscp set, ip ecn set, ip ttl set", "ip dscp set ef"],
  ["tcp option set", "tcp option maxseg size set 1400"],
  ["raw payload set", "@nh,8,8 set 1"],
  ["snat, dnat", "dnat ip to 10.0.0.1:80"],
  ["dnat by a map", "dnat ip to tcp dport map { 80 : 10.0.0.1 . 8080 }"],
  ["snat prefix, dnat prefix", "snat ip prefix to 10.0.0.0/24"],
  ["masquerade", "masquerade to :1024-65535"],
  ["redirect", "redirect to :80"],
  ["tproxy", "tproxy ip to 127.0.0.1:80"],
  ["synproxy", "synproxy mss 1460 wscale 7"],
  ["counter", "counter packets 0 bytes 0"],
  ["log", 'log prefix "x"'],
  ["limit", "limit rate 3/minute accept"],
  ["limit name", 'limit name "slow" accept'],
  ["quota", "quota over 10 mbytes drop"],
  ["ct count", "ct count over 20 drop"],
  ["add, update", "add @dynamic { ip saddr } accept"],
  ["delete", "delete @dynamic { ip saddr }"],
  ["dup", "dup to 10.0.0.9"],
  ["xt match", 'xt match "recent" accept'],
  ["xt target", 'xt target "TCPMSS"'],
];

/** Reasons of the unknowns that the result of a rule depends on. */
function unknowns(rule: string): string {
  const reasons = new Set<string>();
  const note = (p: Predicate): void =>
    visitLeaves(p, (leaf) => {
      if (leaf.kind === "opaque" && "text" in leaf.reason) reasons.add(leaf.reason.text);
    });
  for (const family of [4, 6] as const) {
    const { when, effect } = ruleOf(`meta l4proto tcp ${rule}`, "inet", OBJECTS).compile(factsOf(family));
    for (const p of [when, ...forks(effect)]) note(p);
    for (const end of ends(effect)) {
      if (end.kind === "opaque" && "text" in end.reason) reasons.add(end.reason.text);
      if (end.kind === "stolen" && end.reason.code === "target-keeps") reasons.add(end.reason.text);
    }
  }
  return [...reasons].join("; ");
}

const statementRows = STATEMENTS.map(([name, rule]) => {
  const why = unknowns(rule);
  return [name, `\`${rule.replace("|", "\\|")}\``, why === "" ? "exact | " : `unknown | ${why}`] as const;
});

const count = (rows: readonly string[]): string => {
  const unknown = rows.filter((row) => row.startsWith("unknown")).length;
  const except = rows.filter((row) => row.startsWith("exact, except")).length;
  return `${rows.length}: ${rows.length - unknown - except} exact, ${except} exact with an exception, ${unknown} unknown`;
};

const text = `# nftables

All expressions and statements of nft(8). Generated from \`lib/nftables\` by \`test/nftables/docs.test.ts\`; do not edit.

*Exact*: the predicate or effect is that of the kernel, the condition included that the packet has the field. *Unknown*: the
inputs do not determine the result: a simulation names the unknowns that its answer depends on, and an audit considers both
results. An expression or statement that is not in these tables is unknown, and is reported with its line and column.

Tables of the families arp, bridge and netdev, and chains at ingress and egress, are loaded. They are not followed: if they can
drop or change packets, answers that depend on them are undecided.

## What a listing does not show

\`nft list ruleset\` prints some rules otherwise than the kernel evaluates them. Where the inputs do not determine the rule, its
result is unknown:

| listing | rule of the kernel | what fwcheck does instead |
|---|---|---|
| \`!=\` with single values of adjacent fields of 1 or 2 bytes, or of \`ether\`: \`tcp sport != 1 tcp dport != 2\` | nft 1.0.6 merges them when it loads a rule: both values must differ from the given ones, or one of them. All versions print both forms alike | one unknown for the rule, \`merged-tests\`. It does not matter where all values differ, or none. \`--assume merged-tests=match\` is nft 1.0.6, \`no-match\` nft 1.1 |
| \`th dport 80\` without a test of the protocol before it | nft 1.0.6 does not print \`ct protocol\` before \`th\`, nor \`meta l4proto\` of protocols without ports | the unknown \`th-protocol\`. \`--assume th-protocol=match\` takes the listing as it is |
| \`ip6 dscp\` in named sets and concatenations | nft 1.0.6 compares it with other bytes | the lookup is unknown |
| a number such as \`ip ttl\` in concatenations of maps, and of sets with ranges | nft 1.0.6 to 1.1.3 print other elements | the lookup is unknown |
| \`tcp dport 80\` in tables of one family, \`ip saddr 10.0.0.1\` in \`inet\` | no version prints \`ct protocol tcp\` before \`th dport\`, or \`ct l3proto ipv4\` before an address: such rules do not match packets without a connection, and \`th\` matches bytes of ICMP errors | takes the listing as it is: rules with these keys are seldom, and all rules with ports and addresses would be unknown |
| \`meta l4proto { tcp, udp } th dport 80\` | nft 1.0.6 does not print a second condition, \`ct protocol tcp\`, between these | takes the listing as it is |

## Expressions

${count(expressionRows.map(([, row]) => row))}.

| expression | meaning | why |
|---|---|---|
${expressionRows.map(([name, row]) => `| ${name} | ${row} |`).join("\n")}

## Statements and lookups

${count(statementRows.map(([, , row]) => row))}.

| statement | example | meaning | why |
|---|---|---|---|
${statementRows.map((row) => `| ${row.join(" | ")} |`).join("\n")}
`;

test("docs/nftables.md is up to date", () => {
  if (process.env.UPDATE) writeFileSync(file, text);
  expect(readFileSync(file, "utf8")).toBe(text);
});

test("expressions are unique", () => {
  const names = EXPRESSIONS.map(({ name }) => name);
  expect(names.length).toBe(new Set(names).size);
});
