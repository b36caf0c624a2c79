/**
 * fwcheck fix for nftables, for real: hosts of ../shared/captures-nft in network namespaces, with the captured tables of
 * their engines, real listeners and clients. What clients reach before the fix is what was measured on the captured host.
 * What the owner's rules decide of published ports is measured with listeners and without the engine's tables. With each
 * strategy and form, every connection has to end as that says.
 */
import { existsSync } from "node:fs";
import { besideDocker, DOCKER_ALONE, PODMAN } from "../../hosts/nft-connections.ts";
import { closed } from "../lab.ts";
import { CAPTURES, Capture, tablesOf } from "./capture.ts";
import { type CaptureHost, down, onHost } from "./capture-host.ts";
import { type Captured, judgeCaptured } from "./captured.ts";
import { judgeLifecycle } from "./lifecycle.ts";
import { check, say, summary } from "./record.ts";

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

/** The container of ports 8080 and 9080 of the first two hosts. */
const WEB = { container: "web", from: "172.17.0.2", to: "172.17.0.9" } as const;

const HOSTS: readonly Captured[] = [
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
];

const NEEDED = ["nft", "iptables-nft-restore", "ip6tables-nft-restore", "conntrack"];
const why =
  closed(NEEDED, "nftables iptables conntrack socat busybox-static") ??
  (existsSync(CAPTURES) ? undefined : "the end-to-end test of nftables needs ../shared/captures-nft");
if (why !== undefined) {
  say(`skipped: ${why}`);
  process.exit(0);
}
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    down();
    process.exit(1);
  });
const only = new RegExp(/^nft ?(.*)/.exec(process.env.E2E_ONLY ?? "")?.[1] ?? "");
try {
  for (const captured of HOSTS) if (only.test(captured.name)) await judgeCaptured(captured);
  for (const captured of HOSTS.slice(0, 2))
    if (only.test(`lifecycle of ${captured.name}`)) await judgeLifecycle(captured, WEB);
} catch (error) {
  check("no error", false, error instanceof Error ? error.stack : String(error));
} finally {
  down();
}
process.exit(summary());
