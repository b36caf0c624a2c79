/** Generators of texts of nft, valid and not. */
import fc from "fast-check";
import { parse } from "nftables-parser-ts";

export interface Arbitraries {
  /** A chain whose rules occur twice, so that the scanner knows the outlines of some. */
  readonly chain: fc.Arbitrary<string>;
  /** A set with elements of all kinds. */
  readonly set: fc.Arbitrary<string>;
  /** Lines of real texts with some characters cut, replaced or repeated. */
  readonly mutated: fc.Arbitrary<string>;
}

const ELEMENTS = [
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
];

/**
 * Returns generators that use the words of real texts.
 * @param listings output of nft
 * @param commands lines for `nft -f`
 */
export function arbitraries(listings: readonly string[], commands: readonly string[]): Arbitraries {
  const rules = listings
    .flatMap((text) => text.split("\n").filter((line) => /^\t\t\S/.test(line)))
    .map((line) => line.slice(2));
  const words = [...new Set([...rules, ...commands].flatMap((rule) => rule.split(/(?<=[ ,{}])|(?=[ ,{}])/)))];
  const inserted = fc.oneof(
    fc.constantFrom(...words),
    fc.string(),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const cut = (text: string, at: number, length: number, between: string): string => {
    const start = at % (text.length + 1);
    return text.slice(0, start) + between + text.slice(start + length);
  };
  const rule = fc.oneof(
    fc.constantFrom(...rules),
    fc
      .array(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...words) }, fc.string()))
      .map((parts) => parts.join("")),
    fc.tuple(fc.constantFrom(...rules), fc.nat(), fc.nat({ max: 6 }), inserted).map((parts) => cut(...parts)),
  );
  const chain = fc
    .tuple(fc.array(rule, { maxLength: 6 }), fc.constantFrom("\t\t", "  ", "\t\t "))
    .map(([lines, indent]) => {
      const body = [...lines, ...lines].map((line) => `${indent}${line}\n`).join("");
      return `table inet t {\n\tchain c {\n${body}\t}\n}\n`;
    });
  const element = fc.oneof(fc.constantFrom(...ELEMENTS), fc.constantFrom(...words), fc.string());
  const set = fc.array(element, { maxLength: 8 }).map((elements) => {
    const list = [...elements, ...elements].join(", ");
    return `table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { ${list} }\n\t}\n}\n`;
  });
  const texts = [...listings, commands.join("\n")].map((text) => text.split("\n"));
  const mutated = fc
    .tuple(
      fc.constantFrom(...texts),
      fc.nat(),
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 30 }), inserted), { maxLength: 5 }),
    )
    .map(([lines, from, count, changes]) => {
      const start = from % lines.length;
      const text = lines.slice(start, start + count).join("\n");
      return changes.reduce((result, [at, length, between]) => cut(result, at, length, between), text);
    });
  return { chain, set, mutated };
}

/** Returns the number of the shape of each rule; shapes are numbered in the order of their first use. */
export function sharing(text: string, strict: boolean): number[] {
  const numbers = new Map<object, number>();
  const { entries } = parse(text, { strict }).document;
  return entries
    .flatMap((entry) => (entry.kind === "table" ? entry.entries : []))
    .flatMap((entry) => (entry.kind === "chain" ? entry.rules : []))
    .map(({ shape }) => {
      if (!numbers.has(shape)) numbers.set(shape, numbers.size);
      return numbers.get(shape)!;
    });
}
