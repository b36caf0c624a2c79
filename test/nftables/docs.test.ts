/** docs/nftables.md is generated from the expressions, and from examples of all statements; `UPDATE=1` writes it again. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { UNKNOWN } from "../../lib/nftables/expressions/unknown.ts";
import { EXPRESSIONS, expression } from "../../lib/nftables/expressions.ts";
import { STATEMENTS, unknowns } from "./statement-examples.ts";

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
