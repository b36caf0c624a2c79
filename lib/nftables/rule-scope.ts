/** Names that a rule may use: sets, objects and chains of its table. */
import type { Rule } from "nftables-parser-ts";
import type { ElementSet } from "./element-set.ts";
import type { Scope } from "./scope.ts";

/** Scope of a rule. */
export interface RuleScope extends Scope {
  /** Set or map of the table; `undefined` if it does not exist. */
  set(name: string): ElementSet | undefined;
  /** Body of an object of the table, statement by statement; `undefined` if it does not exist. */
  object(type: string, name: string): readonly (readonly string[])[] | undefined;
  hasChain(name: string): boolean;
  /** Name of the chain that holds the rules of a jump to braces. */
  anonymousChain(rules: readonly Rule[]): string;
}
