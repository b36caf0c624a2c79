/** Short texts of rules in a picture: the condition, the action, the target. */
import { ufwCommand } from "../../audit/ufw-rules.ts";
import { calledChain, chainOf, type Rule, type Ruleset } from "../../rules/ruleset.ts";
import { counted } from "../text/list.ts";
import type { RowAction } from "./graph-model.ts";

/** Returns what a rule does with a packet. */
export function rowAction(rule: Rule): Exclude<RowAction, "several"> {
  switch (rule.action) {
    case "dnat":
    case "snat":
    case "masquerade":
    case "redirect":
    case "netmap":
      return "nat";
    case "log":
    case "none":
      return "note";
    case "other": {
      const { traits, sideEffect } = rule;
      const changesPacket =
        traits.rewritesTcpOptions === true || traits.lengthens === true || traits.preparesConnection === true;
      return sideEffect === null || changesPacket ? "change" : "note";
    }
    default:
      return rule.action;
  }
}

/** Prints the condition of a rule; its ufw command if it has one. */
export function conditionText(rule: Rule, ruleset: Ruleset): string {
  const ufw = ufwCommand(rule, ruleset);
  if (ufw !== null) return `ufw ${ufw}`;
  return rule.conditions
    .filter(({ reading }) => reading.comments === undefined)
    .flatMap((condition) => shortWords(condition.text(ruleset)))
    .join(" ");
}

/** A quoted string, or text without blanks. */
const WORD = /"(?:[^"\\]|\\.)*"|\S+/g;

/** Words of a condition without `-m NAME`, `-p`, dashes and the prefix lengths of single addresses. */
function shortWords(text: string): string[] {
  const words = text.replace(/^-m \S+ ?/, "").match(WORD) ?? [];
  return words
    .filter((word, i) => word !== "-p" || words[i - 1] === "!")
    .map((word) => word.replace(/^--/, "").replace(/\/(32|128)$/, ""));
}

const isEmpty = (ruleset: Ruleset, rule: Rule, callee: string): boolean =>
  (chainOf(ruleset, rule.table, callee)?.rules.length ?? 0) === 0;

/** Prints the target of a rule: `ACCEPT`, `DNAT 172.17.0.2:80`, the name of a chain, with ∅ if it is empty. */
export function targetText(rule: Rule, ruleset: Ruleset): string {
  const name = rule.targetName;
  if (rule.action === "none") return "count";
  const callee = calledChain(rule);
  if (callee !== null) return isEmpty(ruleset, rule, callee) ? `${name} ∅` : name;
  if (rowAction(rule) !== "nat") return name;
  const words = rule.targetText(ruleset).split(" ").slice(2);
  return [name, ...words.filter((word) => !word.startsWith("-"))].join(" ");
}

/** Prints the targets of several rules: `ACCEPT` if all have it, else counts such as `3 chains, 6 ACCEPT, 2 empty`. */
export function targetsText(rules: readonly Rule[], ruleset: Ruleset): string {
  const names = new Set(rules.map((rule) => rule.targetName));
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
    const name = rule.targetName || "count";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [
    ...(chains.size > 0 ? [counted(chains.size, "chain")] : []),
    ...[...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `${count} ${name}`),
    ...(empty > 0 ? [`${empty} empty`] : []),
  ].join(", ");
}
