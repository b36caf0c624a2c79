/** Audits several hosts in one call, each in a process of its own, so that one failure does not affect the others. */
import { spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { extname } from "node:path";
import { type AuditJson, isSnapshot, SNAPSHOT_START, safe } from "../lib/index.ts";
import { InputError } from "./errors.ts";
import { filesOf, isFolder } from "./files.ts";
import { print, printJsonLine, style } from "./output.ts";
import { STDIN } from "./stdin.ts";

/** Exit code and output of one host's audit. */
interface ProcessResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/**
 * Returns the path of each host if the paths name several hosts, else `null`. Several paths are several hosts if one
 * is a snapshot or a folder; a folder of snapshots is one host per snapshot. An empty or unreadable file among them
 * counts as a host, so that its failure is reported.
 * @throws InputError
 */
export function severalHosts(paths: readonly string[]): readonly string[] | null {
  const hosts = paths.flatMap((path) => (isFolder(path) ? hostsOfFolder(path) : [path]));
  if (hosts.length < 2 || !hosts.some((path) => isFolder(path) || isSnapshotFile(path))) return null;
  if (hosts.includes(STDIN))
    throw new InputError("standard input is the input of one host; with several hosts, name a file for each");
  return hosts;
}

/** Refuses several hosts for a command that works on one. @throws InputError */
export function requireOneHost(paths: readonly string[] | undefined, command: string): void {
  const several = severalHosts(paths ?? []);
  if (several !== null)
    throw new InputError(
      `${command} works on one host, but several are named: ${several.map(safe).join(", ")}. Call it once for each.`,
    );
}

/** Returns the snapshots of a folder, or the folder itself if it holds the files of one host. */
function hostsOfFolder(path: string): readonly string[] {
  const files = filesOf(path);
  const snapshots = files.filter(isSnapshotFile);
  // A snapshot that is empty or holds an error message is recognized by its extension.
  const extensions = new Set(snapshots.map((file) => extname(file)));
  const hosts = files.filter((file) => snapshots.includes(file) || extensions.has(extname(file)));
  if (snapshots.length === 0 || hosts.length === 1) return [path];
  return files.filter((file) => hosts.includes(file) || DUMP.test(startOf(file)));
}

/** Table header in the output of iptables-save; such a file next to snapshots is another host. */
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
    return ""; // The error is reported when the file is read.
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
 * Audits hosts in parallel and prints one line per host when its audit ends: text, or with `json` the document of
 * `audit --json` with the host's path and exit code.
 * @param flags flags for each audit
 * @param limit seconds after which an audit is killed
 * @returns 1 if any host exits with 1, else 2 if any exits with 2 or fails, else 0
 */
export async function auditFleet(
  paths: readonly string[],
  flags: readonly string[],
  { json, limit }: { readonly json: boolean; readonly limit: number },
): Promise<number> {
  const width = Math.max(...paths.map((path) => safe(path).length));
  const codes = new Set<number>();
  const waiting = paths.values();
  const auditNext = async (): Promise<void> => {
    for (const path of waiting) {
      const { code, out, err } = await runInProcess(["audit", path, "--json", ...flags], limit);
      const result = parseAudit(out);
      const exit = result === null ? 2 : code;
      codes.add(exit);
      if (json) printJsonLine({ host: path, exit, ...(result ?? { error: err.trim() }) });
      else print(`${safe(path).padEnd(width)}  ${result === null ? failure(err) : summary(result)}\n`);
    }
  };
  await Promise.all(Array.from({ length: parallelAudits() }, auditNext));
  return codes.has(1) ? 1 : codes.has(2) ? 2 : 0;
}

/** Memory that one audit may need, in bytes. */
const AUDIT_MEMORY = 2 ** 31;

/** Returns the number of audits to run in parallel: limited by cores and memory. */
const parallelAudits = (): number =>
  Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / AUDIT_MEMORY)));

/** Parses the output of an audit; `null` if it is incomplete. */
function parseAudit(out: string): AuditJson | null {
  try {
    return JSON.parse(out) as AuditJson;
  } catch {
    return null;
  }
}

/** Returns one line about an audit. With expectations it counts only findings that they do not cover. */
function summary({ expectations, exposures, findings, inconclusive, looked }: AuditJson): string {
  const { red, yellow, green } = style();
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const counted = findings.filter((f) => f.expected !== true);
  const kinds = [...new Set(counted.map((f) => f.kind))].map(
    (kind) => `${counted.filter((f) => f.kind === kind).length} ${kind}`,
  );
  const what = expectations === null ? "finding" : "unexpected finding";
  const unexpected = exposures.filter((e) => e.unexpected !== undefined).length;
  const parts = [
    counted.length === 0
      ? inconclusive.length === 0
        ? green(`no ${what}s`)
        : `no ${what}s so far`
      : red(`${count(counted.length, what)} (${kinds.join(", ")})`),
    ...(unexpected > 0 ? [red(count(unexpected, "unexpected exposure"))] : []),
    looked.engines.length === 0 ? "no container engine" : count(exposures.length, "exposure"),
    ...(inconclusive.length > 0 ? [yellow(`${inconclusive.length} inconclusive`)] : []),
  ];
  return parts.join(", ");
}

const failure = (err: string): string =>
  style().red(`failed: ${safe(err.trim().split("\n").at(-1) || "no output")}`);

/** Longest delay of setTimeout, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/** Runs a command of fwcheck in a process, which is killed when this one exits or after `limit` seconds. */
function runInProcess(args: readonly string[], limit: number): Promise<ProcessResult> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [process.argv[1]!, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    const text = { out: "", err: "" };
    let timedOut = false;
    const kill = (): boolean => child.kill("SIGKILL");
    const timer = setTimeout(
      () => {
        timedOut = true;
        kill();
      },
      Math.min(limit * 1000, MAX_DELAY),
    );
    process.on("exit", kill);
    const end = (result: ProcessResult): void => {
      clearTimeout(timer);
      process.off("exit", kill);
      resolve(result);
    };
    child.stdout.setEncoding("utf8").on("data", (part: string) => (text.out += part));
    child.stderr.setEncoding("utf8").on("data", (part: string) => (text.err += part));
    child.on("error", (error) => end({ code: 2, out: "", err: error.message }));
    child.on("close", (code, signal) => {
      if (timedOut) end({ code: 2, out: "", err: `not finished within ${limit} s` });
      else if (code === null) end({ code: 2, out: "", err: `killed by ${signal}` });
      else end({ code, ...text });
    });
  });
}
