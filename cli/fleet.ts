/** Audits several hosts in one call, in processes that audit one after the other; a failure affects no other host. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Audit,
  auditJson,
  COLOUR,
  isSnapshot,
  PLAIN,
  SNAPSHOT_START,
  type Style,
  safe,
} from "../lib/index.ts";
import { InputError, reportError } from "./errors.ts";
import { filesOf, isFolder } from "./files.ts";
import { captureStderr, jsonLine, print, style } from "./output.ts";
import { STDIN } from "./stdin.ts";
import { type JobFailure, type JobLimits, runJobs, serveJobs } from "./worker-pool.ts";

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

/** Answer of a process for one host: exit code of its audit, and its line or, with `json`, its document. */
interface HostAnswer {
  readonly exit: number;
  readonly text: string;
}

/** Settings of a fleet's audit that its processes need. */
interface FleetSettings<Args> {
  /** Flags of each audit. */
  readonly args: Args;
  readonly json: boolean;
  readonly color: boolean;
}

/**
 * Audits hosts in parallel and prints, in the given order, one line per host: text, or with `json` the document of
 * `audit --json` with the host's path and exit code.
 * @param args flags for each audit
 * @returns 1 if any host exits with 1, else 2 if any exits with 2 or fails, else 0
 */
export async function auditFleet<Args>(
  paths: readonly string[],
  args: Args,
  { json, limits }: { readonly json: boolean; readonly limits: JobLimits },
): Promise<number> {
  const width = Math.max(...paths.map((path) => safe(path).length));
  const settings: FleetSettings<Args> = { args, json, color: style() === COLOUR };
  const program = {
    file: fileURLToPath(new URL("../audit-worker.js", import.meta.url)),
    argument: JSON.stringify(settings),
  };
  const codes = new Set<number>();
  let next = 0;
  for await (const { answer, failure } of runJobs<HostAnswer>(paths, program, limits, parallelAudits())) {
    const host = paths[next++]!;
    codes.add(answer?.exit ?? 2);
    if (json) print(answer?.text ?? failureJson(host, failure!));
    else print(`${safe(host).padEnd(width)}  ${answer?.text ?? failureLine(failure!)}\n`);
  }
  return codes.has(1) ? 1 : codes.has(2) ? 2 : 0;
}

/**
 * Serves the audits of a process of `auditFleet`.
 * @param argument settings of the fleet
 * @param auditHost audits one host with these flags
 */
export function serveFleet<Args>(
  argument: string,
  auditHost: (path: string, args: Args) => { readonly result: Audit; readonly exit: number },
): void {
  const { args, json, color } = JSON.parse(argument) as FleetSettings<Args>;
  const colors = color ? COLOUR : PLAIN;
  serveJobs((host): HostAnswer => {
    let done: HostAnswer | null = null;
    const err = captureStderr(() => {
      try {
        const { result, exit } = auditHost(host, args);
        const text = json ? jsonLine({ host, exit, ...auditJson(result, exit) }) : summary(result, colors);
        done = { exit, text };
      } catch (error) {
        reportError(error);
      }
    }).trim();
    const last = safe(err.split("\n").at(-1)!);
    return (
      done ?? {
        exit: 2,
        text: json ? jsonLine({ host, exit: 2, error: err }) : colors.red(`failed: ${last}`),
      }
    );
  });
}

/** Memory that one audit may need, in bytes. */
const AUDIT_MEMORY = 2 ** 31;

/** Returns the number of audits to run in parallel: limited by cores and memory. */
const parallelAudits = (): number =>
  Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / AUDIT_MEMORY)));

/** Returns one line about an audit. With expectations it counts only findings that they do not cover. */
function summary({ doubts, expectations, exposures, findings, looked }: Audit, colors: Style): string {
  const { red, yellow, green } = colors;
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const counted = findings.filter((f) => f.expected !== true);
  const kinds = [...new Set(counted.map((f) => f.kind))].map(
    (kind) => `${counted.filter((f) => f.kind === kind).length} ${kind}`,
  );
  const what = expectations === null ? "finding" : "unexpected finding";
  const unexpected = exposures.filter((e) => e.unexpected !== undefined).length;
  const parts = [
    counted.length === 0
      ? doubts.length === 0
        ? green(`no ${what}s`)
        : `no ${what}s so far`
      : red(`${count(counted.length, what)} (${kinds.join(", ")})`),
    ...(unexpected > 0 ? [red(count(unexpected, "unexpected exposure"))] : []),
    looked.engines.length === 0 ? "no container engine" : count(exposures.length, "exposure"),
    ...(doubts.length > 0 ? [yellow(`${doubts.length} inconclusive`)] : []),
  ];
  return parts.join(", ");
}

/** Returns the sentence for an audit that did not end. */
function failureText(failure: JobFailure): string {
  switch (failure.code) {
    case "time-limit":
      return `not finished within ${failure.seconds} s (--timeout)`;
    case "memory-limit":
      return `needs more memory than ${failure.megabytes === null ? "Node allows" : `${failure.megabytes} MB`} (--memory)`;
    case "crashed":
      return `the process ended without an answer (${failure.by}); please report it with the input`;
  }
}

const failureLine = (failure: JobFailure): string =>
  style().yellow(`inconclusive: ${safe(failureText(failure))}`);

function failureJson(host: string, failure: JobFailure): string {
  const error = failureText(failure);
  return jsonLine({ host, exit: 2, error, inconclusive: [error], doubts: [failure] });
}
