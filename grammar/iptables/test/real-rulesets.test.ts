import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, print } from "iptables-parser-ts";
import { describe, expect, test } from "vitest";
import { plain } from "./plain.ts";

const captures = new URL("../../../../shared/captures", import.meta.url).pathname;
const rulesets = new URL("../../../../shared/rulesets", import.meta.url).pathname;
const without = (folder: string): string => (existsSync(folder) ? "" : " (skipped: the folder is absent)");
const files = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((f) => f.isFile())
        .map((f) => join(f.parentPath, f.name))
    : [];

describe.skipIf(!existsSync(captures))(`output of iptables-save on real hosts${without(captures)}`, () => {
  const saves = files(captures).filter((f) => /ip6?tables-save[^/]*\.txt$/.test(f));
  test.each(saves.map((f) => [f.slice(captures.length + 1), f]))("%s is printed byte for byte", (_, file) => {
    const text = readFileSync(file, "utf8");
    const { document, diagnostics } = parse(text);
    expect(diagnostics).toEqual([]);
    expect(print(document)).toBe(text);
  });
});

describe.skipIf(!existsSync(rulesets))(`public rulesets${without(rulesets)}`, () => {
  test.each(files(rulesets).map((f) => [f.slice(rulesets.length + 1), f]))(
    "%s is parsed equally by scanner and grammar, and printed",
    (_, file) => {
      const text = readFileSync(file, "utf8");
      const { document, diagnostics } = parse(text);
      const strict = parse(text, { strict: true });
      expect(diagnostics).toEqual(strict.diagnostics);
      expect(plain(document, { lines: true })).toEqual(plain(strict.document, { lines: true }));
      const printed = print(document);
      expect(print(parse(printed).document)).toBe(printed);
      expect(plain(parse(printed).document)).toEqual(plain(document));
    },
  );
});
