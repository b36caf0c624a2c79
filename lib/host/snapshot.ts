/**
 * A snapshot: one text with all that `fwcheck collect` gathered on a host, each program's output as it printed it.
 *
 * It starts with a line `fwcheck-snapshot 1 BOUNDARY`, where the boundary is a word that nobody could guess before; what a
 * login shell says before that is passed over. Every line that starts with the boundary is the collector's own:
 * `begin KIND TITLE`, `end EXIT-CODE`, `missing KIND PROGRAM`, and `done`.
 */
import { type HostSources, type Source, SourceError } from "./read.ts";

/** What a snapshot holds. */
export interface Snapshot {
  /** Dumps of iptables and ip6tables, for `readRuleset`. */
  readonly rules: readonly Source[];
  /** The rest, for `readHost`. */
  readonly sources: HostSources;
  /** Why this may not be all that decides on packets, or not all of the host, a sentence each. */
  readonly doubts: readonly string[];
  /** What else failed on the host, so that something has to be inferred, a sentence each. */
  readonly warnings: readonly string[];
}

const START = /^fwcheck-snapshot (\d+) (\S+)\r?$/m;

/** How far the beginning may be from that of the text, in characters. */
export const SNAPSHOT_START = 4096;

/** Tells whether a text is a snapshot; its first `SNAPSHOT_START` characters tell. */
export const isSnapshot = (text: string): boolean => START.test(text.slice(0, SNAPSHOT_START));

/** What one program printed. */
interface Part {
  readonly kind: string;
  readonly title: string;
  readonly text: string;
  /** The program's exit code; `null` where it is not on the host. */
  readonly code: number | null;
}

const KINDS = ["addr", "route", "rule", "ipset", "docker", "sysctl", "listening"] as const;

/** What is missed where it fails. */
const WANTED: readonly string[] = [...KINDS, "tables", "native"];

const familyOf = (title: string): 4 | 6 => (title.startsWith("ip6") ? 6 : 4);

/**
 * Takes a snapshot apart. Lines keep their numbers: what is said of a part is said of the snapshot's own lines.
 * @throws SourceError when it is none, or not whole: what is cut off may be what matters
 */
export function readSnapshot(source: Source): Snapshot {
  const parts = partsOf(source);
  const errors = new Map(parts.filter((p) => p.kind === "errors").map((p) => [p.title, p.text.trim()]));
  // A host on which nothing listens prints nothing.
  const good = ({ kind, code, text }: Part): boolean =>
    code === 0 && (text.trim() !== "" || kind === "listening");
  const of = (kind: string): Source[] =>
    parts
      .filter((p) => p.kind === kind && good(p))
      .map(({ title, text }) => ({
        ...{ name: source.name, text },
        ...(kind === "rule" ? { family: / -6 /.test(title) ? (6 as const) : (4 as const) } : {}),
      }));
  const doubts: string[] = [];
  const warnings: string[] = [];
  for (const { kind, title, code } of parts) {
    if (code === null && kind === "rules")
      doubts.push(`${title} is not on the host: what becomes of IPv${familyOf(title)} packets is not known`);
    else if (code === null && kind === "tables")
      warnings.push(`${title} is not on the host: tables of nftables beside iptables would not be seen`);
    else if (code !== null && code !== 0 && (kind === "rules" || WANTED.includes(kind)))
      (kind === "rules" ? doubts : warnings).push(
        `${title} failed on the host: ${errors.get(title) || (code === 137 ? "it took longer than a minute" : `exit code ${code}`)}`,
      );
  }
  const rules = parts.filter((p) => p.kind === "rules" && good(p));
  const sources: HostSources = Object.fromEntries(
    KINDS.map((kind) => {
      const found = of(kind);
      // `ip -d link` tells a bond from a bridge; addresses are what it does not tell.
      return [kind, kind === "addr" && found.length > 0 ? [...found, ...of("link")] : found] as const;
    }).filter(([, list]) => list.length > 0),
  );
  return {
    rules: [4, 6].flatMap((family) => {
      const own = rules.filter((p) => familyOf(p.title) === family);
      const filled = own.filter((p) => /^(\[\d+:\d+\] )?-A /m.test(p.text));
      if (filled.length > 1)
        doubts.push(
          `both ${filled.map((p) => p.title.split(" ")[0]).join(" and ")} print rules: a packet has to pass both, and only those of ${docker(filled).title.split(" ")[0]} are followed`,
        );
      const read = filled.length === 0 ? own.slice(0, 1) : [docker(filled)];
      return read.map((p) => ({ name: source.name, text: p.text }));
    }),
    sources,
    doubts: [...doubts, ...beside(parts)],
    warnings,
  };
}

/** The dump that Docker writes to; the last one where it writes to none. */
const docker = (dumps: readonly Part[]): Part =>
  dumps.find((p) => /^:DOCKER /m.test(p.text)) ?? dumps[dumps.length - 1]!;

/** Tables that iptables-nft makes are printed by iptables-save; what stands in others is not. */
const OWN = /^table (?:ip6? (?:raw|mangle|nat|filter|security)|arp filter|bridge (?:filter|nat|broute))$/;

/** Firewalls beside iptables, which nothing here reads, and what of them iptables-save prints as what it is not. */
function beside(parts: readonly Part[]): string[] {
  const native = parts.filter((p) => p.kind === "native").flatMap((p) => p.text.split("\n").filter(Boolean));
  if (native.length > 0)
    return [
      `nft's own sets or maps are asked in ${native.join(", ")}: iptables-save prints those rules without them`,
      ...tablesBeside(parts),
    ];
  return tablesBeside(parts);
}

function tablesBeside(parts: readonly Part[]): string[] {
  const lines = parts.filter((p) => p.kind === "tables").flatMap((p) => p.text.split("\n"));
  const tables = lines.filter((line) => line.startsWith("table ") && !OWN.test(line));
  if (tables.length === 0) return [];
  const names = tables.map((t) => t.slice(6)).join(", ");
  return [`nftables holds tables of its own, which may drop what these rules accept: ${names}`];
}

/** The parts in their order, each with as many line feeds in front of it as there are lines above. */
function partsOf({ name, text }: Source): Part[] {
  const lines = text.split(/\r?\n/);
  const first = lines.findIndex((line) => START.test(line));
  const [, version, boundary] = START.exec(lines[first] ?? "") ?? [];
  const broken = (why: string): SourceError => new SourceError({ name, text }, "fwcheck collect", why);
  if (boundary === undefined) throw broken("no line of it is fwcheck-snapshot 1 ...");
  if (version !== "1") throw broken(`version ${version} is not read by this fwcheck`);
  const parts: Part[] = [];
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
    else if (word === "done") return parts;
  }
  throw broken("it is cut off; take it again");
}
