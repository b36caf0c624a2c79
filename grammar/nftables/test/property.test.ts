import { readFileSync } from "node:fs";
import fc from "fast-check";
import { parse, print } from "nftables-parser-ts";
import { expect, test } from "vitest";
import { corpus, recordOf, VERSIONS } from "./lab.ts";

const runs = { numRuns: Number(process.env.PROPERTY_RUNS ?? 1500) };
const listings = VERSIONS.map((version) => readFileSync(recordOf(version, "-handles"), "utf8"));
const rules = listings.flatMap((text) =>
  text
    .split("\n")
    .filter((line) => /^\t\t\S/.test(line))
    .map((line) => line.slice(2)),
);
const words = [...new Set([...rules, ...corpus()].flatMap((rule) => rule.split(/(?<=[ ,{}])|(?=[ ,{}])/)))];

/** A rule of the listings, or words of them in any order and with any blanks. */
const rule = fc.oneof(
  fc.constantFrom(...rules),
  fc
    .array(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...words) }, { weight: 1, arbitrary: fc.string() }),
    )
    .map((parts) => parts.join("")),
  fc
    .tuple(
      fc.constantFrom(...rules),
      fc.nat(),
      fc.nat({ max: 6 }),
      fc.oneof(fc.constantFrom(...words), fc.string()),
    )
    .map(([text, at, length, inserted]) => {
      const start = at % text.length;
      return text.slice(0, start) + inserted + text.slice(start + length);
    }),
);

/** A chain whose rules occur twice, so that the scanner knows the outlines of some. */
const chain = fc
  .tuple(fc.array(rule, { maxLength: 6 }), fc.constantFrom("\t\t", "  ", "\t\t "))
  .map(
    ([lines, indent]) =>
      `table inet t {\n\tchain c {\n${[...lines, ...lines].map((line) => `${indent}${line}\n`).join("")}\t}\n}\n`,
  );

const element = fc.oneof(
  fc.constantFrom(
    "10.0.0.1",
    "1-2",
    "fe80::/10",
    '"eth0"',
    "tcp . 22",
    "1 : accept",
    "1 : jump x",
    '5 timeout 1h expires 2s comment "x, }"',
    "1:2",
    "*",
    "syn | ack",
  ),
  fc.constantFrom(...words),
  fc.string(),
);
const set = fc
  .array(element, { maxLength: 8 })
  .map(
    (elements) =>
      `table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { ${[...elements, ...elements].join(", ")} }\n\t}\n}\n`,
  );

const sharing = (text: string, strict: boolean): number[] => {
  const numbers = new Map<object, number>();
  return parse(text, { strict }).document.entries.flatMap((table) =>
    table.kind !== "table"
      ? []
      : table.entries.flatMap((entry) =>
          entry.kind !== "chain"
            ? []
            : entry.rules.map(({ shape }) => {
                if (!numbers.has(shape)) numbers.set(shape, numbers.size);
                return numbers.get(shape)!;
              }),
        ),
  );
};

test("the scanner and the grammar give the same result for any text", () => {
  fc.assert(
    fc.property(fc.oneof(chain, set), (text) => {
      expect(JSON.stringify(parse(text))).toBe(JSON.stringify(parse(text, { strict: true })));
      expect(sharing(text, false)).toEqual(sharing(text, true));
    }),
    runs,
  );
});

test("parsing the printed document gives the same text", () => {
  fc.assert(
    fc.property(fc.oneof(chain, set), (text) => {
      const { document, diagnostics } = parse(text);
      if (diagnostics.length > 0) return;
      const printed = print(document);
      expect(parse(printed).diagnostics).toEqual([]);
      expect(print(parse(printed).document)).toBe(printed);
    }),
    runs,
  );
});
