import { type Document, type Option, parse, Rule, type Table } from "iptables-parser-ts";
import { describe, expect, test } from "vitest";
import { plain } from "./plain.ts";

const tableOf = (lines: string): string => `*filter\n${lines}\nCOMMIT\n`;
const firstTable = (document: Document): Table => document.entries.find((e) => e.kind === "table")!;
const rules = (document: Document): Rule[] =>
  document.entries.flatMap((e) => (e.kind === "table" ? e.entries : [])).filter((e) => e instanceof Rule);
const diagnosticsOf = (text: string): string[] =>
  parse(text).diagnostics.map((d) => `${d.severity} ${d.line}:${d.column} ${d.message} | ${d.found}`);

/** Prints an option as `! -p <tcp>`. */
const printOption = ({ negated, name, values }: Option): string =>
  `${negated ? "! " : ""}${name}${values.map((v) => ` <${v}>`).join("")}`;

describe("the options of a rule", () => {
  test.each<[text: string, options: string]>([
    ["-p tcp --dport 80 -j ACCEPT", "-p <tcp>, --dport <80>, -j <ACCEPT>"],
    ["! -i eth0 -m set ! --match-set a src,dst", "! -i <eth0>, -m <set>, ! --match-set <a> <src,dst>"],
    ["--tcp-flags FIN,SYN,RST,ACK SYN", "--tcp-flags <FIN,SYN,RST,ACK> <SYN>"],
    ["-f -j DROP", "-f, -j <DROP>"],
    ["-4 -6 -5", "-4, -6 <-5>"],
    ["--x - -- -5 -0x1 -é", "--x <-> <--> <-5> <-0x1> <-é>"],
    ["--dport=80 --to=a=b --x=", "--dport <80>, --to <a=b>, --x <>"],
    ['--log-prefix="a b" -j LOG', "--log-prefix <a b>, -j <LOG>"],
    ["--dport ! 80 -j DROP", "--dport <!> <80>, -j <DROP>"],
    ["--syn ! -i eth0", "--syn, ! -i <eth0>"],
    ['--dport "!"', "--dport <!>"],
    ["--comment -foo -j DROP", "--comment <-foo>, -j <DROP>"],
    ["--comment ! -j DROP", "--comment <!>, -j <DROP>"],
    ["--comment -j -j DROP", "--comment <-j>, -j <DROP>"],
    ["--string ! x", "--string <!> <x>"],
    ["--comment COMMIT --comment #", "--comment <COMMIT>, --comment <#>"],
    [
      "-m comment --comment a -m comment --comment b",
      "-m <comment>, --comment <a>, -m <comment>, --comment <b>",
    ],
    ['--comment "a \\"b\\" \\\\ c\\d"', '--comment <a "b" \\ cd>'],
    ["--comment a\\b", "--comment <a\\b>"],
    ["--comment 'a", "--comment <'a>"],
    ['--comment ""', "--comment <>"],
    ['--comment pre"fix and"', "--comment <prefix and>"],
    ['--x "a"b"c" d', "--x <a> <bc> <d>"],
    ['--x "-j" DROP', "--x <-j> <DROP>"],
    ['--x -j"a"', "--x <-ja>"],
    ["--x  a \t b ", "--x <a> <b>"],
    ["-j LOG", "-j <LOG>"],
    ['-j "LOG"', "-j <LOG>"],
    ["--jump ACCEPT", "--jump <ACCEPT>"],
    ["-c 1 2 -j DROP", "-j <DROP>"],
    ["", ""],
  ])("%s", (text, options) => {
    const { document, diagnostics } = parse(tableOf(`-A INPUT ${text}`));
    expect(diagnostics).toEqual([]);
    expect(rules(document)[0]!.options.map(printOption).join(", ")).toBe(options);
  });
});

