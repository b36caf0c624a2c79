/** The part of `npm run fuzz` for texts of nft. */
import { readdirSync, readFileSync } from "node:fs";
import { parse, print } from "nftables-parser-ts";
import { arbitraries, sharing } from "../../grammar/nftables/test/arbitrary.ts";
import { readNftables } from "../../lib/index.ts";
import { fuzz } from "./fuzz-run.ts";

/** Milliseconds allowed for an input of a few KB on a busy machine. */
const SLOW = 2000;
/** The comparison with the grammar runs for one input in 8. */
const SHARE = 8;
const FOLDER = "grammar/nftables/test/";

const counts = { inputs: 0, compared: 0, printed: 0, diagnostics: 0 };
let slowest = 0;

function same(a: unknown, b: unknown, what: string): void {
  if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(what);
}

function check(input: string): void {
  const start = performance.now();
  const parsed = parse(input);
  const { diagnostics } = readNftables([{ name: "fuzz", text: input }]);
  counts.inputs++;
  counts.diagnostics += diagnostics.length;
  if (counts.inputs % SHARE === 0) {
    same(parsed, parse(input, { strict: true }), "the scanner and the grammar give different results");
    same(sharing(input, false), sharing(input, true), "the scanner and the grammar share shapes differently");
    counts.compared++;
  }
  if (parsed.diagnostics.length === 0) {
    const printed = print(parsed.document);
    const again = parse(printed);
    same(again.diagnostics, [], "the printed document has errors");
    same(print(again.document), printed, "printing the parsed document again gives another text");
    counts.printed++;
  }
  const took = performance.now() - start;
  slowest = Math.max(slowest, took);
  if (took > SLOW) throw new Error(`an input of ${input.length} characters took ${took.toFixed(0)} ms`);
}

/** Parses and loads generated texts of nft. No input may cause an exception or take long. */
export function fuzzNftables(inputs: number, seed: number): void {
  const listings = readdirSync(FOLDER)
    .filter((name) => name.startsWith("recorded-") && name.endsWith(".txt"))
    .map((name) => readFileSync(FOLDER + name, "utf8"));
  const commands = readFileSync(`${FOLDER}corpus.txt`, "utf8")
    .split("\n")
    .map((line) => line.replace(/^= /, ""));
  const { chain, set, mutated } = arbitraries(listings, commands);
  const start = performance.now();
  for (const texts of [chain, set, mutated]) fuzz(texts, check, Math.ceil(inputs / 3), seed);
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `nftables: ${counts.inputs} inputs, ${counts.diagnostics} diagnostics; ${counts.compared} compared with the grammar, ` +
      `${counts.printed} printed and read again; no exception; the slowest took ${slowest.toFixed(0)} ms; ${seconds.toFixed(0)} s`,
  );
}
