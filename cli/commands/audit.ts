import { audit, auditText } from "../../lib/index.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { json, print, style } from "../output.ts";

/** `fwcheck audit`: 0 when nothing is found, 1 when something is, 2 when nothing was found but not all could be settled. */
export function run(args: HostArgs & { json?: boolean | undefined }): number {
  const { rulesets, host } = inputs(args);
  const result = audit(rulesets, host);
  if (args.json === true) json(result);
  else print(auditText(result, style()));
  return result.findings.length > 0 ? 1 : result.inconclusive.length > 0 ? 2 : 0;
}
