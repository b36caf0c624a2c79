/** Writes results to stdout: text with colours for a terminal, JSON for programs. */
import { COLOUR, PLAIN, type Style } from "../lib/index.ts";

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

const plain = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value instanceof Map ? [...value] : value;

/** One JSON document. */
export const json = (value: unknown): void => print(`${JSON.stringify(value, plain, 2)}\n`);

/** One line of NDJSON. */
export const line = (value: unknown): void => print(`${JSON.stringify(value, plain)}\n`);
