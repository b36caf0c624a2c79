/** Host state, read from files and inferred. */
import { readHost, readSnapshot, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";
import { rulesetsOf, synOf } from "../builders.ts";

describe("ipset save", () => {
  const banned = rulesetsOf(
    "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m set --match-set bad src -j DROP\nCOMMIT\n",
  );
  const from = (src: string, ipset?: string) => {
    const sources = ipset === undefined ? {} : { ipset: [{ name: "ipset", text: ipset }] };
    const it = synOf({ in: "eth0", src, dst: "192.0.2.1", dport: 80 });
    return new Simulator(banned, readHost(sources, banned, [it])).packet(it).verdict;
  };
  test("members are what the set says", () => {
    const text =
      "create bad hash:net family inet hashsize 1024 maxelem 65536\nadd bad 198.51.100.0/24\nadd bad 198.51.100.7 nomatch\n";
    expect([from("198.51.100.9", text), from("198.51.100.7", text), from("203.0.113.9", text)]).toEqual([
      "drop",
      "accept",
      "accept",
    ]);
  });
  test("a set that is not given is not guessed", () => {
    expect(from("198.51.100.9")).toBe("undecided");
  });
  test("a line that cannot be read is said", () => {
    const host = readHost({ ipset: [{ name: "sets", text: "create bad hash:frob\n" }] }, banned);
    expect(host.diagnostics).toMatchObject([{ source: "sets", line: 1, severity: "error" }]);
  });
});

describe("missing data is inferred, and named", () => {
  const docker = rulesetsOf(
    "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n" +
      "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n",
  );
  const host = readHost({}, docker, [
    synOf({ in: "ens3", src: "198.51.100.7", dst: "203.0.113.5", dport: 8080 }),
  ]);
  test("container bridges and their subnets", () => {
    expect(host.bridges).toEqual(["docker0"]);
    expect(host.inferences).toContainEqual({
      code: "bridge-subnet",
      bridge: "docker0",
      subnet: "172.17.0.0/16",
      source: "masquerade-rule",
      address: "172.17.0.1",
    });
  });
  test("container bridges that only Docker's table of nftables names", () => {
    const { bridges, inferences } = readHost(
      {},
      rulesetsOf(`table ip docker-bridges {
	chain filter-forward-in__br-app {
		ip daddr 172.30.0.10 tcp dport 80 counter packets 0 bytes 0 accept
	}
	chain filter-forward-in__br-rt {
		ip daddr 172.26.0.10 tcp dport 80 counter packets 0 bytes 0 accept
		counter packets 0 bytes 0 drop comment "UNPUBLISHED PORT DROP"
	}
	chain nat-postrouting-out__br-app {
		oifname != "br-app" ip saddr 172.30.0.0/24 counter packets 0 bytes 0 masquerade comment "MASQUERADE"
	}
}
`),
    );
    expect(bridges).toEqual(["br-app", "br-rt"]);
    expect(inferences).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ code: "bridge-subnet", bridge: "br-app", subnet: "172.30.0.0/24" }),
        { code: "bridge-without-subnet", bridge: "br-rt", containers: ["172.26.0.10/32"] },
      ]),
    );
  });
  test("the host's own address, from the packet that arrives for it", () => {
    expect(host.inferences).toContainEqual({
      code: "own-address",
      address: "203.0.113.5",
      interface: "ens3",
    });
    const answer = new Simulator(docker, host).packet(
      synOf({ in: "ens3", src: "198.51.100.7", dst: "203.0.113.5", dport: 8080 }),
    );
    expect([answer.verdict, answer.out, answer.sent?.dst]).toEqual(["accept", "docker0", "172.17.0.2"]);
  });
  test("egress takes the default route and is masqueraded", () => {
    const answer = new Simulator(docker, host).packet(
      synOf({ in: "docker0", src: "172.17.0.2", dst: "198.51.100.7", dport: 443 }),
    );
    expect([answer.out, answer.sent?.src]).toEqual(["ens3", "192.0.2.1"]);
  });
});

describe("the way to the world where neither addresses nor routes were given", () => {
  const dump = (nat: readonly string[], filter: readonly string[] = []) =>
    rulesetsOf(
      [
        ...["*filter", ":INPUT DROP", ":FORWARD DROP", ":ufw-user-input -"],
        // The first interface that the rules name is that of the local network.
        ...["-A INPUT -i eth1 -p tcp --dport 22 -j ACCEPT", ...filter, "COMMIT"],
        ...["*nat", ":PREROUTING ACCEPT", ":POSTROUTING ACCEPT", ...nat, "COMMIT", ""],
      ].join("\n"),
    );

  // One line a case: what names the uplink, the rules of nat and of filter.
  test.each<[string, string[], string[]?]>([
    ["MASQUERADE", ["-A POSTROUTING -o ens3 -j MASQUERADE"]],
    ["SNAT", ["-A POSTROUTING -s 10.0.0.0/8 -o ens3 -j SNAT --to-source 203.0.113.1"]],
    ["a DNAT of the owner's", ["-A PREROUTING -i ens3 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.2"]],
    ["ufw", [], ["-A ufw-user-input -i ens3 -p tcp --dport 443 -j ACCEPT"]],
    // What leaves by a tunnel is translated, too, and the tunnel needs a way of its own.
    [
      "MASQUERADE beside a VPN's",
      ["-A POSTROUTING -o wg0 -j MASQUERADE", "-A POSTROUTING -o ens3 -j MASQUERADE"],
    ],
  ])("is what %s names", (_, nat, filter) => {
    const host = readHost({}, dump(nat, filter));
    expect(host.routes.filter((r) => r.to.mask === 0).map((r) => r.dev)).toEqual(["ens3"]);
    expect(host.interfaces.find((i) => i.name === "ens3")?.addresses).toMatchObject([{ invented: true }]);
  });

  test("is the first that the rules name where nothing says more", () => {
    const [route] = readHost({}, dump([])).routes.filter((r) => r.to.mask === 0);
    expect(route?.dev).toBe("eth1");
  });

  test("is named by the rules where the addresses were given and the routes were not", () => {
    const addr = [{ name: "addr", text: JSON.stringify([{ ifname: "eth1" }, { ifname: "ens3" }]) }];
    const host = readHost({ addr }, dump(["-A POSTROUTING -o ens3 -j MASQUERADE"]));
    expect(host.routes.filter((r) => r.to.mask === 0).map((r) => r.dev)).toEqual(["ens3"]);
  });
});

test("a snapshot identifies a team by `ip -d link`, and the family of policy routing rules by their command", () => {
  const part = (title: string, of: object[], kind = title.split(" ").at(-1)!) =>
    `B begin ${kind} ${title}\n${JSON.stringify(of)}\nB end 0\n`;
  const local = { priority: 0, src: "all", table: "local" };
  const text = [
    "fwcheck-snapshot 1 B\n",
    part("ip -j addr", [
      { ifname: "team0", addr_info: [{ family: "inet", local: "192.0.2.1", prefixlen: 24 }] },
    ]),
    part("ip -d -j link", [{ ifname: "team0", linkinfo: { info_kind: "team" } }]),
    part("ip -j -4 rule", [local]),
    part("ip -j -6 rule", [local]),
    "B done\n",
  ].join("");
  const host = readHost(readSnapshot({ name: "snapshot", text }).sources, []);
  expect(host.interfaces).toMatchObject([{ name: "team0", masters: "bond", addresses: [{ family: 4 }] }]);
  expect(host.rules?.map((r) => r.family)).toEqual([4, 6]);
});
