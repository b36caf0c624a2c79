/** Hosts with Docker networks in all modes, swarms, VPNs and ban lists, each with exactly the expected findings. */

import { existsSync, readFileSync } from "node:fs";
import { auditText, readHost } from "fwcheck";
import { describe, expect, test } from "vitest";
import { rulesetsOf } from "../builders.ts";
import { shared } from "../capture.ts";
import { auditOf } from "./json.ts";
import { ALLOW, audited, jail, LAYOUTS, type Layout, lines, save } from "./layout.ts";

const SWARM = `${shared}rulesets/moby-swarm-dind__docker29__host-netns.iptables-save.txt`;

const ports = (layout: Parameters<typeof audited>[0]): string[] =>
  audited(layout).exposures.map((e) => `${e.means} ${e.listen.address ?? "any"}:${e.listen.port} ${e.from}`);

describe("networks by the mode of their gateway", () => {
  test("routed: published at the container's own address, with ICMP", () => {
    expect(ports(LAYOUTS.routed)).toEqual(["routed 172.20.0.2:80 everyone"]);
    expect(lines(audited(LAYOUTS.routed))).toEqual([
      "direct-bypass/4/tcp/172.20.0.2/80: everyone",
      "direct-bypass/4/icmp/br-x/any: everyone: icmp to any container on br-x (routed)",
    ]);
    // The intent is the verdict of FORWARD: if it accepts routed packets, there is no finding.
    expect(lines(audited({ ...LAYOUTS.routed, policy: { FORWARD: "ACCEPT" } }))).toEqual([]);
  });

  test("nat-unprotected: every port of every container is reached, published or not", () => {
    expect(lines(audited(LAYOUTS["nat-unprotected"]))).toEqual([
      "ingress-bypass/4/tcp/any/8080: everyone",
      "direct-bypass/4/tcp/br-x/any: everyone: anything to any container on br-x (nat-unprotected)",
    ]);
  });

  test("internal: closed, with a note", () => {
    const result = audited(LAYOUTS.internal);
    expect([lines(result), result.exposures, result.remarks]).toEqual([
      [],
      [],
      [
        "a network (br-x, 172.20.0.0/24) is internal and closed: nothing from outside gets in, nothing gets out",
      ],
    ]);
    // Rules before Docker's open it all the same, and they are the owner's intent.
    const opened = audited({ ...LAYOUTS.internal, before: ["-i eth0 -o br-x -j ACCEPT"] });
    expect([lines(opened), opened.remarks]).toEqual([
      [],
      ["a network (br-x, 172.20.0.0/24) is internal, and yet packets from outside get in"],
    ]);
  });
});

describe("a swarm's ingress", () => {
  const { swarm } = LAYOUTS;

  test("is a published port, and its rule forwards that port to any address", () => {
    expect(ports(swarm)).toEqual(["ingress any:3000 everyone"]);
    expect(lines(audited(swarm))).toEqual([
      "ingress-bypass/4/tcp/any/3000: everyone",
      "forward-bypass/4/tcp/eth0/any: everyone: tcp 3000 out of eth0",
      "forward-bypass/4/tcp/eth1/any: everyone: tcp 3000 out of eth1",
      "direct-bypass/4/tcp/docker_gwbridge/any: everyone: tcp 3000 to any container on docker_gwbridge",
    ]);
  });

  test("is named by the network's list of endpoints, else as swarm ingress", () => {
    const name = (docker?: unknown) =>
      audited({ ...swarm, ...(docker === undefined ? {} : { docker }) }).exposures[0]!.endpoint.name;
    expect(name()).toBe("swarm ingress");
    const gateway = {
      Name: "docker_gwbridge",
      Id: "1",
      Driver: "bridge",
      IPAM: { Config: [{ Subnet: "172.19.0.0/24" }] },
      Options: { "com.docker.network.bridge.name": "docker_gwbridge" },
      Containers: { "ingress-sbox": { Name: "gateway_ingress-sbox", IPv4Address: "172.19.0.2/24" } },
    };
    expect(name([gateway])).toBe("gateway_ingress-sbox");
  });

  test("has no finding if the firewall allows the port and forwarding", () => {
    const layout = {
      ...swarm,
      input: ["-p tcp -m tcp --dport 3000 -j ACCEPT"],
      policy: { FORWARD: "ACCEPT" },
    } as const;
    expect(lines(audited(layout))).toEqual([]);
  });

  test.runIf(existsSync(SWARM))("a real one's rules are all Docker's own", () => {
    const text = readFileSync(SWARM, "utf8").replace(/:(INPUT|FORWARD) ACCEPT/g, ":$1 DROP");
    const rulesets = rulesetsOf(text);
    const host = readHost({ complete: true }, rulesets);
    const ids = auditOf(rulesets, host).findings.map((f) => f.id);
    expect(ids).toEqual(
      expect.arrayContaining(["ingress-bypass/4/tcp/any/3000", "ingress-bypass/4/udp/any/3001"]),
    );
  });
});

