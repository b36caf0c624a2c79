/**
 * Parser and printer for the text of iptables-save: lossless, syntax only. fwcheck exports it as `fwcheck/grammar`.
 *
 * It uses no API of Node and reads no files.
 */

import type { Diagnostic, Document } from "./ast.ts";
import { DocumentReader } from "./document-reader.ts";

export * from "./ast.ts";
export { print, quote } from "./document-printer.ts";
export type { WordSpans } from "./word-spans.ts";

/** Options of `parse`. */
export interface ParseOptions {
  /** Parse every line with the grammar instead of the fast scanner. The result is the same. */
  readonly strict?: boolean;
}

/** Result of `parse`. */
export interface Parsed {
  /** The lines that could be parsed. */
  readonly document: Document;
  /** Errors and warnings in the order of the text; empty for output of iptables-save. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Parses the output of iptables-save, ip6tables-save or `iptables -S`, or a file for iptables-restore. Never throws. */
export function parse(text: string, options: ParseOptions = {}): Parsed {
  return new DocumentReader(text, options.strict ?? false).read();
}
