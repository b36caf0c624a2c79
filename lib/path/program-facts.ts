/** Facts that matches depend on: the host, its routes, and properties of the whole ruleset. */
import { factsOf, type Host } from "../host/host.ts";
import type { Facts } from "../rules/facts.ts";
import type { Traits } from "../rules/reading.ts";
import { allRules, type Ruleset } from "../rules/ruleset.ts";
import { addressTypes } from "./address-types.ts";
import { reversePath } from "./reverse-path.ts";

/** Returns true if any rule has a trait. */
export function hasTrait(ruleset: Ruleset, trait: keyof Traits): boolean {
  for (const { traits } of allRules(ruleset)) if (traits[trait] === true) return true;
  return false;
}

/** Returns the facts that the matches of a ruleset need. */
export function programFacts(ruleset: Ruleset, host: Host): Facts {
  const { family } = ruleset;
  return {
    ...factsOf(host, family),
    addressIs: addressTypes(host, family),
    lengthens: hasTrait(ruleset, "lengthens"),
    rewritesOptions: hasTrait(ruleset, "rewritesTcpOptions"),
    reversePath: (options) => reversePath(host, family, options),
    changing: changedSets(ruleset, host),
  };
}

/** Returns a test for sets that the rules change: sets that SET names, the members of those, and lists that contain one. */
function changedSets(ruleset: Ruleset, host: Host): (set: string) => boolean {
  const changed = new Set<string>();
  for (const { traits } of allRules(ruleset))
    for (const set of traits.changesSets ?? []) {
      changed.add(set);
      for (const member of host.parts(set)) changed.add(member);
    }
  return (set) => changed.has(set) || host.parts(set).some((member) => changed.has(member));
}
