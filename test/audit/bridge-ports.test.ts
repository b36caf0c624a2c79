/** Container bridges with ports that belong to no container: packets that arrive on such a port are outside traffic. */
import { audit, fix, fixJson, simulate } from "fwcheck";
import { describe, expect, test } from "vitest";
import { parseAddress } from "../../lib/packet/address.ts";
import { rulesetsOf } from "../builders.ts";
import { audited, type Layout, read } from "./layout.ts";

const CONTAINER = { bridge: "docker0", kind: "veth" } as const;
const NIC = { bridge: "docker0" } as const;
const shared = (calls: 0 | 1 | undefined, ports: Layout["ports"] = {}): Layout => ({
  ports: { veth0a1b2c3: CONTAINER, eth1: NIC, ...ports },
  ...(calls === undefined ? {} : { calls }),
});
const ids = (layout: Layout): string[] => audited(layout).findings.map((f) => f.id);
const INGRESS = "ingress-bypass/4/tcp/any/8080";

describe("a physical port of a bridge with br_netfilter", () => {
  const { findings } = audited(shared(1));

  test("is outside: packets from it to containers and through the host make findings", () => {
    expect(findings.map((f) => [f.id, f.in, f.by[0]?.ports, f.certainty])).toEqual([
      [INGRESS, ["eth0"], undefined, "must"],
      ["forward-bypass/4/tcp/eth0/any", ["docker0"], ["eth1"], "must"],
      ["direct-bypass/4/tcp/172.17.0.2/80", ["docker0"], ["eth1"], "must"],
      ["direct-bypass/4/tcp/docker0/any", ["docker0"], ["eth1"], "must"],
    ]);
    expect(findings.at(-1)!.witness).toMatchObject({ in: "eth1" });
  });

  test("is closed by the fix, and packets of the bridge's containers still pass", () => {
    const { rulesets, host } = read(shared(1));
    const result = fix(rulesets, host);
    expect([result.left, result.holds]).toEqual([[], true]);
    expect(result.rules4).toContain("-A FWCHECK -i docker0 -m physdev ! --physdev-in eth1 -j RETURN");
    const fixed = rulesetsOf(result.saved);
    expect(audit(fixed, host).findings).toEqual([]);
    const frame = { family: 4, src: address("172.17.0.9"), dst: address("172.17.0.2"), proto: 6 } as const;
    const verdict = (input: string) =>
      simulate(fixed, host, { ...frame, in: input, sport: 40000, dport: 5432 }).verdict;
    expect([verdict("eth1"), verdict("veth0a1b2c3")]).toEqual(["drop", "accept"]);
  });
});

const address = (text: string): number => parseAddress(text, 4) as number;

describe.each([
  ["is set not to call iptables", 0],
  ["cannot call iptables since br_netfilter is not loaded", undefined],
] as const)("a physical port of a bridge that %s", (_, calls) => {
  test("is outside: frames pass no rule, and the owner's FORWARD would drop them", () => {
    const { findings } = audited(shared(calls));
    expect(findings.map((f) => f.id)).toEqual([
      INGRESS,
      "forward-bypass/4/tcp/eth0/eth1",
      "direct-bypass/4/tcp/docker0/eth1",
    ]);
    const [, , frames] = findings;
    expect([frames!.certainty, frames!.actual, frames!.intended.verdict]).toEqual([
      "must",
      {
        verdict: "accept",
        rule: { code: "outside-rules", reason: { code: "bridged-past-iptables" } },
        path: [],
      },
      "drop",
    ]);
  });

  test("is named as left open, and the rest is closed", () => {
    const { rulesets, host } = read(shared(calls));
    const { failed, holds, proof } = fixJson(fix(rulesets, host));
    expect(holds).toBe(true);
    expect(proof.closed).toEqual([INGRESS]);
    expect(failed).toHaveLength(2);
    for (const text of failed) expect(text).toMatch(/eth1.*set net\.bridge\.bridge-nf-call-iptables to 1/);
  });
});

test("no rule distinguishes frames between two such ports: the fix names them as left open", () => {
  const { rulesets, host } = read(shared(1, { tap0: { bridge: "docker0", kind: "tun" } }));
  const { failed, holds, rules4 } = fixJson(fix(rulesets, host));
  expect(holds).toBe(true);
  expect(failed.join("\n")).toContain("several ports that belong to no container (eth1, tap0)");
  expect(rules4).toContain("-A FWCHECK -i docker0 -j RETURN");
});

// One line for each port: name, kind, outside or not.
test.each<[name: string, kind: string | undefined, outside: boolean]>([
  ["enp3s0", undefined, true],
  ["wlan0", undefined, true],
  ["eth0.10", "vlan", true],
  ["bond0", "bond", true],
  ["vnet3", "tun", true],
  ["vxlan7", "vxlan", true],
  ["vethAb3dE9", "veth", true],
  ["veth1a2b3c4d", "veth", true],
  ["lan", "veth", true],
  ["veth1a2b3c4", "veth", false],
  ["veth1a2b3c4", "tun", true],
  ["dummy0", "dummy", false],
])("port %s of kind %s", (name, kind, outside) => {
  const port = kind === undefined ? NIC : { bridge: "docker0", kind };
  expect(ids({ ports: { veth0a1b2c3: CONTAINER, [name]: port }, calls: 1 }).length > 1).toBe(outside);
});

test("a port that its bridge does not forward from makes possible findings only", () => {
  const { findings } = audited({ ports: { eth1: { ...NIC, state: "disabled" } }, calls: 1 });
  expect(findings.map((f) => [f.in, f.certainty])).toEqual([
    [["eth0"], "must"],
    [["docker0"], "may"],
    [["docker0"], "may"],
    [["docker0"], "may"],
  ]);
});

test("the owner's INPUT matches the name of the bridge, not the name of its port", () => {
  const input = ["-i docker0 -p tcp -m tcp --dport 9000 -j ACCEPT"];
  const nets: Layout["nets"] = [
    { bridge: "docker0", prefix: "172.17.0" },
    { bridge: "br-x", prefix: "172.20.0", ports: { 9000: 90, 9001: 91 } },
  ];
  // Docker isolates networks from each other; the owner's rule accepts packets from docker0 into the other one.
  const before = ["-i docker0 -o br-x -j ACCEPT"];
  const { findings } = audited({ nets, input, before, ports: { eth1: NIC }, calls: 1 });
  const published = findings.filter((f) => f.kind === "ingress-bypass");
  expect(published.map((f) => [f.listen?.port, f.in])).toEqual([
    [9000, ["eth0"]],
    [9001, ["eth0", "docker0"]],
  ]);
});
