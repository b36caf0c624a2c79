/**
 * Fast path of the loader: accepts a rule whose values are certainly valid without cutting them out of the text. Most
 * rules of a large file take it.
 */
import { type Rule as RuleSyntax, VALUE_SPANS } from "iptables-parser-ts";
import { LONGEST_TARGET } from "./extensions.ts";
import type { IsValid, Plan, ShapePlans, ValueCheck } from "./rule-plan.ts";

/** Texts that a check remembers, and their maximum length. */
const MOST_SEEN = 8;
const LONGEST_SEEN = 64;

/** Returns the checks of a plan: one for each value, or one for all values of an extension that reads them together. */
export function checksOf({ matches, target }: Plan): ValueCheck[] {
  return [...matches, ...(target === null ? [] : [target])].flatMap(({ slots: all, extension }) => {
    const slots = all.filter((slot) => !slot.fixed && slot.count > 0);
    const { normalize, gather, checksPresence } = extension;
    if (gather === undefined && (normalize === undefined || checksPresence === true))
      return slots.map(({ spec: { codec }, at, count }) =>
        checkOf(at, count, codec.words === 1 ? (codec.isValid ?? null) : null),
      );
    const [first] = slots;
    const last = slots.at(-1);
    return first === undefined ? [] : [checkOf(first.at, last!.at + last!.count - first.at, null)];
  });
}

const checkOf = (at: number, count: number, isValid: IsValid | null): ValueCheck => ({
  start: VALUE_SPANS + 2 * at,
  end: VALUE_SPANS + 2 * (at + count) - 1,
  isValid,
  seen: [],
});

/**
 * Returns the recent plan of a shape that certainly is the plan of this rule, if the rule's values are valid; else `null`.
 *
 * One long function, since it runs for each rule of a large file: calls and allocations would dominate.
 */
export function matchingPlan(
  { spans, at }: RuleSyntax,
  { proto, jump, several, recent }: ShapePlans,
): Plan | null {
  if (spans === null) return null;
  const { text, offsets } = spans;
  plans: for (let k = 0; k < recent.length; k++) {
    const { plan, proto: protocol, word, chain, old } = recent[k]!;
    if (plan.checks === null) continue;
    if (proto !== null) {
      const place = at + VALUE_SPANS + 2 * proto.at;
      const start = offsets[place]!;
      if (offsets[place + 1]! - start !== protocol.length || !text.startsWith(protocol, start)) continue;
    }
    if (jump !== null) {
      const place = at + VALUE_SPANS + 2 * jump.at;
      const start = offsets[place]!;
      const length = offsets[place + 1]! - start;
      if (!chain || length <= LONGEST_TARGET)
        if (length !== word.length || !text.startsWith(word, start)) continue;
    }
    for (let i = 0; i < several.length; i++) {
      const place = at + VALUE_SPANS + 2 * several[i]!.at;
      const start = offsets[place]!;
      if ((offsets[place + 1] === start + 1 && text.startsWith("!", start)) !== old[i]) continue plans;
    }
    const { checks, spelling } = plan;
    values: for (let i = 0; i < checks.length; i++) {
      const { isValid, seen, start: first, end: last } = checks[i]!;
      const start = offsets[at + first]!;
      const end = offsets[at + last]!;
      if (isValid?.(text, start, end, spelling)) continue;
      for (let j = 0; j < seen.length; j++) {
        const known = seen[j]!;
        if (known.length === end - start && text.startsWith(known, start)) continue values;
      }
      return null;
    }
    return plan;
  }
  return null;
}

/** Adds the values of a valid rule to the checks of its plan. */
export function rememberValues({ spans, at }: RuleSyntax, checks: readonly ValueCheck[]): void {
  if (spans === null) return;
  for (const { start, end, seen } of checks) {
    const text = spans.text.slice(spans.offsets[at + start], spans.offsets[at + end]);
    // Text with escapes reads differently with and without quotes.
    if (text.length > LONGEST_SEEN || text.includes("\\") || seen.includes(text)) continue;
    if (seen.unshift(text) > MOST_SEEN) seen.pop();
  }
}
