/**
 * The real iptables as the judge: every case of cases.ts through the legacy and the nft variant of both families, in
 * network namespaces of their own. `UPDATE=1` writes the record of
 * the release that is here anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readRuleset } from "../../lib/iptables/load.ts";
import { printRuleset } from "../../lib/iptables/print.ts";
import type { Family } from "../../lib/packet/field.ts";
import { GROUPS, LOSSY } from "./cases.ts";
import {
  closed,
  header,
  installed,
  printRecorded,
  type Recorded,
  readRecorded,
  record,
  recordedRelease,
  recordOf,
  roundTrip,
  VARIANTS,
} from "./lab.ts";

const shut = closed();
const here = shut === undefined ? installed() : "";

/** A save without its comment lines, which a ruleset does not keep. */
const bare = (text: string): string =>
  text
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n");

/** All cases that a variant accepts, as one text of all tables, each rule in a chain of its own. */
function whole(recorded: readonly Recorded[], family: Family, variant: string): string {
  const out: string[] = [];
  for (const table of ["raw", "mangle", "nat", "filter", "security"] as const) {
    const lines = recorded.filter(
      (r) =>
        r.family === family &&
        r.table === table &&
        r.saved !== undefined &&
        (r.variant === variant || r.variant === "both") &&
        // iptables saves these incorrectly, or prints text that no program can parse.
        !LOSSY.has(r.line),
    );
    out.push(
      `*${table}`,
      ":other - [0:0]",
      ":dotted.chain-name_x - [0:0]",
      ...lines.map((_, i) => `:c${i} - [0:0]`),
    );
    out.push(
      ...lines.map((r, i) => `${r.line.startsWith("-c ") ? "" : `[${i}:${i * 7}] `}-A c${i} ${r.line}`),
      "COMMIT",
    );
  }
  return `${out.join("\n")}\n`;
}

describe.skipIf(shut !== undefined)(shut === undefined ? "the real iptables" : `skipped: ${shut}`, () => {
  const recorded = shut === undefined ? record(GROUPS) : [];

  test("says what is recorded", () => {
    const text = `${recorded.map(printRecorded).join("\n")}\n`;
    const file = recordOf(recordedRelease(here));
    if (process.env.UPDATE) writeFileSync(recordOf(here), text);
    const known = readRecorded(readFileSync(file, "utf8"));
    expect(recorded.map(printRecorded)).toEqual(known.map(printRecorded));
    const saved = recorded.filter((r) => r.saved !== undefined);
    const count = (list: readonly Recorded[]): number => new Set(list.map((r) => r.line + r.table)).size;
    console.log(
      [
        `iptables ${here}`,
        `extensions: ${new Set(saved.map((r) => r.extension)).size} with a rule that this kernel takes`,
        `lines: ${count(recorded)}, of which ${count(saved)} are taken by some variant`,
        `line x family x variant: ${saved.reduce((sum, r) => sum + (r.variant === "both" ? 2 : 1), 0)} taken, ` +
          `${recorded.filter((r) => r.saved === undefined).reduce((sum, r) => sum + (r.variant === "both" ? 2 : 1), 0)} refused`,
      ].join("\n"),
    );
  });

  describe.each([4, 6] as const)("IPv%s", (family) => {
    test.each(VARIANTS)("a whole save of the %s variant, counters and all, is a fixed point", (variant) => {
      const { status, out, err } = roundTrip(whole(recorded, family, variant), family, variant, "-c");
      expect(status, err).toBe(0);
      const { rulesets, diagnostics } = readRuleset([{ name: variant, text: out }]);
      expect(diagnostics).toEqual([]);
      expect(rulesets.map((r) => r.family)).toEqual([family]);
      expect(printRuleset(rulesets[0]!)).toBe(bare(out));
    });

    test.each(VARIANTS)(
      "what fwcheck prints of the cases, the %s variant saves again unchanged",
      (variant) => {
        const { rulesets, diagnostics } = readRuleset([
          { name: "cases", text: `${header(family, here)}\n${whole(recorded, family, variant)}`, family },
        ]);
        expect(diagnostics.filter((d) => d.severity === "error")).toEqual([]);
        const printed = printRuleset(rulesets[0]!);
        const { status, out, err } = roundTrip(printed, family, variant, "-c");
        expect(status, err).toBe(0);
        // Both ways of the difference: a list of a thousand rules is no message.
        // ip6tables-nft-restore 1.8.9 loses the counters of rules; the saves above hold them.
        const rules = (text: string): string[] =>
          text.split("\n").flatMap((line) => /-A .*/.exec(line)?.[0] ?? []);
        const missing = (from: string, among: string): string[] => {
          const there = new Set(rules(among));
          return rules(from).filter((line) => !there.has(line));
        };
        expect({ lost: missing(printed, out), new: missing(out, printed) }).toEqual({ lost: [], new: [] });
      },
    );
  });
});
