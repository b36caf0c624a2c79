/** The report as a page: its parts, top to bottom. What stands in it is plain HTML that needs no script to be read. */
import type { Audit } from "../../audit/audit.ts";
import type { Exposure, Finding } from "../../audit/finding.ts";
import type { Fix } from "../../fix/fix.ts";
import type { Host } from "../../host/host.ts";
import { readRuleset } from "../../iptables/load.ts";
import { type PacketJson, readPacket } from "../../packet/packet-json.ts";
import type { Ruleset } from "../../rules/ruleset.ts";
import type { Trace } from "../../simulate/answer.ts";
import { Simulator } from "../../simulate/simulator.ts";
import { chainGraph } from "../graph/graph.ts";
import { graphSvg } from "../graph/svg.ts";
import { ruleStepText } from "../packet/event-text.ts";
import { pathMarkup } from "../packet/path-svg.ts";
import { ruleAt, textContext } from "../packet/text-context.ts";
import { traceText } from "../packet/trace-text.ts";
import { conclusion } from "../packet/verdict-text.ts";
import { LINTS } from "../sarif.ts";
import { doubtText, lintText, noteText } from "../text/audit-sentences.ts";
import { type AuditOutcome, auditOutcome, scopeText } from "../text/audit-text.ts";
import {
  aboutPort,
  allowedText,
  banLists,
  container,
  decidedBy,
  firewall,
  grouped,
  groupTitle,
  isNotRead,
  pathSummary,
  placeOf,
  published,
  sourcesByInterface,
} from "../text/finding-text.ts";
import { fixNoteText, fixSummary, leftText, strategyReasonText } from "../text/fix-text.ts";
import { closedLists, type ListeningRow, openRows } from "../text/listening-text.ts";
import { packetFlags, packetText } from "../text/packet-text.ts";
import { permitsNoSource, sourcesText, trafficText } from "../text/set-text.ts";
import { Markup, type MarkupContent, markup } from "./markup.ts";

/** What the parts are made of. */
export interface Contents {
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
  readonly audit: Audit;
  readonly fix: Fix;
  /** What the host is called. */
  readonly title: string;
  /** When and by what it was made, in a few words. */
  readonly made: string;
  /** Whether packets can be tried: the texts are in the page. */
  readonly live: boolean;
  /** Lines of the rules that could not be read, a sentence each. */
  readonly unread: readonly string[];
}

/** Ways that are drawn; of what is beyond the packet is told, and can be tried. */
const DRAWN = 40;
/** Rows of a table; what is beyond is counted. */
const ROWS = 400;

/** Lines that could not be read and are told one by one. */
const UNREAD = 20;

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

/** The parts of the page that can be gone to: the id, the word in the list of contents, the part. */
type Section = readonly [id: string, word: string, part: Markup | null];

/** All between `<body>` and `</body>`, scripts apart. */
export function body(contents: Contents): Markup {
  const sections: Section[] = [
    ["summary", "Summary", summaryPart(contents)],
    ["open", "What is open", exposuresPart(contents.audit)],
    ["host", "The host itself", listeningPart(contents.audit)],
    ["findings", "Findings", findingsPart(contents)],
    ["fix", "The fix", fixPart(contents)],
    ["more", "Also to know", morePart(contents)],
    ["try", "Try a packet", contents.live ? tryPart(contents) : null],
    ["chains", "Chains", chainsPart(contents)],
  ];
  const there = sections.filter(([, , part]) => part !== null);
  return markup`<a class="skip" href="#main">Skip to the report</a>
    <header class="top"><div class="wide"><p class="brand">fwcheck</p>
    <h1>${contents.title}</h1><p class="made">${contents.made}</p></div></header>
    <nav aria-label="Contents"><ul class="wide">${there.map(([id, word]) => markup`<li><a href="#${id}">${word}</a></li>`)}</ul></nav>
    <main id="main" tabindex="-1">${there.map(([, , part]) => part)}</main>
    <footer><div class="wide"><p>Made by fwcheck from the host’s own rules. Nothing in this file is fetched from anywhere, and nothing is sent.</p></div></footer>`;
}

