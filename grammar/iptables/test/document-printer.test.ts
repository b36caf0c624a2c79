import { type Document, parse, print, quote, Rule } from "iptables-parser-ts";
import { describe, expect, test } from "vitest";

/** Parses one line of a table and prints it. */
const printLine = (line: string): string =>
  print(parse(`*filter\n${line}\nCOMMIT\n`).document).split("\n")[1]!;

describe("a line is printed as by iptables-save", () => {
  test.each<[text: string, printed?: string]>([
    ["[1:2] -A INPUT -p tcp -m tcp ! --dport 80 -j DROP"],
    ["-A INPUT -m comment --comment -foo"],
    ["-A INPUT -m comment --comment a_B-9"],
    ['-A INPUT -m comment --comment "a.b"'],
    ['-A INPUT -m comment --comment ""'],
    ['-A INPUT -m comment --comment "!"'],
    ['-A INPUT -m comment --comment "it\\\'s \\"x\\" \\\\"'],
    ['-A INPUT -m string --string "x" --algo bm'],
    ['-A INPUT -m string --string "it\'s" --algo bm'],
    ['-A INPUT -m string --hex-string "|00ff78|" --algo bm'],
    ['-A INPUT -m u32 --u32 "0x0=0x1"'],
    ['-A INPUT -m bpf --bytecode "1,6 0 0 0"'],
    ["-A INPUT -m recent --set --name -x --mask 255.255.255.255 --rsource"],
    ["-A INPUT -m hashlimit --hashlimit-above 1/sec --hashlimit-name a.b"],
    ["-A INPUT -m helper --helper ftp-1"],
    ['-A INPUT -m helper --helper "f.x"'],
    ["-A INPUT -j CT --helper Q.931"],
    ['-A INPUT -m connlabel --label "eth0"'],
    ["-A INPUT -j IDLETIMER --timeout 5 --label a-b"],
    ['-A INPUT -j LOG --log-prefix "[UFW BLOCK] "'],
    ["-I INPUT 1 -j DROP", "-I INPUT -j DROP"],
    ["-I INPUT 2 -j DROP"],
    ["-A  INPUT\t-j DROP ", "-A INPUT -j DROP"],
    ["-A INPUT -c 1 2 -j DROP", "[1:2] -A INPUT -j DROP"],
    ["-A INPUT --dport=80", "-A INPUT --dport 80"],
    ["-A INPUT --dport ! 80"],
    ['-A INPUT --comment ! "-x"'],
    ['-A INPUT --x "!" "-j" "a b" "c"', '-A INPUT --x ! "-j" "a b" c'],
    ['-A "a b"'],
    ["-P INPUT DROP -c 1 2"],
    ["-N a"],
    ['-D INPUT --comment "a b"'],
    ["  # x", "# x"],
    [":a  ACCEPT", ":a ACCEPT"],
  ])("%s", (text, printed = text) => {
    expect(printLine(text)).toBe(printed);
  });
});

test("a table without COMMIT is printed with COMMIT", () => {
  expect(print(parse("*nat\n# x").document)).toBe("*nat\n# x\nCOMMIT\n");
});

test("an empty document is printed as an empty text", () => {
  expect(print({ entries: [] })).toBe("");
});

describe("a string that is no valid syntax in its place is refused", () => {
  const table = (entry: Rule | object): Document => ({
    entries: [{ kind: "table", line: 1, name: "filter", entries: [entry as Rule], commit: 2 }],
  });
  const shape = { options: [{ name: "-j", negated: false, at: 0, count: 1 }] };
  test.each<[what: string, document: Document]>([
    ["a line feed in a value", table(new Rule(1, "-A", "a", shape, ["x\n-A b"], null, null))],
    ["a line feed in the chain of a rule", table(new Rule(1, "-A", "a\nb", shape, ["x"], null, null))],
    [
      "a blank in the name of a chain",
      table({ kind: "chain", line: 1, command: ":", name: "a b", policy: null, counters: null }),
    ],
    [
      "a line feed in a policy",
      table({ kind: "chain", line: 1, command: ":", name: "a", policy: "-\n", counters: null }),
    ],
    ["a line feed in a comment", table({ kind: "comment", line: 1, text: "\n-A x" })],
    [
      "an invalid option",
      table(new Rule(1, "-A", "a", { options: [{ ...shape.options[0]!, name: "x y" }] }, ["x"], null, null)),
    ],
    ["an invalid command", table({ kind: "command", line: 1, command: "rm -rf", words: [] })],
    [
      "a line feed in the name of a table",
      { entries: [{ kind: "table", line: 1, name: "x\ny", entries: [], commit: 1 }] },
    ],
  ])("%s", (_, document) => {
    expect(() => print(document)).toThrow(RangeError);
  });
});

describe("quote", () => {
  test.each<[value: string, option: string, owner: string, text: string]>([
    ["DROP", "", "", "DROP"],
    ["-x", "", "", '"-x"'],
    ["-5", "", "", "-5"],
    ["!", "", "", '"!"'],
    ["", "", "", '""'],
    ["a\\b", "", "", "a\\b"],
    ["-x", "--name", "", "-x"],
    ["a.b", "--comment", "", '"a.b"'],
    ["a.b", "--helper", "CT", "a.b"],
    ["a", "--label", "connlabel", '"a"'],
  ])("%s of %s %s", (value, option, owner, text) => {
    expect(quote(value, option, owner)).toBe(text);
  });
});
