/** Effects that depend on the other rules of a ruleset. */
import type { UnknownReason } from "../packet/unknown-reason.ts";
import type { CallGraph } from "../rules/call-graph.ts";
import { type Effect, PREPARE } from "../rules/effect.ts";
import { siteKey } from "../rules/facts.ts";
import { chainOf, type Rule, type Ruleset } from "../rules/ruleset.ts";

/** Properties of a ruleset on which the effect of a rule depends. */
export interface RulesetContext {
  readonly ruleset: Ruleset;
  readonly calls: CallGraph;
  /** Rules of table raw match connections; in raw these only exist after a rule prepared them. */
  readonly matchesConnectionsInRaw: boolean;
}

/** Returns the context of a ruleset. */
export function rulesetContext(ruleset: Ruleset, calls: CallGraph): RulesetContext {
  const raw = [...(ruleset.tables.get("raw")?.chains.values() ?? [])];
  const matchesConnectionsInRaw = raw.some(({ rules }) =>
    rules.some(({ traits }) => traits.needsConntrack === true),
  );
  return { ruleset, calls, matchesConnectionsInRaw };
}

/** Replaces an effect that cannot be followed by an unknown. */
export function resolveEffect(rule: Rule, effect: Effect, context: RulesetContext): Effect {
  if (effect.kind === "fork" && effect.yes.kind === "hotdrop")
    return { ...effect, no: resolveEffect(rule, effect.no, context) };
  const unknown = (name: string, reason: UnknownReason): Effect => ({
    kind: "opaque",
    key: siteKey(name, rule),
    reason,
  });
  if (effect === PREPARE && context.matchesConnectionsInRaw)
    return unknown("CT", { code: "prepared-in-raw" });
  if (effect.kind !== "jump" && effect.kind !== "goto") return effect;
  const { chain } = effect;
  if (chainOf(context.ruleset, rule.table, chain) === undefined)
    return unknown(chain, { code: "chain-missing", chain });
  if (context.calls.closesLoop(rule)) return unknown(chain, { code: "jump-loop", chain });
  return effect;
}
