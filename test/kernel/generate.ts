/** Random rulesets: every match and target that fwcheck models exactly, in deep calls, gotos and negations. */
import type { Family } from "fwcheck";
import type { Scenario } from "./lab.ts";

export type Random = () => number;

export const pick = <T>(next: Random, list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
export const chance = (next: Random, p: number): boolean => next() < p;
export const whole = (next: Random, lo: number, hi: number): number =>
  lo + Math.floor(next() * (hi - lo + 1));

/** An Ethernet interface, a tunnel-like one without link-layer headers, and two bridges with two ports each. */
const KINDS = [
  { name: "eth0", ethernet: true, group: 1 },
  { name: "eth1", ethernet: false, group: 2 },
  { name: "docker0", ports: ["veth1", "veth2"], group: 0 },
  { name: "br-app", ports: ["veth3", "veth4", "veth5"], group: 3 },
];
const interfaces = (...addresses: string[][]): Scenario["interfaces"] =>
  KINDS.map((kind, i) => ({ ...kind, addresses: addresses[i]! }));

export const INTERFACES = {
  4: interfaces(["203.0.113.1/24", "203.0.113.5/24"], ["10.99.0.1/24"], ["172.17.0.1/16"], ["172.30.0.1/24"]),
  6: interfaces(
    ["2001:db8:1::1/64", "2001:db8:1::5/64"],
    ["2001:db8:99::1/64", "fe80::1/64"],
    ["fd00:17::1/64"],
    ["fd00:30::1/64"],
  ),
} as const;

/** Addresses worth naming: the host's, its neighbours', and strangers. */
export const ADDRESSES = {
  4: [
    ...["203.0.113.1", "203.0.113.5", "10.99.0.1", "172.17.0.1", "172.30.0.1", "127.0.0.1"],
    ...["203.0.113.7", "203.0.113.8", "10.99.0.2", "10.99.0.9", "172.17.0.2", "172.17.0.3", "172.30.0.2"],
    ...["198.51.100.9", "192.0.2.33", "8.8.8.8"],
  ],
  6: [
    ...["2001:db8:1::1", "2001:db8:1::5", "2001:db8:99::1", "fd00:17::1", "fd00:30::1", "::1"],
    ...["2001:db8:1::7", "2001:db8:1::8", "2001:db8:99::2", "fd00:17::2", "fd00:17::3", "fd00:30::2"],
    ...["2001:db8:ffff::9", "2606:4700::1111"],
  ],
} as const;

export const NEIGHBOURS = { 4: ADDRESSES[4].slice(6, 13), 6: ADDRESSES[6].slice(6, 12) };
const BITS = { 4: [8, 12, 16, 23, 24, 25, 28, 31, 32, 32, 32], 6: [16, 32, 48, 63, 64, 65, 120, 128, 128] };
export const PORTS = [22, 53, 80, 81, 443, 1023, 1024, 8000, 8005, 8010, 8080, 32768, 40000, 65535];

/** Address types for addrtype; IPv6 has no broadcast. */
const TYPES = {
  4: [
    ...["LOCAL", "LOCAL", "UNICAST", "BROADCAST", "MULTICAST", "LOCAL,BROADCAST", "UNICAST,MULTICAST"],
    ...["ANYCAST", "BLACKHOLE,UNREACHABLE", "PROHIBIT,THROW", "UNSPEC"],
  ],
  6: [
    ...["LOCAL", "LOCAL", "UNICAST", "MULTICAST", "LOCAL,UNICAST", "LOCAL,ANYCAST"],
    ...["ANYCAST", "UNREACHABLE", "UNREACHABLE,LOCAL", "UNSPEC"],
  ],
} as const;
const REJECTS = {
  4: [
    ...["net-unreachable", "host-unreachable", "proto-unreachable", "port-unreachable"],
    ...["net-prohibited", "host-prohibited", "admin-prohibited"],
  ].map((how) => `icmp-${how}`),
  6: [
    ...["no-route", "adm-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route"],
  ].map((how) => `icmp6-${how}`),
} as const;
export const MACS = ["02:00:00:00:00:99", "02:42:ac:11:00:02", "02:42:ac:11:00:03"];

type Where = {
  readonly table: string;
  readonly hook: string;
  readonly proto?: string;
  readonly sets: readonly AnySet[];
};

/** A set that rules may look up: its number of dimensions, and whether ports are among them. */
interface AnySet {
  readonly name: string;
  readonly sides: number;
  readonly ported: boolean;
}

/** Sets of the common types, and what `ipset restore` makes them from. */
function ipsets(next: Random, family: Family): { sets: AnySet[]; text: string } {
  const inet = family === 4 ? "inet" : "inet6";
  // A network of ::1 would be that of no address at all, which no set holds.
  const address = (): string =>
    pick(
      next,
      ADDRESSES[family].filter((a) => a !== "::1"),
    );
  const net = (): string => `${address()}/${pick(next, BITS[family])}`;
  const port = (): string => {
    const icmp = family === 4 ? "icmp:8/0" : "icmpv6:128/0";
    const lo = pick(next, PORTS);
    return pick(next, [`tcp:${lo}`, `udp:${lo}`, `tcp:${lo}-${Math.min(lo + 10, 65535)}`, icmp]);
  };
  const several = (make: () => string): string[] => [
    ...new Set(Array.from({ length: whole(next, 1, 6) }, make)),
  ];
  const flagged = (text: string): string => (chance(next, 0.3) ? `${text} nomatch` : text);
  const kinds: (readonly [type: string, options: string, sides: number, make: () => string])[] = [
    ["hash:ip", `family ${inet}`, 1, address],
    ["hash:ip", `family ${inet} netmask ${family === 4 ? 24 : 64}`, 1, address],
    ["hash:net", `family ${inet}`, 1, () => flagged(net())],
    ["hash:ip,port", `family ${inet}`, 2, () => `${address()},${port()}`],
    ["hash:net,port", `family ${inet}`, 2, () => flagged(`${net()},${port()}`)],
    ["hash:ip,port,ip", `family ${inet}`, 3, () => `${address()},${port()},${address()}`],
    ["hash:ip,port,net", `family ${inet}`, 3, () => `${address()},${port()},${net()}`],
    [
      "hash:net,iface",
      `family ${inet}`,
      2,
      () => flagged(`${net()},${pick(next, ["eth0", "eth1", "docker0"])}`),
    ],
    ["bitmap:port", "range 0-65535", 1, () => String(pick(next, PORTS))],
    ...(family === 4
      ? ([
          ["bitmap:ip", "range 203.0.112.0-203.0.114.255", 1, () => `203.0.113.${whole(next, 0, 9)}`],
        ] as const)
      : []),
  ];
  const sets: AnySet[] = [];
  const lines: string[] = [];
  for (let i = 0; i < 4; i++) {
    const [type, options, sides, make] = pick(next, kinds);
    const name = `s${i}`;
    sets.push({ name, sides, ported: type.includes("port") });
    lines.push(`create ${name} ${type} ${options}`, ...several(make).map((e) => `add ${name} ${e} -exist`));
  }
  lines.push("create s4 list:set", ...some(next, sets, 3).map((s) => `add s4 ${s.name}`));
  sets.push({ name: "s4", sides: 3, ported: true });
  return { sets, text: `${lines.join("\n")}\n` };
}

const STATES = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "SNAT", "DNAT"];
const FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];

