/** Cost of a process, as a shell measures it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "esbuild";

/** CPU seconds of one process with all its threads, start-up included, and what it printed. */
export interface Cost {
  readonly cpu: number;
  readonly output: string;
}

/** Runs a command to its end; `null` if it failed or is not there. */
export function cost(command: readonly string[]): Cost | null {
  const run = spawnSync("bash", ["-c", `TIMEFORMAT='%U %S'; time "$@"`, "bash", ...command], {
    encoding: "utf8",
  });
  if (run.status !== 0) return null;
  const [user, system] = run.stderr.trim().split("\n").at(-1)!.split(" ").map(Number);
  return { cpu: user! + system!, output: run.stdout.trim() };
}

/** The middle of some numbers. */
export const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;

/** Calls a function with a new folder, which is gone afterwards. */
export async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "fwcheck-bench-"));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Bundles a program of test/bench/programs as the command line is bundled, and returns the path of the bundle. */
export async function bundle(name: string, folder: string): Promise<string> {
  const outfile = join(folder, `${name}.mjs`);
  await build({
    entryPoints: [`test/bench/programs/${name}.ts`],
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    external: ["node:*", "assert", "fs", "path", "url", "util", "#page"],
    target: "node20",
    minifyWhitespace: true,
    minifySyntax: true,
    outfile,
    logLevel: "warning",
  });
  return outfile;
}

/** Prints the result of the program `load`. */
export function loadText(output: string): string {
  const { rules, diagnostics, mb } = JSON.parse(output) as Record<string, number>;
  return `${rules} rules, ${diagnostics} diagnostics, ${mb} MB`;
}

/** Builds the command line as the package has it, and says where its entry is. */
export function commandLine(folder: string): string {
  const built = spawnSync(process.execPath, ["build.mjs", "--cli", `--outdir=${folder}`], {
    encoding: "utf8",
  });
  if (built.status !== 0) throw new Error(built.stderr);
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  return join(folder, "cli/main.js");
}

/** Module that writes the CPU time and the peak memory of its process to the file `BENCH_COST`. */
const COST_MODULE = `import { writeFileSync } from "node:fs";
process.on("exit", () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  writeFileSync(process.env.BENCH_COST, JSON.stringify([(userCPUTime + systemCPUTime) / 1e6, maxRSS / 1024]));
});`;

/** CPU seconds and peak memory of one call of the command line, and its exit code. */
export interface Measured {
  readonly cpu: number;
  readonly megabytes: number;
  readonly exit: number | null;
}

/**
 * Runs the command line.
 * @param program result of `commandLine`; the files of the measurement are written beside it
 * @throws Error if it is killed
 */
export function measured(program: string, words: readonly string[]): Measured {
  const [module, file] = [join(dirname(program), "cost.mjs"), join(dirname(program), "cost.json")];
  writeFileSync(module, COST_MODULE);
  writeFileSync(file, "[0,0]");
  const { status, signal } = spawnSync(process.execPath, ["--import", module, program, ...words], {
    env: { ...process.env, BENCH_COST: file },
    stdio: ["ignore", "ignore", "ignore"],
    timeout: 300_000,
  });
  if (signal !== null) throw new Error(`${words.join(" ")}: killed by ${signal}`);
  const [cpu, megabytes] = JSON.parse(readFileSync(file, "utf8")) as [number, number];
  return { cpu, megabytes, exit: status };
}
