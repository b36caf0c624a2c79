import { parse } from "iptables-parser-ts";
import * as nftables from "nftables-parser-ts";
import { isNftRuleset, printRuleset, readNftables, readRuleset, type Source } from "../../lib/index.ts";
import { readSource } from "../files.ts";
import { printDiagnostic } from "../inputs.ts";
import { printJson, printVerbatim } from "../output.ts";

interface Args {
  readonly file: string;
  readonly json?: boolean | undefined;
}

/**
 * Runs `fwcheck parse`: prints the ruleset in canonical form or as a document.
 * @returns 2 if the text has errors or is incomplete, else 0
 */
export function run(args: Args): number {
  const source = readSource(args.file);
  return isNftRuleset(source.text) ? parseNftables(source, args) : parseIptables(source, args);
}

function parseIptables(source: Source, { json }: Args): number {
  const { rulesets, diagnostics } = readRuleset([source]);
  diagnostics.forEach(printDiagnostic);
  if (json === true) printJson({ version: 1, ...parse(source.text).document });
  else printVerbatim(rulesets.map((ruleset) => printRuleset(ruleset)).join(""));
  const hasDoubts = rulesets.some((ruleset) => ruleset.doubts.length > 0);
  return hasDoubts || diagnostics.some((d) => d.severity === "error") ? 2 : 0;
}

function parseNftables(source: Source, { json }: Args): number {
  const { diagnostics, doubts, damaged } = readNftables([source]);
  diagnostics.forEach(printDiagnostic);
  const { document } = nftables.parse(source.text);
  if (json === true) printJson({ version: 1, language: "nftables", ...document });
  else printVerbatim(nftables.print(document));
  return damaged || doubts.length > 0 || diagnostics.some((d) => d.severity === "error") ? 2 : 0;
}
