/** Description of a rule in results: its position, its text, and the ufw command that wrote it. */
import { printRule } from "../iptables/print.ts";
import type { Rule, Ruleset, TableId } from "../rules/ruleset.ts";
import { ufwCommand } from "./ufw-rules.ts";

/** Description of a rule. */
export interface RuleNote {
  /** Its table. */
  readonly table: TableId;
  /** Its chain. */
  readonly chain: string;
  /** Number in its chain, from 1. */
  readonly rule: number;
  /** Line in the input, from 1. */
  readonly line: number;
  /** Text of the rule, as iptables-save prints it. */
  readonly text: string;
  /** The ufw command that wrote it, without the word `ufw`; absent for any other rule. */
  readonly ufw?: string;
}

/** Returns the description of a rule. */
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
