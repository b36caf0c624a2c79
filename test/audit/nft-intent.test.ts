/** Intent in nftables: accepts of the owner at the forward hook, engines by their tables, translations by maps. */
import { type AuditJson, readHost, readRuleset } from "fwcheck";
import { describe, expect, test } from "vitest";
import { auditOf } from "./json.ts";

const source = (name: string, value: unknown) => [{ name, text: JSON.stringify(value) }];
const address = (ifname: string, local: string, prefixlen: number) => ({
  ifname,
  flags: ["UP"],
  addr_info: [{ family: "inet", local, prefixlen, scope: "global" }],
});

const BRIDGES = `table ip docker-bridges {
	chain filter-FORWARD {
		type filter hook forward priority filter; policy accept;
		oifname "docker0" jump filter-forward-in__docker0
	}
	chain nat-PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local jump nat-prerouting-and-output
	}
	chain nat-prerouting-and-output {
		iifname != "docker0" tcp dport 8080 dnat to 172.17.0.2:80 comment "DNAT"
	}
	chain filter-forward-in__docker0 {
		ct state established,related accept
		ip daddr 172.17.0.2 tcp dport 80 accept
		drop
	}
}
`;

/** Rules of the owner: the input hook drops, the forward hook has these rules. */
const owner = (forward: readonly string[], policy = "drop", input: readonly string[] = []): string =>
  `table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
${input.map((rule) => `\t\t${rule}\n`).join("")}	}
	chain forward {
		type filter hook forward priority filter; policy ${policy};
		ct state established,related accept
${forward.map((rule) => `\t\t${rule}\n`).join("")}	}
	chain named {
		ip saddr 203.0.113.0/24 accept
	}
}
`;

/** @param docker output of engines; with it, the host has no bridge of Docker */
function audited(rules: string, docker: readonly unknown[] = []): AuditJson {
  const { rulesets, diagnostics } = readRuleset([{ name: "nft.txt", text: rules, complete: true }]);
  expect(diagnostics).toEqual([]);
  const host = readHost(
    {
      addr: source("addr", [
        address("eth0", "203.0.113.1", 24),
        ...(docker.length === 0 ? [address("docker0", "172.17.0.1", 16)] : []),
        address("podman0", "10.88.0.1", 16),
      ]),
      ...(docker.length === 0 ? {} : { docker: source("inspect", docker) }),
      complete: true,
    },
    rulesets,
  );
  return auditOf(rulesets, host);
}

const ids = ({ findings }: AuditJson): string[] => findings.map(({ id }) => id);

describe("an accept of the owner at the forward hook", () => {
  test.each([
    ["by host and port", ["ip daddr 172.17.0.2 tcp dport 80 accept"]],
    ["by port", ["tcp dport 80 accept"]],
    ["by several ports", ["tcp dport { 80, 443 } accept"]],
    ["by host", ["ip daddr 172.17.0.2 accept"]],
    ["by the port before translation", ["ct original proto-dst 8080 accept"]],
    ["in a verdict map", ["tcp dport vmap { 80 : accept, 22 : drop }"]],
    ["in a concatenation", ["ip daddr . tcp dport { 172.17.0.2 . 80 } accept"]],
  ])("%s overrides the input hook", (_, forward) => {
    const result = audited(owner(forward) + BRIDGES);
    expect(result.exposures.map(({ listen }) => listen.port)).toEqual([8080]);
    expect(ids(result)).toEqual([]);
  });

  test("in a chain that only a rule with the port calls lets in its sources alone", () => {
    const [finding, ...others] = audited(
      owner(["tcp dport 80 jump named", "ct status dnat accept"]) + BRIDGES,
    ).findings;
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ id: "ingress-bypass/4/tcp/any/8080", certainty: "must" });
    expect(JSON.stringify(finding!.permitted)).toContain("203.0.113.0/24");
  });

  test.each([
    ["by translation", ["ct status dnat accept"]],
    ["by interface", ['oifname "docker0" accept']],
    ["by the network of the bridge", ["ip daddr 172.17.0.0/16 accept"]],
    ["by source", ["ip saddr 203.0.113.0/24 accept"]],
    ["of all other ports", ["tcp dport != 22 accept"]],
    ["of all high and low ports", ["tcp dport 1-65535 accept"]],
    ["of many ranges of ports", ["tcp dport { 1-700, 800-1500, 2000-2999 } accept"]],
    ["in a chain that another rule calls, too", ["tcp dport 80 jump named", "jump named"]],
    ["after one that accepts first", ["ct status dnat accept", "tcp dport 80 accept"]],
  ])("%s names no destination: the port is open although input blocks it", (_, forward) => {
    expect(ids(audited(owner(forward) + BRIDGES))).toEqual(["ingress-bypass/4/tcp/any/8080"]);
  });

  test("a drop is final, whatever Docker's table accepts", () => {
    const result = audited(owner(["tcp dport 443 accept"]) + BRIDGES);
    expect([result.exposures, ids(result)]).toEqual([[], []]);
  });
});

