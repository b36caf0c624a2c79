/** The hosts of the end-to-end test: captures, with the rules of an owner and the tables of an engine. */
import { besideDocker, DOCKER_ALONE, PODMAN } from "../../hosts/nft-connections.ts";
import { Capture, tablesOf } from "./capture.ts";
import { type CaptureHost, onHost } from "./capture-host.ts";
import type { Captured } from "./captured.ts";
import { judgeReload, startFirewalld } from "./firewalld.ts";
import { judgeRecreated, PODMAN_CASES, PodmanHost } from "./podman.ts";

const ECHO = { proto: "tcp", dst: "203.0.113.1", port: 8444 } as const;
const PLAIN = "plain-docker-29.7-nft";
const UFW = "ufw-routed-docker-29.7-nft";

const dockers = (host: CaptureHost): string => tablesOf(host.capture.text("nft.txt"), /docker/);
const plainOwner = (): void => void onHost("nft -f -", new Capture(PLAIN).text("nftables.conf"));

/** netavark guards no address of a container: the owner's forward hook accepts packets to each. */
const PODMAN_FINDINGS = [
  "ingress-bypass/4/tcp/any/8080",
  "ingress-bypass/4/tcp/203.0.113.1/8090",
  "loopback-bypass/4/tcp/127.0.0.1/9090",
];

/** Zones of the owner: clients of eth0 may use one port in each family, those of eth1 two. */
const ZONES = {
  "zones/public.xml": `<zone>
  <interface name="eth0"/><service name="ssh"/><port port="8086" protocol="tcp"/>
  <rule family="ipv6"><source address="2001:db8:1::/64"/><port port="8081" protocol="tcp"/><accept/></rule>
  <rule family="ipv4"><source address="203.0.113.2"/><port port="7100" protocol="tcp"/><reject/></rule>
</zone>`,
  "zones/internal.xml": `<zone>
  <interface name="eth1"/><port port="8080" protocol="tcp"/><port port="5353" protocol="udp"/>
</zone>`,
};

/** What an engine writes that fwcheck does not know: one map for all ports, and chains with names of its own. */
const GANTRY = `table ip gantry {
  map published {
    type inet_service : ipv4_addr . inet_service
    elements = { 8080 : 172.17.0.2 . 80, 9080 : 172.17.0.2 . 80, 8443 : 172.17.0.3 . 80, 8444 : 172.17.0.5 . 7 }
  }
  chain translate {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local meta l4proto tcp dnat ip to tcp dport map @published
  }
  chain local {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto tcp dnat ip to tcp dport map @published
  }
  chain sources {
    type nat hook postrouting priority srcnat; policy accept;
    iifname "gan0" oifname != "gan0" masquerade
    iifname "gan1" oifname != "gan1" masquerade
  }
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname != { "gan0", "lo" } ip daddr 172.17.0.0/16 drop
    iifname != { "gan1", "lo" } ip daddr 172.30.0.0/24 drop
  }
}`;
const NAMES = [
  ["docker0", "gan0"],
  ["br-app", "gan1"],
  ["br-rt", "gan2"],
  ["docker-proxy29", "gantry"],
] as const;

/** The container of ports 8080 and 9080 of the first two hosts. */
export const WEB = { container: "web", from: "172.17.0.2", to: "172.17.0.9" } as const;

/** Captures with fewer containers than the last one, each with the port of a flow. */
const EARLIER = {
  "01-web8080": { proto: "tcp", port: 8080 },
  "02-loopback-udp": { proto: "udp", port: 5353 },
  "04-internal": { proto: "udp", port: 5353 },
  "05-ipv6": { proto: "udp", port: 5353 },
  "06-noicc-nomasq": { proto: "udp", port: 5353 },
} as const;

const earlier = Object.entries(EARLIER).map(
  ([name, flow]): Captured => ({
    name: `Docker 29.7, ${name}, nftables.conf`,
    capture: `docker-29.7-nft/${name}`,
    results: "docker-29.7-nft/reachability.txt",
    connections: DOCKER_ALONE,
    owner: plainOwner,
    engine: dockers,
    ownerWasThere: false,
    flow: { ...flow, dst: "203.0.113.1" },
    ...(flow.proto === "tcp" ? { echoes: "web" } : {}),
    brief: true,
  }),
);

export const HOSTS: readonly Captured[] = [
  {
    name: "Docker 29.7, nftables.conf",
    capture: PLAIN,
    results: `${PLAIN}/results.txt`,
    connections: besideDocker({ kind: "listed" }),
    owner: plainOwner,
    engine: dockers,
    ownerWasThere: true,
    flow: ECHO,
  },
  {
    name: "Docker 29.7, ufw",
    capture: UFW,
    results: `${UFW}/results.txt`,
    connections: besideDocker({ kind: "listed" }),
    owner: (host) => host.loadIptables(),
    engine: dockers,
    ownerWasThere: true,
    flow: ECHO,
  },
  {
    name: "Docker 29.7, all kinds of networks, nftables.conf",
    capture: "docker-29.7-nft/08-routed",
    results: "docker-29.7-nft/reachability.txt",
    connections: DOCKER_ALONE,
    owner: plainOwner,
    engine: dockers,
    ownerWasThere: false,
    flow: { proto: "udp", dst: "203.0.113.1", port: 5353 },
    cannot: { "internal-ip": ["ingress-bypass/4/tcp/any/8087"] },
  },
  {
    name: "Docker 29.7, firewalld",
    capture: "docker-29.7-nft/08-routed",
    results: "docker-29.7-nft/reachability.txt",
    connections: DOCKER_ALONE,
    owner: (host) => startFirewalld(host, ZONES),
    engine: dockers,
    ownerWasThere: false,
    flow: { proto: "udp", dst: "203.0.113.1", port: 5353 },
    cannot: { "internal-ip": ["ingress-bypass/4/tcp/any/8087"] },
    afterwards: judgeReload,
  },
  {
    name: "an engine that fwcheck does not know, nftables.conf",
    capture: PLAIN,
    results: `${PLAIN}/results.txt`,
    connections: besideDocker({ kind: "listed" }),
    owner: plainOwner,
    engine: () => GANTRY,
    ownerWasThere: true,
    flow: ECHO,
    unknown: {
      table: "ip gantry",
      rename: (text) => NAMES.reduce((so, [from, to]) => so.replaceAll(from, to), text),
    },
  },
  {
    name: "Podman, netavark 1.17",
    capture: "podman-netavark-nft",
    results: "podman-netavark-nft/results.txt",
    connections: PODMAN,
    owner: (host) => host.load(tablesOf(host.capture.text("nft.txt"), /^inet filter$/)),
    engine: (host) => tablesOf(host.capture.text("nft.txt"), /netavark/),
    ownerWasThere: true,
    flow: { proto: "tcp", dst: "203.0.113.1", port: 8090 },
    cannot: { "internal-ip": PODMAN_FINDINGS },
    echoes: "app",
  },
  {
    name: "Debian's podman, nftables.conf",
    capture: "",
    build: () => new PodmanHost(),
    cases: PODMAN_CASES,
    owner: plainOwner,
    engine: () => "",
    ownerWasThere: true,
    flow: ECHO,
    cannot: {
      "internal-ip": [
        "ingress-bypass/4/tcp/any/8080",
        "ingress-bypass/4/tcp/any/8444",
        "ingress-bypass/4/tcp/any/9080",
        "ingress-bypass/4/tcp/203.0.113.1/8443",
        "loopback-bypass/4/tcp/127.0.0.1/9090",
      ],
    },
    afterwards: judgeRecreated,
  },
  ...earlier,
];
