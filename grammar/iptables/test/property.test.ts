import fc from "fast-check";
import { parse, print } from "iptables-parser-ts";
import { expect, test } from "vitest";
import { flat, kube, ufw } from "../../../test/bench/generate.ts";
import { mutated, runs, text, validOption } from "./arbitrary.ts";
import { plain, sharing } from "./plain.ts";

function expectSameResult(input: string): void {
  const fast = parse(input);
  const strict = parse(input, { strict: true });
  expect(fast.diagnostics).toEqual(strict.diagnostics);
  expect(plain(fast.document, { lines: true })).toEqual(plain(strict.document, { lines: true }));
  expect(sharing(fast.document)).toEqual(sharing(strict.document));
}

function expectPrintRoundTrip(input: string): void {
  const { document } = parse(input);
  const printed = print(document);
  const again = parse(printed);
  expect(
    again.diagnostics.filter((d) => d.severity === "error" && !d.message.startsWith("no table")),
  ).toEqual([]);
  expect(plain(again.document)).toEqual(plain(document));
  expect(print(again.document)).toBe(printed);
}

const generated = fc.constantFrom(kube(60), ufw(6), flat(20));

test("the scanner and the grammar give the same result for any text", () => {
  fc.assert(fc.property(text, expectSameResult), runs);
});

test("the scanner and the grammar give the same result for mutated texts", () => {
  fc.assert(fc.property(mutated(fc.oneof(text, generated)), expectSameResult), runs);
});

test("parsing the printed document gives the same document", () => {
  fc.assert(fc.property(fc.oneof(text, mutated(generated)), expectPrintRoundTrip), runs);
});

test("an option in valid syntax is parsed to its name and values", () => {
  fc.assert(
    fc.property(fc.array(validOption, { maxLength: 6 }), (options) => {
      const input = `*filter\n-A INPUT ${options.map((o) => o.text).join(" ")}\nCOMMIT\n`;
      const { document, diagnostics } = parse(input);
      expect(diagnostics).toEqual([]);
      expect(plain(document)).toMatchObject([
        { entries: [{ chain: "INPUT", options: options.map((o) => o.option) }] },
      ]);
    }),
    runs,
  );
});
