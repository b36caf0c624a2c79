/** The CLI as it stands in the sources, built aside so that a test needs no build before it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export class Program {
  readonly folder = mkdtempSync(join(tmpdir(), "fwcheck-test-"));

  /** @throws what the build printed */
  build(): void {
    const cwd = new URL("../..", import.meta.url).pathname;
    const args = ["build.mjs", "--cli", `--outdir=${this.folder}`];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
    if (status !== 0 || stderr !== "") throw new Error(stderr);
    this.file("package.json", `{"type":"module"}`);
  }

  run(
    args: readonly string[],
    options: { input?: string; cwd?: string; env?: NodeJS.ProcessEnv; uid?: number | undefined } = {},
  ): Run {
    const { input = "", cwd, env = {}, uid } = options;
    const run = spawnSync(process.execPath, [join(this.folder, "cli/main.js"), ...args], {
      encoding: "utf8",
      maxBuffer: Number.POSITIVE_INFINITY,
      input,
      cwd,
      uid,
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "", ...env },
    });
    return { code: run.status, out: run.stdout, err: run.stderr };
  }

  /** Writes a file beside the program. */
  file(name: string, text: string): string {
    writeFileSync(join(this.folder, name), text);
    return join(this.folder, name);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
