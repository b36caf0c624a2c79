import {
  type Chain,
  type Document,
  type Expression,
  parse,
  print,
  type Rule,
  type Table,
} from "nftables-parser-ts";
import { describe, expect, test } from "vitest";

const listing = (...rules: string[]): string =>
  `table inet filter {\n\tchain input {\n${rules.map((rule) => `\t\t${rule}\n`).join("")}\t}\n}\n`;

function tablesOf(document: Document): Table[] {
  return document.entries.filter((entry) => entry.kind === "table");
}

function chainsOf(text: string): Chain[] {
  return tablesOf(parse(text).document).flatMap((table) =>
    table.entries.filter((entry) => entry.kind === "chain"),
  );
}

const rulesOf = (text: string): readonly Rule[] => chainsOf(text).flatMap((chain) => chain.rules);

const value = (text: string, quoted = false): Expression => ({ kind: "value", text, quoted });
const selector = (...words: string[]): Expression => ({ kind: "selector", words });

describe("expressions and statements", () => {
  test.each<[rule: string, statements: unknown[]]>([
    ["tcp dport 22", [{ kind: "match", left: selector("tcp", "dport"), operator: "", right: value("22") }]],
    [
      'iifname != "eth0"',
      [{ kind: "match", left: selector("iifname"), operator: "!=", right: value("eth0", true) }],
    ],
    ["ip saddr 10.0.0.0/8", [{ right: { kind: "prefix", value: value("10.0.0.0"), length: "8" } }]],
    ["ip6 saddr fe80::/10", [{ right: { kind: "prefix", value: value("fe80::"), length: "10" } }]],
    ["ether saddr 00:11:22:33:44:55", [{ right: value("00:11:22:33:44:55") }]],
    ["tcp dport 1024-65535", [{ right: { kind: "range", first: value("1024"), last: value("65535") } }]],
    [
      'meta hour "08:00"-"17:00"',
      [{ right: { kind: "range", first: value("08:00", true), last: value("17:00", true) } }],
    ],
    [
      "ct state established,related",
      [{ right: { kind: "list", items: [value("established"), value("related")] } }],
    ],
    [
      "tcp flags != syn / fin,syn",
      [
        {
          right: {
            kind: "mask",
            value: value("syn"),
            mask: { kind: "list", items: [value("fin"), value("syn")] },
          },
        },
      ],
    ],
    [
      "tcp flags & (fin | syn) == syn",
      [
        {
          left: {
            kind: "binary",
            operator: "&",
            left: selector("tcp", "flags"),
            right: { kind: "binary", operator: "|", left: value("fin"), right: value("syn") },
          },
          operator: "==",
        },
      ],
    ],
    ["tcp flags ! syn", [{ operator: "!" }]],
    ["icmp type redirect drop", [{ right: value("redirect") }, { kind: "verdict", verdict: "drop" }]],
    ["@th,16,16 53", [{ left: selector("@", "th", "16", "16") }]],
    ["fib daddr . iif type local", [{ left: selector("fib", "daddr . iif", "type") }]],
    ["ct original ip daddr 10.0.0.1", [{ left: selector("ct", "original", "ip", "daddr") }]],
    ["vxlan ip saddr 10.0.0.1", [{ left: selector("vxlan", "ip", "saddr") }]],
    ["tcp option maxseg size 1460", [{ left: selector("tcp", "option", "maxseg", "size") }]],
    [
      "jhash ip saddr . tcp dport mod 2 seed 0x1 vmap { 0 : accept }",
      [
        {
          kind: "vmap",
          key: {
            words: ["jhash", "mod", "2", "seed", "0x1"],
            inputs: [{ kind: "concatenation", parts: [selector("ip", "saddr"), selector("tcp", "dport")] }],
          },
        },
      ],
    ],
    [
      "ip saddr vmap { 10.0.0.1 : jump other, * : drop }",
      [
        {
          kind: "vmap",
          map: {
            elements: [
              { key: value("10.0.0.1"), data: { kind: "verdict", verdict: "jump", chain: "other" } },
              { key: { kind: "catch-all" }, data: { kind: "verdict", verdict: "drop" } },
            ],
          },
        },
      ],
    ],
    [
      "meta mark set ct mark & 0x0000ffff",
      [{ kind: "assignment", target: selector("meta", "mark"), value: { kind: "binary", operator: "&" } }],
    ],
    ['ct helper set "ftp"', [{ kind: "assignment", value: value("ftp", true) }]],
    [
      "dnat ip to 10.0.0.1:80-90 random,persistent",
      [
        {
          kind: "nat",
          type: "dnat",
          family: "ip",
          address: value("10.0.0.1"),
          port: { kind: "range", first: value("80"), last: value("90") },
          flags: ["random", "persistent"],
        },
      ],
    ],
    ["dnat ip6 to [fe80::1]:80", [{ address: value("fe80::1"), port: value("80") }]],
    ["redirect to :8080", [{ kind: "nat", type: "redirect", address: null, port: value("8080") }]],
    [
      "dnat ip to ip saddr . tcp dport map @targets",
      [{ address: { kind: "map", map: { kind: "reference", name: "targets" } } }],
    ],
    ["reject with icmpx admin-prohibited", [{ kind: "reject", words: ["icmpx", "admin-prohibited"] }]],
    [
      "add @blocked { ip saddr timeout 1h limit rate over 3/minute burst 5 packets }",
      [
        {
          kind: "set",
          operation: "add",
          set: "blocked",
          key: selector("ip", "saddr"),
          options: ["timeout", "1h"],
          statements: [
            { kind: "limit", words: ["limit", "rate", "over", "3/minute", "burst", "5", "packets"] },
          ],
        },
      ],
    ],
    ["ct count over 20", [{ kind: "limit", words: ["ct", "count", "over", "20"] }]],
    [
      'log prefix "a b" level warn flags tcp sequence,options',
      [
        {
          kind: "other",
          words: ["log", "prefix", '"a b"', "level", "warn", "flags", "tcp", "sequence,options"],
        },
      ],
    ],
    ["counter packets 12 bytes 34", [{ kind: "other", words: ["counter", "packets", "12", "bytes", "34"] }]],
    [
      "queue flags bypass to 1-3",
      [{ words: ["queue", "flags", "bypass", "to"], inputs: [{ kind: "range" }] }],
    ],
    ['xt match "string"', [{ kind: "xt", type: "match", name: "string" }]],
    ["jump fwd", [{ kind: "verdict", verdict: "jump", chain: "fwd" }]],
  ])("%s", (rule, statements) => {
    const text = listing(rule, rule);
    for (const strict of [true, false]) {
      const { document, diagnostics } = parse(text, { strict });
      expect(diagnostics).toEqual([]);
      const [chain] = tablesOf(document)[0]!.entries;
      const rules = chain?.kind === "chain" ? chain.rules : [];
      for (const each of rules) expect(each.statements).toMatchObject(statements);
      expect(rules.map((each) => each.text)).toEqual([rule, rule]);
    }
    expect(print(parse(text).document)).toBe(text);
  });

  test("a comment and a handle", () => {
    const [rule] = rulesOf(listing('tcp dport 22 accept comment "x y" # handle 12'));
    expect(rule).toMatchObject({ comment: "x y", handle: 12, line: 3, column: 3 });
  });

  test("the comment of a chain, with or without a blank before its quote", () => {
    for (const line of ['comment "ftp"', 'comment"ftp"']) {
      const [chain] = chainsOf(listing(line, "accept"));
      expect(chain).toMatchObject({ comment: "ftp", rules: [{ text: "accept" }] });
    }
  });

  test("rules of one shape share it and have their own values", () => {
    const [a, b, c] = rulesOf(listing("tcp dport 22 jump a", "tcp dport 80 jump b", "udp dport 80 jump b"));
    expect(a!.shape).toBe(b!.shape);
    expect(c!.shape).not.toBe(a!.shape);
    expect(b!.values).toEqual(["80", "b"]);
    expect(b!.statements).toMatchObject([{ right: value("80") }, { chain: "b" }]);
  });

  test("an anonymous chain", () => {
    const text = listing("jump {\n\t\t\tip saddr 10.0.0.1 drop\n\t\t\taccept\n\t\t}", "accept");
    const [rule, next] = rulesOf(text);
    expect(rule!.statements).toMatchObject([
      { verdict: "jump", rules: [{ line: 4, column: 4, text: "ip saddr 10.0.0.1 drop" }, { line: 5 }] },
    ]);
    expect(next!.line).toBe(7);
    expect(print(parse(text).document)).toBe(text);
  });
});

