/** The audit as text: a table of published ports, sockets of the host, the findings in groups, lint and doubts. */
import type { Audit } from "../../audit/audit.ts";
import type { Exposure, Finding } from "../../audit/finding.ts";
import type { AuditScope } from "../../audit/scope.ts";
import { portRuns } from "../../fix/port-runs.ts";
import { doubtText, lintText, noteText } from "./audit-sentences.ts";
import {
  aboutPort,
  allowedText,
  banLists,
  container,
  deciderLabel,
  dependencies,
  firewall,
  grouped,
  groupTitle,
  isNotRead,
  MEANS,
  namesAllowed,
  pathSummary,
  placeOf,
  published,
  sourcesByInterface,
  unexpectedSentence,
} from "./finding-text.ts";
import { inferenceText } from "./inference-text.ts";
import { counted, plural } from "./list.ts";
import { listeningText } from "./listening-text.ts";
import { packetFlags, packetText } from "./packet-text.ts";
import { sourcesText, trafficText } from "./set-text.ts";
import { indented, LINE_WIDTH, PLAIN, type Style, safe, table, wrapped } from "./terminal.ts";

/** Endpoints of one group that are listed; the others are counted. */
const MOST_LISTED = 24;

/** Returns the audit as text, at 80 columns. */
export function auditText(audit: Audit, style: Style = PLAIN): string {
  const { doubts, findings, inferences, lint, looked, notes } = audit;
  const remarks = [
    ...lint.flatMap((l) => {
      const where = l.rule === null ? "" : ` (line ${l.rule.line}: ${safe(l.rule.text)})`;
      return indented(style.yellow("lint:"), `${l.kind}${where}: ${safe(lintText(l))}`);
    }),
    ...doubts.flatMap((doubt) => indented(style.yellow("inconclusive:"), safe(doubtText(doubt)))),
    ...notes.flatMap((note) => indented(style.green("note:"), safe(noteText(note)))),
    ...inferences.flatMap((each) => indented(style.dim("inferred:"), safe(inferenceText(each)))),
    ...(findings.length === 0 ? indented(style.dim("looked at:"), scopeText(looked)) : []),
  ];
  const lines = [
    ...portsText(audit, style),
    ...unexpectedText(audit, style),
    ...listeningText(audit, style),
    ...findingsText(findings, style),
    ...remarks,
    ...(remarks.length === 0 ? [] : [""]),
    verdictText(audit, style),
  ];
  return `${lines.join("\n")}\n`;
}

/** Outcome of an audit in a sentence; an inconclusive audit is never `good`. */
export interface AuditOutcome {
  readonly mood: "bad" | "unsure" | "good";
  readonly sentence: string;
  /** True if the audit is inconclusive. */
  readonly open: boolean;
}

export function auditOutcome(audit: Audit): AuditOutcome {
  const { doubts, expectations, exposures, findings, looked } = audit;
  const open = doubts.length > 0;
  // Without an engine only an unexpected port can be judged by the expectations.
  if (expectations !== null && (looked.engines.length > 0 || countUnexpected(audit) > 0))
    return expectedOutcome(audit);
  if (findings.length > 0) {
    const what = findings.every(isNotRead)
      ? "the firewall that may govern these packets is not read."
      : "the firewall does not govern these packets.";
    return { mood: "bad", sentence: `${counted(findings.length, "finding")}: ${what}`, open };
  }
  if (looked.engines.length === 0)
    return {
      mood: "unsure",
      sentence: "No container engine was found in these rules, so nothing was audited for containers",
      open,
    };
  if (open) return { mood: "unsure", sentence: "No findings, but not everything could be settled", open };
  const sentence =
    exposures.length === 0
      ? "No findings: no packet reaches a container without the firewall's consent."
      : "No findings: every packet that reaches a container does so with the firewall's consent.";
  return { mood: "good", sentence, open };
}

/** Number of open ports that the expectations do not list. */
export const countUnexpected = ({ exposures }: Pick<Audit, "exposures">): number =>
  exposures.filter((e) => e.unexpected !== undefined).length;

