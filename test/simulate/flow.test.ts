/** Whole connections: their packets, the origin of replies, and where a connection breaks. */
import { type Flow, flow, type PacketJson, readHost, Simulator } from "fwcheck";
import { expect, test } from "vitest";
import { hostOf, packetOf, rulesetsOf } from "../builders.ts";

const ADDR = JSON.stringify(
  [
    ["lo", "127.0.0.1/8"],
    ["eth0", "203.0.113.1/24"],
    ["eth1", "10.99.0.1/24"],
    ["docker0", "172.17.0.1/16"],
  ].map(([ifname, address]) => ({
    ifname,
    addr_info: [
      { family: "inet", local: address!.split("/")[0], prefixlen: Number(address!.split("/")[1]) },
      ...(ifname === "eth0" ? [{ family: "inet6", local: "2001:db8:1::1", prefixlen: 64 }] : []),
    ],
  })),
);

/** Simulates a connection with rules of the tables nat, raw and filter. */
function play(rules: { nat?: string[]; raw?: string[]; filter?: string[] }, packet: PacketJson): Flow {
  const table = (name: string, heads: string[], list: string[]): string =>
    [`*${name}`, ...heads.map((h) => `:${h} ACCEPT [0:0]`), ...list, "COMMIT", ""].join("\n");
  const text = [
    table("raw", ["PREROUTING", "OUTPUT"], rules.raw ?? []),
    table("nat", ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"], rules.nat ?? []),
    table("filter", ["INPUT", "FORWARD", "OUTPUT"], rules.filter ?? []),
  ].join("");
  const family = packet.dst.includes(":") ? 6 : 4;
  const rulesets = rulesetsOf(text, { family });
  const host = hostOf(rulesets, { addr: ADDR });
  const first = packetOf(packet);
  return flow(new Simulator(rulesets, host), host, first);
}

/** One line per packet: sender, role, interfaces and header. */
const told = (played: Flow): string[] =>
  played.packets.map(({ step, from, trace: { answer } }) => {
    const { packet: p, out, delivery, verdict, sent } = answer;
    const end = verdict !== "accept" ? verdict : delivery === "local" ? "host" : out;
    const header = sent === null ? "" : ` ${sent.src}:${sent.sport} > ${sent.dst}:${sent.dport}`;
    return `${from} ${step} ${p.in ?? "host"} > ${end}${header}`;
  });

const WEB = "-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80";
const OUTSIDE: PacketJson = {
  in: "eth0",
  src: "203.0.113.2",
  dst: "203.0.113.1",
  proto: "tcp",
  sport: 40000,
  dport: 8080,
};

test("handshake, data and FIN of both ends, translated in both directions", () => {
  const played = play({ nat: [WEB] }, OUTSIDE);
  expect(played.verdict).toBe("accept");
  expect(told(played)).toEqual([
    "client SYN eth0 > docker0 203.0.113.2:40000 > 172.17.0.2:80",
    "server SYN/ACK docker0 > eth0 203.0.113.1:8080 > 203.0.113.2:40000",
    "client ACK eth0 > docker0 203.0.113.2:40000 > 172.17.0.2:80",
    "client data eth0 > docker0 203.0.113.2:40000 > 172.17.0.2:80",
    "server data docker0 > eth0 203.0.113.1:8080 > 203.0.113.2:40000",
    "client FIN eth0 > docker0 203.0.113.2:40000 > 172.17.0.2:80",
    "server FIN docker0 > eth0 203.0.113.1:8080 > 203.0.113.2:40000",
    "client last ACK eth0 > docker0 203.0.113.2:40000 > 172.17.0.2:80",
  ]);
  expect(played.packets.map((p) => p.trace.answer.packet.flags)).toEqual([
    ...["S", "SA", "A", "PA", "PA", "FA", "FA", "A"],
  ]);
});

test("a masqueraded request is answered to the translated address", () => {
  const nat = ["-A POSTROUTING -s 172.17.0.0/16 -o eth0 -j MASQUERADE"];
  const played = play(
    { nat },
    { in: "docker0", src: "172.17.0.2", dst: "203.0.113.9", proto: "udp", sport: 5000, dport: 53 },
  );
  expect(told(played)).toEqual([
    "client request docker0 > eth0 203.0.113.1:5000 > 203.0.113.9:53",
    "server reply eth0 > docker0 203.0.113.9:53 > 172.17.0.2:5000",
  ]);
  expect(played.packets[1]!.trace.answer.packet).toMatchObject({ in: "eth0", dst: "203.0.113.1" });
});

test("a container reaches itself by the host's port: hairpin, masqueraded to the bridge", () => {
  const nat = [WEB, "-A POSTROUTING -s 172.17.0.0/16 -o docker0 -j MASQUERADE"];
  const played = play({ nat }, { ...OUTSIDE, in: "docker0", src: "172.17.0.2" });
  expect(played.verdict).toBe("accept");
  expect(told(played).slice(0, 2)).toEqual([
    "client SYN docker0 > docker0 172.17.0.1:40000 > 172.17.0.2:80",
    "server SYN/ACK docker0 > docker0 203.0.113.1:8080 > 172.17.0.2:40000",
  ]);
});

test("the host replies to delivered packets, the neighbour to packets of the host", () => {
  const ping = { proto: "icmp", type: 8, id: 7 } as const;
  expect(told(play({}, { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", ...ping }))).toEqual([
    "client request eth0 > host",
    "server reply host > eth0 203.0.113.1:null > 203.0.113.2:null",
  ]);
  const out = play({}, { in: null, src: "203.0.113.1", dst: "203.0.113.2", ...ping });
  expect(told(out)[1]).toBe("server reply eth0 > host");
  expect(out.packets[1]!.trace.answer.packet).toMatchObject({ type: 0, id: 7 });
  const six = play(
    {},
    { in: null, src: "2001:db8:1::1", dst: "2001:db8:1::2", proto: "icmpv6", type: 128, id: 7 },
  );
  expect(six.packets[1]!.trace.answer.packet).toMatchObject({ in: "eth0", type: 129 });
  expect(six.verdict).toBe("accept");
});

test("to itself by loopback, redirected", () => {
  const nat = ["-A OUTPUT -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128"];
  const played = play({ nat }, { in: null, src: "127.0.0.1", dst: "127.0.0.1", sport: 5000, dport: 80 });
  expect(played.verdict).toBe("accept");
  expect(played.packets[1]!.trace.answer.packet).toMatchObject({ in: null, sport: 3128, dport: 5000 });
});

test("replies that rules drop break the connection at the reply", () => {
  const played = play({ filter: ["-A FORWARD -i docker0 -j DROP"], nat: [WEB] }, OUTSIDE);
  expect([played.verdict, played.brokenCode, played.packets.length]).toEqual(["drop", null, 2]);
  const rejected = play({ filter: ["-A INPUT -p tcp -j REJECT"] }, OUTSIDE);
  expect([rejected.verdict, rejected.packets.length]).toEqual(["reject", 1]);
});

test("replies that are not translated back do not belong to the connection of the client", () => {
  const played = play({ nat: [WEB], raw: ["-A PREROUTING -i docker0 -j CT --notrack"] }, OUTSIDE);
  expect(played.verdict).toBe("drop");
  expect(played.brokenCode).toEqual({ code: "no-connection" });
  expect(played.packets.length).toBe(2);
});

test("replies that leave by another interface are noted, and can work", () => {
  const played = play({}, { ...OUTSIDE, in: "eth1", src: "203.0.113.9" });
  expect(played.verdict).toBe("accept");
  expect(played.noteCodes).toEqual([{ code: "asymmetric", from: "server", out: "eth0", in: "eth1" }]);
});

test("multicast, broadcast and ICMP errors have no reply", () => {
  const alone = (packet: PacketJson): number => play({}, packet).packets.length;
  expect(alone({ in: "eth0", src: "203.0.113.2", dst: "203.0.113.255", proto: "udp", dport: 67 })).toBe(1);
  expect(alone({ in: "eth0", src: "203.0.113.2", dst: "224.0.0.1", proto: "udp", dport: 5353 })).toBe(1);
  expect(alone({ in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", proto: "icmp", type: 3 })).toBe(1);
});

test("an unknown ends the connection as undecided", () => {
  const filter = ["-A INPUT -m string --string x --algo bm --to 65535 -j DROP"];
  const played = play({ filter }, OUTSIDE);
  expect([played.verdict, played.packets.length]).toEqual(["undecided", 1]);
});

test("a reply to a container that leaves by an uplink does not arrive", () => {
  const text = `*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i eth1 -j MARK --set-xmark 0x2/0xffffffff
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
`;
  const rulesets = rulesetsOf(text);
  const route = (table: string, dst: string, dev: string) => ({ table, dst, dev });
  const routes = [
    ...[route("102", "default", "eth1"), route("main", "default", "eth0")],
    ...[route("main", "10.99.0.0/24", "eth1"), route("main", "172.17.0.0/16", "docker0")],
  ];
  const rules = [
    { priority: 0, src: "all", table: "local" },
    { priority: 100, src: "all", fwmark: "0x2", table: "102" },
    { priority: 32766, src: "all", table: "main" },
  ];
  const source = (name: string, json: unknown) => [{ name, text: JSON.stringify(json) }];
  const sources = { addr: [{ name: "addr", text: ADDR }], route: source("route", routes) };
  const first = packetOf({
    in: "docker0",
    src: "172.17.0.2",
    dst: "10.99.0.2",
    proto: "tcp",
    sport: 40000,
    dport: 80,
  });
  const played = (policy: readonly unknown[]): Flow => {
    const host = readHost({ ...sources, rule: [{ ...source("rule", policy)[0]!, family: 4 }] }, rulesets);
    return flow(new Simulator(rulesets, host), host, first);
  };
  // Measured: the connection times out.
  expect(played(rules)).toMatchObject({
    verdict: "drop",
    brokenCode: { code: "off-bridge", out: "eth1", bridge: "docker0" },
  });
  expect(played(rules.filter((rule) => rule.fwmark === undefined)).verdict).toBe("accept");
});
