import { type Command, parse, print } from "nftables-parser-ts";
import { describe, expect, test } from "vitest";

function commandsOf(text: string): Command[] {
  const { document, diagnostics } = parse(text);
  expect(diagnostics).toEqual([]);
  return document.entries.filter((entry) => entry.kind === "command");
}

describe("files for nft -f", () => {
  test.each<[text: string, command: unknown]>([
    ["flush ruleset", { verb: "flush", object: "ruleset", table: "", name: "", body: null }],
    ["flush ruleset inet", { verb: "flush", object: "ruleset", name: "inet" }],
    ["table inet x", { verb: "add", object: "table", family: "inet", table: "x" }],
    ["delete table x", { verb: "delete", object: "table", family: "ip", table: "x" }],
    ["destroy table ip6 x", { verb: "destroy", family: "ip6" }],
    [
      "add rule inet x y tcp dport { 22, 80 } accept",
      { body: { kind: "rule", text: "tcp dport { 22, 80 } accept" } },
    ],
    ["add rule x y accept # handle 5", { body: { kind: "rule", handle: 5 } }],
    ["insert rule x y index 2 drop", { verb: "insert", place: { word: "index", number: 2 } }],
    ["replace rule x y handle 5 drop", { verb: "replace", place: { word: "handle", number: 5 } }],
    ["delete rule x y handle 5", { verb: "delete", object: "rule", body: null }],
    ["add chain x y", { body: { kind: "chain", name: "y", base: null, rules: [] } }],
    [
      "add chain x y { type filter hook input priority filter -10; policy drop; }",
      { body: { kind: "chain", base: { hook: "input", priority: "filter - 10", policy: "drop" } } },
    ],
    ["rename chain x y z", { verb: "rename", name: "y", newName: "z" }],
    [
      "add set x s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }",
      { body: { kind: "set", flags: ["interval"], elements: [{ key: { kind: "prefix" } }] } },
    ],
    [
      "add element x s { 1.1.1.1, 2.2.2.2 }",
      { object: "element", body: { kind: "set", elements: { length: 2 } } },
    ],
    ["delete element x s { 1.1.1.1 }", { verb: "delete", body: { kind: "set", elements: { length: 1 } } }],
    [
      'add ct helper x ftp { type "ftp" protocol tcp; }',
      { object: "ct helper", body: { type: "ct helper" } },
    ],
    ["add counter x c", { object: "counter", body: { kind: "object", type: "counter", body: [] } }],
    ["define x = 5", { verb: "define", object: "variable", name: "x", body: { kind: "value", text: "5" } }],
    ["define x = {\n\t1, # one\n\t2\n}", { body: { kind: "set", elements: { length: 2 } } }],
    ["redefine x = $y", { verb: "redefine", body: { kind: "variable", name: "y" } }],
    ["undefine x", { verb: "undefine", name: "x" }],
    ["add rule x y \\\n  tcp dport 22 \\\n  accept", { body: { statements: { length: 2 } } }],
  ])("%s", (text, command) => {
    const commands = commandsOf(`${text}\n`);
    expect(commands).toHaveLength(1);
    expect(commands[0]).toMatchObject(command as object);
    const printed = print(parse(text).document);
    expect(print(parse(printed).document)).toBe(printed);
  });

  test("commands keep their order, also in one line", () => {
    const text = "#!/usr/sbin/nft -f\nadd table x; add chain x y; add rule x y accept; flush chain x y\n";
    expect(commandsOf(text).map(({ verb, object }) => `${verb} ${object}`)).toEqual([
      "add table",
      "add chain",
      "add rule",
      "flush chain",
    ]);
    expect(parse(text).document.entries[0]).toMatchObject({ kind: "comment", text: "!/usr/sbin/nft -f" });
  });

  test("a ruleset in the style of nftables.conf", () => {
    const text = `#!/usr/sbin/nft -f
flush ruleset
define lan = { 10.0.0.0/8, 192.168.0.0/16 }
table inet filter {
  set admins { type ipv4_addr; elements = {
      10.0.0.1, # the first
      10.0.0.2
  } }
  # a comment
  chain input { type filter hook input priority 0; policy drop;
    iif lo accept; ct state established,related accept # replies
    ip saddr $lan tcp dport { ssh, http } accept
    ip saddr @admins tcp dport \\
      8080 accept
  }
}
`;
    const { document, diagnostics } = parse(text);
    expect(diagnostics).toEqual([]);
    const table = document.entries.at(-1);
    expect(table).toMatchObject({
      kind: "table",
      entries: [
        { kind: "set", elements: { length: 2 } },
        { kind: "chain", base: { priority: "0", policy: "drop" }, rules: { length: 4 } },
      ],
    });
    const printed = print(document);
    expect(printed).toContain("\t\tip saddr $lan tcp dport { ssh, http } accept\n");
    expect(print(parse(printed).document)).toBe(printed);
  });

  test.each([
    ['include "/etc/nftables.d/*.nft"', "include is not followed", 1],
    ["frob x", "expected a table or a command", 1],
    ["add table", "expected a table or a command", 1],
    ["add rule x", "expected a name after x", 1],
    ["add chain x y z", "expected the end of the command", 15],
    ["add rule x y frob", "expected a statement", 14],
    ["limit rate 10/minute", "expected a name after rate", 1],
    ["add chain x accept", "expected a name after x", 1],
    ["add chain x 1y", "expected a name after x", 1],
    ["add limit x y", "expected a property of a limit", 14],
    ["add limit x y rate 10/second burst 5 packets{cept", "expected a property of a limit", 15],
    ["add limit x y { rate 10/second { }; }", "expected a property of a limit", 17],
    ["add quota x y { over 5 }", "expected a property of a quota", 17],
    ['add secmark x y { "system_u\n}', "unterminated quote", 19],
    ['add counter x y { comment "x\n}', "unterminated quote", 27],
    ['add set x y { type ipv4_addr; comment "x\n}', "unterminated quote", 39],
    ['table x { comment "x\n}', "unterminated quote", 19],
    ["add set x y { type ipv4_addr; size {5 }; }", "expected a property of a set", 31],
    ["add set x y { type ipv4_addr; flags {interval}; }", "expected flags of a set", 31],
    ["add map x y { type ipv4_addr : mark; comment 5; }", "expected a string after comment", 38],
    ["table x { flags {dormant}; }", "expected a chain, a set, a map or an object", 11],
  ])("%s is an error", (text, message, column) => {
    const { diagnostics } = parse(`${text}\nadd table ok\n`);
    expect(diagnostics).toHaveLength(1);
    expect(diagnostics[0]).toMatchObject({ severity: "error", line: 1, column });
    expect(diagnostics[0]!.message).toContain(message);
    expect(parse(`${text}\nadd table ok\n`).document.entries.at(-1)).toMatchObject({ table: "ok" });
  });
});
