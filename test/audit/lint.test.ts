/** Rules in DOCKER-USER that do not do what they seem to, and hosts of which nothing can be said. */
import { audit, readHost, readRuleset } from "fwcheck";
import { describe, expect, test } from "vitest";
import { capture, examples } from "../capture.ts";

const withRules = (...rules: string[]) => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
    save.replace(
      /(\[0:0\] -A DOCKER-USER -j RETURN)/,
      `${rules.map((r) => `-A DOCKER-USER ${r}\n`).join("")}$1`,
    ),
  );
  return audit(rulesets, host).lint.map((l) => l.kind);
};

// One line a case: the rules in front of Docker's own RETURN, and what is said of them.
const CASES: [string[], string[]][] = [
  [[], []],
  [["-i eth0 -p tcp -m tcp --dport 8080 -j DROP"], ["host-port-after-dnat"]],
  [["-i eth0 -p tcp -m multiport --dports 22,8443 -j DROP"], ["host-port-after-dnat"]],
  [["-i eth0 -p tcp -m tcp --dport 80 -j DROP"], []],
  [["-p tcp -m conntrack --ctorigdstport 8080 -j DROP"], ["original-port-unguarded"]],
  [["-i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP"], ["original-port-unguarded"]],
  [
    [
      "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
      "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP",
    ],
    [],
  ],
  [["-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"], []],
  [
    ["-j RETURN", "-s 198.51.100.0/24 -j DROP"],
    ["behind-return", "behind-return"],
  ],
];

test.each(CASES)("%j: %j", (rules, kinds) => {
  expect(withRules(...rules)).toEqual(kinds);
});

test("what accepts before DOCKER-USER is asked", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
    save.replace(
      /(\[0:0\] -A FORWARD -j DOCKER-USER)/,
      ":ts-forward - [0:0]\n-A ts-forward -i tailscale0 -j ACCEPT\n-A FORWARD -j ts-forward\n$1",
    ),
  );
  expect(audit(rulesets, host).lint).toMatchObject([
    { kind: "docker-user-not-first", rule: { chain: "FORWARD", rule: 1 } },
  ]);
});

describe("no findings is not all clear", () => {
  test("Docker's bridges without Docker's rules", () => {
    const { rulesets } = readRuleset([
      {
        name: "rules",
        text: "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
      },
    ]);
    const addr = JSON.stringify([
      { ifname: "docker0", addr_info: [{ family: "inet", local: "172.17.0.1", prefixlen: 16 }] },
    ]);
    const result = audit(rulesets, readHost({ addr: [{ name: "addr", text: addr }] }, rulesets));
    expect(result.inconclusive.join()).toContain("the rules have no DOCKER chain");
  });
  test("a port that Docker publishes and no rule serves", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
      save.replace(/^.*--dport 8443 -j DNAT.*\n/m, ""),
    );
    expect(audit(rulesets, host).inconclusive).toEqual([
      "Docker says that web2 is published on port 8443, but no DNAT rule does so: the rules are not the ones that serve it",
    ]);
  });
  test("a network that goes past iptables", () => {
    const docker = JSON.stringify([{ Name: "wire", Id: "x", Driver: "macvlan", IPAM: { Config: [] } }]);
    const { rulesets } = capture(`${examples}ufw-docker-20.10`);
    const result = audit(rulesets, readHost({ docker: [{ name: "docker", text: docker }] }, rulesets));
    expect(result.inconclusive.join()).toContain("network wire is macvlan");
  });
});
