/** The trace of a packet as text: its path hook by hook, then the verdict in a sentence. */
import type { Trace } from "../../simulate/answer.ts";
import { inferenceText } from "../text/inference-text.ts";
import { packetText } from "../text/packet-text.ts";
import { safe } from "../text/terminal.ts";
import { wrap } from "../text/wrap.ts";
import { branchLetter, shownBranches } from "./branches.ts";
import { pathRows, printRow, type TextRow } from "./path-rows.ts";
import { type TextContext, type TraceOptions, textContext } from "./text-context.ts";
import { assumptionTexts, branchCondition, conclusion, paragraph } from "./verdict-text.ts";

/** Prints one packet: its path hook by hook, assumptions, and the verdict with its reason. */
export function traceText(trace: Trace, options: TraceOptions): string {
  const { packet } = trace.answer;
  const context = textContext(packet.dst, options);
  const out = paragraph(packetText(packet), context, context.style.bold);
  if (context.detail !== "short") {
    const notes = [...inferredLines(context), ...assumptionLines(trace, context)];
    out.push(...sourceLine(context), "", ...pathLines(trace, context), "");
    out.push(...notes, ...(notes.length > 0 ? [""] : []));
  }
  out.push(...conclusion(trace, context));
  return `${out.join("\n")}\n`;
}

/** Prints the verdict alone: the last part of `traceText`, a line per sentence. */
export const verdictText = (trace: Trace, options: TraceOptions): string =>
  conclusion(
    trace,
    textContext(trace.answer.packet.dst, { ...options, width: Number.POSITIVE_INFINITY }),
  ).join("\n");

/** The file that the line numbers refer to. */
export const sourceLine = ({ ruleset, style }: TextContext): string[] =>
  ruleset === undefined || ruleset.source === ""
    ? []
    : [style.dim(`line numbers of ${safe(ruleset.source)}`)];

/** Inferences about the host. */
export const inferredLines = (context: TextContext): string[] =>
  context.host.inferences.flatMap((each) => labelled("inferred:", inferenceText(each), context));

/** Assumptions about the packet. */
export const assumptionLines = (trace: Trace, context: TextContext): string[] =>
  assumptionTexts(trace, context).flatMap((text) => labelled("noted:", text, context));

/** A text after a label. */
export function labelled(label: string, text: string, { style, width }: TextContext): string[] {
  const [first, ...rest] = wrap(`${label} ${safe(text)}`, width, 2);
  return [`${style.dim(label)}${first!.slice(label.length)}`, ...rest];
}

const isSameRow = (a: TextRow, b: TextRow): boolean =>
  a.line === b.line && a.depth === b.depth && a.text === b.text;

/** The path of the packet; if there are several, the rows that all have in common come first, once. */
export function pathLines({ answer, branches }: Trace, context: TextContext): string[] {
  const shown = answer.branches === undefined ? branches.slice(0, 1) : shownBranches(branches);
  const rowsOf = shown.map((branch) => pathRows(branch, context));
  const [first = []] = rowsOf;
  const margin = Math.max(2, ...rowsOf.flat().map(({ line }) => (line === null ? 0 : String(line).length)));
  const print = (rows: readonly TextRow[]): string[] => rows.flatMap((row) => printRow(row, margin, context));
  if (rowsOf.length < 2) return print(first);
  let common = 0;
  while (rowsOf.every((rows) => rows[common] !== undefined && isSameRow(rows[common]!, first[common]!)))
    common++;
  const shared = first.slice(0, common);
  const heading = shared.findLast((row) => row.isHeading === true);
  const out = print(shared);
  for (const [i, rows] of rowsOf.entries()) {
    const rest = rows.slice(common);
    const lead = `${branchLetter(i)}. ${branchCondition(shown[i]!, branches, context)}`;
    out.push("", ...paragraph(lead, context, context.style.yellow));
    if (heading !== undefined && rest[0]?.isHeading !== true)
      out.push(...print([{ ...heading, text: `${heading.text} (continued)`, paint: context.style.dim }]));
    out.push(...print(rest));
  }
  return out;
}
