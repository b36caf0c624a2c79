/** Runs the command line: in this process, or built and in a process of its own where the process matters. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { runCommandLine } from "../../cli/command-line.ts";

export interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

interface SpawnOptions extends RunOptions {
  readonly input?: string;
  readonly uid?: number | undefined;
}

/** Last run in this process: runs share its output and exit code, so each waits for the one before. */
let previous: Promise<unknown> = Promise.resolve();

export class Program {
  readonly folder = mkdtempSync(join(tmpdir(), "fwcheck-test-"));

  /** Runs the command line in this process. Standard input, several hosts and `collect` need `spawn`. */
  run(args: readonly string[], options: RunOptions = {}): Promise<Run> {
    const run = previous.then(() => inProcess(args, options));
    previous = run.catch(() => undefined);
    return run;
  }

  /** Builds the command line for `spawn`. @throws the output of the build */
  build(): void {
    cpSync(built(), this.folder, { recursive: true });
  }

  /** Runs the built command line in a process of its own. */
  spawn(args: readonly string[], { input = "", cwd, env = {}, uid }: SpawnOptions = {}): Run {
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

  /** Writes a file into the folder. @returns its path */
  file(name: string, text: string): string {
    writeFileSync(join(this.folder, name), text);
    return join(this.folder, name);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Folder of the build of this process; test files that share the process share it. */
let build: string | undefined;

function built(): string {
  if (build !== undefined) return build;
  const outdir = mkdtempSync(join(inject("scratch"), "build-"));
  const cwd = new URL("../..", import.meta.url).pathname;
  const args = ["build.mjs", "--cli", `--outdir=${outdir}`];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
  if (status !== 0 || stderr !== "") throw new Error(stderr);
  writeFileSync(join(outdir, "package.json"), '{"type":"module"}');
  build = outdir;
  return outdir;
}

/** Thrown by the replacement of `process.exit`. */
class Exit extends Error {
  override readonly name = "Exit";
}

/** Runs the command line with output, exit code, folder and environment of this process replaced. */
async function inProcess(args: readonly string[], { cwd, env = {} }: RunOptions): Promise<Run> {
  const text = { out: "", err: "" };
  let exited: Run | null = null;
  const { log } = console;
  const { exit, exitCode, env: before } = process;
  const writes = { out: process.stdout.write, err: process.stderr.write };
  const folder = process.cwd();
  const capture =
    (stream: "out" | "err") =>
    (part: string | Uint8Array): boolean => {
      text[stream] += String(part);
      return true;
    };
  process.stdout.write = capture("out");
  process.stderr.write = capture("err");
  console.log = (line: string) => void capture("out")(`${line}\n`);
  process.env = { ...before, NO_COLOR: "1", FORCE_COLOR: "", ...env };
  process.exitCode = undefined;
  process.exit = (code) => {
    exited ??= { code: Number(code ?? process.exitCode ?? 0), ...text };
    throw new Exit();
  };
  if (cwd !== undefined) process.chdir(cwd);
  try {
    await runCommandLine(args);
    return exited ?? { code: Number(process.exitCode ?? 0), ...text };
  } finally {
    if (cwd !== undefined) process.chdir(folder);
    process.stdout.write = writes.out;
    process.stderr.write = writes.err;
    console.log = log;
    process.env = before;
    process.exit = exit;
    process.exitCode = exitCode;
  }
}
