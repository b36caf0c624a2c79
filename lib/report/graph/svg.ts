/**
 * The chain graph as SVG. The picture is complete in itself: no script, no external resource, no ids, so several
 * pictures fit into one page. `graphSvg` documents what a page may rely on.
 */

import { iptablesName } from "../../rules/ruleset.ts";
import { tag, xml } from "../html/xml.ts";
import { counted } from "../text/list.ts";
import { wrapped } from "../text/terminal.ts";
import {
  AUTHOR_NAMES,
  FORWARD_CAPTION,
  HOOK_CAPTIONS,
  LOCAL_CAPTION,
  POINT_CAPTIONS,
  UNCALLED_CAPTION,
} from "./captions.ts";
import type { ChainGraph } from "./graph-model.ts";
import { layout } from "./layout.ts";
import type { GraphLayout, PlacedHook, PlacedPoint, PlacedStage, PlacedStep } from "./placed.ts";
import { callLine, card } from "./svg-cards.ts";
import { classes, coordinates, round, roundedLine, textElement, title } from "./svg-elements.ts";
import { graphStyle } from "./svg-style.ts";
import { cut } from "./text-width.ts";

/** Options of the picture. */
export interface SvgOptions {
  /** The theme; follows the reader's system by default. */
  readonly theme?: "light" | "dark";
  /** Leaves out the style sheet: the page around the picture has it. */
  readonly bare?: boolean;
}

/** Margin of the picture. */
const MARGIN = 32;
/** Height of the heading with the legend. */
const TOP = 84;
/** Height of a line of notes. */
const NOTE_LINE = 18;

/**
 * Returns the chain graph as an SVG document, as text that a page may contain as it is.
 *
 * The root has the class `fwg` and a `viewBox`; its style applies to nothing outside. Each card is a
 * `<g class="chain" data-hook data-table data-chain>` with `data-policy` on built-in chains and `data-author` (`docker`,
 * `podman`, `ufw`, `owner`, `fwcheck`) on others; a chain that several hooks reach has a card at each. Each row in it is a
 * `<g class="row" data-rule data-last>` with the numbers of its first and last rule, `data-to` if it calls a chain.
 * Hooks are `<g class="hookbox" data-hook>`, calls `<path class="call" data-from data-to>` with the `data-id` of cards.
 * Everything on the path of a traced packet has the class `passed`.
 */
export function graphSvg(graph: ChainGraph, options: SvgOptions = {}): string {
  const placed = layout(graph);
  const width = Math.max(Math.ceil(placed.width), 760) + 2 * MARGIN;
  const notes = graph.notes.flatMap((note) => wrapped(note, Math.floor((width - 2 * MARGIN) / 6.5)));
  const height = Math.ceil(placed.height) + TOP + 2 * MARGIN + notes.length * NOTE_LINE;
  const name = `Chain graph, IPv${graph.family}: ${graph.source}`;
  const position = `translate(${round((width - placed.width) / 2)} ${TOP + MARGIN})`;
  const noteY = (i: number): number => height - MARGIN - (notes.length - 1 - i) * NOTE_LINE;
  const inside = [
    title(name),
    tag("desc", {}, xml(description(graph))),
    ...(options.bare === true ? [] : [tag("style", {}, graphStyle(options.theme))]),
    tag("rect", { class: "page", width, height }),
    heading(graph, width),
    tag("g", { transform: position }, drawing(graph, placed)),
    ...notes.map((line, i) => textElement(line, MARGIN, noteY(i), "caption muted")),
  ].join("\n");
  const attributes = {
    xmlns: "http://www.w3.org/2000/svg",
    class: classes("fwg", graph.traced !== null && "traced"),
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "graphics-document",
    "aria-label": name,
  };
  return `${tag("svg", attributes, `\n${inside}\n`)}\n`;
}

/** Description for a screen reader: the packet path, then each hook with its tables. */
function description(graph: ChainGraph): string {
  const hooks = graph.hooks.map(({ hook, stops }) => {
    const tables = stops.map(({ table, chains }) =>
      table === null ? "connection tracking" : `table ${table} with ${counted(chains.length, "chain")}`,
    );
    const content = tables.join(", then ") || (graph.part ? "not shown" : "no rules");
    return `${hook ?? "Not called by any hook"}: ${content}.`;
  });
  return [
    "A packet that arrives passes PREROUTING, then the routing decision.",
    "A packet to this host passes INPUT and never FORWARD; any other packet passes FORWARD and POSTROUTING and never INPUT.",
    ...(graph.traced === null ? [] : [`The path of this packet is marked: ${graph.traced}.`]),
    ...(graph.rewrites ? ["DNAT in PREROUTING can turn packets to this host into forwarded packets."] : []),
    "A packet that this host sends passes OUTPUT and POSTROUTING.",
    ...hooks,
    ...graph.notes,
  ].join(" ");
}

