/** Writes results to stdout or a file: text with colours for a terminal, JSON for programs. */
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

/**
 * Colours where stdout is a terminal that knows them (no-color.org, force-color.org): never with NO_COLOR, always with
 * FORCE_COLOR, which `0` takes back.
 */
export function style(): Style {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return PLAIN;
  if (FORCE_COLOR) return FORCE_COLOR === "0" ? PLAIN : COLOUR;
  return process.stdout.isTTY && TERM !== "dumb" ? COLOUR : PLAIN;
}

/** Columns to wrap at: the terminal's, as long as lines stay easy to read; 80 where there is none. */
export const width = (): number => Math.min(100, Math.max(40, process.stdout.columns ?? 80));

export const print = (text: string): void => void process.stdout.write(text);

/** Text that waits until the result is known; `null` where nothing waits. */
let held: string[] | null = null;

/** Says something on stderr. Whatever it holds of strangers' text speaks to nobody's terminal. */
export const tell = (text: string): void =>
  void (held === null ? process.stderr.write(safeLines(text)) : held.push(text));

/**
 * Holds back what is written to stderr until `work` returns or throws.
 * @returns its result, and what writes the text that was held back
 */
export function later<T>(work: () => T): { readonly result: T; readonly release: () => void } {
  const texts: string[] = [];
  held = texts;
  const release = (): void => {
    held = null;
    texts.splice(0).forEach(tell);
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

/**
 * Prints what a program is to read, like a ruleset. A file and a pipe get it byte for byte; a terminal, as all other text,
 * without anything that it would obey.
 */
export function verbatim(text: string): void {
  const shown = safeLines(text);
  if (shown !== text)
    tell(
      process.stdout.isTTY
        ? "warning: it holds control characters or invisible ones, shown here as \\uXXXX; a file or a pipe gets them as they are\n"
        : "warning: it holds control characters or invisible ones, as the input does: a terminal obeys them\n",
    );
  print(process.stdout.isTTY ? shown : text);
}

const plain = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value instanceof Map ? [...value] : value;

/** One JSON document; what a terminal would obey in it is escaped, as JSON can. */
export const json = (value: unknown): void => print(`${safeLines(JSON.stringify(value, plain, 2))}\n`);

/** One line of NDJSON. */
export const line = (value: unknown): void => print(`${safeLines(JSON.stringify(value, plain))}\n`);

/** How much is written at once: a write for each line would take as long as making it. */
const AT_ONCE = 1 << 16;

/** So many texts are remembered. */
const MOST_KNOWN = 1 << 14;

/**
 * Many lines of NDJSON, of values that are JSON already; what is put in is out once `end` was called. Most of such a line
 * is its path, whose steps are the same frozen objects in many lines, and words like verdicts: their text is made once.
 */
export class Lines {
  private waiting = "";
  private readonly known = new Map<unknown, string>();

  put(value: object): void {
    let text = "{";
    for (const [key, member] of Object.entries(value)) {
      if (text !== "{") text += ",";
      text += `"${key}":`;
      text += Array.isArray(member) ? this.list(member) : this.text(member);
    }
    this.waiting += `${text}}\n`;
    if (this.waiting.length >= AT_ONCE) this.end();
  }

  end(): void {
    print(this.waiting);
    this.waiting = "";
  }

  private list(values: readonly unknown[]): string {
    let text = "";
    for (const value of values) text += text === "" ? this.text(value) : `,${this.text(value)}`;
    return `[${text}]`;
  }

  private text(value: unknown): string {
    if (typeof value === "object" && !Object.isFrozen(value)) return textOf(value);
    let text = this.known.get(value);
    if (text === undefined) {
      text = textOf(value);
      if (this.known.size < MOST_KNOWN) this.known.set(value, text);
    }
    return text;
  }
}

const textOf = (value: unknown): string => safe(JSON.stringify(value));

/** Not more often than this is a line of progress written, in milliseconds. */
const PAUSE = 300;

/**
 * What long work is at, on one line of the terminal that the next thing said there takes the place of.
 * @param quiet say nothing; nor is anything said where stderr is no terminal
 */
export function progress(quiet: boolean): { say(what: string): void; end(): void } {
  if (quiet || process.stderr.isTTY !== true) return { say: () => undefined, end: () => undefined };
  let last = Date.now();
  let shown = false;
  return {
    say(what) {
      const now = Date.now();
      if (now - last < PAUSE) return;
      last = now;
      shown = true;
      process.stderr.write(`\r\x1b[K${safe(what).slice(0, (process.stderr.columns || 80) - 1)}`);
    },
    end() {
      if (shown) process.stderr.write("\r\x1b[K");
    },
  };
}

/**
 * Writes a file as a whole or not at all: beside it under another name, which then takes its place. A symbolic link stays
 * one, and an existing file keeps its permissions and its owner. What is no regular file, like a FIFO, is written as it is.
 */
export function writeWhole(path: string, text: string): void {
  const target = resolved(path);
  const old = statSync(target, { throwIfNoEntry: false });
  if (old !== undefined && !old.isFile()) {
    writeFileSync(target, text);
    return;
  }
  const beside = `${dirname(target)}/.${basename(target).slice(0, 200)}.${process.pid}.tmp`;
  const file = openSync(beside, "wx");
  try {
    try {
      writeFileSync(file, text);
      if (old !== undefined) keep(beside, old);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, target);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/** Where a path leads, also where the last of its links leads to a file that is not there yet. */
function resolved(path: string): string {
  const link = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  if (!link) return path;
  return statSync(path, { throwIfNoEntry: false }) === undefined
    ? resolve(dirname(path), readlinkSync(path))
    : realpathSync(path);
}

/** Gives a file the permissions and the owner of the one whose place it takes. */
function keep(path: string, { mode, uid, gid }: Stats): void {
  try {
    chownSync(path, uid, gid);
  } catch {
    // Only root gives files away; the file then is the caller's.
  }
  chmodSync(path, mode & 0o7777);
}
