import { readHost } from "fwcheck";
import { expect, test } from "vitest";
import { isDockerRule } from "../../lib/audit/docker-rules.ts";
import { chainOf } from "../../lib/rules/ruleset.ts";
import { rulesetsOf } from "../builders.ts";

/** The first rule of FORWARD on a host whose bridge is docker0. */
function isDockers(text: string): boolean {
  const dump = `*nat
:DOCKER - [0:0]
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
-A FORWARD ${text}
COMMIT
`;
  const rulesets = rulesetsOf(dump, { family: 4 });
  const [rule] = chainOf(rulesets[0]!, "filter", "FORWARD")!.rules;
  return isDockerRule(rule!, readHost({}, rulesets));
}

test.each([
  ["-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", true],
  ["-m set --match-set docker-ext-bridges-v4 dst -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", true],
  ["-o docker0 -j DOCKER", true],
  ["-i docker0 ! -o docker0 -j ACCEPT", true],
  ["-i docker0 -o docker0 -j DROP", true],
  ["-o docker0 -p tcp -m conntrack --ctorigdstport 8080 -j ACCEPT", false],
  ["-o docker0 -m conntrack --ctstate NEW -j ACCEPT", false],
  ["-o docker0 -m conntrack ! --ctstate RELATED,ESTABLISHED -j ACCEPT", false],
  ["-i docker0 ! -o docker0 -p tcp -j DROP", false],
  ["-i eth0 -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", false],
])("%s is Docker's: %s", (text, own) => {
  expect(isDockers(text)).toBe(own);
});
