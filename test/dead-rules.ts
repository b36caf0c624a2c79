/** Places of the rules that no packet may match: those that `lintRules` calls dead, shadowed, or redundant for earlier rules. */
import { type Host, lintRules, type RuleAnomaly, type Ruleset } from "fwcheck";

/** Returns true if the anomaly means that no packet matches the rule. */
const isUnmatched = (a: RuleAnomaly): boolean =>
  a.kind === "redundant" ? a.reason === "earlier" : a.kind !== "correlated";

/** Returns them as `TABLE CHAIN NUMBER`. */
export function deadPlaces(ruleset: Ruleset, host: Host): ReadonlySet<string> {
  const { anomalies } = lintRules([ruleset], host, { all: true });
  return new Set(
    anomalies.filter(isUnmatched).flatMap((a) => {
      const { chain, rule, table } = a.rule;
      // An anomaly about a chain names its first rule.
      const rules = a.kind === "dead" && a.reason === "chain-not-entered" ? a.rules : 1;
      return Array.from({ length: rules }, (_, i) => `${table} ${chain} ${rule + i}`);
    }),
  );
}
