import { Lexer } from "chevrotain";
import fc from "fast-check";
import { parse } from "iptables-parser-ts";
import { expect, test } from "vitest";
import { LineParser } from "../parser.ts";
import { vocabulary } from "../tokens.ts";

// Chevrotain's checks want Object.groupBy, which Node 20 does not have.
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

// The parser that users get skips chevrotain's checks of its own grammar; they are made here.
test("the grammar holds what chevrotain asks of it", () => {
  expect(() => new LineParser({ validate: true })).not.toThrow();
});

test("the tokens hold what chevrotain asks of them", () => {
  const { lexerDefinitionErrors } = new Lexer(vocabulary, { positionTracking: "onlyOffset" });
  expect(lexerDefinitionErrors).toEqual([]);
});

// The lexer finds a token by its first character, as told by hints; none may be forgotten.
test("every character can start a word, a name and a line", () => {
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

test("the hints leave no token out that its pattern finds", () => {
  const options = { positionTracking: "onlyOffset", skipValidations: true } as const;
  const hinted = new Lexer(vocabulary, options);
  const plain = new Lexer(vocabulary, { ...options, safeMode: true });
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
  const read = (lexer: Lexer, text: string): unknown[] =>
    lexer.tokenize(text).tokens.map((t) => [t.tokenType.name, t.startOffset, t.image]);
  fc.assert(
    fc.property(line, (text) => {
      expect(read(hinted, text)).toEqual(read(plain, text));
    }),
    { numRuns: 3000 },
  );
});
