/** The result of a policy as SARIF 2.1.0, for code scanning: one result for each violated check, at its line of the policy. */
import type { PolicyResult } from "../../compare/assertions.ts";
import type { PolicyCheck } from "../../compare/policy-checker.ts";
import { fileUri, location, message, sarifLog } from "../sarif.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { safe } from "../text/terminal.ts";
import { checkTitle, missingText, violationText } from "./policy-text.ts";

const RULES: readonly (readonly [id: string, text: string])[] = [
  ["policy-required", "Packets that the policy requires do not get through."],
  ["policy-denied", "Packets that the policy denies get through."],
  ["policy-only", "Packets that the policy neither requires nor allows get through."],
  ["policy-open", "Packets from outside reach containers by a port that the policy does not list."],
];

/**
 * Returns the result as a SARIF log.
 * @param file name of the policy file, for the locations
 * @param version version of fwcheck
 */
export function policySarif({ checks, doubts }: PolicyResult, file: string, version: string): object {
  const results = checks.flatMap((check) => checkResult(check, fileUri(file)));
  return sarifLog(version, RULES, results, doubts.map(doubtText));
}

function checkResult(check: PolicyCheck, uri: string): object[] {
  const { duty, family, line, name, outcome } = check;
  if (outcome === "holds" || duty === "allowed") return [];
  const texts = [...missingText(check), ...check.violations.map(violationText)];
  return [
    {
      ruleId: `policy-${duty}`,
      level: outcome === "violated" ? "error" : "warning",
      message: message(`${checkTitle(check)}: ${outcome}. ${texts.join("; ")}`),
      locations: [location({ uri, line })],
      partialFingerprints: { "fwcheck/v1": safe(`policy/${duty}/${family}/${name}`) },
    },
  ];
}
