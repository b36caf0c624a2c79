/** JSON documents in pieces are those of JSON.stringify. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { toJson, writeJson } from "../../cli/json-pieces.ts";

const joined = (value: unknown): string => {
  let text = "";
  writeJson(value, (piece) => {
    text += piece;
  });
  return text;
};

test("the pieces of any value", () => {
  const leaf = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.double(),
    fc.bigInt(),
    fc.constantFrom(undefined, null, true, () => 1, Symbol("s"), new Date(0)),
    fc.array(fc.tuple(fc.string(), fc.bigInt())).map((entries) => new Map(entries)),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 7, depthSize: "large" },
      leaf,
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(fc.string(), tie("value"), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(value, (each) => {
      expect(joined(each)).toBe(JSON.stringify(each, toJson, 2) ?? "null");
    }),
    { numRuns: 500 },
  );
});

test("a long list is many pieces", () => {
  const pieces: string[] = [];
  writeJson({ findings: Array.from({ length: 1000 }, (_, i) => ({ id: i })) }, (piece) => pieces.push(piece));
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(100);
});
