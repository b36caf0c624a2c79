/** Routes back to the source: the match rpfilter and the setting rp_filter. */
import { readHost, readNftables, simulate, withNftables } from "fwcheck";
import { describe, expect, test } from "vitest";
import { hostOf, packetOf, rulesetsOf } from "../builders.ts";
import { ADDR } from "../two-interfaces.ts";

describe("rpfilter", () => {
  const save = (how: string) =>
    `*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter ${how} --invert -j DROP\nCOMMIT\n`;
  const routes = [
    { type: "local", dst: "203.0.113.1", dev: "eth0", table: "local" },
    { dst: "default", dev: "eth0", gateway: "203.0.113.254" },
    { dst: "203.0.113.0/24", dev: "eth0" },
    { dst: "10.99.0.0/24", dev: "eth1" },
  ];
  const verdict = (how: string, src: string, given = true) => {
    const rulesets = rulesetsOf(save(how));
    const packet = packetOf({ in: "eth1", src, dst: "10.99.0.1", proto: "tcp", sport: 5, dport: 80 });
    const host = readHost(
      {
        addr: [{ name: "addr", text: ADDR }],
        ...(given ? { route: [{ name: "route", text: JSON.stringify(routes) }] } : {}),
      },
      rulesets,
    );
    return simulate(rulesets, host, packet).verdict;
  };

  test("looks up a route back by the input interface", () => {
    expect(verdict("", "10.99.0.7")).toBe("accept");
    expect(verdict("", "192.0.2.7")).toBe("drop");
    expect(verdict("--loose", "192.0.2.7")).toBe("accept");
  });
  test("accepts the host's own addresses only with --accept-local", () => {
    expect(verdict("--loose", "203.0.113.1")).toBe("drop");
  });
  test("is unknown without routes", () => {
    expect(verdict("", "192.0.2.7", false)).toBe("undecided");
  });
});

test("rp_filter looks up the source of a broadcast, not its destination", () => {
  const save = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
  const rulesets = rulesetsOf(save);
  const rule = (priority: number, more: object) => ({ priority, src: "all", ...more });
  const host = hostOf(rulesets, {
    addr: ADDR,
    sysctl: "net.ipv4.conf.eth1.rp_filter = 1\n",
    rule: [
      ...[rule(0, { table: "local" }), rule(32766, { table: "main" })],
      rule(100, { src: "10.99.0.0", srclen: 24, action: "prohibit" }),
    ],
  });
  const to = (dst: string) => {
    const packet = packetOf({ in: "eth1", src: "10.99.0.7", dst, proto: "udp", sport: 5, dport: 53 });
    return simulate(rulesets, host, packet).verdict;
  };
  expect(to("10.99.0.255")).toBe("accept");
  expect(to("10.99.0.1")).toBe("drop");
});

test("fib of IPv6 finds one next hop of a multipath route, which is not known", () => {
  const fib = (expression: string) => {
    const text = `table ip6 t {\n\tchain c {\n\t\ttype filter hook prerouting priority 0; policy accept;\n\t\t${expression} drop\n\t}\n}\n`;
    const { rulesets } = withNftables([], readNftables([{ name: "nft", text, complete: true }]));
    const gateways = [
      { dev: "eth0", gateway: "2001:db8:1::9", weight: 1, flags: [] },
      { dev: "eth1", gateway: "fd00:99::9", weight: 1, flags: [] },
    ];
    const host = hostOf(rulesets, {
      addr: ADDR,
      route: [
        { type: "local", dst: "fd00:99::1", dev: "eth1", table: "local" },
        { dst: "fd00:99::/64", dev: "eth1" },
        { dst: "2001:db8:f::/48", flags: [], nexthops: gateways },
      ],
    });
    const packet = (src: string) =>
      packetOf({ in: "eth1", src, dst: "fd00:99::1", proto: "udp", sport: 5, dport: 80 });
    return ["fd00:99::7", "2001:db8:f::7", "2001:db8:e::7"].map((src) => {
      const { verdict, branches } = simulate(rulesets, host, packet(src));
      return branches === undefined ? verdict : branches.map((b) => `${b.verdict}: ${b.assume}`);
    });
  };
  const chosen = "next-hop(2001:db8:f::/48, eth0)@ip6 t/c/1";
  expect(fib("fib saddr . iif oif missing")).toEqual([
    "accept",
    [`drop: ${chosen}=match`, `accept: ${chosen}=no-match`],
    "drop",
  ]);
  expect(fib("fib saddr oif missing")).toEqual(["accept", "accept", "drop"]);
});
