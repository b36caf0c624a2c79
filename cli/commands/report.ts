import { basename } from "node:path";
import { audit, report, safe } from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { expectations, judged } from "../exit-code.ts";
import { Refused } from "../files.ts";
import { STDIN } from "../flags.ts";
import { oneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, progress, writeWhole } from "../output.ts";

interface ReportArgs extends HostArgs {
  readonly output?: string | undefined;
  readonly title?: string | undefined;
  readonly expect?: string | undefined;
  readonly failOn?: string | undefined;
  readonly budget?: number | undefined;
}

/** `fwcheck report`: an audit as one HTML file; its exit code is the audit's. */
export async function run(args: ReportArgs): Promise<number> {
  if (args.output === undefined && process.stdout.isTTY)
    throw new Refused(
      "the report is a page for a browser: name a file with -o report.html, or send it into one",
    );
  oneHost(args.rules, "report");
  if (args.budget !== undefined && !(args.budget > 0)) throw new Refused("--budget takes a number above 0");
  const { rulesets, host, sources, given } = inputs(args);
  const expect = args.expect === undefined ? undefined : expectations(args.expect);
  const { say, end } = progress(false);
  const result = audit(rulesets, host, { expect, budget: args.budget, progress: say });
  const html = await report(rulesets, host, {
    ...{ audit: result, texts: { rules: sources, host: given }, version: manifest.version },
    title: args.title ?? (args.rules ?? []).map(named).join(", "),
    made: `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
  });
  end();
  if (args.output === undefined) print(html);
  else write(args.output, html);
  return judged(result, args.failOn, expect);
}

/** What a host is called, after its file or folder. */
const named = (path: string): string => (path === STDIN ? "standard input" : basename(path));

/** Why a file cannot be written, by the error's code. */
const UNWRITABLE: Readonly<Record<string, string>> = {
  ENOENT: "no such folder",
  ENOTDIR: "no such folder",
  EISDIR: "is a folder",
  EACCES: "no permission to write in its folder",
  EROFS: "its file system is read-only",
  ENOSPC: "no space left on its file system; what was there is left as it was",
  EDQUOT: "no space left within the quota; what was there is left as it was",
};

/** @throws Refused */
function write(path: string, text: string): void {
  try {
    writeWhole(path, text);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    const why = UNWRITABLE[code] ?? `cannot be written (${code} in ${syscall})`;
    throw new Refused(`${safe(path)}: ${why}`);
  }
}
