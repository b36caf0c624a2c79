/** A host for each trap of nftables: rulesets on which a reading that is almost right gives another answer. */
import type { Family } from "fwcheck";
import { INTERFACES } from "../generate.ts";
import { type LabPacket, ROUTER } from "../lab.ts";
import { echo, type Probe, tcp, udp } from "../probes.ts";

const OUT = "203.0.113.7";
const HERE = "203.0.113.1";
const BOX = "172.17.0.2";
const LAN = "10.99.0.2";

interface Trap {
  readonly nft: string;
  /** Routes beside the default one. */
  readonly routes?: readonly string[];
  readonly packets: readonly LabPacket[];
  readonly family?: Family;
  readonly save?: string;
  readonly backend?: "legacy" | "nft";
  readonly ordered?: true;
}

const chain = (name: string, hook: string, ...rules: string[]): string =>
  `chain ${name} {\n${[`type filter hook ${hook}`, ...rules].join("\n")}\n}`;
const nat = (name: string, hook: string, ...rules: string[]): string =>
  chain(name, hook, ...rules).replace("type filter", "type nat");
const called = (name: string, ...rules: string[]): string => `chain ${name} {\n${rules.join("\n")}\n}`;
const table = (name: string, ...parts: string[]): string => `table ${name} {\n${parts.join("\n")}\n}\n`;

const web = tcp("eth0", OUT, 40_000, BOX, 80);
const dns = udp("eth0", OUT, 40_000, BOX, 53);
const ping = echo("eth0", OUT, 7, BOX);
const local = tcp("eth0", OUT, 40_000, HERE, 80);
const own = udp(null, HERE, 5000, OUT, 53);
const from = (packet: LabPacket, sport: number, changes: Partial<LabPacket> = {}): LabPacket => ({
  ...packet,
  sport,
  ...changes,
});
const again = (packet: LabPacket, flags: string, seq: number, ack = 0): LabPacket => ({
  ...packet,
  flags,
  seq,
  ack,
});

const FIB_TYPES = [
  ...["unspec", "unicast", "local", "broadcast", "anycast", "multicast"],
  ...["blackhole", "unreachable", "prohibit"],
];
const FIB_SOURCES = [
  ...["2001:db8:1::7", "2001:db8:99::2", "2001:db8:f::7", "2001:db8:1::1", "2001:db8:1::", "::1", "::"],
  ...["2001:db8:b::1", "2001:db8:c::1", "2001:db8:d::1", "2001:db8:e::1", "2606:4700::1111"],
  ...["fe80::1", "fe80::7", "ff02::1", "ff12::7", "ff05::2", "ff0e::1", "ffff:ffff::1", "ff01::1"],
];

