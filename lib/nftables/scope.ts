/** Names that values may use, and the reporter of faults. */
import type { Expression, Position } from "nftables-parser-ts";
import type { ValueUses } from "./value-uses.ts";

/** Reports a fault at a place of the text. */
export type Report = (message: string, found: string, at: Position | undefined) => void;

/** Scope of a value. */
export interface Scope {
  /** Family of the table: `inet`. */
  readonly tableFamily: string;
  /** Value of `$name`; `undefined` if it is not defined. */
  definition(name: string): Expression | undefined;
  readonly report: Report;
  /** Recorder of the values that the reading depends on; absent if nothing needs these. */
  readonly uses?: ValueUses;
}

/** Definitions may refer to definitions that precede them; this many levels exist in no real file. */
const MOST_LEVELS = 64;

/** Replaces `$name` by its value; `null` and a report if it is not defined. */
export function resolved(expression: Expression, scope: Scope): Expression | null {
  let at = expression;
  for (let level = 0; at.kind === "variable"; level++) {
    const value = level < MOST_LEVELS ? scope.definition(at.name) : undefined;
    if (value === undefined) {
      scope.report(`$${at.name} is not defined`, `$${at.name}`, expression.at);
      return null;
    }
    at = value;
  }
  return at;
}
