/** Hosts with the rules that Docker 28 writes in each network mode, written by hand after real captures. */
import { type AuditJson, type Host, type Ruleset, readHost, readRuleset } from "fwcheck";
import { auditOf } from "./json.ts";

export interface Net {
  readonly bridge: string;
  /** First three numbers of a /24: the host is .1, the container .2. */
  readonly prefix: string;
  readonly mode?: "nat" | "nat-unprotected" | "routed" | "internal";
  /** Container port by host port. */
  readonly ports?: Readonly<Record<number, number>>;
  /** Default: TCP. */
  readonly proto?: "tcp" | "udp" | "sctp";
}

export interface Layout {
  readonly nets?: readonly Net[];
  /** Ports of a swarm's services. */
  readonly swarm?: readonly number[];
  /** Rules of INPUT, and policies. Default policy: DROP. */
  readonly input?: readonly string[];
  readonly policy?: Readonly<Partial<Record<"INPUT" | "FORWARD" | "OUTPUT", "ACCEPT" | "DROP">>>;
  /** Rules of OUTPUT. */
  readonly output?: readonly string[];
  /** Rules in FORWARD before and after Docker's. */
  readonly before?: readonly string[];
  readonly behind?: readonly string[];
  readonly user?: readonly string[];
  /** Rules of the owner in PREROUTING of these tables, before Docker's. */
  readonly raw?: readonly string[];
  readonly mangle?: readonly string[];
  readonly nat?: readonly string[];
  /** Docker drops packets to containers' addresses in table raw, as it does since 28. */
  readonly guard?: boolean;
  /** Further chains of table filter, with their rules. */
  readonly chains?: Readonly<Record<string, readonly string[]>>;
  /** Interfaces other than eth0 (203.0.113.1/24), each with an address. */
  readonly interfaces?: Readonly<Record<string, string>>;
  /** Ports of bridges, each with its bridge and its kind as `ip -d -j link` prints it. */
  readonly ports?: Readonly<
    Record<string, { readonly bridge: string; readonly kind?: string; readonly state?: string }>
  >;
  /** `net.bridge.bridge-nf-call-iptables`; absent where br_netfilter is not loaded. */
  readonly calls?: 0 | 1;
  readonly ipset?: string;
  readonly docker?: unknown;
  /** Output of `ss`. */
  readonly sockets?: string;
  /** Rules of other base chains by table, such as `-A INPUT ...` of table security. */
  readonly tables?: Readonly<Partial<Record<"mangle" | "security", readonly string[]>>>;
  /** Policy of INPUT in table nat. Default: ACCEPT. */
  readonly natInput?: "ACCEPT" | "DROP";
}

const NAT: Net = { bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80 } };

