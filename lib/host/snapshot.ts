/**
 * A snapshot: one text with all that `fwcheck collect` gathered on a host, each program's output as it printed it.
 *
 * It starts with a line `fwcheck-snapshot 1 BOUNDARY`, where the boundary is random; output of a login
 * shell before that line is skipped. Every line that starts with the boundary is the collector's own:
 * `begin KIND TITLE`, `end EXIT-CODE`, `missing KIND PROGRAM`, and `done`.
 */

import { saveProgram } from "../iptables/table-family.ts";
import type { Family } from "../packet/field.ts";
import { type Backend, type MissingRules, type Unread, unknownChains } from "../rules/ruleset.ts";
import { sourceKind } from "./classify.ts";
import type { HostDoubt } from "./host-doubt.ts";
import { type HostSources, type Source, SourceError } from "./read.ts";
import { suspectRules, unprintedRules } from "./unprinted.ts";
import { nativeFamilies, tableDoubts, unlistedTables } from "./unread.ts";

/** Contents of a snapshot. */
export interface Snapshot {
  /** Dumps of iptables and ip6tables, for `readRuleset`. */
  readonly rules: readonly Source[];
  /** All other parts, for `readHost`. */
  readonly sources: HostSources;
  /** Reasons why rules or facts of the host may be missing. */
  readonly doubts: readonly HostDoubt[];
}

const START = /^fwcheck-snapshot (\d+) (\S+)\r?$/m;

/** Begins another snapshot or dump. What login shells print around a snapshot has no such line. */
const OTHER_RULES = /^(fwcheck-snapshot \d|\*\w+\s*$|-[APN] \S)/;

/** Maximum offset of the first line in the text, in characters. */
export const SNAPSHOT_START = 4096;

/** Returns true if a text is a snapshot; its first `SNAPSHOT_START` characters are enough. */
export const isSnapshot = (text: string): boolean => START.test(text.slice(0, SNAPSHOT_START));

/** Output of one program. */
interface SnapshotPart {
  readonly kind: string;
  readonly title: string;
  readonly text: string;
  /** The program's exit code; `null` where it is not on the host. */
  readonly code: number | null;
}

const KINDS = ["addr", "route", "rule", "ipset", "docker", "sysctl", "listening"] as const;

/** Kinds of parts that are read as another kind of source. */
const KIND_OF: Readonly<Record<string, (typeof KINDS)[number] | undefined>> = { podman: "docker" };

/** Kinds of parts that nothing reads, so that nothing depends on how their programs ended. */
const UNREAD: readonly string[] = ["text", "ufw", "errors", "hooks"];

/**
 * Parts of every snapshot, unless the program is not installed. Their texts are never empty, except those of programs
 * that may print nothing.
 */
const EXPECTED: readonly {
  readonly kind: string;
  readonly title: RegExp;
  readonly program: string;
  readonly maybeEmpty?: true;
}[] = [
  // A kernel without tables prints nothing.
  { kind: "rules", title: /^iptables/, program: "iptables-save", maybeEmpty: true },
  { kind: "rules", title: /^ip6tables/, program: "ip6tables-save", maybeEmpty: true },
  { kind: "tables", title: /^nft/, program: "nft list tables", maybeEmpty: true },
  { kind: "ipset", title: /^ipset/, program: "ipset save", maybeEmpty: true },
  { kind: "addr", title: /^ip /, program: "ip -j addr" },
  { kind: "link", title: /^ip /, program: "ip -d -j link" },
  { kind: "route", title: / -4 /, program: "ip -j -4 route" },
  { kind: "route", title: / -6 /, program: "ip -j -6 route" },
  { kind: "rule", title: / -4 /, program: "ip -j -4 rule" },
  { kind: "rule", title: / -6 /, program: "ip -j -6 rule" },
  { kind: "sysctl", title: /^settings/, program: "the settings of /proc/sys/net" },
  { kind: "docker", title: /^docker inspect/, program: "docker inspect", maybeEmpty: true },
  { kind: "docker", title: /^docker network inspect/, program: "docker network inspect" },
];

const familyOf = (title: string): 4 | 6 => (title.startsWith("ip6") ? 6 : 4);

/**
 * Splits a snapshot into its parts. Lines keep their numbers, so that messages name lines of the snapshot.
 * @throws SourceError if the text is not a snapshot, or cut off: the missing part may matter
 */
