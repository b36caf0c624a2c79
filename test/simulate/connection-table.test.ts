/** Connections that earlier packets have opened, or may have opened. */
import { type PacketJson, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";
import { hostOf, packetOf, rulesetsOf } from "../builders.ts";
import { ADDR, sent } from "../two-interfaces.ts";

test("UDP-Lite and GRE are ASSURED with the packet after the first reply", () => {
  const save =
    "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstatus ASSURED -j REJECT\nCOMMIT\n";
  for (const proto of ["gre", "udplite"]) {
    const there = { in: "eth0", src: "203.0.113.7", dst: "10.99.0.7", proto };
    const back = { in: "eth1", src: "10.99.0.7", dst: "203.0.113.7", proto };
    expect(sent(save, [there, back, there]).map((a) => a.verdict)).toEqual(["accept", "accept", "reject"]);
  }
});

describe("a packet after an undecided one", () => {
  const save = (rule: string) =>
    `*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.99.0.0/24 -o eth0 -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n${rule}\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n`;
  const first = { in: "eth1", src: "10.99.0.7", dst: "198.51.100.9", proto: "udp", sport: 5000, dport: 53 };
  const back = { in: "eth0", src: "198.51.100.9", dst: "203.0.113.1", proto: "udp", sport: 53, dport: 5000 };
  const verdicts = (rule: string, packets: readonly PacketJson[], assume?: readonly [string, boolean][]) => {
    const rulesets = rulesetsOf(save(rule));
    const host = hostOf(rulesets, { addr: ADDR });
    const simulator = new Simulator(rulesets, host, { assume: new Map(assume) });
    return packets.map((json) => {
      const packet = packetOf(json);
      const { verdict, delivery, branches } = simulator.packet(packet);
      return [verdict, delivery, ...(branches ?? []).flatMap((b) => b.assume ?? [])].join(" ");
    });
  };
  const unknown = "-A FORWARD -i eth1 -m string --algo bm --string x -j ACCEPT";

  test("is undecided if it depends on the connection of that one", () => {
    expect(verdicts(unknown, [first, back])[1]).toBe(
      "undecided none earlier-connection(1)=match earlier-connection(1)=no-match",
    );
    expect(verdicts(unknown, [first, back], [["string", true]])).toEqual([
      "accept forward",
      "accept forward",
    ]);
    expect(verdicts(unknown, [first, back], [["string", false]])[1]).toBe("accept local");
    // Packets of other flows are not affected.
    expect(verdicts(unknown, [first, { ...back, sport: 54 }])[1]).toBe("accept local");
  });

  test("is undecided if that one may have its ports", () => {
    const other = { ...first, src: "10.99.0.8" };
    const both = `${unknown}\n-A FORWARD -i eth1 -s 10.99.0.8 -j ACCEPT`;
    expect(verdicts(both, [first, other])[1]).toMatch(/^undecided/);
    expect(verdicts(both, [first, { ...other, sport: 5001 }])[1]).toBe("accept forward");
  });

  test("belongs to a connection that existed before", () => {
    const rules = `-A FORWARD -i eth1 -m conntrack --ctstate NEW -j ACCEPT\n${unknown}`;
    expect(verdicts(rules, [first, back, first, back])).toEqual(Array(4).fill("accept forward"));
  });
});
