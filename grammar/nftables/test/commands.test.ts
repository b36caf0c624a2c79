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
    ["delete chain x handle 5", { object: "chain", name: "", place: { word: "handle", number: 5 } }],
    ["delete table ip6 handle 5", { object: "table", family: "ip6", table: "", place: { number: 5 } }],
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
    ["delete chain x y handle 5", "expected the end of the command", 18],
    ["add chain x y handle 5", "expected the end of the command", 15],
    ["flush chain x handle 5", "expected a name after x", 1],
    ["delete table x handle 5", "expected the end of the command", 16],
    ["delete rule x y", "expected handle and a number after y", 1],
    ["delete rule x y index 0", "expected handle and a number after y", 1],
    ["replace rule x y accept", "expected handle and a number after y", 1],
    ["define 5 = x", "expected a name and a value", 1],
    ["define x = 5 }", "expected a table or a command", 14],
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

  test("definitions in blocks are in their block and are printed at their place", () => {
    const text = `table ip x {
	define a = 5

	chain y {
		tcp dport $a
		define b = { 1, 2 }
		tcp dport $b
		redefine b = 7
		tcp dport $b
	}

	undefine a

	set s {
		define c = 10.0.0.1
		type ipv4_addr
		elements = { $c }
	}
}
`;
    const { document, diagnostics } = parse(text);
    expect(diagnostics).toEqual([]);
    expect(document.entries[0]).toMatchObject({
      definitions: [{ verb: "define", name: "a", line: 2 }, { verb: "undefine" }],
      entries: [
        { definitions: [{ name: "b" }, { verb: "redefine" }], rules: { length: 3 } },
        { definitions: [{ name: "c" }] },
      ],
    });
    expect(print(document)).toBe(text);
    expect(JSON.stringify(parse(text, { strict: true }).document)).toBe(JSON.stringify(document));
  });

  test("comments may be anywhere in blocks", () => {
    const text = `table ip x { # a
	# b }
	set s { # c
		type ipv4_addr # d
		elements = { 10.0.0.1, # e }
			10.0.0.2 # f
		} # g
		# h
	}
	counter c { # i
		packets 1 bytes 2 # j
	}
	chain y { # k
		type filter hook input priority 0; policy drop; # l
		tcp dport { 1, # m }
			2 } accept # n ; drop
		# o
	}
	# p
} # q
`;
    const { document, diagnostics } = parse(text);
    expect(diagnostics).toEqual([]);
    expect(document.entries[0]).toMatchObject({
      entries: [
        { elements: { length: 2 } },
        { body: [["packets", "1", "bytes", "2"]] },
        { base: { policy: "drop" }, rules: { length: 1 } },
      ],
    });
  });

  test.each([
    ["\rtable ip x {\n}\n", 1, 1],
    ["table ip x {\r\n\tchain y {\r\n\t\taccept\r\n\t\tdrop\raccept\r\n\t}\r\n}\r\n", 4, 7],
    ["table ip x {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1,\r10.0.0.2 }\n\t}\n}\n", 4, 25],
    ["table ip x {\n\tcounter c {\n\t\tpackets 1\rbytes 2\n\t}\n}\n", 3, 3],
    ["table ip x {\n}\r", 2, 2],
    ["table ip x {\n\r\tchain y {\n\t}\n}\n", 2, 1],
  ])("a carriage return that ends no line is an error: %j", (text, line, column) => {
    const { document, diagnostics } = parse(text);
    expect(diagnostics).toMatchObject([{ severity: "error", line, column }]);
    expect(parse(text, { strict: true })).toMatchObject({ diagnostics });
    expect(parse(text.replaceAll(/\r(?!\n)/g, " ")).document.entries).toHaveLength(document.entries.length);
  });

  test.each([
    ['table x {\n\tcomment "a"\n\tcomment "b"\n}\n', "the block has a comment", 3],
    ['table x {\n\tchain y {\n\t\tcomment "a"\n\t\tcomment "b"\n\t}\n}\n', "the block has a comment", 4],
    ['table x {\n\tcounter y {\n\t\tcomment "a"; comment "b"\n\t}\n}\n', "the block has a comment", 3],
    [
      'table x {\n\tset y {\n\t\ttype mark\n\t\tcomment "a"\n\t\tcomment "b"\n\t}\n}\n',
      "the block has a comment",
      5,
    ],
    [
      "table x {\n\tchain y {\n\t\ttype nat hook input priority 0; policy drop\n\t\tpolicy accept\n\t}\n}\n",
      "the chain has a policy",
      4,
    ],
    [
      "table x {\n\tchain y {\n\t\tpolicy drop\n\t}\n}\n",
      "expected a type and a hook of the chain with a policy",
      3,
    ],
  ])("what nft takes once is an error the second time: %j", (text, message, line) => {
    expect(parse(text).diagnostics).toMatchObject([{ severity: "error", message, line }]);
  });

  test("the policy may precede the type", () => {
    const text = "table x {\n\tchain y {\n\t\tpolicy drop; type filter hook input priority 0\n\t}\n}\n";
    const { document, diagnostics } = parse(text);
    expect(diagnostics).toEqual([]);
    expect(document.entries[0]).toMatchObject({ entries: [{ base: { hook: "input", policy: "drop" } }] });
  });
});
