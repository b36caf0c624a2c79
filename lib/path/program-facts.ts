/** Facts that matches depend on: the host, its routes, and properties of the whole ruleset. */

import type { Host } from "../host/host.ts";
import type { Family } from "../packet/field.ts";
import type { Facts } from "../rules/facts.ts";
import type { Traits } from "../rules/reading.ts";
import { allRules, type Ruleset } from "../rules/ruleset.ts";
import { addressTypes } from "./address-types.ts";
import { policyRules } from "./policy-rules.ts";
import { reversePath } from "./reverse-path.ts";

/** Returns all traits that rules of a ruleset have, and all sets that they change. */
export function rulesetTraits(ruleset: Ruleset): Traits {
  // Most rules share the traits object of their plan, so few objects are merged.
  const distinct = new Set<Traits>();
  for (const { traits } of allRules(ruleset)) distinct.add(traits);
  const all: Traits = {};
  for (const traits of distinct) Object.assign(all, traits);
  const tracks = ruleset.family === 4 ? all.needsConntrackIpv4 : all.needsConntrackIpv6;
  if (tracks === true) Object.assign(all, { needsConntrack: true });
  return { ...all, changesSets: [...distinct].flatMap((traits) => traits.changesSets ?? []) };
}

/** Returns the facts that the matches of a ruleset with these traits need. */
export function programFacts({ family }: Ruleset, traits: Traits, host: Host): Facts {
  return {
    ...hostFacts(host, family),
    addressIs: addressTypes(host, family),
    lengthens: traits.lengthens === true,
    rewritesOptions: traits.rewritesTcpOptions === true,
    reversePath: (options) => reversePath(host, family, options),
    changing: changedSets(traits.changesSets ?? [], host),
  };
}

/** Returns a test for sets that the rules change: sets that SET names, the members of those, and lists that contain one. */
function changedSets(sets: readonly string[], host: Host): (set: string) => boolean {
  const changed = new Set<string>();
  for (const set of sets) {
    changed.add(set);
    for (const member of host.parts(set)) changed.add(member);
  }
  return (set) => changed.has(set) || host.parts(set).some((member) => changed.has(member));
}

/** Returns the facts that depend on the host alone, not on its routes or the rules. */
function hostFacts(
  host: Host,
  family: Family,
): Omit<Facts, "reversePath" | "changing" | "addressIs" | "lengthens" | "rewritesOptions"> {
  return {
    family,
    routesByTos:
      policyRules(host, family).some(({ tos }) => tos !== null && tos.value !== 0) ||
      host.routes.some((route) => route.family === family && (route.tos ?? 0) !== 0),
    interfaces: host.interfaces.map((i) => i.name),
    groupOf: (name) => host.interfaces.find((i) => i.name === name)?.group,
    bare(name) {
      const link = name === "lo" ? "loopback" : host.interfaces.find((i) => i.name === name)?.link;
      return link !== undefined && link !== "ether";
    },
    member: (set, sides) => (host.setsVary === true ? undefined : host.member(set, sides, family)),
    setsVary: host.setsVary === true,
  };
}
