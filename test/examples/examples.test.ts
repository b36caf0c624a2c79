/** Recorded output of fwcheck for each capture in examples/, and of the demo; UPDATE=1 writes it again. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { audit, auditText, fix, fixText } from "fwcheck";
import { expect, test } from "vitest";
import { capture, examples } from "../capture.ts";
import { Program } from "../cli/program.ts";

const folders = readdirSync(examples, { withFileTypes: true }).filter((e) => e.isDirectory());

test.each(folders.map((e) => e.name))("%s", (name) => {
  const { rulesets, host } = capture(`${examples}${name}`);
  const result = fix(rulesets, host);
  const said = {
    audit: auditText(audit(rulesets, host)),
    fix: `${fixText(result)}\n${result.restore}${result.nft}`,
  };
  for (const [file, text] of Object.entries(said)) {
    expectRecorded(`${name}.${file}.txt`, text);
  }
});

test("demo", () => {
  const program = new Program();
  program.build();
  const args = [`${examples}demo.mjs`, join(program.folder, "cli/main.js")];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  program.remove();
  expect([status, stderr]).toEqual([0, ""]);
  expectRecorded("demo.txt", stdout);
});

function expectRecorded(file: string, text: string): void {
  const path = `${examples}${file}`;
  if (process.env.UPDATE === "1") writeFileSync(path, text);
  expect(text).toBe(readFileSync(path, "utf8"));
}
