/** Texts become rulesets: lists are expanded, unknowns kept, faults reported with their place. */
import { describe, expect, test } from "vitest";
import { readRuleset } from "../../lib/iptables/load.ts";
import { printRuleset } from "../../lib/iptables/print.ts";
import { asIptables } from "../../lib/iptables/rule.ts";
import type { Family } from "../../lib/packet/field.ts";
import { rulesetDoubtText } from "../../lib/report/text/doubt-text.ts";
import { rulesetsOf } from "../builders.ts";

const read = (text: string, family?: Family) =>
  readRuleset([{ name: "t", text, ...(family === undefined ? {} : { family }) }]);
const filter = (...rules: string[]): string =>
  ["*filter", ":INPUT ACCEPT [0:0]", ...rules, "COMMIT", ""].join("\n");
/** `line:column severity message [found]`. */
const diagnosticsOf = (text: string, family?: Family): string[] =>
  read(text, family).diagnostics.map((d) => `${d.line}:${d.column} ${d.severity} ${d.message} [${d.found}]`);

describe("diagnostics name the place, what was expected and what was found", () => {
  test.each([
    [
      "-A INPUT -s host.example -j DROP",
      "3:13 error -s needs an address or a network, like 192.0.2.1 or 192.0.2.0/24 (2001:db8::/32 in ip6tables); host names are not looked up [host.example]",
    ],
    [
      "-A INPUT -p tcp --dport 99999 -j DROP",
      "3:25 error --dport needs a port or a service name, or a range first:last [99999]",
    ],
    [
      "-A INPUT -p tcp --dport ! 99999 -j DROP",
      "3:27 error --dport needs a port or a service name, or a range first:last [99999]",
    ],
    [
      "-A INPUT -m frobnicate --frob 5 -j DROP",
      '3:13 error unknown match "frobnicate"; packets that reach this rule may be undecided [frobnicate]',
    ],
    [
      "-A INPUT -p tcp --frob 5 -j DROP",
      "3:17 error unknown option --frob; packets that reach this rule may be undecided [--frob]",
    ],
    [
      "-A INPUT -j NOWHERE",
      '3:13 error "NOWHERE" is neither a chain of table filter nor a known target [NOWHERE]',
    ],
    [
      "-A INPUT -j NOWHERE --frob 5",
      '3:13 error "NOWHERE" is neither a chain of table filter nor a known target [NOWHERE]',
    ],
    [
      "-A NOWHERE -j DROP",
      '3:4 error chain "NOWHERE" is not declared in table filter; its rules are loaded [NOWHERE]',
    ],
    ["-A INPUT -m tcp --dport 80 -j DROP", "3:13 error tcp needs -p tcp [tcp]"],
    ["-A INPUT -j MASQUERADE", "3:13 error MASQUERADE is valid only in table nat [MASQUERADE]"],
    ["-A INPUT -p tcp --dport 80 --dport 81 -j DROP", "3:28 error --dport is given twice [--dport]"],
    ["-A INPUT -m limit ! --limit 5/sec -j DROP", "3:19 error --limit cannot be negated with ! [!]"],
    ["-A INPUT -m state -j DROP", "3:13 error state needs --state [state]"],
    [
      "-A INPUT -p frob --frob 5 -j NOWHERE",
      "3:18 error unknown option --frob; packets that reach this rule may be undecided [--frob]",
    ],
  ])("%s", (rule, expected) => {
    expect(diagnosticsOf(filter(rule), 4)).toEqual([expected]);
    const { rulesets } = read(filter(rule), 4);
    expect([...rulesets[0]!.tables.get("filter")!.chains.values()].flatMap((c) => c.rules).length).toBe(1);
  });

  test("chains and policies", () => {
    expect(
      diagnosticsOf(
        "*filter\n:INPUT FROB [0:0]\n:user ACCEPT [0:0]\n:FORWARD - [0:0]\n:x - [0:0]\n:x - [0:0]\nCOMMIT\n",
      ),
    ).toEqual([
      "2:8 error expected a policy, ACCEPT or DROP, or - for a user-defined chain [FROB]",
      "3:7 error user is not a built-in chain of table filter; only built-in chains have a policy [ACCEPT]",
      "4:10 error expected a policy for the built-in chain FORWARD [-]",
      "6:2 error chain x is declared twice [x]",
    ]);
  });

  test("a loop of jumps is reported once", () => {
    expect(
      diagnosticsOf("*filter\n:a - [0:0]\n:b - [0:0]\n-A a -j b\n-A b -j a\n-A b -j b\nCOMMIT\n"),
    ).toEqual([
      "5:9 error loop of jumps: this rule of chain b leads back to a; the kernel rejects the table [a]",
      "6:9 error loop of jumps: this rule of chain b leads back to b; the kernel rejects the table [b]",
    ]);
  });
});

