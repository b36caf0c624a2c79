/** A fix closes every finding and changes nothing else: on the model as printed, and probe by probe. */
import {
  audit,
  fix,
  fixJson,
  fixText,
  type Host,
  type PacketJson,
  printRuleset,
  type Ruleset,
  Simulator,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { auditFamily } from "../../lib/audit/audit.ts";
import { restored } from "../../lib/fix/apply-restore.ts";
import { type Claim, prove } from "../../lib/fix/prove.ts";
import { passageKey } from "../../lib/fix/whole-passages.ts";
import { synOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";

const open = (rulesets: readonly Ruleset[], host: Host, json: PacketJson): boolean => {
  return new Simulator(rulesets, host).packet(synOf(json)).verdict === "accept";
};

// One line a probe: what it is, the packet, and whether it is open after the fix.
const AFTER: [string, PacketJson, boolean][] = [
  ["outside to a denied port", { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8080 }, false],
  [
    "outside to its second publish",
    { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 9080 },
    false,
  ],
  ["the LAN on the second NIC", { in: "eth1", src: "10.99.0.2", dst: "10.99.0.1", dport: 8080 }, false],
  ["by a VPN that nobody listed", { in: "wg7", src: "10.7.0.2", dst: "203.0.113.1", dport: 8080 }, false],
  [
    "a direct route to the container",
    { in: "eth0", src: "203.0.113.2", dst: "172.17.0.2", dport: 80 },
    false,
  ],
  [
    "the port on 127.0.0.1, by the container's address",
    { in: "eth0", src: "203.0.113.2", dst: "172.17.0.4", dport: 90 },
    false,
  ],
  ["the host itself, by loopback", { in: null, src: "127.0.0.1", dst: "127.0.0.1", dport: 8080 }, true],
  [
    "the host itself, by its address",
    { in: null, src: "203.0.113.1", dst: "203.0.113.1", dport: 8080 },
    true,
  ],
  ["the host to the container", { in: null, src: "172.17.0.1", dst: "172.17.0.2", dport: 80 }, true],
  ["container to container", { in: "docker0", src: "172.17.0.3", dst: "172.17.0.2", dport: 80 }, true],
  ["egress", { in: "docker0", src: "172.17.0.2", dst: "203.0.113.2", dport: 8000 }, true],
  [
    "egress to the published port's number",
    { in: "docker0", src: "172.17.0.2", dst: "203.0.113.2", dport: 8080 },
    true,
  ],
  ["ssh to the host", { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 22 }, true],
];

const apply = (rulesets: readonly Ruleset[], text: string) =>
  rulesets.map((r) => (r.family === 4 ? restored(r, text) : r));

const printed = (rulesets: readonly Ruleset[]): string => rulesets.map((r) => printRuleset(r)).join("");

describe.each(["20.10", "28.5"])("Docker %s", (version) => {
  const { rulesets, host } = capture(`${examples}ufw-docker-${version}`);
  describe.each(["auto", "internal-ip", "conntrack"] as const)("%s", (strategy) => {
    const result = fix(rulesets, host, { strategy });

    test("the proof holds and the audit of the fixed ruleset finds nothing", () => {
      expect(result.proof).toEqual({
        closed: audit(rulesets, host).findings.map((f) => f.id),
        remaining: [],
        changed: [],
      });
      expect(result.holds).toBe(true);
      expect(audit(apply(rulesets, result.restore), host).findings).toEqual([]);
    });
    test.each(AFTER)("%s", (_what, packet, expected) => {
      expect(open(apply(rulesets, result.restore), host, packet)).toBe(expected);
    });
    test("only its own chains and a jump from DOCKER-USER", () => {
      const lines = result.restore.trimEnd().split("\n");
      expect(lines.slice(3, 5)).toEqual(["*filter", ":FWCHECK - [0:0]"]);
      const rest = lines.slice(4, -1).filter((l) => !/^(:|-[AX] )FWCHECK(-\d+)?( |$)/.test(l));
      expect(rest).toEqual(["-I DOCKER-USER 1 -j FWCHECK"]);
    });
    test("where it is in force, it says so, and writes the same rules again", () => {
      const once = apply(rulesets, result.restore);
      const again = fix(once, host, { strategy });
      expect(again).toMatchObject({ rules4: result.rules4, holds: true, inForce: true });
      expect(result.inForce).toBe(false);
      expect(printed(apply(once, again.restore))).toBe(printed(once));
      // The first text again is refused as a whole, since it deletes a chain that is called by now.
      expect(printed(apply(once, result.restore))).toBe(printed(once));
      // The second one is refused where nothing calls the chain, as after a boot.
      expect(printed(apply(rulesets, again.restore))).toBe(printed(rulesets));
    });
  });
});

describe("the owner's own policy, not a fixed one", () => {
  const withUfw = (...rules: string[]) =>
    capture(`${examples}ufw-docker-20.10`, (save) =>
      save.replace(
        /(\[0:0\] -A ufw-user-input -p tcp -m tcp --dport 22 )/,
        `${rules.map((r) => `[0:0] ${r}\n`).join("")}$1`,
      ),
    );

  test("a network that ufw allows stays allowed, and only it", () => {
    const { rulesets, host } = withUfw(
      "-A ufw-user-input -s 198.51.100.0/24 -p tcp -m tcp --dport 8443 -j ACCEPT",
    );
    const result = fix(rulesets, host);
    expect(result.holds).toBe(true);
    expect(result.restore).toContain("-s 198.51.100.0/24");
    const after = apply(rulesets, result.restore);
    const to = { in: "eth0", dst: "203.0.113.1", dport: 8443 };
    expect(open(after, host, { ...to, src: "198.51.100.9" })).toBe(true);
    expect(open(after, host, { ...to, src: "203.0.113.2" })).toBe(false);
  });
  test("two publishes of one endpoint with different intents are distinguished by conntrack, and auto gives the reason", () => {
    const { rulesets, host } = withUfw("-A ufw-user-input -p tcp -m tcp --dport 9080 -j ACCEPT");
    const result = fix(rulesets, host);
    expect(result.holds).toBe(true);
    expect(result.choices.find((c) => c.endpoint.startsWith("web "))).toMatchObject({
      strategy: "conntrack",
    });
    const after = apply(rulesets, result.restore);
    expect(open(after, host, { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 9080 })).toBe(true);
    expect(open(after, host, { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8080 })).toBe(
      false,
    );
    const part = fix(rulesets, host, { strategy: "internal-ip" });
    expect(part.holds).toBe(true);
    expect(fixJson(part).failed.join()).toMatch(
      /web 172\.17\.0\.2:80\/tcp have different intents.*use --strategy conntrack/,
    );
    expect([...part.proof.remaining].sort()).toEqual(part.left.map(({ finding }) => finding).sort());
  });
  test("an interface that ufw allows stays allowed", () => {
    const { rulesets, host } = withUfw("-A ufw-user-input -i eth1 -p tcp -m tcp --dport 8443 -j ACCEPT");
    const result = fix(rulesets, host);
    expect(result.holds).toBe(true);
    const after = apply(rulesets, result.restore);
    expect(open(after, host, { in: "eth1", src: "10.99.0.2", dst: "10.99.0.1", dport: 8443 })).toBe(true);
    expect(open(after, host, { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8443 })).toBe(
      false,
    );
  });
  test("what ufw rejects is rejected", () => {
    const { rulesets, host } = withUfw(
      "-A ufw-user-input -p tcp -m tcp --dport 8443 -j REJECT --reject-with tcp-reset",
    );
    const result = fix(rulesets, host);
    expect(result.holds).toBe(true);
    expect(result.restore).toMatch(
      /--ctorigdstport 8443 --ctdir ORIGINAL -j REJECT --reject-with tcp-reset$/m,
    );
  });
});

describe("what stays open", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
  const v4 = rulesets.filter((r) => r.family === 4);

  test("a family that was not given is not fixed, and the first line says it", () => {
    const result = fix(v4, host);
    expect(result.families).toEqual({ ipv4: "closed", ipv6: "absent" });
    expect(result.rules4.length).toBeGreaterThan(0);
    expect(fixJson(result).failed.join()).toContain("there is no IPv6 ruleset among the inputs");
    expect(fixText(result).split("\n")[0]).toMatch(
      /^9 findings closed\. IPv6 is not fixed: .* Not settled: /,
    );
  });
  test("all that is open is closed, and the first line says no more than that", () => {
    const result = fix(rulesets, host);
    expect([result.left, result.families]).toEqual([[], { ipv4: "closed", ipv6: "clean" }]);
    expect(fixText(result).split("\n")[0]).toBe("9 findings closed.");
  });
  test.each([
    ["cut off", (save: string) => save.slice(0, save.lastIndexOf("COMMIT"))],
    ["with a line that cannot be read", (save: string) => save.replace(/^(:INPUT .*)$/m, '$1\n-A INPUT (("')],
  ])("rules that are %s make no policy: what is missing could allow more", (_what, edit) => {
    const damaged = capture(`${examples}ufw-docker-20.10`, edit);
    const result = fix(damaged.rulesets, damaged.host);
    expect([result.rules4, result.families.ipv4]).toEqual([[], "refused"]);
    expect(result.left[0]).toMatchObject({ finding: null, reason: { code: "damaged-ruleset", family: 4 } });
  });
  test("without Docker's table nat no rule is printed: it could close a port that the firewall allows", () => {
    const part = v4.map((r) => ({
      ...r,
      tables: new Map([...r.tables].filter(([name]) => name !== "nat")),
    }));
    const result = fix(part, host);
    expect([result.rules4, result.families.ipv4]).toEqual([[], "refused"]);
    expect(fixText(result).split("\n")[0]).toContain("IPv4 is not fixed: no rules are printed for it");
    expect(result.left[0]).toMatchObject({
      finding: null,
      reason: { code: "docker-nat-missing", family: 4 },
    });
  });
});

describe("the proof sees a wrong fix", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
  const v4 = rulesets[0]!;
  const audited = auditFamily(v4, host);
  const proof = (...rules: string[]) => proved(undefined, ...rules).proof;
  const proved = (claim: Claim | undefined, ...rules: string[]) =>
    prove(
      v4,
      restored(
        v4,
        `*filter\n:FWCHECK - [0:0]\n-I DOCKER-USER 1 -j FWCHECK\n${rules.map((r) => `-A FWCHECK ${r}\n`).join("")}COMMIT\n`,
      ),
      host,
      audited,
      host,
      claim,
    );

  test("it names the endpoint whose rules break it, with a packet of its own", () => {
    const { breaking } = proved(
      { closed: new Set(audited.passages.map(passageKey)), open: new Set() },
      "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
      "-i docker0 -j RETURN",
      "-d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP",
      "-s 10.0.0.0/8 -d 172.17.0.3/32 -p tcp -m tcp --dport 80 -j DROP",
    );
    const named = [...breaking.values()].map(({ finding, difference, packet }) => [
      finding,
      difference,
      packet.dport,
    ]);
    expect(named).toContainEqual([
      "ingress-bypass/4/tcp/any/8443",
      { code: "not-stopped", direction: "in" },
      8443,
    ]);
    expect(named.map(([finding]) => finding)).not.toContain("ingress-bypass/4/tcp/any/8080");
  });
  test("one that matches the host port after DNAT closes nothing", () => {
    expect(proof("-p tcp -m tcp --dport 8080 -j DROP").remaining).toContain("ingress-bypass/4/tcp/any/8080");
  });
  test("one bound to a single interface leaves the other open", () => {
    expect(proof("-i eth0 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP").remaining).toContain(
      "ingress-bypass/4/tcp/any/8080",
    );
  });
  test("conntrack's port without direction and guard cuts the containers' own connections", () => {
    const { changed } = proof("-p tcp -m conntrack --ctorigdstport 8080 -j DROP");
    expect(changed.some((c) => c.packet.in === "docker0" || c.packet.in === "br-app")).toBe(true);
  });
  test("one without an ESTABLISHED return in front changes flows that are there", () => {
    expect(
      proof("-d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP").changed.map((c) => c.difference),
    ).toContainEqual({ code: "flow-changed", state: "ESTABLISHED" });
  });
});
