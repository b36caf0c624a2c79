import { parse } from "iptables-parser-ts";
import { printRuleset, readRuleset } from "../../lib/index.ts";
import { readSource } from "../files.ts";
import { printDiagnostic } from "../inputs.ts";
import { printJson, printVerbatim } from "../output.ts";

/**
 * Runs `fwcheck parse`: prints the ruleset in canonical form or as a document.
 * @returns 2 if the text has errors or is incomplete, else 0
 */
export function run(args: { readonly file: string; readonly json?: boolean | undefined }): number {
  const source = readSource(args.file);
  const { rulesets, diagnostics } = readRuleset([source]);
  diagnostics.forEach(printDiagnostic);
  if (args.json === true) printJson({ version: 1, ...parse(source.text).document });
  else printVerbatim(rulesets.map((ruleset) => printRuleset(ruleset)).join(""));
  const hasDoubts = rulesets.some((ruleset) => ruleset.doubts.length > 0);
  return hasDoubts || diagnostics.some((d) => d.severity === "error") ? 2 : 0;
}
