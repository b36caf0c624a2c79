/** The chain graph as a Mermaid flowchart (mermaid.js.org/syntax/flowchart.html), which GitHub and GitLab draw in Markdown. */

import { safe } from "../text/terminal.ts";
import { HOOK_SAYS, noteOf, PLACE_SAYS } from "./captions.ts";
import type { ChainGraph, GraphChain, GraphRow } from "./graph.ts";
import { cut } from "./layout.ts";

/** Mermaid's own limits (maxTextSize, maxEdges): past them it draws nothing unless it is told to. */
export const MERMAID_LIMITS = { characters: 50_000, edges: 500 } as const;

/** Columns of a rule's text, and rows of a chain: a flowchart's boxes are to be small. */
const MOST = 32;
const ROWS = 10;

/**
 * Text between quotes: whatever is no letter, digit or harmless mark becomes Mermaid's `#code;`, so that no text of a
 * ruleset is ever syntax, HTML or Markdown there.
 */
const label = (text: string): string =>
  Array.from(safe(text), (c) =>
    /^[A-Za-z0-9 .,:/!=+-]$/.test(c)
      ? c
      : `#${c.codePointAt(0)! >= 0xd800 && c.length === 1 && c <= "\udfff" ? 0xfffd : c.codePointAt(0)};`,
  ).join("");

/**
 * The chain graph for Mermaid. Names in it are numbers; hooks are subgraphs, each with a node of its own that leads to
 * its tables in order.
 */
export function graphMermaid(graph: ChainGraph): string {
  const ids = new Map<string, string>();
  for (const { stops } of graph.hooks)
    for (const { chains } of stops) for (const { id } of chains) ids.set(id, `c${ids.size}`);
  // A rule is one line of its box.
  const out = [`%%{init: {"flowchart": {"wrappingWidth": 480}}}%%`, "flowchart LR"];
  const passed: string[] = [];
  for (const [place, words] of Object.entries(PLACE_SAYS))
    out.push(`  ${place}(["${label(words)}"]):::place`);
  for (const [number, { hook, stops, passed: here }] of graph.hooks.entries()) {
    out.push(`  subgraph h${number}["${hook ?? "called by no hook"}"]`);
    if (hook !== null) {
      out.push(`    ${hook}[/"${label(HOOK_SAYS[hook])}"/]:::hook`);
      if (here) passed.push(hook);
    }
    for (const { chains } of stops)
      for (const chain of chains) {
        const id = ids.get(chain.id)!;
        out.push(`    ${id}["${boxOf(chain)}"]:::${chain.author ?? "base"}`);
        if (chain.passed) passed.push(id);
      }
    for (const [i, { table, chains }] of stops.entries()) {
      const first = chains[0];
      if (hook === null) continue;
      if (table === null || first === undefined)
        out.push(`    ${hook} --- t${number}(["${i + 1} conntrack"])`);
      else out.push(`    ${hook} -->|"${i + 1} ${table}"| ${ids.get(first.id)}`);
    }
    out.push("  end");
  }
  for (const [ends, rows] of callsOf(graph))
    out.push(`  ${ends.replace(" ", ` ${rows.arrow}|"${label(cut(rows.words.join(", "), MOST))}"| `)}`);
  for (const { from, to } of graph.way) out.push(`  ${from} ==> ${to}`);
  out.push(...CLASSES);
  if (passed.length > 0) out.push(`  class ${passed.join(",")} passed`);
  if (graph.traced !== null) out.push(`  %% ${label(graph.traced)}`);
  for (const note of graph.notes) out.push(`  %% ${label(note)}`);
  return `${out.join("\n")}\n`;

  /** Calls between the same two chains are one arrow. */
  function callsOf({ calls, hooks }: ChainGraph) {
    const chains = new Map(
      hooks.flatMap(({ stops }) => stops.flatMap((s) => s.chains.map((c) => [c.id, c] as const))),
    );
    const by = new Map<string, { readonly arrow: string; readonly words: string[] }>();
    for (const { from, to, kind, row } of calls) {
      const ends = `${ids.get(from)} ${ids.get(to)}`;
      const words = numbers(chains.get(from)!.rows[row]!);
      const known = by.get(ends);
      if (known !== undefined) known.words.push(words);
      else by.set(ends, { arrow: kind === "goto" ? "-.->" : "-->", words: [words] });
    }
    return by;
  }
}

const numbers = ({ first, last }: GraphRow): string => (first === last ? `${first}` : `${first}-${last}`);

/** A chain's name, then the rules that call nothing. */
function boxOf(chain: GraphChain): string {
  const rows = chain.rows.filter(({ to }) => to === null);
  const lines = rows.slice(0, ROWS).map((row) =>
    [numbers(row), cut(row.asks, MOST), cut(row.target, MOST)]
      .filter((word) => word !== "")
      .map(label)
      .join(" "),
  );
  if (rows.length > ROWS) lines.push(label(`and ${rows.length - ROWS} more`));
  return [`<b>${label(cut(chain.name, MOST))}</b>`, label(noteOf(chain)), ...lines].join("<br/>");
}

const CLASSES = [
  "  classDef place fill:#2f3a48,color:#fff,stroke:#2f3a48",
  "  classDef hook fill:#eef1f5,color:#1d242d,stroke:#8b95a3",
  "  classDef base fill:#fbfcfd,color:#1d242d,stroke:#1d242d,stroke-width:2px",
  "  classDef docker fill:#e8f2fd,color:#1d242d,stroke:#155fb8",
  "  classDef ufw fill:#fdf0e7,color:#1d242d,stroke:#a8460f",
  "  classDef owner fill:#fbfcfd,color:#1d242d,stroke:#59636f",
  "  classDef fwcheck fill:#e5f6f4,color:#1d242d,stroke:#08695f",
  "  classDef passed stroke:#d4006a,stroke-width:4px",
];
