import { Lexer } from "chevrotain";
import fc from "fast-check";
import { parse } from "iptables-parser-ts";
import { expect, test } from "vitest";
import { LineLexer } from "../line-lexer.ts";
import { LineParser } from "../line-parser.ts";
import { vocabulary } from "../tokens.ts";

// Chevrotain's validation needs Object.groupBy, which Node 20 does not have.
if (!("groupBy" in Object))
  Object.defineProperty(Object, "groupBy", {
    value: <T>(items: Iterable<T>, key: (item: T, i: number) => PropertyKey): object => {
      const groups = new Map<PropertyKey, T[]>();
      let i = 0;
      for (const item of items) {
        const k = key(item, i++);
        groups.set(k, [...(groups.get(k) ?? []), item]);
      }
      return Object.fromEntries(groups);
    },
  });

// The parser skips chevrotain's validation of the grammar at run time. It is done here.
test("chevrotain finds no error in the grammar", () => {
  expect(() => new LineParser({ validate: true })).not.toThrow();
});

test("chevrotain finds no error in the tokens", () => {
  const { lexerDefinitionErrors } = new Lexer(vocabulary, { positionTracking: "onlyOffset" });
  expect(lexerDefinitionErrors).toEqual([]);
});

test("every character can start words, names and lines", () => {
  const blanks = new Set([..." \t\r\n"].map((c) => c.charCodeAt(0)));
  const codes = Array.from({ length: 65_536 }, (_, code) => code).filter((c) => !blanks.has(c));
  for (let i = 0; i < codes.length; i += 1024) {
    const some = codes.slice(i, i + 1024).map((c) => String.fromCharCode(c));
    const plain = some.filter((c) => c !== '"' && c !== "-");
    const lines = [...plain.map((c) => `-A a --x ${c}x`), ...some.map((c) => `:${c}x - [0:0]`), "COMMIT"];
    const { document, diagnostics } = parse(`*filter\n${lines.join("\n")}\n`, { strict: true });
    expect(diagnostics).toEqual([]);
    const [table] = document.entries;
    const read = (table?.kind === "table" ? table.entries : []).map((e) =>
      e.kind === "rule" ? e.values[0] : e.kind === "chain" ? e.name : "",
    );
    expect(read).toEqual([...plain, ...some].map((c) => `${c}x`));
  }
  const starts = codes.map((c) => String.fromCharCode(c)).filter((c) => !"#*:\ufeff".includes(c));
  const { diagnostics } = parse(`*filter\n${starts.map((c) => `${c}x`).join("\n")}\nCOMMIT\n`, {
    strict: true,
  });
  expect(diagnostics).toHaveLength(starts.length);
});

test("the tokens of a line are those of chevrotain's lexer", () => {
  const lexer = new LineLexer(vocabulary);
  const model = new Lexer(vocabulary, { positionTracking: "onlyOffset", safeMode: true });
  const words = [
    ..."-A --append -I -N --new -P -F --flush -C -c --set-counters [1:2] 1,2 12 COMMIT * : # ! -m --match -j".split(
      " ",
    ),
    ...'--goto -g --comment --u32 -4 -p --dport --dport=80 --x="y" "a b" a"b" "open nat _t INPUT \ufeff é'.split(
      " ",
    ),
  ];
  const line = fc
    .array(fc.tuple(fc.constantFrom("", " ", "\t"), fc.oneof(fc.constantFrom(...words), fc.string())))
    .map((parts) => parts.flat().join("").replaceAll("\n", " "));
  fc.assert(
    fc.property(line, (text) => {
      expect(lexer.tokenize(text)).toEqual(model.tokenize(text).tokens);
    }),
    { numRuns: 3000 },
  );
});