const section = (id: string, heading: MarkupContent, ...parts: readonly MarkupContent[]): Markup =>
  markup`<section id="${id}" class="part" aria-labelledby="${id}-heading"><h2 id="${id}-heading">${heading}</h2>${parts}</section>`;

/** Text to be copied; the button is made by the script. */
const copyable = (text: string, label: string): Markup =>
  markup`<div class="copy" data-label="${label}"><pre tabindex="0" role="group" aria-label="${label}">${text}</pre></div>`;

/** What is too wide for a narrow window is moved sideways in it, by keyboard, too. */
const scrolled = (label: string, part: MarkupContent): Markup =>
  markup`<div class="scroll" tabindex="0" role="group" aria-label="${label}">${part}</div>`;

/** How it came out, and the sentence that says so: the audit's, unless the report knows something worse. */
export function outcome({ audit, unread }: Pick<Contents, "audit" | "unread">): AuditOutcome {
  const said = auditOutcome(audit);
  const unexpected = audit.exposures.filter((e) => e.unexpected !== undefined).length;
  if (said.mood === "bad") return said;
  if (unexpected > 0)
    return {
      ...said,
      mood: "bad",
      sentence: `No findings, but ${count(unexpected, "port")} open that nobody expects`,
    };
  // A rule that could not be read may be the one that matters.
  return said.mood === "good" && unread.length > 0
    ? { ...said, mood: "unsure", sentence: "No findings, but not all of the rules could be read" }
    : said;
}

function summaryPart({ audit, fix, unread }: Contents): Markup {
  const { mood, sentence, open } = outcome({ audit, unread });
  const unexpected = audit.exposures.filter((e) => e.unexpected !== undefined).length;
  const must = audit.findings.filter((f) => f.certainty === "must").length;
  const may = audit.findings.length - must;
  const tile = (n: number, word: string, href: string, kind = ""): Markup =>
    markup`<li class="${n > 0 ? kind : ""}"><a class="tile" href="#${href}"><strong>${n}</strong> ${word}</a></li>`;
  const next =
    fix.holds && fix.rules4.length + fix.rules6.length > 0
      ? markup`<p><a href="#fix">The fix</a> closes ${fix.proof.remaining.length === 0 ? "all of them" : `${fix.proof.closed.length} of them`}, proven over all packets.</p>`
      : null;
  return markup`<section id="summary" class="part summary ${mood}" aria-labelledby="summary-heading">
    <h2 id="summary-heading">${sentence.replace(/\.?$/, ".")}</h2>
    ${open && mood === "bad" ? markup`<p>Not everything could be settled: <a href="#more">what is not</a>.</p>` : null}
    ${mood === "unsure" ? markup`<p>This is no “all clear”: <a href="#more">what could not be settled</a> may be open.</p>` : null}
    ${next}
    <ul class="tiles">
    ${tile(must, must === 1 ? "finding that is certain" : "findings that are certain", "findings", "bad")}
    ${may === 0 ? null : tile(may, "that depend on what the rules do not tell", "findings", "unsure")}
    ${tile(audit.exposures.length, audit.exposures.length === 1 ? "port published and reached" : "ports published and reached", audit.exposures.length > 0 ? "open" : "summary")}
    ${unexpected === 0 ? null : tile(unexpected, unexpected === 1 ? "of them is not expected" : "of them are not expected", "open", "bad")}
    ${audit.lint.length === 0 ? null : tile(audit.lint.length, audit.lint.length === 1 ? "rule that misses what it means" : "rules that miss what they mean", "more", "unsure")}
    ${audit.doubts.length === 0 ? null : tile(audit.doubts.length, "not settled", "more", "unsure")}
    ${unread.length === 0 ? null : tile(unread.length, unread.length === 1 ? "line that could not be read" : "lines that could not be read", "more", "unsure")}
    </ul></section>`;
}

