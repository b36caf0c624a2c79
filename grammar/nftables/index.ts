/**
 * Parser and printer for the text of `nft list ruleset`: lossless, syntax only. fwcheck exports it as `fwcheck/grammar/nftables`.
 *
 * It uses no API of Node and reads no files.
 */

import type { Diagnostic, Document } from "./ast.ts";
import { DocumentReader } from "./document-reader.ts";

export type * from "./ast.ts";
export { VALUE_SPANS } from "./ast.ts";
export { print, printExpression, printRule, printStatement } from "./document-printer.ts";

/** Options of `parse`. */
export interface ParseOptions {
  /** Parse every rule with the grammar instead of the fast scanner. The result is the same. */
  readonly strict?: boolean;
}

/** Result of `parse`. */
export interface Parsed {
  /** All that could be parsed. */
  readonly document: Document;
  /** Errors and warnings in the order of the text; empty for output of nft. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Parses the output of `nft list ruleset`, or a file for `nft -f`. Never throws. */
export function parse(text: string, options: ParseOptions = {}): Parsed {
  return new DocumentReader(text, options.strict ?? false).read();
}
