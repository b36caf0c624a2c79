/** Objects that must exist before the kernel accepts a rule: called chains, sets and others. */
import type { Needed } from "../../rules/reading.ts";
import { chainOf, type Rule } from "../../rules/ruleset.ts";
import { restored } from "../apply-restore.ts";
import { isOurs } from "../chain-names.ts";
import type { FamilyRules } from "./family.ts";
import { restore } from "./restore.ts";

/** An object that a rule names. */
export interface Need {
  readonly kind: "chain" | Needed["kind"];
  readonly name: string;
}

/** Returns everything that has to exist before the kernel accepts a rule. */
export const needsOf = ({ calledChains, reading: { needs } }: Rule): Need[] => [
  ...needs,
  ...calledChains.map((name): Need => ({ kind: "chain", name })),
];

/** Returns our rules in the order in which the forms print them. */
export function ourRules(part: FamilyRules): Rule[] {
  const fixed = restored(part.ruleset, restore(part));
  return [...part.chains.keys()].flatMap((chain) => chainOf(fixed, "filter", chain)?.rules ?? []);
}

/** Returns the objects that a rule of ours names and that the fix does not create. */
export const foreign = (rule: Rule, { sets }: FamilyRules): Need[] =>
  needsOf(rule).filter(({ kind, name }) =>
    kind === "chain" ? !isOurs(name) : kind !== "ipset" || !sets.some((set) => set.name === name),
  );