/** What is open, to whom, and what the firewall says. */
function exposuresPart({ exposures, findings }: Audit): Markup | null {
  if (exposures.length === 0) return null;
  const all = [...new Set(exposures.flatMap((e) => e.in))];
  const heads = ["Published", "Container", "Open to", "Your firewall says", "So it is"] as const;
  const cell = (i: number, part: MarkupContent): Markup =>
    markup`<td role="cell" data-head="${heads[i]!}">${part}</td>`;
  const row = (e: Exposure): Markup => {
    const finding = aboutPort(e, findings);
    const state =
      finding === undefined
        ? e.unread !== undefined
          ? (["unsure", "firewall not read"] as const)
          : e.unexpected === undefined
            ? (["good", "as you allow"] as const)
            : (["bad", "not expected"] as const)
        : finding.certainty === "must"
          ? (["bad", "open although blocked"] as const)
          : isNotRead(finding)
            ? (["unsure", "firewall not read"] as const)
            : (["unsure", "possibly open although blocked"] as const);
    const means = { dnat: "", ingress: "", routed: " (routed)", proxy: " (proxy)" }[e.means];
    return markup`<tr role="row" class="${state[0]}"><th role="rowheader" scope="row"><code>${published(e)}</code></th>
      ${cell(1, container(e.endpoint))}${cell(2, sourcesByInterface(e, all))}
      ${cell(3, finding === undefined ? `${firewall(e, finding)}${means}` : markup`<code>${firewall(e, finding)}</code>${means}`)}
      ${cell(4, markup`<span class="state ${state[0]}">${state[1]}</span>`)}</tr>`;
  };
  return section(
    "open",
    "What is open",
    markup`<table role="table" class="cards"><caption>What is published, and who reaches it${all.length === 0 ? "" : ` by ${all.join(", ")}`}</caption>
      <thead role="rowgroup"><tr role="row">${heads.map((head) => markup`<th role="columnheader" scope="col">${head}</th>`)}</tr></thead>
      <tbody role="rowgroup">${exposures.slice(0, ROWS).map(row)}</tbody></table>`,
    exposures.length > ROWS
      ? markup`<p>And ${exposures.length - ROWS} more, which <code>fwcheck audit --json</code> lists.</p>`
      : null,
  );
}

/** What listens on the host itself, and who reaches it. */
function listeningPart({ listening }: Audit): Markup | null {
  if (listening === null) return null;
  const rows = openRows(listening);
  const heads = ["Port", "Process", "Open to", "Let in by"] as const;
  const cell = (i: number, part: MarkupContent): Markup =>
    markup`<td role="cell" data-head="${heads[i]!}">${part}</td>`;
  const row = ({ port, process, openTo, firewall, certain }: ListeningRow): Markup =>
    markup`<tr role="row" class="${certain ? "" : "unsure"}"><th role="rowheader" scope="row"><code>${port}</code></th>
      ${cell(1, process)}${cell(2, `${openTo}${certain ? "" : " (possibly)"}`)}${cell(3, markup`<code>${firewall}</code>`)}</tr>`;
  return section(
    "host",
    "What the host itself exposes",
    rows.length === 0
      ? markup`<p class="none">No socket of the host itself is reached from outside.</p>`
      : markup`<table role="table" class="cards"><caption>What listens on the host itself, and who reaches it</caption>
      <thead role="rowgroup"><tr role="row">${heads.map((head) => markup`<th role="columnheader" scope="col">${head}</th>`)}</tr></thead>
      <tbody role="rowgroup">${rows.slice(0, ROWS).map(row)}</tbody></table>`,
    rows.length > ROWS
      ? markup`<p>And ${rows.length - ROWS} more, which <code>fwcheck audit --json</code> lists.</p>`
      : null,
    closedLists(listening).map(({ heading, items }) => markup`<p>${heading}: ${items.join(", ")}</p>`),
  );
}

/** A finding's packet on its way through the rules. */
function traced(f: Finding, rulesets: readonly Ruleset[], host: Host): Trace | null {
  const packet = readPacket(f.witness);
  if (typeof packet === "string") return null;
  return new Simulator(rulesets, host, { assume: assumed(f.assume ?? []) }).trace(packet);
}

/** `NAME=match` and `NAME=no-match` as the simulator takes them. */
const assumed = (words: readonly string[]): ReadonlyMap<string, boolean> =>
  new Map(
    words.map((word) => {
      const at = word.lastIndexOf("=");
      return [word.slice(0, at), word.slice(at + 1) === "match"];
    }),
  );

