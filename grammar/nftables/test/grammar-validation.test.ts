import { Lexer } from "chevrotain";
import fc from "fast-check";
import { expect, test } from "vitest";
import { vocabulary } from "../tokens.ts";
import { UnitParser } from "../unit-parser.ts";

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
  expect(() => new UnitParser({ validate: true })).not.toThrow();
});

test("chevrotain finds no error in the tokens", () => {
  expect(new Lexer(vocabulary, { positionTracking: "onlyOffset" }).lexerDefinitionErrors).toEqual([]);
});

// The lexer selects tokens by their first character, which the hints list.
test("the hints contain every first character that a pattern accepts", () => {
  const options = { positionTracking: "onlyOffset", skipValidations: true } as const;
  const hinted = new Lexer(vocabulary, options);
  const plain = new Lexer(vocabulary, { ...options, safeMode: true });
  const words =
    'tcp dport 22 10.0.0.1 10.0.0.0/8 1-2 fe80::1 ::1 a:b 1:10 00:11:22:33:44:55 { } ( ) [ ] , : ; . * ! != == < >= << & | ^ - + / = @set @th,0,8 $var "a b" "open jump goto x # \\ é \ufeff \n and'.split(
      " ",
    );
  const line = fc
    .array(fc.tuple(fc.constantFrom("", " ", "\t"), fc.oneof(fc.constantFrom(...words), fc.string())))
    .map((parts) => parts.flat().join(""));
  const read = (lexer: Lexer, text: string): unknown[] =>
    lexer.tokenize(text).tokens.map((t) => [t.tokenType.name, t.startOffset, t.image]);
  fc.assert(
    fc.property(line, (text) => {
      expect(read(hinted, text)).toEqual(read(plain, text));
    }),
    { numRuns: 2000 },
  );
});
