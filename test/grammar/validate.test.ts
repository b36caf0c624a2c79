import { Lexer } from "chevrotain";
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
