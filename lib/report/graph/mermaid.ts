/** The chain graph as a Mermaid flowchart (mermaid.js.org/syntax/flowchart.html), which GitHub and GitLab render. */
import { safe } from "../text/terminal.ts";
import { chainCaption, HOOK_CAPTIONS, POINT_CAPTIONS, rowNumbers, UNCALLED_CAPTION } from "./captions.ts";
import type { ChainGraph, GraphChain, GraphHook } from "./graph-model.ts";
import { cut } from "./text-width.ts";

/** Default limits of Mermaid (maxTextSize, maxEdges): it does not render larger flowcharts. */
export const MERMAID_LIMITS = { characters: 50_000, edges: 500 } as const;

/** Columns of a rule's text, and rows of a chain: boxes of a flowchart are small. */
const COLUMNS = 32;
const ROWS = 10;

/** Letters, digits and marks that Mermaid shows as they are. */
const PLAIN_CHARACTER = /^[A-Za-z0-9 .,:/!=+-]$/;

/** Returns a label: all other characters become `#code;`, so text of a ruleset is never syntax, HTML or Markdown. */
const label = (text: string): string =>
  Array.from(safe(text), (c) => (PLAIN_CHARACTER.test(c) ? c : `#${codePoint(c)};`)).join("");

/** Code point of a character; a lone surrogate becomes U+FFFD. */
function codePoint(character: string): number {
  const code = character.codePointAt(0)!;
  return code >= 0xd800 && code <= 0xdfff ? 0xfffd : code;
}

/**
 * Returns the chain graph for Mermaid. Node names are numbers; each hook is a subgraph that begins with a node with
 * edges to its tables, in order.
 */
export function graphMermaid(graph: ChainGraph): string {
  const ids = new Map<string, string>();
  for (const { stops } of graph.hooks)
    for (const { chains } of stops) for (const { id } of chains) ids.set(id, `c${ids.size}`);
  const passed = graph.hooks.flatMap(({ hook, stops, passed: hookPassed }) => [
    ...(hookPassed && hook !== null ? [hook] : []),
    ...stops.flatMap(({ chains }) => chains.flatMap((chain) => (chain.passed ? [ids.get(chain.id)!] : []))),
  ]);
  return `${[
    // Wide enough that each rule is one line of its box.
    '%%{init: {"flowchart": {"wrappingWidth": 480}}}%%',
    "flowchart LR",
    ...Object.entries(POINT_CAPTIONS).map(([point, caption]) => `  ${point}(["${label(caption)}"]):::place`),
    ...graph.hooks.flatMap((hook, number) => hookSubgraph(hook, number, ids)),
    ...callArrows(graph, ids),
    ...graph.way.map(({ from, to }) => `  ${from} ==> ${to}`),
    ...CLASSES,
    ...(passed.length > 0 ? [`  class ${passed.join(",")} passed`] : []),
    ...(graph.traced === null ? [] : [`  %% ${label(graph.traced)}`]),
    ...graph.notes.map((note) => `  %% ${label(note)}`),
  ].join("\n")}\n`;
}

function hookSubgraph(
  { hook, stops }: GraphHook,
  number: number,
  ids: ReadonlyMap<string, string>,
): string[] {
  const out = [`  subgraph h${number}["${hook ?? UNCALLED_CAPTION}"]`];
  if (hook !== null) out.push(`    ${hook}[/"${label(HOOK_CAPTIONS[hook])}"/]:::hook`);
  for (const { chains } of stops)
    for (const chain of chains)
      out.push(`    ${ids.get(chain.id)}["${boxOf(chain)}"]:::${chain.author ?? "base"}`);
  for (const [i, { table, chains }] of stops.entries()) {
    const first = chains[0];
    if (hook === null) continue;
    if (table === null || first === undefined) out.push(`    ${hook} --- t${number}(["${i + 1} conntrack"])`);
    else out.push(`    ${hook} -->|"${i + 1} ${table}"| ${ids.get(first.id)}`);
  }
  out.push("  end");
  return out;
}

/** One arrow per pair of chains, labelled with the numbers of the calling rules. */
function callArrows({ calls, hooks }: ChainGraph, ids: ReadonlyMap<string, string>): string[] {
  const chains = new Map(
    hooks.flatMap(({ stops }) => stops.flatMap((stage) => stage.chains.map((c) => [c.id, c] as const))),
  );
  const arrows = new Map<string, { from: string; to: string; line: string; numbers: string[] }>();
  for (const { from, to, kind, row } of calls) {
    const key = `${ids.get(from)} ${ids.get(to)}`;
    const numbers = rowNumbers(chains.get(from)!.rows[row]!);
    const known = arrows.get(key);
    if (known !== undefined) known.numbers.push(numbers);
    else {
      const line = kind === "goto" ? "-.->" : "-->";
      arrows.set(key, { from: ids.get(from)!, to: ids.get(to)!, line, numbers: [numbers] });
    }
  }
  return [...arrows.values()].map(
    ({ from, to, line, numbers }) => `  ${from} ${line}|"${label(cut(numbers.join(", "), COLUMNS))}"| ${to}`,
  );
}

/** Name of a chain, then its rules that call no drawn chain. */
function boxOf(chain: GraphChain): string {
  const rows = chain.rows.filter(({ to }) => to === null);
  const lines = rows.slice(0, ROWS).map((row) =>
    [rowNumbers(row), cut(row.condition, COLUMNS), cut(row.target, COLUMNS)]
      .filter((part) => part !== "")
      .map(label)
      .join(" "),
  );
  if (rows.length > ROWS) lines.push(label(`and ${rows.length - ROWS} more`));
  return [`<b>${label(cut(chain.name, COLUMNS))}</b>`, label(chainCaption(chain)), ...lines].join("<br/>");
}

const CLASSES = [
  "  classDef place fill:#2f3a48,color:#fff,stroke:#2f3a48",
  "  classDef hook fill:#eef1f5,color:#1d242d,stroke:#8b95a3",
  "  classDef base fill:#fbfcfd,color:#1d242d,stroke:#1d242d,stroke-width:2px",
  "  classDef docker fill:#e8f2fd,color:#1d242d,stroke:#155fb8",
  "  classDef podman fill:#f9ebf7,color:#1d242d,stroke:#8a2a7d",
  "  classDef ufw fill:#fdf0e7,color:#1d242d,stroke:#a8460f",
  "  classDef owner fill:#fbfcfd,color:#1d242d,stroke:#59636f",
  "  classDef fwcheck fill:#e5f6f4,color:#1d242d,stroke:#08695f",
  "  classDef passed stroke:#d4006a,stroke-width:4px",
];
