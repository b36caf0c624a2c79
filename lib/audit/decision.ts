/** The rule or policy that decides an answer of the simulator. */
import type { EndReason } from "../path/end-reason.ts";
import type { Step } from "../path/program.ts";
import { decidesByPolicy, isDecidingChain, type SetDecider } from "../reach/attributed-engine.ts";
import type { BaseChain } from "../rules/base-chain.ts";
import { chainOf, iptablesName, type Ruleset, type TableId } from "../rules/ruleset.ts";
import type { Answer, Outcome } from "../simulate/answer.ts";
import { type RuleNote, ruleNote } from "./rule-note.ts";
import { hasUfwDefaults, ufwCommandStep, ufwDefault } from "./ufw-rules.ts";

/** A rule that decides. */
export interface DecidingRule extends RuleNote {
  /** Code of the decision. */
  readonly code: "rule";
}

/** Policy or other cause that decides a packet where no rule of the ruleset does. */
export type DecidedWithoutRule =
  /** The policy of a base chain; `ufw` is the default that sets it, as an argument of `ufw`. */
  | {
      readonly code: "policy";
      readonly table: TableId;
      readonly chain: string;
      readonly verdict: string;
      readonly ufw?: string;
    }
  /** A packet that returns from the end of a chain. */
  | { readonly code: "end-of-chain"; readonly chain: string }
  /** A rule that the ruleset does not contain, by its number. */
  | { readonly code: "unlisted-rule"; readonly chain: string; readonly number: number }
  /** No rule and no policy was evaluated. */
  | { readonly code: "no-rule" }
  /** The path ends outside the rules, for example without a route. */
  | { readonly code: "outside-rules"; readonly reason: EndReason }
  /** Only firewalls that were not read may decide. */
  | { readonly code: "not-read"; readonly by: readonly string[] };

/** Rule, policy or other cause that decides a packet. */
export type Decider = DecidingRule | DecidedWithoutRule;

/** Returns the last step in a base chain that filters: of table filter, or of type filter in nftables. */
function lastFilterStep(path: readonly Step[], ruleset: Ruleset): Step | undefined {
  let current: BaseChain | null = null;
  let last: Step | undefined;
  for (const step of path) {
    // A path enters a base chain by a rule or the policy of that chain.
    current = chainOf(ruleset, step.table, step.chain)?.base ?? current;
    if (current === null || !isDecidingChain(current)) continue;
    if (step.step !== "policy" || decidesByPolicy(current)) last = step;
  }
  return last;
}

/** Returns the step that decides an answer: for an accepted packet the last one in a base chain that filters, else the last one. */
export const decidingStep = (
  { verdict, path }: Pick<Answer, "verdict" | "path">,
  ruleset: Ruleset,
): Step | undefined => (verdict === "accept" ? lastFilterStep(path, ruleset) : path.at(-1));

/** Returns the rule or policy that decides an answer. */
export function deciderOf(answer: Answer, ruleset: Ruleset): Decider {
  const isAccepted = answer.verdict === "accept";
  const last =
    decidingStep(answer, ruleset) ??
    (isAccepted ? answer.path.findLast((s) => iptablesName(s.table) !== null) : undefined);
  if (answer.reasonCode !== undefined) return { code: "outside-rules", reason: answer.reasonCode };
  if (last === undefined) return { code: "no-rule" };
  const decisive = (last.step === "rule" ? ufwCommandStep(last, answer.path) : undefined) ?? last;
  if (decisive.step === "policy") return policyDecider(decisive, ruleset);
  if (decisive.step === "return") return { code: "end-of-chain", chain: decisive.chain };
  const rule = chainOf(ruleset, decisive.table, decisive.chain)?.rules.find((r) => r.index === decisive.rule);
  return rule === undefined
    ? { code: "unlisted-rule", chain: decisive.chain, number: decisive.rule }
    : { code: "rule", ...ruleNote(rule, ruleset) };
}

/** Returns the rule that opens a port to a packet: the one that translates its destination, else the decider. */
export function openerOf(answer: Answer, ruleset: Ruleset): Decider {
  const { path } = outcomesOf(answer).find(({ verdict }) => verdict === "accept") ?? answer;
  for (const step of path) {
    if (step.step !== "rule") continue;
    const rule = chainOf(ruleset, step.table, step.chain)?.rules.find((r) => r.index === step.rule);
    if (rule?.action === "dnat") return { code: "rule", ...ruleNote(rule, ruleset) };
  }
  return deciderOf(answer, ruleset);
}

function policyDecider(
  { table, chain, policy }: Pick<Extract<Step, { step: "policy" }>, "table" | "chain" | "policy">,
  ruleset: Ruleset,
): DecidedWithoutRule {
  return {
    code: "policy",
    table,
    chain,
    verdict: policy,
    ...(hasUfwDefaults(ruleset, table) ? { ufw: ufwDefault(chain, policy) } : {}),
  };
}

/** Returns the rule, policy or cause that decides a set of packets. */
export function deciderOfSet(decider: SetDecider, ruleset: Ruleset): Decider {
  switch (decider.kind) {
    case "rule":
      return { code: "rule", ...ruleNote(decider.rule, ruleset) };
    case "taken":
      return { code: "outside-rules", reason: decider.reason };
    case "policy": {
      const { table, name, policy } = decider.chain;
      return policyDecider({ table, chain: name, policy: policy ?? "ACCEPT" }, ruleset);
    }
  }
}

/** Returns the branches of an answer, or the answer itself where it has none. */
export const outcomesOf = (answer: Answer): readonly Outcome[] => answer.branches ?? [answer];

/**
 * Returns the verdict that all branches share, else the answer's own. An unknown that only decides a translation makes
 * the answer undecided, but not its verdict.
 */
export function sharedVerdict(answer: Answer): Answer["verdict"] {
  const [first, ...others] = outcomesOf(answer);
  return first !== undefined && others.every(({ verdict }) => verdict === first.verdict)
    ? first.verdict
    : answer.verdict;
}
