/** Reads `define x = 5`, and reports errors. */

import type { Command, Diagnostic, Position, Severity } from "./ast.ts";
import { truncate } from "./line-error.ts";
import { TextCursor, type Unit } from "./text-cursor.ts";
import { type UnitError, UnitParser } from "./unit-parser.ts";

export const BLANK = "(?:[ \\t]|\\\\\\r?\\n)";
const DEFINE = new RegExp(`(define|redefine)${BLANK}+([A-Za-z_][\\w./-]*)${BLANK}*=${BLANK}*`, "y");
const UNDEFINE = new RegExp(`undefine${BLANK}+([A-Za-z_][\\w./-]*)`, "y");
/** Start of a definition. */
export const DEFINITION = new RegExp(`(?:define|redefine|undefine)${BLANK}`, "y");
/** End of a command; a block may end there, too. */
const END = new RegExp(`${BLANK}*(?=[\\n;#}]|\\r\\n|$)`, "y");
export const BLANKS = new RegExp(`${BLANK}*`, "y");

let sharedParser: UnitParser | undefined;

/** Returns the parser. It is created when it is first needed, because creation is slow. */
export function parser(): UnitParser {
  sharedParser ??= new UnitParser();
  return sharedParser;
}

/** Reads the definitions of one text. An instance is used once. */
export class DefinitionReader {
  protected readonly cursor: TextCursor;
  protected readonly diagnostics: Diagnostic[] = [];

  constructor(text: string) {
    this.cursor = new TextCursor(text);
  }

  /** `define x = 5`, `redefine x = 6`, `undefine x`. Returns `null` after an error. */
  protected definition(): Command | null {
    const { cursor } = this;
    const start = cursor.at;
    const undefined_ = cursor.match(UNDEFINE);
    if (undefined_ !== null) return this.variable(start, "undefine", undefined_[1]!, null);
    const found = cursor.match(DEFINE);
    const unit = cursor.unit();
    if (found === null) {
      this.unitFault(unit, "expected a name and a value");
      return null;
    }
    const { node, error } = parser().definition(unit.text);
    if (error === null) return this.variable(start, found[1]!, found[2]!, node);
    this.fault(unit, error);
    return null;
  }

  private variable(start: number, verb: string, name: string, body: Command["body"]): Command {
    const place = this.cursor.locate(start);
    this.expectEnd();
    const head = { object: "variable", family: "ip", table: "", name, place: null } as const;
    return { kind: "command", ...place, verb, ...head, body };
  }

  /** Reports a carriage return that is no part of the end of a line, which nft takes for no blank. */
  protected skipReturn(): void {
    const place = this.cursor.locate(this.cursor.at++);
    this.report("error", "a carriage return without a line feed", place, "\r");
  }

  /** Reports what follows a command in its line. */
  protected expectEnd(): void {
    const { cursor } = this;
    if (cursor.match(END) !== null) return;
    cursor.match(BLANKS);
    const found = cursor.excerpt();
    this.report("error", "expected the end of the command", cursor.locate(cursor.at), found);
    cursor.unit();
  }

  protected unitFault(unit: Unit, message: string): void {
    this.fault(unit, { message, found: truncate(unit.text).replace(/\n.*/s, ""), at: 0 });
  }

  protected fault(unit: Unit, { message, found, at }: UnitError): void {
    const start = this.cursor.locate(unit.start);
    this.report("error", message, this.cursor.locateWithin(start, unit.text, at), found);
  }

  protected report(severity: Severity, message: string, { line, column }: Position, found: string): void {
    this.diagnostics.push({ severity, message, line, column, found });
  }
}
