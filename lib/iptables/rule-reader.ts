/** Reads a rule of iptables: collects what its matches and its target declare. */
import type { KnownConditions, Needed, Reading, Traits } from "../rules/reading.ts";
import type { IptablesRule } from "./rule.ts";

/** Targets of packages that fwcheck does not know, and that drop the packet (xtables-addons(8)). */
const FOREIGN_DROPS: readonly string[] = ["TARPIT"];

/** Returns the reading of a rule. */
export function readingOf({
  matches,
  unknown,
  target,
}: Pick<IptablesRule, "matches" | "unknown" | "target">): Reading {
  const conditions: Record<string, unknown> = {};
  let others = unknown.length > 0;
  for (const { extension, values } of matches) {
    let read = 0;
    const given: Record<string, unknown> = { ...extension.conditions?.(values) };
    for (const key of Object.keys(given)) {
      const value = given[key];
      if (value === undefined) continue;
      read++;
      const before = conditions[key];
      if (Array.isArray(before)) conditions[key] = [...before, ...(value as readonly unknown[])];
      else if (before === undefined) conditions[key] = value;
      else others = true;
    }
    if (extension.conditions === undefined || Object.keys(values).length > read) others = true;
  }
  const own = target.kind === "extension" ? target : undefined;
  const needs: Needed[] = matches.flatMap((m) => m.extension.requires?.(m.values) ?? []);
  if (own !== undefined) needs.push(...(own.extension.requires?.(own.values) ?? []));
  return {
    ...(conditions as KnownConditions),
    others,
    action: actionOf(target),
    ...(own?.extension.resets?.(own.values) === true ? { resets: true } : {}),
    needs,
  };
}

/** Returns the action of a target. */
export function actionOf(target: IptablesRule["target"]): Reading["action"] {
  switch (target.kind) {
    case "jump":
    case "goto":
    case "none":
      return target.kind;
    case "unknown":
      return FOREIGN_DROPS.includes(target.name) ? "drop" : "unknown";
    case "extension":
      return target.extension.action ?? "other";
  }
}

/** Returns the traits of a rule. */
export const traitsOfRule = ({ matches, target }: Pick<IptablesRule, "matches" | "target">): Traits =>
  Object.assign(
    {},
    ...matches.map(({ extension }) => extension.traits),
    target.kind === "extension" ? target.extension.traits : undefined,
    target.kind === "extension" ? target.extension.traitsOf?.(target.values) : undefined,
  ) as Traits;
