/**
 * The chain graph as SVG that stands by itself: no script, nothing loaded, no identities, so that several of them fit
 * into one page. Everything that a page may rely on is said at `graphSvg`.
 */

import { tag, xml } from "../html/xml.ts";
import { counted } from "../text/packet-text.ts";
import { wrapped } from "../text/terminal.ts";
import { AUTHORS, HOOK_SAYS, PLACE_SAYS } from "./captions.ts";
import type { ChainGraph, Deed, GraphChain, GraphRow } from "./graph.ts";
import {
  type Box,
  cut,
  HEAD,
  type Layout,
  layout,
  type PlacedCall,
  type PlacedChain,
  type PlacedHook,
  type PlacedPlace,
  type PlacedStep,
  type PlacedStop,
  type Point,
  ROW,
  rowsLeft,
} from "./layout.ts";

/** How to draw. */
export interface SvgOptions {
  /** Light or dark for good; as the reader's system is set by default. */
  readonly theme?: "light" | "dark";
  /** Leaves out the style sheet, `GRAPH_STYLE`, which then comes from the page around it. */
  readonly bare?: boolean;
}

/** Around the picture. */
const MARGIN = 32;
/** The heading and the legend. */
const TOP = 84;

type Attributes = Readonly<Record<string, string | number>>;

const round = (value: number): number => Math.round(value * 10) / 10;

const text = (words: string, x: number, y: number, kind: string, more: Attributes = {}): string =>
  words === "" ? "" : tag("text", { class: kind, x, y, ...more }, xml(words));

const title = (words: string): string => tag("title", {}, xml(words) || " ");

const classes = (...names: (string | false)[]): string => names.filter((name) => name !== false).join(" ");

/** A class and its colours on light and on dark ground. */
const COLOURS: readonly (readonly [selector: string, property: string, light: string, dark: string])[] = [
  [".page", "fill", "#f6f7f9", "#0f1318"],
  [".hook", "fill", "#ffffff", "#161b22"],
  [".hook", "stroke", "#d3d8df", "#30363d"],
  [".card", "fill", "#fbfcfd", "#1c222b"],
  [".card", "stroke", "#c3cad4", "#3a434f"],
  [".base>.card", "stroke", "#8b95a3", "#6b7684"],
  [".head", "fill", "#eef1f5", "#252d38"],
  [".pill", "fill", "#2f3a48", "#cdd6e0"],
  [".place text", "fill", "#ffffff", "#11161c"],
  ["text", "fill", "#1d242d", "#e3e8ee"],
  [".muted", "fill", "#5b6775", "#9aa6b4"],
  [".call", "stroke", "#9aa5b3", "#5d6876"],
  [".tip", "fill", "#9aa5b3", "#5d6876"],
  [".way", "stroke", "#5b6878", "#8d99a8"],
  [".wayhead", "fill", "#5b6878", "#8d99a8"],
  [".accept", "fill", "#146c3a", "#5fd08a"],
  [".drop", "fill", "#b3202c", "#ff8a8a"],
  [".reject", "fill", "#7d5700", "#e3b341"],
  [".nat", "fill", "#6f35b5", "#c9a3ff"],
  [".docker", "fill", "#155fb8", "#58a6ff"],
  [".ufw", "fill", "#a8460f", "#f0883e"],
  [".owner", "fill", "#59636f", "#a3adb9"],
  [".fwcheck", "fill", "#08695f", "#3fd0bf"],
  [".chain.passed>.card", "stroke", "#d4006a", "#ff66b3"],
  [".call.passed", "stroke", "#d4006a", "#ff66b3"],
  [".tip.passed", "fill", "#d4006a", "#ff66b3"],
  [".way.passed", "stroke", "#d4006a", "#ff66b3"],
  [".wayhead.passed", "fill", "#d4006a", "#ff66b3"],
  [".hit", "fill", "#ffe3f1", "#4a1f38"],
];