const TRAPS: Readonly<Record<string, Trap>> = {
  "1: an accept ends its own base chain only": {
    nft:
      table(
        "ip a",
        chain("one", "forward priority -10; policy drop;", "tcp dport 80 accept", "udp dport 53 accept"),
      ) +
      table("inet b", chain("two", "forward priority 10; policy accept;", "tcp dport 80 drop")) +
      table(
        "inet c",
        chain("three", "forward priority 20; policy accept;", "ip daddr 172.17.0.2 accept", "drop"),
      ),
    packets: [web, dns, ping, from(web, 40_001, { dport: 81 })],
  },
  "1: the policy of an earlier chain is not final, a drop is": {
    nft:
      table("inet a", chain("one", "input priority 5; policy accept;", "tcp dport 22 drop")) +
      table(
        "ip b",
        chain("two", "input priority 6; policy drop;", "tcp dport 22 accept", "tcp dport 80 accept"),
      ),
    packets: [local, from(local, 40_001, { dport: 22 }), udp("eth0", OUT, 5, HERE, 53)],
  },
  "2: chains of one priority": {
    nft:
      table(
        "ip first",
        chain("c", "forward priority 0; policy accept;", "meta mark 2 drop", "meta mark set 1"),
      ) +
      table(
        "ip second",
        chain("c", "forward priority 0; policy accept;", "meta mark 1 drop", "tcp dport 81 meta mark set 2"),
      ) +
      table("inet third", chain("c", "forward priority 0; policy accept;", "udp dport 53 accept")),
    packets: [web, from(web, 40_001, { dport: 81 }), dns],
  },
  ...Object.fromEntries(
    (["legacy", "nft"] as const).map((backend): [string, Trap] => [
      `2: chains of one priority in a known order, with iptables (${backend})`,
      {
        ordered: true,
        backend,
        save: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -m mark --mark 0x2 -j DROP\n-A FORWARD -j MARK --set-xmark 0x3/0xffffffff\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A PREROUTING -d 203.0.113.1/32 -p tcp -m tcp --dport 82 -j DNAT --to-destination 172.17.0.2:8000\nCOMMIT\n",
        nft:
          table(
            "inet first",
            nat(
              "p",
              "prerouting priority -100; policy accept;",
              "tcp dport { 82, 83 } dnat ip to 172.17.0.3",
            ),
            chain(
              "one",
              "forward priority 0; policy accept;",
              "meta mark 3 counter",
              "meta mark 1 drop",
              "meta mark set 2",
            ),
            chain("two", "forward priority 0; policy accept;", "tcp dport 80 meta mark set 1"),
          ) +
          table(
            "ip second",
            nat("p", "prerouting priority -100; policy accept;", "tcp dport 83 dnat to 172.17.0.2"),
            chain(
              "c",
              "forward priority 0; policy accept;",
              "tcp dport 80 meta mark 1 accept",
              "udp dport 53 drop",
            ),
          ),
        packets: [
          web,
          from(web, 40_001, { dport: 81 }),
          dns,
          ...[82, 83].map((dport, i) => from(local, 41_000 + i, { dport })),
        ],
      },
    ]),
  ),
  "2: the order of one priority does not matter where one drops": {
    nft:
      table("ip first", chain("c", "forward priority 0; policy accept;", "tcp dport 80 drop")) +
      table("ip second", chain("c", "forward priority 0; policy accept;", "udp dport 53 accept")),
    packets: [web, dns],
  },
  "3: a nat chain's priority orders it among nat chains alone": {
    nft: table(
      "ip n",
      nat("late", "prerouting priority 300; policy accept;", "tcp dport 80 dnat to 172.17.0.2:8000"),
      chain("before", "prerouting priority -101; policy accept;", "ip daddr 203.0.113.1 counter"),
      chain("after", "prerouting priority -99; policy accept;", "ip daddr 172.17.0.2 counter"),
      nat("early", "postrouting priority -50; policy accept;", 'oifname "docker0" masquerade'),
      chain("old", "postrouting priority 99; policy accept;", "ip saddr 203.0.113.7 counter"),
      chain("new", "postrouting priority 101; policy accept;", "ip saddr 172.17.0.1 counter"),
    ),
    packets: [local, from(local, 40_001, { dport: 81 })],
  },
  "3: the source of input is translated at 100": {
    nft: table(
      "ip n",
      nat("i", "input priority -50; policy accept;", "udp dport 53 snat to 10.9.9.9"),
      chain("old", "input priority 99; policy accept;", "ip saddr 203.0.113.7 counter"),
      chain("new", "input priority 101; policy accept;", "ip saddr 10.9.9.9 drop"),
    ),
    packets: [udp("eth0", OUT, 5000, HERE, 53), udp("eth0", OUT, 5000, HERE, 54)],
  },
  "4: an accept in nat goes on to the next nat chain, the first translation ends them": {
    nft: table(
      "ip n",
      nat("one", "prerouting priority -100; policy accept;", "tcp dport { 80, 81 } accept"),
      nat("two", "prerouting priority -90; policy accept;", "tcp dport 80 dnat to 172.17.0.2:8000"),
      nat("three", "prerouting priority -80; policy accept;", "tcp dport { 80, 81 } dnat to 172.17.0.3:9000"),
    ),
    packets: [local, from(local, 40_001, { dport: 81 }), from(local, 40_002, { dport: 82 })],
  },
  "4: a table of iptables and one of nftables translate": {
    backend: "legacy",
    save: "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:8000\nCOMMIT\n",
    nft: table(
      "inet n",
      nat(
        "one",
        "prerouting priority -110; policy accept;",
        "tcp dport 81 dnat ip to 172.17.0.3",
        "tcp dport 80 accept",
      ),
      nat("two", "prerouting priority -90; policy accept;", "tcp dport { 80, 82 } dnat ip to 172.17.0.3"),
    ),
    packets: [local, from(local, 40_001, { dport: 81 }), from(local, 40_002, { dport: 82 })],
  },
  "5: the policy of a nat chain drops first packets alone": {
    nft: table(
      "ip n",
      nat("one", "prerouting priority -100; policy drop;", "tcp dport 80 dnat to 172.17.0.2:8000"),
    ),
    packets: [
      local,
      again({ ...tcp("veth1", BOX, 8000, OUT, 40_000) }, "SA", 5000, 1001),
      again(local, "A", 1001, 5001),
      from(local, 40_001, { dport: 81 }),
      again(from(local, 40_001, { dport: 81 }), "A", 1001, 1),
    ],
  },
  "6: flags are tested as bits or as a value": {
    nft: table(
      "ip n",
      chain(
        "f",
        "forward priority 0; policy accept;",
        ...[
          "syn",
          "== syn",
          "{ syn, ack }",
          "syn,ack",
          "!= syn",
          "! syn",
          "!= syn,ack",
          "! syn,ack",
          "{ syn }",
          "!= { syn, ack }",
        ].map((how) => `tcp flags ${how} counter`),
        ...[
          "& (syn|ack) == syn",
          "& (syn|ack) != syn",
          "& syn == 0",
          "syn / syn,ack",
          "!= syn / syn,ack",
          "& (fin|syn|rst|ack) == syn",
          "& (syn|ack) == (syn|ack)",
        ].map((how) => `tcp flags ${how} counter`),
      ),
    ),
    packets: ["S", "SA", "A", "", "FA", "R", "SF", "FPU"].map((flags, i) => from(web, 41_000 + i, { flags })),
  },
  "6: the status of a connection": {
    nft: table(
      "ip n",
      nat(
        "pre",
        "prerouting priority dstnat; policy accept;",
        "ip daddr 203.0.113.1 tcp dport 80 dnat to 172.17.0.2:8000",
      ),
      nat(
        "post",
        "postrouting priority srcnat; policy accept;",
        "tcp dport 8000 ip saddr 203.0.113.8 masquerade",
      ),
      chain(
        "f",
        "postrouting priority 110; policy accept;",
        ...[
          "dnat",
          "{ dnat }",
          "{ snat, dnat }",
          "& dnat == dnat",
          "!= dnat",
          "! dnat",
          "snat,dnat",
          "!= { snat, dnat }",
          "& (snat|dnat) == dnat",
        ].map((how) => `ct status ${how} counter`),
        ...[
          "new",
          "! new",
          "!= new",
          "{ new, established }",
          "new,established",
          "!= { established, related }",
          "& (new|related) == 0",
        ].map((how) => `ct state ${how} counter`),
      ),
    ),
    packets: [
      local,
      again({ ...tcp("veth1", BOX, 8000, OUT, 40_000) }, "SA", 5000, 1001),
      tcp("eth0", "203.0.113.8", 40_000, HERE, 80),
      tcp("eth0", "203.0.113.8", 40_001, BOX, 80),
      own,
    ],
  },
  "7: what a packet does not have matches nothing, not even !=": {
    nft: table(
      "ip n",
      chain(
        "early",
        "prerouting priority raw; policy accept;",
        ...[
          "ct mark != 7",
          "ct state != new",
          "ct state invalid",
          "ct direction != reply",
          "ct original ip daddr != 1.2.3.4",
          "ct status != dnat",
        ],
        ...["meta skuid != 0", 'oifname != "eth9"', "oif != 99", 'oifname ""', "meta mark != 7"].map((m) =>
          m.replace('oifname ""', "meta oif 0"),
        ),
      ),
      chain(
        "f",
        "forward priority 0; policy accept;",
        ...[
          "tcp dport != 80",
          "meta l4proto { tcp, udp, icmp, gre } th dport != 80",
          "icmp type != echo-reply",
          "meta skuid != 0",
          "udp sport != 1",
          "tcp flags != syn",
          "ip ttl != 1",
        ],
      ),
    ),
    packets: [
      web,
      dns,
      ping,
      from(dns, 50_000, { dport: 80 }),
      { in: "eth0", src: OUT, dst: BOX, proto: "gre" },
    ],
  },
  "8: the ports of a later fragment are read where nothing reassembles": {
    nft: table(
      "ip n",
      chain(
        "f",
        "forward priority 0; policy accept;",
        "tcp dport 30840 counter",
        "meta l4proto { tcp, udp } th sport 30840 drop",
        "udp dport 30840 counter",
        "ip frag-off & 0x1fff != 0 counter",
      ),
    ),
    packets: [
      { in: "eth0", src: OUT, dst: BOX, proto: "tcp", fragment: 1 },
      { in: "eth0", src: OUT, dst: BOX, proto: "udp", fragment: 1 },
      web,
    ],
  },
  "9: a dynamic set": {
    nft: table(
      "ip n",
      "set s {\ntype ipv4_addr\nsize 1\nflags dynamic\n}",
      chain("f", "forward priority 0; policy accept;", "add @s { ip saddr } counter accept", "drop"),
    ),
    packets: [web, { ...web, src: "203.0.113.8" }, from(web, 40_001)],
  },
  "10: verdict maps": {
    nft: table(
      "ip n",
      'map m {\ntype inet_proto . ifname : verdict\nelements = { tcp . "eth0" : jump u, udp . "eth0" : continue }\n}',
      chain(
        "f",
        "forward priority 0; policy drop;",
        "meta l4proto . iifname vmap @m counter",
        'oifname vmap { "docker0" : goto g, "eth9" : accept }',
        "accept",
      ),
      called("u", "tcp dport 80 return", "drop"),
      called(
        "g",
        "udp dport 53 continue",
        "tcp dport vmap { 80 : return, 81 : accept }",
        "icmp type echo-request accept",
        "counter",
      ),
    ),
    packets: [web, dns, ping, from(web, 40_001, { dport: 81 }), udp("eth0", OUT, 9, LAN, 53)],
  },
  "10: a map of intervals with a value for all others": {
    nft: table(
      "ip n",
      "map m {\ntype ipv4_addr : verdict\nflags interval\nelements = { 172.17.0.0/24 : jump u, 10.99.0.0/16 : drop, * : accept }\n}",
      "map c {\ntype ipv4_addr . inet_proto : verdict\nflags interval\nelements = { 172.17.0.0/16 . tcp : drop, 172.17.0.0/24 . udp : accept }\n}",
      chain("f", "forward priority 0; policy drop;", "ip daddr vmap @m", "ip daddr . meta l4proto vmap @c"),
      called("u", "tcp dport 81 accept"),
    ),
    packets: [
      web,
      dns,
      ping,
      from(web, 40_001, { dport: 81 }),
      udp("eth0", OUT, 9, LAN, 53),
      udp("eth0", OUT, 9, "8.8.8.8", 53),
    ],
  },
  "11: postrouting knows the interface of arrival": {
    nft: table(
      "ip n",
      chain(
        "post",
        "postrouting priority 0; policy accept;",
        'iifname "eth0" counter',
        'iifname != "eth9" counter',
        "iif 0 counter",
        'iifname "" counter'.replace('""', '"lo"'),
        "meta skuid 0 counter",
      ),
    ),
    packets: [web, own, udp("eth1", LAN, 9, OUT, 53)],
  },
  "12: an address in a table of both families is of one": {
    nft: table(
      "inet n",
      chain(
        "f",
        "forward priority 0; policy accept;",
        "ip saddr != 1.2.3.4 counter",
        "ip6 saddr != ::1 counter",
        "icmpv6 type != echo-reply counter",
        "icmp type != echo-reply counter",
        "udp dport != 1 counter",
        "meta nfproto ipv4 counter",
        "meta l4proto icmp counter",
        "meta protocol ip6 counter",
      ),
    ),
    packets: [web, dns, ping],
  },
  "12: the same of IPv6": {
    family: 6,
    nft: table(
      "inet n",
      chain(
        "f",
        "forward priority 0; policy accept;",
        "ip saddr != 1.2.3.4 counter",
        "ip6 saddr != ::1 counter",
        "icmpv6 type != echo-reply counter",
        "icmp type != echo-reply counter",
        "udp dport != 1 counter",
        "meta nfproto ipv4 counter",
        "meta protocol ip6 counter",
      ),
    ),
    packets: [
      tcp("eth0", "2001:db8:1::7", 40_000, "fd00:17::2", 80),
      udp("eth0", "2001:db8:1::7", 40_000, "fd00:17::2", 53),
      echo("eth0", "2001:db8:1::7", 3, "fd00:17::2", 128),
    ],
  },
  "13: statements in front of matches": {
    nft: table(
      "ip n",
      chain(
        "pre",
        "prerouting priority -150; policy accept;",
        "meta mark set 0x5 tcp dport 81 drop",
        "ct mark set meta mark | 0x10",
        "meta mark set ct mark map { 0x15 : 0x20 }",
        "meta mark set tcp dport map { 80 : 0x21, 82-90 : 0x22 } counter",
        "ip ttl set 9 udp dport 53 accept",
      ),
      chain(
        "f",
        "forward priority 0; policy accept;",
        "meta mark 0x20 ct mark & 0x10 == 0x10 drop",
        "meta mark 0x21 accept",
      ),
    ),
    packets: [web, dns, ping, from(web, 40_001, { dport: 81 }), from(web, 40_002, { dport: 85 })],
  },
  "13: a rewritten destination, and route chains": {
    nft: table(
      "ip n",
      chain(
        "o",
        "output priority -150; policy accept;",
        "udp dport 53 meta mark set 1",
        "udp dport 54 ip daddr set 172.17.0.9",
      ).replace("filter", "route"),
      chain(
        "f",
        "forward priority 0; policy accept;",
        "tcp dport 80 tcp dport set 8888",
        "tcp dport 8888 counter",
      ),
    ),
    packets: [web, own, { ...own, dport: 54 }],
  },
  "13: dormant tables": {
    nft:
      "table ip n {\nflags dormant\nchain f {\ntype filter hook forward priority 0; policy drop;\ndrop\n}\n}\n" +
      table("inet m", chain("f", "forward priority 0; policy accept;", "tcp dport 80 counter")),
    packets: [web, dns],
  },
  "13: notrack leaves the packet without a connection": {
    nft: table(
      "ip n",
      chain("raw", "prerouting priority raw; policy accept;", "tcp dport 80 notrack"),
      nat(
        "pre",
        "prerouting priority dstnat; policy accept;",
        "tcp dport { 80, 81 } dnat to 172.17.0.2:8000",
      ),
      chain("late", "prerouting priority -50; policy accept;", "tcp dport 81 notrack"),
      chain("in1", "input priority 0; policy accept;", "ct state untracked counter drop"),
    ),
    packets: [local, from(local, 40_001, { dport: 81 }), from(local, 40_002, { dport: 82 })],
  },
  "the connection is not known before -200": {
    nft: table(
      "ip n",
      chain(
        "one",
        "prerouting priority -250; policy accept;",
        "ct state new counter",
        "ct state invalid counter",
        "ct state untracked counter",
      ),
      chain("two", "prerouting priority -150; policy accept;", "ct state new counter"),
    ),
    packets: [web, web],
  },
  "translations by maps": {
    nft: table(
      "ip n",
      "map m {\ntype ipv4_addr . inet_service : ipv4_addr . inet_service\nflags interval\nelements = { 203.0.113.0/24 . 80-84 : 172.17.0.2 . 8000 }\n}",
      nat(
        "pre",
        "prerouting priority dstnat; policy accept;",
        "dnat ip to ip daddr . tcp dport map @m",
        "tcp dport 85 redirect to :22",
        "udp dport 53 dnat to ip saddr map { 203.0.113.7 : 172.17.0.3, 10.99.0.0/24 : 172.30.0.2 }",
      ),
      nat(
        "post",
        "postrouting priority srcnat; policy accept;",
        "snat to ip saddr map { 203.0.113.7 : 10.99.0.9 }",
      ),
    ),
    packets: [
      local,
      from(local, 40_001, { dport: 85 }),
      udp("eth0", OUT, 41_000, HERE, 53),
      udp("eth1", LAN, 41_000, "8.8.8.8", 53),
      udp("eth0", "203.0.113.8", 41_000, HERE, 53),
    ],
  },
  "lookups of addresses and routes": {
    nft: table(
      "ip n",
      chain(
        "pre",
        "prerouting priority -90; policy accept;",
        ...[
          "fib daddr type local",
          "fib daddr . iif type local",
          "fib saddr . iif oif missing",
          'fib saddr oifname "eth0"',
          "fib saddr . mark . iif oif != 0",
          "fib daddr type { broadcast, multicast }",
          "fib saddr type != unicast",
        ],
      ),
    ),
    packets: [
      local,
      tcp("eth0", OUT, 40_000, "172.17.0.1", 80),
      udp("eth0", OUT, 9, "203.0.113.255", 9),
      udp("eth1", OUT, 9, HERE, 9),
    ],
  },
  "lookups of IPv6": {
    family: 6,
    routes: [
      "blackhole 2001:db8:b::/48",
      "prohibit 2001:db8:c::/48",
      "unreachable 2001:db8:d::/48",
      "throw 2001:db8:e::/48",
      "2001:db8:f::/48 dev eth1",
      "2001:db8:f::/48 dev docker0",
    ],
    nft: table(
      "ip6 n",
      ...["prerouting", "input", "forward", "output", "postrouting"].map((hook) =>
        chain(
          hook,
          `${hook} priority -90; policy accept;`,
          ...["saddr", "daddr"].flatMap((side) =>
            FIB_TYPES.map((type) => `fib ${side} type ${type} counter`),
          ),
          ...(hook === "output" || hook === "postrouting" ? [] : ["saddr . iif", "daddr . iif"]).flatMap(
            (keys) => FIB_TYPES.map((type) => `fib ${keys} type ${type} counter`),
          ),
          ...(hook === "prerouting"
            ? [
                "fib saddr . iif oif missing",
                "fib saddr . iif oif exists",
                "fib saddr oif missing",
                'fib saddr . iif oifname "eth1"',
                "fib saddr . mark . iif oif missing",
              ].map((match) => `${match} counter`)
            : []),
        ),
      ),
    ),
    packets: FIB_SOURCES.flatMap((src, i) => [
      udp("eth0", src, 2000 + i, "2001:db8:1::1", 80),
      udp("eth1", src, 2000 + i, "fe80::1", 81),
      udp("veth1", src, 2000 + i, "fd00:17::1", 82),
      udp("eth1", src, 2000 + i, "2001:db8:1::7", 83),
      udp("eth0", "2001:db8:1::7", 3000 + i, src, 84),
      // A socket sends to ::1 if it is given ::, and to groups by an interface of its own.
      ...(/^(::$|ff)/.test(src) ? [] : [udp(null, "2001:db8:1::1", 3000 + i, src, 85)]),
    ]),
  },
  "tests of adjacent fields, which nft 1.0.6 merges": {
    nft: table(
      "ip n",
      chain(
        "f",
        "forward priority 0; policy accept;",
        ...[
          "tcp sport != 40000 tcp dport != 81",
          "tcp dport != 80 meta mark 0 tcp sport != 1",
          "udp sport != 1 counter udp dport != 53",
          "udp dport != 53 udp length != 20",
          "meta l4proto { tcp, udp } th sport != 1 th dport != 80",
          "ip ttl != 64 ip protocol != udp",
          "ip protocol != tcp ip ttl != 1",
          "icmp type != echo-request icmp code != 1",
          "ip length != 40 ip id != 1",
          "ether saddr != 02:00:00:00:00:99 ether type != 0x1",
          "tcp sport != { 40000 } tcp dport != { 81 }",
          "tcp sport != { 40000, 40001 } tcp dport != 81",
          "tcp sport != 1-40000 tcp dport != 81",
          "tcp sport 40000 tcp dport != 81",
          "ip saddr != 203.0.113.7 ip daddr != 172.17.0.3",
          "tcp dport != { 80 } tcp dport != 65535 tcp sport != 1023",
        ].map((match) => `${match} counter`),
      ),
    ),
    packets: [web, from(web, 40_001), from(web, 40_002, { dport: 81 }), dns, ping, from(dns, 1)],
  },
  "a protocol that nft 1.0.6 does not print": {
    nft: table(
      "inet n",
      chain(
        "f",
        "forward priority 0; policy accept;",
        "ct state new counter",
        ...["tcp", "udp", "icmp"].map((protocol) => `ct protocol ${protocol} th dport 53 counter`),
        "meta l4proto gre th dport != 53 counter",
        "ct protocol tcp th dport { 80, 81 } counter",
        "ct protocol tcp th dport vmap { 80 : continue, 81 : drop }",
        "ct protocol udp meta mark set th dport map { 53 : 0x1, 80 : 0x2 }",
      ),
    ),
    packets: [web, dns, ping, { in: "eth0", src: OUT, dst: BOX, proto: "gre" }],
  },
  "seldom expressions": {
    nft: table(
      "inet n",
      chain(
        "f",
        "forward priority 0; policy accept;",
        ...["", "!= "]
          .flatMap((not) => [
            `esp spi ${not}5`,
            `ah spi ${not}7`,
            `comp cpi ${not}9`,
            `meta iiftype ${not}loopback`,
            `meta oiftype ${not}ether`,
            `ct l3proto ${not}ipv4`,
            `ct original l3proto ${not}ipv4`,
            `ct reply l3proto ${not}ipv6`,
            `ct reply protocol ${not}tcp`,
            `ct reply protocol ${not}{ tcp, udp }`,
          ])
          .map((match) => `${match} counter`),
        "meta nftrace set 1",
      ),
    ),
    packets: [
      web,
      dns,
      ping,
      again(web, "A", 1001, 1),
      ...["esp", "ah", "108"].map((proto) => ({ in: "eth0", src: OUT, dst: BOX, proto })),
    ],
  },
  "extension headers that no packet has": {
    family: 6,
    nft: table(
      "ip6 n",
      chain(
        "i",
        "input priority 0; policy accept;",
        ...["hbh", "frag", "rt", "dst", "mh"].flatMap((header) =>
          ["exists", "missing"].map((how) => `exthdr ${header} ${how} counter`),
        ),
      ),
    ),
    packets: [
      udp("eth0", "2001:db8:1::7", 2000, "2001:db8:1::1", 80),
      echo("eth0", "2001:db8:1::7", 7, "2001:db8:1::1"),
    ],
  },
  "statements that change no packet": {
    routes: ["blackhole 192.0.2.0/24"],
    nft: table(
      "ip n",
      "set s {\ntype ipv4_addr\nflags dynamic,timeout\n}",
      chain(
        "f",
        "forward priority 0; policy accept;",
        "tcp dport 80 delete @s { ip saddr } counter",
        "udp dport 53 dup to 192.0.2.99 counter",
        "counter",
      ),
    ),
    packets: [web, dns, ping],
  },
  "translations of a prefix": {
    nft: table(
      "ip n",
      nat(
        "pre",
        "prerouting priority dstnat; policy accept;",
        "ip daddr 198.51.100.0/24 dnat ip prefix to 172.17.0.0/24",
      ),
      nat(
        "post",
        "postrouting priority srcnat; policy accept;",
        'oifname "docker0" snat ip prefix to 10.98.7.0/24',
      ),
      chain("f", "forward priority 0; policy accept;", "ip daddr 172.17.0.2 counter"),
    ),
    packets: [
      tcp("eth0", OUT, 40_000, "198.51.100.2", 80),
      udp("eth0", OUT, 40_000, "198.51.100.3", 53),
      web,
      echo("eth0", OUT, 7, "198.51.100.2"),
      tcp("veth1", BOX, 40_000, OUT, 80),
    ],
  },
  ...Object.fromEntries(
    (["legacy", "nft"] as const).map((backend): [string, Trap] => [
      `tests of both ports, which iptables-nft 1.8.9 merges (${backend})`,
      {
        backend,
        save: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -p tcp -m tcp ! --sport 40000 ! --dport 81 -j MARK --set-xmark 0x1/0xffffffff\n-A FORWARD -p udp -m udp ! --sport 1 ! --dport 53 -j MARK --set-xmark 0x2/0xffffffff\nCOMMIT\n",
        nft: table(
          "ip n",
          chain("f", "forward priority 10; policy accept;", "meta mark 1 counter", "meta mark 2 counter"),
        ),
        packets: [web, from(web, 40_001), from(web, 40_002, { dport: 81 }), dns, from(dns, 1)],
      },
    ]),
  ),
  "an address that a rule changes on a bridge": {
    nft: table(
      "inet n",
      nat(
        "pre",
        "prerouting priority -50; policy accept;",
        'iifname "docker0" udp dport 54 ip daddr set 172.17.0.3',
        "ip daddr 172.17.255.255 ip daddr set 172.17.0.2",
      ),
      chain("f", "forward priority 0; policy accept;", "counter"),
    ),
    packets: [
      udp("veth1", "172.30.1.9", 2000, "172.17.255.255", 53),
      udp("veth1", BOX, 2001, OUT, 54),
      udp("veth1", BOX, 2002, OUT, 55),
      udp("eth0", OUT, 2003, "172.17.255.255", 53),
    ],
  },
  "fib of IPv6 over several next hops": {
    family: 6,
    routes: ["2001:db8:f::/48 nexthop via 2001:db8:1::fe dev eth0 nexthop via 2001:db8:99::fe dev eth1"],
    nft: table(
      "ip6 n",
      chain(
        "c",
        "prerouting priority 0; policy accept;",
        ...["saddr . iif oif missing", "saddr oif missing", 'saddr . iif oifname "eth0"'].map(
          (keys) => `fib ${keys} counter`,
        ),
      ),
    ),
    packets: Array.from({ length: 20 }, (_, i) =>
      udp(i % 2 === 0 ? "eth0" : "eth1", `2001:db8:f::${i}`, 2000 + i, "2001:db8:1::1", 80),
    ),
  },
  "an identifier of ICMP that a translation chose": {
    family: 6,
    save: "# Generated by ip6tables-save\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A OUTPUT -d fd00:30::6/128 ! -p tcp -j DNAT --to-destination [2001:db8:1::7]:80-85\nCOMMIT\n",
    nft: table(
      "inet n",
      nat(
        "post",
        "postrouting priority -50; policy accept;",
        "meta l4proto ipv6-icmp snat ip6 to fd00:30::2",
      ),
      chain("f", "forward priority 0; policy accept;", "counter"),
    ),
    packets: [
      echo(null, "fd00:30::1", 7, "2001:db8:1::6"),
      echo(null, "fd00:30::1", 7, "fd00:30::6"),
      ...[7, 80, 81].map((id) => ({ ...echo("eth0", "2001:db8:1::7", id, "fd00:30::2"), type: 129 })),
    ],
  },
  "a fix in front of an engine's chains": {
    nft:
      table(
        "ip docker-bridges",
        nat(
          "nat-PREROUTING",
          "prerouting priority -100; policy accept;",
          "fib daddr type local tcp dport 80 dnat to 172.17.0.2:8000",
        ),
        chain(
          "filter-FORWARD",
          "forward priority filter; policy accept;",
          'oifname "docker0" ip daddr 172.17.0.2 tcp dport 8000 accept',
        ),
      ) +
      table(
        "inet fwcheck",
        chain(
          "forward",
          "forward priority filter - 10; policy accept;",
          "ct state established,related accept",
          'iifname "docker0" accept',
          "ct status dnat ct direction original meta l4proto tcp ct original ip daddr 203.0.113.1 ct original proto-dst { 80, 443 } jump policy-1",
        ),
        called("policy-1", "ip saddr 10.99.0.0/24 return", "counter drop"),
      ),
    packets: [local, tcp("eth1", LAN, 40_000, HERE, 80), tcp("veth1", BOX, 4000, OUT, 80)],
  },
};

export const traps = (): Probe[] =>
  Object.entries(TRAPS).map(
    ([name, { nft, packets, family = 4, save = "", backend, routes = [], ordered }]) => ({
      scenario: {
        name: `nft trap ${name}`,
        family,
        interfaces: INTERFACES[family],
        routes: [family === 4 ? "default dev eth0" : "default via 2001:db8:1::fe dev eth0", ...routes],
        rules: [],
        sysctls: ROUTER,
        save,
        ...(backend === undefined ? {} : { backend }),
        ...(ordered === undefined ? {} : { ordered }),
        nft,
      },
      packets,
    }),
  );