describe("a line of a table", () => {
  test.each<[line: string, entry: object]>([
    [
      "-A INPUT",
      { kind: "rule", command: "-A", chain: "INPUT", counters: null, position: null, options: [] },
    ],
    ["--append INPUT", { kind: "rule", command: "-A", chain: "INPUT" }],
    [" \t-A INPUT ", { kind: "rule", command: "-A", chain: "INPUT" }],
    ["[12:345] -A INPUT", { counters: [12, 345] }],
    ["[12:345]-A INPUT", { counters: [12, 345] }],
    ["[9007199254740993:0] -A INPUT", { counters: [9007199254740993n, 0] }],
    ["-A INPUT -c 7 8", { counters: [7, 8], options: [] }],
    ["-A INPUT --set-counters 7,8", { counters: [7, 8], options: [] }],
    ["-I INPUT", { command: "-I", position: 1 }],
    ["-I INPUT 3 -p tcp", { command: "-I", position: 3 }],
    ["--insert INPUT 3", { command: "-I", position: 3 }],
    ["-A __proto__", { chain: "__proto__" }],
    ['-A "a b"', { chain: "a b" }],
    [
      ":INPUT ACCEPT [1:2]",
      { kind: "chain", command: ":", name: "INPUT", policy: "ACCEPT", counters: [1, 2] },
    ],
    [":INPUT ACCEPT", { name: "INPUT", policy: "ACCEPT", counters: null }],
    [":f2b-ssh.d - [0:0]", { name: "f2b-ssh.d", policy: null, counters: [0, 0] }],
    [": a\t- [0:0]", { name: "a", policy: null }],
    [':"a - [0:0]', { name: '"a' }],
    [":__proto__ - [0:0]", { name: "__proto__" }],
    ["-N a", { kind: "chain", command: "-N", name: "a", policy: null, counters: null }],
    ["--new-chain a", { kind: "chain", command: "-N", name: "a" }],
    ["-P INPUT DROP", { kind: "chain", command: "-P", name: "INPUT", policy: "DROP", counters: null }],
    ["-P INPUT DROP -c 1 2", { command: "-P", policy: "DROP", counters: [1, 2] }],
    ["-F", { kind: "command", command: "-F", words: [] }],
    ["--flush INPUT", { kind: "command", command: "-F", words: ["INPUT"] }],
    [
      '-D INPUT ! -p tcp --comment "a b"',
      { command: "-D", words: ["INPUT", "!", "-p", "tcp", "--comment", "a b"] },
    ],
    ["#x", { kind: "comment", text: "x" }],
    ["  # x ", { kind: "comment", text: " x " }],
  ])("%s", (line, entry) => {
    const { document, diagnostics } = parse(tableOf(line));
    expect(diagnostics).toEqual([]);
    expect((plain(document) as { entries: object[] }[])[0]!.entries).toMatchObject([entry]);
  });
});

describe("a syntax error", () => {
  test.each<[line: string, diagnostic: string]>([
    ["-A", "error 2:3 expected a chain name after -A | "],
    ["-A -p tcp", "error 2:4 expected a chain name after -A | -p"],
    ["-N", "error 2:3 expected a chain name after -N | "],
    ["-P INPUT", "error 2:9 expected a policy after INPUT | "],
    ["-P INPUT DROP x", "error 2:15 expected the end of the line after DROP | x"],
    ["-N a b", "error 2:6 expected the end of the line after a | b"],
    [":", "error 2:2 expected a chain name after : | "],
    [":a", "error 2:3 expected a policy after a | "],
    [":a - [0:0] x", "error 2:12 expected the end of the line after [0:0] | x"],
    [":a - x", "error 2:6 expected counters or the end of the line after - | x"],
    ["[1:2]", "error 2:6 expected -A or -I after [1:2] | "],
    ["[1:2] -F", "error 2:7 expected -A or -I after [1:2] | -F"],
    ["-A a b", "error 2:6 expected an option, a match or a target after a | b"],
    ["-A a -j x y", "error 2:11 expected an option, a match or a target after x | y"],
    ["-A a -m", "error 2:8 expected a match name after -m | "],
    ["-A a -m -j x", "error 2:9 expected a match name after -m | -j"],
    ["-A a -j", "error 2:8 expected a target or a chain name after -j | "],
    ["-A a --comment", "error 2:15 expected a value after --comment | "],
    ["-A a ! x", "error 2:8 expected an option, a match or a target after ! | x"],
    ["-A a !", "error 2:7 expected an option, a match or a target after ! | "],
    ["-A a ! ! -p x", "error 2:8 expected an option, a match or a target after ! | !"],
    ["-A a -c 1", "error 2:10 expected a byte count after 1 | "],
    ["-A a -c x y", "error 2:9 expected packet and byte counts after -c | x"],
    ["-A a -j LOG # why", "error 2:13 expected an option, a match or a target after LOG | #"],
    ['-A a --comment "x y', 'error 2:16 unterminated quote | "x y'],
    ['-A "a', 'error 2:4 unterminated quote | "a'],
    ['-A a -p "', 'error 2:9 unterminated quote | "'],
    ["-I a 0", "error 2:6 expected an option, a match or a target after a | 0"],
    ["--dport 80 -j DROP", "error 2:1 expected a rule, a chain, a comment or COMMIT | --dport 80 -j DROP"],
    ["  iptables -A INPUT", "error 2:3 expected a rule, a chain, a comment or COMMIT | iptables -A INPUT"],
    ["* x y", "error 2:5 expected the end of the line after x | y"],
    ["*", "error 2:2 expected a table name after * | "],
    ["COMMIT x", "error 2:8 expected the end of the line after COMMIT | x"],
    [
      `-A a ${"x".repeat(99)}`,
      `error 2:6 expected an option, a match or a target after a | ${"x".repeat(80)}`,
    ],
  ])("%s", (line, message) => {
    const text = `*filter\n${line}\n-A INPUT -j DROP\nCOMMIT\n`;
    expect(diagnosticsOf(text)).toEqual([message]);
    expect(rules(parse(text).document)).toHaveLength(1);
  });
});

