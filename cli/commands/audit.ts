import { audit, auditText, sarif } from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { expectations, judged } from "../exit-code.ts";
import { Refused } from "../files.ts";
import { fleet, hosts } from "../fleet.ts";
import { HOST_KINDS, type HostArgs, inputs } from "../inputs.ts";
import { json, print, progress, style } from "../output.ts";

interface AuditArgs extends HostArgs {
  readonly json?: boolean | undefined;
  readonly sarif?: boolean | undefined;
  readonly failOn?: string | undefined;
  readonly expect?: string | undefined;
  readonly budget?: number | undefined;
  readonly timeout?: number | undefined;
}

/** Seconds that the audit of one of several hosts may take. */
const LIMIT = 120;

/**
 * `fwcheck audit`: 1 when something is found that `--fail-on` names, or exposed that `--expect` does not; else 2 when
 * something is not settled; else 0. With `--expect`, findings count only where `--fail-on` asks for them.
 */
export function run(args: AuditArgs): number | Promise<number> {
  const several = hosts(args.rules ?? []);
  return several === null ? one(args) : many(several, args);
}

/** Several hosts: a line for each. */
function many(paths: readonly string[], args: AuditArgs): Promise<number> {
  const owned = HOST_KINDS.find((kind) => args[kind] !== undefined);
  if (owned !== undefined) throw new Refused(`--${owned} belongs to one host, and several are named`);
  if (args.sarif === true) throw new Refused("--sarif takes one host, and several are named");
  const flags = [
    ...(args.assume ?? []).flatMap((word) => ["--assume", word]),
    ...(args.failOn === undefined ? [] : ["--fail-on", args.failOn]),
    ...(args.expect === undefined ? [] : ["--expect", args.expect]),
    ...(args.budget === undefined ? [] : ["--budget", String(args.budget)]),
  ];
  const limit = args.timeout ?? LIMIT;
  if (!(limit > 0)) throw new Refused("--timeout takes a number of seconds above 0");
  return fleet(paths, flags, { json: args.json === true, limit });
}

function one(args: AuditArgs): number {
  const { rulesets, host } = inputs(args);
  const expect = args.expect === undefined ? undefined : expectations(args.expect);
  if (args.budget !== undefined && !(args.budget > 0)) throw new Refused("--budget takes a number above 0");
  const { say, end } = progress(args.json === true && process.stdout.isTTY !== true);
  const result = audit(rulesets, host, { expect, budget: args.budget, progress: say });
  end();
  if (args.sarif === true)
    json(sarif(result, new Map(rulesets.map((r) => [r.family, r.source])), manifest.version));
  else if (args.json === true) json(result);
  else print(auditText(result, style()));
  return judged(result, args.failOn, expect);
}
