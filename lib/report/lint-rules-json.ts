/** Anomalies of rules as a JSON document. */
import type { RuleAnomaly, RuleLint, UnsettledTable } from "../audit/rule-anomaly.ts";
import type { HostDoubt } from "../host/host-doubt.ts";
import type { FamilyRulesetDoubt } from "../rules/ruleset-doubt.ts";
import { anomalyText, unsettledTableText } from "./text/anomaly-text.ts";
import { doubtText } from "./text/audit-sentences.ts";

/** JSON document of `fwcheck lint --json`. Codes and fields change only with `version`. */
export interface RuleLintJson extends Omit<RuleLint, "anomalies" | "unsettled"> {
  /** Version of the format. */
  readonly version: 1;
  /** Anomalies, each with its sentence. */
  readonly anomalies: readonly (RuleAnomaly & { readonly message: string })[];
  /** Tables whose rules were not all compared, each with a sentence. */
  readonly unsettled: readonly (UnsettledTable & { readonly message: string })[];
  /** Reasons why the kernel may have other rules. */
  readonly doubts: readonly ((HostDoubt | FamilyRulesetDoubt) & { readonly message: string })[];
}

/** Returns the JSON document of anomalies. */
export const lintRulesJson = (
  lint: RuleLint,
  doubts: readonly (HostDoubt | FamilyRulesetDoubt)[] = [],
): RuleLintJson => ({
  version: 1,
  ...lint,
  anomalies: lint.anomalies.map((each) => ({ ...each, message: anomalyText(each) })),
  unsettled: lint.unsettled.map((each) => ({ ...each, message: unsettledTableText(each) })),
  doubts: doubts.map((doubt) => ({ ...doubt, message: doubtText(doubt) })),
});
