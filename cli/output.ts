/** Writes to stdout, stderr and files. Text from inputs is untrusted: it is escaped for terminals. */
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { COLOUR, PLAIN, type Style, safe, safeLines } from "../lib/index.ts";
import { toJson, writeJson } from "./json-pieces.ts";

/**
 * Returns the colours for stdout: colours for a terminal, none with NO_COLOR, always with FORCE_COLOR other than `0`
 * (no-color.org, force-color.org).
 */
export function style(): Style {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return PLAIN;
  if (FORCE_COLOR) return FORCE_COLOR === "0" ? PLAIN : COLOUR;
  return process.stdout.isTTY && TERM !== "dumb" ? COLOUR : PLAIN;
}

/** Returns the columns to wrap at: those of the terminal, from 40 to 100; 80 without a terminal. */
export const width = (): number => Math.min(100, Math.max(40, process.stdout.columns ?? 80));

export const print = (text: string): void => void process.stdout.write(text);

/** Texts for stderr that `holdStderr` keeps back; `null` otherwise. */
let held: string[] | null = null;

/** Writes to stderr with control characters escaped. */
export const writeStderr = (text: string): void =>
  void (held === null ? process.stderr.write(safeLines(text)) : held.push(text));

/**
 * Keeps back what `work` writes to stderr; if it throws, the texts are written at once.
 * @returns the result of `work`, and a function that writes the texts
 */
export function holdStderr<T>(work: () => T): { readonly result: T; readonly release: () => void } {
  const texts: string[] = [];
  held = texts;
  const release = (): void => {
    held = null;
    texts.splice(0).forEach(writeStderr);
  };
  try {
    const result = work();
    held = null;
    return { result, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Returns what `work` would write to stderr. */
export function captureStderr(work: () => void): string {
  const texts: string[] = [];
  held = texts;
  try {
    work();
  } finally {
    held = null;
  }
  return safeLines(texts.join(""));
}

/**
 * Prints text for another program, such as a ruleset: unchanged into a file or a pipe, with control characters escaped on
 * a terminal.
 */
export function printVerbatim(text: string): void {
  // nft indents with tabs.
  const shown = text.split("\t").map(safeLines).join("\t");
  if (shown !== text)
    writeStderr(
      process.stdout.isTTY
        ? "warning: the output contains control characters or invisible characters, shown here as \\uXXXX; a file or a pipe gets them unchanged\n"
        : "warning: the output contains control characters or invisible characters of the input: do not print it on a terminal\n",
    );
  print(process.stdout.isTTY ? shown : text);
}

/** Prints one JSON document piece by piece; control characters are escaped as \\uXXXX. */
export function printJson(value: unknown): void {
  let buffer = "";
  writeJson(value, (piece) => {
    buffer += piece;
    if (buffer.length < BUFFER_SIZE) return;
    print(safeLines(buffer));
    buffer = "";
  });
  print(`${safeLines(buffer)}\n`);
}

/** Returns one line of NDJSON. */
export const jsonLine = (value: unknown): string => `${safeLines(JSON.stringify(value, toJson))}\n`;

/** Characters to collect before a write: one write per line would double the time. */
const BUFFER_SIZE = 1 << 16;

/** Largest number of memoized texts. */
const MEMO_SIZE = 1 << 14;

/**
 * Prints many lines of NDJSON; call `flush` after the last one. The steps of a path are the same frozen objects in many
 * lines, and verdicts the same strings: their JSON is memoized.
 */
export class JsonLines {
  private buffer = "";
  private readonly memo = new Map<unknown, string>();

  add(value: object): void {
    let text = "{";
    for (const [key, member] of Object.entries(value)) {
      if (text !== "{") text += ",";
      text += `"${key}":`;
      text += Array.isArray(member) ? this.list(member) : this.text(member);
    }
    this.buffer += `${text}}\n`;
    if (this.buffer.length >= BUFFER_SIZE) this.flush();
  }

  flush(): void {
    print(this.buffer);
    this.buffer = "";
  }

  private list(values: readonly unknown[]): string {
    let text = "";
    for (const value of values) text += text === "" ? this.text(value) : `,${this.text(value)}`;
    return `[${text}]`;
  }

  private text(value: unknown): string {
    if (typeof value === "object" && !Object.isFrozen(value)) return textOf(value);
    let text = this.memo.get(value);
    if (text === undefined) {
      text = textOf(value);
      if (this.memo.size < MEMO_SIZE) this.memo.set(value, text);
    }
    return text;
  }
}

const textOf = (value: unknown): string => safe(JSON.stringify(value));

/** Shortest time between two updates of the progress line, in milliseconds. */
const INTERVAL = 300;

/**
 * Returns functions that show and clear a line of progress on stderr.
 * @param quiet show nothing; without a terminal nothing is shown either
 */
export function progressLine(quiet: boolean): { show(what: string): void; clear(): void } {
  if (quiet || process.stderr.isTTY !== true) return { show: () => undefined, clear: () => undefined };
  let last = Date.now();
  let shown = false;
  return {
    show(what) {
      const now = Date.now();
      if (now - last < INTERVAL) return;
      last = now;
      shown = true;
      process.stderr.write(`\r\x1b[K${safe(what).slice(0, (process.stderr.columns || 80) - 1)}`);
    },
    clear() {
      if (shown) process.stderr.write("\r\x1b[K");
    },
  };
}

/**
 * Writes a file completely or not at all: writes a temporary file in the same folder and renames it. Keeps symbolic
 * links, permissions and the owner. A path that is not a regular file, such as a FIFO, is written directly.
 */
export function writeFileAtomically(path: string, text: string): void {
  const target = linkTarget(path);
  const old = statSync(target, { throwIfNoEntry: false });
  if (old !== undefined && !old.isFile()) {
    writeFileSync(target, text);
    return;
  }
  const temporary = `${dirname(target)}/.${basename(target).slice(0, 200)}.${process.pid}.tmp`;
  const file = openSync(temporary, "wx");
  try {
    try {
      writeFileSync(file, text);
      if (old !== undefined) copyMode(temporary, old);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Follows symbolic links, also to a file that does not exist yet. */
function linkTarget(path: string): string {
  const link = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  if (!link) return path;
  return statSync(path, { throwIfNoEntry: false }) === undefined
    ? resolve(dirname(path), readlinkSync(path))
    : realpathSync(path);
}

/** Gives a file the permissions and the owner of the file that it replaces. */
function copyMode(path: string, { mode, uid, gid }: Stats): void {
  try {
    chownSync(path, uid, gid);
  } catch {
    // Only root may change the owner; otherwise the file belongs to the caller.
  }
  chmodSync(path, mode & 0o7777);
}
