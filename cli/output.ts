/** Writes results to stdout: text with colours for a terminal, JSON for programs. */
import { COLOUR, PLAIN, type Style } from "../lib/index.ts";

/** Colours unless NO_COLOR is set or stdout is no terminal (no-color.org). */
export const style = (): Style => (process.stdout.isTTY && !process.env.NO_COLOR ? COLOUR : PLAIN);

export const print = (text: string): void => void process.stdout.write(text);

const plain = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value instanceof Map ? [...value] : value;

/** One JSON document. */
export const json = (value: unknown): void => print(`${JSON.stringify(value, plain, 2)}\n`);

/** One line of NDJSON. */
export const line = (value: unknown): void => print(`${JSON.stringify(value, plain)}\n`);