export function some<T>(next: Random, list: readonly T[], most: number): T[] {
  const out = new Set<T>();
  const n = whole(next, 1, most);
  for (let i = 0; i < n; i++) out.add(pick(next, list));
  return [...out];
}

const not = (next: Random): string => (chance(next, 0.25) ? "! " : "");

function range(next: Random, values: readonly number[]): string {
  const a = pick(next, values);
  const b = pick(next, values);
  return chance(next, 0.5) ? String(a) : `${Math.min(a, b)}:${Math.max(a, b)}`;
}

/** Returns the words of a random match that is valid in the rule's table and chain. */
function match(next: Random, family: Family, at: Where): string {
  const address = (): string => pick(next, ADDRESSES[family]);
  const all: (() => string)[] = [
    () => `${not(next)}-s ${address()}/${pick(next, BITS[family])}`,
    () => `${not(next)}-d ${address()}/${pick(next, BITS[family])}`,
    () => `-m mark ${not(next)}--mark ${hex(whole(next, 0, 3))}/${hex(pick(next, [1, 3, 0xff]))}`,
    () => `-m connmark ${not(next)}--mark ${hex(whole(next, 0, 3))}/${hex(pick(next, [1, 3, 0xff]))}`,
    () => `-m conntrack ${not(next)}--ctstate ${some(next, STATES, 3).join(",")}`,
    () =>
      `-m conntrack ${not(next)}--ctstate ${some(next, STATES, 2).join(",")} --ctdir ${pick(next, ["ORIGINAL", "REPLY"])}`,
    () => `-m conntrack --ctstate DNAT ${not(next)}--ctorigdst ${address()} --ctdir ORIGINAL`,
    () =>
      `-m conntrack ${not(next)}--ctproto ${pick(next, [6, 17])} ${not(next)}--ctorigdstport ${range(next, PORTS)}`,
    () =>
      `-m conntrack ${not(next)}--ctreplsrc ${address()} ${not(next)}--ctorigsrc ${address()}/${pick(next, BITS[family])}`,
    () =>
      `-m conntrack ${not(next)}--ctrepldst ${address()} ${not(next)}--ctreplsrcport ${range(next, PORTS)}`,
    () =>
      `-m conntrack ${not(next)}--ctstatus ${pick(next, ["SEEN_REPLY", "CONFIRMED", "SEEN_REPLY,CONFIRMED", "NONE", "EXPECTED"])}`,
    () => `-m state ${not(next)}--state ${some(next, STATES.slice(0, 5), 2).join(",")}`,
    () =>
      `-m conntrack ${not(next)}--ctorigsrcport ${range(next, PORTS)} ${not(next)}--ctrepldstport ${range(next, PORTS)}`,
    () =>
      `-m iprange ${not(next)}--src-range ${ordered(next, family).join("-")} ${not(next)}--dst-range ${ordered(next, family).join("-")}`,
    () => `-m iprange ${not(next)}--${pick(next, ["src", "dst"])}-range ${ordered(next, family).join("-")}`,
    () => `-m addrtype ${not(next)}--${pick(next, ["src", "dst"])}-type ${pick(next, TYPES[family])}`,
    () =>
      `-m ${family === 4 ? "ttl --ttl" : "hl --hl"}-${pick(next, ["eq", "lt", "gt"])} ${pick(next, [1, 2, 63, 64, 65])}`,
    () =>
      `-m tos ${not(next)}--tos ${hex(pick(next, [0, 0x10, 0x28, 0x2e]))}/${hex(pick(next, [0xff, 0x3f, 0x1c]))}`,
    () => `-m dscp ${not(next)}--dscp ${pick(next, [0, 4, 10, 46])}`,
    () => `-m dscp ${not(next)}--dscp-class ${pick(next, ["CS0", "AF11", "EF", "BE"])}`,
    () => `-m limit --limit 10000/sec --limit-burst 10000`,
    () => `-m statistic --mode random ${not(next)}--probability ${pick(next, ["0", "1.00000000000"])}`,
    () =>
      "-m recent --set --name seen --mask " +
      (family === 4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") +
      " --rsource",
    () => `-m ecn ${not(next)}--ecn-ip-ect ${whole(next, 0, 3)}`,
    () => `-m length ${not(next)}--length ${range(next, [28, 29, 36, 40, 48, 60])}`,
    () => `-m comment --comment ${pick(next, ["word", '"two words"'])}`,
    () => `-m pkttype ${not(next)}--pkt-type ${pick(next, ["unicast", "broadcast", "multicast"])}`,
    () => `-m physdev ${not(next)}--physdev-is-bridged`,
    () =>
      `-m physdev ${not(next)}--physdev-${at.hook === "FORWARD" || at.hook === "POSTROUTING" ? pick(next, ["in", "out"]) : "in"} ${pick(next, ["veth1", "veth2", "veth3", "veth+", "eth0"])}`,
    () => `-m physdev ${not(next)}--physdev-is-in`,
  ];
  const typed = (limit: string): (() => string) => {
    const kinds = (side: string): string => `${not(next)}--${side}-type ${pick(next, TYPES[family])}`;
    return () => `-m addrtype ${kinds("src")} ${kinds("dst")} ${limit}`.trimEnd();
  };
  all.push(typed(""));
  // Unknown matches are drawn rarely: for a packet that depends on one, both outcomes are compared.
  if (chance(next, 0.05)) {
    const dirs = at.hook === "FORWARD" ? ["in", "out"] : /^PRE|^IN/.test(at.hook) ? ["in"] : ["out"];
    return pick(next, [...UNKNOWN, ...dirs.map((dir) => `-m policy --dir ${dir} --pol none`)]);
  }
  if (at.hook !== "OUTPUT" && at.hook !== "POSTROUTING")
    all.push(
      typed("--limit-iface-in"),
      () => `${not(next)}-i ${pick(next, ["eth0", "eth1", "docker0", "br-app", "lo", "eth+", "br-+"])}`,
    );
  if (at.hook !== "PREROUTING" && at.hook !== "INPUT")
    all.push(
      typed("--limit-iface-out"),
      () => `${not(next)}-o ${pick(next, ["eth0", "eth1", "docker0", "br-app", "lo", "eth+", "d+"])}`,
    );
  if (at.hook === "PREROUTING" || at.hook === "INPUT" || at.hook === "FORWARD")
    all.push(
      () => `-m mac ${not(next)}--mac-source ${pick(next, MACS)}`,
      () => `-m devgroup ${not(next)}--src-group ${pick(next, ["0", "1", "0x2/0x2", "0x1/0x3"])}`,
    );
  if (at.hook === "OUTPUT" || at.hook === "POSTROUTING" || at.hook === "FORWARD")
    all.push(() => `-m devgroup ${not(next)}--dst-group ${pick(next, ["0", "1", "0x2/0x2", "0x1/0x3"])}`);
  if (at.hook === "PREROUTING" && (at.table === "raw" || at.table === "mangle")) {
    const how = (): string =>
      ["--loose", "--validmark", "--accept-local", "--invert"].filter(() => chance(next, 0.35)).join(" ");
    all.push(
      () => `-m rpfilter ${how()}`.trimEnd(),
      () => `-m rpfilter ${how()}`.trimEnd(),
    );
  }
  if (at.sets.length > 0) {
    const asked = (): string => {
      const { name, sides, ported } = pick(next, at.sets);
      const side = Array.from({ length: sides }, () => pick(next, ["src", "dst"])).join(",");
      return ported && at.proto === undefined ? "" : `-m set ${not(next)}--match-set ${name} ${side}`;
    };
    all.push(asked, asked, asked);
  }
  if (at.hook === "OUTPUT" || at.hook === "POSTROUTING")
    all.push(() => `-m owner ${not(next)}--gid-owner ${pick(next, ["0", "1000", "100-1000"])}`);
  if (at.hook === "OUTPUT" || at.hook === "POSTROUTING")
    all.push(() => `-m owner ${not(next)}--socket-exists`);
  if (at.hook === "OUTPUT" || at.hook === "POSTROUTING")
    all.push(() => `-m owner ${not(next)}--uid-owner ${pick(next, ["0", "1000", "0-99"])}`);
  if (family === 4) all.push(() => `${not(next)}-f`);
  const { proto } = at;
  if (proto === "tcp")
    all.push(
      () => `-m tcp ${not(next)}--dport ${range(next, PORTS)}`,
      () => `-m tcp ${not(next)}--dport ${range(next, PORTS)}`,
      () => `-m tcp ${not(next)}--sport ${range(next, PORTS)}`,
      () =>
        `-m tcp ${not(next)}--tcp-flags ${some(next, FLAGS, 4).join(",")} ${some(next, FLAGS, 2).join(",")}`,
      () => `-m tcp ${not(next)}--syn`,
      // UDP's depends on the time.
      () => `-m conntrack ${not(next)}--ctstatus ASSURED`,
      () => `-m ecn ${not(next)}--ecn-tcp-${pick(next, ["ece", "cwr"])}`,
      () => `-m tcp ${not(next)}--sport ${range(next, PORTS)} ${not(next)}--dport ${range(next, PORTS)}`,
    );
  if (proto === "udp")
    all.push(
      () => `-m udp ${not(next)}--dport ${range(next, PORTS)}`,
      () => `-m udp ${not(next)}--sport ${range(next, PORTS)}`,
    );
  if (proto === "sctp")
    all.push(
      () => `-m sctp ${not(next)}--dport ${range(next, PORTS)}`,
      () => `-m sctp ${not(next)}--sport ${range(next, PORTS)}`,
    );
  if (proto === "esp" || proto === "ah") all.push(() => `-m ${proto}`);
  if (proto === "108") all.push(() => `-m ipcomp ${not(next)}--ipcompspi ${range(next, [0, 1, 16])}`);
  if (proto === "dccp")
    all.push(
      () => `-m dccp ${not(next)}--dport ${range(next, PORTS)}`,
      () => `-m dccp ${not(next)}--sport ${range(next, PORTS)}`,
    );
  if (proto !== undefined && PORTED.includes(proto))
    all.push(
      () =>
        `-m multiport ${not(next)}--${pick(next, ["dports", "sports", "ports"])} ${some(next, PORTS, 5).join(",")}`,
      () => `-m multiport --dports 53,8000:8010,443`,
    );
  if (proto === "icmp")
    all.push(
      () => `-m icmp ${not(next)}--icmp-type ${pick(next, ["8", "0", "3/3", "3", "11", "any", "13"])}`,
    );
  if (proto === "ipv6-icmp")
    all.push(
      () => `-m icmp6 ${not(next)}--icmpv6-type ${pick(next, ["128", "129", "1/4", "1", "3", "135"])}`,
    );
  return pick(next, all)();
}

const PORTED = ["tcp", "udp", "udplite", "sctp", "dccp"];

/** Matches that the inputs do not determine; some drop packets with IPv6's "no next header". */
const UNKNOWN = [
  "-m recent --rcheck --name seen --rsource",
  "-m statistic --mode nth --every 3 --packet 0",
  "-m statistic --mode random --probability 0.50000000000",
  "-m quota --quota 5000",
  "-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 5 --hashlimit-name some",
  "-m time --weekdays Mon,Tue --kerneltz",
  "-m string --string x --algo bm",
  "-m connbytes --connbytes 3 --connbytes-mode packets --connbytes-dir both",
  "-m cpu --cpu 0",
  "-m connlimit --connlimit-above 3",
  "-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 5 --hashlimit-mode srcip,dstport --hashlimit-name ports",
];

const hex = (n: number): string => `0x${n.toString(16)}`;

function ordered(next: Random, family: Family): string[] {
  const base =
    family === 4
      ? pick(next, ["203.0.113.", "172.17.0.", "10.99.0."])
      : pick(next, ["2001:db8:1::", "fd00:17::"]);
  const a = whole(next, 1, 9);
  return [`${base}${a}`, `${base}${whole(next, a, 9)}`];
}

/** A rule's target, chains below included. */
function target(next: Random, family: Family, at: Where, chains: readonly string[]): string {
  const own: string[] = [];
  if (at.table === "filter" || at.table === "security" || at.table === "mangle" || at.table === "raw")
    own.push("-j ACCEPT", "-j ACCEPT", "-j DROP");
  if (at.table === "filter") {
    own.push("-j REJECT", `-j REJECT --reject-with ${pick(next, REJECTS[family])}`);
    if (at.proto === "tcp") own.push("-p tcp -j REJECT --reject-with tcp-reset");
    if (at.proto === "tcp" && at.hook !== "OUTPUT") own.push("-p tcp -j SYNPROXY --sack-perm --mss 1460");
  }
  // Either answer is followed, and compared.
  if (at.table !== "nat" && chance(next, 0.05))
    return pick(next, ["-j QUEUE", "-j NFQUEUE --queue-num 2", "-j NFQUEUE --queue-bypass"]);
  own.push(
    "-j RETURN",
    "",
    `-j MARK --set-xmark ${hex(whole(next, 0, 3))}/${hex(pick(next, [1, 3, 0xffffffff]))}`,
  );
  own.push(
    `-j CONNMARK --set-xmark ${hex(whole(next, 0, 3))}/0xff`,
    "-j CONNMARK --save-mark",
    "-j CONNMARK --restore-mark",
    `-j CONNMARK --save-mark --nfmask ${hex(pick(next, [1, 3, 0xff]))} --ctmask ${hex(pick(next, [1, 3, 0xff]))}`,
    `-j CONNMARK --restore-mark --nfmask ${hex(pick(next, [1, 3, 0xff]))} --ctmask ${hex(pick(next, [1, 3, 0xff]))}`,
    `-j MARK --${pick(next, ["or", "and", "xor"])}-mark ${hex(whole(next, 0, 3))}`,
    pick(next, ["-j LOG", "-j NFLOG --nflog-group 5", "-j AUDIT --type accept"]),
  );
  if (at.table === "mangle" && at.hook === "PREROUTING" && /^(tcp|udp)$/.test(at.proto ?? ""))
    own.push(
      `-p ${at.proto} -j TPROXY --on-port ${PROXY} --tproxy-mark ${pick(next, ["0x2/0x2", "0x3/0xff"])}`,
    );
  if (at.table === "mangle") {
    own.push(
      `-j TEE --gateway ${NEIGHBOURS[family][2]}`,
      "-j CHECKSUM --checksum-fill",
      "-j IDLETIMER --timeout 600 --label idle",
    );
    if (at.hook !== "PREROUTING" && at.hook !== "INPUT") own.push("-j CLASSIFY --set-class 0001:0002");
    if (at.proto === "tcp")
      own.push(
        "-j TCPOPTSTRIP --strip-options 8",
        "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200",
        ...(family === 4 ? ["-j ECN --ecn-tcp-remove"] : []),
      );
    own.push(
      `-j TOS --set-tos ${hex(pick(next, [0, 0x10, 0x28]))}/0xff`,
      `-j DSCP --set-dscp ${pick(next, [0, 10, 46])}`,
    );
    own.push(
      family === 4
        ? `-j TTL --ttl-${pick(next, ["set 5", "dec 1", "inc 1", "set 1"])}`
        : `-j HL --hl-${pick(next, ["set 5", "dec 1", "inc 1"])}`,
    );
  }
  if (at.table === "raw") own.push("-j CT --notrack", "-j NOTRACK", "-j CT --ctevents new,destroy");
  if (at.sets.length > 0 && chance(next, 0.1)) {
    const { name, sides } = at.sets[0]!;
    const side = Array.from({ length: sides }, () => "src").join(",");
    own.push(`-j SET --${pick(next, ["add", "del"])}-set ${name} ${side}`);
  }
  if (at.table === "nat") {
    const there = pick(next, NEIGHBOURS[family]);
    const bracket = (port: string): string => (family === 6 ? `[${there}]:${port}` : `${there}:${port}`);
    const ported = at.proto === "tcp" || at.proto === "udp";
    if (at.hook === "PREROUTING" || at.hook === "OUTPUT") {
      own.push(
        `-j DNAT --to-destination ${there}`,
        "-j REDIRECT",
        `-j NETMAP --to ${family === 4 ? "172.17.0.0/24" : "fd00:17::/64"}`,
      );
      own.push(
        `-j DNAT --to-destination ${ordered(next, family).join("-")}`,
        `-j DNAT --to-destination ${ordered(next, family).join("-")} --persistent`,
      );
      // iptables accepts a negated protocol as if it were plain; the ports then apply to all other protocols.
      if (at.proto === undefined)
        own.push(
          `! -p tcp -j DNAT --to-destination ${bracket("80-85")}`,
          `! -p udp -j REDIRECT --to-ports ${pick(next, PORTS)}`,
        );
      if (ported)
        own.push(
          `-p ${at.proto} -j DNAT --to-destination ${bracket(String(pick(next, PORTS)))}`,
          `-p ${at.proto} -j DNAT --to-destination ${bracket("8000-8010")}`,
          `-p ${at.proto} -j DNAT --to-destination ${bracket(`8000-${8000 + pick(next, [2, 10, 99])}/${pick(next, PORTS)}`)}`,
          `-p ${at.proto} -j DNAT --random --to-destination ${bracket("8000-8010")}`,
          `-p ${at.proto} -j DNAT --to-destination :${pick(next, PORTS)}`,
          `-p ${at.proto} -j REDIRECT --to-ports ${pick(next, PORTS)}`,
          `-p ${at.proto} -j REDIRECT --to-ports 8000-8010${chance(next, 0.3) ? " --random" : ""}`,
        );
    } else {
      const from = pick(next, NEIGHBOURS[family]);
      own.push(
        `-j SNAT --to-source ${from}`,
        `-j SNAT --to-source ${ordered(next, family).join("-")}`,
        `-j SNAT --to-source ${from}${pick(next, [" --random", " --random-fully", " --persistent"])}`,
      );
      const source = (ports: string): string => (family === 6 ? `[${from}]:${ports}` : `${from}:${ports}`);
      if (at.proto === undefined) own.push(`! -p tcp -j SNAT --to-source ${source("7-30000")}`);
      if (ported) {
        own.push(
          `-p ${at.proto} -j SNAT --to-source ${source(String(pick(next, PORTS)))}`,
          `-p ${at.proto} -j SNAT --to-source ${source("40000-40010")}`,
        );
      }
      if (at.hook === "INPUT")
        own.push(`-j NETMAP --to ${family === 4 ? "10.99.0.0/24" : "2001:db8:99::/64"}`);
      if (family === 4 && at.proto === "icmp") own.push(`-p icmp -j SNAT --to-source ${from}:7-20009`);
      if (at.hook === "POSTROUTING")
        own.push(
          "-j MASQUERADE",
          "-j MASQUERADE",
          `-j NETMAP --to ${family === 4 ? "10.99.0.0/24" : "2001:db8:99::/64"}`,
        );
      if (ported && at.hook === "POSTROUTING")
        own.push(
          `-p ${at.proto} -j MASQUERADE --to-ports ${pick(next, PORTS)}`,
          `-p ${at.proto} -j MASQUERADE --to-ports 40000-40010`,
          `-p ${at.proto} -j MASQUERADE --random${pick(next, ["", "-fully"])}`,
        );
    }
  }
  if (chains.length > 0 && chance(next, 0.35))
    return `-${pick(next, ["j", "j", "j", "g"])} ${pick(next, chains)}`;
  return pick(next, own);
}

/** The port of a transparent proxy. */
const PROXY = 7000;

const USUAL = ["tcp", "tcp", "tcp", "tcp", "udp", "udp", undefined, undefined] as const;
const SELDOM = {
  4: ["esp", "ah", "108", "dccp", "gre"],
  6: ["esp", "108", "dccp", "gre", "59"],
} as const;
const PROTOS = {
  4: [...USUAL, "icmp", "icmp", "sctp", "udplite"],
  6: [...USUAL, "ipv6-icmp", "ipv6-icmp", "sctp", "udplite"],
} as const;

function rule(next: Random, family: Family, at: Where, chains: readonly string[]): string {
  const proto = pick<string | undefined>(next, chance(next, 0.06) ? SELDOM[family] : PROTOS[family]);
  const here: Where = proto === undefined ? at : { ...at, proto };
  const words = proto === undefined ? [] : [`-p ${proto}`];
  const used = new Set<string>();
  const most = whole(next, 0, 3);
  for (let i = 0; i < most; i++) {
    const m = match(next, family, here);
    // The same option twice is refused.
    if (m === "") continue;
    const keys = m.match(/-m \S+|(?:^|\s)-[sdiof](?=\s|$)/g)?.map((k) => k.trim()) ?? [m];
    if (keys.some((k) => used.has(k))) continue;
    for (const k of keys) used.add(k);
    words.push(m);
  }
  const goal = target(next, family, here, chains);
  words.push(proto === undefined ? goal : goal.replace(/^-p \S+ /, ""));
  return words.filter((w) => w !== "").join(" ");
}

const HOOKS = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  security: ["INPUT", "FORWARD", "OUTPUT"],
} as const;

