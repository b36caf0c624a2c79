/** Program of the audit bench: audits the host of the files that it is called with, as `fwcheck audit` does. */
import { readFileSync } from "node:fs";
import { delayOptimization } from "../../../cli/v8-flags.ts";
import { audit, readHost, readRuleset, sourceKind } from "../../../lib/index.ts";
import { megabytes } from "./resources.ts";

delayOptimization();
const sources = process.argv.slice(2).map((name) => ({ name, text: readFileSync(name, "utf8") }));
const ofKind = (kind: string) => sources.filter(({ text }) => sourceKind(text) === kind);
const given = (kind: string) => (ofKind(kind).length > 0 ? { [kind]: ofKind(kind) } : {});
const { rulesets } = readRuleset(ofKind("rules").length > 0 ? ofKind("rules") : sources);
const host = readHost({ ...given("addr"), ...given("route") }, rulesets);
const { findings, doubts } = audit(rulesets, host);
const exceeded = doubts.filter(({ code }) => code === "budget-exceeded" || code === "large-cluster").length;
console.log(JSON.stringify({ findings: findings.length, exceeded, mb: megabytes() }));
