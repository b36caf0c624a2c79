/** Every connection that the lab tried, before the fix and after each variant of the fix. */
import { readFileSync } from "node:fs";
import { Connections, flow, type Host, type PacketJson, type Ruleset, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";
import { synOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";

// Name of each probe in results.txt, and its packet.
const PROBES: [string, PacketJson][] = [
  ["outside -> host:8080", { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8080 }],
  ["outside -> host:9080", { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 9080 }],
  ["outside -> host:8443", { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8443 }],
  ["outside -> [v6 host]:8080", { in: "eth0", src: "2001:db8:1::2", dst: "2001:db8:1::1", dport: 8080 }],
  ["outside -> web container IP:80", { in: "eth0", src: "203.0.113.2", dst: "172.17.0.2", dport: 80 }],
  ["outside -> lo9090 container IP:90", { in: "eth0", src: "203.0.113.2", dst: "172.17.0.4", dport: 90 }],
  ["inside(LAN eth1) -> 10.99.0.1:8080", { in: "eth1", src: "10.99.0.2", dst: "10.99.0.1", dport: 8080 }],
  ["host -> 127.0.0.1:8080", { in: null, src: "127.0.0.1", dst: "127.0.0.1", dport: 8080 }],
  ["host -> 203.0.113.1:8080", { in: null, src: "203.0.113.1", dst: "203.0.113.1", dport: 8080 }],
  ["host -> container IP:80", { in: null, src: "172.17.0.1", dst: "172.17.0.2", dport: 80 }],
  ["web2 -> web:80 same bridge", { in: "docker0", src: "172.17.0.3", dst: "172.17.0.2", dport: 80 }],
  ["web2 -> 203.0.113.1:8080", { in: "docker0", src: "172.17.0.3", dst: "203.0.113.1", dport: 8080 }],
  [
    "app(other net) -> 203.0.113.1:8080",
    { in: "br-app", src: "172.30.0.2", dst: "203.0.113.1", dport: 8080 },
  ],
  ["web egress -> outside:8000", { in: "docker0", src: "172.17.0.2", dst: "203.0.113.2", dport: 8000 }],
  ["web egress -> outside:8080", { in: "docker0", src: "172.17.0.2", dst: "203.0.113.2", dport: 8080 }],
  ["LAN inside -> outside:8080", { in: "eth1", src: "10.99.0.2", dst: "203.0.113.2", dport: 8080 }],
  ["NEW connection to 8444", { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8444 }],
];

const RELATED = "-i eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN";
/** Rules of the lab in DOCKER-USER, by the heading of the results. */
const FIXES: Record<string, string[]> = {
  "no fix": [],
  "fix (i)": [
    RELATED,
    "-i eth0 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP",
    "-i eth0 -d 172.17.0.5/32 -p tcp -m tcp --dport 7 -j DROP",
  ],
  "fix (ii)": [
    RELATED,
    "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
    "-i eth0 -p tcp -m conntrack --ctorigdstport 8444 --ctdir ORIGINAL -j DROP",
  ],
  "variant (iii)": ["-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"],
  "variant (iv)": [
    "-i eth0 -p tcp -m conntrack --ctstate DNAT --ctorigdst 203.0.113.1 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
  ],
};

const open = (rulesets: readonly Ruleset[], host: Host, json: PacketJson): boolean =>
  new Simulator(rulesets, host).packet(synOf(json)).verdict === "accept";

/** Simulates the whole connection of the probe. */
const works = (rulesets: readonly Ruleset[], host: Host, json: PacketJson): boolean =>
  flow(new Simulator(rulesets, host), host, synOf(json)).verdict === "accept";

for (const version of ["20.10", "28.5"]) {
  const folder = `${examples}ufw-docker-${version}`;
  const sections = readFileSync(`${folder}/results.txt`, "utf8").split(/^== /m).slice(1);
  describe.each(sections.map((s) => [s.split("\n")[0]!, s] as const))(
    `Docker ${version}, %s`,
    (heading, section) => {
      const rules = FIXES[Object.keys(FIXES).find((name) => heading.startsWith(name))!]!;
      const edited = capture(folder, (save) => {
        // The rules of the fix precede Docker's own RETURN.
        const lines = save.split("\n");
        const at = lines.findIndex((l) => /-A DOCKER-USER -j RETURN/.test(l));
        const place = at >= 0 ? at : lines.indexOf("COMMIT", lines.indexOf("*filter"));
        lines.splice(place, 0, ...rules.map((r) => `-A DOCKER-USER ${r}`));
        return lines.join("\n");
      });
      const results = [...section.matchAll(/^ {2}(\S.*?\S) +(\d+)$/gm)].map((m) => [m[1]!, m[2]!] as const);

      test.each(results.filter(([label]) => !label.startsWith("established")))("%s: %s", (label, result) => {
        const probe = PROBES.find(([name]) => label.startsWith(name));
        expect(probe, label).toBeDefined();
        const got = result === "200" || result === "1";
        expect(open(edited.rulesets, edited.host, probe![1])).toBe(got);
        expect(works(edited.rulesets, edited.host, probe![1])).toBe(got);
      });

      test("established flow to 8444 opened before the fix still echoes", () => {
        const connections = new Connections();
        const there = { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", sport: 41000, dport: 8444 };
        const back = { in: "docker0", src: "172.17.0.5", dst: "203.0.113.2", sport: 7, dport: 41000 };
        const before = capture(folder);
        const opening = new Simulator(before.rulesets, before.host, { connections });
        expect(opening.packet(synOf(there)).verdict).toBe("accept");
        expect(opening.packet(synOf({ ...back, flags: "SA" }))).toMatchObject({
          verdict: "accept",
          sent: { src: "203.0.113.1", sport: 8444, dst: "203.0.113.2", dport: 41000 },
        });
        const after = new Simulator(edited.rulesets, edited.host, { connections });
        expect(after.packet(synOf({ ...there, flags: "A" })).verdict).toBe("accept");
        expect(after.packet(synOf({ ...back, flags: "A" })).verdict).toBe("accept");
      });
    },
  );
}
