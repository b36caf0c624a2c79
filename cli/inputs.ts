/** Reads the rules and the host that the command line names, from files, folders and standard input. */
import {
  doubtText,
  type FamilyRulesetDoubt,
  type Host,
  type HostDoubt,
  type HostSources,
  inputFault,
  isFragment,
  isNftScript,
  isSnapshot,
  type Packet,
  type Ruleset,
  readHost,
  readRuleset,
  readSnapshot,
  rulesetDoubts,
  rulesFault,
  rulesFaultText,
  type Source,
  type SourceDiagnostic,
  SourceError,
  type SourceKind,
  safe,
  sourceKind,
  withTables,
} from "../lib/index.ts";
import { InputError } from "./errors.ts";
import { filesOf, isFolder, readSource } from "./files.ts";
import { hostFlags } from "./flags.ts";
import { writeStderr } from "./output.ts";
import { didYouMean } from "./suggestion.ts";

/** Flags whose files describe one host. */
export const HOST_FLAGS = Object.keys(hostFlags) as (keyof typeof hostFlags)[];

export interface HostArgs {
  readonly rules?: readonly string[] | undefined;
  readonly addr?: readonly string[] | undefined;
  readonly route?: readonly string[] | undefined;
  readonly rule?: readonly string[] | undefined;
  readonly ipset?: readonly string[] | undefined;
  readonly docker?: readonly string[] | undefined;
  readonly sysctl?: readonly string[] | undefined;
  readonly listening?: readonly string[] | undefined;
  /** `complete`: no other rules filter on the host. */
  readonly assume?: readonly string[] | undefined;
  /** Tables of engines that fwcheck does not know. */
  readonly engineTable?: readonly string[] | undefined;
}

/** Prints a diagnostic to stderr, with file, line and column. */
export function printDiagnostic(d: SourceDiagnostic): void {
  // A no-break space looks like a space; texts that are copied from a web page often contain it.
  const shown = safe(d.found).replaceAll("\u00a0", "\\u00a0");
  const found = shown === "" ? "" : `: "${shown}"`;
  writeStderr(`${safe(d.source)}:${d.line}:${d.column}: ${d.severity}: ${safe(d.message)}${found}\n`);
}

export interface Inputs {
  /** Texts of the rulesets. */
  readonly sources: readonly Source[];
  /** Texts of the host. */
  readonly given: HostSources;
  readonly rulesets: readonly Ruleset[];
  /** Faults of the rulesets' texts. */
  readonly diagnostics: readonly SourceDiagnostic[];
  readonly host: Host;
}

/**
 * Reads rulesets and host; prints diagnostics to stderr.
 * @param hints packets to be simulated; missing parts of the host are inferred from them, too
 * @throws InputError if there is no ruleset, or if the inputs belong to several hosts
 */
export function inputs(args: HostArgs, hints: readonly Packet[] = []): Inputs {
  const collected = new InputCollection();
  for (const path of args.rules ?? []) {
    if (isFolder(path)) collected.addFolder(path);
    else collected.addFile(readSource(path));
  }
  for (const kind of HOST_FLAGS)
    collected.sources[kind].push(...(args[kind] ?? []).map((path) => readSourceOfKind(path, kind)));
  const { rules } = collected;
  if (rules.length === 0)
    throw new InputError(
      `no rules found in ${(args.rules ?? []).map(safe).join(", ")}; files about a host cannot be used without its rules. Add the output of iptables-save or nft list ruleset.`,
    );
  const { rulesets: loaded, diagnostics, conflicts } = readRuleset(rules);
  const rulesets = withTables(loaded, collected.sources.tables);
  diagnostics.forEach(printDiagnostic);
  if (rulesets.length === 0)
    throw new InputError(`${rules.map((r) => safe(r.name)).join(", ")}: no ruleset could be read`);
  const [conflict] = conflicts;
  if (conflict !== undefined) {
    const [first, second] = conflict.places.map(({ source, line }) => `${safe(source)}:${line}`);
    throw new InputError(
      `table ${conflict.table} of IPv${conflict.family} is given twice, with different rules: ${first} and ${second}. They come from two hosts, or from one host at two times. Pass one, or audit a folder for each host.`,
    );
  }
  const sources = Object.fromEntries(Object.entries(collected.sources).filter(([, list]) => list.length > 0));
  const complete = collected.snapshot !== null || args.assume?.includes("complete") === true;
  const engineTables = existingTables(args.engineTable ?? [], rulesets);
  const given = {
    ...sources,
    doubts: collected.doubts,
    complete,
    ...(engineTables.length > 0 ? { engineTables } : {}),
  };
  const host = asInputError(() => readHost(given, rulesets, hints));
  host.diagnostics.forEach(printDiagnostic);
  return { sources: rules, given, rulesets, diagnostics, host };
}

