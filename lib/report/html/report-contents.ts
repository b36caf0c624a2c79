/** Input of the sections of a report. */
import type { Audit } from "../../audit/audit.ts";
import type { ServiceMatrix } from "../../compare/service-matrix.ts";
import type { Fix } from "../../fix/fix.ts";
import type { Host } from "../../host/host.ts";
import type { Ruleset } from "../../rules/ruleset.ts";
import { type AuditOutcome, auditOutcome } from "../text/audit-text.ts";

/** Data of the sections. */
export interface ReportContents {
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
  readonly audit: Audit;
  readonly fix: Fix;
  /** Services by zone; `null` for a host with too many zones for a table. */
  readonly matrix: ServiceMatrix | null;
  /** Name of the host. */
  readonly title: string;
  /** Version of fwcheck and time of the report. */
  readonly made: string;
  /** The page contains the inputs, so a reader can simulate packets. */
  readonly live: boolean;
  /** Lines of the rules that could not be read, a sentence each. */
  readonly unread: readonly string[];
}

/** Returns the outcome of the audit; a worse one if rules could not be read. */
export function reportOutcome({ audit, unread }: Pick<ReportContents, "audit" | "unread">): AuditOutcome {
  const outcome = auditOutcome(audit);
  // A rule that could not be read may change every verdict.
  return outcome.mood === "good" && unread.length > 0
    ? { ...outcome, mood: "unsure", sentence: "No findings, but not all of the rules could be read" }
    : outcome;
}
