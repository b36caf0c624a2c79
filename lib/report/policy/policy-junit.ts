/** The result of a policy as JUnit XML, which CI systems show as tests. */
import type { PolicyResult } from "../../compare/assertions.ts";
import type { PolicyCheck } from "../../compare/policy-checker.ts";
import { tag, xml } from "../html/xml.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { checkTitle, missingText, violationText } from "./policy-text.ts";

/** Returns the result as JUnit XML: a test for each check; a violated one fails, an unsettled one or a doubt is an error. */
export function policyJunit({ checks, doubts }: PolicyResult): string {
  const cases = [
    ...checks.map(testCase),
    ...doubts.map((doubt) => errorCase("inconclusive", doubtText(doubt))),
    ...(checks.length === 0 ? [errorCase("policy", "nothing was checked")] : []),
  ];
  const failures = checks.filter(({ outcome }) => outcome === "violated").length;
  const errors =
    checks.filter(({ outcome }) => outcome === "unsettled").length +
    doubts.length +
    (checks.length === 0 ? 1 : 0);
  const counts = { tests: String(cases.length), failures: String(failures), errors: String(errors) };
  const suite = tag("testsuite", { name: "fwcheck assert", ...counts }, `\n${cases.join("\n")}\n`);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${tag("testsuites", counts, `\n${suite}\n`)}\n`;
}

function testCase(check: PolicyCheck): string {
  const attributes = { classname: `fwcheck.${check.duty}`, name: checkTitle(check) };
  const texts = [...missingText(check), ...check.violations.map(violationText)];
  if (check.outcome === "holds") return tag("testcase", attributes);
  const kind = check.outcome === "violated" ? "failure" : "error";
  return tag("testcase", attributes, tag(kind, { message: texts[0] ?? "unsettled" }, xml(texts.join("; "))));
}

const errorCase = (name: string, text: string): string =>
  tag("testcase", { classname: "fwcheck", name }, tag("error", { message: text }, xml(text)));