const SHAPES = `
.fwg text{font:11px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre}
.fwg .name{font-size:12px;font-weight:700}
.fwg .title{font:700 20px system-ui,"DejaVu Sans",sans-serif}
.fwg .hooktitle{font:700 16px system-ui,"DejaVu Sans",sans-serif;letter-spacing:.06em}
.fwg .says{font:12px system-ui,"DejaVu Sans",sans-serif}
.fwg .place text{font:600 13px system-ui,"DejaVu Sans",sans-serif}
.fwg .table{font:600 11px system-ui,"DejaVu Sans",sans-serif;letter-spacing:.08em}
.fwg .deed{font-weight:700}
.fwg .rowbox{fill:none;pointer-events:all}
.fwg .end{text-anchor:end}
.fwg .mid{text-anchor:middle}
.fwg .base>.card{stroke-width:1.6}
.fwg .call{fill:none;stroke-width:1.4}
.fwg .call.goto{stroke-dasharray:4 3}
.fwg .way{fill:none;stroke-width:3}
.fwg .call.passed,.fwg .chain.passed>.card{stroke-width:2.4}
.fwg .way.passed{stroke-width:5}
.fwg.traced .hookbox:not(.passed),.fwg.traced .call:not(.passed){opacity:.55}
`;

function styleOf(theme: SvgOptions["theme"]): string {
  const rules = (dark: boolean): string =>
    COLOURS.map(
      ([selector, property, ...both]) => `.fwg ${selector}{${property}:${both[dark ? 1 : 0]}}`,
    ).join("\n");
  if (theme !== undefined) return `${SHAPES}${rules(theme === "dark")}`;
  return `${SHAPES}${rules(false)}\n@media (prefers-color-scheme:dark){\n${rules(true)}\n}`;
}

/** The style sheet of the picture, light and dark as the reader's system is set. */
export const GRAPH_STYLE = styleOf(undefined);

/**
 * The chain graph as an SVG document, text that can be put into a page as it is.
 *
 * The root has the class `fwg` and a `viewBox`; its style touches nothing outside. Each card is a
 * `<g class="chain" data-hook data-table data-chain>` with `data-policy` on built-in chains and `data-author` (`docker`,
 * `ufw`, `owner`, `fwcheck`) on others; a chain that several hooks call has a card at each. Each row in it is a
 * `<g class="row" data-rule data-last>` with the numbers of its first and last rule, `data-to` where it calls a chain.
 * Hooks are `<g class="hookbox" data-hook>`, calls `<path class="call" data-from data-to>` with cards' `data-id`. What
 * the packet of a trace met has the class `passed`.
 */
export function graphSvg(graph: ChainGraph, options: SvgOptions = {}): string {
  const placed = layout(graph);
  const width = Math.max(Math.ceil(placed.width), 760) + 2 * MARGIN;
  const foot = footer(graph, width - 2 * MARGIN);
  const height = Math.ceil(placed.height) + TOP + 2 * MARGIN + foot.length * 18;
  const name = `Chain graph, IPv${graph.family}: ${graph.source}`;
  const inside = [
    title(name),
    tag("desc", {}, xml(described(graph))),
    ...(options.bare === true ? [] : [tag("style", {}, styleOf(options.theme))]),
    tag("rect", { class: "page", width, height }),
    heading(graph, width),
    tag(
      "g",
      { transform: `translate(${round((width - placed.width) / 2)} ${TOP + MARGIN})` },
      drawing(graph, placed),
    ),
    ...foot.map((line, i) => text(line, MARGIN, height - MARGIN - (foot.length - 1 - i) * 18, "says muted")),
  ].join("\n");
  return `${tag(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      class: classes("fwg", graph.traced !== null && "traced"),
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "graphics-document",
      "aria-label": name,
    },
    `\n${inside}\n`,
  )}\n`;
}

const footer = ({ notes }: ChainGraph, width: number): string[] =>
  notes.flatMap((note) => wrapped(note, Math.floor(width / 6.5)));

