import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, print } from "nftables-parser-ts";
import { describe, expect, test } from "vitest";
import { inNamespace, versionOf } from "./lab.ts";

const shared = new URL("../../../../shared/", import.meta.url).pathname;
const without = (folder: string): string => (existsSync(folder) ? "" : " (skipped: the folder is absent)");
const files = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((f) => f.isFile())
        .map((f) => join(f.parentPath, f.name))
    : [];

const captures = `${shared}captures-nft`;
describe.skipIf(!existsSync(captures))(`listings of real hosts${without(captures)}`, () => {
  const listings = files(captures).filter((f) => f.endsWith("/nft.txt"));
  test.each(listings.map((f) => [f.slice(captures.length + 1), f]))(
    "%s is printed byte for byte",
    (_, file) => {
      const text = readFileSync(file, "utf8");
      const { document, diagnostics } = parse(text);
      expect(diagnostics).toEqual([]);
      expect(print(document)).toBe(text);
    },
  );
});

/** Tables of iptables-nft as nft lists these: extensions without a translation, and conditions that are lost. */
const rulesets = `${shared}rulesets`;
const root = process.getuid?.() === 0 && versionOf("nft") !== "";
describe.skipIf(!root || !existsSync(rulesets))(`public rulesets in iptables-nft${without(rulesets)}`, () => {
  test("nft's listings are printed byte for byte", { timeout: 60_000 }, () => {
    let count = 0;
    for (const file of files(rulesets)) {
      const { out } = inNamespace("iptables-nft-restore && nft -a list ruleset", readFileSync(file, "utf8"));
      if (out === "") continue;
      const { document, diagnostics } = parse(out);
      expect(diagnostics).toEqual([]);
      expect(print(document)).toBe(out);
      count++;
    }
    expect(count).toBeGreaterThan(30);
  });
});
