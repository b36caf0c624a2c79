/** Input of the sections of a report. */
import type { Audit } from "../../audit/audit.ts";
import type { Fix } from "../../fix/fix.ts";
import type { Host } from "../../host/host.ts";
import type { Ruleset } from "../../rules/ruleset.ts";
import { type AuditOutcome, auditOutcome } from "../text/audit-text.ts";
import { counted } from "../text/list.ts";

/** Data of the sections. */
export interface ReportContents {
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
  readonly audit: Audit;
  readonly fix: Fix;
  /** Name of the host. */
  readonly title: string;
  /** Version of fwcheck and time of the report. */
  readonly made: string;
  /** The page contains the inputs, so a reader can simulate packets. */
  readonly live: boolean;
  /** Lines of the rules that could not be read, a sentence each. */
  readonly unread: readonly string[];
}

/** Number of open ports that the expectations do not list. */
export const countUnexpected = ({ exposures }: Audit): number =>
  exposures.filter((e) => e.unexpected !== undefined).length;

/** Returns the outcome of the audit; a worse one if ports are unexpected or rules could not be read. */
export function reportOutcome({ audit, unread }: Pick<ReportContents, "audit" | "unread">): AuditOutcome {
  const outcome = auditOutcome(audit);
  if (outcome.mood === "bad") return outcome;
  const unexpected = countUnexpected(audit);
  if (unexpected > 0) {
    const sentence = `No findings, but ${counted(unexpected, "unexpected open port")}`;
    return { ...outcome, mood: "bad", sentence };
  }
  // A rule that could not be read may change every verdict.
  return outcome.mood === "good" && unread.length > 0
    ? { ...outcome, mood: "unsure", sentence: "No findings, but not all of the rules could be read" }
    : outcome;
}
