/** One rule through fwcheck: read, and printed again. */
import type { Family } from "../../lib/packet/field.ts";
import { readRuleset } from "../../lib/rules/load.ts";
import { printBody } from "../../lib/rules/print.ts";
import type { TableName } from "../../lib/rules/ruleset.ts";

/** The rules that a line makes, without `-A CHAIN`, and the errors it gives. */
export function body(
  line: string,
  { table, family }: { readonly table: TableName; readonly family: Family },
): { rules: string[]; errors: string[] } {
  const chains = ["t", "other", "dotted.chain-name_x"].map((c) => `:${c} - [0:0]\n`).join("");
  const text = `*${table}\n${chains}-A t ${line}\nCOMMIT\n`;
  const { rulesets, diagnostics } = readRuleset([{ name: "case", text, family }]);
  const ruleset = rulesets[0]!;
  const rules = ruleset.tables.get(table)!.chains.get("t")!.rules;
  return {
    rules: rules.map((rule) => printBody(rule, ruleset).slice(1)),
    errors: diagnostics.map(
      (d) => `${d.line}:${d.column} ${d.severity}: ${d.message}: ${JSON.stringify(d.found)}`,
    ),
  };
}

/** The rules that a line makes. */
export const reread = (line: string, at: { readonly table: TableName; readonly family: Family }): string[] =>
  body(line, at).rules;
