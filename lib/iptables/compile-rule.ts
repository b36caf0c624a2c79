/** Compiles a rule of iptables: the conjunction of its matches, and the effect of its target. */
import { and, areDisjoint, opaque, or, type Predicate } from "../packet/predicate.ts";
import type { DropReason, Effect } from "../rules/effect.ts";
import { type Facts, type Site, siteKey } from "../rules/facts.ts";
import type { CompiledRule } from "../rules/ruleset.ts";
import type { IptablesRule, UnknownPart } from "./rule.ts";

/** Returns the predicate of a condition that fwcheck does not know. */
export const unknownPredicate = ({ what }: UnknownPart, site: Site): Predicate =>
  opaque(siteKey(what, site), { code: "unknown-match", what });

/**
 * Compiles a rule on a host. Jumps lead to chains by name; the caller checks that these exist and form no loop. The
 * effect of packets that a match drops (hotdrop) comes first, since the kernel drops them before it evaluates the rest.
 */
export function compileRule(rule: IptablesRule, facts: Facts): CompiledRule {
  const known = rule.matches.map(({ extension, values }) => extension.predicate(values, facts, rule));
  const unknown = rule.unknown.map((each) => unknownPredicate(each, rule));
  let when = and(...known, ...unknown);
  let effect = targetEffect(rule, facts);
  // From the last match to the first, so that the first one is outermost. An unknown condition may precede each match.
  for (let at = known.length - 1; at >= 0; at--) {
    const { extension, values } = rule.matches[at]!;
    const hotdrop = extension.hotdrop?.(values, facts);
    if (hotdrop === undefined) continue;
    const before = and(...known.slice(0, at), ...unknown);
    if (areDisjoint(before, hotdrop.when)) continue;
    const dropped = and(before, hotdrop.when);
    when = or(dropped, when);
    const reason: DropReason = {
      code: "match-drops",
      at: { table: rule.table, chain: rule.chain, rule: rule.index },
      match: extension.name,
      packet: hotdrop.packet,
    };
    effect = { kind: "fork", when: dropped, yes: { kind: "hotdrop", reason }, no: effect };
  }
  return { when, effect };
}

function targetEffect(rule: IptablesRule, facts: Facts): Effect {
  const { target } = rule;
  switch (target.kind) {
    case "none":
      return { kind: "note" };
    case "extension":
      return target.extension.effect(target.values, facts, rule);
    case "unknown":
      return {
        kind: "opaque",
        key: siteKey(target.name, rule),
        reason: { code: "unknown-target", target: target.name },
      };
    case "jump":
    case "goto":
      return { kind: target.kind, chain: target.chain };
  }
}
