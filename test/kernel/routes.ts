/** What a hostile tester would try of the routing tables: hosts written by hand, as probes.ts has them. */

import type { LabPacket } from "./lab.ts";
import { built, type Host, type Probe, tcp, udp } from "./probes.ts";

/** A rule for each interface in each hook, so that the path says which way a packet took. */
const EACH = ["eth0", "eth1", "docker0", "lo"];
const seen: Host["rules"] = {
  mangle: [
    ...["PREROUTING", "INPUT", "FORWARD"].flatMap((hook) => EACH.map((name) => `-A ${hook} -i ${name}`)),
    ...["FORWARD", "OUTPUT", "POSTROUTING"].flatMap((hook) => EACH.map((name) => `-A ${hook} -o ${name}`)),
  ],
};

const OUT = "203.0.113.7";
const LAN = "10.99.0.2";
const BOX = "172.17.0.2";
const HERE = "203.0.113.1";
const FAR = ["198.51.100.9", "198.51.100.77", "192.0.2.33", "8.8.8.8", "8.8.4.4", "10.66.0.1", "10.67.0.1"];

/** From everywhere to everybody. */
const across = (sources: readonly [string | null, string][], to: readonly string[]): LabPacket[] =>
  sources.flatMap(([from, src], n) =>
    to.flatMap((dst, i) => [
      udp(from, src, 40_000 + 100 * n + i, dst, 9),
      { ...tcp(from, src, 50_000 + 100 * n + i, dst, 80), tos: [0, 0x10, 0x28, 0xb8][i % 4]! },
    ]),
  );
const FROM: readonly [string | null, string][] = [
  ["eth0", OUT],
  ["eth1", LAN],
  ["veth1", BOX],
  [null, HERE],
  [null, "10.99.0.1"],
];

const PATHS = [
  "198.51.100.0/24 nexthop dev eth0 nexthop dev eth1 weight 3",
  "192.0.2.32/27 nexthop via 203.0.113.254 dev eth0 nexthop via 203.0.113.253 dev eth0",
  "8.8.0.0/16 nexthop via 203.0.113.254 dev eth0 nexthop via 10.99.0.254 dev eth1 nexthop via 172.17.0.254 dev docker0",
];

function* four(): Generator<[string, Host, readonly LabPacket[]]> {
  for (const filter of [0, 1, 2])
    yield [
      `several next hops, rp_filter ${filter}`,
      {
        routes: PATHS,
        rules: seen,
        sysctls: { "net.ipv4.conf.all.rp_filter": filter },
      },
      [
        ...across(FROM, FAR),
        ...across(
          [
            ["eth0", "198.51.100.9"],
            ["eth1", "198.51.100.9"],
            ["veth1", "198.51.100.9"],
            ["eth1", "192.0.2.33"],
            ["eth0", "8.8.8.8"],
            ["eth1", "8.8.8.8"],
            ["veth1", "8.8.8.8"],
          ],
          [LAN, OUT, BOX, HERE, "198.51.100.77"],
        ),
      ],
    ];
  yield [
    "several next hops of which some are dead",
    {
      routes: PATHS,
      rules: seen,
      links: ["eth1 down", "docker0 down"],
    },
    across(FROM.slice(0, 1), FAR),
  ];
  yield [
    "several next hops, and routes without a carrier do not count",
    {
      routes: [...PATHS, "10.66.0.0/16 dev eth1", "10.64.0.0/14 dev eth0"],
      rules: seen,
      sysctls: { "net.ipv4.conf.all.ignore_routes_with_linkdown": 1 },
      links: ["eth1 carrier off"],
    },
    across(FROM.slice(0, 1), FAR),
  ];
  yield [
    "next hops as objects",
    {
      hops: [
        "id 10 via 203.0.113.254 dev eth0",
        "id 11 via 10.99.0.254 dev eth1",
        "id 12 group 10/11,3",
        "id 13 blackhole",
      ],
      routes: ["198.51.100.0/24 nhid 12", "192.0.2.0/24 nhid 11", "8.8.0.0/16 nhid 13"],
      rules: seen,
      sysctls: { "net.ipv4.conf.all.rp_filter": 1 },
    },
    [
      ...across(FROM, FAR),
      ...across(
        [
          ["eth0", "198.51.100.9"],
          ["eth1", "198.51.100.9"],
          ["veth1", "198.51.100.9"],
          ["eth0", "192.0.2.33"],
          ["eth1", "192.0.2.33"],
        ],
        [LAN, OUT, BOX, HERE],
      ),
    ],
  ];
  yield [
    "several next hops, chosen again in OUTPUT",
    {
      routes: [...PATHS, "198.51.100.0/24 dev eth1 table 100"],
      policy: ["fwmark 1/1 table 100 priority 100"],
      rules: {
        ...seen,
        nat: [
          "-A OUTPUT -p udp -m udp --dport 9 -d 8.8.8.8/32 -j DNAT --to-destination 8.8.4.4",
          "-A OUTPUT -p tcp -m tcp --dport 80 -d 8.8.8.8/32 -j DNAT --to-destination 198.51.100.9",
          "-A POSTROUTING -o eth0 -j MASQUERADE",
        ],
        mangle: [
          ...seen.mangle!,
          "-A OUTPUT -p udp -d 198.51.100.77/32 -j MARK --set-xmark 0x1/0x1",
          "-A OUTPUT -p tcp -d 198.51.100.77/32 -j MARK --set-xmark 0x2/0x2",
        ],
      },
    },
    across(FROM.slice(3), FAR),
  ];
  yield [
    "default routes of one metric",
    {
      routes: [
        "10.64.0.0/14 dev eth1",
        "default via 203.0.113.254 dev eth0 metric 5 table 100",
        "default via 10.99.0.254 dev eth1 metric 5 table 100",
        "default via 172.17.0.254 dev docker0 metric 9 table 100",
        "10.66.0.0/16 dev eth0 metric 7",
        "10.66.0.0/16 dev eth1 metric 7",
      ],
      policy: ["to 8.0.0.0/8 table 100 priority 100"],
      rules: seen,
    },
    [...across(FROM, FAR), ...across(FROM, FAR)],
  ];
}

