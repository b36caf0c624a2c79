import { readFileSync } from "node:fs";
import fc from "fast-check";
import { parse, print } from "nftables-parser-ts";
import { expect, test } from "vitest";
import { arbitraries, sharing } from "./arbitrary.ts";
import { corpus, recordOf, VERSIONS } from "./lab.ts";

const runs = { numRuns: Number(process.env.PROPERTY_RUNS ?? 1500) };
const listings = VERSIONS.map((version) => readFileSync(recordOf(version, "-handles"), "utf8"));
const { chain, set, mutated } = arbitraries(listings, corpus());
const text = fc.oneof(chain, set, mutated);

test("the scanner and the grammar give the same result for any text", () => {
  fc.assert(
    fc.property(text, (input) => {
      expect(JSON.stringify(parse(input))).toBe(JSON.stringify(parse(input, { strict: true })));
      expect(sharing(input, false)).toEqual(sharing(input, true));
    }),
    runs,
  );
});

test("parsing the printed document gives the same text", () => {
  fc.assert(
    fc.property(text, (input) => {
      const { document, diagnostics } = parse(input);
      if (diagnostics.length > 0) return;
      const printed = print(document);
      expect(parse(printed).diagnostics).toEqual([]);
      expect(print(parse(printed).document)).toBe(printed);
    }),
    runs,
  );
});
