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

test("doubts about the host and the rules keep their text", () => {
  const doubts: readonly Doubt[] = [
    { code: "host", text: "ip route was not given" },
    { code: "ruleset", family: 6, text: "table filter has no COMMIT" },
    { code: "rules-only", missing: [6] },
  ];
  expect(doubts.map(doubtText)).toEqual([
    "ip route was not given",
    "IPv6: table filter has no COMMIT",
    expect.stringMatching(
      /^only iptables rules were given: .*, rules of the other iptables backend and rules of IPv6 may/,
    ),
  ]);
});