/** Returns the rules of a layout as iptables-save prints them. */
export function save({
  nets = [NAT],
  swarm = [],
  input = [],
  output = [],
  policy = {},
  before = [],
  behind = [],
  user = [],
  chains = {},
  raw: first = [],
  mangle = [],
  nat = [],
  guard = true,
  tables = {},
  natInput = "ACCEPT",
}: Layout): string {
  const all: Net[] =
    swarm.length === 0 ? [...nets] : [...nets, { bridge: "docker_gwbridge", prefix: "172.19.0" }];
  const own = (rules: readonly string[]) => rules.map((rule) => `-A PREROUTING ${rule}`);
  const raw = own(first);
  const dnat: string[] = [];
  const masquerade: string[] = [];
  const docker: string[] = [];
  const last: string[] = [];
  const forward: string[] = [];
  const jumps: string[] = [];
  const isolation: string[] = [];
  for (const { bridge, prefix, mode = "nat", ports = {}, proto = "tcp" } of all) {
    const subnet = `${prefix}.0/24`;
    const container = `${prefix}.2/32`;
    if (mode === "internal") {
      isolation.push(
        `-A DOCKER-ISOLATION-STAGE-1 ! -s ${subnet} -o ${bridge} -j DROP`,
        `-A DOCKER-ISOLATION-STAGE-1 ! -d ${subnet} -i ${bridge} -j DROP`,
      );
      forward.push(`-A DOCKER-FORWARD -i ${bridge} -o ${bridge} -j ACCEPT`);
      continue;
    }
    if (mode === "nat" && guard) raw.push(`-A PREROUTING -d ${container} ! -i ${bridge} -j DROP`);
    if (mode !== "routed") masquerade.push(`-A POSTROUTING -s ${subnet} ! -o ${bridge} -j MASQUERADE`);
    for (const [host, port] of Object.entries(ports)) {
      if (mode !== "routed")
        dnat.push(
          `-A DOCKER ! -i ${bridge} -p ${proto} -m ${proto} --dport ${host} -j DNAT --to-destination ${prefix}.2:${port}`,
        );
      if (mode !== "nat-unprotected")
        docker.push(
          `-A DOCKER -d ${container} ! -i ${bridge} -o ${bridge} -p ${proto} -m ${proto} --dport ${port} -j ACCEPT`,
        );
    }
    if (mode === "routed") last.push(`-A DOCKER -o ${bridge} -p icmp -j ACCEPT`);
    last.push(`-A DOCKER ! -i ${bridge} -o ${bridge} -j ${mode === "nat-unprotected" ? "ACCEPT" : "DROP"}`);
    jumps.push(`-A DOCKER-BRIDGE -o ${bridge} -j DOCKER`);
    forward.push(`-A DOCKER-FORWARD -i ${bridge} -j ACCEPT`);
  }
  const ingress = swarm.length === 0 ? [] : ["DOCKER-INGRESS"];
  return [
    "*raw",
    ":PREROUTING ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ...raw,
    "COMMIT",
    ...(mangle.length === 0 ? [] : ["*mangle", ":PREROUTING ACCEPT [0:0]", ...own(mangle), "COMMIT"]),
    "*filter",
    ...(["INPUT", "FORWARD", "OUTPUT"] as const).map(
      (name) => `:${name} ${policy[name] ?? (name === "OUTPUT" ? "ACCEPT" : "DROP")} [0:0]`,
    ),
    ...["DOCKER", "DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD", ...ingress].map(
      (name) => `:${name} - [0:0]`,
    ),
    ...["DOCKER-ISOLATION-STAGE-1", "DOCKER-USER", ...Object.keys(chains)].map((name) => `:${name} - [0:0]`),
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ...input.map((rule) => `-A INPUT ${rule}`),
    ...output.map((rule) => `-A OUTPUT ${rule}`),
    ...before.map((rule) => `-A FORWARD ${rule}`),
    "-A FORWARD -j DOCKER-USER",
    ...ingress.map((name) => `-A FORWARD -j ${name}`),
    "-A FORWARD -j DOCKER-FORWARD",
    ...behind.map((rule) => `-A FORWARD ${rule}`),
    ...docker,
    ...last,
    ...jumps,
    ...all.map(
      ({ bridge }) => `-A DOCKER-CT -o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    ),
    "-A DOCKER-FORWARD -j DOCKER-CT",
    "-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "-A DOCKER-FORWARD -j DOCKER-BRIDGE",
    ...forward,
    ...isolation,
    ...user.map((rule) => `-A DOCKER-USER ${rule}`),
    ...Object.entries(chains).flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)),
    ...swarm.map((port) => `-A DOCKER-INGRESS -p tcp -m tcp --dport ${port} -j ACCEPT`),
    ...swarm.map(
      (port) =>
        `-A DOCKER-INGRESS -p tcp -m tcp --sport ${port} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    ),
    ...ingress.map((name) => `-A ${name} -j RETURN`),
    "COMMIT",
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    `:INPUT ${natInput} [0:0]`,
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ...["DOCKER", ...ingress].map((name) => `:${name} - [0:0]`),
    ...own(nat),
    ...ingress.map((name) => `-A PREROUTING -m addrtype --dst-type LOCAL -j ${name}`),
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
    ...ingress.map(() => "-A POSTROUTING -o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE"),
    ...masquerade,
    ...dnat,
    ...swarm.map(
      (port) => `-A DOCKER-INGRESS -p tcp -m tcp --dport ${port} -j DNAT --to-destination 172.19.0.2:${port}`,
    ),
    ...ingress.map((name) => `-A ${name} -j RETURN`),
    "COMMIT",
    ...Object.entries(tables).flatMap(([table, rules]) => [
      `*${table}`,
      ...["INPUT", "FORWARD", "OUTPUT"].map((name) => `:${name} ACCEPT [0:0]`),
      ...(table === "mangle" ? [":PREROUTING ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"] : []),
      ...rules,
      "COMMIT",
    ]),
    "",
  ].join("\n");
}