/** What somebody hears who does not see it: the way, then each hook with its tables. */
function described(graph: ChainGraph): string {
  const hooks = graph.hooks.map(({ hook, stops }) => {
    const tables = stops.flatMap(({ table, chains }) =>
      table === null ? ["connection tracking"] : [`table ${table} with ${counted(chains.length, "chain")}`],
    );
    return `${hook ?? "Called by no hook"}: ${tables.join(", then ") || (graph.part ? "not shown" : "no rules")}.`;
  });
  return [
    "A packet that comes in meets PREROUTING, then the routing decision.",
    "If it is for this host it meets INPUT and never FORWARD; if not, FORWARD and POSTROUTING and never INPUT.",
    ...(graph.traced === null ? [] : [`Marked is the way of ${graph.traced}.`]),
    ...(graph.rewrites ? ["DNAT in PREROUTING makes packets for this host packets for somebody else."] : []),
    "What this host sends meets OUTPUT and POSTROUTING.",
    ...hooks,
    ...graph.notes,
  ].join(" ");
}

function heading(graph: ChainGraph, width: number): string {
  const out = [
    text(`IPv${graph.family}`, MARGIN, MARGIN + 16, "title"),
    text(
      cut(graph.source, Math.floor((width - 2 * MARGIN - 80) / 7)),
      MARGIN + 58,
      MARGIN + 16,
      "says muted",
    ),
  ];
  let x = MARGIN;
  const y = MARGIN + 43;
  const entry = (mark: string, words: string, wide = 16): void => {
    out.push(mark, text(words, x + wide, y, "says muted"));
    x += wide + words.length * 6.6 + 22;
  };
  const chains = graph.hooks.flatMap(({ stops }) => stops.flatMap((stop) => stop.chains));
  const seen = new Set(chains.flatMap((c) => [c.author, ...c.rows.map((r) => r.author)]));
  for (const author of ["docker", "ufw", "owner", "fwcheck"] as const)
    if (seen.has(author))
      entry(
        tag("rect", { class: author, x, y: y - 9, width: 10, height: 10, rx: 2 }),
        `by ${AUTHORS[author]}`,
      );
  if (chains.some(({ rows }) => rows.some(({ target }) => target.endsWith("∅"))))
    entry(text("∅", x, y, "muted"), "a chain without rules");
  if (graph.calls.some(({ kind }) => kind === "goto"))
    entry(tag("path", { class: "call goto", d: `M${at([x, y - 4])}h24` }), "goto: does not come back", 32);
  if (graph.traced !== null)
    entry(
      tag("path", { class: "way passed", d: `M${at([x, y - 4])}h24` }),
      cut(graph.traced, Math.floor((width - x - MARGIN) / 7)),
      32,
    );
  return tag("g", {}, out.join(""));
}

function drawing(graph: ChainGraph, placed: Layout): string {
  return [
    ...placed.steps.map((step) => wayLine(step)),
    ...placed.places.map((place) => placeBox(place)),
    ...forkWords(graph, placed),
    ...placed.hooks.map((hook) => hookBox(hook, graph)),
  ].join("\n");
}

/** An arrow with rounded corners. */
function wayLine({ step, points }: PlacedStep): string {
  const passed = step.passed && "passed";
  const [x, y] = points.at(-1)!;
  const shortened = [...points.slice(0, -1), [x, y - 8] as const];
  return tag(
    "g",
    { "aria-hidden": "true", "data-from": step.from, "data-to": step.to },
    tag("path", { class: classes("way", passed), d: rounded(shortened, 14) }) +
      tag("path", {
        class: classes("wayhead", passed),
        d: `M${x} ${y}l-7 -11h14z`.replaceAll(/\d+\.\d+/g, (n) => String(round(Number(n)))),
      }),
  );
}

/** A line through points, its corners rounded. */
function rounded(points: readonly Point[], radius: number): string {
  const out = [`M${at(points[0]!)}`];
  for (let i = 1; i < points.length; i++) {
    const [before, here, after] = [points[i - 1]!, points[i]!, points[i + 1]];
    if (after === undefined) out.push(`L${at(here)}`);
    else out.push(`L${at(toward(here, before, radius))}Q${at(here)} ${at(toward(here, after, radius))}`);
  }
  return out.join("");
}

