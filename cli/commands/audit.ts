import { audit, auditJson, auditText, sarif } from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { InputError } from "../errors.ts";
import { auditExitCode, readExpectationFile } from "../exit-code.ts";
import { auditFleet, severalHosts } from "../fleet.ts";
import { HOST_FLAGS, type HostArgs, inputs } from "../inputs.ts";
import { print, printJson, progressLine, style } from "../output.ts";

interface AuditArgs extends HostArgs {
  readonly json?: boolean | undefined;
  readonly sarif?: boolean | undefined;
  readonly failOn?: string | undefined;
  readonly expect?: string | undefined;
  readonly budget?: number | undefined;
  readonly timeout?: number | undefined;
}

/** Default of `--timeout`, in seconds. */
const TIMEOUT = 120;

/** Runs `fwcheck audit` on one host or on several. @returns the exit code, see `auditExitCode` */
export function run(args: AuditArgs): number | Promise<number> {
  const hosts = severalHosts(args.rules ?? []);
  return hosts === null ? auditOne(args) : auditMany(hosts, args);
}

/** Audits several hosts and prints one line for each. */
function auditMany(paths: readonly string[], args: AuditArgs): Promise<number> {
  const hostFlag = HOST_FLAGS.find((kind) => args[kind] !== undefined);
  if (hostFlag !== undefined) throw new InputError(`--${hostFlag} describes one host, but several are named`);
  if (args.sarif === true) throw new InputError("--sarif takes one host, but several are named");
  const flags = [
    ...(args.assume ?? []).flatMap((word) => ["--assume", word]),
    ...(args.engineTable ?? []).flatMap((table) => ["--engine-table", table]),
    ...(args.failOn === undefined ? [] : ["--fail-on", args.failOn]),
    ...(args.expect === undefined ? [] : ["--expect", args.expect]),
    ...(args.budget === undefined ? [] : ["--budget", String(args.budget)]),
  ];
  const limit = args.timeout ?? TIMEOUT;
  if (!(limit > 0)) throw new InputError("--timeout takes a number of seconds above 0");
  return auditFleet(paths, flags, { json: args.json === true, limit });
}

function auditOne(args: AuditArgs): number {
  const { rulesets, host } = inputs(args);
  const expect = args.expect === undefined ? undefined : readExpectationFile(args.expect);
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  const { show, clear } = progressLine(args.json === true && process.stdout.isTTY !== true);
  const result = audit(rulesets, host, { expect, budget: args.budget, progress: show });
  clear();
  const exit = auditExitCode(result, args.failOn, expect);
  if (args.sarif === true)
    printJson(sarif(result, new Map(rulesets.map((r) => [r.family, r.source])), manifest.version));
  else if (args.json === true) printJson(auditJson(result, exit));
  else print(auditText(result, style()));
  return exit;
}
