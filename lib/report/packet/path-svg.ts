/** The path of a packet as SVG: the five hooks with the rules that matched, and the hooks that the packet skips. */
import type { Trace } from "../../simulate/answer.ts";
import { Markup, type MarkupContent, markup } from "../html/markup.ts";
import { packetText } from "../text/packet-text.ts";
import { PLAIN, safe, wrapped } from "../text/terminal.ts";
import { branchLetter, shownBranches } from "./branches.ts";
import { type HookLine, type HookPath, hookPath, type IntendedOutcome } from "./hook-path.ts";
import { cutMiddle, EDGE, PICTURE_WIDTH } from "./path-layout.ts";
import { pathMap } from "./path-map.ts";
import { PATH_STYLE } from "./path-style.ts";
import { type TraceOptions, textContext } from "./text-context.ts";
import { branchCondition, conclusion } from "./verdict-text.ts";

/** Options of the picture of a path. */
export interface PathSvgOptions extends Pick<TraceOptions, "rulesets" | "host"> {
  /** Verdict of the owner's rules, drawn next to the actual path; by default the verdict of INPUT if it is skipped. */
  readonly intended?: IntendedOutcome;
  /** Prefix of the picture's ids, so that several pictures fit into one page; `way` by default. */
  readonly id?: string;
  /** Leaves out the style sheet: the page around the picture has it. */
  readonly bare?: boolean;
  /** Leaves out the verdict below the map: the page around the picture has it. */
  readonly mute?: boolean;
}

/** Columns of the title and the verdict, and of smaller text. */
const COLUMNS = 112;
const SMALL_COLUMNS = 150;

/**
 * Returns the path of a packet as SVG (SVG 1.1 and CSS): the five hooks with their tables, the rules that matched with
 * their lines, changes of the header, the end of the path and its reason; skipped hooks are grey. Several branches are
 * drawn one below the other. The picture has no script and no external resource.
 */
export function pathSvg(trace: Trace, options: PathSvgOptions): string {
  return pathMarkup(trace, options).text;
}

/** The same for use in other markup. */
export function pathMarkup(trace: Trace, options: PathSvgOptions): Markup {
  const { answer } = trace;
  const context = textContext(answer.packet.dst, {
    ...options,
    style: PLAIN,
    width: Number.POSITIVE_INFINITY,
  });
  const id = options.id ?? "way";
  const title = packetText(answer.packet);
  const input = answer.packet.in ?? null;
  const intended = options.intended ?? trace.skippedInput;
  const hasBranches = answer.branches !== undefined;
  const branches = hasBranches ? shownBranches(trace.branches) : trace.branches.slice(0, 1);
  const page = new Page();
  page.text("m name", 18, cutMiddle(title, COLUMNS));
  page.space(14);
  const spoken: string[] = [title];
  for (const [i, branch] of branches.entries()) {
    if (hasBranches) {
      const lead = `${branchLetter(i)}. ${branchCondition(branch, trace.branches, context)}`;
      spoken.push(lead);
      for (const row of wrapped(lead, COLUMNS)) page.text("verdict undecided", 20, row);
      page.space(8);
    }
    const path = hookPath(branch, input === null, intended, context);
    const map = pathMap({ branch, path, intended, input, context }, page.y);
    page.add(map.markup, map.height);
    spoken.push(...spokenPath(path));
  }
  for (const [i, sentence] of conclusion(trace, context).entries()) {
    spoken.push(sentence);
    if (options.mute === true) continue;
    const isVerdict = i === 0 || hasBranches;
    for (const row of wrapped(sentence, isVerdict ? COLUMNS : SMALL_COLUMNS))
      page.text(isVerdict ? `verdict ${answer.verdict}` : "note", 19, row);
  }
  const source = safe(context.ruleset?.source ?? "");
  if (source !== "") page.text("small", 19, cutMiddle(`:12 is line 12 of ${source}`, SMALL_COLUMNS));
  const height = Math.round(page.y + 16);
  const isBypass =
    options.intended !== undefined && options.intended.verdict !== "accept" && answer.verdict === "accept";
  return markup`<svg xmlns="http://www.w3.org/2000/svg" class="way${isBypass ? " bypass" : ""}" viewBox="0 0 ${PICTURE_WIDTH} ${height}" width="${PICTURE_WIDTH}" height="${height}" role="img" aria-labelledby="${id}-title ${id}-desc">
    <title id="${id}-title">${`Path of ${title}: ${answer.verdict}`}</title>
    <desc id="${id}-desc">${spoken.join("; ")}</desc>
    ${options.bare === true ? null : new Markup(`<style>${PATH_STYLE}</style>`)}
    <rect class="paper" width="${PICTURE_WIDTH}" height="${height}"/>
    ${page.parts}</svg>`;
}

/** Parts of the picture from top to bottom. */
class Page {
  readonly parts: MarkupContent[] = [];
  y = 12;

  space(height: number): void {
    this.y += height;
  }

  add(part: Markup, height: number): void {
    this.parts.push(part);
    this.y += height;
  }

  /** Adds a line of text, its baseline `height` below the last part. */
  text(kind: string, height: number, content: string): void {
    this.y += height;
    this.parts.push(markup`<text class="${kind}" x="${EDGE}" y="${this.y}">${content}</text>`);
  }
}

/** Description of a path for a screen reader: the hooks in order, the skipped ones, the verdict of the owner's rules. */
function spokenPath({ visits, hooks, decidingHook }: HookPath): string[] {
  const texts = (lines: readonly HookLine[]): string =>
    lines
      .filter(({ kind }) => kind !== "table")
      .map(({ full, line }) => (line === null ? full : `${full} (line ${line})`))
      .join(", ");
  return [
    ...hooks.map((hook) => `${hook}: ${texts(visits[hook].lines) || "no rule matched"}`),
    ...Object.values(visits)
      .filter(({ isOnPath }) => !isOnPath)
      .map(({ hook, lines }) => `${hook}: ${texts(lines)}`),
    ...(decidingHook === null
      ? []
      : [`your own rules in ${decidingHook}: ${texts(visits[decidingHook].intended)}`]),
  ];
}
