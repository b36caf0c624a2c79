/** Puts together what the command line names: rules and host, from files, folders and standard input. */
import {
  damageOf,
  doubtsOf,
  type Host,
  type HostSources,
  isFragment,
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
  withTables,
} from "../lib/index.ts";
import { filesOf, isFolder, Refused, read } from "./files.ts";
import { tell } from "./output.ts";

/** The flags that tell of one host. */
export const HOST_KINDS = ["addr", "route", "rule", "ipset", "docker", "sysctl", "listening"] as const;

export interface HostArgs {
  readonly rules?: readonly string[] | undefined;
  readonly addr?: readonly string[] | undefined;
  readonly route?: readonly string[] | undefined;
  readonly rule?: readonly string[] | undefined;
  readonly ipset?: readonly string[] | undefined;
  readonly docker?: readonly string[] | undefined;
  readonly sysctl?: readonly string[] | undefined;
  readonly listening?: readonly string[] | undefined;
  /** `complete`: nothing else filters on the host. */
  readonly assume?: readonly string[] | undefined;
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

const mistake = (text: string): string | undefined => MISTAKEN.find(([look]) => look.test(text))?.[1];

const mistaken = (text: string): string =>
  mistake(text) ?? "this is not what iptables-save prints, nor a snapshot of fwcheck collect.";

/** Tells what is wrong with a line of the input. */
export function complain(d: SourceDiagnostic): void {
  // A no-break space looks like a space, and is the usual fault of a text that was copied from a page.
  const shown = safe(d.found).replaceAll("\u00a0", "\\u00a0");
  const found = shown === "" ? "" : `: "${shown}"`;
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
 * @throws Refused when there is no ruleset, or when the inputs are of several hosts
 */
export function inputs(args: HostArgs, hints: readonly Packet[] = []): Inputs {
  const taken = new Taken();
  for (const path of args.rules ?? []) {
    if (isFolder(path)) taken.folder(path);
    else taken.file(read(path));
  }
  for (const kind of HOST_KINDS)
    taken.sources[kind].push(...(args[kind] ?? []).map((path) => named(path, kind)));
  const { rules } = taken;
  if (rules.length === 0)
    throw new Refused(
      `no iptables-save output found in ${(args.rules ?? []).map(safe).join(", ")}: files about a host say nothing without its rules. Add what iptables-save printed there.`,
    );
  const { rulesets: loaded, diagnostics, conflicts } = readRuleset(rules);
  const rulesets = withTables(loaded, taken.sources.tables);
  diagnostics.forEach(complain);
  if (rulesets.length === 0)
    throw new Refused(`${rules.map((r) => safe(r.name)).join(", ")}: no ruleset could be read`);
  const [conflict] = conflicts;
  if (conflict !== undefined) {
    const [first, second] = conflict.places.map(({ source, line }) => `${safe(source)}:${line}`);
    throw new Refused(
      `table ${conflict.table} of IPv${conflict.family} is given twice, with different rules: ${first} and ${second}. Two dumps are two hosts, or two times of one: give one of them, or audit a folder for each host.`,
    );
  }
  const some = Object.fromEntries(Object.entries(taken.sources).filter(([, list]) => list.length > 0));
  const complete = taken.snapshot !== null || args.assume?.includes("complete") === true;
  const given = { ...some, doubts: taken.doubts, complete };
  const host = orRefuse(() => readHost(given, rulesets, hints));
  host.diagnostics.forEach(complain);
  return { sources: rules, given, rulesets, host };
}

/** A file of a kind. Only a snapshot may list no socket: its host may have none. @throws Refused */
function named(path: string, kind: Kind): Source {
  const source = read(path);
  if (kind === "listening" && source.text.trim() === "")
    throw new Refused(`${safe(source.name)}: it is empty, and ss prints a line for each socket.`);
  return source;
}

/** What a text is by its contents; `undefined` for one that is not read. */
const whatIs = (text: string): Kind | "snapshot" | undefined =>
  isSnapshot(text) ? "snapshot" : kindOf(text);

/** The inputs as they are read, each by its contents. */
class Taken {
  readonly rules: Source[] = [];
  readonly sources: Record<Exclude<Kind, "rules">, Source[]> = {
    addr: [],
    route: [],
    rule: [],
    ipset: [],
    docker: [],
    sysctl: [],
    listening: [],
    tables: [],
  };
  readonly doubts: string[] = [];
  /** Name of the snapshot among the inputs. */
  snapshot: string | null = null;

  /** A file that was named: what it is must be clear. @throws Refused */
  file(source: Source): void {
    const kind = whatIs(source.text);
    if (kind !== undefined) {
      this.take(source, kind);
      return;
    }
    const { rulesets, diagnostics } = readRuleset([source]);
    if (rulesets.length === 0) {
      diagnostics.forEach(complain);
      throw new Refused(`${safe(source.name)}: ${mistaken(source.text)}`);
    }
    const why = `${source.name}: ${mistaken(source.text)}`;
    this.doubts.push(why);
    tell(`warning: ${safe(why)}\n`);
    this.take(source, "rules");
  }

  /** All files of a folder that are of a kind that is read. @throws Refused */
  folder(path: string): void {
    for (const file of filesOf(path)) {
      const source = read(file);
      const kind = whatIs(source.text);
      if (kind === undefined) {
        const damage = damageOf(source.text) ?? mistake(source.text);
        if (damage !== undefined)
          this.doubts.push(`${file} is left out: ${damage.replace(/\.$/, "")}; what it says is not known`);
      } else if (kind === "rules" && isFragment(source.text))
        tell(
          `note: ${safe(file)} is left out: it is a file for iptables-restore --noflush, as ufw's user.rules and before.rules are, and not what the kernel runs\n`,
        );
      else this.take(source, kind);
    }
  }

  private take(source: Source, kind: Kind | "snapshot"): void {
    if (kind === "snapshot") this.shot(source);
    else if (kind === "rules") {
      if (this.snapshot !== null) twoHosts(this.snapshot, source.name);
      this.rules.push(source);
    } else this.sources[kind].push(source);
  }

  private shot(source: Source): void {
    const before = this.snapshot ?? this.rules[0]?.name;
    if (before !== undefined) twoHosts(before, source.name);
    const { rules, sources, doubts } = orRefuse(() => readSnapshot(source));
    if (rules.length === 0)
      throw new Refused(
        `${safe(source.name)}: ${doubts.map(safe).join("; ") || "the host has no iptables rules, so whatever it serves is open"}`,
      );
    this.snapshot = source.name;
    this.rules.push(...rules);
    for (const each of HOST_KINDS) this.sources[each].push(...(sources[each] ?? []));
    this.doubts.push(...doubts);
  }
}

/** A snapshot has all rules of its host: others beside it are another host's. @throws Refused */
function twoHosts(one: string, other: string): never {
  throw new Refused(
    `${safe(one)} and ${safe(other)} are two hosts, or two times of one, and this command works on one: call it once for each.`,
  );
}

/** What makes an answer about a packet of these rules unsure, on stderr. */
export function doubtful({ rulesets, host }: Pick<Inputs, "rulesets" | "host">): readonly string[] {
  const found = [...host.doubts, ...rulesets.flatMap(doubtsOf)];
  for (const sentence of found) tell(`warning: ${safe(sentence)}\n`);
  return found;
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
