/** Program of the benches that read rules: parses and loads one file. */
import { readFileSync } from "node:fs";
import { readRuleset } from "../../../lib/index.ts";
import { megabytes } from "./resources.ts";

const { rulesets, diagnostics } = readRuleset([
  { name: "rules", text: readFileSync(process.argv[2]!).toString() },
]);
let rules = 0;
for (const { tables } of rulesets)
  for (const { chains } of tables.values()) for (const chain of chains.values()) rules += chain.rules.length;
console.log(JSON.stringify({ rules, diagnostics: diagnostics.length, mb: megabytes() }));
