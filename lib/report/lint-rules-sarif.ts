/** Anomalies of rules as SARIF 2.1.0 (OASIS), for code scanning: one result for each, at the line of its rule. */
import type { AnomalyKind, RuleLint } from "../audit/rule-anomaly.ts";
import { fileUri, location, message, sarifLog } from "./sarif.ts";
import { anomalyText, unsettledTableText } from "./text/anomaly-text.ts";

/** Description of each kind of anomaly. */
const ANOMALIES: Readonly<Record<AnomalyKind, string>> = {
  dead: "No packet matches a rule.",
  shadowed: "Earlier rules take all packets of a rule and decide otherwise.",
  correlated: "Two rules match packets in common, and their order decides.",
  redundant: "A rule can be removed without a change for any packet.",
};

/**
 * Returns anomalies of rules as a SARIF 2.1.0 log (OASIS), one result for each, at the line of its rule.
 * @param sources name of each family's ruleset, for the locations
 * @param doubts sentences of doubts about the inputs
 * @param version version of fwcheck
 */
export function lintRulesSarif(
  lint: RuleLint,
  sources: ReadonlyMap<4 | 6, string>,
  doubts: readonly string[],
  version: string,
): object {
  const results = lint.anomalies.map((anomaly) => ({
    ruleId: anomaly.kind,
    level: anomaly.kind === "redundant" || anomaly.kind === "correlated" ? "note" : "warning",
    message: message(anomalyText(anomaly)),
    locations: [
      location({
        uri: fileUri(sources.get(anomaly.families[0]!) ?? ""),
        line: Math.max(1, anomaly.rule.line),
      }),
    ],
  }));
  const notifications = [...doubts, ...lint.unsettled.map(unsettledTableText)];
  return sarifLog(version, Object.entries(ANOMALIES), results, notifications);
}
