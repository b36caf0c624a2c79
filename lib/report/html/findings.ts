/** Section with the findings: for each group the rule, the endpoints, the path of a packet, and the result of the fix. */
import type { Finding } from "../../audit/finding.ts";
import type { Host } from "../../host/host.ts";
import { readRuleset } from "../../iptables/load.ts";
import { readPacket } from "../../packet/packet-json.ts";
import { lazy } from "../../path/lazy.ts";
import { parseAssumption } from "../../path/unknown-key.ts";
import type { Ruleset } from "../../rules/ruleset.ts";
import type { Trace } from "../../simulate/answer.ts";
import { Simulator } from "../../simulate/simulator.ts";
import { ruleStepText } from "../packet/event-text.ts";
import { pathMarkup } from "../packet/path-svg.ts";
import { ruleAt, textContext } from "../packet/text-context.ts";
import { traceText } from "../packet/trace-text.ts";
import { conclusion } from "../packet/verdict-text.ts";
import { scopeText } from "../text/audit-text.ts";
import {
  allowedText,
  banLists,
  container,
  deciderLabel,
  dependencies,
  grouped,
  groupTitle,
  isNotRead,
  pathSummary,
  placeOf,
  published,
  sourcesByInterface,
} from "../text/finding-text.ts";
import { openItemText } from "../text/fix-text.ts";
import { packetFlags, packetText, shellWord } from "../text/packet-text.ts";
import { permitsNoSource, sourcesText, trafficText } from "../text/set-text.ts";
import { type Markup, type MarkupContent, markup } from "./markup.ts";
import { copyable, MOST_ROWS, scrollable, section } from "./page-elements.ts";
import type { ReportContents } from "./report-contents.ts";

/** Groups with a picture; later groups have the packet only. */
const MOST_PICTURES = 40;
/** Endpoints of a group that are shown without a click. */
const FIRST_ENDPOINTS = 6;

/** The findings in groups, or the reason that there are none. */
export function findingsSection(contents: ReportContents): Markup {
  const { audit, fix } = contents;
  const fixed = fix.holds ? lazy(() => readRuleset([{ name: "fixed", text: fix.saved }]).rulesets) : null;
  let number = 1;
  const articles = grouped(audit.findings).map((group, i) => {
    const article = findingArticle(group, number, contents, fixed, i < MOST_PICTURES);
    number += group.length;
    return article;
  });
  if (articles.length > 0) return section("findings", "Findings", articles);
  return section(
    "findings",
    "Findings",
    markup`<p class="none">${noFindingsText(contents)}</p>
    <p>Audited: ${scopeText(audit.looked)}</p>`,
  );
}

function noFindingsText({ audit, unread }: ReportContents): string {
  if (audit.looked.engines.length === 0)
    return "None: there is no container engine in these rules, so nothing was audited for containers.";
  if (audit.doubts.length + unread.length > 0) return "None so far: not everything could be settled.";
  return "None: over all packets, the rules accept nothing to or from a container that your own rules block.";
}

/** Simulates the witness of a finding; `null` if it is not a packet. */
function witnessTrace(f: Finding, rulesets: readonly Ruleset[], host: Host): Trace | null {
  const packet = readPacket(f.witness);
  if (typeof packet === "string") return null;
  const assume = new Map((f.assume ?? []).map((text) => parseAssumption(text)!));
  return new Simulator(rulesets, host, { assume }).trace(packet);
}

const VERDICTS = { accept: "accepts", drop: "drops", reject: "rejects", undecided: "undecided" } as const;

function findingArticle(
  group: readonly Finding[],
  number: number,
  contents: ReportContents,
  fixed: (() => readonly Ruleset[]) | null,
  hasPicture: boolean,
): Markup {
  const [f] = group as [Finding];
  const id = `finding-${number}`;
  const numbers = group.length === 1 ? number : `${number} to ${number + group.length - 1}`;
  const trace = hasPicture ? witnessTrace(f, contents.rulesets, contents.host) : null;
  return markup`<article class="finding ${f.certainty}" id="${id}" aria-labelledby="${id}-heading">
    <h3 id="${id}-heading"><span class="number">${numbers}</span> ${groupTitle(group)}</h3>
    <p class="tags"><span>${f.kind}</span> <span>IPv${f.family}</span> <span class="${f.certainty}">${f.certainty === "must" ? "certain" : "possible"}</span></p>
    <dl class="facts">${facts(f)}</dl>
    ${endpointList(group, contents)}
    ${trace === null ? markup`<p>Example: <code>${packetText(f.witness)}</code></p>` : figure(f, trace, id, contents)}
    ${fixResult(group, contents, fixed)}</article>`;
}

