import { parse } from "../../grammar/index.ts";
import { printRuleset, readRuleset, safe } from "../../lib/index.ts";
import { read } from "../inputs.ts";
import { json, print } from "../output.ts";

/** `fwcheck parse`: what was read, in canonical spelling or as a document; 2 when there were errors. */
export function run(args: { file: string; json?: boolean | undefined }): number {
  const source = read(args.file);
  const { rulesets, diagnostics } = readRuleset([source]);
  for (const d of diagnostics) {
    const found = d.found === "" ? "" : `: ${JSON.stringify(safe(d.found))}`;
    process.stderr.write(
      `${safe(d.source)}:${d.line}:${d.column}: ${d.severity}: ${safe(d.message)}${found}\n`,
    );
  }
  if (args.json === true) json(parse(source.text).document);
  else for (const ruleset of rulesets) print(printRuleset(ruleset));
  return diagnostics.some((d) => d.severity === "error") ? 2 : 0;
}