/** Title and legend. */
function heading(graph: ChainGraph, width: number): string {
  const sourceColumns = Math.floor((width - 2 * MARGIN - 80) / 7);
  const out = [
    textElement(`IPv${graph.family}`, MARGIN, MARGIN + 16, "title"),
    textElement(cut(graph.source, sourceColumns), MARGIN + 58, MARGIN + 16, "caption muted"),
  ];
  let x = MARGIN;
  const y = MARGIN + 43;
  const entry = (mark: string, label: string, markWidth = 16): void => {
    out.push(mark, textElement(label, x + markWidth, y, "caption muted"));
    x += markWidth + label.length * 6.6 + 22;
  };
  const line = (kind: string): string => tag("path", { class: kind, d: `M${coordinates([x, y - 4])}h24` });
  const chains = graph.hooks.flatMap(({ stops }) => stops.flatMap((stage) => stage.chains));
  const rows = chains.flatMap((chain) => chain.rows);
  const authors = new Set([...chains, ...rows].map(({ author }) => author));
  for (const author of ["docker", "podman", "ufw", "owner", "fwcheck"] as const)
    if (authors.has(author)) {
      const square = tag("rect", { class: author, x, y: y - 9, width: 10, height: 10, rx: 2 });
      entry(square, `by ${AUTHOR_NAMES[author]}`);
    }
  if (rows.some(({ target }) => target.endsWith("∅")))
    entry(textElement("∅", x, y, "muted"), "a chain without rules");
  if (graph.calls.some(({ kind }) => kind === "goto")) entry(line("call goto"), "goto: does not return", 32);
  if (graph.traced !== null)
    entry(line("way passed"), cut(graph.traced, Math.floor((width - x - MARGIN) / 7)), 32);
  return tag("g", {}, out.join(""));
}

function drawing(graph: ChainGraph, placed: GraphLayout): string {
  return [
    ...placed.steps.map(stepArrow),
    ...placed.points.map(pointBox),
    ...forkCaptions(graph, placed),
    ...placed.hooks.map((hook) => hookBox(hook, graph)),
  ].join("\n");
}

/** A section of the packet path: an arrow with rounded corners. */
function stepArrow({ step, points }: PlacedStep): string {
  const passed = step.passed && "passed";
  const [x, y] = points.at(-1)!;
  // The line ends at the base of the arrow head.
  const line = [...points.slice(0, -1), [x, y - 8] as const];
  return tag(
    "g",
    { "aria-hidden": "true", "data-from": step.from, "data-to": step.to },
    tag("path", { class: classes("way", passed), d: roundedLine(line, 14) }) +
      tag("path", { class: classes("wayhead", passed), d: `M${coordinates([x, y])}l-7 -11h14z` }),
  );
}

function pointBox({ point, passed, x, y, width, height }: PlacedPoint): string {
  return tag(
    "g",
    { class: classes("place", passed && "passed"), "data-place": point },
    tag("rect", { class: "pill", x, y, width, height, rx: height / 2 }) +
      textElement(POINT_CAPTIONS[point], x + width / 2, y + height / 2 + 4.5, "mid"),
  );
}

/** Captions of the two paths after the routing decision. */
function forkCaptions(graph: ChainGraph, { points, hooks }: GraphLayout): string[] {
  const forward = hooks.find(({ hook }) => hook.hook === "FORWARD")!;
  const routing = points.find(({ point }) => point === "routing")!;
  const y = routing.y + routing.height / 2 - 9;
  const dnat = textElement(
    "DNAT to another host leads here",
    forward.x + forward.width / 2 + 16,
    forward.y - 18,
    "caption nat",
  );
  return [
    textElement(LOCAL_CAPTION, routing.x - 16, y, "caption muted end"),
    textElement(FORWARD_CAPTION, routing.x + routing.width + 16, y, "caption muted"),
    ...(graph.rewrites ? [dnat] : []),
  ];
}

function hookBox({ hook, stages, x, y, width, height }: PlacedHook, { part }: ChainGraph): string {
  const name = hook.hook ?? "not called";
  const caption = hook.hook === null ? UNCALLED_CAPTION : HOOK_CAPTIONS[hook.hook];
  const inside = [
    tag("rect", { class: "hook", x, y, width, height, rx: 14 }),
    textElement(name, x + 18, y + 28, "hooktitle"),
    textElement(caption, x + 18, y + 46, "caption muted"),
    ...stages.map(stageGroup),
  ];
  if (stages.length === 0)
    inside.push(textElement(part ? "not shown" : "no rules here", x + 18, y + 66, "caption muted"));
  return tag(
    "g",
    {
      class: classes("hookbox", hook.passed && "passed"),
      ...(hook.hook === null ? {} : { "data-hook": hook.hook }),
      role: "graphics-object",
      "aria-label": `${name}: ${caption}`,
    },
    inside.join("\n"),
  );
}

function stageGroup({ stage, chains, calls, x, y }: PlacedStage): string {
  if (stage.table === null)
    return textElement("CONNTRACK  looks up the connection", x, y + 14, "table muted");
  const natCaption = textElement("first packet of a connection only", x + 82, y + 14, "caption muted");
  return [
    textElement(`TABLE ${stage.table}`, x, y + 14, "table muted"),
    ...(iptablesName(stage.table) === "nat" ? [natCaption] : []),
    ...calls.map(callLine),
    ...chains.map(card),
  ].join("\n");
}