describe("syntax that only people write", () => {
  test("lists of addresses, inserts, and counters", () => {
    const { rulesets, diagnostics } = read(
      filter(
        "-A INPUT -s 192.0.2.1,192.0.2.2 -j DROP",
        "-I INPUT -j ACCEPT",
        "-I INPUT 2 -d 198.51.100.1,198.51.100.2 -j RETURN",
        "[5:300] -A INPUT -j LOG",
      ),
      4,
    );
    expect(diagnostics).toEqual([]);
    const rules = rulesets[0]!.tables.get("filter")!.chains.get("INPUT")!.rules;
    expect(rules.map((r) => `${r.index} ${r.line}`)).toEqual(["1 4", "2 5", "3 5", "4 3", "5 3", "6 6"]);
    expect(printRuleset(rulesets[0]!).split("\n").slice(2, -2)).toEqual([
      "-A INPUT -j ACCEPT",
      // As in iptables, each address is inserted at the position, so the last one comes first.
      "-A INPUT -d 198.51.100.2/32 -j RETURN",
      "-A INPUT -d 198.51.100.1/32 -j RETURN",
      "-A INPUT -s 192.0.2.1/32 -j DROP",
      "-A INPUT -s 192.0.2.2/32 -j DROP",
      "[5:300] -A INPUT -j LOG",
    ]);
  });

  test("the family follows from the text", () => {
    const both = `# Generated by ip6tables-save v1.8.9\n${filter()}# Generated by iptables-save v1.8.9\n${filter()}`;
    expect(read(both).rulesets.map((r) => r.family)).toEqual([4, 6]);
    expect(read(filter("-A INPUT -s 2001:db8::1 -j DROP")).rulesets.map((r) => r.family)).toEqual([6]);
    expect(read(filter("-A INPUT -p ipv6-icmp -j DROP")).rulesets.map((r) => r.family)).toEqual([6]);
    expect(read(filter("-A INPUT -s 192.0.2.1 -j DROP")).rulesets.map((r) => r.family)).toEqual([4]);
  });

  test("names of JavaScript properties are ordinary names", () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
    const text = `*filter\n${names.map((n) => `:${n} - [0:0]\n`).join("")}${names.map((n) => `-A ${n} -m comment --comment ${n} -j RETURN\n`).join("")}-A ${names[0]} -j ${names[1]}\n-A constructor -m __proto__ -j constructor2\nCOMMIT\n`;
    const { rulesets, diagnostics } = read(text, 4);
    expect(diagnostics.map((d) => d.message)).toEqual([
      'unknown match "__proto__"; packets that reach this rule may be undecided',
    ]);
    expect([...rulesets[0]!.tables.get("filter")!.chains.keys()]).toEqual(names);
    for (const option of names)
      expect(read(filter(`-A INPUT --${option} 5 -j DROP`), 4).diagnostics.length).toBe(1);
  });

  test("an unknown target and an unreadable value become unknowns of the rule", () => {
    const { rulesets } = read(filter("-A INPUT -p tcp -m frob --x 5 -m tcp --dport 99999 -j FROB --y 6"), 4);
    const rule = asIptables(rulesets[0]!.tables.get("filter")!.chains.get("INPUT")!.rules[0]!);
    expect(rule.unknown.map((u) => u.what)).toEqual(["match frob", "unreadable match tcp"]);
    expect(rule.target).toEqual({ kind: "unknown", name: "FROB", words: ["--y", "6"] });
  });
});

