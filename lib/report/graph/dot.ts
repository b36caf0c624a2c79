/** The chain graph in the DOT language (graphviz.org/doc/info/lang.html), for `dot`. */

import { tag, xml } from "../html/xml.ts";
import {
  chainCaption,
  FORWARD_CAPTION,
  HOOK_CAPTIONS,
  LOCAL_CAPTION,
  POINT_CAPTIONS,
  rowNumbers,
  UNCALLED_CAPTION,
} from "./captions.ts";
import type { ChainGraph, GraphChain, GraphHook, GraphRow, PathPoint } from "./graph-model.ts";
import { cut } from "./text-width.ts";

const INK: Readonly<Record<string, string>> = {
  accept: "#146c3a",
  drop: "#b3202c",
  reject: "#7d5700",
  nat: "#6f35b5",
  docker: "#155fb8",
  podman: "#8a2a7d",
  ufw: "#a8460f",
  owner: "#59636f",
  fwcheck: "#08695f",
};
const PASSED = "#d4006a";
const MUTED = "#5b6775";

/** Columns of a rule's text. */
const COLUMNS = 40;

/** Returns a string of the language: quotes and backslashes are syntax in it. */
const quoted = (text: string): string => `"${xml(text).replaceAll("&quot;", "'").replaceAll("\\", "\\\\")}"`;

/**
 * Returns the chain graph for Graphviz (`dot -Tsvg`). Node names are numbers, so text of a ruleset is never syntax. Each
 * hook is a cluster that begins with a node with edges to its tables, in order.
 */
export function graphDot(graph: ChainGraph): string {
  const ids = new Map<string, string>();
  for (const { stops } of graph.hooks)
    for (const { chains } of stops) for (const { id } of chains) ids.set(id, `c${ids.size}`);
  const title = `IPv${graph.family}: ${graph.source}${graph.traced === null ? "" : `; ${graph.traced}`}`;
  return `${[
    "digraph fwcheck {",
    `  graph [rankdir=LR, ordering=out, newrank=true, nodesep=0.25, ranksep=0.6, fontname="sans-serif", labelloc=t, label=${quoted(title)}];`,
    '  node [shape=plain, fontname="monospace", fontsize=11];',
    '  edge [color="#7d8896", arrowsize=0.7, fontname="sans-serif", fontsize=10];',
    ...pointNodes(graph),
    ...graph.hooks.flatMap((hook, number) => hookCluster(hook, number, ids)),
    ...graph.calls.map(
      ({ from, to, kind, row, passed }) =>
        `  ${ids.get(from)}:r${row}:e -> ${ids.get(to)}:head:w [${kind === "goto" ? "style=dashed" : "style=solid"}${passedEdge(passed)}];`,
    ),
    ...graph.way.map(
      ({ from, to, passed }) =>
        `  ${from} -> ${to} [penwidth=${passed ? 4 : 2.5}, color="${passed ? PASSED : MUTED}"${edgeLabel(graph, to)}];`,
    ),
    ...graph.notes.map((note) => `  // ${xml(note)}`),
    "}",
  ].join("\n")}\n`;
}

function pointNodes({ way }: ChainGraph): string[] {
  const passed = new Set(way.flatMap((step) => (step.passed ? [step.from, step.to] : [])));
  return Object.entries(POINT_CAPTIONS).map(([point, caption]) => {
    const border = passed.has(point as PathPoint) ? `, color="${PASSED}", penwidth=3` : "";
    return `  ${point} [shape=box, style="rounded,filled", fontname="sans-serif", fillcolor="#2f3a48", fontcolor=white${border}, label=${quoted(caption)}];`;
  });
}

function hookCluster(
  { hook, stops, passed }: GraphHook,
  number: number,
  ids: ReadonlyMap<string, string>,
): string[] {
  const out = [`  subgraph cluster_${number} {`, '    style=rounded; color="#c3cad4"; label="";'];
  if (hook === null) out.push(`    label="${UNCALLED_CAPTION}";`);
  else
    out.push(
      `    ${hook} [shape=cds, style=filled, fontname="sans-serif", fillcolor="#eef1f5", color="${passed ? PASSED : "#8b95a3"}", label="${hook}\\n${HOOK_CAPTIONS[hook]}"];`,
    );
  for (const [i, { table, chains }] of stops.entries()) {
    const first = chains[0];
    if (table === null || first === undefined) {
      out.push(`    t${number} [shape=box, style=dashed, label="conntrack"];`);
      if (hook !== null) out.push(`    ${hook} -> t${number} [label="${i + 1}"];`);
      continue;
    }
    for (const chain of chains) out.push(`    ${ids.get(chain.id)} [label=<${cardOf(chain)}>];`);
    if (hook !== null)
      out.push(
        `    ${hook} -> ${ids.get(first.id)}:head [label="${i + 1} ${table}"${passedEdge(first.passed)}];`,
      );
  }
  out.push("  }");
  return out;
}

const passedEdge = (passed: boolean): string => (passed ? `, color="${PASSED}", penwidth=2` : "");

function edgeLabel({ rewrites }: ChainGraph, to: PathPoint): string {
  if (to === "INPUT") return `, label="${LOCAL_CAPTION}"`;
  if (to !== "FORWARD") return "";
  return `, label="${FORWARD_CAPTION}${rewrites ? ";\\nalso after DNAT to another host" : ""}"`;
}

/** A chain as a table: its name, then a line per row. */
function cardOf(chain: GraphChain): string {
  const headCell = { BGCOLOR: "#eef1f5", BORDER: 1, SIDES: "B" };
  const name = tag(
    "TD",
    { PORT: "head", COLSPAN: 2, ALIGN: "LEFT", ...headCell },
    coloured(chain.author ?? "owner", `<B>${shown(chain.name)}</B>`),
  );
  const caption = tag(
    "TD",
    { ALIGN: "RIGHT", ...headCell },
    coloured(chain.policy?.toLowerCase() ?? "owner", shown(chainCaption(chain))),
  );
  const rows = chain.rows.map((row, i) => {
    const background: Readonly<Record<string, string>> = row.passed ? { BGCOLOR: "#ffe3f1" } : {};
    const cell = (align: string, inside: string, more: Readonly<Record<string, string>> = {}): string =>
      tag("TD", { ALIGN: align, ...background, ...more }, inside);
    const cells = [
      cell("RIGHT", coloured("owner", shown(rowNumbers(row)))),
      cell("LEFT", shown(row.condition)),
      cell("RIGHT", coloured(colourKey(row), shown(row.target)), { PORT: `r${i}` }),
    ];
    return tag("TR", {}, cells.join(""));
  });
  const border = { BORDER: chain.policy === null ? 1 : 2, COLOR: chain.passed ? PASSED : "#8b95a3" };
  const attributes = { ...border, CELLBORDER: 0, CELLSPACING: 0, STYLE: "ROUNDED" };
  return tag("TABLE", attributes, tag("TR", {}, name + caption) + rows.join(""));
}

/** Text of a cell, which must not be empty. */
const shown = (text: string): string => xml(cut(text, COLUMNS)) || " ";

const coloured = (key: string, inside: string): string =>
  INK[key] === undefined ? inside : tag("FONT", { COLOR: INK[key] }, inside);

const colourKey = ({ action, to, author }: GraphRow): string =>
  Object.hasOwn(INK, action) ? action : to === null ? "owner" : (author ?? "owner");
