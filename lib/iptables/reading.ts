/** Reads a rule of iptables: collects what its matches and its target declare. */
import type { Conditions, Needed, Reading, Traits } from "../rules/reading.ts";
import type { Rule } from "../rules/ruleset.ts";

/** Targets of packages that fwcheck does not know, and that drop the packet (xtables-addons(8)). */
const FOREIGN_DROPS: readonly string[] = ["TARPIT"];

/** Returns the reading of a rule. */
export function readingOf({
  matches,
  unknown,
  target,
}: Pick<Rule, "matches" | "unknown" | "target">): Reading {
  const conditions: Record<string, unknown> = {};
  let others = unknown.length > 0;
  let given = 0;
  for (const { extension, values } of matches) {
    const declared = Object.entries(extension.conditions?.(values) ?? {});
    let read = 0;
    for (const [key, value] of declared) {
      if (value === undefined) continue;
      read++;
      const before = conditions[key];
      if (Array.isArray(before)) conditions[key] = [...before, ...(value as readonly unknown[])];
      else if (before === undefined) conditions[key] = value;
      else others = true;
    }
    const options = Object.keys(values).length;
    if (extension.conditions === undefined || options > read) others = true;
    if (extension.conditions === undefined) given++;
    else if (!declared.some(([key]) => key === "comments")) given += options;
  }
  const own = target.kind === "extension" ? target : undefined;
  const needs: Needed[] = matches.flatMap((m) => m.extension.names?.(m.values) ?? []);
  if (own !== undefined) needs.push(...(own.extension.names?.(own.values) ?? []));
  return {
    ...(conditions as Conditions),
    others,
    unconditional: unknown.length === 0 && given === 0,
    action: actionOf(target),
    ...(target.kind === "jump" || target.kind === "goto" ? { chain: target.chain } : {}),
    ...(own?.extension.resets?.(own.values) === true ? { resets: true } : {}),
    needs,
  };
}

function actionOf(target: Rule["target"]): Reading["action"] {
  switch (target.kind) {
    case "jump":
    case "goto":
    case "none":
      return target.kind;
    case "unknown":
      return FOREIGN_DROPS.includes(target.name) ? "drop" : "other";
    case "extension":
      return target.extension.action ?? "other";
  }
}

/** Returns the traits of a rule. */
export const traitsOfRule = ({ matches, target }: Pick<Rule, "matches" | "target">): Traits =>
  Object.assign(
    {},
    ...matches.map(({ extension }) => extension.traits),
    target.kind === "extension" ? target.extension.traits : undefined,
    target.kind === "extension" ? target.extension.traitsOf?.(target.values) : undefined,
  ) as Traits;

/** Returns a copy of a rule with other matches. A loaded rule computes its members when needed, so a spread copies none. */
export function withParts(
  rule: Rule,
  { matches = rule.matches, unknown = rule.unknown }: Partial<Pick<Rule, "matches" | "unknown">>,
): Rule {
  const { table, chain, index, line, counters, syntax, target } = rule;
  const parts = { matches, unknown, target };
  return {
    table,
    chain,
    index,
    line,
    counters,
    syntax,
    ...parts,
    reading: readingOf(parts),
    traits: traitsOfRule(parts),
  };
}
