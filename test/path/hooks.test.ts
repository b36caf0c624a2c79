/** Base chains at the hooks: their order, what ends them, and what rules of nftables may do there. */
import { type Answer, type PacketJson, type Ruleset, simulate } from "fwcheck";
import { describe, expect, test } from "vitest";
import { hostOf, packetOf } from "../builders.ts";
import { ADDR } from "../two-interfaces.ts";
import { base, called, engines, nftRuleset, setEndings, table, typed } from "./both-engines.ts";

const syn = (dport: number, more: Partial<PacketJson> = {}): PacketJson => ({
  ...{ in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", proto: "tcp", sport: 40000, dport, flags: "S" },
  ...more,
});
const udp = (dport: number, more: Partial<PacketJson> = {}): PacketJson => {
  const { flags: _, ...rest } = syn(dport, more);
  return { ...rest, proto: "udp" };
};
const forwarded = { dst: "10.99.0.9" };
const own = { in: null, src: "203.0.113.1", dst: "203.0.113.9" };
const verdicts = (run: (packet: PacketJson) => Answer, ...packets: PacketJson[]): string[] =>
  packets.map((packet) => run(packet).verdict);

describe("base chains", () => {
  test("an accept ends its own chain only, and a drop is final", () => {
    const run = engines(
      table(
        "inet a",
        base("first", "input", -10, "tcp dport { 80, 81 } accept", "udp dport 53 accept", "drop"),
      ) + table("ip b", base("second", "input", 10, "tcp dport 81 drop", "tcp dport 82 accept")),
    );
    expect(verdicts(run, syn(80), syn(81), syn(82), udp(53))).toEqual(["accept", "drop", "drop", "accept"]);
  });
  test("the policy of an earlier chain is not final if it accepts", () => {
    const policy = base("late", "input", 6).replace("policy accept", "policy drop");
    const run = engines(table("ip a", base("early", "input", 5), policy));
    expect(verdicts(run, syn(80))).toEqual(["drop"]);
  });
  test("a chain of iptables and one of nftables run by priority", () => {
    const save = "*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -j MARK --set-mark 1\nCOMMIT\n";
    const at = (priority: number): string =>
      engines(table("ip a", base("c", "input", priority, "meta mark 1 drop")), { save })(syn(80)).verdict;
    expect([at(-151), at(-149)]).toEqual(["accept", "drop"]);
  });
  test("dormant tables do not run", () => {
    const chain = base("c", "input", 0, "drop");
    expect(engines(table("ip n", chain))(syn(80)).verdict).toBe("drop");
    expect(engines(table("ip n", "\tflags dormant;", chain))(syn(80)).verdict).toBe("accept");
  });
});

describe("chains of type nat", () => {
  test("leave bits in the status that an exact comparison sees", () => {
    const run = engines(
      table(
        "ip n",
        typed("nat", "n", "prerouting", -100, "tcp dport 80 dnat to 10.99.0.9"),
        base("before", "prerouting", -150, "ct status != 0 drop"),
        base("c", "forward", 0, "ct status != dnat drop"),
        base("d", "input", 0, "tcp dport 81 ct status 0x100 drop", "tcp dport 82 ct status == 0x180 drop"),
      ),
    );
    expect(verdicts(run, syn(80), syn(81), syn(82))).toEqual(["drop", "drop", "accept"]);
  });
  test("translate before later chains at postrouting, which see the ports that the kernel chooses", () => {
    const nat = ["tcp dport 80 masquerade to :8000-8010", "tcp dport 81 masquerade random"];
    const late = (rule: string): Ruleset =>
      nftRuleset(
        table("ip n", typed("nat", "n", "postrouting", 0, ...nat), base("late", "postrouting", 101, rule)),
      );
    const unsure = (ruleset: Ruleset, packet: PacketJson): string[] =>
      setEndings(ruleset)(packet).flatMap(({ state }) => state.unsure.map(({ code }) => code));
    const out = { in: "eth1", src: "10.99.0.9", dst: "203.0.113.9", sport: 5 };
    const ports = late("tcp sport 8003 drop");
    const host = hostOf([ports], { addr: ADDR });
    const branches = simulate([ports], host, packetOf(syn(80, out))).branches;
    expect(branches?.map(({ verdict }) => verdict).sort()).toEqual(["accept", "accept", "drop"]);
    expect(unsure(ports, syn(80, out))).toContain("kernel-chooses");
    expect(simulate([ports], host, packetOf(syn(81, { ...out, sport: 5000 }))).branches).toHaveLength(3);
    expect(unsure(ports, syn(81, out))).toContain("kernel-chooses");
    // Engines whose callers do not read the source translate it nevertheless, because the chain tests it.
    const addresses = late("ip saddr 10.99.0.9 drop");
    const [end] = setEndings(addresses, host, false)(syn(82, out));
    expect(end!.verdict).toBe("drop");
    const [translated] = setEndings(addresses, host, false)(syn(80, { ...out, sport: 8001 }));
    expect(translated!.verdict).toBe("accept");
  });
  test("change the bits of addresses that rules test with a mask", () => {
    const run = engines(
      table(
        "ip n",
        typed("nat", "n", "prerouting", -100, "tcp dport 80-81 dnat to 10.99.0.9"),
        base(
          "c",
          "forward",
          0,
          "tcp dport 80 ip daddr & 0.0.0.255 == 0.0.0.9 drop",
          "ct original ip daddr & 0.0.0.255 == 0.0.0.1 ip daddr & 0.0.0.255 != 0.0.0.1 accept",
          "drop",
        ),
      ),
    );
    expect(verdicts(run, syn(80), syn(81), syn(82, { dst: "10.99.0.1" }))).toEqual([
      ...["drop", "accept"],
      "accept",
    ]);
  });
  test("translate at -100, whatever their priority", () => {
    const run = engines(
      table(
        "ip n",
        typed("nat", "late", "prerouting", 300, "tcp dport { 80, 81 } dnat to 10.99.0.9:8000"),
        base("before", "prerouting", -101, "tcp sport 7 ip daddr 203.0.113.1 drop"),
        base("after", "prerouting", -99, "tcp sport 8 tcp dport 8000 drop"),
      ),
    );
    expect(run(syn(80)).sent).toMatchObject({ dst: "10.99.0.9", dport: 8000 });
    expect(verdicts(run, syn(80, { sport: 7 }), syn(80, { sport: 8 }))).toEqual(["drop", "drop"]);
  });
  test("are ordered by priority among themselves: accept continues with the next, a translation ends them", () => {
    const run = engines(
      table(
        "ip n",
        typed("nat", "three", "prerouting", -80, "tcp dport { 80, 81 } dnat to 10.99.0.3"),
        typed("nat", "one", "prerouting", -100, "tcp dport { 80, 81 } accept"),
        typed("nat", "two", "prerouting", -90, "tcp dport 80 dnat to 10.99.0.2"),
      ),
    );
    const to = (dport: number): string | undefined => run(syn(dport)).sent?.dst;
    expect([to(80), to(81)]).toEqual(["10.99.0.2", "10.99.0.3"]);
    expect(run(syn(82)).delivery).toBe("local");
  });
  test("with policy drop drop first packets only", () => {
    const nat = typed("nat", "one", "prerouting", -100, "tcp dport 80 dnat to 10.99.0.9");
    const text = table("ip n", nat.replace("policy accept", "policy drop"));
    expect(verdicts(engines(text), syn(80), syn(81))).toEqual(["accept", "drop"]);
    // Sets contain first packets only.
    const ruleset = nftRuleset(text);
    const later = packetOf(syn(81, { flags: "A", state: "ESTABLISHED" }));
    expect(simulate([ruleset], hostOf([ruleset], { addr: ADDR }), later).verdict).toBe("accept");
  });
});

describe("rules of nftables", () => {
  test("a verdict map jumps without the rest of its rule, and ends the rule for a missing key", () => {
    const run = engines(
      table(
        "ip n",
        base("c", "input", 0, "tcp dport vmap { 80 : jump u, 81 : continue, 82 : goto u } drop", "accept"),
        called("u", "ip saddr 203.0.113.8 drop"),
      ),
    );
    const from8 = { src: "203.0.113.8" };
    expect(verdicts(run, syn(80), syn(80, from8), syn(82), syn(83), udp(80))).toEqual([
      ...["accept", "drop", "accept", "accept", "accept"],
    ]);
    // A jump and a goto both return to the rule after the map, never to its rest.
    expect(run(syn(81)).verdict).toBe("drop");
  });
  test("postrouting knows the interface on which a forwarded packet arrived", () => {
    const run = engines(
      table("ip n", base("c", "postrouting", 0, 'iifname "eth0" drop', 'iif 0 oifname "eth1" drop')),
    );
    expect(verdicts(run, syn(80, forwarded), syn(80, own))).toEqual(["drop", "accept"]);
    expect(run(syn(80, { ...own, src: "10.99.0.1", dst: "10.99.0.9" })).verdict).toBe("drop");
  });
  test("an address in a table of both families restricts the rule to its family", () => {
    const run = engines(
      table(
        "inet n",
        base("c", "input", 0, "ip6 saddr != ::1 drop", "ip saddr != 1.2.3.4 tcp dport 81 drop"),
      ),
    );
    expect(verdicts(run, syn(80), syn(81))).toEqual(["accept", "drop"]);
  });
  test("a change stays although a later condition of its rule does not hold", () => {
    const run = engines(
      table(
        "ip n",
        base("early", "input", -10, "meta mark set 5 tcp dport 81 drop"),
        base("late", "input", 0, "meta mark 5 accept", "drop"),
      ),
    );
    expect(verdicts(run, syn(80), syn(81))).toEqual(["accept", "drop"]);
  });
  test("later conditions see the changed packet", () => {
    const rewriting = base("c", "input", 0, "tcp dport 80 tcp dport set 8888 tcp dport 8888 drop");
    expect(verdicts(engines(table("ip n", rewriting)), syn(80), syn(8888))).toEqual(["drop", "accept"]);
    const run = engines(
      table(
        "ip n",
        base("early", "prerouting", -10, "ip daddr set 10.99.0.9"),
        base("late", "forward", 0, "ip daddr 10.99.0.9 udp dport 53 drop"),
      ),
    );
    expect(run(syn(80))).toMatchObject({ verdict: "accept", delivery: "forward", out: "eth1" });
    expect(run(udp(53)).verdict).toBe("drop");
  });
  test("a chain of type route routes again, one of type filter does not", () => {
    const route = [
      { dst: "203.0.113.0/24", dev: "eth0" },
      { dst: "10.99.0.0/24", dev: "eth1" },
      { dst: "default", dev: "eth0" },
      { dst: "default", dev: "eth1", table: "100" },
    ];
    const rule = [
      { priority: 0, src: "all", table: "local" },
      { priority: 100, src: "all", fwmark: "0x1", table: "100" },
      { priority: 32766, src: "all", table: "main" },
      { priority: 32767, src: "all", table: "default" },
    ];
    const out = (type: "route" | "filter"): string | null =>
      engines(table("ip n", typed(type, "c", "output", -150, "udp dport 53 meta mark set 1")), {
        route,
        rule,
      })(udp(53, { ...own, dst: "198.51.100.9" })).out;
    expect([out("route"), out("filter")]).toEqual(["eth1", "eth0"]);
  });
});
