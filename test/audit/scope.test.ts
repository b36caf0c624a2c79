/** Scope of an audit: results without findings name what the audit looked at. */
import { auditText, type HostSources, readHost } from "fwcheck";
import { expect, test } from "vitest";
import { rulesetsOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";
import { auditOf } from "./json.ts";

const BARE = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
const audited = (text: string, sources: HostSources = {}) => {
  const rulesets = rulesetsOf(text);
  return auditOf(rulesets, readHost(sources, rulesets));
};
const source = (text: string) => [{ name: "it", text }];
const NONE = "No container engine was found in these rules, so nothing was audited for containers";
const flat = (text: string) => text.replace(/\s+/g, " ");

test("no engine: the text does not mention consent, and names the scope", () => {
  const result = audited(BARE, { sysctl: source("net.ipv4.ip_forward = 0\n") });
  expect(result.looked).toEqual({
    families: [{ family: 4, input: "ACCEPT", forward: "ACCEPT", forwards: false }],
    engines: [],
    bridges: [],
    containers: 0,
    published: 0,
  });
  expect(result.inconclusive).toContainEqual(expect.stringContaining("no container engine was found"));
  const text = flat(auditText(result));
  expect(text).toContain(NONE);
  expect(text).not.toContain("consent");
  expect(text).toContain(
    "looked at: IPv4 (INPUT ACCEPT, FORWARD ACCEPT, forwards no packets); no container engine (no chain, bridge, network or container of one)",
  );
  expect(result.remarks.join()).toContain("the sockets of the host were not given");
});

test("with sockets given, the host's own open ports are listed instead", () => {
  const result = audited(BARE, {
    listening: source(`tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))\n`),
  });
  expect(result.remarks.join()).not.toContain("what listens");
  expect(auditText(result)).toMatch(/22\/tcp +sshd +everyone +INPUT policy ACCEPT/);
});

test("other engines are not audited, with or without ports that they publish", () => {
  const nat = (rule: string) =>
    `*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n${rule}COMMIT\n${BARE}`;
  for (const rule of [
    "",
    "-A KUBE-SERVICES -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.0.2:80\n",
  ]) {
    const { looked, inconclusive } = audited(nat(rule));
    expect(looked.engines).toEqual(["Kubernetes"]);
    expect(inconclusive.filter((sentence) => sentence.includes("Kubernetes")).length).toBe(1);
  }
});

test("Docker without a finding keeps its sentence and names the scope", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
  const result = auditOf(rulesets, host);
  expect(result.looked).toMatchObject({ engines: ["Docker"], containers: 5 });
  expect(auditText(result)).not.toContain("looked at:"); // It has findings.
  const text = flat(auditText({ ...result, findings: [], doubts: [] }));
  expect(text).toContain("with the firewall's consent");
  expect(text).toMatch(
    /looked at: IPv4 \(INPUT DROP, FORWARD DROP, forwards packets\), .*; Docker: bridges? .*docker0/,
  );
});

test("a note names a host without forwarding, on which only docker-proxy serves published ports", () => {
  const { rulesets } = capture(`${examples}ufw-docker-20.10`);
  const host = readHost({ sysctl: source("net.ipv4.ip_forward = 0\n") }, rulesets);
  const { exposures, findings, remarks } = auditOf(rulesets, host);
  expect([...exposures, ...findings].filter((e) => e.family === 4)).toEqual([]);
  expect(remarks.join()).toContain("IPv4: the host forwards no packets (net.ipv4.ip_forward = 0)");
});
