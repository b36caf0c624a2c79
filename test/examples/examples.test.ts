/** Recorded output of fwcheck for each capture in examples/; UPDATE=1 writes it again. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { audit, auditText, fix, fixText } from "fwcheck";
import { expect, test } from "vitest";
import { capture, examples } from "../capture.ts";

const folders = readdirSync(examples, { withFileTypes: true }).filter((e) => e.isDirectory());

test.each(folders.map((e) => e.name))("%s", (name) => {
  const { rulesets, host } = capture(`${examples}${name}`);
  const result = fix(rulesets, host);
  const said = { audit: auditText(audit(rulesets, host)), fix: `${fixText(result)}\n${result.restore}` };
  for (const [file, text] of Object.entries(said)) {
    const path = `${examples}${name}.${file}.txt`;
    if (process.env.UPDATE === "1") writeFileSync(path, text);
    expect(text).toBe(readFileSync(path, "utf8"));
  }
});
