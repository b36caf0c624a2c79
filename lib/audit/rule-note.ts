/** Description of a rule in results: its position, its text, and the command that wrote it. */
import { printRule } from "../iptables/print.ts";
import { iptablesName, type Rule, type Ruleset, type TableId } from "../rules/ruleset.ts";
import { ruleCommand } from "./rule-command.ts";
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
  /** Text of the rule, as iptables-save or nft prints it. */
  readonly text: string;
  /** The ufw command that wrote it, without the word `ufw`; absent for any other rule. */
  readonly ufw?: string;
  /**
   * The command of nft or firewall-cmd that adds it, or of the backend of iptables that Docker does not use; absent for all other
   * rules of iptables, and for those that no person types.
   */
  readonly command?: string;
}

/** Returns the description of a rule. */
export function ruleNote(rule: Rule, ruleset: Ruleset): RuleNote {
  const ufw = ufwCommand(rule, ruleset);
  const text = iptablesName(rule.table) !== null ? printRule(rule, ruleset) : rule.text(ruleset);
  const command = ruleCommand(rule, text, ruleset.family);
  return {
    table: rule.table,
    chain: rule.chain,
    rule: rule.index,
    line: rule.line,
    text,
    ...(ufw === null ? {} : { ufw }),
    ...(command === null ? {} : { command }),
  };
}
