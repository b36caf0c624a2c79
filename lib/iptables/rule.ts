/** Rules of iptables: matches and a target of extensions, and what fwcheck does not know. */
import type { Rule as RuleSyntax } from "iptables-parser-ts";
import type { Rule } from "../rules/ruleset.ts";
import type { MatchExtension, Options, TargetExtension, Values } from "./extension.ts";

/** A match of a rule with the values of its options. */
export interface Match {
  readonly extension: MatchExtension;
  readonly values: Values<Options>;
}

/** A match or option that fwcheck does not know or cannot read. Its text is kept; its predicate is an unknown. */
export interface UnknownPart {
  /** `match frobnicate`, `option --frob`. */
  readonly what: string;
  readonly words: readonly string[];
}

/** Target of a rule. */
export type Target =
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  | { readonly kind: "extension"; readonly extension: TargetExtension; readonly values: Values<Options> }
  | { readonly kind: "unknown"; readonly name: string; readonly words: readonly string[] }
  /** No `-j`: the rule counts packets and evaluation continues. */
  | { readonly kind: "none" };

/** A rule of iptables. */
export interface IptablesRule extends Rule {
  /** The rule matches if each match does. */
  readonly matches: readonly Match[];
  /** Conditions that fwcheck does not know. */
  readonly unknown: readonly UnknownPart[];
  readonly target: Target;
  /** Syntax tree of its text. */
  readonly syntax: RuleSyntax;
}

/** Returns true for a rule of iptables. */
export const isIptables = (rule: Rule): rule is IptablesRule => "syntax" in rule && "matches" in rule;

/**
 * Returns the rule with the members of iptables.
 * @throws TypeError for a rule of another language
 */
export function asIptables(rule: Rule): IptablesRule {
  if (!isIptables(rule))
    throw new TypeError(`${rule.table} ${rule.chain} has a rule that is not of iptables`);
  return rule;
}

/** Returns the number of matches that fwcheck knows. The options before all matches count as one match. */
export const countKnownMatches = (rule: Rule): number => asIptables(rule).matches.length;

/** Returns true for a rule that its text inserts (`-I`); otherwise the text appends it (`-A`). */
export const isInserted = (rule: Rule): boolean => asIptables(rule).syntax.command === "-I";
