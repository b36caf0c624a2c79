/** Sentences about the verdict of a trace: the reason, the unknowns it depends on, and rules of INPUT that were skipped. */
import { hasUfwDefaults, ufwCommand, ufwCommandStep, ufwDefault } from "../../audit/ufw-rules.ts";
import { containerAt } from "../../host/host.ts";
import { familyOf, parseAddress, printAddress } from "../../packet/address.ts";
import type { Address } from "../../packet/field.ts";
import type { Step } from "../../path/program.ts";
import { printAssumption, unknownName, unknownSubject } from "../../path/unknown-key.ts";
import { iptablesName } from "../../rules/ruleset.ts";
import type { Outcome, Trace, TracedBranch } from "../../simulate/answer.ts";
import type { Supposition } from "../../simulate/assumption.ts";
import { assumptionText, suppositionReasonText } from "../text/assumption-text.ts";
import { counted, listText } from "../text/list.ts";
import { at, shellQuoted } from "../text/packet-text.ts";
import { endReasonText } from "../text/reason-text.ts";
import { safe } from "../text/terminal.ts";
import { wrap } from "../text/wrap.ts";
import {
  branchLetter,
  countOutcomes,
  countSimilar,
  decidingSuppositions,
  shownBranches,
} from "./branches.ts";
import { ruleAt, type TextContext, verdictColour } from "./text-context.ts";

/** Wraps a paragraph; lines after the first are indented. */
export function paragraph(
  text: string,
  { width }: TextContext,
  paint: (text: string) => string,
  indent = "",
): string[] {
  return text === "" ? [] : wrap(text, width - indent.length, 2).map((line) => `${indent}${paint(line)}`);
}

/** Returns the verdict with its reason, one or more paragraphs. */
export function conclusion(trace: Trace, context: TextContext): string[] {
  const { answer, branches } = trace;
  if (answer.branches !== undefined) return undecided(branches, context);
  const reason = outcomeText(branches[0] ?? answer, context);
  const text = branches.length > 1 ? `Either way ${answer.verdict}; as shown, ${reason}` : reason;
  const out = paragraph(`${text}.`, context, verdictColour(answer.verdict, context.style));
  return [...out, ...skippedInputText(trace, context)];
}

function undecided(branches: readonly TracedBranch[], context: TextContext): string[] {
  const { yellow, dim } = context.style;
  const shown = shownBranches(branches);
  const hidden = countOutcomes(branches) - shown.length;
  const verdicts = [...new Set(branches.map((b) => b.verdict))];
  const subject =
    verdicts.length === 1 ? `${verdicts[0]}, but the path depends` : `${listText(verdicts)}, depending`;
  const lead = `UNDECIDED: ${subject} on facts that the inputs do not contain. Decide with --assume:`;
  const out = paragraph(lead, context, yellow);
  for (const [i, branch] of shown.entries()) {
    const options = assumeOptions(branch, branches);
    const text = `${branchLetter(i)}. ${outcomeText(branch, context)}${options === "" ? "" : `: ${options}`}`;
    out.push(...paragraph(text, context, yellow, "  "));
  }
  if (hidden > 0) out.push(`  and ${counted(hidden, "more outcome")}, not shown`);
  const reasons = shown
    .flatMap((branch) => decidingSuppositions(branch, branches))
    .map(({ key, reason }) => `${unknownName(key)}: ${suppositionReasonText(reason)}`);
  for (const reason of new Set(reasons)) out.push(...paragraph(safe(reason), context, dim, "  "));
  return out;
}

/** `recent matches in filter INPUT rule 3 (line 12)`. */
function suppositionClause({ key, truth, reason, at: place }: Supposition, context: TextContext): string {
  const not = (yes: string, no: string): string => (truth ? yes : no);
  if (reason.code === "may-drop")
    return `${safe(reason.by)}, which is not read, ${not("drops", "does not drop")} it in ${safe(reason.hook)}`;
  if (reason.code === "may-change")
    return `${safe(reason.by)}, which is not read, ${not("changes", "does not change")} it`;
  const name =
    reason.code === "field-missing" ? `the missing field ${reason.field}` : safe(unknownSubject(key)) || "it";
  if (place === null) return `${name} ${not("holds", "does not hold")}`;
  const rule = ruleAt(place.table, place.chain, place.rule, context);
  const line = rule === undefined || rule.line === 0 ? "" : ` (line ${rule.line})`;
  return `${name} ${not("matches", "does not match")} in ${place.table} ${safe(place.chain)} rule ${place.rule}${line}`;
}

/** `if recent matches in filter INPUT rule 3`: the condition of a branch. */
export function branchCondition(
  branch: TracedBranch,
  branches: readonly TracedBranch[],
  context: TextContext,
): string {
  const parts = decidingSuppositions(branch, branches).map((s) => suppositionClause(s, context));
  return parts.length === 0 ? "otherwise" : `if ${parts.join(", and ")}`;
}

/** The `--assume` options that select a branch. */
function assumeOptions(branch: TracedBranch, branches: readonly TracedBranch[]): string {
  const more = countSimilar(branch, branches);
  const options = decidingSuppositions(branch, branches).map(
    ({ key, truth }) => `--assume ${shellQuoted(printAssumption(key, truth))}`,
  );
  return `${options.join(" ")}${more > 0 ? ` (and ${counted(more, "more path")} with the same result)` : ""}`;
}