/** A whole save, all tables in it. */
function save(next: Random, family: Family, sets: readonly AnySet[]): string {
  const out: string[] = [`# Generated by ip${family === 6 ? "6" : ""}tables-save`];
  for (const [table, hooks] of Object.entries(HOOKS)) {
    const lines: string[] = [];
    const heads: string[] = [];
    for (const hook of hooks) {
      const strict = table === "filter" && chance(next, 0.4);
      heads.push(`:${hook} ${strict ? "DROP" : "ACCEPT"} [0:0]`);
      // Chains of one hook only call later chains, up to six deep.
      const depth = table === "filter" ? 6 : table === "nat" ? 2 : 1;
      const names = Array.from({ length: whole(next, 0, depth) }, (_, i) => `${hook.slice(0, 4)}-${i}`);
      for (const name of names) heads.push(`:${name} - [0:0]`);
      [hook, ...names].forEach((chain, i) => {
        const rules = whole(next, 0, table === "filter" ? 7 : table === "nat" ? 4 : 3);
        for (let r = 0; r < rules; r++)
          lines.push(`-A ${chain} ${rule(next, family, { table, hook, sets }, names.slice(i))}`.trimEnd());
      });
    }
    out.push(`*${table}`, ...heads, ...lines, "COMMIT");
  }
  return `${out.join("\n")}\n`;
}

