/**
 * Compares two rulesets on their hosts over all packets: which packets fare differently, which rules decide them, and whether
 * the rules or the host make the difference.
 */

import { budgetDoubt, type Doubt } from "../audit/doubt.ts";
import { rulesOnlyDoubts } from "../audit/input-doubts.ts";
import { withMissing } from "../audit/missing-tables.ts";
import type { Host } from "../host/host.ts";
import type { Family } from "../packet/field.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import { type Ruleset, rulesetDoubts } from "../rules/ruleset.ts";
import type { CompareDoubt, Diff, DiffLimit, DiffSide, SideDoubt } from "./difference.ts";
import { FamilyComparison, type FamilyDiff } from "./family-comparison.ts";
import { foreignLinkLocalAddresses } from "./link-local.ts";

/** Rulesets of both families, and their host. */
export interface ComparedHost {
  /** At most one for each family. */
  readonly rulesets: readonly Ruleset[];
  /** The host. */
  readonly host: Host;
}

/** Limits of a comparison. */
export interface DiffOptions {
  /** Most intervals that the diagrams of one family may have, about 20 bytes each. Default: 50 million. */
  readonly budget?: number | undefined;
  /** Families to compare. Default: both. */
  readonly families?: readonly Family[] | undefined;
}

const FAMILIES: readonly Family[] = [4, 6];
const SIDES: readonly DiffSide[] = ["before", "after"];

const LIMITS: readonly DiffLimit[] = [
  { code: "established-flows" },
  { code: "header-fields" },
  { code: "logging" },
  { code: "outside-ip-hooks" },
];

/**
 * Compares two hosts over all packets. A family that exceeds the budget becomes a doubt, never an error. The packets are
 * those without a known connection: the first ones of connections, and others that conntrack takes for invalid.
 */
export function diff(before: ComparedHost, after: ComparedHost, options: DiffOptions = {}): Diff {
  const sides = { before, after };
  const doubts: SideDoubt[] = SIDES.flatMap((side) =>
    inputDoubts(sides[side]).map((doubt) => ({ side, doubt })),
  );
  const compared: FamilyDiff[] = [];
  for (const family of options.families ?? FAMILIES) {
    const pair = SIDES.map((side) => rulesetOf(sides[side], family));
    const given = pair.map((ruleset) => ruleset !== null);
    if (!given.includes(true)) continue;
    const [old, now] = pair;
    if (old === null || now === null) {
      const side = old === null ? "before" : "after";
      doubts.push({ side, doubt: { code: "family-missing", family } });
      continue;
    }
    const result = compareWithinBudget([old!, before.host], [now!, after.host], options);
    if (result instanceof BudgetExceeded)
      doubts.push(...SIDES.map((side) => ({ side, doubt: budgetDoubt(family, result) })));
    else compared.push(result);
  }
  return {
    changes: compared.flatMap(({ changes }) => changes),
    interfaces: interfacesOfOne(before.host, after.host),
    families: compared.map(({ family }) => family),
    doubts: distinct([...doubts, ...compared.flatMap((each) => each.doubts)]),
    limits: [...LIMITS, ...compared.flatMap(({ family }) => linkLocalLimit(family, before.host, after.host))],
  };
}

function linkLocalLimit(family: Family, ...hosts: readonly Host[]): DiffLimit[] {
  const count = foreignLinkLocalAddresses(family, hosts).length;
  return count === 0 ? [] : [{ code: "link-local-addresses", family, count }];
}

const inputDoubts = ({ rulesets, host }: ComparedHost): (Doubt | CompareDoubt)[] => [
  ...host.doubts,
  ...rulesets.flatMap(rulesetDoubts),
  ...rulesOnlyDoubts(rulesets, host),
];

/** Returns the ruleset of a family; an empty one where the inputs show that the host has none; `null` where they do not. */
function rulesetOf({ rulesets, host }: ComparedHost, family: Family): Ruleset | null {
  const given = rulesets.find((ruleset) => ruleset.family === family);
  if (given !== undefined) return withMissing(given, host);
  if (rulesets.every(({ whole }) => whole !== true)) return null;
  return { family, source: rulesets[0]!.source, tables: new Map(), doubts: [] };
}

function compareWithinBudget(
  [old, hostBefore]: readonly [Ruleset, Host],
  [now, hostAfter]: readonly [Ruleset, Host],
  { budget }: DiffOptions,
): FamilyDiff | BudgetExceeded {
  try {
    return new FamilyComparison(old, hostBefore, now, hostAfter, budget).compare();
  } catch (error) {
    if (error instanceof BudgetExceeded) return error;
    throw error;
  }
}

function interfacesOfOne(before: Host, after: Host): Diff["interfaces"] {
  const [old, now] = [before, after].map(({ interfaces }) => new Set(interfaces.map(({ name }) => name))) as [
    Set<string>,
    Set<string>,
  ];
  return {
    before: [...old].filter((name) => !now.has(name)),
    after: [...now].filter((name) => !old.has(name)),
  };
}

function distinct(doubts: readonly SideDoubt[]): SideDoubt[] {
  return [...new Map(doubts.map((doubt) => [JSON.stringify(doubt), doubt])).values()];
}
