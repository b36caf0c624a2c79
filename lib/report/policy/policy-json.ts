/** The result of a policy as a JSON document. */
import type { PolicyResult } from "../../compare/assertions.ts";
import type { PolicyCheck, PolicyViolation } from "../../compare/policy-checker.ts";
import { type DeciderJson, type DoubtJson, deciderJson, doubtJson } from "../audit-json.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { inferenceText } from "../text/inference-text.ts";
import { checkTitle, violationText } from "./policy-text.ts";

/** A violation, with its sentence. */
export interface PolicyViolationJson extends Omit<PolicyViolation, "decider"> {
  /** The violation in words. */
  readonly text: string;
  /** Rule or policy that decides the example. */
  readonly decider: DeciderJson;
}

/** A check, with its title. */
export interface PolicyCheckJson extends Omit<PolicyCheck, "violations"> {
  /** Name, family and line in words. */
  readonly title: string;
  /** Packets that violate it, or may. */
  readonly violations: readonly PolicyViolationJson[];
}

/** The JSON document of a policy's result. */
export interface PolicyJson extends Omit<PolicyResult, "checks" | "doubts"> {
  /** Version of the document's format. */
  readonly version: 1;
  /** `violated`; else `unsettled` if a check is or there are doubts; else `holds`. */
  readonly outcome: PolicyCheck["outcome"];
  /** One for each flow and family. */
  readonly checks: readonly PolicyCheckJson[];
  /** Facts that were inferred, a sentence for each of `inferences`. */
  readonly inferred: readonly string[];
  /** Reasons why a check may be wrong, a sentence for each of `doubts`. */
  readonly inconclusive: readonly string[];
  /** The same as codes with typed fields. */
  readonly doubts: readonly DoubtJson[];
}

/** Returns the outcome of all checks together. */
export const policyOutcome = ({ checks, doubts }: PolicyResult): PolicyCheck["outcome"] =>
  checks.some(({ outcome }) => outcome === "violated")
    ? "violated"
    : doubts.length > 0 || checks.length === 0 || checks.some(({ outcome }) => outcome === "unsettled")
      ? "unsettled"
      : "holds";

/** Returns the JSON document of a policy's result. */
export const policyJson = (result: PolicyResult): PolicyJson => ({
  version: 1,
  outcome: policyOutcome(result),
  checks: result.checks.map((check) => ({
    ...check,
    title: checkTitle(check),
    violations: check.violations.map((violation) => ({
      ...violation,
      text: violationText(violation),
      decider: deciderJson(violation.decider),
    })),
  })),
  inferred: result.inferences.map(inferenceText),
  inferences: result.inferences,
  inconclusive: result.doubts.map(doubtText),
  doubts: result.doubts.map(doubtJson),
});
