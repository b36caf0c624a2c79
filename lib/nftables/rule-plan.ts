/**
 * Plans: what the loader needs of a rule, for all rules of a shape. A rule fits a plan if the values that the reading depends
 * on are equal or valid, and then has no fault. Most rules of a large file do.
 */
import { type Rule as RuleSyntax, VALUE_SPANS } from "nftables-parser-ts";
import type { Action, Traits } from "../rules/reading.ts";
import type { Datatype } from "./datatype.ts";
import type { RuleScope } from "./rule-scope.ts";
import type { ValueUses } from "./value-uses.ts";

/** Members of a rule that the loader collects once, since `lib/path` reads them of all rules. */
export interface RuleSummary {
  readonly action: Action;
  readonly traits: Traits;
  /** Chains that it calls, or the indexes of the values with their names. */
  readonly calls: readonly string[] | readonly number[];
}

/** A value that every rule of a plan must have. */
interface FixedValue {
  readonly index: number;
  readonly text: string;
}

/** A value that must be a literal of a datatype. */
interface LiteralCheck {
  readonly index: number;
  readonly isValid: Datatype["isValid"];
  readonly quoted: boolean;
  /** Texts that were valid in other rules, the latest first. */
  readonly seen: string[];
}

/** A plan for the rules of one shape. */
export interface RulePlan {
  readonly summary: RuleSummary;
  readonly fixed: readonly FixedValue[];
  readonly literals: readonly LiteralCheck[];
  readonly chains: readonly number[];
}

/** Texts that a check remembers. */
const MOST_SEEN = 8;

/** Returns the chains that a rule calls. */
export function calledChains({ calls }: RuleSummary, rule: RuleSyntax): readonly string[] {
  if (typeof calls[0] !== "number") return calls as readonly string[];
  if (calls.length === 1) return [rule.value(calls[0])];
  return [...new Set((calls as readonly number[]).map((index) => rule.value(index)))];
}

/**
 * Returns a plan for all rules that agree with this one in the values of no certain form; `null` if the called chains depend
 * on more than the values.
 */
export function planOf(rule: RuleSyntax, summary: RuleSummary, uses: ValueUses): RulePlan | null {
  const chains = [...new Set(uses.chains)];
  const calls = chains.length === 0 ? summary.calls : chains;
  const called = calledChains({ ...summary, calls }, rule);
  if (called.length !== summary.calls.length || called.some((name, i) => name !== summary.calls[i]))
    return null;
  return {
    summary: { ...summary, calls },
    fixed: [...uses.others].map((index) => ({ index, text: rule.value(index) })),
    literals: uses.literals.map(({ index, type, quoted }) => ({
      index,
      isValid: quoted === null ? undefined : type.isValid,
      quoted: quoted === true,
      seen: [],
    })),
    chains,
  };
}

/** Returns true if a rule of the shape has the values that all rules of a plan have. */
export const isCovered = ({ fixed }: RulePlan, rule: RuleSyntax): boolean =>
  fixed.every(({ index, text }) => rule.value(index) === text);

/** Remembers values of a rule without a fault. */
export function remember({ literals }: RulePlan, rule: RuleSyntax): void {
  for (const check of literals) {
    const { index, seen } = check;
    const text = rule.value(index);
    if (isValid(check, text, 0, text.length)) continue;
    seen.unshift(text);
    if (seen.length > MOST_SEEN) seen.pop();
  }
}

/** Returns true if a rule of the shape certainly has no fault, so that the summary of the plan is its own. */
export function fits(plan: RulePlan, rule: RuleSyntax, scope: RuleScope): boolean {
  const { fixed, literals, chains } = plan;
  for (let i = 0; i < fixed.length; i++) if (rule.value(fixed[i]!.index) !== fixed[i]!.text) return false;
  for (let i = 0; i < literals.length; i++) if (!holds(literals[i]!, rule)) return false;
  for (let i = 0; i < chains.length; i++) if (!scope.hasChain(rule.value(chains[i]!))) return false;
  return true;
}

function holds(check: LiteralCheck, rule: RuleSyntax): boolean {
  const { spans, at } = rule;
  if (spans === null) {
    const text = rule.value(check.index);
    return isValid(check, text, 0, text.length);
  }
  const { offsets } = spans;
  const place = at + VALUE_SPANS + 2 * check.index;
  return isValid(check, spans.text, offsets[place]!, offsets[place + 1]!);
}

function isValid(check: LiteralCheck, text: string, start: number, end: number): boolean {
  if (check.isValid?.(text, start, end, check.quoted) === true) return true;
  const { seen } = check;
  for (let i = 0; i < seen.length; i++) {
    const known = seen[i]!;
    if (known.length === end - start && text.startsWith(known, start)) return true;
  }
  return false;
}
