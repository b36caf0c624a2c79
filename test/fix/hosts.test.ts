/** The fix of each recorded host: it closes or names every finding, and the audit of the fixed rules says the same. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { audit, auditJson, fix, fixJson, fixText, readHost } from "fwcheck";
import { describe, expect, test } from "vitest";
import { rulesetsOf } from "../builders.ts";
import { shared } from "../capture.ts";
import { Snapshot } from "../hosts/judge.ts";

const folder = join(shared, "hosts");
const hosts = existsSync(folder)
  ? readdirSync(folder).filter((name) => existsSync(join(folder, name, "host.snap")))
  : [];

describe.skipIf(hosts.length === 0)("recorded hosts", () => {
  test.each(hosts)("%s", (name) => {
    const { rulesets, host, sources } = new Snapshot(join(folder, name, "host.snap"));
    const found = audit(rulesets, host);
    const result = fix(rulesets, host);
    expect(result.holds).toBe(true);
    expect(result.proof.changed).toEqual([]);
    const named = (id: string): boolean => result.left.some(({ finding }) => finding === id);
    const unnamed = found.findings.map((f) => f.id).filter((id) => !result.proof.closed.includes(id));
    expect(unnamed.filter((id) => !named(id))).toEqual([]);
    // Each doubt of the audit is a doubt of its fix.
    for (const doubt of auditJson(found).inconclusive) expect(fixJson(result).failed).toContain(doubt);
    if (found.findings.length === 0) expect(result.rules4.length + result.rules6.length).toBe(0);

    const after = rulesetsOf(result.saved);
    const left = audit(after, readHost(sources, after)).findings.map((f) => f.id);
    expect(left.filter((id) => !named(id))).toEqual([]);
    expect([...new Set(left)].sort()).toEqual([...new Set(result.proof.remaining)].sort());
    if (result.left.length === 0) expect(fixText(result).split("\n")[0]).not.toMatch(/open|settled/i);
  });
});
