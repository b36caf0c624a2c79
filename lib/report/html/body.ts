/** The body of the report: its sections from top to bottom, as HTML that is readable without scripts. */
import type { Ruleset } from "../../rules/ruleset.ts";
import { chainGraph } from "../graph/graph.ts";
import { graphSvg } from "../graph/svg.ts";
import { LINTS } from "../sarif.ts";
import { doubtText, lintText, noteText } from "../text/audit-sentences.ts";
import { countUnexpected } from "../text/audit-text.ts";
import { inferenceText } from "../text/inference-text.ts";
import { counted } from "../text/list.ts";
import { findingsSection } from "./findings.ts";
import { fixSection } from "./fix-section.ts";
import { Markup, markup } from "./markup.ts";
import { matrixSection } from "./matrix-section.ts";
import { exposuresSection, listeningSection } from "./open-ports.ts";
import { noteList, section } from "./page-elements.ts";
import { type ReportContents, reportOutcome } from "./report-contents.ts";
import { tryPacketSection } from "./try-packet.ts";

/** Unread lines that are listed; further ones are counted. */
const MOST_UNREAD = 20;

/** A section with its id and its label in the table of contents; `null` if it is empty. */
type ListedSection = readonly [id: string, label: string, content: Markup | null];

/** Returns everything between `<body>` and `</body>` but the scripts. */
export function body(contents: ReportContents): Markup {
  const sections: ListedSection[] = [
    ["summary", "Summary", summarySection(contents)],
    ["open", "Containers", exposuresSection(contents.audit)],
    ["host", "Host", listeningSection(contents.audit)],
    ["findings", "Findings", findingsSection(contents)],
    ["fix", "The fix", fixSection(contents)],
    ["services", "Services", matrixSection(contents.matrix)],
    ["more", "Notes", notesSection(contents)],
    ["try", "Simulate", contents.live ? tryPacketSection(contents) : null],
    ["chains", "Chains", chainsSection(contents)],
  ];
  const shown = sections.filter(([, , content]) => content !== null);
  return markup`<a class="skip" href="#main">Skip to the report</a>
    <header class="top"><div class="wide"><p class="brand">fwcheck</p>
    <h1>${contents.title}</h1><p class="made">${contents.made}</p></div></header>
    <nav aria-label="Contents"><ul class="wide">${shown.map(([id, label]) => markup`<li><a href="#${id}">${label}</a></li>`)}</ul></nav>
    <main id="main" tabindex="-1">${shown.map(([, , content]) => content)}</main>
    <footer><div class="wide"><p>Made by fwcheck from the rules of the host. This file loads nothing and sends nothing.</p></div></footer>`;
}

/** The outcome in a sentence, and the numbers of findings, ports and open questions. */
function summarySection(contents: ReportContents): Markup {
  const { fix } = contents;
  const { mood, sentence, open } = reportOutcome(contents);
  const closes =
    fix.proof.remaining.length === 0 ? "all findings" : counted(fix.proof.closed.length, "finding");
  const fixLink =
    fix.holds && fix.rules4.length + fix.rules6.length > 0
      ? markup`<p><a href="#fix">The fix</a> closes ${closes}, proven over all packets.</p>`
      : null;
  return markup`<section id="summary" class="part summary ${mood}" aria-labelledby="summary-heading">
    <h2 id="summary-heading">${sentence.replace(/\.?$/, ".")}</h2>
    ${open && mood === "bad" ? markup`<p>Not everything could be settled: <a href="#more">open questions</a>.</p>` : null}
    ${mood === "unsure" ? markup`<p>This is no “all clear”: <a href="#more">what could not be settled</a> may be open.</p>` : null}
    ${fixLink}
    <ul class="tiles">${tiles(contents)}</ul></section>`;
}

function tiles({ audit, unread }: ReportContents): (Markup | null)[] {
  const certain = audit.findings.filter((f) => f.certainty === "must").length;
  const possible = audit.findings.length - certain;
  const exposures = audit.exposures.length;
  const unexpected = countUnexpected(audit);
  const tile = (n: number, one: string, many: string, href: string, kind: string): Markup =>
    markup`<li class="${n > 0 ? kind : ""}"><a class="tile" href="#${href}"><strong>${n}</strong> ${n === 1 ? one : many}</a></li>`;
  const ifAny = (...args: Parameters<typeof tile>): Markup | null => (args[0] === 0 ? null : tile(...args));
  return [
    tile(certain, "certain finding", "certain findings", "findings", "bad"),
    ifAny(possible, "possible finding", "possible findings", "findings", "unsure"),
    tile(
      exposures,
      "published port can be reached",
      "published ports can be reached",
      exposures > 0 ? "open" : "summary",
      "",
    ),
    ifAny(unexpected, "unexpected open port", "unexpected open ports", "open", "bad"),
    ifAny(
      audit.lint.length,
      "rule without its intended effect",
      "rules without their intended effect",
      "more",
      "unsure",
    ),
    ifAny(audit.doubts.length, "open question", "open questions", "more", "unsure"),
    ifAny(unread.length, "line that could not be read", "lines that could not be read", "more", "unsure"),
  ];
}

/** Open questions, lines that could not be read, lint, inferences, notes of the audit. */
function notesSection({ audit, unread }: ReportContents): Markup | null {
  const { doubts, lint, inferences, notes } = audit;
  if (doubts.length + lint.length + inferences.length + notes.length + unread.length === 0) return null;
  const unreadLines = [
    ...unread.slice(0, MOST_UNREAD),
    ...(unread.length > MOST_UNREAD ? [`and ${unread.length - MOST_UNREAD} more`] : []),
  ];
  const lintItems = lint.map((each) => {
    const { rule } = each;
    const text = rule === null ? null : markup` <code>${rule.text}</code> (line ${rule.line})`;
    return markup`<strong>${LINTS[each.kind]}</strong> ${lintText(each)}${text}`;
  });
  return section(
    "more",
    "Notes",
    noteList("Open questions: these may be open", doubts.map(doubtText), "unsure"),
    noteList("Lines that could not be read: their effect is unknown", unreadLines, "unsure"),
    noteList("Rules without their intended effect", lintItems, "unsure"),
    noteList("Inferred, because it was not given", inferences.map(inferenceText)),
    noteList("Controlled or closed, contrary to appearances", notes.map(noteText)),
  );
}

/** The chain graph of each family. */
function chainsSection({ rulesets, host }: ReportContents): Markup {
  const graph = (ruleset: Ruleset): Markup => {
    const id = `graph-${ruleset.family}`;
    const svg = graphSvg(chainGraph(ruleset, host), { bare: true });
    return markup`<div class="graph" id="${id}"><h3>IPv${ruleset.family}</h3>
      <div class="graph-tools" hidden role="group" aria-label="IPv${ruleset.family} chain graph">
      <label for="${id}-find">Find a chain or rule</label> <input id="${id}-find" type="search" autocomplete="off" spellcheck="false">
      <button type="button" data-do="in" aria-label="Zoom in">+</button> <button type="button" data-do="out" aria-label="Zoom out">−</button> <button type="button" data-do="all">Whole</button>
      <span class="found" role="status"></span></div>
      <div class="canvas" tabindex="0" role="group" aria-label="Chain graph, IPv${ruleset.family}: arrow keys move it, plus and minus zoom">${new Markup(svg)}</div></div>`;
  };
  return section(
    "chains",
    "Chains",
    markup`<p>The chains that matter, hook by hook in the order of the packet path. <code>fwcheck graph --all</code> draws all chains.</p>`,
    rulesets.map(graph),
  );
}