function findingsPart(contents: Contents): Markup {
  const { audit, fix } = contents;
  const groups = grouped(audit.findings);
  const fixed = !fix.holds ? null : readRuleset([{ name: "fixed", text: fix.saved }]).rulesets;
  let number = 0;
  const articles = groups.map((group, i) => {
    const first = number + 1;
    number += group.length;
    return findingPart(group, first, contents, fixed, i < DRAWN);
  });
  if (articles.length > 0) return section("findings", "Findings", articles);
  return section(
    "findings",
    "Findings",
    markup`<p class="none">${audit.looked.engines.length === 0 ? "None: there is no container engine in these rules, so nothing was audited for containers." : audit.doubts.length + contents.unread.length > 0 ? "None so far: not everything could be settled." : "None: over all packets, the rules let nothing through to or from a container that your own rules block."}</p>
    <p>Looked at: ${scopeText(audit.looked)}</p>`,
  );
}

function findingPart(
  group: readonly Finding[],
  number: number,
  contents: Contents,
  fixed: readonly Ruleset[] | null,
  draw: boolean,
): Markup {
  const { rulesets, host } = contents;
  const [f] = group as [Finding];
  const id = `finding-${number}`;
  const last = number + group.length - 1;
  const fact = (name: string, part: MarkupContent): Markup =>
    markup`<div><dt>${name}</dt><dd>${part}</dd></div>`;
  const trace = draw ? traced(f, rulesets, host) : null;
  const said = {
    accept: "lets it through",
    drop: "drops it",
    reject: "rejects it",
    undecided: "does not say",
  };
  return markup`<article class="finding ${f.certainty}" id="${id}" aria-labelledby="${id}-heading">
    <h3 id="${id}-heading"><span class="number">${group.length === 1 ? number : `${number} to ${last}`}</span> ${groupTitle(group)}</h3>
    <p class="tags"><span>${f.kind}</span> <span>IPv${f.family}</span> <span class="${f.certainty}">${f.certainty === "must" ? "certain" : "possible"}</span></p>
    <dl class="facts">
    ${fact("Your firewall", markup`${isNotRead(f) ? "" : `${said[f.intended.verdict]}: `}<code>${decidedBy(f.intended.rule)}</code><span class="where">${placeOf(f.intended.rule)}</span>`)}
    ${permitsNoSource(f.permitted) || f.kind === "ineffective-allow" ? null : fact("It lets in", allowedText(f))}
    ${f.bans === undefined ? null : fact("It bans", `${sourcesText(f.bans.sources)}, by ${banLists(f.bans)}`)}
    ${fact(f.actual.verdict === "accept" ? "Gets through" : "Is stopped", `${sourcesByInterface(f)}${f.traffic === undefined ? "" : `, with ${trafficText(f.traffic)}`}`)}
    ${f.depends.length === 0 ? null : fact("Depends on", f.depends.join(", "))}
    </dl>
    ${endpointsPart(group, contents)}
    ${trace === null ? markup`<p>For instance <code>${packetText(f.witness)}</code></p>` : figure(f, trace, id, contents)}
    ${closedPart(group, contents, fixed)}</article>`;
}

/** The endpoints of a group, each with how its packets go and a way to follow one. */
function endpointsPart(group: readonly Finding[], { live }: Contents): Markup {
  const line = (f: Finding): Markup => {
    const port = f.listen === null ? null : published({ ...f, listen: f.listen });
    const name =
      f.container === null ? null : `${container(f.container)}${f.listen === null ? `/${f.proto}` : ""}`;
    const label = `Follow it: a packet for ${port ?? name ?? f.witness.dst}`;
    return markup`<li><span>${port === null ? null : markup`<code>${port}</code> → `}${name === null ? null : markup`<strong>${name}</strong>: `}${pathSummary(f)}</span>
      ${live ? markup` <button type="button" class="follow" hidden data-packet="${JSON.stringify(f.witness)}" data-assume="${(f.assume ?? []).join("\n")}" aria-label="${label}">Follow it</button>` : null}</li>`;
  };
  const items = group.slice(0, ROWS).map(line);
  const more = group.length > ROWS ? markup`<li>and ${group.length - ROWS} more</li>` : null;
  if (items.length <= 8) return markup`<ul class="endpoints">${items}</ul>`;
  return markup`<ul class="endpoints">${items.slice(0, 6)}</ul><details><summary>${items.length - 6} more</summary><ul class="endpoints">${items.slice(6)}${more}</ul></details>`;
}