describe("several interfaces to the outside", () => {
  test("sources are listed by interface if they differ", () => {
    const layout = LAYOUTS["several interfaces"];
    const [found] = audited(layout).findings;
    expect([found!.in, found!.by, found!.allowed]).toMatchObject([
      ["eth0", "eth1"],
      [
        { in: ["eth0"], from: "everyone" },
        { in: ["eth1"], from: "everyone but 10.99.0.0/24" },
      ],
      "everyone via eth2; 10.99.0.0/24 via eth1",
    ]);
    expect(auditText(audited(layout))).toContain(
      "gets through: everyone via eth0; everyone but 10.99.0.0/24 via",
    );
  });
});

describe("VPN chains before DOCKER-USER", () => {
  test("Tailscale accepts before DOCKER-USER: the lint names it", () => {
    const first = audited(LAYOUTS["Tailscale first"]);
    expect(first.lint.map((l) => [l.kind, l.message.split(" precedes ")[0]])).toEqual([
      ["docker-user-not-first", "Tailscale's chain ts-forward"],
    ]);
    expect(audited(LAYOUTS["Tailscale behind"]).lint).toEqual([]);
    // The owner's ts-input accepts packets from the tunnel; only the others bypass the intent.
    expect(first.findings.map((f) => [f.id, f.in])).toEqual([["ingress-bypass/4/tcp/any/8080", ["eth0"]]]);
  });
  test("a rule for WireGuard, and every similar rule", () => {
    const wireguard = audited(LAYOUTS.WireGuard);
    expect(wireguard.lint.map((l) => [l.kind, l.rule?.rule])).toEqual([
      ["docker-user-not-first", 1],
      ["docker-user-not-first", 2],
    ]);
  });
});

describe("bans that never reach containers", () => {
  const bansAndLint = (layout: Parameters<typeof audited>[0]) => {
    const { findings, lint } = audited(layout);
    const bans = findings.map(({ bans }) => ({ by: bans?.by, from: bans?.from, only: bans?.only }));
    return [
      findings.map((f, i) => [f.from, f.certainty, bans[i]]),
      lint.map((l) => `${l.kind} ${l.rule?.rule}`),
    ];
  };

  test("fail2ban: names the banned sources", () => {
    const layout = LAYOUTS.fail2ban;
    const banned = { by: ["fail2ban (f2b-recidive)"], from: "192.0.2.9", only: true };
    expect(bansAndLint(layout)).toEqual([[["192.0.2.9", "must", banned]], ["ban-misses-containers 2"]]);
    expect(auditText(audited(layout))).toContain("Banned sources still reach a published port");
  });
  test("a jail that is empty, or for other ports", () => {
    const chains = { "f2b-recidive": jail(), "f2b-sshd": jail("192.0.2.7") };
    const input = ["-p tcp -m multiport --dports 22 -j f2b-sshd", "-p tcp -j f2b-recidive", ALLOW];
    expect(bansAndLint({ input, chains })).toEqual([[], ["ban-misses-containers 3"]]);
  });
  test("a ban and other denies are separate", () => {
    const input = ["-p tcp -j f2b-recidive", "-s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j ACCEPT"];
    const [found] = audited({ input, chains: { "f2b-recidive": jail("192.0.2.9") } }).findings;
    expect([found!.from, found!.bans]).toMatchObject([
      "everyone but 192.0.2.0-192.0.2.8, 192.0.2.10-192.0.2.255",
      { by: ["fail2ban (f2b-recidive)"], from: "192.0.2.9", only: false },
    ]);
    expect("text" in found!.intended.rule).toBe(false); // The policy decides most of these packets.
  });
  test("CrowdSec, without and with its list", () => {
    const input = ["-j CROWDSEC_CHAIN", ALLOW];
    const chains = { CROWDSEC_CHAIN: ["-m set --match-set crowdsec-blacklists-0 src -j DROP"] };
    const by = ["CrowdSec (CROWDSEC_CHAIN)"];
    const unknown = "the members of the list";
    expect(bansAndLint({ input, chains })[0]).toEqual([[unknown, "may", { by, from: unknown, only: true }]]);
    const ipset =
      "create crowdsec-blacklists-0 hash:net family inet\nadd crowdsec-blacklists-0 198.51.100.0/24\n";
    expect(bansAndLint({ input, chains, ipset })[0]).toEqual([
      ["198.51.100.0/24", "must", { by, from: "198.51.100.0/24", only: true }],
    ]);
  });
  test("a blocklist of ipset", () => {
    const ipset = "create blocklist hash:ip family inet\nadd blocklist 192.0.2.66\n";
    const input = ["-m set --match-set blocklist src -j DROP", ALLOW];
    const banned = { by: ["a blocklist (ipset blocklist)"], from: "192.0.2.66", only: true };
    expect(bansAndLint({ input, ipset })).toEqual([
      [["192.0.2.66", "must", banned]],
      ["ban-misses-containers 2"],
    ]);
  });
  test("a list that DOCKER-USER also evaluates gives no lint", () => {
    const input = ["-p tcp -j f2b-recidive", ALLOW];
    const chains = { "f2b-recidive": jail("192.0.2.9") };
    expect(bansAndLint({ input, chains, user: ["-j f2b-recidive"] })).toEqual([[], []]);
  });
});

