/** The CLI as it stands in the sources, built aside so that a test needs no build before it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";

const root = new URL("../..", import.meta.url).pathname;

/** How a call ended. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Builds the CLI for the tests of one file, with a folder for what they write. */
export function built(): {
  readonly folder: string;
  readonly fwcheck: (args: readonly string[], input?: string) => Ran;
  readonly file: (name: string, text: string) => string;
} {
  const folder = mkdtempSync(join(tmpdir(), "fwcheck-test-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  beforeAll(() => {
    const build = spawnSync("npm", ["run", "--silent", "build:js", "--", `--outdir=${folder}`], {
      cwd: root,
      encoding: "utf8",
    });
    expect(build.stderr).toBe("");
    file("package.json", `{"type":"module"}`);
  }, 60_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const fwcheck = (args: readonly string[], input = ""): Ran => {
    const run = spawnSync(process.execPath, [join(folder, "cli/main.js"), ...args], {
      encoding: "utf8",
      input,
      env: { ...process.env, NO_COLOR: "1" },
    });
    return { code: run.status, out: run.stdout, err: run.stderr };
  };
  return { folder, fwcheck, file };
}