function facts(f: Finding): (Markup | null)[] {
  const fact = (name: string, content: MarkupContent): Markup =>
    markup`<div><dt>${name}</dt><dd>${content}</dd></div>`;
  const verdict = isNotRead(f) ? "" : `${VERDICTS[f.intended.verdict]}: `;
  const rule = markup`${verdict}<code>${deciderLabel(f.intended.rule)}</code><span class="where">${placeOf(f.intended.rule)}</span>`;
  const depends = dependencies(f);
  const traffic = `${sourcesByInterface(f)}${f.traffic === undefined ? "" : `, with ${trafficText(f.traffic)}`}`;
  return [
    fact("Your firewall", rule),
    permitsNoSource(f.permitted) || f.kind === "ineffective-allow" ? null : fact("It allows", allowedText(f)),
    f.bans === undefined ? null : fact("It bans", `${sourcesText(f.bans.sources)}, by ${banLists(f.bans)}`),
    fact(f.actual.verdict === "accept" ? "Accepted" : "Stopped", traffic),
    depends.length === 0 ? null : fact("Depends on", depends.join(", ")),
  ];
}

/** The endpoints of a group, each with the rules that decide and a button to simulate its packet. */
function endpointList(group: readonly Finding[], { live }: ReportContents): Markup {
  const item = (f: Finding): Markup => {
    const port = f.listen === null ? null : published({ ...f, listen: f.listen });
    const name =
      f.container === null ? null : `${container(f.container)}${f.listen === null ? `/${f.proto}` : ""}`;
    const label = `Simulate it: a packet to ${port ?? name ?? f.witness.dst}`;
    const button = markup` <button type="button" class="follow" hidden data-packet="${JSON.stringify(f.witness)}" data-assume="${(f.assume ?? []).join("\n")}" aria-label="${label}">Simulate it</button>`;
    return markup`<li><span>${port === null ? null : markup`<code>${port}</code> → `}${name === null ? null : markup`<strong>${name}</strong>: `}${pathSummary(f)}</span>
      ${live ? button : null}</li>`;
  };
  const items = group.slice(0, MOST_ROWS).map(item);
  if (items.length <= FIRST_ENDPOINTS + 2) return markup`<ul class="endpoints">${items}</ul>`;
  const more = group.length > MOST_ROWS ? markup`<li>and ${group.length - MOST_ROWS} more</li>` : null;
  return markup`<ul class="endpoints">${items.slice(0, FIRST_ENDPOINTS)}</ul><details><summary>${items.length - FIRST_ENDPOINTS} more</summary><ul class="endpoints">${items.slice(FIRST_ENDPOINTS)}${more}</ul></details>`;
}

/** The path of the witness as a picture, as a command and as text. */
function figure(f: Finding, trace: Trace, id: string, { rulesets, host }: ReportContents): Markup {
  const options = (f.assume ?? []).map((word) => `--assume ${shellWord(word)}`);
  const command = [`fwcheck simulate HOST ${packetFlags(f.witness)}`, ...options].join(" ");
  const picture = pathMarkup(trace, { rulesets, host, intended: f.intended, id: `${id}-way`, bare: true });
  return markup`<figure>${scrollable("Path of the packet", picture)}
    <figcaption>The path of an example packet through the hooks of netfilter. The dashed line is the verdict of your own rules, as if Docker had written none.</figcaption></figure>
    <details><summary>As text, and as a command</summary>
    ${copyable(command, "Command that simulates this packet")}
    <pre class="words" tabindex="0" role="group" aria-label="Path as text">${traceText(trace, { rulesets, host })}</pre></details>`;
}

/** Result of the fix for a group. */
function fixResult(
  group: readonly Finding[],
  { fix, host }: ReportContents,
  fixed: (() => readonly Ruleset[]) | null,
): Markup | null {
  if (fixed === null) return null;
  const ids = new Set(group.map(({ id }) => id));
  const closedIds = new Set(fix.proof.closed);
  const closed = group.filter(({ id }) => closedIds.has(id));
  const left = fix.left.filter(({ finding }) => finding !== null && ids.has(finding)).map(openItemText);
  const leftItems = markup`<ul>${left.map((text) => markup`<li>${text}</li>`)}</ul>`;
  const [example] = closed;
  if (example === undefined)
    return left.length === 0
      ? null
      : markup`<div class="closed unsure"><p>The fix leaves this open.</p>${leftItems}</div>`;
  const which =
    closed.length < group.length ? `${closed.length} of ${group.length}` : group.length === 1 ? "it" : "all";
  return markup`<div class="closed good"><p><a href="#fix">The fix</a> closes ${which}, proven over all packets.${fixedVerdict(example, fixed(), host)}</p>
    ${left.length === 0 ? null : markup`<p>Left open:</p>${leftItems}`}</div>`;
}

/** The verdict of the fixed rules on the witness of a finding. */
function fixedVerdict(f: Finding, fixed: readonly Ruleset[], host: Host): Markup | null {
  const trace = witnessTrace(f, fixed, host);
  if (trace === null || trace.answer.branches !== undefined) return null;
  const context = textContext(f.witness.dst, { rulesets: fixed, host, width: Number.POSITIVE_INFINITY });
  const last = trace.branches.length === 1 ? trace.answer.path.at(-1) : undefined;
  const rule = last?.step === "rule" ? ruleAt(last.table, last.chain, last.rule, context) : undefined;
  const ruleText =
    rule === undefined || last?.step !== "rule"
      ? null
      : markup` <code>${`${last.chain} ${ruleStepText(last, rule, context)}`}</code>`;
  return markup` The example packet then ends in <q>${conclusion(trace, context)[0]!}</q>${ruleText}`;
}