describe("what nft does not print in full", () => {
  test("an anonymous chain after a counter is no object of the table", () => {
    for (const word of ["jump", "goto"]) {
      const text = listing(`counter ${word} {`, "\taccept", "}", "drop");
      expect(parse(text).diagnostics).toEqual([]);
      expect(rulesOf(text).length).toBe(2);
    }
  });

  test("a statement that the grammar does not know is an unknown statement", () => {
    const text = listing("tcp dport 22 frob 1 drop", "accept");
    const { diagnostics } = parse(text);
    expect(diagnostics).toEqual([
      { severity: "error", message: "expected a statement after 22", line: 3, column: 16, found: "frob" },
    ]);
    const [rule, next] = rulesOf(text);
    expect(rule!.statements).toMatchObject([{ kind: "match" }, { kind: "unknown", text: "frob 1 drop" }]);
    expect(next!.statements).toMatchObject([{ verdict: "accept" }]);
    expect(print(parse(text).document)).toBe(text);
  });

  test("a rule that nft prints as an empty line is unknown", () => {
    const text = listing("accept", "", "drop");
    expect(rulesOf(text).map((rule) => rule.statements[0]!.kind)).toEqual(["verdict", "unknown", "verdict"]);
    expect(parse(text).diagnostics).toMatchObject([{ severity: "warning", line: 4, column: 3 }]);
    expect(print(parse(text).document)).toBe(text);
  });

  test.each<[what: string, text: string, message: string, line: number]>([
    [
      "a text that is cut off",
      listing("accept").slice(0, -5),
      "the text ends inside chain input of line 2: expected }",
      4,
    ],
    [
      "a chain without its brace",
      "table ip t {\n\tchain a {\n\t\taccept\n\tchain b {\n\t\tdrop\n\t}\n}\n",
      "expected } of chain a of line 2",
      4,
    ],
    [
      "a set in a rule without its brace",
      listing("tcp dport { 22, 80 accept", "drop"),
      "expected a comma or } after 80",
      3,
    ],
    ["an unknown field", listing("tcp frob 5"), "expected a field of tcp after tcp", 3],
    ["a second port", listing("dnat to 10.0.0.1:ip:80"), "expected a statement after ip", 3],
    ["an address that is none", listing("dnat to 2001:db8:foo"), "expected an address or a port after to", 3],
    ["an unterminated quote", listing('iifname "eth0 accept'), "unterminated quote", 3],
    ["deep nesting", listing(`meta mark ${"(".repeat(50)}1`), "nested too deeply", 3],
    [
      "an unknown object",
      "table ip t {\n\tfrob x {\n\t\taccept\n\t}\n}\n",
      "expected a chain, a set, a map or an object",
      2,
    ],
    ["a set without a type", "table ip t {\n\tset x {\n\t}\n}\n", "missing type of set x", 2],
    ["an empty text", "\n", "no table found: the text is empty", 1],
    ["another text", "# x\n", "no table found: this is not the output of nft list ruleset", 1],
  ])("%s is an error", (_, text, message, line) => {
    const { diagnostics } = parse(text);
    expect(diagnostics[0]).toMatchObject({ severity: "error", message, line });
  });

  test("an error does not affect the next chain", () => {
    const text =
      "table ip t {\n\tchain a {\n\t\ttcp dport { 22 drop\n\t}\n\n\tchain b {\n\t\taccept\n\t}\n}\n";
    expect(chainsOf(text).map(({ name, rules }) => [name, rules.length])).toEqual([
      ["a", 1],
      ["b", 1],
    ]);
    expect(parse(text).diagnostics).toHaveLength(1);
  });
});

test("a rule of iptables-nft whose condition nft printed as an empty text has an unknown statement", () => {
  const text = listing(
    " counter packets 0 bytes 0 jump a",
    "meta l4proto tcp  counter packets 1 bytes 2 drop",
  );
  const { document, diagnostics } = parse(text);
  expect(diagnostics).toEqual([]);
  expect(rulesOf(text).map((rule) => rule.statements.map((each) => each.kind))).toEqual([
    ["unknown", "other", "verdict"],
    ["match", "unknown", "other", "verdict"],
  ]);
  expect(print(document)).toBe(text);
});
