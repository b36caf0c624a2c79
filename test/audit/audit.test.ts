/** Findings on captured hosts, compared with the connections that a real client could open there. */
import type { FindingJson, FindingKind } from "fwcheck";
import { describe, expect, test } from "vitest";
import { capture, examples } from "../capture.ts";
import { auditOf } from "./json.ts";

// One line for each finding: kind, endpoint, rule of the owner.
type Line = [kind: FindingKind, endpoint: string, rule: string];

const PUBLISHED: Line[] = [
  ["ingress-bypass", "any/8080", "deny 8080/tcp"],
  ["ingress-bypass", "any/8443", "filter INPUT policy DROP (ufw default deny incoming)"],
  ["ingress-bypass", "any/8444", "filter INPUT policy DROP (ufw default deny incoming)"],
  ["ingress-bypass", "any/9080", "filter INPUT policy DROP (ufw default deny incoming)"],
];

const TRUTH: Record<string, Line[]> = {
  // Docker before 28 forwards to a container's own address, and accepts a loopback destination from outside.
  "20.10": [
    ...PUBLISHED,
    ["direct-bypass", "172.17.0.2/80", "filter FORWARD policy DROP (ufw default deny routed)"],
    ["direct-bypass", "172.17.0.3/80", "filter FORWARD policy DROP (ufw default deny routed)"],
    ["direct-bypass", "172.17.0.5/7", "filter FORWARD policy DROP (ufw default deny routed)"],
    ["loopback-bypass", "127.0.0.1/9090", "filter INPUT policy DROP (ufw default deny incoming)"],
    ["loopback-bypass", "172.17.0.4/90", "filter FORWARD policy DROP (ufw default deny routed)"],
  ],
  "28.5": PUBLISHED,
};

const lineOf = (f: FindingJson): Line => [
  f.kind,
  f.id.split("/").slice(3).join("/"),
  "policy" in f.intended.rule ? f.intended.rule.policy : (f.intended.rule.ufw ?? f.intended.rule.text),
];

describe.each(Object.entries(TRUTH))("Docker %s with ufw", (version, truth) => {
  const { rulesets, host } = capture(`${examples}ufw-docker-${version}`);
  const result = auditOf(rulesets, host);

  test("has exactly these findings", () => {
    expect(result.findings.map(lineOf).sort()).toEqual([...truth].sort());
    expect(result.inconclusive).toEqual([]);
    expect(result.inferences).toEqual([]);
  });

  test("each is certain and open to everyone on every outside interface", () => {
    for (const f of result.findings)
      expect([f.id, f.in, f.certainty, f.from, f.allowed]).toEqual([
        f.id,
        ["eth0", "eth1"],
        "must",
        "everyone",
        "no one",
      ]);
  });

  test("each names the rule that ufw wrote, and a packet that proves it", () => {
    const deny = result.findings.find((f) => f.id === "ingress-bypass/4/tcp/any/8080")!;
    expect(deny.intended.rule).toMatchObject({
      table: "filter",
      chain: "ufw-user-input",
      text: "-A ufw-user-input -p tcp -m tcp --dport 8080 -j DROP",
    });
    expect(deny.container).toEqual({ ip: "172.17.0.2", port: 80, name: "web" });
    expect(deny.witness).toMatchObject({ in: "eth0", dst: "203.0.113.1", dport: 8080, flags: "S" });
    expect(deny.actual.path.at(-1)).toMatchObject({ table: "nat", chain: "POSTROUTING", step: "policy" });
  });

  test("has no finding in IPv6: docker-proxy serves the ports, and ufw governs it", () => {
    expect(result.findings.filter((f) => f.family === 6)).toEqual([]);
  });
});

describe("ufw's rules against Docker's rules, port by port", () => {
  const withUfw = (...rules: string[]) => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
      save.replace(
        /(\[0:0\] -A ufw-user-input -p tcp -m tcp --dport 22 )/,
        `${rules.map((r) => `[0:0] ${r}\n`).join("")}$1`,
      ),
    );
    return auditOf(rulesets, host);
  };
  const of = (result: ReturnType<typeof auditOf>, port: number) =>
    result.findings.find((f) => f.id === `ingress-bypass/4/tcp/any/${port}`);

  test("an allowed port is no finding", () => {
    expect(of(withUfw("-A ufw-user-input -p tcp -m tcp --dport 8443 -j ACCEPT"), 8443)).toBeUndefined();
  });
  test("a port allowed from a network is a finding for all other sources", () => {
    const finding = of(
      withUfw("-A ufw-user-input -s 198.51.100.0/24 -p tcp -m tcp --dport 8443 -j ACCEPT"),
      8443,
    )!;
    expect([finding.certainty, finding.allowed, finding.from]).toEqual([
      "must",
      "198.51.100.0/24",
      "everyone but 198.51.100.0/24",
    ]);
    expect(finding.witness.src.startsWith("198.51.100.")).toBe(false);
  });
  test("a port allowed on one interface is a finding on the other", () => {
    expect(of(withUfw("-A ufw-user-input -i eth1 -p tcp -m tcp --dport 8443 -j ACCEPT"), 8443)!.in).toEqual([
      "eth0",
    ]);
  });
  test("a limited port is a possible finding that names the unknown", () => {
    const finding = of(
      withUfw(
        "-A ufw-user-input -p tcp -m tcp --dport 8443 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource",
        "-A ufw-user-input -p tcp -m tcp --dport 8443 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -j ufw-user-limit",
        "-A ufw-user-input -p tcp -m tcp --dport 8443 -j ufw-user-limit-accept",
      ),
      8443,
    )!;
    expect([
      finding.certainty,
      finding.depends.some((key) => key.startsWith("recent@filter/ufw-user-input/")),
    ]).toEqual(["may", true]);
  });
  test("containers still send to a denied outgoing port", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
      save.replace(
        /(\[0:0\] -A ufw-user-limit )/,
        `[0:0] -A ufw-user-output -p tcp -m tcp --dport 25 -j DROP\n$1`,
      ),
    );
    const found = auditOf(rulesets, host).findings.filter((f) => f.kind === "egress-bypass");
    expect(
      found.map((f) => [f.in, f.proto, f.witness.dport, "ufw" in f.intended.rule ? f.intended.rule.ufw : ""]),
    ).toEqual([
      [["br-app"], "tcp", 25, "deny out 25/tcp"],
      [["docker0"], "tcp", 25, "deny out 25/tcp"],
    ]);
  });
  test("a route rule about a container overrides the verdict of INPUT", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
      save.replace(
        /(\[0:0\] -A ufw-user-input -p tcp -m tcp --dport 22 )/,
        `[0:0] -A ufw-user-forward -d 172.17.0.3/32 -p tcp -m tcp --dport 80 -j ACCEPT\n$1`,
      ),
    );
    const ids = auditOf(rulesets, host).findings.map((f) => f.id);
    expect(ids).not.toContain("ingress-bypass/4/tcp/any/8443");
    expect(ids).not.toContain("direct-bypass/4/tcp/172.17.0.3/80");
    expect(ids).toContain("ingress-bypass/4/tcp/any/8080");
  });
});
