/** Tests the language of queries: what is read, and the errors with their place. */
import { Lexer } from "chevrotain";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseAddress, printAddressRange } from "../../lib/packet/address.ts";
import { protoName } from "../../lib/packet/field.ts";
import { closestWord } from "../../lib/query-language/closest-word.ts";
import { type Expression, isQueryError, type QueryTest } from "../../lib/query-language/expression.ts";
import { ExpressionParser } from "../../lib/query-language/grammar.ts";
import { parseExpression } from "../../lib/query-language/parse-expression.ts";
import { vocabulary } from "../../lib/query-language/tokens.ts";
import { queryErrorText } from "../../lib/report/query/error-text.ts";
import "../group-by.ts";

test("chevrotain finds no error in the grammar and in the tokens", () => {
  expect(() => new ExpressionParser({ validate: true })).not.toThrow();
  expect(new Lexer(vocabulary, { positionTracking: "onlyOffset" }).lexerDefinitionErrors).toEqual([]);
});

/** Prints a test in a form of its own. */
function printTest(each: QueryTest): string {
  switch (each.code) {
    case "addresses":
      return `${each.side}=${each.ranges.map(({ range }) => printAddressRange(range)).join("|")}`;
    case "container":
    case "network":
      return `${each.side}=${each.code}:${each.name.name}`;
    case "interface":
      return `${each.field}=${each.names.map(({ name }) => name).join("|")}`;
    case "protocol":
      return protoName(each.number);
    case "ports":
      return `${each.field}=${each.ranges.map((range) => range.join("-")).join("|")}`;
    case "family":
      return `ipv${each.family}`;
    case "verdict":
      return each.verdict;
    case "delivery":
      return each.delivery;
    case "decided":
      return `by:${each.chain.name}:${each.rule}`;
    default:
      return each.code;
  }
}

function printed(e: Expression): string {
  switch (e.kind) {
    case "test":
      return printTest(e.test);
    case "not":
      return `!${printed(e.not)}`;
    case "and":
      return `(${e.all.map(printed).join(" & ")})`;
    case "or":
      return `(${e.some.map(printed).join(" | ")})`;
  }
}

function read(text: string): string {
  const result = parseExpression(text);
  return isQueryError(result) ? queryErrorText(text, result) : printed(result);
}

describe("reads", () => {
  test.each([
    [
      "from 198.51.100.0/24 to 203.0.113.1 tcp dport 22 in eth0",
      "(src=198.51.100.0/24 & dst=203.0.113.1 & tcp & dport=22-22 & in=eth0)",
    ],
    ["to container web", "dst=container:web"],
    ["from network backend", "src=network:backend"],
    ["out br-x, docker0", "out=br-x|docker0"],
    ["verdict accept or verdict drop or verdict reject", "(accept | drop | reject)"],
    ["forwarded", "forward"],
    ["local", "local"],
    ["sent ipv6", "(sent & ipv6)"],
    ["ct state new", "new"],
    ["not tcp udp or icmp", "((!tcp & udp) | icmp)"],
    ["not (tcp or not udp)", "!(tcp | !udp)"],
    ["not not tcp", "tcp"],
    ["tcp && !dport 22 || udp", "((tcp & !dport=22-22) | udp)"],
    ["dport { 22, 80-90 } sport 1024-65535", "(dport=22-22|80-90 & sport=1024-65535)"],
    ["dport 22,80 , 443", "dport=22-22|80-80|443-443"],
    ["from 2001:db8::/32, 10.0.0.1-10.0.0.9", "src=2001:db8::/32|10.0.0.1-10.0.0.9"],
    ["proto 47 or proto ipv6-icmp or icmpv6", "(gre | icmpv6 | icmpv6)"],
    ["to container new and to container 'a b(c'", "(dst=container:new & dst=container:a b(c)"],
    ['in "wlan 0" to 10.0.0.77/8', "(in=wlan 0 & dst=10.0.0.0/8)"],
    ["by INPUT 3 or by FORWARD policy", "(by:INPUT:3 | by:FORWARD:policy)"],
  ])("%s", (text, result) => expect(read(text)).toBe(result));
});