describe("rules of one shape share a plan without a difference in meaning", () => {
  /** Returns the contents of each rule, loaded one by one and all together. */
  const load = (...rules: string[]): [apart: unknown, together: unknown] => {
    const contents = (text: string): unknown[] => {
      const { rulesets, diagnostics } = read(text, 4);
      const { rules: all } = rulesets[0]!.tables.get("filter")!.chains.get("INPUT")!;
      const parts = all
        .map(asIptables)
        .map((r) => [r.matches.map((m) => [m.extension.name, m.values]), r.unknown, r.target]);
      return parts.map((m, i) => [m, ...diagnostics.filter((d) => d.line === i + 3).map((d) => d.message)]);
    };
    return [rules.flatMap((rule) => contents(filter(rule))), contents(filter(...rules))];
  };

  test.each<[what: string, ...rules: string[]]>([
    [
      "a ! after the option",
      "-A INPUT -p tcp --sport ! 80",
      "-A INPUT -p tcp --sport 80 90",
      "-A INPUT -p tcp --sport ! 90",
    ],
    [
      "a quoted !",
      '-A INPUT -p tcp --sport "!" 80',
      "-A INPUT -p tcp --sport 80 90",
      '-A INPUT -p tcp --sport "!" 99999',
    ],
    ["values with and without escapes", "-A INPUT -i a\\b", '-A INPUT -i "a\\b"', "-A INPUT -i a\\b"],
    [
      "a value too many characters long only with its escapes",
      '-A INPUT -i "123456789012345"',
      '-A INPUT -i "12345678901234\\5"',
      '-A INPUT -i "1234567890123456"',
    ],
    [
      "wrong ports",
      "-A INPUT -p tcp --dport 80",
      "-A INPUT -p tcp --dport 65536",
      "-A INPUT -p tcp --dport 080",
      "-A INPUT -p tcp --dport 65535",
      "-A INPUT -p tcp --dport http",
      '-A INPUT -p tcp --dport ""',
    ],
    [
      "wrong addresses",
      "-A INPUT -s 10.0.0.1",
      "-A INPUT -s 10.0.0.256",
      "-A INPUT -s 10.0.0.1/33",
      "-A INPUT -s 010.0.0.1",
      "-A INPUT -s 10.0.0",
      "-A INPUT -s 10.0.0.1/255.255.0.255",
      "-A INPUT -s 10.0.0.0/8",
    ],
    [
      "other protocols",
      "-A INPUT -p tcp --dport 80",
      "-A INPUT -p udp --dport 80",
      "-A INPUT -p icmp --dport 80",
      "-A INPUT -p 6 --dport 80",
      '-A INPUT -p "tcp" --dport 80',
    ],
    [
      "other targets",
      "-A INPUT -j DROP",
      "-A INPUT -j ACCEPT",
      "-A INPUT -j NOWHERE",
      "-A INPUT -j A-CHAIN-WITH-A-LONG-NAME",
      "-A INPUT -j RETURN",
    ],
    [
      "values that are invalid only together",
      "-A INPUT -m statistic --mode nth --every 3 --packet 1",
      "-A INPUT -m statistic --mode nth --every 3 --packet 3",
      "-A INPUT -m statistic --mode nth --every 4 --packet 3",
      "-A INPUT -m statistic --mode nth --every 3 --packet 1",
    ],
    ["-p without a protocol", "-A INPUT -p", "-A INPUT -p", "-A INPUT -p tcp"],
  ])("%s", (_, ...rules) => {
    const [apart, together] = load(...rules, ...rules);
    expect(together).toEqual(apart);
  });

  test("options beyond the limit are unknown", () => {
    const { rulesets, diagnostics } = read(filter(`-A INPUT -p tcp${" --syn".repeat(300)} -j DROP`), 4);
    expect(diagnostics.map((d) => d.message)).toEqual([
      "a rule has at most 255 options; packets that reach this rule may be undecided",
    ]);
    const rule = asIptables(rulesets[0]!.tables.get("filter")!.chains.get("INPUT")!.rules[0]!);
    expect(rule.unknown.map((u) => u.what)).toEqual(["options beyond 255"]);
    expect(rule.target).toMatchObject({ kind: "extension" });
  });
});