/** A scenario drawn from a seed. */
export function generate(next: Random, family: Family, name: string): Scenario {
  const host = drawHost(next, family, name);
  const { sets, text } = chance(next, 0.4) ? ipsets(next, family) : { sets: [], text: "" };
  return {
    ...host,
    ...(text === "" ? {} : { sets: text }),
    ...(chance(next, 0.5) ? { proxies: [PROXY] } : {}),
    save: save(next, family, sets),
  };
}

/** The tables of iptables alone, without sets. */
export const drawTables = (next: Random, family: Family): string => save(next, family, []);

/** A host without rules: its routes, policy rules and sysctls. */
export function drawHost(next: Random, family: Family, name: string): Scenario {
  // A packet of a raw socket uses an IPv6 route without a gateway as if it were for its address alone, with any
  // prefix length a rule suppresses (FLOWI_FLAG_KNOWN_NH in ip6_pol_route): programs' sockets do not.
  const [first, other] =
    family === 4
      ? ["default dev eth0", "default dev eth1 table 100"]
      : ["default via 2001:db8:1::fe dev eth0", "default via 2001:db8:99::fe dev eth1 table 100"];
  const routes =
    family === 4
      ? [first, "198.51.100.0/24 dev eth1", "blackhole 192.0.2.32/27", "unreachable 10.66.0.0/16"]
      : [first, "2001:db8:ffff::/48 dev eth1", "blackhole 2001:db8:dead::/48"];
  const rules: string[] = [];
  if (chance(next, 0.4)) {
    routes.push(other, family === 4 ? "throw 172.16.0.0/12 table 100" : "throw fd00::/8 table 100");
    rules.push("fwmark 1/1 table 100 priority 100");
    if (chance(next, 0.5)) rules.push(`from ${ADDRESSES[family][6]} table 100 priority 110`);
    if (chance(next, 0.3)) rules.push("iif docker0 prohibit priority 120");
    if (chance(next, 0.3)) rules.push("table main suppress_prefixlength 0 priority 90");
    if (chance(next, 0.3)) rules.push("not fwmark 2/2 table 100 priority 130");
    if (chance(next, 0.3)) rules.push("iif eth0 ipproto tcp dport 80-8080 table 100 priority 80");
    if (chance(next, 0.2))
      rules.push(`to ${family === 4 ? "172.30.0.0/24" : "fd00:30::/64"} blackhole priority 140`);
  }
  // Several next hops, routes for a TOS, and policy rules that match one, skip others (goto), or suppress a group.
  const gateways = family === 4 ? ["203.0.113.254", "10.99.0.254"] : ["2001:db8:1::fe", "2001:db8:99::fe"];
  if (chance(next, 0.1)) {
    const to = pick(
      next,
      family === 4 ? ["8.8.8.0/24", "192.0.2.0/24"] : ["2606:4700::/32", "2001:db8:dead::/47"],
    );
    routes.push(`${to} ${gateways.map((via, i) => `nexthop via ${via} dev eth${i}`).join(" ")}`);
  }
  if (family === 4 && chance(next, 0.1))
    routes.push("8.8.0.0/16 dev docker0 tos 0x10", "8.8.0.0/16 dev eth1");
  if (family === 6 && chance(next, 0.1)) routes.push("2606::/16 dev eth0", "2606::/16 dev eth1");
  if (chance(next, 0.15)) {
    routes.push(`default via ${gateways[1]} dev eth1 table 102`);
    rules.push(
      pick(next, ["tos 0x10 table 102 priority 85", "not tos 0x08 table 102 priority 85"]),
      pick(next, ["iif eth0 goto 135 priority 70", "fwmark 1/1 goto 125 priority 70", "goto 95 priority 70"]),
      pick(next, ["nop priority 135", "uidrange 1000-2000 table 102 priority 95"]),
      pick(next, ["table 102 suppress_ifgroup 2 priority 86", "table main suppress_ifgroup 1 priority 96"]),
    );
  }
  // Local routes other than those of addresses: some cover a subnet, some are in a table for TPROXY.
  if (chance(next, 0.2))
    routes.push(
      ...(family === 4
        ? ["local 10.99.0.0/16 dev lo", "local 198.51.100.128/25 dev lo"]
        : ["local 2001:db8:abcd::/64 dev lo", "local 2001:db8:ffff::/64 dev lo"]),
    );
  if (chance(next, 0.15)) {
    routes.push("local default dev lo table 101");
    rules.push("fwmark 2/2 table 101 priority 150");
  }
  const sysctls: Record<string, string | number> = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": pick(next, [0, 0, 0, 1, 2]),
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.route_localnet": chance(next, 0.2) ? 1 : 0,
    "net.ipv4.conf.all.accept_local": chance(next, 0.2) ? 1 : 0,
    "net.ipv4.conf.all.src_valid_mark": chance(next, 0.2) ? 1 : 0,
  };
  if (family === 4 && chance(next, 0.3)) sysctls["net.ipv4.conf.eth1.rp_filter"] = pick(next, [1, 2]);
  if (family === 4 && chance(next, 0.2)) sysctls["net.ipv4.conf.docker0.route_localnet"] = 1;
  if (chance(next, 0.1)) sysctls["net.ipv4.conf.eth1.forwarding"] = 0;
  sysctls[`net.bridge.bridge-nf-call-ip${family === 4 ? "" : "6"}tables`] = chance(next, 0.75) ? 1 : 0;
  return { name, family, interfaces: INTERFACES[family], routes, rules, sysctls, save: "" };
}
