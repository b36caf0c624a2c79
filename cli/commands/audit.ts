import { type Audit, audit, auditJson, auditText, type Ruleset, sarif } from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { InputError } from "../errors.ts";
import { auditExitCode, readExpectationFile } from "../exit-code.ts";
import { auditFleet, serveFleet, severalHosts } from "../fleet.ts";
import { HOST_FLAGS, type HostArgs, inputs } from "../inputs.ts";
import { print, printJson, progressLine, style } from "../output.ts";

/** Flags of the audit of one host that each of several hosts can have. */
interface OneHostArgs {
  readonly assume?: readonly string[] | undefined;
  readonly engineTable?: readonly string[] | undefined;
  readonly failOn?: string | undefined;
  readonly expect?: string | undefined;
  readonly budget?: number | undefined;
}

interface AuditArgs extends HostArgs, OneHostArgs {
  readonly json?: boolean | undefined;
  readonly sarif?: boolean | undefined;
  readonly timeout?: number | undefined;
  readonly memory?: number | undefined;
}

/** Default of `--timeout`, in seconds. */
const TIMEOUT = 120;

/** Smallest value of `--memory`, in MB: with less, Node does not start. */
const LEAST_MEMORY = 32;

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
  const { assume, engineTable, failOn, expect, budget, memory } = args;
  const seconds = args.timeout ?? TIMEOUT;
  if (!(seconds > 0)) throw new InputError("--timeout takes a number of seconds above 0");
  if (memory !== undefined && !(memory >= LEAST_MEMORY))
    throw new InputError(`--memory takes a number of MB from ${LEAST_MEMORY}`);
  const flags: OneHostArgs = { assume, engineTable, failOn, expect, budget };
  const limits = { seconds, megabytes: memory === undefined ? null : Math.floor(memory) };
  return auditFleet(paths, flags, { json: args.json === true, limits });
}

/** Audits hosts for the process of `auditMany`, one after the other. */
export const serveAudits = (argument: string): void =>
  serveFleet<OneHostArgs>(argument, (path, args) => auditHost({ ...args, rules: [path] }, true));

/** Audits one host. @param quiet shows no progress */
function auditHost(
  args: HostArgs & OneHostArgs,
  quiet: boolean,
): { readonly rulesets: readonly Ruleset[]; readonly result: Audit; readonly exit: number } {
  const { rulesets, host } = inputs(args);
  const expect = args.expect === undefined ? undefined : readExpectationFile(args.expect);
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  const { show, clear } = progressLine(quiet);
  const result = audit(rulesets, host, { expect, budget: args.budget, progress: show });
  clear();
  return { rulesets, result, exit: auditExitCode(result, args.failOn, expect) };
}

function auditOne(args: AuditArgs): number {
  const quiet = args.json === true && process.stdout.isTTY !== true;
  const { rulesets, result, exit } = auditHost(args, quiet);
  if (args.sarif === true)
    printJson(sarif(result, new Map(rulesets.map((r) => [r.family, r.source])), manifest.version));
  else if (args.json === true) printJson(auditJson(result, exit));
  else print(auditText(result, style()));
  return exit;
}
