/** The manual's commands, run as they stand there; `UPDATE=1` writes what they print into it. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Program } from "./program.ts";

const root = new URL("../..", import.meta.url).pathname;
const program = new Program();
beforeAll(() => program.build(), 60_000);
afterAll(() => program.remove());

/** A block that starts with `$ fwcheck ...`: the command, and what it prints. */
const BLOCK = /```console\n\$ (fwcheck [^\n]*)\n([\s\S]*?)```/g;

const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)].filter((page) =>
  page.endsWith(".md"),
);

/** What a command prints; a message on stderr comes behind it. */
function printed(command: string): string {
  const { out, err } = program.run(command.split(" ").slice(1), { cwd: root });
  return [out, err].flatMap((text) => (text === "" ? [] : [text.trimEnd()])).join("\n");
}

describe.each(pages)("%s", (page) => {
  const text = readFileSync(join(root, page), "utf8");
  const blocks = [...text.matchAll(BLOCK)];
  test(`${blocks.length} commands print what it says`, () => {
    const now = text.replaceAll(BLOCK, (_, command: string) => {
      return `\`\`\`console\n$ ${command}\n${printed(command)}\n\`\`\``;
    });
    if (process.env.UPDATE === "1") writeFileSync(join(root, page), now);
    expect(now).toBe(text);
  });
});

test("somebody looks at the manual", () => {
  const all = pages.flatMap((page) => [...readFileSync(join(root, page), "utf8").matchAll(BLOCK)]);
  expect(all.length).toBeGreaterThanOrEqual(10);
});
