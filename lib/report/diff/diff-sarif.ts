/** A comparison as SARIF 2.1.0 (OASIS): one result for each change, at the line of the new rule that decides. */
import type { Diff, PacketChange } from "../../compare/difference.ts";
import { fileUri, location, message, sarifLog } from "../sarif.ts";
import { safe } from "../text/terminal.ts";
import { CHANGE_KINDS, changeText, decidersText, sideDoubtText } from "./change-text.ts";

/**
 * Returns a comparison as a SARIF 2.1.0 log.
 * @param sources name of each family's new ruleset, for the locations
 * @param version version of fwcheck
 */
export function diffSarif(diff: Diff, sources: ReadonlyMap<4 | 6, string>, version: string): object {
  const results = diff.changes.map((change) => ({
    ruleId: change.kind,
    level: change.certainty === "must" ? "error" : "warning",
    message: message(`${changeText(change)} (${decidersText(change.after)})`),
    locations: [location({ uri: fileUri(sources.get(change.family) ?? ""), line: lineOf(change) })],
    partialFingerprints: { "fwcheck/v1": safe(`${change.kind}/${changeText(change)}`) },
  }));
  return sarifLog(version, Object.entries(CHANGE_KINDS), results, diff.doubts.map(sideDoubtText));
}

/** Returns the line of the first new rule that decides or translates; 1 where no rule does. */
function lineOf({ after: { deciders, translations } }: PacketChange): number {
  const decider = deciders.find(({ code }) => code === "rule");
  const line = decider?.code === "rule" ? decider.line : translations[0]?.line;
  return Math.max(1, line ?? 1);
}