describe("a document", () => {
  const rule = "-A INPUT -j DROP";
  const implied = "rules outside a table: read as table filter";
  test.each<[what: string, text: string, tables: string, diagnostics: string[]]>([
    ["with CRLF", `*nat\r\n${rule}\r\nCOMMIT\r\n`, "nat 1", []],
    ["without a final line feed", `*nat\n${rule}\nCOMMIT`, "nat 1", []],
    ["with a byte order mark", `\ufeff*nat\n${rule}\nCOMMIT\n`, "nat 1", []],
    ["with blank lines", `\n\n*nat\n \t\n${rule}\n\nCOMMIT\n\n`, "nat 1", []],
    [
      "with several dumps",
      `*nat\n${rule}\nCOMMIT\n*nat\nCOMMIT\n*raw\n${rule}\nCOMMIT\n`,
      "nat 1, nat 0, raw 1",
      [],
    ],
    [
      "without COMMIT",
      `*nat\n${rule}\n`,
      "nat 1",
      ["warning 3:1 missing COMMIT: table nat of line 1 ends here | "],
    ],
    [
      "with a table that has no COMMIT",
      `*nat\n${rule}\n*raw\nCOMMIT\n`,
      "nat 1, raw 0",
      ["warning 3:1 missing COMMIT: table nat of line 1 ends here | "],
    ],
    ["from iptables -S", `-P INPUT DROP\n${rule}\n`, "filter 2", [`warning 1:1 ${implied} | -P INPUT DROP`]],
    [
      "with rules after COMMIT",
      `*nat\nCOMMIT\n${rule}\n`,
      "nat 0, filter 1",
      [`warning 3:1 ${implied} | ${rule}`],
    ],
    [
      "with unrelated text in two places",
      `${rule}\n*nat\nCOMMIT\n${rule}\n`,
      "filter 1, nat 0, filter 1",
      [`warning 1:1 ${implied} | ${rule}`],
    ],
    [
      "copied from a shell",
      `$ su\n\n# iptables-save\n*nat\n${rule}\nCOMMIT\n$ ls\na b\n:c\nCOMMIT\n`,
      "nat 1",
      [
        "warning 1:1 skipped a line of text outside any table | $ su",
        "warning 7:1 skipped 3 lines of text outside any table | $ ls",
        "error 10:1 COMMIT outside a table: the table's beginning is missing | COMMIT",
      ],
    ],
    [
      "with a syntax error outside a table",
      "-A INPUT x\n*nat\nCOMMIT\n",
      "nat 0",
      ["error 1:10 expected an option, a match or a target after INPUT | x"],
    ],
    ["that is empty", "", "", ["error 1:1 no table found: the text is empty | "]],
    ["of blanks", " \r\n\n", "", ["error 1:1 no table found: the text is empty | "]],
    ["of comments", "# x\n", "", ["error 1:1 no table found: this is not iptables-save output | # x"]],
    [
      "in another language",
      "table ip filter {\n}\n",
      "",
      [
        "warning 1:1 skipped 2 lines of text outside any table | table ip filter {",
        "error 1:1 no table found: this is not iptables-save output | table ip filter {",
      ],
    ],
  ])("%s", (_, text, tables, messages) => {
    const { document } = parse(text);
    expect(diagnosticsOf(text)).toEqual(messages);
    const found = document.entries.flatMap((e) =>
      e.kind === "table" ? [`${e.name} ${e.entries.length}`] : [],
    );
    expect(found.join(", ")).toBe(tables);
  });
});

test("line numbers start at 1, and a table has the line of its COMMIT", () => {
  const { document } = parse("# a\n*nat\n:INPUT ACCEPT [0:0]\n\n-A INPUT\nCOMMIT\n");
  const table = firstTable(document);
  expect([document.entries[0]!.line, table.line, table.entries.map((e) => e.line), table.commit]).toEqual([
    1,
    2,
    [3, 5],
    6,
  ]);
});

test("rules share a shape only if their matches and extension targets are equal", () => {
  const alike = ["-p tcp -m tcp -j DROP", "-p udp -m tcp -j chain", '-p "6" -m "tcp" -j ACCEPT'];
  const others = [
    "-p tcp -m udp -j DROP",
    "-p tcp -m tcp -j LOG",
    "-p tcp -m tcp -g DROP",
    "! -p tcp -m tcp -j DROP",
  ];
  const text = tableOf([...alike, ...others].map((o) => `-A INPUT ${o}`).join("\n"));
  for (const strict of [false, true]) {
    const shapes = rules(parse(text, { strict }).document).map((r) => r.shape);
    expect(new Set(shapes.slice(0, alike.length)).size).toBe(1);
    expect(new Set(shapes).size).toBe(1 + others.length);
  }
});

test("a rule as JSON", () => {
  const { document } = parse(tableOf("[9007199254740993:1] -I INPUT 2 ! -i lo -j DROP"));
  expect(JSON.parse(JSON.stringify(firstTable(document).entries[0]))).toEqual({
    kind: "rule",
    line: 2,
    command: "-I",
    chain: "INPUT",
    position: 2,
    counters: ["9007199254740993", 1],
    options: [
      { negated: true, name: "-i", values: ["lo"] },
      { negated: false, name: "-j", values: ["DROP"] },
    ],
  });
});
