/** One rule through fwcheck: read, and printed again. */

import { readRuleset } from "../../lib/iptables/load.ts";
import { printBody } from "../../lib/iptables/print.ts";
import type { Family } from "../../lib/packet/field.ts";
import type { TableName } from "../../lib/rules/ruleset.ts";
import { header } from "./lab.ts";

/** Location of a rule, and the release that printed it. */
interface At {
  readonly table: TableName;
  readonly family: Family;
  readonly release?: string;
}

/** The rules that a line makes, without `-A CHAIN`, and the errors it gives. */
export function body(line: string, { table, family, release }: At): { rules: string[]; errors: string[] } {
  const chains = ["t", "other", "dotted.chain-name_x"].map((c) => `:${c} - [0:0]\n`).join("");
  const said = release === undefined ? "" : `${header(family, release)}\n`;
  const text = `${said}*${table}\n${chains}-A t ${line}\nCOMMIT\n`;
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
export const reread = (line: string, at: At): string[] => body(line, at).rules;
