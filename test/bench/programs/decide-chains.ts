/**
 * Program of the audit bench: decides all packets in each built-in chain of a file, or in one (`filter FORWARD`), and checks
 * that no packet is lost.
 */
import { readFileSync } from "node:fs";
import { delayOptimization } from "../../../cli/v8-flags.ts";
import { readHost, readRuleset } from "../../../lib/index.ts";
import { ANY } from "../../../lib/packet/predicate.ts";
import { Program } from "../../../lib/path/program.ts";
import { Domain } from "../../../lib/reach/domain.ts";
import { SetEngine } from "../../../lib/reach/set-engine.ts";
import { vocabularyOf } from "../../../lib/reach/vocabulary.ts";

delayOptimization();
const [, , name = "", only] = process.argv;
const { rulesets } = readRuleset([{ name, text: readFileSync(name, "utf8") }]);
const host = readHost({}, rulesets);
let verdicts = 0;
let decided = 0;
for (const ruleset of rulesets) {
  const program = Program.of(ruleset, host);
  const domain = Domain.of(ruleset.family, [vocabularyOf(program)]);
  const engine = new SetEngine(program, domain);
  for (const [table, { chains }] of ruleset.tables)
    for (const { name: chain, policy } of chains.values()) {
      if (policy === null || (only !== undefined && only !== `${table} ${chain}`)) continue;
      decided++;
      const parts = engine.decideTable({ ...engine.start(ANY), bindings: {} }, table, chain);
      verdicts += new Set(parts.map((part) => part.outcome)).size;
      if (domain.diagrams.unionAll(parts.map((part) => part.state.set)) !== domain.set(ANY))
        throw new Error("a packet is lost");
    }
}
const mb = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(JSON.stringify({ decided, verdicts, mb }));