/** Returns the outcome for given expectations: open ports are good or bad by them, and not by the rules of the owner. */
function expectedOutcome(audit: Audit): AuditOutcome {
  const { doubts, exposures, findings } = audit;
  const open = doubts.length > 0;
  const unexpected = countUnexpected(audit);
  const others = findings.filter((f) => f.expected !== true).length;
  if (unexpected > 0) {
    const ports = `${counted(unexpected, "open port")} of ${exposures.length} ${unexpected === 1 ? "is" : "are"} not expected.`;
    return { mood: "bad", sentence: ports, open };
  }
  const ports = exposures.length === 0 ? "No published port is open" : "Every open port is expected";
  if (others > 0) {
    const rest = others === 1 ? "1 finding is" : `${others} findings are`;
    return { mood: "unsure", sentence: `${ports}, but ${rest} about other packets`, open };
  }
  if (open) return { mood: "unsure", sentence: `${ports}, but not everything could be settled`, open };
  return { mood: "good", sentence: `${ports}.`, open };
}

/** Returns the rules, engines and ports that the audit looked at, in one line. */
export function scopeText({ families, engines, bridges, containers, published: rules }: AuditScope): string {
  const firewalls = families.map(
    (f) =>
      `IPv${f.family} (INPUT ${f.input ?? "ACCEPT"}, FORWARD ${f.forward ?? "ACCEPT"}, ${f.forwards ? "forwards packets" : "forwards no packets"})`,
  );
  const bridgeNames =
    bridges.length === 0
      ? "no bridges"
      : `${plural(bridges.length, "bridge")} ${bridges.map(safe).join(", ")}`;
  const engine =
    engines.length === 0
      ? "no container engine (no chain, bridge, network or container of one)"
      : `${engines.map(safe).join(", ")}: ${bridgeNames}, ${counted(containers, "container")}, ${counted(rules, "rule")} that publish${rules === 1 ? "es" : ""} ports`;
  return `${firewalls.join(", ")}; ${engine}`;
}

function verdictText(audit: Audit, style: Style): string {
  const { mood, sentence, open } = auditOutcome(audit);
  if (mood === "bad")
    return style.red(open ? `${sentence}\nNot everything could be settled: see above.` : sentence);
  if (mood === "unsure") return style.yellow(`${sentence}: see above.`);
  return style.green(wrapped(sentence, LINE_WIDTH).join("\n"));
}

function portsText({ exposures, findings }: Audit, style: Style): string[] {
  if (exposures.length === 0) return [];
  const all = [...new Set(exposures.flatMap((e) => e.in))];
  const rows = portRuns(
    exposures.map((e) => {
      const finding = aboutPort(e, findings);
      const mark = finding === undefined ? "" : finding.certainty === "must" ? "!" : "?";
      const decided = `${firewall(e, finding)}${MEANS[e.means]}`;
      return { e, mark, from: sourcesByInterface(e, all), decided, bad: finding !== undefined };
    }),
    ({ e, ...shown }) => ({
      key: JSON.stringify([withoutPorts(e), shown]),
      ports: isOnePort(e) ? [e.listen.port!, e.endpoint.port!] : [],
    }),
  ).map((run) => {
    const { e, mark, from, decided, bad } = run[0]!;
    const { listen, endpoint } = run.length === 1 ? e : throughLast(e, run.at(-1)!.e);
    return { cells: [mark, published({ ...e, listen }), container(endpoint), from, decided], bad };
  });
  const [head, ...lines] = table([
    ["", "PUBLISHED", "CONTAINER", "OPEN TO", "FIREWALL"],
    ...rows.map((r) => r.cells),
  ]);
  const interfaces = all.length === 0 ? "" : ` via ${all.map(safe).join(", ")}`;
  const title = `Published ports: sources${interfaces}, and the decision of the firewall`;
  return [
    ...wrapped(title, LINE_WIDTH).map((line) => style.bold(line)),
    ...head!.map((line) => style.dim(line)),
    ...lines.flatMap((row, i) => (rows[i]!.bad ? row.map((line) => style.red(line)) : row)),
    ...(rows.some((r) => r.bad)
      ? ["", style.dim("! open although the firewall blocks it   ? possibly so")]
      : []),
    "",
  ];
}

