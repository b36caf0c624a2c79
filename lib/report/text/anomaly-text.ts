/** Anomalies of rules in words. */
import type { AnomalyCause, RuleAnomaly, RuleLint, UnsettledTable } from "../../audit/rule-anomaly.ts";
import type { RuleNote } from "../../audit/rule-note.ts";
import { counted } from "./list.ts";
import { indented, PLAIN, type Style, safe } from "./terminal.ts";

/** Most causes that a sentence names. JSON has all of them. */
const MOST_NAMED = 4;

/** Returns why a rule is an anomaly, and what to do. */
export function anomalyText(anomaly: RuleAnomaly): string {
  switch (anomaly.kind) {
    case "dead":
      switch (anomaly.reason) {
        case "contradiction":
          return "no packet matches this rule: its conditions exclude each other";
        case "no-packet":
          return `no packet that enters ${anomaly.rule.chain} matches this rule`;
        case "chain-not-entered":
          return `no packet enters ${anomaly.rule.chain}, a chain of ${counted(anomaly.rules, "rule")}: no hook and no rule that packets can match leads to it`;
      }
      break;
    case "shadowed": {
      const others = anomaly.by.filter(({ decides }) => decides === "otherwise");
      const shown = others.length > 0 ? others : anomaly.by.filter(({ decides }) => decides === "unknown");
      const verb = shown.length === 1 ? "decides" : "decide";
      const how = others.length > 0 ? `${verb} otherwise` : "may decide otherwise";
      return `no packet matches this rule: earlier rules take all of its packets, and ${causesText(shown)} ${how}; move it up or remove it`;
    }
    case "correlated":
      return `some of its packets also match ${causesText(anomaly.by)}, earlier and with another verdict, and neither matches all packets of the other: the order of these rules decides`;
    case "redundant": {
      if (anomaly.reason === "earlier")
        return `no packet matches this rule: ${causesText(anomaly.by)} ${anomaly.by.length === 1 ? "takes" : "take"} all of its packets and ${anomaly.by.length === 1 ? "does" : "do"} the same; it can be removed`;
      const end = anomaly.reachesEnd ? ["what follows the end of the chain"] : [];
      const causes = [...(anomaly.by.length > 0 ? [causesText(anomaly.by)] : []), ...end];
      if (causes.length === 0)
        return "it can be removed: the chain that it calls decides none of its packets";
      const one = causes.length === 1 && anomaly.by.length < 2;
      return `it can be removed: ${causes.join(" and ")} ${one ? "does" : "do"} the same with all packets that match this rule`;
    }
  }
}

function causesText(causes: readonly AnomalyCause[]): string {
  const more = causes.length - MOST_NAMED;
  const named = causes.slice(0, MOST_NAMED).map(({ rule }) => placeText(rule));
  return `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** `rule 3 (line 12: -A INPUT -j DROP)`. */
const placeText = ({ line, rule, text }: RuleNote): string => `rule ${rule} (line ${line}: ${text})`;

/** Returns why the rules of a table were not compared. */
export function unsettledTableText({ family, limit, table, unit }: UnsettledTable): string {
  if (unit === "pairs of rules")
    return `correlated rules of table ${table} of IPv${family} are not listed: there are more than ${limit} ${unit}`;
  const advice = unit === "intervals" || unit === "steps" ? "; raise --budget" : "";
  return `table ${table} of IPv${family} was not compared: its packet sets need more than ${limit} ${unit}${advice}`;
}

/** Returns the anomalies as text, at 80 columns. */
export function lintRulesText(lint: RuleLint, style: Style = PLAIN): string {
  const { anomalies, omitted, rules, unsettled } = lint;
  const lines: string[] = [];
  let section = "";
  for (const anomaly of anomalies) {
    const { chain, line, rule, table, text } = anomaly.rule;
    const families = anomaly.families.map((family) => `IPv${family}`).join(" and ");
    const title = `${families} table ${table} chain ${chain}`;
    if (title !== section) lines.push(...(section === "" ? [] : [""]), style.bold(safe(title)));
    section = title;
    lines.push(
      ...indented(`  ${style.cyan(`rule ${rule}`)}`, safe(`(line ${line}): ${text}`), 4),
      ...indented(`    ${style.yellow(`${anomaly.kind}:`)}`, safe(anomalyText(anomaly)), 6),
    );
  }
  if (lines.length > 0) lines.push("");
  for (const each of unsettled)
    lines.push(...indented(style.yellow("inconclusive:"), safe(unsettledTableText(each))));
  lines.push(summaryText(anomalies, rules));
  if (omitted > 0)
    lines.push(
      `${counted(omitted, "rule")} that programs wrote ${omitted === 1 ? "is" : "are"} not listed; --all lists them.`,
    );
  return `${lines.join("\n")}\n`;
}

function summaryText(anomalies: readonly RuleAnomaly[], rules: number): string {
  const count = (kind: RuleAnomaly["kind"]): number => anomalies.filter((each) => each.kind === kind).length;
  const correlated = count("correlated") > 0 ? `, ${count("correlated")} correlated` : "";
  return `${counted(rules, "rule")}: ${count("dead")} dead, ${count("shadowed")} shadowed, ${count("redundant")} redundant${correlated}.`;
}
