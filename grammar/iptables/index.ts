/**
 * `fwcheck/grammar`: iptables-save text into a document and back, without loss and without meaning.
 *
 * Runs wherever JavaScript does: it reads no file and asks nothing of its surroundings.
 */

import type { Diagnostic, Document } from "./ast.ts";
import { Reader } from "./reader.ts";

export * from "./ast.ts";
export { print, quote } from "./print.ts";
export type { Words } from "./words.ts";

/** How to parse. */
export interface ParseOptions {
  /** Every line through the grammar, without the scanner that makes it fast: slower, and the same result. */
  readonly strict?: boolean;
}

/** What a text holds, and what is wrong with it. */
export interface Parsed {
  /** What was read; what could not be is missing from it and told in the diagnostics. */
  readonly document: Document;
  /** In the order of the text; empty for what iptables-save writes. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads the text of iptables-save, ip6tables-save, `iptables -S` or a file for iptables-restore. Never throws. */
export function parse(text: string, options: ParseOptions = {}): Parsed {
  return new Reader(text, options.strict ?? false).read();
}
