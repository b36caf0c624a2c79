/** Folds consecutive rules of a chain into rows, so that a long chain fits into the picture. */
import type { Host } from "../../host/host.ts";
import { calledChain, type Rule } from "../../rules/ruleset.ts";
import { chainAuthor, ruleAuthor } from "../explain/author.ts";

/** Limits of the rows of one chain. */
export interface RowLimits {
  /** Up to this many rules are not folded. */
  readonly unfolded: number;
  /** Most rows of a chain. */
  readonly rows: number;
}

/** Parameters of folding. */
export interface RowFolding {
  readonly limits: RowLimits;
  /** Similar calls are folded as well: those to chains that a program creates per container, service or jail. */
  readonly similar: boolean;
  readonly host: Host;
  /** The rule has a row of its own. */
  readonly isSingle: (rule: Rule) => boolean;
  /** The rule leads to the selected chain. */
  readonly isOnRoute: (rule: Rule) => boolean;
  /** The rule calls a chain that can be drawn. */
  readonly callsDrawn: (rule: Rule) => boolean;
}

/** From this many similar calls on, only the first `KEPT_CALLS` have rows. */
const LEAST_CALLS = 5;
const KEPT_CALLS = 2;

/** From this many equal rules on, they have one row. */
const LEAST_EQUAL = 3;

/** Kind of rules that are folded with all others. */
const ANY_KIND = "any";

/** Returns the rules of each row, in order. Each step folds more, until the rows are within the limits. */
export function foldRules(rules: readonly Rule[], folding: RowFolding): Rule[][] {
  const { limits, similar, isSingle, isOnRoute, callsDrawn } = folding;
  let rows = rules.map((rule) => [rule]);
  if (similar) {
    const kind = (rule: Rule): string | null => (isOnRoute(rule) ? null : calleeShape(rule));
    rows = fold(rows, { least: LEAST_CALLS, kept: KEPT_CALLS, isSingle, kind });
  }
  const equalKind = (rule: Rule): string => ruleKind(rule, folding);
  // Published ports keep rows of their own as long as possible.
  const isPublished = (rule: Rule): boolean => rule.action === "dnat";
  if (rows.length > limits.unfolded) {
    const kind = (rule: Rule): string | null => (isPublished(rule) ? null : equalKind(rule));
    rows = fold(rows, { least: LEAST_EQUAL, isSingle, kind });
  }
  if (rows.length > limits.rows) rows = fold(rows, { least: LEAST_EQUAL, isSingle, kind: equalKind });
  if (similar && rows.length > limits.rows)
    rows = fold(rows, { least: 2, isSingle, kind: (rule) => (callsDrawn(rule) ? null : ANY_KIND) });
  if (rows.length <= limits.rows) return rows;
  const kept = rows.slice(0, limits.rows - 1);
  const rest = rows.slice(limits.rows - 1);
  return [
    ...kept,
    ...fold(rest, { least: 2, isSingle, kind: (rule) => (isOnRoute(rule) ? null : ANY_KIND) }),
  ];
}

/** Rules with the same author and target are of the same kind, as are calls of chains that are not drawn. */
function ruleKind(rule: Rule, { host, callsDrawn }: RowFolding): string {
  const author = ruleAuthor(rule, host);
  const callee = calledChain(rule);
  if (callee === null) return `${author} ${rule.targetName}`;
  return callsDrawn(rule) ? `${author} ${rule.action} ${callee}` : `${author} nothing`;
}

/** Name of the called chain without its variable part; `null` for other rules and for chains of known programs. */
function calleeShape(rule: Rule): string | null {
  const callee = calledChain(rule);
  if (callee === null || chainAuthor(rule.table, callee) !== "owner") return null;
  return callee.replace(/(?<=[-_.:])[^-_.:]*$/, "").replace(/\d+/g, "#");
}

interface FoldStep {
  /** Fewest rules that are folded; with `kept`, fewest different called chains. */
  readonly least: number;
  /** The first rows of a group that stay as they are. */
  readonly kept?: number;
  readonly isSingle: (rule: Rule) => boolean;
  /** Consecutive rules of one kind are folded; `null` for a rule that is not folded. */
  readonly kind: (rule: Rule) => string | null;
}

function fold(rows: readonly Rule[][], { least, kept = 0, isSingle, kind }: FoldStep): Rule[][] {
  const kinds = rows.map((row) => {
    if (row.some(isSingle)) return null;
    const [first, ...others] = row.map(kind);
    return others.every((other) => other === first) ? first! : null;
  });
  const out: Rule[][] = [];
  for (let start = 0; start < rows.length; ) {
    let end = start + 1;
    while (kinds[start] !== null && end < rows.length && kinds[end] === kinds[start]) end++;
    const group = rows.slice(start, end);
    // Many calls of the same chain are not similar chains.
    const size = kept === 0 ? group.length : new Set(group.flat().map(calledChain)).size;
    if (size < least) out.push(...group);
    else out.push(...group.slice(0, kept), group.slice(kept).flat());
    start = end;
  }
  return out;
}
