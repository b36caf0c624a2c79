/** Adversarial routing tables: hosts written by hand, in the form of probes.ts. */

import type { LabPacket, Scenario } from "./lab.ts";
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
      last: ["link set eth1 down", "link set docker0 down"],
    },
    across(FROM.slice(0, 1), FAR),
  ];
  yield [
    "several next hops, and routes without a carrier do not count",
    {
      routes: [...PATHS, "10.66.0.0/16 dev eth1", "10.64.0.0/14 dev eth0"],
      rules: seen,
      sysctls: { "net.ipv4.conf.all.ignore_routes_with_linkdown": 1 },
      last: ["link set eth1 carrier off"],
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
    "several next hops of a host that forwards nothing",
    { routes: PATHS6, rules: seen, sysctls: { "net.ipv6.conf.all.forwarding": 0 } },
    ways6(),
  ];
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
      last: ["link set eth1 carrier off"],
    },
    across(FROM6.slice(0, 1), FAR6),
  ];
}

/** Unusual addresses. */
const ODD: Scenario["interfaces"] = [
  {
    name: "eth0",
    ethernet: true,
    group: 1,
    addresses: [
      ...["203.0.113.1/24", "203.0.113.5/24", "198.51.100.1/32", "192.0.2.1/32 scope link"],
      ...["192.0.2.65/26 scope link", "203.0.113.129/25"],
    ],
  },
  {
    name: "eth1",
    ethernet: false,
    group: 2,
    addresses: [
      ...["10.99.0.1 peer 10.98.0.2/32", "10.97.0.1/31", "10.96.0.1/30 noprefixroute"],
      ...["10.95.0.1/24 broadcast 10.95.0.200", "10.94.0.255/16", "10.93.0.1 peer 10.92.0.0/24"],
    ],
  },
  { name: "docker0", ports: ["veth1", "veth2"], group: 0, addresses: ["172.17.0.1/16", "172.17.0.9/32"] },
  { name: "tun9", ethernet: false, group: 2, addresses: [] },
];
const ODD_TO = [
  ...["203.0.113.5", "203.0.113.129", "203.0.113.255", "203.0.113.128", "203.0.113.130", "203.0.113.0"],
  ...["198.51.100.1", "192.0.2.1", "192.0.2.65", "192.0.2.127", "192.0.2.66", "10.99.0.1", "10.98.0.2"],
  ...["10.99.0.2", "10.97.0.0", "10.97.0.1", "10.96.0.1", "10.96.0.2", "10.96.0.3", "10.95.0.200"],
  ...["10.95.0.255", "10.94.255.255", "10.94.0.255", "10.93.0.1", "10.92.0.255", "10.92.0.7", "10.93.0.255"],
  ...["172.17.0.9", "172.17.0.2", "8.8.8.8", "10.66.0.1"],
];
const kinds = (family: 4 | 6): string[] =>
  ["LOCAL", "BROADCAST", "UNICAST", "ANYCAST"]
    .filter((type) => family === 4 || type !== "BROADCAST")
    .flatMap((type) => [
      `-A PREROUTING -m addrtype --dst-type ${type}`,
      `-A PREROUTING -m addrtype --src-type ${type} --limit-iface-in`,
      `-A PREROUTING -m addrtype --dst-type ${type} --limit-iface-in`,
    ]);
/** Without what the host itself would send to everybody. */
const own = (p: LabPacket): boolean =>
  p.in !== null || !/\.(255|200|127)$|^10\.94\.0\.255|^10\.96\.0\.3|^(203\.0\.113|10\.97\.0)\.0$/.test(p.dst);

