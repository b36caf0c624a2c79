/** The chain graph in Graphviz's language (graphviz.org/doc/info/lang.html), to be laid out by `dot`. */

import { tag, xml } from "../html/xml.ts";
import { HOOK_SAYS, noteOf, PLACE_SAYS } from "./captions.ts";
import type { ChainGraph, GraphChain, GraphRow, Place } from "./graph.ts";
import { cut } from "./layout.ts";

const INK: Readonly<Record<string, string>> = {
  accept: "#146c3a",
  drop: "#b3202c",
  reject: "#7d5700",
  nat: "#6f35b5",
  docker: "#155fb8",
  ufw: "#a8460f",
  owner: "#59636f",
  fwcheck: "#08695f",
};
const PASSED = "#d4006a";
const MUTED = "#5b6775";

/** Columns of a rule's text. */
const MOST = 40;

/** A string of the language: quotes and backslashes mean something to it. */
const quoted = (text: string): string => `"${xml(text).replaceAll("&quot;", "'").replaceAll("\\", "\\\\")}"`;

/**
 * The chain graph for Graphviz: `dot -Tsvg`. Names in it are numbers, so no text of a ruleset is ever syntax. Hooks are
 * clusters; each begins with a node of its own that leads to its tables in order.
 */
export function graphDot(graph: ChainGraph): string {
  const ids = new Map<string, string>();
  for (const { stops } of graph.hooks)
    for (const { chains } of stops) for (const { id } of chains) ids.set(id, `c${ids.size}`);
  const out = [
    "digraph fwcheck {",
    `  graph [rankdir=LR, ordering=out, newrank=true, nodesep=0.25, ranksep=0.6, fontname="sans-serif", labelloc=t, label=${quoted(`IPv${graph.family}: ${graph.source}${graph.traced === null ? "" : `; ${graph.traced}`}`)}];`,
    '  node [shape=plain, fontname="monospace", fontsize=11];',
    `  edge [color="#7d8896", arrowsize=0.7, fontname="sans-serif", fontsize=10];`,
  ];
  const passed = new Set(graph.way.flatMap((step) => (step.passed ? [step.from, step.to] : [])));
  for (const [place, words] of Object.entries(PLACE_SAYS))
    out.push(
      `  ${place} [shape=box, style="rounded,filled", fontname="sans-serif", fillcolor="#2f3a48", fontcolor=white${passed.has(place as Place) ? `, color="${PASSED}", penwidth=3` : ""}, label=${quoted(words)}];`,
    );
  for (const [number, { hook, stops, passed: here }] of graph.hooks.entries()) {
    out.push(`  subgraph cluster_${number} {`, '    style=rounded; color="#c3cad4"; label="";');
    if (hook === null) out.push('    label="called by no hook";');
    else
      out.push(
        `    ${hook} [shape=cds, style=filled, fontname="sans-serif", fillcolor="#eef1f5", color="${here ? PASSED : "#8b95a3"}", label="${hook}\\n${HOOK_SAYS[hook]}"];`,
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
          `    ${hook} -> ${ids.get(first.id)}:head [label="${i + 1} ${table}"${line(first.passed)}];`,
        );
    }
    out.push("  }");
  }
  for (const { from, to, kind, row, passed: here } of graph.calls)
    out.push(
      `  ${ids.get(from)}:r${row}:e -> ${ids.get(to)}:head:w [${kind === "goto" ? "style=dashed" : "style=solid"}${line(here)}];`,
    );
  for (const { from, to, passed: here } of graph.way)
    out.push(
      `  ${from} -> ${to} [penwidth=${here ? 4 : 2.5}, color="${here ? PASSED : MUTED}"${says(graph, to)}];`,
    );
  for (const note of graph.notes) out.push(`  // ${xml(note)}`);
  out.push("}");
  return `${out.join("\n")}\n`;
}

const line = (passed: boolean): string => (passed ? `, color="${PASSED}", penwidth=2` : "");

function says({ rewrites }: ChainGraph, to: Place): string {
  if (to === "INPUT") return ', label="an address of this host"';
  if (to !== "FORWARD") return "";
  return `, label=${rewrites ? '"any other address; DNAT\\nto elsewhere leads here"' : '"any other address"'}`;
}

/** A chain as a table: its name, then a line a row. */
function cardOf(chain: GraphChain): string {
  const head = tag(
    "TR",
    {},
    tag(
      "TD",
      { PORT: "head", COLSPAN: 2, ALIGN: "LEFT", BGCOLOR: "#eef1f5", BORDER: 1, SIDES: "B" },
      ink(chain.author ?? "owner", `<B>${shown(chain.name)}</B>`),
    ) +
      tag(
        "TD",
        { ALIGN: "RIGHT", BGCOLOR: "#eef1f5", BORDER: 1, SIDES: "B" },
        ink(chain.policy?.toLowerCase() ?? "owner", shown(noteOf(chain))),
      ),
  );
  const rows = chain.rows.map((row, i) => {
    const ground: Readonly<Record<string, string>> = row.passed ? { BGCOLOR: "#ffe3f1" } : {};
    const cell = (align: string, inside: string, more: Readonly<Record<string, string>> = {}): string =>
      tag("TD", { ALIGN: align, ...ground, ...more }, inside);
    const cells = [
      cell(
        "RIGHT",
        ink("owner", shown(row.first === row.last ? `${row.first}` : `${row.first}-${row.last}`)),
      ),
      cell("LEFT", shown(row.asks)),
      cell("RIGHT", ink(deed(row), shown(row.target)), { PORT: `r${i}` }),
    ];
    return tag("TR", {}, cells.join(""));
  });
  const border = { BORDER: chain.policy === null ? 1 : 2, COLOR: chain.passed ? PASSED : "#8b95a3" };
  return tag("TABLE", { ...border, CELLBORDER: 0, CELLSPACING: 0, STYLE: "ROUNDED" }, head + rows.join(""));
}

/** An empty cell has to hold something. */
const shown = (text: string): string => xml(cut(text, MOST)) || " ";

const ink = (kind: string, inside: string): string =>
  INK[kind] === undefined ? inside : tag("FONT", { COLOR: INK[kind] }, inside);

const deed = ({ does, to, author }: GraphRow): string =>
  Object.hasOwn(INK, does) ? does : to === null ? "owner" : (author ?? "owner");
