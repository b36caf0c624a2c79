/** Effects that depend on the other rules of a ruleset. */
import type { UnknownReason } from "../packet/unknown-reason.ts";
import type { CallGraph } from "../rules/call-graph.ts";
import { type Choice, type Effect, PREPARE } from "../rules/effect.ts";
import { siteKey } from "../rules/facts.ts";
import { chainOf, iptablesName, type Rule, type Ruleset, tablesOf } from "../rules/ruleset.ts";

/** Properties of a ruleset on which the effect of a rule depends. */
export interface RulesetContext {
  readonly ruleset: Ruleset;
  readonly calls: CallGraph;
  /** Rules of table raw, or of a table of nftables, match connections; in raw these only exist after a rule prepared them. */
  readonly matchesConnectionsInRaw: boolean;
}

/** Returns the context of a ruleset. */
export function rulesetContext(ruleset: Ruleset, calls: CallGraph): RulesetContext {
  const raw = tablesOf(ruleset)
    .filter(({ name }) => (iptablesName(name) ?? "raw") === "raw")
    .flatMap(({ chains }) => [...chains.values()]);
  const matchesConnectionsInRaw = raw.some(({ rules }) =>
    rules.some(({ traits }) => traits.needsConntrack === true),
  );
  return { ruleset, calls, matchesConnectionsInRaw };
}

/** Replaces an effect that cannot be followed by an unknown. */
export function resolveEffect(rule: Rule, effect: Effect, context: RulesetContext): Effect {
  const resolve = (part: Effect): Effect => resolveEffect(rule, part, context);
  switch (effect.kind) {
    case "fork": {
      const [yes, no] = [resolve(effect.yes), resolve(effect.no)];
      return yes === effect.yes && no === effect.no ? effect : { ...effect, yes, no };
    }
    case "choice":
      return resolveChoice(effect, resolve);
    case "assign": {
      if (effect.next === undefined) break;
      const next = resolve(effect.next);
      return next === effect.next ? effect : { ...effect, next };
    }
  }
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
  if (context.calls.closesLoop(rule, chain)) return unknown(chain, { code: "jump-loop", chain });
  return effect;
}

/** Resolves the effects of a choice. Cases may share effects, so each is resolved once. */
function resolveChoice(choice: Choice, resolve: (effect: Effect) => Effect): Choice {
  const resolved = new Map<Effect, Effect>();
  let same = true;
  const cases = choice.cases.map((each) => {
    let effect = resolved.get(each.effect);
    if (effect === undefined) resolved.set(each.effect, (effect = resolve(each.effect)));
    if (effect === each.effect) return each;
    same = false;
    return { when: each.when, effect };
  });
  return same ? choice : { kind: "choice", cases };
}
