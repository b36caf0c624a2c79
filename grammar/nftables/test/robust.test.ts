import { parse, print } from "nftables-parser-ts";
import { describe, expect, test } from "vitest";

const rules = (n: number, rule: (i: number) => string): string =>
  `table inet t {\n\tchain c {\n${Array.from({ length: n }, (_, i) => `\t\t${rule(i)}\n`).join("")}\t}\n}\n`;
const set = (elements: string): string =>
  `table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { ${elements} }\n\t}\n}\n`;

describe("hostile texts are parsed in linear time", () => {
  const long = "x".repeat(4 << 20);
  test.each<[what: string, text: string, least: number]>([
    ["one long line", long, 1],
    ["one long rule", rules(1, () => `meta mark ${long}`), 1],
    ["one long comment", `# ${long}\ntable ip x {\n}\n`, 0],
    ["one long quote", rules(1, () => `log prefix "${long}`), 1],
    ["many quotes", rules(1, () => '"'.repeat(100_001)), 1],
    ["many open braces", "{".repeat(300_000), 1],
    ["many open braces in rules", rules(30_000, () => "ip saddr {"), 30_000],
    ["many jumps with open braces", rules(30_000, () => "jump {"), 1],
    ["many closed braces", "}".repeat(100_000), 1],
    ["many parentheses", rules(1, () => `meta mark ${"(".repeat(100_000)}`), 1],
    ["many operators", rules(1, () => `meta mark & ${"1 | ".repeat(50_000)}1`), 1],
    ["many commas", rules(1, () => `ct state ${"a,".repeat(50_000)}a`), 0],
    ["many concatenations", rules(1, () => `ip saddr ${". ip saddr ".repeat(30_000)} 1`), 0],
    ["many colons", rules(1, () => `ip6 saddr ${":".repeat(100_000)}`), 1],
    ["many hexadecimal groups", rules(1, () => `ip6 saddr ${"a:".repeat(100_000)}`), 1],
    ["many backslashes", rules(1, () => "\\".repeat(100_000)), 1],
    ["many continued lines", rules(1, () => `meta mark ${"\\\n".repeat(100_000)}1`), 0],
    ["many line feeds", "\n".repeat(1 << 20), 1],
    ["many semicolons", ";".repeat(1 << 20), 1],
    ["many tables without an end", "table ip x {\n".repeat(20_000), 20_000],
    ["many chains without an end", `table ip x {\n${"chain y {\n".repeat(20_000)}`, 20_000],
    ["many commands with errors", "add rule x\n".repeat(20_000), 20_000],
    ["many rules with errors", rules(20_000, () => "frob"), 20_000],
    ["many rules of different shapes", rules(20_000, (i) => `meta mark s${i}`), 0],
    [
      "many long sets in rules",
      rules(2000, (i) => `tcp dport { ${Array.from({ length: (i % 90) + 1 }, (_, k) => k).join(", ")} }`),
      0,
    ],
    ["one large set in a rule", rules(1, () => `ip saddr { ${"1.1.1.1, ".repeat(50_000)}1.1.1.1 }`), 0],
    ["many elements with errors", set("= , ".repeat(20_000)), 20_000],
    ["one long element", set(long), 0],
    ["a set without an end", set("1.1.1.1, ".repeat(50_000)).slice(0, -20), 1],
  ])("%s", (_, text, least) => {
    const start = process.cpuUsage();
    const { diagnostics, document } = parse(text);
    expect(diagnostics.length).toBeGreaterThanOrEqual(least);
    if (least === 0) expect(diagnostics).toEqual([]);
    print(document);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1e6).toBeLessThan(20);
  });
});

test("the time of a text grows with its length", () => {
  const time = (text: string): number => {
    const start = process.cpuUsage();
    parse(text);
    return process.cpuUsage(start).user;
  };
  for (const text of [
    "ip saddr {\n",
    "table ip x {\n",
    '"\n',
    "jump { jump {\n",
    "add element x y { 1,\n",
    "\\\n",
    "a = {\n",
  ]) {
    time(text.repeat(4000));
    const ratio = time(text.repeat(32_000)) / Math.max(time(text.repeat(4000)), 10_000);
    expect(ratio, text).toBeLessThan(24);
  }
});
