/** Hosts on which a wrong result is likely. */
import { expect, test } from "vitest";
import { hostOf, rulesetsOf } from "../builders.ts";
import { HOSTILE } from "./hostile.ts";
import { auditOf } from "./json.ts";
import { audited, lines } from "./layout.ts";

test.each(Object.entries(HOSTILE))("%s", (_name, { layout, finds, by = ["eth0"], ...more }) => {
  const result = audited(layout);
  expect(lines(result)).toEqual(finds);
  if (finds.length > 0) expect(result.findings[0]!.in).toEqual(by);
  expect(result.findings.map((f) => f.intended.verdict).filter((verdict) => verdict === "accept")).toEqual(
    [],
  );
  expect(result.findings.flatMap((f) => f.depends).map((key) => key.replace(/@.*/, ""))).toEqual(
    more.depends ?? [],
  );
  expect(result.lint.map((l) => l.kind)).toEqual(more.lint ?? []);
  expect(result.inconclusive).toEqual(more.inconclusive ?? []);
});

test("a port published in IPv6 only, and refused to all sources but a network", () => {
  const text = [
    "*filter",
    ":INPUT DROP [0:0]",
    ":FORWARD DROP [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":DOCKER - [0:0]",
    ":DOCKER-USER - [0:0]",
    "-A INPUT -s 2001:db8:5::/48 -p tcp -m tcp --dport 8080 -j ACCEPT",
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -o br-six -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -o br-six -j DOCKER",
    "-A DOCKER -d fd00:6::2/128 ! -i br-six -o br-six -p tcp -m tcp --dport 80 -j ACCEPT",
    "COMMIT",
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":DOCKER - [0:0]",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-A DOCKER ! -i br-six -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:6::2]:80",
    "COMMIT",
  ];
  const addr = Object.entries({ eth0: "2001:db8:1::1/64", "br-six": "fd00:6::1/64" }).map(
    ([ifname, cidr]) => {
      const [local, bits] = cidr.split("/");
      return { ifname, addr_info: [{ family: "inet6", local, prefixlen: Number(bits) }] };
    },
  );
  const rulesets = rulesetsOf(`${text.join("\n")}\n`);
  const host = hostOf(rulesets, { addr }, { complete: true });
  const { findings, inconclusive } = auditOf(rulesets, host);
  expect(findings.map((f) => [f.kind, f.family, f.listen?.port, f.from, f.certainty])).toEqual([
    ["ingress-bypass", 6, 8080, "everyone but 2001:db8:5::/48", "must"],
    ["direct-bypass", 6, undefined, "everyone", "must"],
  ]);
  // No IPv4 rules are given.
  expect(inconclusive.join()).toContain("no IPv4 ruleset");
});
