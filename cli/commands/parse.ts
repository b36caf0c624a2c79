import { parse } from "iptables-parser-ts";
import { printRuleset, readRuleset } from "../../lib/index.ts";
import { read } from "../files.ts";
import { complain } from "../inputs.ts";
import { json, verbatim } from "../output.ts";

/**
 * `fwcheck parse`: what was read, in canonical spelling or as a document; 2 when the text has errors or is not whole.
 */
export function run(args: { file: string; json?: boolean | undefined }): number {
  const source = read(args.file);
  const { rulesets, diagnostics } = readRuleset([source]);
  diagnostics.forEach(complain);
  if (args.json === true) json(parse(source.text).document);
  else verbatim(rulesets.map((ruleset) => printRuleset(ruleset)).join(""));
  const doubted = rulesets.some((ruleset) => ruleset.doubts.length > 0);
  return doubted || diagnostics.some((d) => d.severity === "error") ? 2 : 0;
}