describe("an accept of the owner at the input hook", () => {
  const allow = ["ip saddr 203.0.113.0/24 tcp dport 8080 accept"];

  test("has no effect where the owner's forward hook drops the translated packets", () => {
    const result = audited(owner([], "drop", allow) + BRIDGES);
    expect(result.exposures).toEqual([]);
    const [finding, ...others] = result.findings;
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      id: "ineffective-allow/4/tcp/any/8080",
      certainty: "must",
      intended: { verdict: "accept" },
      actual: { verdict: "drop", rule: { table: "inet filter", chain: "forward" } },
      witness: { dst: "203.0.113.1", dport: 8080 },
    });
    expect(JSON.stringify(finding!.by)).toContain("203.0.113.0/24");
  });

  test.each([
    ["that names no port", ["ip saddr 203.0.113.0/24 accept"]],
    ["of another port", ["tcp dport 22 accept"]],
  ])("%s is about the host alone", (_, input) => {
    expect(ids(audited(owner([], "drop", input) + BRIDGES))).toEqual([]);
  });

  test("works where the forward hook accepts", () => {
    const [finding] = audited(owner([], "accept", allow) + BRIDGES).findings;
    expect(finding).toMatchObject({ id: "ingress-bypass/4/tcp/any/8080" });
    expect(JSON.stringify(finding!.permitted)).toContain("203.0.113.0/24");
  });
});

describe("translations", () => {
  const nat = (rule: string, more = "") =>
    `table inet netavark {\n${more}\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\t${rule}\n\t}\n}\n`;
  const open = (rules: string): string[] =>
    audited(owner([], "accept") + rules)
      .exposures.filter(({ means }) => means === "dnat")
      .map(
        ({ endpoint, listen, proto }) =>
          `${listen.address ?? "*"}:${listen.port}/${proto} ${endpoint.ip}:${endpoint.port}`,
      )
      .sort();

  test.each([
    [
      "a map from ports to addresses",
      "dnat ip to tcp dport map { 8080 : 10.88.0.2, 8081 : 10.88.0.3 }",
      ["*:8080/tcp 10.88.0.2:null", "*:8081/tcp 10.88.0.3:null"],
    ],
    [
      "two protocols in one rule",
      "meta l4proto { tcp, udp } th dport 53 dnat ip to 10.88.0.2:5353",
      ["*:53/tcp 10.88.0.2:5353", "*:53/udp 10.88.0.2:5353"],
    ],
    [
      "several ports in one rule",
      "tcp dport { 80, 443 } dnat ip to 10.88.0.2:8000",
      ["*:443/tcp 10.88.0.2:8000", "*:80/tcp 10.88.0.2:8000"],
    ],
    [
      "one address of the host",
      "ip daddr 203.0.113.1 tcp dport 8090 dnat ip to 10.88.0.2:80",
      ["203.0.113.1:8090/tcp 10.88.0.2:80"],
    ],
  ])("%s", (_, rule, expected) => {
    expect(open(nat(rule))).toEqual(expected);
  });

  test("the same table of another name is the owner's own forwarding", () => {
    const mine = nat("tcp dport 8080 dnat ip to 10.88.0.2:80").replace("netavark", "mine");
    expect(ids(audited(owner([], "accept") + mine))).toEqual([]);
  });
});

