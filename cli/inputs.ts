/** Reads what the command line names: files, folders, standard input. The only place that touches the file system. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type Host,
  type HostSources,
  isSnapshot,
  type Kind,
  kindOf,
  type Packet,
  type Ruleset,
  readHost,
  readRuleset,
  readSnapshot,
  type Source,
  type SourceDiagnostic,
  SourceError,
  safe,
} from "../lib/index.ts";
import { STDIN } from "./flags.ts";

/** The call or the input is wrong: one message, exit code 2. */
export class Refused extends Error {
  override readonly name = "Refused";
}

/** The flags that tell of one host. */
export const HOST_KINDS = ["addr", "route", "rule", "ipset", "docker", "sysctl"] as const;
type HostKind = (typeof HOST_KINDS)[number];

export interface HostArgs {
  readonly rules?: readonly string[] | undefined;
  readonly addr?: readonly string[] | undefined;
  readonly route?: readonly string[] | undefined;
  readonly rule?: readonly string[] | undefined;
  readonly ipset?: readonly string[] | undefined;
  readonly docker?: readonly string[] | undefined;
  readonly sysctl?: readonly string[] | undefined;
}

/** The text of a file, or of standard input for `STDIN`. @throws Refused */
export function read(path: string): Source {
  try {
    return {
      name: path === STDIN ? "standard input" : path,
      text: readFileSync(path === STDIN ? 0 : path, "utf8"),
    };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT"
        ? "no such file"
        : code === "EISDIR"
          ? "is a folder"
          : code === "EACCES"
            ? "no permission to read it"
            : String(code);
    throw new Refused(`${safe(path)}: ${why}`);
  }
}

/** Whether a folder stands there. */
export const isFolder = (path: string): boolean =>
  path !== STDIN && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** Tells what is wrong with a line of the input. */
export function complain(d: SourceDiagnostic): void {
  const found = d.found === "" ? "" : `: ${JSON.stringify(safe(d.found))}`;
  process.stderr.write(
    `${safe(d.source)}:${d.line}:${d.column}: ${d.severity}: ${safe(d.message)}${found}\n`,
  );
}

export interface Inputs {
  /** The texts the rulesets were read from. */
  readonly sources: readonly Source[];
  /** The texts the host was read from. */
  readonly given: HostSources;
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
}

/**
 * Reads rulesets and host; diagnostics go to stderr.
 * @param hints packets that will be simulated, for what has to be inferred
 * @throws Refused when there is no ruleset to speak of
 */
export function inputs(args: HostArgs, hints: readonly Packet[] = []): Inputs {
  const rules: Source[] = [];
  const sources: Record<HostKind, Source[]> = {
    addr: [],
    route: [],
    rule: [],
    ipset: [],
    docker: [],
    sysctl: [],
  };
  const doubts: string[] = [];
  const take = (source: Source, kind: Kind | undefined): void => {
    if (isSnapshot(source.text)) {
      const snapshot = orRefuse(() => readSnapshot(source));
      if (snapshot.rules.length === 0)
        throw new Refused(
          `${safe(source.name)}: ${snapshot.doubts.map(safe).join("; ") || "the host has no iptables rules, so whatever it serves is open"}`,
        );
      rules.push(...snapshot.rules);
      for (const kind of HOST_KINDS) sources[kind].push(...(snapshot.sources[kind] ?? []));
      doubts.push(...snapshot.doubts);
      for (const warning of [...snapshot.doubts, ...snapshot.warnings])
        process.stderr.write(`fwcheck: ${safe(source.name)}: ${safe(warning)}\n`);
    } else if (kind === "rules") rules.push(source);
    else if (kind !== undefined) sources[kind].push(source);
  };
  for (const path of args.rules ?? []) {
    if (!isFolder(path)) take(read(path), "rules");
    else
      for (const name of readdirSync(path).sort()) {
        const file = join(path, name);
        if (statSync(file).isDirectory()) continue;
        const source = read(file);
        take(source, kindOf(source.text));
      }
  }
  for (const kind of HOST_KINDS) sources[kind].push(...(args[kind] ?? []).map(read));
  if (rules.length === 0)
    throw new Refused(
      "no ruleset: name a file that iptables-save printed, a folder that holds one, or - for standard input",
    );
  const { rulesets, diagnostics } = readRuleset(rules);
  diagnostics.forEach(complain);
  if (rulesets.length === 0)
    throw new Refused(`${rules.map((r) => safe(r.name)).join(", ")}: no ruleset could be read`);
  const some = Object.fromEntries(Object.entries(sources).filter(([, list]) => list.length > 0));
  const given = { ...some, doubts };
  const host = orRefuse(() => readHost(given, rulesets, hints));
  host.diagnostics.forEach(complain);
  return { sources: rules, given, rulesets, host };
}

/** What a function gives; a source that cannot be read is the caller's to put right. @throws Refused */
function orRefuse<T>(get: () => T): T {
  try {
    return get();
  } catch (error) {
    if (error instanceof SourceError) throw new Refused(safe(error.message));
    throw error;
  }
}
