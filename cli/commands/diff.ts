import {
  type ComparedHost,
  type Diff,
  diff,
  diffJson,
  diffMarkdown,
  diffSarif,
  diffText,
  type Family,
  readHost,
  withTables,
} from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { InputError } from "../errors.ts";
import { HOST_FLAGS, type HostArgs, type Inputs, inputs } from "../inputs.ts";
import { print, printJson, style } from "../output.ts";
import { STDIN } from "../stdin.ts";

interface DiffArgs extends Pick<HostArgs, "assume" | "engineTable"> {
  readonly before: string;
  readonly after: string;
  readonly failOn?: string | undefined;
  readonly family?: Family | undefined;
  readonly markdown?: boolean | undefined;
  readonly sarif?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly budget?: number | undefined;
}

/** Kinds of changes that `--fail-on` can name. */
const KINDS = ["opened", "closed", "delivered-elsewhere", "translated-otherwise", "stopped-otherwise"];

/** Runs `fwcheck diff`. @returns 1 if a change counts, else 2 if something is inconclusive */
export function run(args: DiffArgs): number {
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  if (args.before === STDIN && args.after === STDIN)
    throw new InputError("standard input can be one of both rulesets, but both arguments are -");
  const kinds = countedKinds(args.failOn ?? "any");
  const { before, after } = comparedHosts(args);
  const families = args.family === undefined ? undefined : [args.family];
  const result = diff(before, after, { budget: args.budget, families });
  const exit = exitCode(result, kinds);
  if (args.json === true) printJson(diffJson(result, exit));
  else if (args.sarif === true)
    printJson(diffSarif(result, new Map(after.rulesets.map((r) => [r.family, r.source])), manifest.version));
  else if (args.markdown === true) print(diffMarkdown(result));
  else print(diffText(result, style()));
  return exit;
}

/** Returns the kinds of changes that exit with 1. @throws InputError */
function countedKinds(wanted: string): readonly string[] {
  if (wanted === "any") return KINDS;
  if (wanted === "none") return [];
  const kinds = wanted.split(",");
  if (kinds.some((kind) => !KINDS.includes(kind)))
    throw new InputError(`--fail-on takes any, none, or some of ${KINDS.join(", ")}`);
  return kinds;
}

function exitCode({ changes, doubts }: Diff, kinds: readonly string[]): number {
  if (changes.some(({ kind }) => kinds.includes(kind))) return 1;
  return doubts.length > 0 || changes.some(({ kind }) => kind === "unsettled") ? 2 : 0;
}

/** Reads both sides. Rules without a host are evaluated on the host of the other side; without any, on one inferred from both. */
function comparedHosts(args: DiffArgs): { readonly before: ComparedHost; readonly after: ComparedHost } {
  const read = (path: string): Inputs =>
    inputs({ rules: [path], assume: args.assume, engineTable: args.engineTable });
  const [before, after] = [read(args.before), read(args.after)];
  if (hasHost(before)) return { before, after: hasHost(after) ? after : onHostOf(before, after) };
  if (hasHost(after)) return { before: onHostOf(after, before), after };
  const host = readHost(before.given, [...before.rulesets, ...after.rulesets]);
  return { before: { rulesets: before.rulesets, host }, after: { rulesets: after.rulesets, host } };
}

const hasHost = ({ given }: Inputs): boolean =>
  [...HOST_FLAGS, "tables" as const].some((kind) => (given[kind]?.length ?? 0) > 0);

const onHostOf = ({ host, given }: Inputs, { rulesets }: Inputs): ComparedHost => ({
  rulesets: withTables(rulesets, given.tables ?? []),
  host,
});
