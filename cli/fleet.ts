/** Many hosts in one call: each in a process of its own, so that none can hide or stop another. */
import { spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { extname } from "node:path";
import { type Audit, isSnapshot, SNAPSHOT_START, safe } from "../lib/index.ts";
import { filesOf, isFolder, Refused } from "./files.ts";
import { STDIN } from "./flags.ts";
import { line, print, style } from "./output.ts";

/** How one host's audit ended. */
interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/**
 * The hosts that the command line names, if there are several: each path that it names, where one of them is a snapshot
 * or a folder of one host's files, and each snapshot of a folder of snapshots. What is empty or cannot be read among them
 * is a host, too, so that it is told and not missed.
 * @returns the path of each, or `null` where all that is named is one host
 */
export function hosts(paths: readonly string[]): readonly string[] | null {
  const units = paths.flatMap((path) => (isFolder(path) ? folder(path) : [path]));
  const told = units.length > 1 && units.some((path) => isFolder(path) || isSnapshotFile(path));
  if (!told) return null;
  if (units.includes(STDIN))
    throw new Refused("standard input is one host's: with several hosts, name a file for each");
  return units;
}

/** Refuses several hosts where a command works on one. @throws Refused */
export function oneHost(paths: readonly string[] | undefined, command: string): void {
  const several = hosts(paths ?? []);
  if (several !== null)
    throw new Refused(
      `${command} works on one host, and several are named: ${several.map(safe).join(", ")}. Call it once for each.`,
    );
}

/** The snapshots of a folder, or the folder as one host. */
function folder(path: string): readonly string[] {
  const files = filesOf(path);
  const snapshots = files.filter(isSnapshotFile);
  // A snapshot that came out empty, or as an error message, is known by its name.
  const kinds = new Set(snapshots.map((file) => extname(file)));
  const hosts = files.filter((file) => snapshots.includes(file) || kinds.has(extname(file)));
  if (snapshots.length === 0 || hosts.length === 1) return [path];
  return files.filter((file) => hosts.includes(file) || DUMP.test(startOf(file)));
}

/** A table in the output of a save program: beside snapshots, it is another host. */
const DUMP = /^\*\w+\s*$/m;

const isSnapshotFile = (path: string): boolean => isSnapshot(startOf(path));

/** Returns the first `SNAPSHOT_START` bytes of a regular file, or `""`. */
function startOf(path: string): string {
  if (path === STDIN) return "";
  let file: number;
  try {
    // Opening a FIFO without a writer blocks; O_NONBLOCK prevents that.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return ""; // Whoever reads it says why it cannot be read.
  }
  try {
    if (!fstatSync(file).isFile()) return "";
    const start = Buffer.alloc(SNAPSHOT_START);
    return start.subarray(0, readSync(file, start)).toString("latin1");
  } catch {
    return "";
  } finally {
    closeSync(file);
  }
}

/**
 * Audits hosts, some at the same time, and prints a line for each as soon as it is there: text, or with `json` the
 * contract's document with the host's path and its exit code.
 * @param flags what each of them is audited with
 * @param limit seconds after which an audit is ended
 * @returns 1 if any of them has bad news, else 2 if any could not be settled or not be finished, else 0
 */
export async function fleet(
  paths: readonly string[],
  flags: readonly string[],
  { json, limit }: { readonly json: boolean; readonly limit: number },
): Promise<number> {
  const width = Math.max(...paths.map((path) => safe(path).length));
  const codes = new Set<number>();
  const waiting = paths.values();
  const work = async (): Promise<void> => {
    for (const path of waiting) {
      const { code, out, err } = await alone(["audit", path, "--json", ...flags], limit);
      const result = read(out);
      const exit = result === null ? 2 : code;
      codes.add(exit);
      if (json) line({ host: path, exit, ...(result ?? { error: err.trim() }) });
      else print(`${safe(path).padEnd(width)}  ${result === null ? failure(err) : summary(result)}\n`);
    }
  };
  await Promise.all(Array.from({ length: together() }, work));
  return codes.has(1) ? 1 : codes.has(2) ? 2 : 0;
}

/** Memory that an audit may need, in bytes. */
const AN_AUDIT = 2 ** 31;

/** How many audits run at the same time: as many as there are cores and memory for. */
const together = (): number =>
  Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / AN_AUDIT)));

/** What an audit printed; `null` where it was ended before it had printed all. */
function read(out: string): Audit | null {
  try {
    return JSON.parse(out) as Audit;
  } catch {
    return null;
  }
}

/** One line on what an audit found. */
function summary({ exposures, findings, inconclusive, looked }: Audit): string {
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
    looked.engines.length === 0 ? "no container engine" : count(exposures.length, "exposure"),
    ...(inconclusive.length > 0 ? [yellow(`${inconclusive.length} not settled`)] : []),
  ];
  return parts.join(", ");
}

const failure = (err: string): string =>
  style().red(`failed: ${safe(err.trim().split("\n").at(-1) || "it printed nothing")}`);

/** The longest time that a timer takes, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** A command of fwcheck in a process of its own, which is ended with this one, and after a number of seconds. */
function alone(args: readonly string[], limit: number): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [process.argv[1]!, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    const text = { out: "", err: "" };
    let late = false;
    const kill = (): boolean => child.kill("SIGKILL");
    const timer = setTimeout(
      () => {
        late = true;
        kill();
      },
      Math.min(limit * 1000, LONGEST),
    );
    process.on("exit", kill);
    const end = (ended: Ended): void => {
      clearTimeout(timer);
      process.off("exit", kill);
      resolve(ended);
    };
    child.stdout.setEncoding("utf8").on("data", (part: string) => (text.out += part));
    child.stderr.setEncoding("utf8").on("data", (part: string) => (text.err += part));
    child.on("error", (error) => end({ code: 2, out: "", err: error.message }));
    child.on("close", (code, signal) => {
      if (late) end({ code: 2, out: "", err: `not finished within ${limit} s` });
      else if (code === null) end({ code: 2, out: "", err: `ended by ${signal}` });
      else end({ code, ...text });
    });
  });
}
