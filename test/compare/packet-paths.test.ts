/** Tests the outcomes of all packets of several rulesets in one domain. */
import { describe, expect, test } from "vitest";
import { commonDomain, ORIGINS, PacketPaths, packetsFrom } from "../../lib/compare/packet-paths.ts";
import { is } from "../../lib/packet/predicate.ts";
import { Program } from "../../lib/path/program.ts";
import { EMPTY } from "../../lib/reach/node-store.ts";
import { equalHeaders } from "../../lib/reach/outcome.ts";
import { hostOf, rulesetOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";

describe("outcomes of all packets", () => {
  test("are a partition of the packets that are sent, on both hosts of one domain", () => {
    const captures = ["ufw-docker-20.10", "ufw-docker-28.5"].map((name) => capture(`${examples}${name}`));
    const programs = captures.map(({ rulesets, host }) =>
      Program.of(rulesets.find(({ family }) => family === 4)!, host),
    );
    const hosts = captures.map(({ host }) => host);
    const domain = commonDomain(4, programs);
    const { diagrams } = domain;
    for (const program of programs) {
      const paths = new PacketPaths(program, domain);
      for (const origin of ORIGINS) {
        const universe = domain.set(packetsFrom(origin, hosts));
        const sets = [...paths.outcomes(origin, universe).values()].map(({ set }) => set);
        expect(sets.length).toBeGreaterThan(3);
        expect(diagrams.unionAll(sets)).toBe(universe);
        let seen = EMPTY;
        for (const set of sets) {
          expect(diagrams.intersect(seen, set)).toBe(EMPTY);
          seen = diagrams.union(seen, set);
        }
      }
    }
  });

  test("have the header that the packets leave with, and the rule that decides them", () => {
    const save = [
      "*nat",
      ":PREROUTING ACCEPT [0:0]",
      "-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.9:8080",
      "COMMIT",
      "*filter",
      ":FORWARD DROP [0:0]",
      "-A FORWARD -d 192.0.2.9/32 -p tcp -m tcp --dport 8080 -j ACCEPT",
      "COMMIT",
      "",
    ].join("\n");
    const ruleset = rulesetOf(save, { family: 4 });
    const addr = ["eth0", "eth1"].map((ifname, i) => ({
      ifname,
      addr_info: [{ family: "inet", local: i === 0 ? "203.0.113.1" : "192.0.2.1", prefixlen: 24 }],
    }));
    const program = Program.of(ruleset, hostOf([ruleset], { addr }));
    const domain = commonDomain(4, [program]);
    const paths = new PacketPaths(program, domain);
    const { outcomes, deciders } = paths.attributed("arriving", domain.set(is("in", "eth0")));
    const forwarded = [...outcomes.values()].filter(({ outcome }) => outcome.delivery === "forward");
    const translated = forwarded.find(({ outcome }) => "dst" in outcome.header)!;
    expect(translated.outcome).toMatchObject({
      verdict: "accept",
      out: "eth1",
      header: { dst: { value: 0xc000_0209 }, dport: { value: 8080 } },
      reason: null,
    });
    const ids = domain.diagrams.terminals(domain.diagrams.intersect(translated.set, deciders));
    expect(ids.map((id) => paths.decider(id))).toMatchObject([{ kind: "rule", rule: { line: 7 } }]);
    const direct = forwarded.find(({ outcome }) => !("dst" in outcome.header))!;
    const equal = equalHeaders(
      translated.outcome.header,
      direct.outcome.header,
      ["dst", "dport"],
      paths.engine,
    );
    expect(equal).toBe(
      domain.diagrams.intersect(domain.set(is("dst", 0xc000_0209)), domain.set(is("dport", 8080))),
    );
    expect(domain.diagrams.intersect(equal, translated.set)).toBe(EMPTY);
  });
});