describe("packets that a container sends", () => {
  test("are compared with OUTPUT, and described by protocol and destination", () => {
    expect(lines(audited(LAYOUTS["output denied"]))).toEqual([
      "egress-bypass/4/tcp/docker0/80: every container: anything to anywhere",
    ]);
  });
  test("packets to the host itself are not outwards, for any verdict of INPUT", () => {
    const rulesets = rulesetsOf(
      save({ policy: { FORWARD: "ACCEPT" } }).replace(
        "-A PREROUTING -m addrtype",
        "-A PREROUTING -p tcp -m tcp --dport 9999 -j DNAT --to-destination 198.51.100.9\n-A PREROUTING -m addrtype",
      ),
    );
    const host = readHost({ complete: true }, rulesets);
    expect(auditOf(rulesets, host).findings.filter((f) => f.kind === "egress-bypass")).toEqual([]);
  });
});

test("packets that a route rule allows and Docker drops first", () => {
  expect(lines(audited(LAYOUTS["route allowed"])).at(-1)).toMatch(/^ineffective-allow/);
});

describe("a route rule for a container whose direct packets Docker drops in table raw", () => {
  const layout = (port: number): Layout => ({
    behind: ["-j ufw-user-forward"],
    chains: {
      "ufw-user-input": [],
      "ufw-user-forward": [`-s 198.51.100.0/24 -d 172.17.0.2/32 -p tcp -m tcp --dport ${port} -j ACCEPT`],
    },
  });
  test("is effective if the port is published", () => {
    const kinds = audited(layout(80)).findings.map((f) => f.kind);
    expect(kinds).not.toContain("ineffective-allow");
  });
  test("is ineffective if it is not", () => {
    const kinds = audited(layout(443)).findings.map((f) => f.kind);
    expect(kinds).toContain("ineffective-allow");
  });
});

test("names the Compose project and service", () => {
  const container = {
    Name: "/shop-web-1",
    Config: { Labels: { "com.docker.compose.project": "shop", "com.docker.compose.service": "web" } },
    NetworkSettings: { Networks: { shop_default: { IPAddress: "172.17.0.2" } } },
  };
  const result = audited({ docker: [container] });
  expect(result.findings[0]!.container).toEqual({
    ip: "172.17.0.2",
    port: 80,
    name: "shop-web-1",
    project: "shop",
    service: "web",
  });
  expect(auditText(result)).toContain("shop-web-1 172.17.0.2:80 (shop/web)");
});

test("a long group is cut, with the number of omitted findings", () => {
  const ports = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [8000 + i, 80 + i]));
  const text = auditText(audited({ nets: [{ bridge: "docker0", prefix: "172.17.0", ports }] }));
  expect(text).toContain("1-30. Published ports are open although the firewall blocks them");
  expect(text).toContain("and 6 more, which --json lists");
  expect(text.split("\n").filter((line) => line.length > 80)).toEqual([]);
});
