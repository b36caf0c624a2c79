/** The point at which evaluation continues after a packet returns from a chain. */
import { type Chain, chainOf } from "../../rules/ruleset.ts";
import type { ReturnPoint } from "./rule-action.ts";
import type { RulesetIndex } from "./ruleset-index.ts";

/** Returns the point at which evaluation continues after the chain. */
export function returnPoint(chain: Chain, { ruleset, calls }: RulesetIndex): ReturnPoint {
  if (chain.policy !== null) return { code: "policy", chain: chain.name, policy: chain.policy };
  const callers = calls.callers(chain.table, chain.name);
  const [call] = callers;
  if (call === undefined) return { code: "not-called" };
  if (callers.length > 1) return { code: "several-callers" };
  if (call.action === "goto") return { code: "caller-of", chain: call.chain };
  const caller = chainOf(ruleset, call.table, call.chain)!;
  const next = caller.rules.find((rule) => rule.index > call.index);
  return next === undefined
    ? { code: "end", chain: call.chain, policy: caller.policy }
    : { code: "rule", chain: call.chain, rule: next.index };
}
