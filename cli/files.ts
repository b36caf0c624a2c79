/** Reads the files that the command line names. The only place that opens an input. */
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Source, safe } from "../lib/index.ts";
import { STDIN } from "./flags.ts";
import { guess } from "./suggest.ts";

/** The call or the input is wrong: one message, exit code 2. */
export class Refused extends Error {
  override readonly name = "Refused";
}

/** Size of the largest input, in bytes: V8 holds no longer text (String::kMaxLength). */
const LARGEST = 512 * 2 ** 20 - 1024;
const TOO_LARGE = "is larger than 512 MB. Give each table or each host a file of its own.";

/**
 * The text of a file, or of standard input for `STDIN`. A pipe that the shell opened (`<(command)`) is read; a named
 * pipe, a socket or a device is refused, since reading it may never end.
 * @throws Refused
 */
export function read(path: string): Source {
  const name = path === STDIN ? "standard input" : path;
  try {
    if (path !== STDIN) regular(path, statSync(path));
    return { name, text: path === STDIN || isShellPipe(path) ? piped(path) : readFileSync(path, "utf8") };
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(`${safe(name)}: ${unreadable(path, (error as NodeJS.ErrnoException).code)}`);
  }
}

/** A pipe that the shell made for this call; its other end is open already, so reading it ends. */
const isShellPipe = (path: string): boolean => /^\/(dev|proc\/self)\/fd\/\d+$/.test(path);

/** @throws Refused for what is neither a regular file nor a pipe of the shell, and for a file that is too large */
function regular(path: string, stats: Stats): void {
  if (stats.isDirectory()) throw new Refused(`${safe(path)}: is a folder, and a file is needed here.`);
  if (stats.isFIFO() && isShellPipe(path)) return;
  if (!stats.isFile())
    throw new Refused(
      `${safe(path)}: is ${stats.isFIFO() ? "a named pipe" : stats.isSocket() ? "a socket" : "a device"}, and only files are read. Give - for standard input.`,
    );
  if (stats.size > LARGEST) throw new Refused(`${safe(path)}: ${TOO_LARGE}`);
}

/** All that a pipe gives, up to the largest size. */
function piped(path: string): string {
  const file = path === STDIN ? 0 : openSync(path, "r");
  try {
    if (fstatSync(file).isDirectory()) throw new Refused("standard input: is a folder.");
    const chunks: Buffer[] = [];
    let size = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(1 << 16);
      const count = readSome(file, chunk);
      if (count === 0) return Buffer.concat(chunks).toString("utf8");
      size += count;
      if (size > LARGEST)
        throw new Refused(`${path === STDIN ? "standard input" : safe(path)}: ${TOO_LARGE}`);
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    if (file !== 0) closeSync(file);
  }
}

/** Reads what is there; waits where the writer set the pipe not to block. 0 at its end. */
function readSome(file: number, into: Buffer): number {
  for (;;)
    try {
      return readSync(file, into);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EOF") return 0;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
}

/** Why a file could not be read, and what to do about it. */
function unreadable(path: string, code: string | undefined): string {
  if (code === "ENOENT") return `no such file.${guess(basename(path), beside(path))}`;
  if (code === "EISDIR") return "is a folder, and a file is needed here.";
  if (code === "EACCES") return "no permission to read it. Run fwcheck as a user who may, or copy the file.";
  if (code === "ERR_STRING_TOO_LONG" || code === "ERR_FS_FILE_TOO_LARGE") return TOO_LARGE;
  return `cannot be read (${code}).`;
}

/** The files beside a path. */
function beside(path: string): string[] {
  try {
    return readdirSync(dirname(path));
  } catch {
    return [];
  }
}

/** The files of a folder, by name; folders in it are left out. */
export const filesOf = (path: string): string[] =>
  readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter((file) => !isFolder(file));

/** Whether the path is a folder. */
export function isFolder(path: string): boolean {
  try {
    return path !== STDIN && statSync(path).isDirectory();
  } catch {
    return false; // Whoever reads it says why it cannot be read.
  }
}