/** Returns the ruleset and the host of a layout. */
export function read(layout: Layout): { rulesets: readonly Ruleset[]; host: Host } {
  const { rulesets, diagnostics } = readRuleset([{ name: "layout", text: save(layout) }]);
  if (diagnostics.length > 0) throw new Error(JSON.stringify(diagnostics[0]));
  const bridges = [
    ...(layout.nets ?? [NAT]),
    ...(layout.swarm === undefined ? [] : [{ bridge: "docker_gwbridge", prefix: "172.19.0" }]),
  ];
  const addresses: [string, string][] = [
    ["lo", "127.0.0.1/8"],
    ["eth0", "203.0.113.1/24"],
    ...Object.entries(layout.interfaces ?? {}),
    ...bridges.map(({ bridge, prefix }): [string, string] => [bridge, `${prefix}.1/24`]),
  ];
  const addr = addresses.map(([ifname, cidr]) => {
    const [local, bits] = cidr.split("/");
    return { ifname, addr_info: [{ family: "inet", local, prefixlen: Number(bits) }] };
  });
  const link = Object.entries(layout.ports ?? {}).map(([ifname, { bridge: master, kind, state }]) => ({
    ifname,
    master,
    promiscuity: 1,
    addr_info: [],
    linkinfo: {
      info_kind: kind,
      info_slave_kind: "bridge",
      info_slave_data: { state: state ?? "forwarding" },
    },
  }));
  const route = [
    { dst: "default", gateway: "203.0.113.2", dev: "eth0" },
    ...addresses.slice(1).map(([dev, cidr]) => ({ dst: cidr.replace(/\.\d+\//, ".0/"), dev, scope: "link" })),
  ];
  const source = (name: string, value: unknown) => [
    { name, text: typeof value === "string" ? value : JSON.stringify(value) },
  ];
  const host = readHost(
    {
      complete: true,
      addr: source("addr", [...addr, ...link]),
      route: source("route", route),
      sysctl: source(
        "sysctl",
        `net.ipv4.ip_forward = 1\n${layout.calls === undefined ? "" : `net.bridge.bridge-nf-call-iptables = ${layout.calls}\n`}`,
      ),
      ...(layout.ipset === undefined ? {} : { ipset: source("ipset", layout.ipset) }),
      ...(layout.docker === undefined ? {} : { docker: source("docker", layout.docker) }),
      ...(layout.sockets === undefined ? {} : { listening: source("ss", layout.sockets) }),
    },
    rulesets,
  );
  return { rulesets, host };
}

export function audited(layout: Layout): AuditJson {
  const { rulesets, host } = read(layout);
  return auditOf(rulesets, host);
}

/** Returns one line for each finding: id, sources, traffic. */
export const lines = ({ findings }: AuditJson): string[] =>
  findings.map((f) => [f.id, f.from, ...(f.what === undefined ? [] : [f.what])].join(": "));

const TAILSCALE = {
  "ts-forward": [
    "-i tailscale0 -j MARK --set-xmark 0x40000/0xff0000",
    "-m mark --mark 0x40000/0xff0000 -j ACCEPT",
    "-s 100.64.0.0/10 -o tailscale0 -j DROP",
    "-o tailscale0 -j ACCEPT",
  ],
  "ts-input": ["-s 100.64.0.0/10 ! -i tailscale0 -j DROP", "-i tailscale0 -j ACCEPT"],
};

const tailscale = (where: "before" | "behind"): Layout => ({
  [where]: ["-j ts-forward"],
  input: ["-j ts-input"],
  chains: TAILSCALE,
  interfaces: { tailscale0: "100.80.71.81/32" },
});

const net = (mode: NonNullable<Net["mode"]>): Layout => ({
  nets: [{ bridge: "br-x", prefix: "172.20.0", mode, ports: { 8080: 80 } }],
});

/** Returns the rules of a fail2ban jail that bans these addresses. */
export const jail = (...banned: string[]): string[] => [
  ...banned.map((ip) => `-s ${ip}/32 -j REJECT --reject-with icmp-port-unreachable`),
  "-j RETURN",
];

export const ALLOW = "-p tcp -m tcp --dport 8080 -j ACCEPT";

/** Hosts with different expected results; the kernel tests run every one, too. */
export const LAYOUTS = {
  plain: {},
  routed: net("routed"),
  "nat-unprotected": net("nat-unprotected"),
  internal: net("internal"),
  swarm: { nets: [], swarm: [3000], interfaces: { eth1: "10.99.0.1/24" } },
  "several interfaces": {
    input: [
      "-i eth1 -s 10.99.0.0/24 -p tcp -m tcp --dport 8080 -j ACCEPT",
      "-i eth2 -p tcp -m tcp --dport 8080 -j ACCEPT",
    ],
    interfaces: { eth1: "10.99.0.1/24", eth2: "10.98.0.1/24" },
  },
  "Tailscale first": tailscale("before"),
  "Tailscale behind": tailscale("behind"),
  WireGuard: {
    before: ["-i wg0 -j ACCEPT", "-o wg0 -j ACCEPT", "-m conntrack --ctstate INVALID -j DROP"],
    interfaces: { wg0: "10.8.0.1/24" },
  },
  fail2ban: { input: ["-p tcp -j f2b-recidive", ALLOW], chains: { "f2b-recidive": jail("192.0.2.9") } },
  "output denied": { policy: { INPUT: "ACCEPT", FORWARD: "ACCEPT", OUTPUT: "DROP" } },
  "route allowed": {
    behind: ["-j ufw-user-forward"],
    chains: { "ufw-user-input": [], "ufw-user-forward": ["-o docker0 -p tcp -m tcp --dport 443 -j ACCEPT"] },
  },
} as const satisfies Record<string, Layout>;
