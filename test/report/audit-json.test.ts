/** The JSON document of an audit: its version, its summary, and a sentence beside each code. */
import { audit, auditJson, type Doubt, doubtText } from "fwcheck";
import { expect, test } from "vitest";
import { LAYOUTS, read } from "../audit/layout.ts";

test.each(["fail2ban", "several interfaces"] as const)(
  "%s: the document has the data and its sentences",
  (name) => {
    const { rulesets, host } = read(LAYOUTS[name]!);
    const result = audit(rulesets, host);
    const document = auditJson(result, 1);
    expect(document.version).toBe(1);
    expect(document).toMatchObject({ doubts: result.doubts, notes: result.notes, looked: result.looked });
    expect([document.inconclusive.length, document.remarks.length]).toEqual([
      result.doubts.length,
      result.notes.length,
    ]);
    const { summary, findings } = document;
    expect(summary).toMatchObject({ outcome: "findings", findings: findings.length, exit: { code: 1 } });
    expect(summary.must + summary.may).toBe(findings.length);
    expect(Object.values(summary.kinds).reduce((sum, count) => sum + count, 0)).toBe(findings.length);
    for (const [i, finding] of findings.entries()) {
      expect(finding).toMatchObject({
        sources: result.findings[i]!.sources,
        permitted: result.findings[i]!.permitted,
      });
      expect(finding.from).not.toBe("");
      expect(finding.by.map((group) => group.from)).not.toContain("");
    }
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
  },
);

test("a document without an exit code has no exit", () => {
  const { rulesets, host } = read(LAYOUTS.fail2ban!);
  expect(auditJson(audit(rulesets, host)).summary.exit).toBeUndefined();
});

test("doubts about the host and the rules have codes and sentences", () => {
  const doubts: readonly Doubt[] = [
    { code: "cut-off", source: "ipset" },
    { code: "no-commit", family: 6, source: "rules", line: 2, table: "filter" },
    { code: "rules-only", missing: [6] },
  ];
  expect(doubts.map(doubtText)).toEqual([
    "ipset: the text ends inside a line, so it is cut off: the rest is unknown",
    "IPv6: rules:2: table filter has no COMMIT: the text is cut off, and the rules after its end are unknown; capture it again",
    expect.stringMatching(
      /^only iptables rules were given: .*, rules of the other iptables backend and rules of IPv6 may/,
    ),
  ]);
});