const isOnePort = ({ endpoint, listen }: Exposure): boolean =>
  listen.port !== null && endpoint.port !== null && (listen.portEnd ?? endpoint.portEnd) === undefined;

/** Returns everything that the row of an exposure shows of its endpoints apart from ports. */
const withoutPorts = ({ endpoint, family, listen, proto }: Exposure): unknown => [
  family,
  proto,
  listen.address,
  { ...endpoint, port: null },
];

/** Returns the endpoints of consecutive ports, from those of the first exposure through those of the last. */
const throughLast = (first: Exposure, last: Exposure): Pick<Exposure, "listen" | "endpoint"> => ({
  listen: { ...first.listen, portEnd: last.listen.port! },
  endpoint: { ...first.endpoint, portEnd: last.endpoint.port! },
});

function unexpectedText({ exposures }: Audit, style: Style): string[] {
  const lines = exposures.flatMap((e) => {
    if (e.unexpected === undefined) return [];
    return indented(style.red("unexpected:"), unexpectedSentence(e, e.unexpected));
  });
  return lines.length === 0 ? [] : [...lines, ""];
}

function findingsText(findings: readonly Finding[], style: Style): string[] {
  let number = 1;
  return grouped(findings).flatMap((group) => {
    const lines = groupText(group, number, style);
    number += group.length;
    return [...lines, ""];
  });
}

type Label = (name: string, text: string) => string[];

function groupText(group: readonly Finding[], number: number, style: Style): string[] {
  const [f] = group as [Finding];
  const isMany = group.length > 1;
  const numbers = isMany ? `${number}-${number + group.length - 1}.` : `${number}.`;
  const possible = f.certainty === "may" ? style.yellow(" (possible)") : "";
  const label: Label = (name, text) => indented(`   ${style.dim(name.padEnd(10))}`, text, 14);
  const accepted = f.actual.verdict === "accept";
  const rule = `${deciderLabel(f.intended.rule)}${placeOf(f.intended.rule)}`;
  const through = `${sourcesByInterface(f)}${f.traffic === undefined ? "" : `, with ${safe(trafficText(f.traffic))}`}`;
  const depends = dependencies(f);
  const endpoints = group.slice(0, MOST_LISTED).flatMap((each) => endpointText(each, label));
  const more = group.length - MOST_LISTED;
  return [
    `${style.bold(`${numbers} ${groupTitle(group)}`)}${possible}${f.expected === true ? style.dim(" (expected)") : ""}`,
    `   ${style.dim(f.kind)}${f.family === 6 ? style.dim(", IPv6") : ""}`,
    ...label("firewall", isNotRead(f) ? rule : `${f.intended.verdict}: ${rule}`),
    ...(namesAllowed(f) ? label("lets in", allowedText(f)) : []),
    ...(f.bans === undefined ? [] : label("bans", `${sourcesText(f.bans.sources)}, by ${banLists(f.bans)}`)),
    ...label(accepted ? "but" : "though", `${accepted ? "gets through" : "is stopped"}: ${through}`),
    ...endpoints,
    ...(more > 0 ? label("", `and ${more} more, which --json lists`) : []),
    ...(depends.length === 0 ? [] : label("depends", depends.map(safe).join(", "))),
    ...label(isMany ? "example" : "proof", packetText(f.witness)),
    ...indented("             ", `fwcheck simulate HOST ${packetFlags(f.witness)}`, 17, " \\"),
  ];
}

function endpointText(f: Finding, label: Label): string[] {
  if (f.container === null) return label("way", pathSummary(f));
  const port = f.listen === null ? "" : `${published({ ...f, listen: f.listen })} -> `;
  const protocol = f.listen === null ? `/${f.proto}` : "";
  return label("container", `${port}${container(f.container)}${protocol}: ${pathSummary(f)}`);
}