/** Returns the tables of `--engine-table`. @throws InputError for one that is not a table of nftables in the rules */
function existingTables(names: readonly string[], rulesets: readonly Ruleset[]): readonly string[] {
  const tables = rulesets
    .flatMap((ruleset) => [...ruleset.tables.keys()])
    .filter((id) => /^(ip6?|inet) /.test(id));
  for (const name of names)
    if (!tables.includes(name))
      throw new InputError(
        `--engine-table: the rules have no table ${safe(JSON.stringify(name))} of nftables.${didYouMean(name, tables)}`,
      );
  return names;
}

/** Reads a file of a kind. A list of sockets may be empty only in a snapshot. @throws InputError */
function readSourceOfKind(path: string, kind: SourceKind): Source {
  const source = readSource(path);
  if (kind === "listening" && source.text.trim() === "")
    throw new InputError(`${safe(source.name)}: it is empty, but ss prints a line for each socket.`);
  return source;
}

/** Returns the kind of a text by its contents; `undefined` for a text that fwcheck does not read. */
const detectKind = (text: string): SourceKind | "snapshot" | undefined =>
  isSnapshot(text) ? "snapshot" : sourceKind(text);

/** Inputs of one host, each classified by its contents. */
class InputCollection {
  readonly rules: Source[] = [];
  readonly sources: Record<Exclude<SourceKind, "rules">, Source[]> = {
    addr: [],
    route: [],
    rule: [],
    ipset: [],
    docker: [],
    sysctl: [],
    listening: [],
    tables: [],
  };
  readonly doubts: HostDoubt[] = [];
  /** Name of the snapshot among the inputs, if there is one. */
  snapshot: string | null = null;

  /** Adds a file that the user named. @throws InputError if its kind is not clear */
  addFile(source: Source): void {
    const kind = detectKind(source.text);
    if (kind !== undefined) {
      this.add(source, kind);
      return;
    }
    const { rulesets, diagnostics } = readRuleset([source]);
    const fault = rulesFault(source.text) ?? null;
    if (rulesets.length === 0) {
      diagnostics.forEach(printDiagnostic);
      throw new InputError(`${safe(source.name)}: ${rulesFaultText(fault)}`);
    }
    const doubt: HostDoubt = { code: "suspect-rules", source: source.name, fault };
    this.doubts.push(doubt);
    writeStderr(`warning: ${safe(doubtText(doubt))}\n`);
    this.add(source, "rules");
  }

  /** Adds the files of a folder that have a kind that fwcheck reads. @throws InputError */
  addFolder(path: string): void {
    for (const file of filesOf(path)) {
      const source = readSource(file);
      const kind = detectKind(source.text);
      if (kind === undefined) {
        const fault = inputFault(source.text);
        if (fault !== undefined) this.doubts.push({ code: "file-ignored", file, fault });
      } else if (kind === "rules" && isFragment(source.text))
        writeStderr(
          `note: ${safe(file)} is ignored: it is a file for ${isNftScript(source.text) ? "nft -f, such as nftables.conf" : "iptables-restore --noflush, such as ufw's user.rules and before.rules"}, and not the ruleset in the kernel\n`,
        );
      else this.add(source, kind);
    }
  }

  private add(source: Source, kind: SourceKind | "snapshot"): void {
    if (kind === "snapshot") this.addSnapshot(source);
    else if (kind === "rules") {
      if (this.snapshot !== null) refuseSecondHost(this.snapshot, source.name);
      this.rules.push(source);
    } else this.sources[kind].push(source);
  }

  private addSnapshot(source: Source): void {
    const before = this.snapshot ?? this.rules[0]?.name;
    if (before !== undefined) refuseSecondHost(before, source.name);
    const { rules, sources, doubts } = asInputError(() => readSnapshot(source));
    if (rules.length === 0)
      throw new InputError(
        `${safe(source.name)}: ${doubts.map((doubt) => safe(doubtText(doubt))).join("; ") || "the host has no iptables rules, so every service on it is open"}`,
      );
    this.snapshot = source.name;
    this.rules.push(...rules);
    for (const each of HOST_FLAGS) this.sources[each].push(...(sources[each] ?? []));
    this.doubts.push(...doubts);
  }
}

/** A snapshot contains all rules of its host, so other rules belong to another host. @throws InputError */
function refuseSecondHost(one: string, other: string): never {
  throw new InputError(
    `${safe(one)} and ${safe(other)} come from two hosts, or from one host at two times, but this command works on one. Call it once for each.`,
  );
}

/** Prints the doubts about rules and host to stderr, and returns them. */
export function printDoubts({
  rulesets,
  host,
}: Pick<Inputs, "rulesets" | "host">): readonly (HostDoubt | FamilyRulesetDoubt)[] {
  const doubts = [...host.doubts, ...rulesets.flatMap(rulesetDoubts)];
  for (const doubt of doubts) writeStderr(`warning: ${safe(doubtText(doubt))}\n`);
  return doubts;
}

/** Calls a function and turns its SourceError into an InputError. @throws InputError */
function asInputError<T>(get: () => T): T {
  try {
    return get();
  } catch (error) {
    if (error instanceof SourceError) throw new InputError(safe(error.message));
    throw error;
  }
}
