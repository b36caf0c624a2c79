/** A rule as results speak of it: its place, its text, and the ufw command that wrote it. */
import { printRule } from "../iptables/print.ts";
import type { Rule, Ruleset, TableName } from "../rules/ruleset.ts";
import { ufwCommand } from "./ufw-rules.ts";

/** A rule as results name it. */
export interface RuleNote {
  /** Its table. */
  readonly table: TableName;
  /** Its chain. */
  readonly chain: string;
  /** Number in its chain, from 1. */
  readonly rule: number;
  /** Line in the input, from 1. */
  readonly line: number;
  /** As iptables-save spells it. */
  readonly text: string;
  /** The ufw command that wrote it, without the word `ufw`; absent for any other rule. */
  readonly ufw?: string;
}

export function ruleNote(rule: Rule, ruleset: Ruleset): RuleNote {
  const ufw = ufwCommand(rule, ruleset);
  return {
    table: rule.table,
    chain: rule.chain,
    rule: rule.index,
    line: rule.line,
    text: printRule(rule, ruleset),
    ...(ufw === null ? {} : { ufw }),
  };
}
