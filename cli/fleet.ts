/** Many hosts in one call: each in a process of its own, so that none can hide or stop another. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Audit, isSnapshot, safe } from "../lib/index.ts";
import { STDIN } from "./flags.ts";
import { isFolder, Refused } from "./inputs.ts";
import { line, print, style } from "./output.ts";

/** How one host's audit ended. */
interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/**
 * The hosts that the command line names, if there are several: snapshots, or folders of one host's files each.
 * @returns the path of each, or `null` where all that is named is one host
 */
export function hosts(paths: readonly string[]): readonly string[] | null {
  const units = paths.flatMap((path): { path: string; host: boolean }[] => {
    if (!isFolder(path)) return [{ path, host: path !== STDIN && startsSnapshot(path) }];
    const files = readdirSync(path).sort();
    const snapshots = files.map((name) => join(path, name)).filter((f) => !isFolder(f) && startsSnapshot(f));
    if (snapshots.length > 1) return snapshots.map((path) => ({ path, host: true }));
    return [{ path, host: true }];
  });
  const several = units.filter((u) => u.host);
  if (units.length < 2 || several.length === 0) return null;
  const other = units.find((u) => !u.host);
  if (other !== undefined)
    throw new Refused(
      `${safe(other.path)} belongs to no host: with several snapshots or folders, name nothing else`,
    );
  return several.map((u) => u.path);
}

function startsSnapshot(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return false; // Whoever reads it says why it cannot be read.
  }
  try {
    const start = Buffer.alloc(32);
    return isSnapshot(start.subarray(0, readSync(file, start)).toString("latin1"));
  } finally {
    closeSync(file);
  }
}

/**
 * Audits hosts on all cores and prints a line for each, in their order: text, or with `json` the contract's document
 * with the host's path and its exit code.
 * @param flags what each of them is audited with
 * @returns 1 if any of them has bad news, else 2 if any could not be settled, else 0
 */
export async function fleet(
  paths: readonly string[],
  flags: readonly string[],
  json: boolean,
): Promise<number> {
  const width = Math.max(...paths.map((path) => safe(path).length));
  const ended = paths.map(() => later<Ended>());
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < paths.length) {
      const i = next++;
      ended[i]!.resolve(await alone(["audit", paths[i]!, "--json", ...flags]));
    }
  };
  const working = Promise.all(Array.from({ length: availableParallelism() }, work));
  const codes: number[] = [];
  for (const [i, path] of paths.entries()) {
    const { code, out, err } = await ended[i]!.promise;
    const result = out === "" ? null : (JSON.parse(out) as Audit);
    codes.push(result === null ? 2 : code);
    if (json) line({ host: path, exit: codes[i], ...(result ?? { error: err.trim() }) });
    else print(`${safe(path).padEnd(width)}  ${result === null ? failure(err) : summary(result)}\n`);
  }
  await working;
  return codes.includes(1) ? 1 : codes.includes(2) ? 2 : 0;
}

/** One line on what an audit found. */
function summary({ exposures, findings, inconclusive }: Audit): string {
  const { red, yellow, green } = style();
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const kinds = [...new Set(findings.map((f) => f.kind))].map(
    (kind) => `${findings.filter((f) => f.kind === kind).length} ${kind}`,
  );
  const unexpected = exposures.filter((e) => e.unexpected !== undefined).length;
  const parts = [
    findings.length === 0
      ? inconclusive.length === 0
        ? green("no findings")
        : "no findings so far"
      : red(`${count(findings.length, "finding")} (${kinds.join(", ")})`),
    ...(unexpected > 0 ? [red(count(unexpected, "unexpected exposure"))] : []),
    count(exposures.length, "exposure"),
    ...(inconclusive.length > 0 ? [yellow(`${inconclusive.length} not settled`)] : []),
  ];
  return parts.join(", ");
}

const failure = (err: string): string =>
  style().red(`failed: ${safe(err.trim().split("\n").at(-1) || "it printed nothing")}`);

/** A command of fwcheck in a process of its own. */
function alone(args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [process.argv[1]!, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    const text = { out: "", err: "" };
    child.stdout.setEncoding("utf8").on("data", (part: string) => (text.out += part));
    child.stderr.setEncoding("utf8").on("data", (part: string) => (text.err += part));
    child.on("error", (error) => resolve({ code: 2, out: "", err: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 2, ...text }));
  });
}

/** A promise that is resolved from elsewhere. */
function later<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}
