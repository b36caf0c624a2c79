/** Short texts of rules in a picture: the condition, the action, the target. */
import { ufwCommand } from "../../audit/ufw-rules.ts";
import { optionsOf, printTarget, ruleProtocol } from "../../iptables/print.ts";
import { calledChain } from "../../rules/call-graph.ts";
import { chainOf, type Rule, type Ruleset, targetName } from "../../rules/ruleset.ts";
import { counted } from "../text/packet-text.ts";
import type { RowAction } from "./graph-model.ts";

const NAT = ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"];
const NOTES = ["", "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "LED", "IDLETIMER", "RATEEST"];

/** Returns what a rule does with a packet. */
export function rowAction(rule: Rule): Exclude<RowAction, "several"> {
  const { target } = rule;
  if (target.kind === "jump" || target.kind === "goto" || target.kind === "unknown") return target.kind;
  const name = targetName(rule);
  if (name === "ACCEPT") return "accept";
  if (name === "DROP") return "drop";
  if (name === "REJECT") return "reject";
  if (name === "RETURN") return "return";
  if (NAT.includes(name)) return "nat";
  return NOTES.includes(name) ? "note" : "change";
}

/** Prints the condition of a rule; its ufw command if it has one. */
export function conditionText(rule: Rule, ruleset: Ruleset): string {
  const ufw = ufwCommand(rule, ruleset);
  if (ufw !== null) return `ufw ${ufw}`;
  const spelling = { family: ruleset.family, proto: ruleProtocol(rule.matches) };
  const out: string[] = [];
  for (const { extension, values } of rule.matches) {
    if (extension.name === "comment") continue;
    for (const { not, name, words } of optionsOf(extension, values, spelling)) {
      if (not) out.push("!");
      // `tcp dport 80` is as clear as `-p tcp --dport 80`.
      if (name !== "-p" || not) out.push(name.replace(/^--/, ""));
      out.push(...words.map((word) => word.replace(/\/(32|128)$/, "")));
    }
  }
  for (const { words } of rule.unknown) out.push(...words);
  return out.join(" ");
}

const isEmpty = (ruleset: Ruleset, rule: Rule, callee: string): boolean =>
  (chainOf(ruleset, rule.table, callee)?.rules.length ?? 0) === 0;

/** Prints the target of a rule: `ACCEPT`, `DNAT 172.17.0.2:80`, the name of a chain, with ∅ if it is empty. */
export function targetText(rule: Rule, ruleset: Ruleset): string {
  const { target } = rule;
  const name = targetName(rule);
  if (target.kind === "none") return "count";
  const callee = calledChain(rule);
  if (callee !== null) return isEmpty(ruleset, rule, callee) ? `${name} ∅` : name;
  if (rowAction(rule) !== "nat") return name;
  const words = printTarget(target, { family: ruleset.family, proto: ruleProtocol(rule.matches) })
    .split(" ")
    .slice(2);
  return [name, ...words.filter((word) => !word.startsWith("-"))].join(" ");
}

/** Prints the targets of several rules: `ACCEPT` if all have it, else counts such as `3 chains, 6 ACCEPT, 2 empty`. */
export function targetsText(rules: readonly Rule[], ruleset: Ruleset): string {
  const names = new Set(rules.map(targetName));
  if (names.size === 1) return [...names][0]! || "count";
  const counts = new Map<string, number>();
  const chains = new Set<string>();
  let empty = 0;
  for (const rule of rules) {
    const callee = calledChain(rule);
    if (callee !== null) {
      if (isEmpty(ruleset, rule, callee)) empty++;
      else chains.add(callee);
      continue;
    }
    const name = targetName(rule) || "count";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [
    ...(chains.size > 0 ? [counted(chains.size, "chain")] : []),
    ...[...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `${count} ${name}`),
    ...(empty > 0 ? [`${empty} empty`] : []),
  ].join(", ");
}