const at = ([x, y]: Point): string => `${round(x)} ${round(y)}`;

function toward([x, y]: Point, [a, b]: Point, most: number): Point {
  const length = Math.hypot(a - x, b - y);
  const part = length === 0 ? 0 : Math.min(most, length / 2) / length;
  return [x + (a - x) * part, y + (b - y) * part];
}

function placeBox(place: PlacedPlace): string {
  const { x, y, width, height } = place;
  return tag(
    "g",
    { class: classes("place", place.passed && "passed"), "data-place": place.place },
    tag("rect", { class: "pill", x, y, width, height, rx: height / 2 }) +
      text(PLACE_SAYS[place.place], x + width / 2, y + height / 2 + 4.5, "mid"),
  );
}

/** What the two ways behind the routing decision mean. */
function forkWords(graph: ChainGraph, { places, hooks }: Layout): string[] {
  const fork = hooks.find(({ hook }) => hook.hook === "FORWARD") as Box;
  const routing = places.find(({ place }) => place === "routing") as Box;
  const y = routing.y + routing.height / 2;
  return [
    text("an address of this host", routing.x - 16, y - 9, "says muted end"),
    text("any other address", routing.x + routing.width + 16, y - 9, "says muted"),
    ...(graph.rewrites
      ? [text("DNAT to elsewhere leads here", fork.x + fork.width / 2 + 16, fork.y - 18, "says nat")]
      : []),
  ];
}

function hookBox({ hook, stops, x, y, width, height }: PlacedHook, { part }: ChainGraph): string {
  const name = hook.hook ?? "called by nothing";
  const says = hook.hook === null ? "chains that no hook leads to" : HOOK_SAYS[hook.hook];
  const inside = [
    tag("rect", { class: "hook", x, y, width, height, rx: 14 }),
    text(name, x + 18, y + 28, "hooktitle"),
    text(says, x + 18, y + 46, "says muted"),
    ...stops.map(stopGroup),
  ];
  if (stops.length === 0)
    inside.push(text(part ? "not shown" : "no rules here", x + 18, y + 66, "says muted"));
  return tag(
    "g",
    {
      class: classes("hookbox", hook.passed && "passed"),
      ...(hook.hook === null ? {} : { "data-hook": hook.hook }),
      role: "graphics-object",
      "aria-label": `${name}: ${says}`,
    },
    inside.join("\n"),
  );
}

function stopGroup({ stop, chains, calls, x, y }: PlacedStop): string {
  if (stop.table === null) return text("CONNTRACK  which connection is it of?", x, y + 14, "table muted");
  return [
    text(`TABLE ${stop.table}`, x, y + 14, "table muted"),
    ...(stop.table === "nat"
      ? [text("for a connection’s first packet only", x + 82, y + 14, "says muted")]
      : []),
    ...calls.map(callLine),
    ...chains.map(card),
  ].join("\n");
}

function callLine({ call, pieces }: PlacedCall): string {
  const d: string[] = [];
  for (const [i, [start, end]] of pieces.entries()) {
    const before = pieces[i - 1]?.[1];
    if (before === undefined) d.push(`M${at(start)}`);
    else {
      const bend = (start[0] - before[0]) / 2;
      d.push(`C${at([before[0] + bend, before[1]])} ${at([start[0] - bend, start[1]])} ${at(start)}`);
    }
    d.push(`H${round(i === pieces.length - 1 ? end[0] - 5 : end[0])}`);
  }
  const [x, y] = pieces.at(-1)![1];
  const passed = call.passed && "passed";
  return (
    tag("path", {
      class: classes("call", call.kind, passed),
      d: d.join(""),
      "data-from": call.from,
      "data-to": call.to,
      "aria-hidden": "true",
    }) + tag("path", { class: classes("tip", passed), d: `M${at([x, y])}l-7 -4v8z`, "aria-hidden": "true" })
  );
}