describe("refuses", () => {
  test.each([
    ["", 0, 0, "test", null],
    ["frm 192.0.2.1", 0, 3, "test", "from"],
    ["tcp dprt 22", 4, 8, "test", "dport"],
    ["tcp 80", 4, 6, "test", "dport 80"],
    ["src 192.0.2.1", 0, 3, "test", "from"],
    ["accept", 0, 6, "test", "verdict accept"],
    ["from eth0", 5, 9, "addresses", null],
    ["from 192.0.2.1, web", 16, 19, "addresses", null],
    ["to contaner web", 3, 11, "addresses", "container"],
    ["from 10.0.0.1/255.0.255.0", 5, 25, "addresses", null],
    ["from", 4, 4, "addresses", null],
    ["dport ssh", 6, 9, "ports", null],
    ["dport 65536", 6, 11, "ports", null],
    ["dport 22,", 9, 9, "ports", null],
    ["dport != 22", 6, 8, "ports", null],
    ["dport { 22, 80", 14, 14, "closing-brace", null],
    ["verdict acept", 8, 13, "verdict", "accept"],
    ["proto 256", 6, 9, "protocol", null],
    ["to container", 12, 12, "name", null],
    ["by INPUT", 8, 8, "rule", null],
    ["by INPUT 0", 9, 10, "rule", null],
    ["ct state old", 9, 12, "state", null],
    ["(tcp", 4, 4, "closing-parenthesis", null],
    ["tcp)", 3, 4, "operator", null],
    ["tcp & udp", 4, 5, "operator", null],
    ["tcp and", 7, 7, "test", null],
    ["() tcp", 1, 2, "test", null],
  ])("%s", (text, start, end, expected, suggestion) => {
    const found = text.slice(start, end);
    expect(parseExpression(text)).toEqual({ code: "unexpected", start, end, found, expected, suggestion });
  });

  test.each([
    ["tcp established", { code: "not-first", state: "established", start: 4, end: 15 }],
    ["ct state related", { code: "not-first", state: "related", start: 9, end: 16 }],
    ["dport 90-80", { code: "empty-range", found: "90-80", start: 6, end: 11 }],
    ["from 10.0.0.9-10.0.0.1", { code: "empty-range", start: 5 }],
    ["to container 'web", { code: "unterminated-name", start: 13, end: 17 }],
    [`${"(".repeat(101)}tcp`, { code: "too-deep", limit: 100, start: 100, end: 101 }],
    ["tcp ".repeat(2501), { code: "too-long", limit: 10_000 }],
    // The first error counts.
    ["dport 0-99999 tcp)", { code: "unexpected", expected: "ports", start: 6 }],
  ])("%s", (text, error) => expect(parseExpression(text)).toMatchObject(error));

  test("with a mark under the place and without control characters", () => {
    expect(read("in eth0 tcp dprt 22")).toMatchInlineSnapshot(`
      "in eth0 tcp dprt 22
                  ^^^^
      "dprt" does not fit here. Did you mean dport? Expected: a test, such as from 198.51.100.0/24, to container web, tcp, dport 22, in eth0, verdict accept or local."
    `);
    expect(read("tcp related")).toMatchInlineSnapshot(`
      "tcp related
          ^^^^^^^
      "related" is no test here: queries are about the first packet of each connection, which decides if there is a connection at all. fwcheck simulate follows a whole connection."
    `);
    const [line, mark] = read("in \u001b[31mx\n tcp x\u001b").split("\n");
    expect(mark!.trimEnd().length).toBe(line!.length);
    expect(line).toMatch(/^[ -~]+$/);
  });
});

test("any text is an expression or an error inside of the text", () => {
  const words = [
    ..."from to in out tcp udp dport sport ( ) { } , not and or ! || && container network verdict accept by 3 policy".split(
      " ",
    ),
    ..."local sent new 22 80-90 192.0.2.0/24 2001:db8::1 web 'a b' \" established ct state proto &".split(
      " ",
    ),
  ];
  const runs = { numRuns: Number(process.env.LAW_PACKETS ?? 500), seed: 16 };
  const text = fc.array(fc.oneof(fc.constantFrom(...words), fc.string({ maxLength: 3 })), { maxLength: 14 });
  let accepted = 0;
  fc.assert(
    fc.property(text, (parts) => {
      const whole = parts.join(" ");
      const result = parseExpression(whole);
      if (!isQueryError(result)) {
        accepted++;
        return;
      }
      expect(result.start).toBeLessThanOrEqual(result.end);
      expect(result.end).toBeLessThanOrEqual(whole.length);
      expect(queryErrorText(whole, result)).toMatch(/^[^\u0000-\u0009\u000b-\u001f\u007f]+$/);
    }),
    runs,
  );
  expect(accepted).toBeGreaterThan(5);
});

test("addresses are those of their family", () => {
  const parsed = parseExpression("from ::1, 127.0.0.1");
  expect(parsed).toMatchObject({
    test: {
      ranges: [
        { family: 6, range: [parseAddress("::1", 6), 1n] },
        { family: 4, range: [0x7f00_0001, 0x7f00_0001] },
      ],
    },
  });
});

test("suggests a word with few edits", () => {
  expect(closestWord("conatiner", ["network", "container"])).toBe("container");
  expect(closestWord("FROM", ["from"])).toBe("from");
  expect(closestWord("eth7", ["wlan0"])).toBeUndefined();
});