/** The way of a finding's packet, what was meant beside it, and the same in words. */
function figure(f: Finding, trace: Trace, id: string, { rulesets, host }: Contents): Markup {
  const command = [
    `fwcheck simulate HOST ${packetFlags(f.witness)}`,
    ...(f.assume ?? []).map(
      (word) => `--assume ${/^[\w@/.:=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`}`,
    ),
  ].join(" ");
  return markup`<figure>${scrolled("The packet’s way", pathMarkup(trace, { rulesets, host, intended: f.intended, id: `${id}-way`, bare: true }))}
    <figcaption>One packet that shows it, drawn through netfilter’s hooks. The dashed line is the verdict of your own rules, as if Docker had written none.</figcaption></figure>
    <details><summary>The same in words, and as a command</summary>
    ${copyable(command, "Command that follows this packet")}
    <pre class="words" tabindex="0" role="group" aria-label="The way in words">${traceText(trace, { rulesets, host })}</pre></details>`;
}

/** What the fix does to a group. */
function closedPart(
  group: readonly Finding[],
  { fix, host }: Contents,
  fixed: readonly Ruleset[] | null,
): Markup | null {
  if (fixed === null) return null;
  const closed = group.filter((f) => fix.proof.closed.includes(f.id));
  const failed = group.flatMap((f) => fix.left.filter(({ finding }) => finding === f.id).map(leftText));
  if (closed.length === 0)
    return failed.length === 0
      ? null
      : markup`<div class="closed unsure"><p>The fix leaves this open.</p><ul>${failed.map((text) => markup`<li>${text}</li>`)}</ul></div>`;
  const f = closed[0]!;
  const trace = traced(f, fixed, host);
  const on = textContext(f.witness.dst, { rulesets: fixed, host, width: Number.POSITIVE_INFINITY });
  const last = trace?.branches.length === 1 ? trace.answer.path.at(-1) : undefined;
  const rule = last?.step === "rule" ? ruleAt(last.table, last.chain, last.rule, on) : undefined;
  const sentence = trace === null || trace.answer.branches !== undefined ? null : conclusion(trace, on)[0]!;
  return markup`<div class="closed good"><p><a href="#fix">The fix</a> closes ${closed.length === group.length ? (group.length === 1 ? "it" : "all of them") : `${closed.length} of them`}, proven over all packets.${sentence === null ? null : markup` This one then ends in <q>${sentence}</q>${rule === undefined || last?.step !== "rule" ? null : markup` <code>${`${last.chain} ${ruleStepText(last, rule, on)}`}</code>`}`}</p>
    ${failed.length === 0 ? null : markup`<p>Left open:</p><ul>${failed.map((text) => markup`<li>${text}</li>`)}</ul>`}</div>`;
}

function fixPart({ fix, audit }: Contents): Markup | null {
  const rules = fix.rules4.length + fix.rules6.length > 0;
  if (!rules && audit.findings.length === 0) return null;
  const { changed } = fix.proof;
  const costs = (
    [
      ["IPv4", fix.cost.ipv4],
      ["IPv6", fix.cost.ipv6],
    ] as const
  ).flatMap(([family, cost]) =>
    cost === null
      ? []
      : [
          markup`<li>${family} packets pass in FORWARD: of an established flow ${cost.before.established} rules before and ${cost.after.established} with it, the first for a container ${cost.before.fresh} and ${cost.after.fresh}, at worst ${cost.before.worst} and ${cost.after.worst}.</li>`,
        ],
  );
  const form = (open: boolean, title: string, text: string, how: MarkupContent): Markup | null =>
    text === ""
      ? null
      : markup`<details${open ? new Markup(" open") : null}><summary>${title}</summary><p>${how}</p>${copyable(text, title)}</details>`;
  return section(
    "fix",
    "The fix",
    fix.holds
      ? markup`<p class="proof good"><strong>The proof holds, over all packets${fix.left.length === 0 ? null : ", for what is closed"}.</strong> ${fixSummary(fix)} ${changed.length} packets changed that should not be.${fix.inForce ? " These rules are in force already." : null}</p>`
      : markup`<p class="proof bad"><strong>The proof does not hold, so no rules are given.</strong></p>`,
    fix.left.length === 0
      ? null
      : markup`<h3>Left open</h3><ul class="notes">${fix.left.map((each) => markup`<li>${leftText(each)}</li>`)}</ul>`,
    fix.holds && rules
      ? markup`<p>Rules for <code>DOCKER-USER</code>, in a chain of their own; Docker’s chains are not touched.</p>
        ${form(true, "IPv4, for iptables-restore", fix.restore, markup`As root: <code>iptables-restore --noflush &lt; fix.rules</code>`)}
        ${form(fix.restore === "", "IPv6, for ip6tables-restore", fix.restore6, markup`As root: <code>ip6tables-restore --noflush &lt; fix6.rules</code>`)}
        ${form(false, "A shell script for both, with --check and --undo", fix.script, markup`As root: <code>sh fix.sh</code>, and <code>sh fix.sh --undo</code> to take it back.`)}
        ${form(false, "A block for ufw’s after.rules", fix.ufw.after, markup`At the end of <code>/etc/ufw/after.rules</code>, then <code>ufw reload</code>.`)}
        ${form(false, "A block for ufw’s after6.rules", fix.ufw.after6, markup`At the end of <code>/etc/ufw/after6.rules</code>, then <code>ufw reload</code>.`)}
        ${form(false, "Take it away again", fix.undo.join("\n"), "As root.")}`
      : null,
    fix.choices.length === 0
      ? null
      : markup`<h3>How each endpoint is told</h3><ul class="notes">${fix.choices.slice(0, ROWS).map((c) => markup`<li><strong>${c.endpoint}</strong> ${c.strategy}: ${strategyReasonText(c.reason)}</li>`)}</ul>`,
    costs.length === 0 ? null : markup`<h3>What it costs</h3><ul class="notes">${costs}</ul>`,
    fix.notes.length === 0
      ? null
      : markup`<h3>To know before</h3><ul class="notes">${fix.notes.map((note) => markup`<li>${fixNoteText(note)}</li>`)}</ul>`,
  );
}

/** What could not be settled, what rules miss what they mean, what was inferred, what else is to be said. */
function morePart({ audit, unread }: Contents): Markup | null {
  const { doubts, lint, inferred, notes } = audit;
  const list = (title: string, kind: string, items: readonly MarkupContent[]): Markup | null =>
    items.length === 0
      ? null
      : markup`<h3>${title}</h3><ul class="notes ${kind}">${items.map((item) => markup`<li>${item}</li>`)}</ul>`;
  if (doubts.length + lint.length + inferred.length + notes.length + unread.length === 0) return null;
  return section(
    "more",
    "Also to know",
    list("Not settled: these may be open", "unsure", doubts.map(doubtText)),
    list("Lines that could not be read: fwcheck does not know what they do", "unsure", [
      ...unread.slice(0, UNREAD),
      ...(unread.length > UNREAD ? [`and ${unread.length - UNREAD} more`] : []),
    ]),
    list(
      "Rules that miss what they mean",
      "unsure",
      lint.map(
        (each) =>
          markup`<strong>${LINTS[each.kind]}</strong> ${lintText(each)}${each.rule === null ? null : markup` <code>${each.rule.text}</code> (line ${each.rule.line})`}`,
      ),
    ),
    list("Inferred, since it was not given", "", inferred),
    list("Governed or closed, although one might doubt it", "", notes.map(noteText)),
  );
}

/** The form that follows a packet; it is there when the script is. */
function tryPart({ host, audit }: Contents): Markup {
  const names = host.interfaces.filter((i) => i.name !== "lo" && i.master === null).map((i) => i.name);
  const first = audit.findings[0]?.witness ?? audit.exposures[0]?.witness ?? null;
  const field = (name: string, label: string, control: Markup, more = ""): Markup =>
    markup`<div class="field ${more}"><label for="packet-${name}">${label}</label>${control}</div>`;
  const input = (name: string, value: string | number, more: Markup | null = null): Markup =>
    markup`<input id="packet-${name}" name="${name}" value="${value}" autocomplete="off" autocapitalize="off" spellcheck="false"${more}>`;
  const numeric = new Markup(' inputmode="numeric"');
  const option = (value: string, label: string, chosen: boolean): Markup =>
    markup`<option value="${value}"${chosen ? new Markup(" selected") : null}>${label}</option>`;
  const text = (value: PacketJson[keyof PacketJson] | undefined, otherwise: string): string =>
    typeof value === "string" || typeof value === "number" ? String(value) : otherwise;
  const from = first?.in ?? names[0] ?? "";
  return section(
    "try",
    "Try a packet",
    markup`<p class="no-script">Here a packet can be typed and followed through these rules; that needs scripts to be allowed.</p>
    <form id="packet" hidden autocomplete="off">
    <p>The same simulator as <code>fwcheck simulate</code>, in this page: nothing is sent anywhere.</p>
    <div class="fields">
    ${field("in", "Comes in by", markup`<select id="packet-in" name="in">${names.map((name) => option(name, name, name === from))}${option("", "this host sends it", from === "" && names.length === 0)}</select>`)}
    ${field("src", "From address", input("src", text(first?.src, "198.51.100.7")), "long")}
    ${field("dst", "To address", input("dst", text(first?.dst, "")), "long")}
    ${field("proto", "Protocol", markup`<select id="packet-proto" name="proto">${["tcp", "udp", "icmp"].map((p) => option(p, p.toUpperCase(), p === String(first?.proto ?? "tcp").replace("icmpv6", "icmp")))}</select>`)}
    ${field("dport", "To port", input("dport", text(first?.dport, "80"), numeric))}
    </div>
    <details class="rare"><summary>More of the packet</summary><div class="fields">
    ${field("sport", "From port", input("sport", text(first?.sport, "40000"), numeric))}
    ${field("flags", "TCP flags (S, SA, A, F, R)", input("flags", text(first?.flags, "S")))}
    ${field("state", "What conntrack takes it for", markup`<select id="packet-state" name="state">${option("", "what it works out", true)}${["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"].map((s) => option(s, s, false))}</select>`)}
    ${field("assume", "Suppose, as --assume takes it (recent=match)", markup`<textarea id="packet-assume" name="assume" rows="2" spellcheck="false"></textarea>`, "long")}
    </div></details>
    <p class="buttons"><button type="submit">Follow it</button> <button type="button" id="again" hidden>Play its way again</button></p>
    <div class="result"><p id="verdict" role="status" aria-live="polite"></p>
    <div id="way" class="scroll" tabindex="0" role="group" aria-label="The packet’s way" hidden></div>
    <details id="words" hidden><summary>The same in words</summary><pre tabindex="0" role="group" aria-label="The way in words"></pre></details></div>
    </form>`,
  );
}

/** The chain graph of each family. */
function chainsPart({ rulesets, host }: Contents): Markup {
  const graph = (ruleset: Ruleset): Markup => {
    const drawn = chainGraph(ruleset, host);
    const id = `graph-${ruleset.family}`;
    return markup`<div class="graph" id="${id}"><h3>IPv${ruleset.family}</h3>
      <div class="graph-tools" hidden role="group" aria-label="IPv${ruleset.family} chain graph">
      <label for="${id}-find">Find a chain or rule</label> <input id="${id}-find" type="search" autocomplete="off" spellcheck="false">
      <button type="button" data-do="in" aria-label="Zoom in">+</button> <button type="button" data-do="out" aria-label="Zoom out">−</button> <button type="button" data-do="all">Whole</button>
      <span class="found" role="status"></span></div>
      <div class="canvas" tabindex="0" role="group" aria-label="Chain graph, IPv${ruleset.family}: arrow keys move it, plus and minus zoom">${new Markup(graphSvg(drawn, { bare: true }))}</div></div>`;
  };
  return section(
    "chains",
    "Chains",
    markup`<p>The chains that matter, hook by hook in the order in which packets meet them. <code>fwcheck graph</code> draws all of them.</p>`,
    rulesets.map(graph),
  );
}
