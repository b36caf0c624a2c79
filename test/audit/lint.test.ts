/** Rules in DOCKER-USER that do not do what they seem to. */
import { audit } from "fwcheck";
import { expect, test } from "vitest";
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
