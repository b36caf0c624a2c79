/** Checks a policy against the rules of a host, over all packets that open a connection. */
import { budgetDoubt, type Doubt, DoubtCollector } from "../audit/doubt.ts";
import type { Host } from "../host/host.ts";
import type { HostInference } from "../host/inference.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import type { Policy, PolicyFlow } from "./policy.ts";
import { missingZones, nothingElse, type PolicyCheck, PolicyChecker } from "./policy-checker.ts";
import { questionDoubts } from "./question-doubts.ts";

/** Result of `assertPolicy`, as data. */
export interface PolicyResult {
  /** Checks in the order of the policy, for each family whose rules were given and in which the zones have addresses. */
  readonly checks: readonly PolicyCheck[];
  /** Facts about the host that were inferred because no input has them. */
  readonly inferences: readonly HostInference[];
  /** Reasons why a check may be wrong. */
  readonly doubts: readonly Doubt[];
}

/** Options of `assertPolicy`. */
export interface PolicyOptions {
  /** Most intervals that the diagrams of one family may have, about 20 bytes each. Default: 50 million. */
  readonly budget?: number | undefined;
}

/**
 * Checks a policy, over all packets that open a connection. Flows that hold in no family that was given are checked nowhere and
 * are `unsettled`. A family that exceeds the budget becomes a doubt, never an error.
 * @param rulesets at most one per family
 */
export function assertPolicy(
  rulesets: readonly Ruleset[],
  host: Host,
  policy: Policy,
  { budget }: PolicyOptions = {},
): PolicyResult {
  const doubts = new DoubtCollector();
  doubts.add(...questionDoubts(rulesets, host));
  const checks = rulesets.flatMap((ruleset): PolicyCheck[] => {
    try {
      const checker = new PolicyChecker(ruleset, host, policy, doubts, budget);
      return checker.checks();
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) throw error;
      doubts.add(budgetDoubt(ruleset.family, error));
      return [];
    }
  });
  const checked = new Set(checks.map(({ line, name }) => `${line} ${name}`));
  const unchecked = policy.flows
    .filter(({ line, name }) => !checked.has(`${line} ${name}`))
    .filter((flow) => flow.duty !== "allowed" || missingZones([...flow.from, ...flow.to], host).length > 0)
    .map((flow) => unsettled(flow, host, rulesets));
  for (const flow of nothingElse(policy))
    if (!checks.some(({ duty }) => duty === flow.name))
      unchecked.push({ ...unsettled(flow, host, rulesets), duty: flow.name });
  return { checks: [...checks, ...unchecked], inferences: host.inferences, doubts: doubts.all };
}

/** Returns the check of a flow that no given family has zones for. */
const unsettled = (flow: PolicyFlow, host: Host, rulesets: readonly Ruleset[]): PolicyCheck => ({
  duty: flow.duty,
  name: flow.name,
  line: flow.line,
  family: flow.family ?? rulesets[0]?.family ?? 4,
  outcome: "unsettled",
  missing: missingZones([...flow.from, ...flow.to], host),
  violations: [],
});
