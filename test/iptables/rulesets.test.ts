/** Real rulesets of the world, kept outside this repository: every rule is loaded. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { parse } from "iptables-parser-ts";
import { describe, expect, test } from "vitest";
import { readRuleset } from "../../lib/iptables/load.ts";
import { printRuleset } from "../../lib/iptables/print.ts";

const folder = new URL("../../../shared/rulesets/", import.meta.url);
const files = existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith("README")) : [];

describe.skipIf(files.length === 0)(
  files.length === 0 ? "skipped: no ../shared/rulesets" : "real rulesets",
  () => {
    const totals = { files: 0, rules: 0, errors: 0, warnings: 0 };

    test.each(files)("%s", (name) => {
      const text = readFileSync(new URL(encodeURIComponent(name), folder), "utf8");
      const { document } = parse(text);
      const { rulesets, diagnostics } = readRuleset([{ name, text }]);
      const rules = rulesets.flatMap((r) =>
        [...r.tables.values()].flatMap((t) => [...t.chains.values()].flatMap((c) => c.rules)),
      );
      // What a later dump replaced is gone on purpose, and a list of addresses makes several rules of one.
      const replaced = diagnostics.some((d) => d.message.includes("is given twice"));
      const written = document.entries.flatMap((e) =>
        e.kind === "table" ? e.entries.filter((r) => r.kind === "rule") : [],
      );
      if (!replaced) expect(new Set(rules.map((r) => r.line)).size).toBe(written.length);
      for (const d of diagnostics) {
        expect(d.line, d.message).toBeGreaterThan(0);
        expect(d.column, d.message).toBeGreaterThan(0);
        const line = text.split(/\r?\n/)[d.line - 1] ?? "";
        expect(line.startsWith(d.found, d.column - 1), `${d.line}:${d.column} ${d.message}: ${d.found}`).toBe(
          true,
        );
      }
      // One bad line, one diagnostic.
      const lines = diagnostics.filter((d) => d.severity === "error").map((d) => d.line);
      expect(lines.length).toBe(new Set(lines).size);
      // What is printed reads as itself.
      for (const ruleset of rulesets) {
        const printed = printRuleset(ruleset);
        const again = readRuleset([{ name, text: printed, family: ruleset.family }]);
        expect(again.rulesets.map((r) => printRuleset(r)).join("")).toBe(printed);
      }
      totals.files++;
      totals.rules += rules.length;
      totals.errors += diagnostics.filter((d) => d.severity === "error").length;
      totals.warnings += diagnostics.filter((d) => d.severity === "warning").length;
    });

    test("totals", () => {
      console.log(
        `rulesets: ${totals.files} files, ${totals.rules} rules, ${totals.errors} errors, ${totals.warnings} warnings`,
      );
    });
  },
);
