/** Routing with tables and rules as `ip -j` lists them. */
import {
  type Answer,
  hostDoubtText,
  type PacketJson,
  readHost,
  readRuleset,
  Simulator,
  VERDICTS,
  verdicts,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { auditOf } from "../audit/json.ts";
import { hostOf, packetOf, rulesetsOf } from "../builders.ts";

type Json = Readonly<Record<string, unknown>>;

interface Given {
  readonly addr?: readonly Json[];
  readonly route?: readonly Json[];
  readonly rule?: readonly Json[];
  readonly sysctl?: string;
  readonly save?: string;
  readonly assume?: Readonly<Record<string, boolean>>;
}

const device = (ifname: string, addresses: readonly string[], more: Json = {}): Json => ({
  ifname,
  group: "default",
  link_type: "ether",
  flags: ["BROADCAST", "UP"],
  addr_info: addresses.map((a) => ({
    family: a.includes(":") ? "inet6" : "inet",
    local: a.split("/")[0],
    prefixlen: Number(a.split("/")[1]),
  })),
  ...more,
});
const ADDR = [
  device("lo", ["127.0.0.1/8", "::1/128"], { link_type: "loopback" }),
  device("eth0", ["203.0.113.1/24", "2001:db8:1::1/64"], { group: "1" }),
  device("eth1", ["10.99.0.1/24", "2001:db8:99::1/64"], { group: "2" }),
  device("eth2", ["10.98.0.1/24", "2001:db8:98::1/64"], { group: "3" }),
];
const SAVE = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

function run(given: Given, json: PacketJson): Answer {
  const source = (name: string, text: string) => [{ name, text }];
  const { rulesets } = readRuleset(source("save", given.save ?? SAVE));
  const host = readHost(
    {
      addr: source("addr", JSON.stringify(given.addr ?? ADDR)),
      ...(given.route === undefined ? {} : { route: source("route", JSON.stringify(given.route)) }),
      ...(given.rule === undefined
        ? {}
        : {
            rule: [
              { name: "rule", text: JSON.stringify(given.rule), family: json.src.includes(":") ? 6 : 4 },
            ],
          }),
      ...(given.sysctl === undefined ? {} : { sysctl: source("sysctl", given.sysctl) }),
    },
    rulesets,
  );
  const packet = packetOf({ proto: "udp", sport: 5, dport: 9, ...json });
  const assume = new Map(Object.entries(given.assume ?? {}));
  return new Simulator(rulesets, host, { assume }).packet(packet);
}

/** Output interfaces of all branches of a packet. */
const ways = (answer: Answer): (string | null)[] => (answer.branches ?? [answer]).map(({ out }) => out);

const local = (dst: string, dev: string) => ({ type: "local", dst, dev, table: "local" });
const OWN = [local("203.0.113.1", "eth0"), local("10.99.0.1", "eth1"), local("10.98.0.1", "eth2")];
const NEAR = [
  { dst: "203.0.113.0/24", dev: "eth0" },
  { dst: "10.99.0.0/24", dev: "eth1" },
  { dst: "10.98.0.0/24", dev: "eth2" },
];
const hop = (dev: string, ...flags: string[]) => ({ dev, gateway: "192.0.2.9", weight: 1, flags });
const hops = (...nexthops: Json[]) => [...OWN, ...NEAR, { dst: "198.51.100.0/24", flags: [], nexthops }];
const FORTH: PacketJson = { in: "eth2", src: "10.98.0.7", dst: "198.51.100.9" };

describe("several next hops", () => {
  test("give one branch each", () => {
    const answer = run({ route: hops(hop("eth0"), hop("eth1")) }, FORTH);
    expect(answer.verdict).toBe("undecided");
    expect(ways(answer)).toEqual(["eth0", "eth1"]);
    expect(answer.branches?.map((b) => b.assume)).toEqual([
      ["next-hop(198.51.100.0/24, eth0)=match"],
      ["next-hop(198.51.100.0/24, eth0)=no-match"],
    ]);
    expect(answer.assumptionCodes).toContainEqual({
      code: "supposed",
      key: "next-hop(198.51.100.0/24, eth0)",
      truth: true,
      reason: { code: "next-hop" },
      at: null,
    });
  });
  test("are selected by --assume", () => {
    const assume = { "next-hop(198.51.100.0/24, eth0)": false };
    const route = hops(hop("eth0"), hop("eth1"), hop("lo"));
    expect(ways(run({ route: hops(hop("eth0"), hop("eth1")), assume }, FORTH))).toEqual(["eth1"]);
    expect(ways(run({ route, assume }, FORTH))).toEqual(["eth1", "lo"]);
  });
  test("through one interface need no branch, and dead ones are ignored", () => {
    expect(ways(run({ route: hops(hop("eth1"), hop("eth1")) }, FORTH))).toEqual(["eth1"]);
    expect(ways(run({ route: hops(hop("eth0", "dead", "linkdown"), hop("eth1")) }, FORTH))).toEqual(["eth1"]);
    // A next hop that only lost its carrier still counts.
    expect(ways(run({ route: hops(hop("eth0", "linkdown"), hop("eth1")) }, FORTH))).toEqual(["eth0", "eth1"]);
  });
  test("a route with only dead next hops is ignored", () => {
    const route = hops(hop("eth0", "dead"), hop("eth1", "dead"));
    const wider = { dst: "198.51.0.0/16", dev: "eth0", flags: [] };
    expect(run({ route }, FORTH)).toMatchObject({ verdict: "drop", reasonCode: { code: "no-route" } });
    expect(ways(run({ route: [...route, wider] }, FORTH))).toEqual(["eth0"]);
    const dead = { dst: "198.51.100.0/25", dev: "eth1", flags: ["dead", "linkdown"] };
    expect(ways(run({ route: [...OWN, ...NEAR, wider, dead] }, FORTH))).toEqual(["eth0"]);
  });
  test("rules that do not distinguish the branches give one verdict", () => {
    const save = SAVE.replace("FORWARD ACCEPT", "FORWARD DROP");
    expect(run({ save, route: hops(hop("eth0"), hop("eth1")) }, FORTH).verdict).toBe("drop");
  });
  test("one packet uses one next hop in all lookups of its route", () => {
    const save = `*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -o eth0 -j DROP\nCOMMIT\n${SAVE}`;
    const answer = run(
      { save, route: hops(hop("eth0"), hop("eth1")) },
      { in: null, src: "10.98.0.1", dst: "198.51.100.9" },
    );
    expect(answer.branches?.map((b) => [b.verdict, b.out])).toEqual([
      ["drop", null],
      ["accept", "eth1"],
    ]);
  });
  test("another lookup can choose another next hop", () => {
    const save = `*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 198.51.100.9 -j DNAT --to-destination 198.51.100.10\nCOMMIT\n${SAVE}`;
    const answer = run(
      { save, route: hops(hop("eth0"), hop("eth1")) },
      { in: null, src: "10.98.0.1", dst: "198.51.100.9" },
    );
    expect(ways(answer)).toEqual(["eth0", "eth1", "eth0", "eth1"]);
  });
  test("rp_filter and rpfilter accept any next hop", () => {
    const sysctl = "net.ipv4.conf.all.rp_filter = 1\nnet.ipv4.ip_forward = 1\n";
    const save = `*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n${SAVE}`;
    const from = (dev: string): PacketJson => ({ in: dev, src: "198.51.100.9", dst: "203.0.113.1" });
    for (const given of [{ sysctl }, { save }]) {
      const route = hops(hop("eth0"), hop("eth1"));
      expect(["eth0", "eth1", "eth2"].map((dev) => run({ ...given, route }, from(dev)).verdict)).toEqual([
        ...["accept", "accept", "drop"],
      ]);
    }
  });
  test("default routes with one metric are alternatives for packets of the host", () => {
    const gateway = (dev: string, metric: number) => ({ dst: "default", gateway: "192.0.2.9", dev, metric });
    const route = [...OWN, ...NEAR, gateway("eth0", 5), gateway("eth1", 5), gateway("eth2", 9)];
    expect(ways(run({ route }, { ...FORTH, in: null, src: "10.98.0.1" }))).toEqual(["eth0", "eth1"]);
    expect(ways(run({ route }, FORTH))).toEqual(["eth0"]);
  });
});

const FORTH6: PacketJson = { in: "eth1", src: "2001:db8:99::7", dst: "2001:db8:50::9" };
const own6 = [
  ...["2001:db8:1::1", "2001:db8:99::1", "2001:db8:98::1"].map((dst, i) => local(dst, `eth${i}`)),
  ...["2001:db8:1::/64", "2001:db8:99::/64", "2001:db8:98::/64"].map((dst, i) => ({
    dst,
    dev: `eth${i}`,
    metric: 256,
  })),
];

describe("IPv6 routes with one metric", () => {
  const to = (dev: string, more: Json = {}) => ({
    dst: "2001:db8:50::/48",
    dev,
    metric: 1024,
    pref: "medium",
    ...more,
  });
  const by = (routes: Json[], packet: PacketJson = FORTH6) =>
    ways(run({ route: [...own6, ...routes] }, packet));
  test("the one of the input interface is first", () => {
    expect(by([to("eth0"), to("eth1")])).toEqual(["eth1"]);
    expect(by([to("eth0"), to("eth1")], { ...FORTH6, in: "eth2", src: "2001:db8:98::7" })).toEqual(["eth0"]);
    expect(by([to("eth0"), to("eth1", { metric: 2000 })])).toEqual(["eth0"]);
    expect(by([to("eth0"), to("eth1")], { ...FORTH6, in: null, src: "2001:db8:99::1" })).toEqual(["eth0"]);
  });
  test("a preference has precedence", () => {
    expect(by([to("eth1"), to("eth0", { pref: "high" })])).toEqual(["eth0"]);
    expect(by([to("eth1", { pref: "low" }), to("eth0")])).toEqual(["eth0"]);
  });
  test("several next hops stay alternatives", () => {
    const both = {
      ...to("eth0"),
      dev: undefined,
      nexthops: [hop("eth0"), hop("eth1")].map((h) => ({ ...h, gateway: "2001:db8:98::9" })),
    };
    expect(by([both])).toEqual(["eth0", "eth1"]);
  });
});

describe("policy rules", () => {
  const rule = (priority: number, more: Json = {}) => ({ priority, src: "all", ...more });
  const USUAL = [
    rule(0, { table: "local" }),
    rule(32766, { table: "main" }),
    rule(32767, { table: "default" }),
  ];
  const ROUTES = [
    ...OWN,
    ...NEAR,
    ...["eth0", "eth1", "eth2"].map((dev, i) => ({ dst: "default", dev, table: `10${i}` })),
    { dst: "198.51.100.0/24", dev: "eth2" },
  ];
  const TO: PacketJson = { in: "eth0", src: "203.0.113.7", dst: "198.51.100.9" };
  const out = (rules: Json[], packet: Partial<PacketJson> = {}, given: Given = {}) =>
    ways(run({ route: ROUTES, ...given, rule: [...USUAL, ...rules] }, { ...TO, ...packet }))
      .map((o) => o ?? "none")
      .join(" ");

  test("tos compares three bits in IPv4", () => {
    const rules = [rule(10, { tos: "0x10", table: "101" })];
    expect([0x10, 0x12, 0x30, 0x18, 0].map((tos) => out(rules, { tos }))).toEqual([
      ...["eth1", "eth1", "eth1", "eth2", "eth2"],
    ]);
  });
  test("tos and dscp compare six bits otherwise", () => {
    for (const asked of [{ dscp: "EF" }, { dscp: "46" }, { dscp: "0x2e" }]) {
      const rules = [rule(10, { ...asked, table: "101" })];
      expect([0xb8, 0xbb, 0x18, 0].map((tos) => out(rules, { tos }))).toEqual([
        "eth1",
        "eth1",
        "eth2",
        "eth2",
      ]);
    }
    const rule6 = [
      rule(0, { table: "local" }),
      rule(10, { tos: "EF", table: "101" }),
      rule(32766, { table: "main" }),
    ];
    const route = [
      ...own6,
      { dst: "::/0", dev: "eth0", metric: 1024 },
      { dst: "::/0", dev: "eth1", metric: 1024, table: "101" },
    ];
    const packet = { in: "eth2", src: "2001:db8:98::7", dst: "2001:db8:50::9" };
    expect([0xb8, 0xbb, 0x18].map((tos) => ways(run({ route, rule: rule6 }, { ...packet, tos })))).toEqual([
      ...[["eth1"], ["eth1"], ["eth0"]],
    ]);
  });
  test("a TOS with an unknown name is undecided", () => {
    expect(out([rule(10, { tos: "somewhat", table: "101" })])).toBe("eth1 eth2");
  });
  test("goto skips rules, and is ignored without a rule of its priority", () => {
    const rules = [
      rule(10, { iif: "eth0", goto: 30 }),
      rule(20, { table: "101" }),
      rule(30, { nop: null }),
      rule(40, { table: "100" }),
    ];
    expect(out(rules)).toBe("eth0");
    expect(out(rules, { in: "eth2", src: "10.98.0.7" })).toBe("eth1");
    expect(out([rule(10, { goto: 15, unresolved: null }), rule(20, { table: "101" })])).toBe("eth1");
    expect(out([rule(10, { goto: "none" }), rule(20, { table: "101" })])).toBe("eth1");
  });
  test("a goto whose conditions do not match is ignored", () => {
    const rules = [
      rule(10, { goto: 40 }),
      rule(20, { goto: 60 }),
      rule(40, { table: "101" }),
      rule(60, { table: "100" }),
    ];
    expect(out(rules)).toBe("eth1");
  });
  test("the owner is that of the socket until OUTPUT changes the packet; otherwise root", () => {
    const rules = [rule(10, { uid_start: 1000, uid_end: 2000, table: "101" })];
    const own = { in: null, src: "203.0.113.1" };
    expect([999, 1000, 2000, 2001].map((uid) => out(rules, { ...own, uid }))).toEqual([
      ...["eth2", "eth1", "eth1", "eth2"],
    ]);
    expect(out(rules, own)).toBe("eth1 eth2");
    expect(out(rules)).toBe("eth2");
    expect(out([rule(10, { uid_start: 0, uid_end: 5, table: "101" })])).toBe("eth1");
    const save = `*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j MARK --set-xmark 0x1/0x1\nCOMMIT\n${SAVE}`;
    expect(out(rules, { ...own, uid: 1000 }, { save })).toBe("eth2");
  });
  test("a route through an interface of a suppressed group is skipped", () => {
    const rules = [
      rule(10, { table: "101", suppress_ifgroup: "2" }),
      rule(20, { table: "100", suppress_ifgroup: "2" }),
    ];
    expect(out(rules)).toBe("eth0");
    const addr = ADDR.map((each) => ({ ...each, group: "some" }));
    expect(out(rules, {}, { addr })).toBe("eth1 eth0 eth2");
  });
  test("routes that reject are not suppressed", () => {
    const route = [...ROUTES, { type: "blackhole", dst: "default", table: "103" }];
    expect(out([rule(10, { table: "103", suppress_prefixlength: 0 })], {}, { route })).toBe("none");
    expect(out([rule(10, { table: "101", suppress_prefixlength: 0 })], {}, { route })).toBe("eth2");
  });
  test("a route with a TOS precedes others with its prefix", () => {
    const route = [
      ...ROUTES,
      { dst: "198.51.100.0/24", dev: "eth1", tos: "0x10", metric: 5 },
      { dst: "198.51.100.0/25", dev: "eth0", tos: "0x08" },
    ];
    expect([0, 0x10, 0x08, 0x12].map((tos) => out([], { tos }, { route }))).toEqual([
      ...["eth2", "eth1", "eth0", "eth1"],
    ]);
  });
  test("realms and l3mdev without a VRF have no effect, tun_id is undecided", () => {
    expect(out([rule(10, { flow_to: "4", table: "101" })])).toBe("eth1");
    expect(out([rule(10, { l3mdev: null })])).toBe("eth2");
    expect(out([rule(10, { tun_id: 5, table: "101" })])).toBe("eth1 eth2");
  });
});

describe("masters other than bridges", () => {
  const port = (name: string, master: string) => device(name, [], { master });
  const to = (addr: readonly Json[], packet: PacketJson, save = SAVE) =>
    run({ addr: [...ADDR, ...addr], save }, packet);
  const SEEN = `*mangle\n:PREROUTING ACCEPT [0:0]\n${["bond0", "eth5", "br0"].map((n) => `-A PREROUTING -i ${n}\n`).join("")}-A PREROUTING -m physdev --physdev-in bond0\nCOMMIT\n${SAVE}`;
  const rules = (answer: Answer) =>
    answer.path.flatMap((s) => (s.step === "rule" && s.chain === "PREROUTING" ? [s.rule] : []));
  const packet: PacketJson = { in: "eth5", src: "172.20.0.7", dst: "172.20.0.1" };

  test("the port of a bond is not visible", () => {
    for (const more of [
      { flags: ["MASTER", "UP"] },
      { linkinfo: { info_kind: "bond" } },
      { linkinfo: { info_kind: "team" } },
    ]) {
      const addr = [device("bond0", ["172.20.0.1/24"], more), port("eth5", "bond0")];
      expect(rules(to(addr, packet, SEEN))).toEqual([1]);
      // A bond switches no frames between its ports.
      expect(to(addr, { ...packet, dst: "172.20.0.9" })).toMatchObject({ out: "bond0", delivery: "forward" });
    }
  });
  test("a bond can be a port of a bridge", () => {
    const addr = [
      device("br0", ["172.20.0.1/24"]),
      device("bond0", [], { flags: ["MASTER", "UP"], master: "br0" }),
      port("eth5", "bond0"),
    ];
    expect(rules(to(addr, packet, SEEN))).toEqual([3, 4]);
  });
  test("a VRF is undecided, in and out", () => {
    for (const more of [{ flags: ["MASTER", "NOARP", "UP"] }, { linkinfo: { info_kind: "vrf" } }]) {
      const addr = [device("blue", [], more), device("eth5", ["172.20.0.1/24"], { master: "blue" })];
      for (const name of ["eth5", "blue"])
        expect(to(addr, { ...packet, in: name })).toMatchObject({
          verdict: "undecided",
          reasonCode: { code: "unfollowed-master", interface: "blue", kind: "vrf" },
        });
      // Its addresses are not local for other interfaces.
      expect(to(addr, { ...packet, in: "eth0", src: "203.0.113.7" }).delivery).toBe("forward");
    }
  });
  test("a packet that leaves by a VRF is undecided if rules accept it", () => {
    const addr = [...ADDR, device("blue", [], { flags: ["MASTER", "NOARP", "UP"] })];
    const route = [...OWN, ...NEAR, { dst: "198.51.100.0/24", dev: "blue" }];
    expect(run({ addr, route }, FORTH).verdict).toBe("undecided");
    const save = SAVE.replace("FORWARD ACCEPT", "FORWARD DROP");
    expect(run({ addr, route, save }, FORTH).verdict).toBe("drop");
  });
  test("other masters are undecided, and reported", () => {
    const addr = [device("ovs-system", []), port("eth5", "ovs-system")];
    const listed = [{ name: "addr", text: JSON.stringify([...ADDR, ...addr]) }];
    expect(to(addr, packet).verdict).toBe("undecided");
    const { doubts } = readHost({ addr: listed }, []);
    expect(doubts).toEqual([{ code: "unknown-master", interface: "ovs-system", kind: "other" }]);
    expect(doubts.map(hostDoubtText)).toEqual([
      "what comes and goes by ovs-system, neither a bridge nor a bond, is not followed",
    ]);
  });
  test("`ip -d link` in addition to `ip addr` identifies a team", () => {
    const text = (of: readonly Json[]) => ({ name: "addr", text: JSON.stringify(of) });
    const link = { ifname: "team0", linkinfo: { info_kind: "team" } };
    const host = readHost({ addr: [text([...ADDR, device("team0", ["172.20.0.1/24"])]), text([link])] }, []);
    expect(host.interfaces.filter((i) => i.name === "team0")).toMatchObject([
      { masters: "bond", addresses: [{ address: 0xac14_0001 }] },
    ]);
  });
});

describe("settings of an interface", () => {
  const TO: PacketJson = { in: "eth0", src: "203.0.113.7", dst: "203.0.113.1" };
  test("force_forwarding forwards IPv6 although other settings do not", () => {
    const sysctl = "net.ipv6.conf.all.forwarding = 0\nnet.ipv6.conf.eth1.force_forwarding = 1\n";
    const to: PacketJson = { in: "eth1", src: "2001:db8:99::7", dst: "2001:db8:1::7" };
    expect(run({ route: own6, sysctl }, to)).toMatchObject({ verdict: "accept", out: "eth0" });
    const back: PacketJson = { in: "eth0", src: "2001:db8:1::7", dst: "2001:db8:99::7" };
    expect(run({ route: own6, sysctl }, back).reasonCode).toEqual({ code: "forwarding-off" });
  });
  test("disable_ipv6 accepts nothing", () => {
    const sysctl = "net.ipv6.conf.eth1.disable_ipv6 = 1\n";
    const to: PacketJson = { in: "eth1", src: "2001:db8:99::7", dst: "2001:db8:1::1" };
    expect(run({ route: own6, sysctl }, to)).toMatchObject({ verdict: "drop", path: [] });
    expect(run({ route: own6, sysctl }, { ...to, in: "eth0" }).verdict).toBe("accept");
  });
  test("drop_unicast_in_l2_multicast drops unicast packets in multicast frames", () => {
    for (const name of ["all", "eth0"]) {
      const sysctl = `net.ipv4.conf.${name}.drop_unicast_in_l2_multicast = 1\n`;
      const verdicts = (dst: string) =>
        [0, 1, 2].map((pkttype) => run({ sysctl }, { ...TO, dst, pkttype }).verdict);
      expect(verdicts("203.0.113.1")).toEqual(["accept", "drop", "drop"]);
      expect(verdicts("203.0.113.255")).toEqual(["accept", "accept", "accept"]);
    }
    const sysctl = "net.ipv6.conf.eth0.drop_unicast_in_l2_multicast = 1\n";
    const six = (dst: string, pkttype: number) =>
      run(
        { route: [...own6, { type: "multicast", dst: "ff00::/8", dev: "eth0", table: "local" }], sysctl },
        { in: "eth0", src: "2001:db8:1::7", dst, pkttype },
      ).verdict;
    expect([six("2001:db8:1::1", 0), six("2001:db8:1::1", 1), six("ff02::1", 2)]).toEqual([
      ...["accept", "drop", "accept"],
    ]);
  });
  test("bc_forwarding forwards broadcasts to another link if all and the interface enable it", () => {
    const to = (all: number, one: number) =>
      run(
        { sysctl: `net.ipv4.conf.all.bc_forwarding = ${all}\nnet.ipv4.conf.eth0.bc_forwarding = ${one}\n` },
        { ...TO, dst: "10.99.0.255" },
      );
    expect(to(1, 1)).toMatchObject({ delivery: "forward", out: "eth1" });
    expect([to(0, 1).delivery, to(1, 0).delivery]).toEqual(["local", "local"]);
  });
});

test("an IPv6 route with a source prefix applies to no other source", () => {
  const route = [
    ...own6,
    { dst: "2001:db8:50::/48", from: "2001:db8:99::/64", dev: "eth2", metric: 1024 },
    { dst: "::/0", dev: "eth0", metric: 1024 },
  ];
  expect(ways(run({ route }, FORTH6))).toEqual(["eth2"]);
  expect(ways(run({ route }, { ...FORTH6, in: "eth0", src: "2001:db8:1::7" }))).toEqual(["eth0"]);
});

describe("MASQUERADE chooses", () => {
  const save = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n";
  const scoped = (ifname: string, ...infos: [string, number, string][]): Json => ({
    ...device(ifname, []),
    addr_info: infos.map(([address, prefixlen, scope]) => ({
      family: "inet",
      local: address,
      prefixlen,
      scope,
    })),
  });
  const from = (addr: readonly Json[], more: Json = {}) =>
    run(
      {
        addr: [...ADDR, ...addr],
        save,
        route: [...OWN, ...NEAR, { dst: "198.51.100.0/24", dev: "eth5", ...more }],
      },
      FORTH,
    ).sent?.src;
  const two: [string, number, string][] = [
    ["172.20.0.1", 24, "global"],
    ["172.21.0.1", 24, "global"],
  ];
  test("the address whose subnet holds the gateway", () => {
    expect(from([scoped("eth5", ...two)])).toBe("172.20.0.1");
    expect(from([scoped("eth5", ...two)], { gateway: "172.21.0.9" })).toBe("172.21.0.1");
    const nexthops = [{ dev: "eth5", gateway: "172.21.0.9", weight: 1, flags: [] }, hop("eth5")];
    expect(from([scoped("eth5", ...two)], { dev: undefined, nexthops })).toBe("172.21.0.1");
  });
  test("no address with link scope", () => {
    expect(from([scoped("eth5", ["172.19.0.1", 32, "link"], ...two)])).toBe("172.20.0.1");
  });
  test("one of another interface if there is none, first of loopback", () => {
    expect(from([scoped("eth5", ["172.19.0.1", 32, "link"])])).toBe("203.0.113.1");
    const lo = scoped("lo", ["127.0.0.1", 8, "host"], ["192.0.2.77", 32, "global"]);
    expect(from([scoped("eth5"), lo])).toBe("192.0.2.77");
  });
});

describe("sources without rp_filter", () => {
  const route = [
    ...OWN,
    ...NEAR,
    { type: "broadcast", dst: "203.0.113.255", dev: "eth0", table: "local" },
    { dst: "198.51.100.0/24", dev: "eth1" },
  ];
  const sysctl = "net.ipv4.conf.all.rp_filter = 0\n";
  const verdict = (given: Given) =>
    run({ sysctl, route, ...given }, { in: "eth0", src: "203.0.113.255", dst: "203.0.113.1" }).verdict;
  const rules = [
    { priority: 0, src: "all", table: "local" },
    { priority: 32766, src: "all", table: "main" },
    { priority: 32767, src: "all", table: "default" },
  ];
  test("are looked up in the tables if there are realms or policy rules, even duplicates of the default ones", () => {
    expect([verdict({}), verdict({ rule: rules })]).toEqual(["accept", "accept"]);
    expect(verdict({ rule: [...rules, rules[1]!] })).toBe("drop");
    const realm = { dst: "192.0.2.0/24", dev: "eth1", flow: { to: "5" } };
    expect(verdict({ route: [...route, realm] })).toBe("drop");
    // With realms even packets from the host's own addresses are looked up.
    const accept = `${sysctl}net.ipv4.conf.all.accept_local = 1\n`;
    expect(verdict({ route: [...route, realm], sysctl: accept })).toBe("drop");
    expect(verdict({ rule: [...rules, rules[1]!], sysctl: accept })).toBe("accept");
  });
});

describe("listings of policy rules", () => {
  const source = (priorities: readonly number[], more: Json = {}, table = "100", family?: 4 | 6) => ({
    name: "rule",
    ...(family === undefined ? {} : { family }),
    text: JSON.stringify(priorities.map((priority) => ({ priority, src: "all", table, ...more }))),
  });
  const families = (...rule: ReturnType<typeof source>[]) =>
    readHost({ rule }, []).rules?.map((r) => r.family);
  test("have the family of an address or of the table default, or the remaining one", () => {
    expect(families(source([1], { src: "10.0.0.0", srclen: 8 }), source([1]))).toEqual([4, 6]);
    expect(families(source([1]), source([1], { src: "fd00::", srclen: 8 }))).toEqual([4, 6]);
    expect(families(source([1]), source([1], {}, "default"))).toEqual([6, 4]);
    expect(families(source([1]), source([1]))).toEqual([4, 6]);
    expect(families(source([1], {}, "100", 4))).toEqual([4]);
  });
  test("of unknown family are IPv6, with a note", () => {
    const host = readHost({ rule: [source([1])] }, []);
    expect(host.rules?.map((r) => r.family)).toEqual([6]);
    expect(host.inferences).toContainEqual({ code: "policy-rules-ipv6" });
  });
  test("without a rule for the table default do not use it", () => {
    const rule = [
      { priority: 0, src: "all", table: "local" },
      { priority: 32766, src: "all", table: "main" },
    ];
    const route = [...OWN, ...NEAR, { dst: "198.51.100.0/24", dev: "eth1", table: "default" }];
    expect(run({ route, rule }, FORTH).verdict).toBe("drop");
    expect(run({ route }, FORTH).verdict).toBe("accept");
  });
});

describe("without routes", () => {
  const to = (addr: readonly Json[], packet: Partial<PacketJson> = {}) =>
    run({ addr }, { ...FORTH, ...packet });
  const [lo, eth0, ...others] = ADDR as [Json, Json, ...Json[]];
  test("no packet is routed by an interface that is down", () => {
    const down = { ...eth0, flags: ["BROADCAST"] };
    expect(to(ADDR).out).toBe("eth0");
    expect(to([lo, down, ...others]).out).toBe("eth1");
    expect(to([lo, down, ...others], { dst: "203.0.113.7" }).out).toBe("eth1");
    // Its address is still local.
    expect(to([lo, down, ...others], { dst: "203.0.113.1" }).delivery).toBe("local");
    const host = hostOf([], { addr: [lo, down] });
    expect(host.inferences).toContainEqual({ code: "interface-down", interface: "eth0" });
  });
  test("the default route uses no port and no VRF, but a bond", () => {
    const bond = device("bond0", ["192.0.2.1/24"], { flags: ["MASTER", "UP"] });
    const blue = device("blue", [], { flags: ["MASTER", "NOARP", "UP"] });
    expect(to([lo, device("eth7", [], { master: "bond0" }), blue, bond, ...others]).out).toBe("bond0");
  });
});

describe("a batch of packets", () => {
  const source = (name: string, of: unknown) => [{ name, text: JSON.stringify(of) }];
  const save = SAVE.replace("COMMIT", "-A FORWARD -o eth0 -j DROP\nCOMMIT");
  const rulesets = rulesetsOf(save);
  const said = (addr: readonly Json[], route: readonly Json[]) => {
    const host = readHost({ addr: source("addr", addr), route: source("route", route) }, rulesets);
    const dst = [0xc633_6409, 0x0a63_0007, 0xcb00_7107];
    const codes = verdicts(rulesets, host, {
      family: 4,
      in: "eth2",
      src: 0x0a62_0007,
      dst,
      proto: 17,
      sport: 5,
      dport: 9,
    });
    return { host, codes: [...codes].map((code) => VERDICTS[code]) };
  };
  test("is undecided if the choice of a next hop decides", () => {
    const { codes } = said(ADDR, hops(hop("eth0"), hop("eth1")));
    expect(codes).toEqual(["undecided", "accept", "drop"]);
  });
  test("is undecided after a VRF, which the audit names", () => {
    const blue = device("blue", [], { flags: ["MASTER", "NOARP", "UP"] });
    const addr = ADDR.map((each) => (each.ifname === "eth2" ? { ...each, master: "blue" } : each));
    const { codes, host } = said([...addr, blue], hops(hop("eth1")));
    expect(codes).toEqual(["undecided", "undecided", "undecided"]);
    expect(auditOf(rulesets, host).inconclusive.join()).toContain("blue, a VRF, is not followed");
  });
});

test("a policy rule with an invalid port is undecided, without an exception", () => {
  const rulesets = rulesetsOf("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n");
  for (const port of [70_000, -1, "Infinity", {}, 1.5]) {
    const text = JSON.stringify([{ priority: 10, src: "10.0.0.0", srclen: 8, dport: port, table: "100" }]);
    const host = hostOf(rulesets, { rule: text });
    expect(host.rules?.[0]).toMatchObject({ dport: null, beyond: "dport" });
    expect(() => auditOf(rulesets, host)).not.toThrow();
  }
});
