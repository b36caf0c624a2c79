/** An audit as SARIF 2.1.0 (OASIS), for code scanning: one result for each finding and lint, at the line of its rule. */
import type { Audit } from "../audit/audit.ts";
import type { Exposure, Finding } from "../audit/finding.ts";
import type { Lint, LintKind } from "../audit/lint.ts";
import { doubtText, lintText } from "./text/audit-sentences.ts";
import { findingSentence, KINDS, unexpectedSentence } from "./text/finding-text.ts";
import { sentence } from "./text/list.ts";
import { safe } from "./text/terminal.ts";

/** Description of each kind of lint. */
export const LINTS: Readonly<Record<LintKind, string>> = {
  "host-port-after-dnat": "A rule in DOCKER-USER matches the host's port, which DNAT has already replaced.",
  "original-port-unguarded": "A drop by original destination port also drops other packets.",
  "behind-return": "A rule that no packet reaches.",
  "docker-user-not-first": "A rule can accept packets before DOCKER-USER is evaluated.",
  "docker-user-not-called": "FORWARD never calls DOCKER-USER.",
  "ban-misses-containers": "A ban holds for the host and not for its containers.",
  shadowed: "No packet matches an allow or deny, since earlier rules match all of its packets.",
  "chain-not-called": "No rule calls a chain.",
  "engine-table-torn": "A table of Docker lost its base chains.",
  "docker-user-left-behind": "DOCKER-USER has rules, and Docker uses nftables.",
  "docker-user-in-other-backend":
    "DOCKER-USER has rules in the backend of iptables that Docker does not use.",
  "dnat-past-deny": "A translation opens a port that a rule of INPUT denies.",
};

/** Rule of published ports that the expectations do not list. */
const UNEXPECTED = "unexpected-exposure";

const SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json";

interface Place {
  readonly uri: string;
  readonly line: number;
}

/**
 * Returns an audit as a SARIF 2.1.0 log (OASIS), one result for each finding, at the line of the rule that is bypassed, and one for
 * each unexpected exposure, at the line of the rule that opens the port.
 * @param sources name of each family's ruleset, for the locations
 * @param version version of fwcheck
 */
export function sarif(audit: Audit, sources: ReadonlyMap<4 | 6, string>, version: string): object {
  const rules: [string, string][] = [
    ...Object.entries(KINDS),
    [UNEXPECTED, "An open port that the expectations do not list."],
    ...Object.entries(LINTS),
  ];
  const place = (family: 4 | 6, line: number | undefined): Place => ({
    uri: fileUri(sources.get(family) ?? ""),
    line: Math.max(1, line ?? 1),
  });
  const results = [
    ...audit.exposures.flatMap((e) => exposureResult(e, place)),
    ...audit.findings.map((f) => findingResult(f, place)),
    ...audit.lint.map((l) => lintResult(l, place)),
  ];
  return sarifLog(version, rules, results, audit.doubts.map(doubtText));
}

function findingResult(f: Finding, place: (family: 4 | 6, line: number | undefined) => Place): object {
  const { rule } = f.intended;
  const last = f.actual.path.findLast((s) => s.step === "rule");
  const line = rule.code === "rule" ? rule.line : last?.step === "rule" ? last.line : undefined;
  return {
    ruleId: f.kind,
    level: f.certainty === "must" ? "error" : "warning",
    message: message(findingSentence(f)),
    locations: [location(place(f.family, line))],
    partialFingerprints: { "fwcheck/v1": safe(f.id) },
    // Viewers hide suppressed results (3.35): the expectations allow these packets.
    ...(f.expected === true ? { suppressions: [{ kind: "external", justification: "--expect" }] } : {}),
  };
}

/** Returns the result about the packets of an exposure that no expectation covers; none where all are covered. */
function exposureResult(e: Exposure, place: (family: 4 | 6, line: number | undefined) => Place): object[] {
  const { family, listen, unexpected } = e;
  if (unexpected === undefined) return [];
  const { rule } = unexpected;
  return [
    {
      ruleId: UNEXPECTED,
      level: "error",
      message: message(unexpectedSentence(e, unexpected)),
      locations: [location(place(family, rule.code === "rule" ? rule.line : undefined))],
      partialFingerprints: {
        "fwcheck/v1": safe(`${UNEXPECTED}/${family}/${e.proto}/${listen.address ?? "any"}/${listen.port}`),
      },
    },
  ];
}

function lintResult(l: Lint, place: (family: 4 | 6, line: number | undefined) => Place): object {
  return {
    ruleId: l.kind,
    level: "warning",
    message: message(lintText(l)),
    locations: [location(place(l.family, l.rule?.line))],
  };
}

/** Returns a log with one run. @param notes reasons why the results are inconclusive */
export const sarifLog = (
  version: string,
  rules: readonly (readonly [id: string, text: string])[],
  results: readonly object[],
  notes: readonly string[],
): object => ({
  $schema: SCHEMA,
  version: "2.1.0",
  runs: [
    {
      tool: {
        driver: {
          name: "fwcheck",
          version,
          rules: rules.map(([id, text]) => ({ id, shortDescription: { text: sentence(text) } })),
        },
      },
      columnKind: "utf16CodeUnits",
      results,
      invocations: [
        {
          executionSuccessful: true,
          toolExecutionNotifications: notes.map((note) => ({ level: "warning", message: message(note) })),
        },
      ],
    },
  ],
});

/** Returns a location in a file. */
export const location = ({ uri, line }: Place): object => ({
  physicalLocation: { artifactLocation: { uri }, region: { startLine: line } },
});

/** Returns plain text as a message. A blank prevents viewers from reading `[text](target)` as a link (3.11.6) and `{0}` as a placeholder (3.11.5). */
export const message = (text: string): object => ({
  text: safe(text)
    .replaceAll("](", "] (")
    .replaceAll(/\{(?=\d)/g, "{ "),
});

/** Returns a file name as a relative URI reference (RFC 3986), encoded so that it cannot contain a scheme or a host. */
export const fileUri = (name: string): string =>
  (name === "" ? "ruleset" : name)
    .replaceAll(/\p{Cs}/gu, "\ufffd")
    .replace(/^\/+/, "/")
    .split("/")
    .map(encodeURIComponent)
    .join("/");
