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

/** Rules of kube-proxy that publish one port, and as many more rules as given, with other lines in the table nat. */
const cluster = (rules: number, more = ""): string =>
  `*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SEP-A - [0:0]
-A PREROUTING -j KUBE-SERVICES
${"-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SEP-A\n".repeat(rules)}-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.0.2:443
${more}COMMIT
`;

const DOCKER = `:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
`;

test("a large cluster without a container engine is inconclusive before its packets are followed", () => {
  const limit = { code: "large-cluster", family: 4, limit: 20_000 };
  const doubtsOf = (text: string) => {
    const { rulesets } = readRuleset([{ name: "rules", text }]);
    return audit(rulesets, readHost({ complete: true }, rulesets)).doubts;
  };
  const publisher = { code: "other-publisher", family: 4, engine: "Kubernetes" };
  const large = doubtsOf(cluster(20_001));
  expect(large).toContainEqual(expect.objectContaining(limit));
  expect(large.map(({ code }) => code)).not.toContain("budget-exceeded");
  expect(large).toContainEqual(publisher);
  for (const other of [cluster(100), cluster(20_001, DOCKER)]) {
    const doubts = doubtsOf(other);
    expect(doubts).toContainEqual(publisher);
    expect(doubts).not.toContainEqual(expect.objectContaining(limit));
  }
});
