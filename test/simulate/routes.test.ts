/** The routing tables as the kernel asks them: what `ip -j` lists, and where a packet goes. */
import { type Answer, type PacketJson, readHost, readPacket, readRuleset, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";

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
  ...{ ifname, group: "default", link_type: "ether", flags: ["BROADCAST", "UP"] },
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
      ...(given.rule === undefined ? {} : { rule: source("rule", JSON.stringify(given.rule)) }),
      ...(given.sysctl === undefined ? {} : { sysctl: source("sysctl", given.sysctl) }),
    },
    rulesets,
  );
  const packet = readPacket({ proto: "udp", sport: 5, dport: 9, ...json });
  if (typeof packet === "string") throw new Error(packet);
  const assume = new Map(Object.entries(given.assume ?? {}));
  return new Simulator(rulesets, host, { assume }).packet(packet);
}

/** The ways that an undecided packet goes, else the one. */
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
  test("are all of them ways that a packet can go", () => {
    const answer = run({ route: hops(hop("eth0"), hop("eth1")) }, FORTH);
    expect(answer.verdict).toBe("undecided");
    expect(ways(answer)).toEqual(["eth0", "eth1"]);
    expect(answer.branches?.map((b) => b.assume)).toEqual([
      ["next-hop(198.51.100.0/24, eth0)=match"],
      ["next-hop(198.51.100.0/24, eth0)=no-match"],
    ]);
    expect(answer.assumptions.join()).toContain("which of a route's next hops the kernel takes is not known");
  });
  test("of which --assume settles one", () => {
    const assume = { "next-hop(198.51.100.0/24, eth0)": false };
    const route = hops(hop("eth0"), hop("eth1"), hop("lo"));
    expect(ways(run({ route: hops(hop("eth0"), hop("eth1")), assume }, FORTH))).toEqual(["eth1"]);
    expect(ways(run({ route, assume }, FORTH))).toEqual(["eth1", "lo"]);
  });
  test("by one interface are no question, nor are those that are dead", () => {
    expect(ways(run({ route: hops(hop("eth1"), hop("eth1")) }, FORTH))).toEqual(["eth1"]);
    expect(ways(run({ route: hops(hop("eth0", "dead", "linkdown"), hop("eth1")) }, FORTH))).toEqual(["eth1"]);
    // What has lost its carrier alone still counts.
    expect(ways(run({ route: hops(hop("eth0", "linkdown"), hop("eth1")) }, FORTH))).toEqual(["eth0", "eth1"]);
  });
  test("a route that is dead altogether is none", () => {
    const route = hops(hop("eth0", "dead"), hop("eth1", "dead"));
    const wider = { dst: "198.51.0.0/16", dev: "eth0", flags: [] };
    expect(run({ route }, FORTH)).toMatchObject({ verdict: "drop", reason: "no route leads there" });
    expect(ways(run({ route: [...route, wider] }, FORTH))).toEqual(["eth0"]);
    const dead = { dst: "198.51.100.0/25", dev: "eth1", flags: ["dead", "linkdown"] };
    expect(ways(run({ route: [...OWN, ...NEAR, wider, dead] }, FORTH))).toEqual(["eth0"]);
  });
  test("rules that do not tell the ways apart decide alike", () => {
    const save = SAVE.replace("FORWARD ACCEPT", "FORWARD DROP");
    expect(run({ save, route: hops(hop("eth0"), hop("eth1")) }, FORTH).verdict).toBe("drop");
  });
  test("one packet takes one of them, in all that its route is looked up for", () => {
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
  test("what is looked up again may go another way", () => {
    const save = `*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 198.51.100.9 -j DNAT --to-destination 198.51.100.10\nCOMMIT\n${SAVE}`;
    const answer = run(
      { save, route: hops(hop("eth0"), hop("eth1")) },
      { in: null, src: "10.98.0.1", dst: "198.51.100.9" },
    );
    expect(ways(answer)).toEqual(["eth0", "eth1", "eth0", "eth1"]);
  });
  test("rp_filter and rpfilter take any of them", () => {
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
  test("default routes of one metric are such for what the host sends", () => {
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

describe("IPv6 routes of one metric", () => {
  const to = (dev: string, more: Json = {}) => ({
    dst: "2001:db8:50::/48",
    dev,
    metric: 1024,
    pref: "medium",
    ...more,
  });
  const by = (routes: Json[], packet: PacketJson = FORTH6) =>
    ways(run({ route: [...own6, ...routes] }, packet));
  test("the one by which the packet came in comes first", () => {
    expect(by([to("eth0"), to("eth1")])).toEqual(["eth1"]);
    expect(by([to("eth0"), to("eth1")], { ...FORTH6, in: "eth2", src: "2001:db8:98::7" })).toEqual(["eth0"]);
    expect(by([to("eth0"), to("eth1", { metric: 2000 })])).toEqual(["eth0"]);
    expect(by([to("eth0"), to("eth1")], { ...FORTH6, in: null, src: "2001:db8:99::1" })).toEqual(["eth0"]);
  });
  test("a preference counts for more", () => {
    expect(by([to("eth1"), to("eth0", { pref: "high" })])).toEqual(["eth0"]);
    expect(by([to("eth1", { pref: "low" }), to("eth0")])).toEqual(["eth0"]);
  });
  test("several next hops stay several", () => {
    const both = {
      ...to("eth0"),
      dev: undefined,
      nexthops: [hop("eth0"), hop("eth1")].map((h) => ({ ...h, gateway: "2001:db8:98::9" })),
    };
    expect(by([both])).toEqual(["eth0", "eth1"]);
  });
});
