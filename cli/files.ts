/** Reads the files that the command line names. No other module opens an input. */
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
import { InputError } from "./errors.ts";
import { STDIN } from "./stdin.ts";
import { didYouMean } from "./suggestion.ts";

/** Size of the largest input, in bytes: the longest string of V8 (String::kMaxLength). */
const LARGEST = 512 * 2 ** 20 - 1024;
const TOO_LARGE = "is larger than 512 MB. Put each table or each host into a file of its own.";

/**
 * Reads a file, or standard input for `STDIN`. Reads a pipe that the shell opened (`<(command)`); refuses a named pipe, a
 * socket or a device, because reading it may never end.
 * @throws InputError
 */
export function readSource(path: string): Source {
  const name = path === STDIN ? "standard input" : path;
  try {
    if (path !== STDIN) requireReadable(path, statSync(path));
    return { name, text: path === STDIN || isShellPipe(path) ? readPipe(path) : readFileSync(path, "utf8") };
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${safe(name)}: ${reasonUnreadable(path, (error as NodeJS.ErrnoException).code)}`);
  }
}

/** Returns true for a pipe that the shell opened; its writer exists already, so reading it ends. */
const isShellPipe = (path: string): boolean => /^\/(dev|proc\/self)\/fd\/\d+$/.test(path);

/** @throws InputError unless the path is a regular file of a readable size, or a pipe that the shell opened */
function requireReadable(path: string, stats: Stats): void {
  if (stats.isDirectory()) throw new InputError(`${safe(path)}: is a folder; a file is needed here.`);
  if (stats.isFIFO() && isShellPipe(path)) return;
  if (!stats.isFile())
    throw new InputError(
      `${safe(path)}: is ${stats.isFIFO() ? "a named pipe" : stats.isSocket() ? "a socket" : "a device"}; only regular files are read. Use - for standard input.`,
    );
  if (stats.size > LARGEST) throw new InputError(`${safe(path)}: ${TOO_LARGE}`);
}

/** Reads a pipe to its end. @throws InputError if it is too large */
function readPipe(path: string): string {
  const file = path === STDIN ? 0 : openSync(path, "r");
  try {
    if (fstatSync(file).isDirectory()) throw new InputError("standard input: is a folder.");
    const chunks: Buffer[] = [];
    let size = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(1 << 16);
      const count = readSome(file, chunk);
      if (count === 0) return Buffer.concat(chunks).toString("utf8");
      size += count;
      if (size > LARGEST)
        throw new InputError(`${path === STDIN ? "standard input" : safe(path)}: ${TOO_LARGE}`);
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    if (file !== 0) closeSync(file);
  }
}

/** Reads available bytes, and waits if the pipe is in non-blocking mode. @returns the count, 0 at the end */
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

/** Returns why a file cannot be read, and what to do. */
function reasonUnreadable(path: string, code: string | undefined): string {
  if (code === "ENOENT") return `no such file.${didYouMean(basename(path), siblings(path))}`;
  if (code === "EISDIR") return "is a folder; a file is needed here.";
  if (code === "EACCES")
    return "no permission to read it. Run fwcheck as a user who may read it, or copy the file.";
  if (code === "ERR_STRING_TOO_LONG" || code === "ERR_FS_FILE_TOO_LARGE") return TOO_LARGE;
  return `cannot be read (${code}).`;
}

/** Returns the names in the folder of a path. */
function siblings(path: string): string[] {
  try {
    return readdirSync(dirname(path));
  } catch {
    return [];
  }
}

/** Returns the files of a folder, sorted by name, without subfolders. */
export const filesOf = (path: string): string[] =>
  readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter((file) => !isFolder(file));

/** Returns true if the path is a folder; false also if it cannot be read, which is reported when it is read. */
export function isFolder(path: string): boolean {
  try {
    return path !== STDIN && statSync(path).isDirectory();
  } catch {
    return false;
  }
}
