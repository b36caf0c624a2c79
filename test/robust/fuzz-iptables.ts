/** The part of `npm run fuzz` for texts of iptables-save. */
import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { parse, print } from "iptables-parser-ts";
import { mutated, text } from "../../grammar/iptables/test/arbitrary.ts";
import { plain, sharing } from "../../grammar/iptables/test/plain.ts";
import { readRuleset } from "../../lib/index.ts";
import { asIptables } from "../../lib/iptables/rule.ts";
import { flat, kube, ufw } from "../bench/generate.ts";
import { fuzz } from "./fuzz-run.ts";

/** Milliseconds allowed for an input of a few KB on a busy machine. */
const SLOW = 2000;
/** The slow checks run for one input in 8. */
const SHARE = 8;

const folders = ["examples", "../shared/rulesets", "../shared/captures"];

/** Returns the texts of the files of a folder that look like rulesets; none if the folder is missing. */
function files(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((f) => f.isFile() && !f.name.endsWith(".json"))
      .map((f) => readFileSync(`${f.parentPath}/${f.name}`, "utf8"))
      .filter((found) => /^(\*\w+|-A )/m.test(found));
  } catch {
    return [];
  }
}

const real = [...folders.flatMap(files), kube(200), ufw(20), flat(100)];
const words = [...new Set(real.flatMap((file) => file.match(/\S+/g)?.slice(0, 5000) ?? []))];

/** Words that replace words of valid files. */
const odd = fc.oneof(
  fc.constantFrom(
    ...["__proto__", "constructor", "toString", "hasOwnProperty", "\u0000", "\u001b[31m", "\u2028"],
  ),
  fc.constantFrom(
    ...['"', "\\", '""', "!", "-", "--", "-j", "-m", "\r", "\n", "\t", "[0:0]", ":", "*", "COMMIT"],
  ),
  fc.constantFrom(
    ...["é", "\u{1f600}", "\ud800", "\ufeff", "0x1p3", "1e9", "-1", "4294967296", "9".repeat(30)],
  ),
  fc.constantFrom(...words),
  fc.string({ unit: "binary", maxLength: 8 }),
);

/** Lines of a real file with some words replaced and some lines cut, repeated or moved. */
const changed: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(...real),
    fc.nat(),
    fc.integer({ min: 1, max: 60 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(7), odd, fc.nat()), { maxLength: 6 }),
  )
  .map(([file, from, count, changes]) => {
    const all = file.split("\n");
    const start = from % all.length;
    const lines = ["*filter", ...all.slice(start, start + count)].slice(from % 3 === 0 ? 1 : 0);
    for (const [place, how, word, other] of changes) {
      const at = place % lines.length;
      const line = lines[at]!;
      const parts = line.split(" ");
      const part = other % parts.length;
      if (how === 0) lines.splice(at, 0, lines[other % lines.length]!);
      else if (how === 1 && lines.length > 1) lines.splice(at, 1);
      else if (how === 2) lines[at] = line.slice(0, other % (line.length + 1));
      else if (how === 3) lines[at] = line + word;
      else if (how === 4) lines[at] = parts.toSpliced(part, 0, word).join(" ");
      else if (how === 5) lines[at] = parts.toSpliced(part, 1).join(" ");
      else lines[at] = parts.with(part, word).join(" ");
    }
    return lines.join("\n");
  });

const counts = { inputs: 0, bytes: 0, compared: 0, printed: 0, diagnostics: 0, rules: 0 };
let slowest = 0;

function same(a: unknown, b: unknown, what: string): void {
  if (!isDeepStrictEqual(a, b)) throw new Error(what);
}

/** Errors other than "no table", which an empty document causes. */
const faults = ({ diagnostics }: ReturnType<typeof parse>): unknown[] =>
  diagnostics.filter((d) => d.severity === "error" && !d.message.startsWith("no table"));

function check(input: string): void {
  const start = performance.now();
  const parsed = parse(input);
  const { rulesets, diagnostics } = readRuleset([{ name: "fuzz", text: input }]);
  counts.inputs++;
  counts.bytes += input.length;
  counts.diagnostics += diagnostics.length;
  for (const { tables } of rulesets)
    for (const { chains } of tables.values())
      for (const chain of chains.values()) counts.rules += chain.rules.length;
  if (counts.inputs % SHARE === 0) {
    const strict = parse(input, { strict: true });
    same(parsed.diagnostics, strict.diagnostics, "the scanner and the grammar report different diagnostics");
    same(
      plain(parsed.document, { lines: true }),
      plain(strict.document, { lines: true }),
      "the scanner and the grammar give different documents",
    );
    same(
      sharing(parsed.document),
      sharing(strict.document),
      "the scanner and the grammar share shapes differently",
    );
    counts.compared++;
  }
  if (counts.inputs % SHARE === 1) {
    for (const { tables } of rulesets)
      for (const { chains } of tables.values())
        for (const chain of chains.values())
          for (const rule of chain.rules) {
            const { matches, unknown, target, counters } = asIptables(rule);
            void [matches, unknown, target, counters];
          }
    const printed = print(parsed.document);
    const again = parse(printed);
    same(faults(again), [], "the printed document has errors");
    same(
      plain(again.document),
      plain(parsed.document),
      "parsing the printed document gives another document",
    );
    same(print(again.document), printed, "printing the parsed document again gives another text");
    counts.printed++;
  }
  const took = performance.now() - start;
  slowest = Math.max(slowest, took);
  if (took > SLOW) throw new Error(`an input of ${input.length} characters took ${took.toFixed(0)} ms`);
}

/**
 * Parses and loads generated texts and mutated real files. For a share of the inputs the scanner and the grammar must give
 * the same result, and parsing the printed document must give the same document.
 */
export function fuzzIptables(inputs: number, seed: number): void {
  const start = performance.now();
  for (const texts of [text, mutated(text), changed]) fuzz(texts, check, Math.ceil(inputs / 3), seed);
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `iptables: ${counts.inputs} inputs, ${(counts.bytes / 1e6).toFixed(1)} MB, ${real.length} files, ${counts.rules} rules, ` +
      `${counts.diagnostics} diagnostics; ${counts.compared} compared with the grammar, ${counts.printed} printed and read ` +
      `again; no exception; the slowest took ${slowest.toFixed(0)} ms; ${seconds.toFixed(0)} s`,
  );
}
