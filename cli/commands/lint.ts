import {
  type AnomalyKind,
  doubtText,
  lintRules,
  lintRulesJson,
  lintRulesSarif,
  lintRulesText,
} from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { InputError } from "../errors.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs, printDoubts } from "../inputs.ts";
import { print, printJson, style } from "../output.ts";

interface LintArgs extends HostArgs {
  readonly all?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly sarif?: boolean | undefined;
  readonly budget?: number | undefined;
  readonly correlated?: boolean | undefined;
  readonly failOn?: string | undefined;
}

const KINDS: readonly AnomalyKind[] = ["dead", "shadowed", "redundant", "correlated"];

/** Returns the kinds of anomalies that exit with 1. @throws InputError */
function failingKinds(wanted: string): readonly AnomalyKind[] {
  if (wanted === "any") return KINDS;
  if (wanted === "none") return [];
  const kinds = wanted.split(",");
  if (!kinds.every((kind) => KINDS.some((known) => known === kind)))
    throw new InputError(`--fail-on takes any, none, or some of ${KINDS.join(", ")}`);
  return KINDS.filter((kind) => kinds.includes(kind));
}

/** Runs `fwcheck lint`. @returns 1 for an anomaly that `--fail-on` selects, else 2 if rules may be missing or a table was not compared, else 0 */
export function run({ all, budget, correlated, failOn, json, sarif, ...args }: LintArgs): number {
  requireOneHost(args.rules, "lint");
  if (budget !== undefined && !(budget > 0)) throw new InputError("--budget takes a number above 0");
  const failing = failingKinds(failOn ?? "any");
  const { rulesets, host } = inputs(args);
  const doubts = printDoubts({ rulesets, host });
  const lint = lintRules(rulesets, host, { all, budget, correlated });
  if (sarif === true) {
    const sources = new Map(rulesets.map((r) => [r.family, r.source]));
    printJson(lintRulesSarif(lint, sources, doubts.map(doubtText), manifest.version));
  } else if (json === true) printJson(lintRulesJson(lint, doubts));
  else print(lintRulesText(lint, style()));
  if (lint.anomalies.some(({ kind }) => failing.includes(kind))) return 1;
  return doubts.length > 0 || lint.unsettled.length > 0 ? 2 : 0;
}