describe("an incomplete or ambiguous text leaves a doubt", () => {
  const V4 = "# Generated by iptables-save v1.8.9 (nf_tables) on Mon Nov 23 21:00:00 2026\n";
  const [body, other] = [filter("-A INPUT -p tcp -j DROP"), filter("-A INPUT -p udp -j DROP")];
  test.each<[what: string, texts: string[], doubt: RegExp | null]>([
    ["a whole dump", [V4 + body], null],
    [
      "no COMMIT",
      [V4 + body.replace("COMMIT\n", "")],
      /^t0:2: table filter has no COMMIT: the text is cut off/,
    ],
    ["another table before COMMIT", [`*raw\n${body}`], /^t0:1: table raw has no COMMIT/],
    ["the tail of a dump", ["-A INPUT -j DROP\nCOMMIT\n"], /^t0:1: no line names the table of these rules/],
    ["COMMIT alone, then a table", [`COMMIT\n${body}`], /^a line of t0 could not be read \(line 1\)/],
    ["iptables -S", ["-P INPUT DROP\n-A INPUT -j DROP\n"], /iptables -S printed it/],
    [
      "a no-break space",
      [filter("-A INPUT -p tcp\u00a0--dport 22 -j ACCEPT")],
      /^t0:3: .*the rules of the kernel may differ there/,
    ],
    [
      "two of them",
      [filter(...Array(2).fill("-A INPUT -p tcp\u00a0--dport 22 -j ACCEPT"))],
      /^t0:3: .* \(and 1 more lines with errors\)/,
    ],
    ["an unknown match", [filter("-A INPUT -m frob -j DROP")], /^t0:3: unknown match "frob"/],
    ["a chain declared twice", [filter(":x - [0:0]", ":x - [0:0]")], /^t0:4: chain x is declared twice/],
    [
      "IPv6 rules below the comment of iptables-save",
      [V4 + filter("-A INPUT -s 2001:db8::/32 -j ACCEPT")],
      /^t0:2: table filter contains rules of IPv6, but the text is of IPv4/,
    ],
    [
      "a line feed in a comment",
      [filter('-A INPUT -m comment --comment "x', '-A INPUT -j ACCEPT" -j DROP')],
      /^t0:3: the line ends inside a quote, so the text is ambiguous/,
    ],
    [
      "a line feed in a comment, and a rule below it that is one",
      [filter('-A INPUT -m comment --comment "x', "-A INPUT -j ACCEPT", 'y" -j DROP')],
      /^t0:3: the line ends inside a quote, so the text is ambiguous/,
    ],
    ["two dumps in one text", [V4 + body + V4 + other], /^table filter is given twice .* at t0:2 and t0:7/],
    [
      "two texts",
      [V4 + body, V4 + other],
      /^table filter is given twice with different rules, at t0:2 and t1:2/,
    ],
    ["the same rules again, with other counters", [V4 + body, V4 + body.replace("[0:0]", "[7:99]")], null],
  ])("%s", (_, texts, doubt) => {
    const { rulesets, conflicts } = readRuleset(texts.map((text, i) => ({ name: `t${i}`, text })));
    expect(rulesets).toHaveLength(1);
    if (doubt === null) expect(rulesets[0]!.doubts).toEqual([]);
    else expect(rulesets[0]!.doubts.map(rulesetDoubtText)).toContainEqual(expect.stringMatching(doubt));
    const twice = doubt?.source.includes("given twice") === true;
    expect(conflicts.map(({ family, table }) => [family, table])).toEqual(twice ? [[4, "filter"]] : []);
  });
  test("a text of one family that is given as the other's", () => {
    const rulesets = rulesetsOf(V4 + body, { name: "t", family: 6 });
    expect(rulesets[0]!.doubts.map(rulesetDoubtText)).toEqual([
      "t:2: table filter contains rules of IPv4, but the text is of IPv6: the rules of the kernel may differ there",
    ]);
  });
  test("a doubt about one family leaves the other alone", () => {
    const { rulesets } = readRuleset([
      { name: "v4", text: V4 + body },
      { name: "v6", text: `# Generated by ip6tables-save v1.8.9\n${body.replace("COMMIT\n", "")}` },
    ]);
    expect(rulesets.map((r) => [r.family, r.doubts.length])).toEqual([
      [4, 0],
      [6, 1],
    ]);
  });
});
