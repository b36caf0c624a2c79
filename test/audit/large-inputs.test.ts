/** Audits of hosts that are large in one input: an answer, in time that grows with the input and not with its square. */
import { audit, readHost, readRuleset } from "fwcheck";
import { expect, test } from "vitest";
import { type HostFiles, interfaceHost, ipsetHost } from "../bench/generate-inputs.ts";

/** Audits the files of a host. */
function auditOf(files: HostFiles) {
  const source = (name: string) => [{ name, text: files[name]! }];
  const { rulesets } = readRuleset(source("save.txt"));
  const host = readHost(
    {
      addr: source("addr.json"),
      route: source("route.json"),
      ...(files["ipset.txt"] === undefined ? {} : { ipset: source("ipset.txt") }),
      complete: true,
    },
    rulesets,
  );
  return audit(rulesets, host);
}

test("a long ipset: the same findings as with a short one", () => {
  const [few, many] = [auditOf(ipsetHost(100)), auditOf(ipsetHost(6000))];
  expect(many.doubts).toEqual([]);
  expect(many.findings.length).toBeGreaterThan(20);
  expect(many.findings.map(({ id }) => id)).toEqual(few.findings.map(({ id }) => id));
});

test("many interfaces: the same findings as with few, each for all interfaces", () => {
  const [few, many] = [auditOf(interfaceHost(3)), auditOf(interfaceHost(220))];
  expect(many.doubts).toEqual([]);
  expect(many.findings.map(({ id }) => id)).toEqual(few.findings.map(({ id }) => id));
  expect(new Set(many.findings.map(({ in: names }) => names.length))).toContain(220);
});