export function readSnapshot(source: Source): Snapshot {
  const parts = partsOf(source);
  const dumps = parts.filter((p) => p.kind === "rules" && hasContents(p));
  const odd = dumps.find((p) => sourceKind(p.text) !== "rules");
  if (odd !== undefined) throw new SourceError({ ...source, text: odd.text }, odd.title, "it has no table");
  const doubts = [...failures(parts), ...missing(parts), ...unlisted(parts, dumps)];
  const others = otherFilters(parts);
  const rules = ([4, 6] as const).flatMap((family) =>
    rulesOf(
      source.name,
      family,
      parts.filter((p) => p.kind === "rules" && p.code === 0 && familyOf(p.title) === family),
      others,
      doubts,
    ),
  );
  return {
    rules: [...rules, ...nftSources(source.name, parts)],
    // Each unknown part has a doubt of its own.
    sources: { ...hostSources(source.name, parts), complete: true },
    doubts: [...doubts, ...others.doubts],
  };
}

/** Returns the listings of nft: rules with all elements of the sets, and the order of the hooks. */
const nftSources = (name: string, parts: readonly SnapshotPart[]): Source[] =>
  parts
    .filter((p) => (p.kind === "nft" || p.kind === "hooks") && p.code === 0 && p.text.trim() !== "")
    .map(({ kind, text }) => (kind === "nft" ? { name, text, complete: true } : { name, text }));

/** Returns true for the output of a program that succeeded. A host on which nothing listens prints nothing. */
const hasContents = (part: SnapshotPart): boolean =>
  part.code === 0 && (!isEmpty(part) || part.kind === "listening");

/** Returns the outputs that `readHost` reads. */
function hostSources(name: string, parts: readonly SnapshotPart[]): HostSources {
  const of = (kind: string): Source[] =>
    parts
      .filter((p) => (KIND_OF[p.kind] ?? p.kind) === kind && hasContents(p))
      .filter((p) => kind !== "docker" || isOfEngine(p))
      .map(({ title, text }) => ({
        name,
        text,
        ...(kind === "rule" || kind === "route" ? { family: sideOf(title) } : {}),
      }));
  return Object.fromEntries(
    KINDS.map((kind) => {
      const found = of(kind);
      // `ip -d link` lists the kind of an interface (bond, bridge), but no addresses.
      return [kind, kind === "addr" && found.length > 0 ? [...found, ...of("link")] : found] as const;
    }).filter(([, list]) => list.length > 0),
  );
}

/** Returns a doubt for each program that failed or is missing, if its output matters. */
function failures(parts: readonly SnapshotPart[]): HostDoubt[] {
  const messages = new Map(
    parts.filter((p) => p.kind === "errors").map((p) => [p.title, p.text.trim().split("\n")[0]]),
  );
  return parts.flatMap(({ kind, title: command, code: exit }): HostDoubt[] => {
    if (exit === null && kind === "rules")
      return [{ code: "save-program-missing", command, family: familyOf(command) }];
    if (exit === null && kind === "tables") return [{ code: "nft-missing", command }];
    if (exit === null || exit === 0 || UNREAD.includes(kind)) return [];
    return [{ code: "command-failed", command, exit, message: messages.get(command) || null }];
  });
}

/**
 * Returns the dumps of a family, with the rules that they lack; none without iptables and other filters.
 * @param printed dumps of both backends
 * @param doubts gets a doubt about a family without rules, and one about rules of iptables-legacy that are missing
 */
function rulesOf(
  name: string,
  family: Family,
  printed: readonly SnapshotPart[],
  others: OtherFilters,
  doubts: HostDoubt[],
): Source[] {
  const own = printed.filter(hasContents);
  if (own.length === 0 && printed.length > 0 && !others.native.includes(family))
    doubts.push({ code: "no-rules-printed", family });
  const unread = [...others.unread[family].values()].flat();
  const warning = printed.find(({ title }) => others.warnings.has(title));
  if (warning !== undefined && !own.some((part) => backendOf(part) === "iptables-legacy")) {
    doubts.push({ code: "legacy-not-saved", command: warning.title, family });
    unread.push(...unknownChains("iptables-legacy"));
  }
  // Without a rule of iptables the family matters only where other tables may filter it.
  if (printed.length === 0 || (own.length === 0 && unread.length === 0)) return [];
  return (own.length > 0 ? own : printed.slice(0, 1)).map((part, i): Source => {
    const backend = backendOf(part);
    const listed =
      others.listed(family) ?? (isNft(part) ? { unprinted: suspectRules(part.text, family) } : {});
    // Chains that are unread in one dump are unread beside all of them.
    const more = i === 0 ? [...unread, ...(listed.unread ?? [])] : [];
    return {
      name,
      text: part.text,
      family,
      ...(backend === null ? {} : { backend }),
      missing: {
        ...(backend === "iptables-legacy" || listed.unprinted === undefined
          ? {}
          : { unprinted: listed.unprinted }),
        unread: more,
      },
    };
  });
}

