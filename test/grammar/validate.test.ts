import { Lexer } from "chevrotain";
import { parse } from "fwcheck/grammar";
import { expect, test } from "vitest";
import { LineParser } from "../../grammar/parser.ts";
import { vocabulary } from "../../grammar/tokens.ts";

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
