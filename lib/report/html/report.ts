/** The report: one HTML file with the whole audit, which opens from disk and loads nothing. */
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { parse } from "iptables-parser-ts";
import { type Audit, type AuditOptions, audit } from "../../audit/audit.ts";
import { type ServiceMatrix, serviceMatrix } from "../../compare/service-matrix.ts";
import { zonesOf } from "../../compare/zones.ts";
import { type Fix, fix } from "../../fix/fix.ts";
import type { Host } from "../../host/host.ts";
import type { HostSources } from "../../host/read.ts";
import { readRuleset } from "../../host/rulesets.ts";
import { networkPart } from "../../host/sources/docker-inspect.ts";
import type { SourceDiagnostic } from "../../iptables/load.ts";
import type { Ruleset } from "../../rules/ruleset.ts";
import { GRAPH_STYLE } from "../graph/svg-style.ts";
import { PATH_STYLE } from "../packet/path-style.ts";
import { body } from "./body.ts";
import { embedded, Markup, markup } from "./markup.ts";
import { reportOutcome } from "./report-contents.ts";

/** Inputs from which a host was read. */
export interface ReportInputs {
  /** Output of iptables-save and ip6tables-save, as for `readRuleset`. */
  readonly rules: Parameters<typeof readRuleset>[0];
  /** All other inputs, as for `readHost`. */
  readonly host: HostSources;
}

/** Options of a report. */
export interface ReportOptions extends AuditOptions {
  /** Result of `audit`, to avoid computing it again. */
  readonly audit?: Audit;
  /** Result of `fix`, to avoid computing it again. */
  readonly fix?: Fix;
  /**
   * Inputs from which the host was read. With them, readers of the report can simulate packets. The file contains only
   * the network parts of Docker's output, and only the sysctls of the network.
   */
  readonly texts?: ReportInputs;
  /** Diagnostics of `readRuleset` for these texts, to avoid reading them again. */
  readonly diagnostics?: readonly SourceDiagnostic[];
  /** Name of the host; the name of its ruleset by default. */
  readonly title?: string;
  /** Time of the report, printed as given. */
  readonly made?: string;
  /** Version of fwcheck, printed as given. */
  readonly version?: string;
}

/**
 * Returns a report as one HTML file: open ports, each finding with the path of a packet, the fix and its proof, the
 * chains, and a form that simulates packets. It needs no network; its Content-Security-Policy allows its own script only.
 * @param rulesets at most one per family
 */
export async function report(
  rulesets: readonly Ruleset[],
  host: Host,
  options: ReportOptions = {},
): Promise<string> {
  const audited = options.audit ?? audit(rulesets, host, options);
  const { texts } = options;
  const made = [
    options.version === undefined ? "fwcheck" : `fwcheck ${options.version}`,
    ...(options.made === undefined ? [] : [options.made]),
  ];
  const title = options.title ?? rulesets[0]?.source ?? "host";
  const unread = unreadLines(
    options.diagnostics ?? (texts === undefined ? [] : readRuleset(texts.rules).diagnostics),
  );
  const content = body({
    rulesets,
    host,
    title,
    audit: audited,
    fix: options.fix ?? fix(rulesets, host, texts === undefined ? {} : { inputs: texts.rules }),
    matrix: readableMatrix(rulesets, host, options.budget),
    made: made.join(", "),
    live: texts !== undefined,
    unread,
  });
  const page = (await import("#page")).default;
  const style = [page.style, PATH_STYLE, GRAPH_STYLE].join("\n");
  const policy = [
    "default-src 'none'",
    `script-src '${digest(page.script)}'`,
    `style-src '${digest(style)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const html = markup`${new Markup("<!doctype html>\n")}<html lang="en"><head><meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="${new Markup(policy)}">
    <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
    <meta name="robots" content="noindex"><meta name="referrer" content="no-referrer">
    <title>${`${title}: ${reportOutcome({ audit: audited, unread }).sentence}`}</title>
    <style>${new Markup(style)}</style></head><body>${content}
    ${texts === undefined ? null : markup`<script type="application/json" id="texts">${embedded(shareable(texts))}</script>`}
    <script>${new Markup(page.script)}</script></body></html>${new Markup("\n")}`;
  return html.text;
}

/** Nobody could read a table of more zones. */
const MOST_ZONES = 24;

/** Returns the service matrix of a host; `null` if it has too many zones for a table. */
const readableMatrix = (
  rulesets: readonly Ruleset[],
  host: Host,
  budget: number | undefined,
): ServiceMatrix | null =>
  zonesOf(host, 4, "network").length > MOST_ZONES ? null : serviceMatrix(rulesets, host, { budget });

/** Hash of a script or a style sheet for a Content-Security-Policy. */
const digest = (text: string): string => `sha256-${btoa(String.fromCharCode(...sha256(utf8ToBytes(text))))}`;

/** Lines of the rules with errors, a sentence each. */
const unreadLines = (diagnostics: readonly SourceDiagnostic[]): string[] =>
  diagnostics
    .filter((d) => d.severity === "error")
    .map(
      ({ source, line, message, found }) =>
        `${source}:${line}: ${message}${found === "" ? "" : `: ${found}`}`,
    );

/** Comments of the save programs that fwcheck reads. */
const SAVE_COMMENT = /^ (?:Generated by|Completed on|Warning: ip|Table `)/;

/** Removes the content of lines that are not rules: they may be private. Line numbers stay the same. */
function withoutOtherLines(text: string): string {
  const lines = text.split("\n");
  // By line number, from 1.
  const kept = new Uint8Array(lines.length + 1);
  for (const entry of parse(text).document.entries) {
    if (entry.kind === "comment" ? SAVE_COMMENT.test(entry.text) : entry.implied !== true)
      kept[entry.line] = 1;
    if (entry.kind !== "table") continue;
    if (entry.commit !== null) kept[entry.commit] = 1;
    for (const { kind, line } of entry.entries) if (kind !== "comment") kept[line] = 1;
    if (entry.implied === true && entry.entries.length > 0) kept[entry.line] = 1;
  }
  return lines.map((line, i) => (kept[i + 1] === 1 ? line : "")).join("\n");
}

/** Removes everything from the inputs that fwcheck does not read: a report may be passed on. */
function shareable({ rules, host: { listening: _, docker, sysctl, ...host } }: ReportInputs): ReportInputs {
  return {
    rules: rules.map((source) => ({ ...source, text: withoutOtherLines(source.text) })),
    host: {
      ...host,
      ...(docker === undefined
        ? {}
        : { docker: docker.map(({ name, text }) => ({ name, text: networkPart(text) })) }),
      ...(sysctl === undefined
        ? {}
        : { sysctl: sysctl.map(({ name, text }) => ({ name, text: networkSettings(text) })) }),
    },
  };
}

/** The sysctls of the network. */
const networkSettings = (text: string): string =>
  `${text
    .split("\n")
    .filter((line) => /^net[./]\S+\s*=/.test(line))
    .join("\n")}\n`;
