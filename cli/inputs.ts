/** Reads what the command line names: files, folders, standard input. The only place that touches the file system. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
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
import { tell } from "./output.ts";
import { guess } from "./suggest.ts";

/** The call or the input is wrong: one message, exit code 2. */
export class Refused extends Error {
  override readonly name = "Refused";
}

/** The flags that tell of one host. */
export const HOST_KINDS = ["addr", "route", "rule", "ipset", "docker", "sysctl", "listening"] as const;
type HostKind = (typeof HOST_KINDS)[number];

export interface HostArgs {
  readonly rules?: readonly string[] | undefined;
  readonly addr?: readonly string[] | undefined;
  readonly route?: readonly string[] | undefined;
  readonly rule?: readonly string[] | undefined;
  readonly ipset?: readonly string[] | undefined;
  readonly docker?: readonly string[] | undefined;
  readonly sysctl?: readonly string[] | undefined;
  readonly listening?: readonly string[] | undefined;
}

/** The text of a file, or of standard input for `STDIN`. @throws Refused */
export function read(path: string): Source {
  try {
    return {
      name: path === STDIN ? "standard input" : path,
      text: readFileSync(path === STDIN ? 0 : path, "utf8"),
    };
  } catch (error) {
    throw new Refused(`${safe(path)}: ${unreadable(path, (error as NodeJS.ErrnoException).code)}`);
  }
}

/** Why a file could not be read, and what to do about it. */
function unreadable(path: string, code: string | undefined): string {
  if (code === "ENOENT") return `no such file.${guess(basename(path), beside(path))}`;
  if (code === "EISDIR") return "is a folder, and a file is needed here.";
  if (code === "EACCES") return "no permission to read it. Run fwcheck as a user who may, or copy the file.";
  return `cannot be read (${code}).`;
}

/** The files beside a path. */
function beside(path: string): string[] {
  try {
    return readdirSync(dirname(path));
  } catch {
    return [];
  }
}

/** What a text may be that somebody took for a ruleset: how it looks, and what it is. */
const MISTAKEN: readonly (readonly [RegExp, string])[] = [
  [/^\s*$/, "it is empty. iptables-save prints nothing to a user who is not root: sudo iptables-save > FILE"],
  [
    /^Chain \S+ \((policy|\d+ references)/m,
    "this is what iptables -L prints, of one table and not all of it. Give what iptables-save prints.",
  ],
  [
    /^-P (INPUT|FORWARD|OUTPUT|PREROUTING) (ACCEPT|DROP)/m,
    "this is what iptables -S prints, of one table alone: where ports are published stands in another. Give what iptables-save prints.",
  ],
  [
    /^Status: (in)?active/m,
    "this is what ufw status prints: what was asked for, not what the kernel does. Give what iptables-save prints.",
  ],
  [
    /^table (ip|ip6|inet|arp|bridge|netdev) \S+ \{/m,
    "this is what nft list ruleset prints, which fwcheck does not read. Give what iptables-save prints.",
  ],
  [/^\u001f\ufffd|\u0000/, "this is no text. Is it compressed?"],
  [
    /^(\[\d+:\d+\] )?-[AI] \S+ /m,
    "these are rules without the line that names their table, such as *filter. Give all that iptables-save prints.",
  ],
];

const mistaken = (text: string): string =>
  MISTAKEN.find(([look]) => look.test(text))?.[1] ??
  "this is not what iptables-save prints, nor a snapshot of fwcheck collect.";

/** Whether a folder stands there. */
export function isFolder(path: string): boolean {
  try {
    return path !== STDIN && statSync(path).isDirectory();
  } catch {
    return false; // Whoever reads it says why it cannot be read.
  }
}

/** Tells what is wrong with a line of the input. */
export function complain(d: SourceDiagnostic): void {
  const found = d.found === "" ? "" : `: ${JSON.stringify(safe(d.found))}`;
  tell(`${safe(d.source)}:${d.line}:${d.column}: ${d.severity}: ${safe(d.message)}${found}\n`);
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
    listening: [],
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
        tell(`fwcheck: ${safe(source.name)}: ${safe(warning)}\n`);
    } else if (kind === "rules") rules.push(source);
    else if (kind !== undefined) sources[kind].push(source);
  };
  for (const path of args.rules ?? []) {
    if (!isFolder(path)) {
      // A file that was named is told from its contents like one of a folder; what it is must be clear, though.
      const source = read(path);
      const kind = kindOf(source.text);
      if (kind !== undefined || isSnapshot(source.text)) take(source, kind);
      else {
        const { rulesets, diagnostics } = readRuleset([source]);
        if (rulesets.length === 0) {
          diagnostics.forEach(complain);
          throw new Refused(`${safe(source.name)}: ${mistaken(source.text)}`);
        }
        tell(`warning: ${safe(source.name)}: ${mistaken(source.text)}\n`);
        take(source, "rules");
      }
    } else
      for (const name of readdirSync(path).sort()) {
        const file = join(path, name);
        if (isFolder(file)) continue;
        const source = read(file);
        take(source, kindOf(source.text));
      }
  }
  for (const kind of HOST_KINDS) sources[kind].push(...(args[kind] ?? []).map(read));
  if (rules.length === 0)
    throw new Refused(
      `there are no rules in ${(args.rules ?? []).map(safe).join(", ")}: what is known of a host says nothing without them. Add what iptables-save printed there.`,
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

/** Says that a family was not given: what holds for the other says nothing of it. */
export function missingFamily(rulesets: readonly Ruleset[]): void {
  if (rulesets.some((r) => r.family === 6)) return;
  tell(
    "note: no IPv6 rules were given, so nothing is said of IPv6, where ports may be open that are closed here. Give what ip6tables-save prints, too; fwcheck collect gathers both.\n",
  );
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
