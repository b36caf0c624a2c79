/** The report: one file that holds all of an audit, opens from disk, and asks nobody for anything. */
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { type Audit, type AuditOptions, audit } from "../audit/audit.ts";
import { type Fix, fix } from "../fix/fix.ts";
import type { Host } from "../host/host.ts";
import type { HostSources } from "../host/read.ts";
import { networkPart } from "../host/sources/docker.ts";
import { readRuleset } from "../rules/load.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { body, outcome } from "./html.ts";
import { embedded, Markup, markup } from "./markup.ts";
import { GRAPH_STYLE } from "./svg.ts";
import { WAY_STYLE } from "./way.ts";

/** The texts that a host was read from. */
export interface Texts {
  /** Of iptables-save and ip6tables-save, as `readRuleset` takes them. */
  readonly rules: Parameters<typeof readRuleset>[0];
  /** The rest, as `readHost` takes it. */
  readonly host: HostSources;
}

/** How to report. */
export interface ReportOptions extends AuditOptions {
  /** The audit, where it is there already. */
  readonly audit?: Audit;
  /** The fix, where it is there already. */
  readonly fix?: Fix;
  /**
   * What the host was read from: with it, whoever opens the report can try packets of their own. Of Docker's output
   * only what tells of networks goes into the file, of the settings only those of the network.
   */
  readonly texts?: Texts;
  /** What the host is called; the name of its ruleset unless given. */
  readonly title?: string;
  /** When the report was made, as it shall stand there; absent unless given. */
  readonly made?: string;
  /** fwcheck's own version, as it shall stand there. */
  readonly version?: string;
}

/**
 * A report as one HTML file: what is open, each finding with its packet's way, the fix and its proof, the chains, and
 * a form in which packets can be tried. It needs no network; its Content-Security-Policy lets nothing run but its own
 * script.
 * @param rulesets at most one a family
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
  const unread = unreadIn(texts);
  const content = body({
    ...{ rulesets, host, title },
    audit: audited,
    fix: options.fix ?? fix(rulesets, host, texts === undefined ? {} : { inputs: texts.rules }),
    made: made.join(", "),
    live: texts !== undefined,
    unread,
  });
  const page = (await import("#page")).default;
  const style = [page.style, WAY_STYLE, GRAPH_STYLE].join("\n");
  const policy = [
    "default-src 'none'",
    `script-src '${digest(page.script)}'`,
    `style-src '${digest(style)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const html = markup`<html lang="en"><head><meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="${new Markup(policy)}">
    <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
    <meta name="robots" content="noindex"><meta name="referrer" content="no-referrer">
    <title>${`${title}: ${outcome({ audit: audited, unread }).sentence}`}</title>
    <style>${new Markup(style)}</style></head><body>${content}
    ${texts === undefined ? null : markup`<script type="application/json" id="texts">${embedded(shareable(texts))}</script>`}
    <script>${new Markup(page.script)}</script></body></html>`;
  return `<!doctype html>\n${html.text}\n`;
}

/** As a Content-Security-Policy names a script or a style sheet. */
const digest = (text: string): string => `sha256-${btoa(String.fromCharCode(...sha256(utf8ToBytes(text))))}`;

/** Lines of the rules that are wrong, a sentence each. */
const unreadIn = (texts: Texts | undefined): string[] =>
  texts === undefined
    ? []
    : readRuleset(texts.rules)
        .diagnostics.filter((d) => d.severity === "error")
        .map(
          ({ source, line, message, found }) =>
            `${source}:${line}: ${message}${found === "" ? "" : `: ${found}`}`,
        );

/** What of the texts goes into a file that is handed on: all that is read, and nothing else of Docker's and the system's. */
const shareable = ({ rules, host }: Texts): Texts => ({
  rules: rules.map(({ name, text, family }) => ({ name, text, ...(family === undefined ? {} : { family }) })),
  host: {
    ...host,
    ...(host.docker === undefined
      ? {}
      : { docker: host.docker.map(({ name, text }) => ({ name, text: networkPart(text) })) }),
    ...(host.sysctl === undefined
      ? {}
      : {
          sysctl: host.sysctl.map(({ name, text }) => ({
            name,
            text: text
              .split("\n")
              .filter((line) => /^net[./]/.test(line))
              .join("\n"),
          })),
        }),
  },
});