function* odd(): Generator<[string, Host, readonly LabPacket[]]> {
  for (const filter of [0, 1, 2])
    yield [
      `odd addresses, rp_filter ${filter}`,
      {
        interfaces: ODD,
        rules: {
          ...seen,
          raw: [...kinds(4), "-A PREROUTING -m rpfilter", "-A PREROUTING -m rpfilter --loose --accept-local"],
        },
        sysctls: { "net.ipv4.conf.all.rp_filter": filter, "net.ipv4.conf.eth1.rp_filter": 2 },
      },
      [
        ...across(
          [
            ["eth0", OUT],
            ["eth1", "10.98.0.2"],
            ["eth1", "10.99.0.7"],
            ["tun9", "10.99.0.7"],
            ["veth1", BOX],
            [null, HERE],
            [null, "10.96.0.1"],
          ],
          ODD_TO,
        ),
        ...across(
          ODD_TO.flatMap((src): [string, string][] => [
            ["eth0", src],
            ["eth1", src],
            ["tun9", src],
          ]),
          [HERE, LAN],
        ),
      ].filter(own),
    ];
  yield [
    "odd addresses, and what MASQUERADE and REDIRECT make of them",
    {
      interfaces: ODD,
      last: ["addr add 10.255.0.1/32 dev lo"],
      routes: [
        "198.51.100.128/25 via 192.0.2.66 dev eth0",
        "8.8.0.0/16 via 203.0.113.130 dev eth0",
        "9.9.0.0/16 via 10.95.0.7 dev eth1",
        "7.7.0.0/16 via 10.92.0.7 dev eth1",
        "6.6.0.0/16 dev tun9",
        "5.5.0.0/16 via 10.96.0.2 dev eth1 onlink",
        "4.4.0.0/16 dev eth1 src 10.97.0.1",
      ],
      rules: {
        ...seen,
        nat: [
          "-A PREROUTING -p tcp -m tcp --dport 80 -d 8.8.8.8/32 -j REDIRECT",
          "-A POSTROUTING -j MASQUERADE",
        ],
      },
    },
    across(
      [
        ["eth0", OUT],
        ["eth1", "10.98.0.2"],
        ["veth1", BOX],
        ["tun9", "10.11.0.1"],
        [null, HERE],
      ],
      [
        "198.51.100.200",
        "8.8.8.8",
        "9.9.9.9",
        "7.7.7.7",
        "6.6.6.6",
        "5.5.5.5",
        "4.4.4.4",
        "10.95.0.9",
        "10.92.0.9",
        "192.0.2.70",
      ],
    ),
  ];
  yield [
    "odd routes",
    {
      routes: [
        "198.51.100.0/24 via 10.200.0.1 dev eth1 onlink",
        "198.51.100.0/24 dev eth0 metric 5",
        "8.8.8.0/24 via 203.0.113.254 src 203.0.113.5 metric 7",
        "8.8.8.0/24 dev eth1 metric 6",
        "prohibit 10.66.0.0/16",
        "10.66.0.0/16 dev eth1 metric 9",
        "unreachable default metric 4278198272",
        "9.9.9.9 dev eth1 scope host",
        "0.0.0.0/1 dev eth1 metric 3",
        "local 10.67.0.0/16 dev eth1",
        "broadcast 10.99.0.77 dev eth1 table local",
        "multicast 10.68.0.0/16 dev eth1",
        "anycast 10.69.0.0/16 dev eth1",
        "203.0.113.0/24 dev eth1 metric 50",
        "172.17.0.0/24 via 10.99.0.9",
      ],
      rules: {
        ...seen,
        raw: [...kinds(4), "-A PREROUTING -m rpfilter", "-A PREROUTING -m rpfilter --loose --accept-local"],
      },
      sysctls: { "net.ipv4.conf.all.rp_filter": 1, "net.ipv4.conf.docker0.rp_filter": 2 },
    },
    [
      ...across(FROM, [
        "198.51.100.9",
        "8.8.8.8",
        "10.66.0.1",
        "9.9.9.9",
        "1.1.1.1",
        "200.1.1.1",
        "10.67.0.9",
        "172.17.0.7",
        "203.0.113.99",
      ]),
      ...across(FROM.slice(0, 3), ["10.68.0.1", "10.69.0.1", "10.99.0.77"]),
      ...across(
        [
          "198.51.100.9",
          "8.8.8.8",
          "10.66.0.1",
          "1.1.1.1",
          "200.1.1.1",
          "10.67.0.9",
          "172.17.0.7",
          "10.68.0.1",
          "10.69.0.1",
          "10.99.0.77",
        ].flatMap((src): [string, string][] => [
          ["eth0", src],
          ["eth1", src],
          ["veth1", src],
        ]),
        [HERE, LAN, "8.8.4.4"],
      ),
    ],
  ];
  for (const all of [0, 1])
    for (const one of [0, 1, 2])
      yield [
        `forwarding by interface, and rp_filter ${all} for all and ${one} for one`,
        {
          routes: ["198.51.100.0/24 dev eth1"],
          rules: seen,
          sysctls: {
            "net.ipv4.conf.all.rp_filter": all,
            "net.ipv4.conf.eth0.rp_filter": one,
            "net.ipv4.conf.eth1.forwarding": one === 1 ? 0 : 1,
            "net.ipv4.conf.eth0.send_redirects": one === 2 ? 0 : 1,
            "net.ipv4.conf.all.send_redirects": one === 2 ? 0 : 1,
            "net.ipv4.conf.all.drop_unicast_in_l2_multicast": one === 2 ? 1 : 0,
            "net.ipv4.conf.eth0.bc_forwarding": all,
            "net.ipv4.conf.all.bc_forwarding": all,
          },
        },
        [
          ...across(FROM, [...FAR, OUT, LAN, BOX, HERE]),
          ...across([["eth0", "198.51.100.9"]], [...FAR, OUT, LAN, BOX, HERE]),
          ...[1, 2].map((pkttype) => ({ ...udp("eth0", OUT, 7 + pkttype, HERE, 9), pkttype })),
          ...[1, 2].map((pkttype) => ({ ...udp("eth0", OUT, 7 + pkttype, "203.0.113.255", 9), pkttype })),
          ...[1, 2].map((pkttype) => ({ ...udp("eth0", OUT, 7 + pkttype, LAN, 9), pkttype })),
          udp("eth0", OUT, 3, "10.99.0.255", 9),
          udp("eth1", LAN, 3, "203.0.113.255", 9),
        ],
      ];
  for (const last of [
    ["link set eth1 down"],
    ["link set eth1 down", "link set eth0 down", "link set eth0 up", "addr add 10.255.0.1/32 dev lo"],
  ])
    yield [
      `interfaces that are ${last.length > 1 ? "down, or were" : "down"}`,
      {
        routes: ["198.51.100.0/24 dev eth1"],
        rules: { ...seen, raw: [...kinds(4), "-A PREROUTING -m rpfilter"] },
        last,
      },
      across(
        [
          ["eth0", OUT],
          ["eth0", LAN],
          ["eth0", "10.99.0.1"],
          ["veth1", BOX],
          [null, HERE],
          [null, "10.99.0.1"],
        ],
        ["198.51.100.9", "8.8.8.8", LAN, OUT, "10.99.0.1", HERE],
      ),
    ];
}