const OUT6 = "2001:db8:1::7";
const LAN6 = "2001:db8:99::2";
const BOX6 = "fd00:17::2";
const HERE6 = "2001:db8:1::1";
const FAR6 = ["2001:db8:50::9", "2001:db8:51::9", "2001:db8:52::1", "2001:db8:53::1", "2606:4700::1111"];
const FROM6: readonly [string | null, string][] = [
  ["eth0", OUT6],
  ["eth1", LAN6],
  ["veth1", BOX6],
  [null, HERE6],
];
const PATHS6 = [
  "2001:db8:50::/48 nexthop via 2001:db8:1::fe dev eth0 nexthop via 2001:db8:99::fe dev eth1",
  "2001:db8:51::/48 dev eth0",
  "2001:db8:51::/48 dev eth1",
  "2001:db8:51::/48 dev docker0 metric 2000",
  "2001:db8:52::/48 dev eth1",
  "2001:db8:52::/48 dev eth0 pref high",
  "2001:db8:53::/48 via 2001:db8:1::fe dev eth0",
  "2001:db8:53::/48 via 2001:db8:1::fd dev eth0",
];
const ways6 = (): LabPacket[] => [
  ...across(FROM6, FAR6),
  ...across(
    [
      ["eth0", "2001:db8:50::9"],
      ["eth1", "2001:db8:50::9"],
      ["veth1", "2001:db8:50::9"],
      ["eth0", "2001:db8:51::9"],
      ["eth1", "2001:db8:51::9"],
      ["veth1", "2001:db8:51::9"],
      ["eth1", "2001:db8:53::9"],
    ],
    [LAN6, OUT6, BOX6, HERE6],
  ),
];

function* six(): Generator<[string, Host, readonly LabPacket[]]> {
  yield ["several next hops", { routes: PATHS6, rules: seen }, ways6()];
  yield [
    "several next hops, asked by rpfilter",
    {
      routes: PATHS6,
      rules: {
        ...seen,
        raw: [
          "-A PREROUTING -m rpfilter",
          "-A PREROUTING -m rpfilter --loose",
          "-A PREROUTING -m rpfilter --invert",
        ],
      },
    },
    ways6(),
  ];
  yield [
    "next hops as objects",
    {
      hops: ["id 10 via 2001:db8:1::fe dev eth0", "id 11 via 2001:db8:99::fe dev eth1", "id 12 group 10/11"],
      routes: ["2001:db8:50::/48 nhid 12", "2001:db8:51::/48 nhid 11"],
      rules: seen,
    },
    ways6(),
  ];
  yield [
    "several next hops of which some are dead",
    {
      routes: PATHS6,
      rules: seen,
      sysctls: { "net.ipv6.conf.all.ignore_routes_with_linkdown": 1 },
      links: ["eth1 carrier off"],
    },
    across(FROM6.slice(0, 1), FAR6),
  ];
}

/** All of them. */
export const routes = (): Probe[] => [...built(4, four()), ...built(6, six())];
