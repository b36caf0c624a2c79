/** Program of the fix bench: `STRATEGY SAVE ADDR ROUTE`; the strategy `audit` audits only. */
import { readFileSync } from "node:fs";
import { delayOptimization } from "../../../cli/v8-flags.ts";
import { audit, fix, readHost, readRuleset, type Strategy } from "../../../lib/index.ts";
import { megabytes } from "./resources.ts";

delayOptimization();
const [, , strategy, ...names] = process.argv;
const [save, addr, route] = names.map((name) => ({ name, text: readFileSync(name, "utf8") }));
const { rulesets } = readRuleset([save!]);
const host = readHost({ addr: [addr!], route: [route!] }, rulesets);
if (strategy === "audit") {
  const { findings } = audit(rulesets, host);
  console.log(JSON.stringify({ findings: findings.length, mb: megabytes() }));
} else {
  const { holds, proof, rules4 } = fix(rulesets, host, { strategy: strategy as Strategy | "auto" });
  const sets = rules4.filter((rule) => rule.includes("--match-set")).length;
  const closed = proof.closed.length;
  console.log(JSON.stringify({ holds, closed, rules: rules4.length, sets, mb: megabytes() }));
}
