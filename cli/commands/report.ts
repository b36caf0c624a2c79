import { basename } from "node:path";
import { audit, report, safe } from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { InputError } from "../errors.ts";
import { auditExitCode, readExpectationFile } from "../exit-code.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, progressLine, writeFileAtomically } from "../output.ts";
import { STDIN } from "../stdin.ts";

interface ReportArgs extends HostArgs {
  readonly output?: string | undefined;
  readonly title?: string | undefined;
  readonly expect?: string | undefined;
  readonly failOn?: string | undefined;
  readonly budget?: number | undefined;
}

/** Runs `fwcheck report`: writes an audit as one HTML file. @returns the exit code of the audit */
export async function run(args: ReportArgs): Promise<number> {
  if (args.output === undefined && process.stdout.isTTY)
    throw new InputError(
      "the report is an HTML page; name a file with -o report.html, or redirect the output",
    );
  requireOneHost(args.rules, "report");
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  const { rulesets, diagnostics, host, sources, given } = inputs(args);
  const expect = args.expect === undefined ? undefined : readExpectationFile(args.expect);
  const { show, clear } = progressLine(false);
  const result = audit(rulesets, host, { expect, budget: args.budget, progress: show });
  const html = await report(rulesets, host, {
    audit: result,
    texts: { rules: sources, host: given },
    diagnostics,
    version: manifest.version,
    title: args.title ?? (args.rules ?? []).map(titleOf).join(", "),
    made: `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
  });
  clear();
  if (args.output === undefined) print(html);
  else writeReport(args.output, html);
  return auditExitCode(result, args.failOn, expect);
}

/** Returns the default title of a host: the name of its file or folder. */
const titleOf = (path: string): string => (path === STDIN ? "standard input" : basename(path));

/** Reasons why a file cannot be written, by error code. */
const UNWRITABLE: Readonly<Record<string, string>> = {
  ENOENT: "no such folder",
  ENOTDIR: "no such folder",
  EISDIR: "is a folder",
  EACCES: "no permission to write in its folder",
  EROFS: "its file system is read-only",
  ENOSPC: "no space left on its file system; an existing file is unchanged",
  EDQUOT: "no space left within the quota; an existing file is unchanged",
};

/** Writes the report. @throws InputError */
function writeReport(path: string, text: string): void {
  try {
    writeFileAtomically(path, text);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    const reason = UNWRITABLE[code] ?? `cannot be written (${code} in ${syscall})`;
    throw new InputError(`${safe(path)}: ${reason}`);
  }
}
