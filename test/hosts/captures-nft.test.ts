/** Captures of real hosts with nftables: each connection that a client tried there, beside what simulate says of its packet. */
import { existsSync, readFileSync } from "node:fs";
import { type Packet, readHost, readRuleset, type Source, simulate } from "fwcheck";
import { describe, expect, test } from "vitest";
import { synOf } from "../builders.ts";

const root = new URL("../../../shared/captures-nft/", import.meta.url).pathname;
const here = existsSync(root);

/** Reads the files of a capture that describe the host when its clients connected. */
function capture(name: string): {
  rulesets: ReturnType<typeof readRuleset>["rulesets"];
  host: ReturnType<typeof readHost>;
} {
  const file = (each: string): Source[] => {
    const path = `${root}${name}/${each}`;
    return existsSync(path) ? [{ name: each, text: readFileSync(path, "utf8") }] : [];
  };
  const saved = [
    ...file("iptables-save.txt").map((source) => ({ ...source, family: 4 as const })),
    ...file("ip6tables-save.txt").map((source) => ({ ...source, family: 6 as const })),
  ];
  const listed = file("nft.txt").map((source) => ({ ...source, complete: true }));
  const { rulesets, diagnostics } = readRuleset([...saved, ...listed]);
  expect(diagnostics).toEqual([]);
  const docker = ["docker-inspect.json", "docker-network-inspect.json", "docker-info.json"].flatMap(file);
  const host = readHost(
    {
      addr: [...file("addr.json"), ...file("link.json")],
      route: [
        ...file("route4.json").map((source) => ({ ...source, family: 4 as const })),
        ...file("route6.json").map((source) => ({ ...source, family: 6 as const })),
      ],
      rule: [
        ...file("rule4.json").map((source) => ({ ...source, family: 4 as const })),
        ...file("rule6.json").map((source) => ({ ...source, family: 6 as const })),
      ],
      sysctl: file("sysctl.txt"),
      ...(docker.length === 0 ? {} : { docker }),
    },
    rulesets,
  );
  return { rulesets, host };
}

const from = (on: string | undefined, src: string, dst: string, dport: number, proto = "tcp"): Packet =>
  synOf({ ...(on === undefined ? {} : { in: on }), src, dst, dport, proto });
const outside = (dst: string, dport: number, proto?: string): Packet =>
  from("eth0", dst.includes(":") ? "2001:db8:1::2" : "203.0.113.2", dst, dport, proto);
const inside = (dst: string, dport: number): Packet => from("eth1", "10.99.0.2", dst, dport);
const hostTo = (src: string, dst: string, dport: number): Packet => from(undefined, src, dst, dport);

type Probe = readonly [what: string, packet: Packet, open: boolean];

const DOCKER: readonly Probe[] = [
  ["8080 published", outside("203.0.113.1", 8080), true],
  ["9080 published twice", outside("203.0.113.1", 9080), true],
  ["8443 of another container", outside("203.0.113.1", 8443), true],
  ["8080 of IPv6, by docker-proxy", outside("2001:db8:1::1", 8080), false],
  ["the container itself", outside("172.17.0.2", 80), false],
  ["a routed network", outside("172.26.0.10", 80), true],
  ["8080 from inside", inside("10.99.0.1", 8080), true],
  ["the host to loopback", hostTo("127.0.0.1", "127.0.0.1", 8080), true],
  ["the host to its address", hostTo("203.0.113.1", "203.0.113.1", 8080), true],
  ["the host to the container", hostTo("172.17.0.1", "172.17.0.2", 80), true],
  ["another network to the published port", from("br-app", "172.30.0.10", "203.0.113.1", 8080), true],
  ["egress", from("docker0", "172.17.0.2", "203.0.113.2", 8000), true],
  ["egress to the number of a published port", from("docker0", "172.17.0.2", "203.0.113.2", 8080), true],
  ["routed, not Docker's", inside("203.0.113.2", 8000), true],
];

const CAPTURES: Readonly<Record<string, readonly Probe[]>> = {
  "plain-docker-29.7-nft": DOCKER,
  "ufw-routed-docker-29.7-nft": DOCKER,
  firewalld: [
    ["22 from outside", outside("203.0.113.1", 22), true],
    ["22 from inside", inside("10.99.0.1", 22), true],
    ["80 from outside", outside("203.0.113.1", 80), true],
    ["80 from inside", inside("10.99.0.1", 80), false],
    ["25 from outside", outside("203.0.113.1", 25), false],
    ["25 from inside", inside("10.99.0.1", 25), false],
    ["8443, a forward-port", outside("203.0.113.1", 8443), true],
    ["routed to inside", outside("10.99.0.2", 443), false],
  ],
  "podman-netavark-nft": [
    ["8080", outside("203.0.113.1", 8080), true],
    ["8090", outside("203.0.113.1", 8090), true],
    ["9090, published on loopback", outside("203.0.113.1", 9090), false],
    ["8090 at another address", outside("10.99.0.1", 8090), false],
    ["a container itself", outside("10.88.0.2", 80), true],
    ["a container of another network", outside("172.30.0.10", 80), true],
    // Not 172.31.0.2:80, an internal network: its container has no route for replies, which no rule shows.
  ],
};

describe.skipIf(!here)(
  `captures of hosts with nftables${here ? "" : " (skipped: ../shared is missing)"}`,
  () => {
    for (const [name, probes] of Object.entries(CAPTURES)) {
      const { rulesets, host } = here ? capture(name) : { rulesets: [], host: undefined! };
      test.each(probes)(`${name}: %s`, (_, packet, open) => {
        const { verdict } = simulate(rulesets, host, packet);
        expect(verdict === "reject" ? "drop" : verdict).toBe(open ? "accept" : "drop");
      });
    }
  },
);