/** Cases in which the kernel looks the source up although rp_filter is off. */
function* sources(): Generator<[string, Host, readonly LabPacket[]]> {
  const from = [
    "203.0.113.255",
    "10.99.0.255",
    "172.17.0.1",
    "10.99.0.1",
    "8.8.8.8",
    "172.17.255.255",
    "10.99.0.77",
  ];
  const packets = across(
    from.flatMap((src): [string, string][] => [
      ["eth0", src],
      ["eth1", src],
      ["veth1", src],
    ]),
    [HERE, LAN, OUT, "8.8.4.4"],
  );
  for (const [name, more] of [
    ["nothing", {}],
    ["a route with a realm", { routes: ["9.9.9.0/24 dev eth1 realm 5"] }],
    ["a rule with a realm", { policy: ["to 9.9.9.9 realms 5 table main priority 50"] }],
    ["a broadcast route of somebody's own", { routes: ["broadcast 10.99.0.77 dev eth1 table local"] }],
    ["an address added as a local route", { routes: ["local 10.67.0.1 dev lo table local"] }],
    ["an address added as a local route, in another table", { routes: ["local 10.67.0.1 dev lo table 7"] }],
    ["the usual rules once more", { policy: ["table main priority 32766", "table default priority 32767"] }],
  ] as const)
    for (const accept of [0, 1])
      yield [
        `sources where there is ${name}, accept_local ${accept}`,
        { ...more, rules: seen, sysctls: { "net.ipv4.conf.all.accept_local": accept } },
        packets,
      ];
  yield [
    "one interface that forwards",
    { rules: seen, sysctls: { "net.ipv4.ip_forward": 0, "net.ipv4.conf.eth1.forwarding": 1 } },
    across(FROM, [OUT, LAN, BOX, HERE, "8.8.8.8"]),
  ];
  yield [
    "a local table that is asked later, and no default one",
    {
      routes: ["203.0.113.1 dev eth1", "198.51.100.0/24 dev eth1 table default"],
      policy: ["table main priority 10", "table local priority 100"],
      last: ["rule del priority 0", "rule del priority 32767"],
      rules: { ...seen, raw: kinds(4) },
    },
    across(FROM, [OUT, LAN, BOX, HERE, "8.8.8.8", "198.51.100.9", "10.99.0.1"]),
  ];
  yield [
    "no default table",
    {
      routes: ["198.51.100.0/24 dev eth1 table default"],
      last: ["rule del priority 32767", "route del default"],
      rules: seen,
    },
    across(FROM, [OUT, "8.8.8.8", "198.51.100.9"]),
  ];
  yield [
    "gateways of IPv6 for IPv4",
    {
      routes: [
        "198.51.100.0/24 via inet6 fe80::9 dev eth1",
        "8.8.8.0/24 nexthop via inet6 fe80::9 dev eth1 nexthop via 203.0.113.254 dev eth0",
      ],
      rules: { ...seen, nat: ["-A POSTROUTING -j MASQUERADE"] },
    },
    across(FROM, ["198.51.100.9", "8.8.8.8"]),
  ];
}

