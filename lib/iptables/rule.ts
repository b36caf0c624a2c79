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
export interface Unknown {
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
  readonly unknown: readonly Unknown[];
  readonly target: Target;
  readonly syntax: RuleSyntax;
}

declare module "../rules/ruleset.ts" {
  // Until no other room reads these members: every rule is one of iptables.
  interface Rule {
    /** The rule matches if each match does. */
    readonly matches: readonly Match[];
    /** Conditions that fwcheck does not know. */
    readonly unknown: readonly Unknown[];
    /** Target. */
    readonly target: Target;
    /** Syntax tree of its text. */
    readonly syntax: RuleSyntax;
  }
}
