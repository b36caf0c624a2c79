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

/** Each TOS from everywhere, and what the host sends for several users. */
const marked = (sources: typeof FROM, to: readonly string[]): LabPacket[] =>
  sources.flatMap(([from, src], n) =>
    to.flatMap((dst, i) => [
      ...[0, 0x02, 0x10, 0x12, 0x30, 0x48, 0xb8, 0xbb, 0xfc, 0x1c].map((tos, t) => ({
        ...udp(from, src, 30_000 + 1000 * n + 20 * i + t, dst, 9),
        tos,
      })),
      ...(from === null
        ? [0, 999, 1000, 1500, 2001].map((uid, t) => ({
            ...udp(from, src, 60_000 + 1000 * n + 20 * i + t, dst, 9),
            uid,
          }))
        : []),
    ]),
  );

/** Tables that lead all there is by one interface each. */
const TABLES = ["default dev eth0 table 100", "default dev eth1 table 101", "default dev docker0 table 102"];
const TABLES6 = [
  "default via 2001:db8:1::fe dev eth0 table 100",
  "default via 2001:db8:99::fe dev eth1 table 101",
  "default via fd00:17::fe dev docker0 table 102",
];

/** Rules of policy routing, by what they try. */
const policies = (far: string, there: string): [string, string[]][] => [
  ["tos", ["tos 0x10 table 101 priority 10", "not tos 0x08 table 102 priority 20"]],
  [
    "goto and nop",
    [
      "to FAR goto 50 priority 10",
      "iif eth0 goto 60 priority 15",
      "goto 400 priority 20",
      "nop priority 25",
      "iif eth1 table 100 priority 30",
      "table 102 iif lo priority 40",
      "nop priority 50",
      "iif lo goto 80 priority 52",
      "iif eth0 table 102 priority 55",
      "table 101 priority 60",
      "not to FAR goto 90 priority 80",
      "prohibit priority 85",
      "table 100 priority 90",
    ].map((rule) => rule.replace("FAR", far)),
  ],
  [
    "goto to a priority that several rules have",
    [
      "iif eth0 goto 60 priority 10",
      "table 101 priority 50",
      "iif eth1 table 101 priority 60",
      "table 102 priority 60",
    ],
  ],
  ["goto that nobody answers", ["goto 55 priority 10", "table 101 priority 50"]],
  ["owners", ["uidrange 1000-2000 table 101 priority 10", "not uidrange 0-0 table 102 priority 20"]],
  ["owners, root among them", ["uidrange 0-999 table 101 priority 10"]],
  ["groups of interfaces", ["table main suppress_ifgroup 1 priority 10", "table 101 priority 20"]],
  [
    "groups of interfaces and prefixes",
    [
      "table 100 suppress_ifgroup 1 priority 10",
      "table 101 suppress_ifgroup 1 suppress_prefixlength 0 priority 20",
      "table 102 suppress_ifgroup 3 priority 30",
    ],
  ],
  [
    "what is suppressed and what refuses",
    [
      "table 104 suppress_prefixlength 0 priority 10",
      "table 103 suppress_prefixlength 0 priority 20",
      "table 102 priority 30",
    ],
  ],
  ["tunnels and realms", [`to ${there} realms 4 table 101 priority 20`]],
  ["an interface that is gone", ["iif gone table 101 priority 10", "not iif gone table 102 priority 20"]],
];

function* policy(family: 4 | 6): Generator<[string, Host, readonly LabPacket[]]> {
  const far = family === 4 ? "198.51.100.0/24" : "2001:db8:50::/48";
  const blackhole = "blackhole default table 103";
  const throws = family === 4 ? "throw 8.0.0.0/8 table 103" : "throw 2606::/16 table 103";
  const main =
    family === 4 ? ["198.51.100.0/24 dev eth1"] : ["2001:db8:50::/48 via 2001:db8:99::fe dev eth1"];
  for (const [name, rules] of policies(far, family === 4 ? "8.0.0.0/8" : "2606::/16"))
    for (const filter of family === 4 ? [0, 1] : [0])
      yield [
        `rules with ${name}${filter === 1 ? ", rp_filter" : ""}`,
        {
          routes: [
            ...(family === 4 ? TABLES : TABLES6),
            ...main,
            blackhole,
            throws,
            `unreachable ${far} table 104`,
          ],
          policy: rules,
          rules: {
            ...seen,
            raw: [
              "-A PREROUTING -m rpfilter",
              "-A PREROUTING -m rpfilter --loose",
              "-A PREROUTING -m addrtype --dst-type UNICAST",
              `-A PREROUTING -m addrtype --dst-type ${family === 4 ? "LOCAL" : "UNREACHABLE"}`,
            ],
            nat: ["-A OUTPUT -p udp -m udp --dport 10 -j DNAT --to-destination :9"],
          },
          sysctls: { "net.ipv4.conf.all.rp_filter": filter },
        },
        family === 4
          ? marked(FROM, ["198.51.100.9", "8.8.8.8", LAN, HERE])
          : marked(FROM6, ["2001:db8:50::9", "2606:4700::1111", LAN6, HERE6]),
      ];
  yield [
    "rules with tos, and what OUTPUT makes of it",
    {
      routes: family === 4 ? TABLES : TABLES6,
      policy: ["tos 0x10 table 101 priority 10", "uidrange 1000-2000 table 102 priority 20"],
      rules: {
        mangle: [
          ...seen.mangle!,
          "-A OUTPUT -m tos --tos 0x1c/0xff -j TOS --set-tos 0x10/0xff",
          "-A OUTPUT -m tos --tos 0x02/0xff -j MARK --set-xmark 0x1/0xff",
          "-A OUTPUT -m tos --tos 0x12/0xff -j MARK --set-xmark 0x1/0xff",
          "-A OUTPUT -m tos --tos 0x10/0xff -j MARK --set-xmark 0x1/0xff",
          "-A PREROUTING -m tos --tos 0x1c/0xff -j TOS --set-tos 0x10/0xff",
          "-A OUTPUT -m tos --tos 0x0/0xff -j MARK --set-xmark 0x1/0xff",
        ],
      },
    },
    family === 4 ? marked(FROM, ["198.51.100.9"]) : marked(FROM6, ["2001:db8:50::9"]),
  ];
}

function* tos(): Generator<[string, Host, readonly LabPacket[]]> {
  yield [
    "routes with a TOS",
    {
      routes: [
        "198.51.100.0/24 dev eth0 tos 0x10",
        "198.51.100.0/24 dev eth1 tos 0x08 metric 3",
        "198.51.100.0/24 dev docker0 tos 0x08 metric 2",
        "198.51.0.0/16 dev docker0 metric 1",
        "8.8.8.0/24 dev eth1 metric 20",
        "8.8.8.0/24 dev eth0 tos 0x10 metric 30",
        "throw 8.8.8.0/24 tos 0x18",
      ],
      rules: { ...seen, raw: ["-A PREROUTING -m rpfilter", "-A PREROUTING -m rpfilter --loose"] },
      sysctls: { "net.ipv4.conf.all.rp_filter": 1 },
    },
    [
      ...marked(FROM, ["198.51.100.9", "8.8.8.8"]),
      ...marked(
        [
          ["eth0", "198.51.100.9"],
          ["eth1", "198.51.100.9"],
          ["eth0", "8.8.8.8"],
          ["eth1", "8.8.8.8"],
        ],
        [HERE, LAN],
      ),
    ],
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
export const routes = (): Probe[] => [
  ...built(4, four()),
  ...built(4, policy(4)),
  ...built(4, tos()),
  ...built(6, six()),
  ...built(6, policy(6)),
];
