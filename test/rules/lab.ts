/**
 * The real iptables as the judge: rules go into a network namespace of their own and come back as the save program
 * prints them. Nothing here touches the namespace it is started in.
 */
import { spawnSync } from "node:child_process";
import type { Family } from "../../lib/packet/field.ts";
import { type Group, SETS } from "./cases.ts";

export type Variant = "legacy" | "nft";
export const VARIANTS: readonly Variant[] = ["legacy", "nft"];

/** What became of a line: the rules it was saved as, without `-A CHAIN`, or `undefined` when it was refused. */
export type Outcome = readonly string[] | undefined;

const program = (family: Family, variant: Variant, verb: "restore" | "save"): string =>
  `ip${family === 4 ? "" : "6"}tables-${variant}-${verb}`;

/** Why the lab is closed, in a sentence, or `undefined` when it is open. */
export function closed(): string | undefined {
  if (process.getuid?.() !== 0) return "the lab needs root";
  const need = ["ipset", ...[4, 6].flatMap((f) => VARIANTS.map((v) => program(f as Family, v, "restore")))];
  for (const name of need)
    if (spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0) return `the lab needs ${name}`;
  if (spawnSync("unshare", ["-n", "true"]).status !== 0) return "the lab needs unshare -n";
  return undefined;
}

/** Chains that rules may jump to. */
const EXTRA = ["dotted.chain-name_x", "other"];

const chainName = (i: number): string => `c${String(i).padStart(5, "0")}`;

/** Runs a script in a fresh network namespace with the sets of the cases. */
export function inNamespace(
  script: string,
  input: string,
  family: Family,
): { status: number; out: string; err: string } {
  const sets = `printf '%s' "$SETS" | ipset restore 2>/dev/null; ${script}`;
  const run = spawnSync("unshare", ["-n", "sh", "-c", sets], {
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, SETS: SETS(family), LC_ALL: "C" },
  });
  return { status: run.status ?? 1, out: run.stdout, err: run.stderr };
}

/** Feeds a whole text and returns what the save program prints of the table (with counters where asked). */
export const roundTrip = (text: string, family: Family, variant: Variant, flags = "") =>
  inNamespace(
    `${program(family, variant, "restore")} ${flags} && ${program(family, variant, "save")} ${flags}`,
    text,
    family,
  );

/** Feeds many lines at once, each in its own chain; takes out what is refused until the rest is accepted. */
export function feed(
  table: Group["table"],
  lines: readonly string[],
  family: Family,
  variant: Variant,
): Outcome[] {
  const outcomes: Outcome[] = new Array<Outcome>(lines.length);
  const attempt = (indices: readonly number[]): void => {
    if (indices.length === 0) return;
    const declared = [...indices.map(chainName), ...EXTRA].map((c) => `:${c} - [0:0]`);
    const head = [`*${table}`, ...declared];
    const text = [...head, ...indices.map((i) => `-A ${chainName(i)} ${lines[i]}`), "COMMIT", ""].join("\n");
    const { status, out, err } = roundTrip(text, family, variant);
    if (status === 0) {
      const saved = new Map<string, string[]>(indices.map((i) => [chainName(i), []]));
      for (const line of out.split("\n")) {
        const m = /^-A (c\d{5})(?: (.*))?$/.exec(line);
        if (m !== null) saved.get(m[1]!)?.push(m[2] ?? "");
      }
      for (const i of indices) outcomes[i] = saved.get(chainName(i))!;
      return;
    }
    const at = [.../[Ll]ine:? (\d+)/g[Symbol.matchAll](err)].map((m) => Number(m[1]) - head.length - 1);
    const bad = new Set(at.filter((n) => n >= 0 && n < indices.length));
    if (bad.size > 0) {
      attempt(indices.filter((_, n) => !bad.has(n)));
      return;
    }
    if (indices.length === 1) return;
    const half = indices.length >> 1;
    attempt(indices.slice(0, half));
    attempt(indices.slice(half));
  };
  attempt(lines.map((_, i) => i));
  return outcomes;
}

/** One line of recorded.txt. */
export interface Recorded {
  readonly family: Family;
  readonly table: Group["table"];
  readonly extension: string;
  readonly variant: Variant | "both";
  readonly line: string;
  readonly saved: Outcome;
}

/** Puts every case through both variants in every family it names. */
export function record(groups: readonly Group[]): Recorded[] {
  const out: Recorded[] = [];
  for (const family of [4, 6] as const)
    for (const table of ["raw", "mangle", "nat", "filter", "security"] as const) {
      const cases = groups
        .filter((g) => g.table === table && g.families.includes(family))
        .flatMap((g) => g.lines.map((line) => ({ extension: g.extension, line })));
      if (cases.length === 0) continue;
      const [legacy, nft] = VARIANTS.map((v) =>
        feed(
          table,
          cases.map((c) => c.line),
          family,
          v,
        ),
      );
      cases.forEach(({ extension, line }, i) => {
        const base = { family, table, extension, line };
        if (JSON.stringify(legacy![i]) === JSON.stringify(nft![i]))
          out.push({ ...base, variant: "both", saved: legacy![i] });
        else
          out.push(
            { ...base, variant: "legacy", saved: legacy![i] },
            { ...base, variant: "nft", saved: nft![i] },
          );
      });
    }
  return out;
}

/** One line of text: family, table, extension, variant, what was written, and the saved rules, between tabs. */
export const printRecorded = (r: Recorded): string =>
  [
    r.family,
    r.table,
    r.extension,
    r.variant,
    withoutTabs(r.line),
    ...(r.saved === undefined ? ["refused"] : ["saved", ...r.saved.map(withoutTabs)]),
  ].join("\t");

export function readRecorded(text: string): Recorded[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [family, table, extension, variant, written, outcome, ...saved] = line.split("\t");
      return {
        family: Number(family) as Family,
        table: table as Group["table"],
        extension: extension!,
        variant: variant as Recorded["variant"],
        line: withTabs(written!),
        saved: outcome === "saved" ? saved.map(withTabs) : undefined,
      };
    });
}

const withoutTabs = (text: string): string => text.replaceAll("\t", "␉");
const withTabs = (text: string): string => text.replaceAll("␉", "\t");