/** Returns assumptions that no branch depends on: inferences, and unknowns that do not change the result. */
export function assumptionTexts({ answer, branches }: Trace, context: TextContext): string[] {
  if (branches.length === 0) return answer.assumptionCodes.map(assumptionText);
  const inferences = answer.assumptionCodes.filter(({ code }) => code !== "supposed").map(assumptionText);
  if (answer.branches !== undefined) return inferences;
  const suppositions = new Map(branches.flatMap((b) => b.suppositions.map((s) => [s.key, s] as const)));
  return [
    ...inferences,
    ...[...suppositions.values()].map(
      (s) => `the result is the same whether or not ${suppositionClause({ ...s, truth: true }, context)}`,
    ),
  ];
}

/** The rule of INPUT that would have decided otherwise, and the translation that made the packet skip INPUT. */
export function skippedInputText({ answer, branches, skippedInput }: Trace, context: TextContext): string[] {
  const [branch] = branches;
  if (skippedInput === null || branch === undefined || skippedInput.verdict === "undecided") return [];
  if ((skippedInput.verdict === "accept") === (answer.verdict === "accept")) return [];
  const would = { accept: "accepted", drop: "dropped", reject: "rejected" }[skippedInput.verdict];
  const nat = branch.events.find(
    (e) =>
      e.kind === "table" &&
      iptablesName(e.table) === "nat" &&
      e.hook === "PREROUTING" &&
      e.changes.length > 0,
  );
  const last = nat?.kind === "table" ? nat.steps.at(-1)?.step : undefined;
  const by = last?.step === "rule" ? `${safe(last.target)} (line ${last.line})` : "a translation";
  const text = `The packet skips INPUT, where ${decidingStepText(skippedInput, context)} would have ${would} it: ${by} redirects it to FORWARD.`;
  return paragraph(text, context, context.style.yellow);
}

/** The verdict and its reason, without a full stop. */
function outcomeText(outcome: Outcome | TracedBranch, context: TextContext): string {
  const { verdict, reasonCode, assumptionCodes } = outcome;
  const step = decidingStepText(outcome, context);
  if (verdict === "undecided") {
    const last = assumptionCodes.at(-1);
    return `UNDECIDED by ${step}${last === undefined ? "" : `: ${safe(assumptionText(last))}`}`;
  }
  if (verdict === "accept") return acceptedText(outcome, context);
  if (reasonCode === undefined) return `${verdict.toUpperCase()} by ${step}`;
  const endedInRouting =
    "events" in outcome && outcome.hook === null && outcome.events.at(-1)?.kind === "route";
  const where = endedInRouting ? ` by the routing decision for ${printAddress(outcome.header.dst)}` : "";
  return `${verdict.toUpperCase()}${where}: ${safe(endReasonText(reasonCode))}`;
}

function acceptedText(outcome: Outcome, context: TextContext): string {
  const { delivery, out, sent, reasonCode } = outcome;
  const step = lastFilterStep(outcome);
  const by =
    context.ruleset === undefined
      ? ", since no rules for its family were given"
      : reasonCode !== undefined
        ? `: ${safe(endReasonText(reasonCode))}`
        : step === undefined
          ? ""
          : `, by ${stepText(step, outcome, context)}`;
  if (delivery === "local") return `ACCEPT: delivered to the host itself${by}`;
  const header = sent === null ? "" : ` as ${at(sent.src, sent.sport)} -> ${at(sent.dst, sent.dport)}`;
  const container = sent === null ? null : containerAt(context.host, addressOf(sent.dst));
  const name = container === null ? "" : ` (container ${safe(container.name)})`;
  return `ACCEPT: ${delivery === "forward" ? "forwarded" : "sent"} out of ${safe(out ?? "?")}${header}${name}${by}`;
}

const addressOf = (text: string): Address => parseAddress(text, familyOf(text) ?? 4) ?? 0;

/** The last step in a table filter: the rule or policy that accepted the packet. */
const lastFilterStep = ({ path }: Outcome): Step | undefined =>
  path.findLast((s) => iptablesName(s.table) === "filter" && s.step !== "return");

function decidingStepText(outcome: Outcome, context: TextContext): string {
  const last = outcome.verdict === "accept" ? lastFilterStep(outcome) : outcome.path.at(-1);
  return last === undefined ? "no rule at all" : stepText(last, outcome, context);
}

/** `ufw deny 8080/tcp (filter ufw-user-input rule 4, line 126)`. */
function stepText(step: Step, outcome: Outcome, context: TextContext): string {
  const chain = `${step.table} ${safe(step.chain)}`;
  switch (step.step) {
    case "return":
      return `the end of ${chain}`;
    case "policy": {
      const { ruleset } = context;
      const isUfws = ruleset !== undefined && hasUfwDefaults(ruleset, step.table);
      return `the policy of ${chain}${isUfws ? ` (ufw ${ufwDefault(step.chain, step.policy)})` : ""}`;
    }
    case "rule": {
      const ufw = ufwCommandOf(step, outcome, context);
      const line = step.line > 0 ? `line ${step.line}` : null;
      if (ufw === null) return `${chain} rule ${step.rule}${line === null ? "" : ` (${line})`}`;
      return `ufw ${safe(ufw)} (${chain} rule ${step.rule}${line === null ? "" : `, ${line}`})`;
    }
  }
}

/** The ufw command that a step belongs to. */
function ufwCommandOf(step: Step, { path }: Outcome, context: TextContext): string | null {
  const own = ufwCommandStep(step, path);
  const rule = own === undefined ? undefined : ruleAt(own.table, own.chain, own.rule, context);
  return rule === undefined || context.ruleset === undefined ? null : ufwCommand(rule, context.ruleset);
}
