/** Hosts with incomplete routing tables: the audit gives an answer without any single entry. */
import { readFileSync } from "node:fs";
import { type HostSources, type Ruleset, readHost, readRuleset } from "fwcheck";
import { expect, test } from "vitest";
import { examples, hostSources } from "../capture.ts";
import { auditOf } from "./json.ts";

const CAPTURE = `${examples}ufw-docker-28.5`;

/** Returns the sources of a host with one listing changed. */
type Edit = (entries: readonly Record<string, unknown>[]) => readonly unknown[];

function changed(
  sources: HostSources,
  kind: "route" | "addr" | "rule",
  which: number,
  edit: Edit,
): HostSources {
  const listings = (sources[kind] ?? []).map((source, i) =>
    i === which ? { ...source, text: JSON.stringify(edit(JSON.parse(source.text))) } : source,
  );
  return { ...sources, [kind]: listings };
}

/** Returns every edit of a host: each listing without one entry, and without all entries of one type. */
function* edits(sources: HostSources): Generator<readonly [string, HostSources]> {
  for (const kind of ["route", "addr", "rule"] as const)
    for (const [which, source] of (sources[kind] ?? []).entries()) {
      const entries = JSON.parse(source.text) as Record<string, unknown>[];
      for (const [at, entry] of entries.entries())
        yield [
          `${kind} without ${JSON.stringify(entry).slice(0, 90)}`,
          changed(sources, kind, which, (all) => all.filter((_, i) => i !== at)),
        ];
      if (kind !== "route") continue;
      for (const type of ["local", "broadcast", "anycast", "multicast"])
        yield [
          `route ${which} without type ${type}`,
          changed(sources, kind, which, (all) => all.filter((e) => e.type !== type)),
        ];
    }
}

/** Returns the edits of a host that make the audit throw, with the error message. */
function failures(rulesets: readonly Ruleset[], sources: HostSources): string[] {
  return [...edits(sources)].flatMap(([what, edited]) => {
    try {
      auditOf(rulesets, readHost(edited, rulesets));
      return [];
    } catch (error) {
      return [`${what}: ${error instanceof Error ? error.message : error}`];
    }
  });
}

test("every entry of the routing tables and addresses may be missing", () => {
  const files = ["iptables-save.txt", "ip6tables-save.txt"].map((name) => `${CAPTURE}/${name}`);
  const sources = files.map((name) => ({ name, text: readFileSync(name, "utf8") }));
  expect(failures(readRuleset(sources).rulesets, hostSources(CAPTURE))).toEqual([]);
}, 120_000);