function card({ chain, name, note, rows, x, y, width, height }: PlacedChain): string {
  const left = rowsLeft(rows);
  const base = chain.policy !== null;
  const inside = [
    title(spoken(chain)),
    tag("rect", { class: "card", x, y, width, height, rx: 7 }),
    tag("path", {
      class: classes("head", chain.ended && "hit"),
      d: top(x + 1, y + 1, width - 2, HEAD - 2, 6, rows.length === 0),
    }),
    ...(chain.author === null ? [] : [tag("path", { class: chain.author, d: stripe(x, y, height) })]),
    text(name, x + 13, y + 18, "name"),
    text(
      note,
      x + width - 10,
      y + 18,
      classes("end", chain.policy === null ? "muted" : `deed ${chain.policy.toLowerCase()}`),
    ),
    ...rows.map((row) => {
      const { asks, target, number, y: middle, row: of } = row;
      const own = of.author !== null && of.author !== chain.author;
      return tag(
        "g",
        {
          class: classes("row", of.passed && "passed"),
          "data-rule": of.first,
          "data-last": of.last,
          ...(of.to === null ? {} : { "data-to": of.to }),
        },
        [
          title(of.rules.join("\n")),
          tag("rect", {
            class: of.passed ? "hit" : "rowbox",
            x: x + 5,
            y: middle - ROW / 2,
            width: width - 6,
            height: ROW,
          }),
          own
            ? tag("rect", { class: of.author!, x: x + 6, y: middle - 6, width: 3, height: 12, rx: 1.5 })
            : "",
          text(number, x + left - 8, middle + 4, "muted end"),
          text(asks, x + left, middle + 4, "asks"),
          text(
            `${target}${of.to === null ? "" : " →"}`,
            x + width - 10,
            middle + 4,
            classes("end deed", deedClass(of)),
          ),
        ].join(""),
      );
    }),
  ];
  return tag(
    "g",
    {
      class: classes("chain", base && "base", chain.passed && "passed"),
      "data-id": chain.id,
      ...(chain.hook === null ? {} : { "data-hook": chain.hook }),
      "data-table": chain.table,
      "data-chain": chain.name,
      ...(chain.policy === null ? {} : { "data-policy": chain.policy }),
      ...(chain.author === null ? {} : { "data-author": chain.author }),
      role: "graphics-object",
      "aria-label": spoken(chain),
    },
    inside.join("\n"),
  );
}

const DEEDS: readonly Deed[] = ["accept", "drop", "reject", "nat"];
const deedClass = ({ does, to, author }: GraphRow): string =>
  DEEDS.includes(does) ? does : to === null ? "muted" : (author ?? "muted");

/** A chain in words. */
function spoken(chain: GraphChain): string {
  const { table, name, policy, size, author, also, passed } = chain;
  return [
    `chain ${name} of table ${table}`,
    ...(policy === null ? [] : [`policy ${policy}`]),
    counted(size, "rule"),
    ...(author === null ? [] : [`written by ${AUTHORS[author]}`]),
    ...(also.length === 0 ? [] : [`called in ${also.join(", ")}, too`]),
    ...(passed ? ["the packet comes here"] : []),
  ].join(", ");
}

/** A card's head: round above, and below, too, where no row follows. */
function top(x: number, y: number, width: number, height: number, r: number, whole: boolean): string {
  const foot = whole
    ? `v${height - 2 * r}q0 ${r} ${-r} ${r}h${2 * r - width}q${-r} 0 ${-r} ${-r}`
    : `v${height - r}h${-width}`;
  return `M${at([x, y + r])}q0 ${-r} ${r} ${-r}h${round(width - 2 * r)}q${r} 0 ${r} ${r}${foot}z`;
}

/** The author's colour along a card's left edge. */
const stripe = (x: number, y: number, height: number): string =>
  `M${at([x + 5, y])}v${round(height)}q-5 0 -5 -6v${round(12 - height)}q0 -6 5 -6z`;