describe("Podman", () => {
  const container = {
    Id: "c",
    Name: "web\u001b[2J",
    OCIRuntime: "crun",
    HostConfig: { NetworkMode: "bridge" },
    NetworkSettings: {
      Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }] },
      Networks: { podman: { IPAddress: "10.88.0.2" } },
    },
  };
  const network = {
    name: "podman",
    id: "n",
    driver: "bridge",
    network_interface: "podman0",
    subnets: [{ subnet: "10.88.0.0/16" }],
    internal: false,
  };

  test("containers are named, and Docker is no engine of the host", () => {
    const rules = `table inet netavark {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 8080 dnat ip to 10.88.0.2:80
	}
}
`;
    const result = audited(owner([], "accept") + rules, [container, network]);
    expect(result.findings[0]).toMatchObject({
      id: "ingress-bypass/4/tcp/any/8080",
      container: { name: "web\u001b[2J", ip: "10.88.0.2", port: 80 },
    });
    expect(result.looked).toMatchObject({ containers: 1, published: 1 });
    expect(result.inconclusive.join()).not.toMatch(/Docker/);
  });

  test("without netavark's rules the exposure of its ports is unknown", () => {
    const result = audited(owner([], "accept"), [container, network]);
    expect(result.doubts.map(({ code }) => code)).toEqual(
      expect.arrayContaining(["no-docker-chain", "port-without-rule"]),
    );
    expect(result.inconclusive.join("\n")).toMatch(/^containers of Podman publish ports/m);
    expect(result.inconclusive.join("\n")).toMatch(/^Podman publishes port 8080/m);
  });
});

describe("what engines wrote", () => {
  const codes = ({ lint }: AuditJson): string[] => lint.map(({ kind }) => kind);
  const open = owner([], "accept");

  test("a whole table of Docker has no lint", () => {
    expect(codes(audited(open + BRIDGES))).toEqual([]);
  });

  test("flush ruleset tears it: a restarted container adds chains that no hook reaches", () => {
    const torn = BRIDGES.replace(/^\t\ttype .*\n/gm, "");
    const result = audited(open + torn);
    expect(result.lint).toMatchObject([
      {
        kind: "engine-table-torn",
        table: "ip docker-bridges",
        chains: ["nat-prerouting-and-output", "filter-forward-in__docker0"],
        rule: null,
      },
    ]);
    expect(result.exposures).toEqual([]);
  });

  test.each([
    ["called", true],
    ["not called", false],
  ])("rules of DOCKER-USER that are %s beside Docker's table", (_, called) => {
    const left = `table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy accept;
${called ? "\t\tjump DOCKER-USER\n" : ""}	}
	chain DOCKER-USER {
		ip saddr 198.51.100.0/24 drop
		return
	}
}
`;
    expect(audited(open + left + BRIDGES).lint).toMatchObject([{ kind: "docker-user-left-behind", called }]);
  });

  test("containers that the forward hook cuts off are noted, with the bridge", () => {
    const cut = (rules: readonly string[]): AuditJson["notes"] =>
      audited(owner(rules) + BRIDGES).notes.filter((n) => n.code === "egress-cut" && n.bridge === "docker0");
    expect(cut([])).toMatchObject([{ family: 4, bridge: "docker0" }]);
    expect(cut(['iifname "docker0" accept'])).toEqual([]);
  });
});