/** A part without contents: no text, or an empty list where a host always has something to list. */
const isEmpty = ({ kind, text }: SnapshotPart): boolean =>
  text.trim() === "" || (["addr", "link", "rule"].includes(kind) && /^\s*\[[\s{}]*\]\s*$/.test(text));

/** The family of a list by the option of its program: `ip -j -6 route`. */
const sideOf = (title: string): 4 | 6 => (/ -6 /.test(title) ? 6 : 4);

/** Returns true for a part with containers, networks or settings of the daemon; its version alone is none. */
const isOfEngine = ({ title, text }: SnapshotPart): boolean =>
  /^(docker|podman) (network )?inspect/.test(title) || sourceKind(text) === "docker";

/**
 * Returns a doubt for each dump with a table that `nft list tables` lacks, and for each dump of one backend without that
 * of the other.
 */
function unlisted(parts: readonly SnapshotPart[], rules: readonly SnapshotPart[]): HostDoubt[] {
  const out: HostDoubt[] = [];
  const lists = parts.filter((p) => p.kind === "tables" && p.code === 0);
  const listed = new Set(lists.flatMap((p) => p.text.split("\n").map((line) => line.trim())));
  for (const { title, text } of rules) {
    if (lists.length === 0 || !/^# Generated by .*(nft-save|\(nf_tables\))/m.test(text)) continue;
    const ip = familyOf(title) === 6 ? "ip6" : "ip";
    const lost = savedTables(text).find((name) => !listed.has(`table ${ip} ${name}`));
    if (lost !== undefined) out.push({ code: "table-not-listed", table: `${ip} ${lost}`, command: title });
  }
  const titles = parts.filter((p) => p.kind === "rules").map((p) => p.title.split(" ")[0]!);
  for (const program of titles) {
    const other = program.replace(/-(legacy|nft)-/, (_, one) => (one === "nft" ? "-legacy-" : "-nft-"));
    if (!titles.includes(other)) out.push({ code: "other-backend-missing", program, other });
  }
  return out;
}

/** Returns a doubt about missing parts, and one about empty parts of programs that always print something. */
function missing(parts: readonly SnapshotPart[]): HostDoubt[] {
  const absent: string[] = [];
  const empty: string[] = [];
  for (const { kind, title, program, maybeEmpty } of EXPECTED) {
    const own = parts.filter((p) => p.kind === kind);
    // The program is not on the host, or it failed, which is a doubt by itself.
    if (own.some((p) => p.code === null) || (kind === "docker" && own.some((p) => p.code !== 0))) continue;
    const found = own.filter((p) => title.test(p.title));
    if (found.length === 0) absent.push(program);
    else if (maybeEmpty !== true && found.every((p) => p.code === 0 && isEmpty(p))) empty.push(program);
  }
  const out: HostDoubt[] = [];
  if (absent.length > 0) out.push({ code: "no-output", programs: absent });
  if (empty.length > 0) out.push({ code: "empty-output", programs: empty });
  return out;
}

/** Returns the backend of a dump by its comment, else by the name of its program; `null` if neither shows it. */
function backendOf({ title, text }: SnapshotPart): Backend | null {
  const [comment] = /^# Generated by .*/m.exec(text) ?? [];
  const [, named] = /^ip6?tables-(nft|legacy)-save/.exec(title) ?? [];
  return (
    saveProgram(comment ?? "")?.backend ??
    (named === undefined ? null : named === "nft" ? "iptables-nft" : "iptables-legacy")
  );
}

/** Returns true for a dump by iptables-nft that has rules: nft can write to these tables, too. */
const isNft = (part: SnapshotPart): boolean =>
  /^(\[\d+:\d+\] )?-A /m.test(part.text) && backendOf(part) === "iptables-nft";

/** Filters other than the rules that the save programs print. */
interface OtherFilters {
  /** Base chains that tables of nftables may have, by table, where no listing has the table. */
  readonly unread: Readonly<Record<4 | 6, ReadonlyMap<string, readonly Unread[]>>>;
  /** Rules that a dump lacks, by the list of expressions; `null` if the snapshot has no such list. */
  listed(family: 4 | 6): MissingRules | null;
  readonly doubts: readonly HostDoubt[];
  /** Families of packets that a listed table of nftables sees. */
  readonly native: readonly (4 | 6)[];
  /** Titles of save programs that warned of tables of iptables-legacy. */
  readonly warnings: ReadonlySet<string>;
}

function otherFilters(parts: readonly SnapshotPart[]): OtherFilters {
  const text = (kind: string): string =>
    parts.flatMap((p) => (p.kind === kind && p.code === 0 ? [p.text] : [])).join("\n");
  const has = (kind: string): boolean => parts.some((p) => p.kind === kind && p.code === 0);
  const doubts: HostDoubt[] = [];
  const native = text("native").split("\n").filter(Boolean);
  if (native.length > 0) doubts.push({ code: "nft-sets", tables: native });
  const unread = unlistedTables(text("tables"), text("nft"), {
    4: tablesSavedByNft(parts, 4),
    6: tablesSavedByNft(parts, 6),
  });
  doubts.push(...tableDoubts([...new Set([...unread[4].keys(), ...unread[6].keys()])]));
  const old = !has("expressions");
  if (old && parts.some((p) => p.kind === "rules" && isNft(p))) doubts.push({ code: "old-snapshot" });
  return {
    unread,
    native: nativeFamilies(text("nft")),
    listed: (family) => (old ? null : unprintedRules(text("expressions"), family)),
    doubts,
    warnings: new Set(
      parts.flatMap(({ kind, title, text: printed }) =>
        kind === "errors" && LEGACY_WARNING.test(printed) ? [title] : [],
      ),
    ),
  };
}

/** The warning that iptables-nft prints on stderr (nft_check_xt_legacy, iptables/nft.c). */
const LEGACY_WARNING = /^# Warning: ip6?tables-legacy tables present/m;

/**
 * Returns the names of the tables of a family that save programs of iptables-nft printed: they print each table, even one
 * without rules, so a listed table that they lack is not known. `null` if no save program succeeded.
 */
function tablesSavedByNft(parts: readonly SnapshotPart[], family: Family): ReadonlySet<string> | null {
  const own = parts.filter((p) => p.kind === "rules" && p.code === 0 && familyOf(p.title) === family);
  if (own.length === 0) return null;
  const printed = own.filter((p) => backendOf(p) !== "iptables-legacy").map(({ text }) => text);
  return new Set(printed.flatMap(savedTables));
}

/** Returns the names of the tables in a text of iptables-save. */
const savedTables = (text: string): string[] => [...text.matchAll(/^\*(\w+)\s*$/gm)].map(([, name]) => name!);

/** The parts in order, each padded with line feeds to keep its line numbers. */
function partsOf({ name, text }: Source): SnapshotPart[] {
  const lines = text.split(/\r?\n/);
  const first = lines.findIndex((line) => START.test(line));
  const [, version, boundary] = START.exec(lines[first] ?? "") ?? [];
  const broken = (why: string): SourceError => new SourceError({ name, text }, "fwcheck collect", why);
  if (boundary === undefined) throw broken("no line is fwcheck-snapshot 1 ...");
  if (version !== "1") throw broken(`version ${version} is not read by this fwcheck`);
  const outside = (from: number, to?: number): void => {
    const at = lines.slice(from, to).findIndex((line) => OTHER_RULES.test(line));
    if (at !== -1)
      throw broken(
        `line ${from + at + 1} begins other rules, outside the snapshot; give each host a file of its own`,
      );
  };
  outside(0, first);
  const parts: SnapshotPart[] = [];
  let open: { readonly kind: string; readonly title: string; readonly at: number } | null = null;
  for (const [i, line] of lines.entries()) {
    if (!line.startsWith(`${boundary} `)) continue;
    const [word, ...rest] = line.slice(boundary.length + 1).split(" ");
    if (word === "begin") open = { kind: rest[0] ?? "", title: rest.slice(1).join(" "), at: i + 1 };
    else if (word === "end" && open !== null) {
      const { kind, title, at } = open;
      parts.push({
        kind,
        title,
        text: "\n".repeat(at) + lines.slice(at, i).join("\n"),
        code: Number(rest[0]),
      });
      open = null;
    } else if (word === "missing")
      parts.push({ kind: rest[0] ?? "", title: rest.slice(1).join(" "), text: "", code: null });
    else if (word === "done") {
      outside(i + 1);
      return parts;
    }
  }
  throw broken("it is cut off; take it again");
}