const ODD6: Scenario["interfaces"] = [
  {
    name: "eth0",
    ethernet: true,
    group: 1,
    addresses: ["2001:db8:1::1/64", "2001:db8:1::5/128", "2001:db8:2::1/64 noprefixroute", "fe80::5/64"],
  },
  {
    name: "eth1",
    ethernet: false,
    group: 2,
    addresses: [
      "2001:db8:99::1 peer 2001:db8:98::2/128",
      "fe80::1/64",
      "2001:db8:97::1/127",
      "2001:db8:96::/64",
    ],
  },
  { name: "docker0", ports: ["veth1", "veth2"], group: 0, addresses: ["fd00:17::1/64"] },
];
const ODD_TO6 = [
  ...["2001:db8:1::5", "2001:db8:1::", "2001:db8:2::1", "2001:db8:2::9", "2001:db8:99::1", "2001:db8:98::2"],
  ...[
    "2001:db8:98::3",
    "2001:db8:97::",
    "2001:db8:97::1",
    "2001:db8:96::",
    "2001:db8:96::7",
    "fe80::1",
    "fe80::5",
  ],
  ...["fe80::9", "fd00:17::", "fd00:17::1", "fd00:17::9", "2606:4700::1111"],
];

function* odd6(): Generator<[string, Host, readonly LabPacket[]]> {
  const from: readonly [string | null, string][] = [
    ["eth0", OUT6],
    ["eth1", "2001:db8:98::2"],
    ["eth1", LAN6],
    ["eth1", "fe80::7"],
    ["veth1", BOX6],
  ];
  yield [
    "odd addresses",
    {
      interfaces: ODD6,
      rules: {
        ...seen,
        raw: [...kinds(6), "-A PREROUTING -m rpfilter", "-A PREROUTING -m rpfilter --loose --accept-local"],
      },
    },
    [
      ...across(from, ODD_TO6),
      ...across(
        [[null, HERE6]],
        ODD_TO6.filter((a) => !a.startsWith("fe80")),
      ),
      ...across(
        ODD_TO6.flatMap((src): [string, string][] => [
          ["eth0", src],
          ["eth1", src],
        ]),
        [HERE6, BOX6],
      ),
    ],
  ];
  for (const forwarding of [0, 1])
    yield [
      `forwarding ${forwarding}, and forced by interface`,
      {
        rules: seen,
        sysctls: {
          "net.ipv6.conf.all.forwarding": forwarding,
          "net.ipv6.conf.eth1.force_forwarding": 1,
          "net.ipv6.conf.eth0.forwarding": 1 - forwarding,
          "net.ipv6.conf.docker0.drop_unicast_in_l2_multicast": 1,
          "net.ipv6.conf.eth0.drop_unicast_in_l2_multicast": 1,
        },
      },
      [
        ...across(FROM6, [OUT6, LAN6, BOX6, HERE6, "2606:4700::1111"]),
        ...[1, 2].map((pkttype) => ({ ...udp("eth0", OUT6, 7 + pkttype, HERE6, 9), pkttype })),
        ...[1, 2].map((pkttype) => ({ ...udp("eth0", OUT6, 7 + pkttype, LAN6, 9), pkttype })),
        ...[1, 2].map((pkttype) => ({ ...udp("eth0", OUT6, 7 + pkttype, "ff02::1", 9), pkttype })),
      ],
    ];
  yield [
    "IPv6 switched off by interface",
    { rules: seen, sysctls: { "net.ipv6.conf.eth1.disable_ipv6": 1 } },
    across(FROM6, [OUT6, LAN6, BOX6, HERE6, "2001:db8:99::1", "2606:4700::1111"]),
  ];
  yield [
    "odd routes",
    {
      routes: [
        "2001:db8:50::/48 dev eth1",
        "blackhole 2001:db8:50::/48",
        "prohibit 2001:db8:51::/48 metric 2000",
        "2001:db8:51::/48 dev eth1 metric 3000",
        "unreachable default metric 5000",
        "2001:db8:52::/48 via fe80::7 dev eth1",
        "2001:db8:53::/48 from 2001:db8:99::/64 dev docker0",
        "fe80::/10 dev eth1",
      ],
      rules: {
        ...seen,
        raw: [...kinds(6), "-A PREROUTING -m rpfilter", "-A PREROUTING -m rpfilter --loose --accept-local"],
      },
    },
    [
      ...across(FROM6, [
        "2001:db8:50::9",
        "2001:db8:51::9",
        "2001:db8:52::9",
        "2001:db8:53::9",
        "2606:4700::1111",
      ]),
      ...across(FROM6.slice(0, 3), ["fe90::1"]),
      ...across(
        ["2001:db8:50::9", "2001:db8:51::9", "2001:db8:52::9", "2606:4700::1111", "fe90::1"].flatMap(
          (src): [string, string][] => [
            ["eth0", src],
            ["eth1", src],
          ],
        ),
        [HERE6, BOX6],
      ),
    ],
  ];
}

/** All routing probes. */
export const routes = (): Probe[] => [
  ...built(4, four()),
  ...built(4, policy(4)),
  ...built(4, tos()),
  ...built(4, odd()),
  ...built(4, sources()),
  ...built(6, six()),
  ...built(6, odd6()),
  ...built(6, policy(6)),
];
