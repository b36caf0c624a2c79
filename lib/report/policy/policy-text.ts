/** The result of a policy as text: each check, and the packets that violate it. */
import type { PolicyResult } from "../../compare/assertions.ts";
import type { PolicyCheck, PolicyViolation } from "../../compare/policy-checker.ts";
import { entryText } from "../matrix/entry-text.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { deciderLabel } from "../text/finding-text.ts";
import { inferenceText } from "../text/inference-text.ts";
import { counted, listText } from "../text/list.ts";
import { packetFlags } from "../text/packet-text.ts";
import { indented, PLAIN, type Style, safe } from "../text/terminal.ts";

/** Violations of one check that are listed; further ones are counted. */
const MOST_LISTED = 24;

/** Returns the result as text, at 80 columns where names allow it. */
export function policyText({ checks, inferences, doubts }: PolicyResult, style: Style = PLAIN): string {
  const remarks = [
    ...doubts.flatMap((doubt) => indented(style.yellow("inconclusive:"), safe(doubtText(doubt)))),
    ...inferences.flatMap((each) => indented(style.dim("inferred:"), safe(inferenceText(each)))),
  ];
  const lines = [
    ...checks.flatMap((check) => checkText(check, style)),
    ...(remarks.length === 0 ? [] : ["", ...remarks]),
    "",
    verdictText(checks, doubts.length, style),
  ];
  return `${lines.join("\n")}\n`;
}

function checkText(check: PolicyCheck, style: Style): string[] {
  const { outcome, violations } = check;
  const colour = { holds: style.green, violated: style.red, unsettled: style.yellow }[outcome];
  const more = violations.length - MOST_LISTED;
  return [
    ...indented(colour(`${outcome}:`), safe(checkTitle(check))),
    ...missingText(check).flatMap((text) => indented("   ", safe(text))),
    ...violations.slice(0, MOST_LISTED).flatMap((violation) => violationLines(violation, style)),
    ...(more > 0 ? [`    and ${more} more, which --json lists`] : []),
  ];
}

/** Returns the name of a check with its family and its line. */
export const checkTitle = ({ duty, name, line, family }: PolicyCheck): string => {
  const label = name.startsWith(duty) ? name : `${name} (${duty})`;
  const nothing = { only: "nothing else", open: "nothing else is open" };
  return `${duty === "only" || duty === "open" ? nothing[duty] : label}, IPv${family}, line ${line}`;
};

/** Returns a sentence about zones that the host does not have. */
export const missingText = ({ missing, outcome, violations }: PolicyCheck): string[] =>
  missing.length > 0
    ? [`the host has no ${listText(missing)}`]
    : outcome === "unsettled" && violations.length === 0
      ? [
          "no rules of a family in which these zones have addresses were given, or some packets have no verdict",
        ]
      : [];

const CAUSES: Readonly<
  Record<PolicyViolation["cause"], Readonly<Record<PolicyViolation["certainty"], string>>>
> = {
  passes: { must: "gets through", may: "may get through" },
  stopped: { must: "does not get through", may: "may not get through" },
  "no-reply": { must: "gets no reply", may: "may get no reply" },
};

/** Returns a violation in a sentence. */
export const violationText = ({ from, to, cause, certainty, packets }: PolicyViolation): string =>
  `${from} to ${to} ${CAUSES[cause][certainty]}: ${entryText(packets)}`;

function violationLines(violation: PolicyViolation, style: Style): string[] {
  const { decider, packets } = violation;
  return [
    ...indented("   ", safe(violationText(violation)), 8),
    ...indented(style.dim("        decided by:"), safe(deciderLabel(decider)), 12),
    ...indented(
      style.dim("        try:"),
      safe(`fwcheck simulate HOST ${packetFlags(packets.witness)} --flow`),
      12,
    ),
  ];
}

function verdictText(checks: readonly PolicyCheck[], doubts: number, style: Style): string {
  const count = (outcome: PolicyCheck["outcome"]): number =>
    checks.filter((check) => check.outcome === outcome).length;
  const [violated, unsettled] = [count("violated"), count("unsettled")];
  if (violated > 0) return style.red(`${counted(violated, "check")} of ${checks.length} violated.`);
  if (unsettled > 0 || checks.length === 0)
    return style.yellow(
      checks.length === 0 ? "Nothing was checked." : `${counted(unsettled, "check")} unsettled.`,
    );
  if (doubts > 0)
    return style.yellow("Every check holds for the rules that were given, but see above: inconclusive.");
  return style.green(`Every check holds, over all packets that open a connection (${checks.length}).`);
}
