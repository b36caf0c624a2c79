/** The events of a branch as lines of text: tables, rules with their line numbers, changes. */
import { calledChain, type Rule } from "../../rules/ruleset.ts";
import type { TracedBranch } from "../../simulate/answer.ts";
import type { FieldChange } from "../../simulate/trace.ts";
import { type Style, safe } from "../text/terminal.ts";
import { wrap } from "../text/wrap.ts";
import {
  changeTexts,
  hasNoEffect,
  routeText,
  ruleStepText,
  type TableEvent,
  trackText,
} from "./event-text.ts";
import { ruleAt, type TextContext } from "./text-context.ts";

/** A line of text before it is wrapped and coloured. */
export interface TextRow {
  /** Line in the input, printed in the margin. */
  readonly line: number | null;
  readonly depth: number;
  readonly text: string;
  readonly paint: (text: string) => string;
  /** Columns by which further lines are indented. */
  readonly hang?: number;
  /** Columns of indentation beyond the depth. */
  readonly shift?: number;
  /** Heading of the rows below it. */
  readonly isHeading?: boolean;
}

const plainRow = (
  depth: number,
  text: string,
  paint: TextRow["paint"],
  line: number | null = null,
): TextRow => ({ line, depth, text, paint });

/** Returns the rows of a branch. Consecutive tables without effect share a row, unless every step is shown. */
export function pathRows({ events }: TracedBranch, context: TextContext): TextRow[] {
  const { style, detail } = context;
  const out: TextRow[] = [];
  let idleTables: string[] = [];
  const flush = (): void => {
    if (idleTables.length > 0)
      out.push({ ...plainRow(0, `${idleTables.join(", ")}: no rule matched`, style.dim), hang: 2 });
    idleTables = [];
  };
  for (const event of events) {
    if (event.kind === "aged") {
      if (detail === "all")
        out.push(...changeTexts(event.changes).map((text) => plainRow(0, text, style.dim)));
      continue;
    }
    if (event.kind === "table" && detail !== "all" && hasNoEffect(event)) {
      idleTables.push(chainName(event));
      continue;
    }
    flush();
    if (event.kind === "table") out.push(...tableRows(event, context));
    else {
      const text = event.kind === "track" ? trackText(event) : routeText(event);
      out.push({ ...plainRow(0, text, style.cyan), hang: 2 });
    }
  }
  flush();
  return out;
}

/** Table and base chain of an event. Its first step is in that chain; iptables names it for its hook. */
const chainName = ({ table, hook, steps }: TableEvent): string =>
  safe(`${table} ${steps[0]?.step.chain ?? hook}`);

function tableRows(event: TableEvent, context: TextContext): TextRow[] {
  const { style } = context;
  const name = chainName(event);
  if (event.steps.length === 0) {
    const text = `${name}: ${changeTexts(event.changes).join(", ")} (translation of its connection)`;
    return [{ ...plainRow(0, text, style.cyan), hang: 2 }];
  }
  const heading = { ...plainRow(0, name, style.cyan), isHeading: true };
  return [heading, ...stepRows(event, context)];
}

function stepRows({ hook, steps, changes }: TableEvent, context: TextContext): TextRow[] {
  const { style } = context;
  const out: TextRow[] = [];
  let stack: string[] = [hook];
  for (let i = 0; i < steps.length; i++) {
    const { step, changes: ruleChanges } = steps[i]!;
    if (!stack.includes(step.chain)) stack.push(step.chain);
    while (stack.at(-1) !== step.chain) stack.pop();
    const depth = stack.length;
    if (step.step === "policy") {
      const paint = step.policy === "DROP" ? style.red : style.dim;
      out.push(plainRow(depth, `policy ${step.policy}`, paint));
      stack = [];
      continue;
    }
    if (step.step === "return") {
      out.push(plainRow(depth, `end of ${safe(step.chain)}`, style.dim));
      stack.pop();
      continue;
    }
    const rule = ruleAt(step.table, step.chain, step.rule, context);
    const next = steps[i + 1]?.step;
    const hadNoMatch =
      context.detail !== "all" &&
      rule?.reading.action === "jump" &&
      next?.step === "return" &&
      next.chain === calledChain(rule);
    const text = `${ruleStepText(step, rule, context)}${hadNoMatch ? " (nothing matched)" : ""}`;
    const paint = hadNoMatch ? style.dim : ruleColour(rule, style);
    const line = step.line > 0 ? step.line : null;
    out.push({ ...plainRow(depth, text, paint, line), hang: String(step.rule).length + 2 });
    out.push(...changeRows(ruleChanges, depth, step.rule, context));
    // The return from a chain in which nothing matched is not shown.
    if (hadNoMatch) i++;
  }
  const last = steps.findLast(({ step }) => step.step === "rule")?.step;
  const lastRule = last?.step === "rule" ? last.rule : 0;
  return [...out, ...changeRows(changes, stack.length || 1, lastRule, context)];
}

/** Rows of changes; they begin in the column of the rule's text. */
const changeRows = (
  changes: readonly FieldChange[],
  depth: number,
  rule: number,
  { style }: TextContext,
): TextRow[] =>
  changeTexts(changes).map((text) => ({
    ...plainRow(depth, `=> ${text}`, style.bold),
    shift: rule === 0 ? 0 : String(rule).length + 2,
  }));

function ruleColour(rule: Rule | undefined, style: Style): (text: string) => string {
  switch (rule?.reading.action) {
    case "accept":
      return style.green;
    case "drop":
    case "reject":
      return style.red;
    default:
      return (text) => text;
  }
}

/** Levels of calls that are indented: thousands of them would make the text grow with their square. */
const MOST_INDENTED = 40;

/** Prints a row: the line number in the margin, the text wrapped after its indentation. */
export function printRow(row: TextRow, margin: number, { style, width }: TextContext): string[] {
  const depth = Math.min(row.depth, MOST_INDENTED);
  const indent = " ".repeat(margin + 2 + depth * 2 + (row.shift ?? 0));
  const number = row.line === null ? "" : String(row.line);
  const lines = wrap(row.text, Math.max(24, width - indent.length), row.hang ?? 0);
  return lines.map((text, i) =>
    i === 0
      ? `${style.dim(number.padStart(margin))}${indent.slice(margin)}${row.paint(text)}`
      : `${indent}${row.paint(text)}`,
  );
}
