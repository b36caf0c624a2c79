/** The JSON document of an audit, as `fwcheck audit --json` prints it. */
import { type AuditJson, type AuditOptions, audit, auditJson, type Host, type Ruleset } from "fwcheck";

export const auditOf = (rulesets: readonly Ruleset[], host: Host, options: AuditOptions = {}): AuditJson =>
  auditJson(audit(rulesets, host, options));
