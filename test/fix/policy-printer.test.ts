/** The owner's policy: rules that are lifted, chains that are shared, and reasons for findings that stay open. */
import { fix, type PacketJson, type Ruleset, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";
import { restored } from "../../lib/fix/apply-restore.ts";
import { asIptables } from "../../lib/iptables/rule.ts";
import { synOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";

/** Rules of the owner's in front of the one that allows ssh. */
const withRules = (version: string, ...rules: string[]) =>
  capture(`${examples}ufw-docker-${version}`, (save) =>
    save.replace(/^((\[\d+:\d+\] )?-A ufw-user-input -p tcp -m tcp --dport 22 )/m, `${rules.join("\n")}\n$1`),
  );

const RECENT = "--name DEFAULT --mask 255.255.255.255 --rsource";
const limit = (port: number): string[] => [
  `-A ufw-user-input -p tcp -m tcp --dport ${port} -m conntrack --ctstate NEW -m recent --set ${RECENT}`,
  `-A ufw-user-input -p tcp -m tcp --dport ${port} -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 ${RECENT} -j ufw-user-limit`,
  `-A ufw-user-input -p tcp -m tcp --dport ${port} -j ufw-user-limit-accept`,
];

const policyOf = (rules: readonly string[], dispatch: RegExp): string[] => {
  const line = rules.find((rule) => dispatch.test(rule))!;
  const chain = / -g (FWCHECK-\d+)$/.exec(line)?.[1];
  return chain === undefined
    ? [line]
    : rules.filter((rule) => rule.startsWith(`-A ${chain} `)).map((r) => r.slice(chain.length + 4));
};

describe.each(["20.10", "28.5"])("Docker %s", (version) => {
  test("only packets that open a connection are recorded, also where `-m state` says so", () => {
    const rules = limit(8443).map((rule) =>
      rule.replace("-m conntrack --ctstate NEW", "-m state --state NEW"),
    );
    const { rulesets, host } = withRules(version, ...rules);
    const result = fix(rulesets, host);
    expect([result.holds, result.left]).toEqual([true, []]);
    expect(policyOf(result.rules4, /--ctorigdstport 8443|-d 172\.17\.0\.3/)[0]).toBe(
      `-m state --state NEW -m recent --set ${RECENT}`,
    );
  });
  test("ufw limit: the same list, the same numbers, and the proof holds for any elements of the list", () => {
    const { rulesets, host } = withRules(version, ...limit(8443));
    const result = fix(rulesets, host);
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    const policy = policyOf(result.rules4, /--ctorigdstport 8443|-d 172\.17\.0\.3/);
    expect(policy).toEqual([
      `-m conntrack --ctstate NEW -m recent --set ${RECENT}`,
      `-m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 ${RECENT} -g ${/FWCHECK-\d+$/.exec(policy[1]!)![0]}`,
    ]);
    const limited = policyOf(result.rules4, /--update .* -g /);
    expect(limited.join("\n")).toContain("-j REJECT --reject-with icmp-port-unreachable");
    expect(limited[0]).toContain('--log-prefix "[UFW LIMIT BLOCK] "');
    // On the fixed ruleset the audit treats both matches of the list as one unknown.
    const after = rulesets.map((r) => (r.family === 4 ? restored(r, result.restore) : r));
    expect(fix(after, host)).toMatchObject({ holds: true, inForce: true });
    const packet = { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8443 };
    expect(verdict(after, host, packet, `recent@filter/${chainOf(after)}`, false)).toBe("accept");
    expect(verdict(after, host, packet, `recent@filter/${chainOf(after)}`, true)).toBe("reject");
  });

  test("two limits share one policy, and a limit with another list does not", () => {
    const own = limit(8444).map((rule) => rule.replaceAll("--name DEFAULT", "--name other"));
    const { rulesets, host } = withRules(version, ...limit(8443), ...limit(9080), ...own);
    const result = fix(rulesets, host);
    expect([result.holds, result.left]).toEqual([true, []]);
    const of = (port: number): string =>
      / -g (\S+)$/.exec(
        result.rules4.find(
          (r) =>
            r.includes(`--ctorigdstport ${port} `) ||
            (version === "28.5" && r.includes({ 8443: "172.17.0.3", 8444: "172.17.0.5" }[port] ?? "none")),
        )!,
      )![1]!;
    expect(of(8443)).toBe(of(9080));
    expect(of(8443)).not.toBe(of(8444));
  });

  test("logging is lifted with its prefix, and endpoints of one policy share its limit", () => {
    const { rulesets, host } = withRules(version);
    const { rules4, holds } = fix(rulesets, host);
    expect(holds).toBe(true);
    expect(rules4.filter((r) => r.includes("-j LOG"))).toHaveLength(1);
    expect(rules4.filter((r) => / -g FWCHECK-1$/.test(r)).length).toBeGreaterThan(1);
  });

  test("what a bucket of its own decides is left open by name, and the rest is closed", () => {
    const { rulesets, host } = withRules(
      version,
      "-A ufw-user-input -p tcp -m tcp --dport 8443 -m limit --limit 5/min -j ACCEPT",
    );
    const result = fix(rulesets, host);
    expect(result.holds).toBe(true);
    expect(result.left).toMatchObject([
      { finding: "ingress-bypass/4/tcp/any/8443", reason: { code: "stateful-match", match: "limit" } },
    ]);
    expect(result.proof.remaining).toEqual(["ingress-bypass/4/tcp/any/8443"]);
    expect(result.rules4.join("\n")).toContain("172.17.0.2");
    expect(result.rules4.join("\n")).not.toMatch(/--ctorigdstport 8443/);
  });

  test("an ipset that is not given is matched again by the lifted rule", () => {
    const { rulesets, host } = withRules(
      version,
      "-A ufw-user-input -m set --match-set banned src -j DROP",
      "-A ufw-user-input -p tcp -m tcp --dport 8443 -j ACCEPT",
    );
    const result = fix(rulesets, host);
    expect([result.holds, result.left]).toEqual([true, []]);
    expect(result.rules4.join("\n")).toContain("-m set --match-set banned src -j DROP");
  });

  test("one address of the host is matched by the original destination", () => {
    const { rulesets, host } = withRules(
      version,
      "-A ufw-user-input -d 203.0.113.1/32 -p tcp -m tcp --dport 8443 -j ACCEPT",
    );
    const result = fix(rulesets, host);
    expect([result.holds, result.left]).toEqual([true, []]);
    expect(result.rules4.join("\n")).toContain(
      "-m conntrack --ctorigdst 203.0.113.1 --ctdir ORIGINAL -j RETURN",
    );
  });

  test("ipset: one rule for each policy, for any number of endpoints", () => {
    const { rulesets, host } = withRules(version);
    const result = fix(rulesets, host, { strategy: "ipset" });
    expect(result.holds).toBe(true);
    expect(result.rules4.filter((r) => r.includes("--match-set"))).toHaveLength(2);
    expect(result.rules4.join("\n")).not.toMatch(/-d 172/);
    expect(result.sets).toMatch(/^add FWCHECK4-1-new 172\.17\.0\.2,tcp:80$/m);
  });

  test("an accept in front of DOCKER-USER: closed in part, and reported", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-${version}`, (save) =>
      save.replace(/^((\[\d+:\d+\] )?-A FORWARD -j DOCKER-USER)/m, "-A FORWARD -i eth1 -j ACCEPT\n$1"),
    );
    const result = fix(rulesets, host);
    expect(result.holds).toBe(true);
    expect(result.proof.changed).toEqual([]);
    for (const id of result.proof.remaining)
      expect(result.left.find(({ finding }) => finding === id)?.reason.code).toBe(
        "accepted-before-docker-user",
      );
    expect(result.proof.remaining.length).toBeGreaterThan(0);
  });
});

test("a rule has one match of a protocol's header: iptables-nft prints no second one", () => {
  const { rulesets, host } = withRules(
    "20.10",
    ":odd - [0:0]",
    "-A odd -p tcp -m tcp --sport 1024:65535 -j ACCEPT",
    "-A ufw-user-input -p tcp -m tcp --tcp-flags SYN,ACK SYN -j odd",
  );
  const { rules4, holds } = fix(rulesets, host);
  expect(holds).toBe(true);
  expect(rules4.join("\n")).toContain("-m tcp --sport 1024:65535 --tcp-flags SYN,ACK SYN ");
  expect(rules4.filter((rule) => (rule.match(/ -m tcp /g)?.length ?? 0) > 1)).toEqual([]);
});

test("egress: OUTPUT's rules hold for containers, and only on the way out", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
    save
      .replace(":OUTPUT ACCEPT", ":OUTPUT DROP")
      .replace(/^(\[\d+:\d+\] )?-A ufw-track-output .*\n/gm, "")
      .replace(
        /^((\[\d+:\d+\] )?-A ufw-user-limit )/m,
        "-A ufw-user-output -p udp -m udp --dport 53 -j ACCEPT\n-A ufw-user-output -p tcp -m multiport --dports 80,443 -j ACCEPT\n$1",
      ),
  );
  const result = fix(rulesets, host);
  expect([result.holds, result.left]).toEqual([true, []]);
  expect(policyOf(result.rules4, /-i docker0 -g/)).toEqual([
    "-o br-app -j RETURN",
    "-o docker0 -j RETURN",
    "-p udp -m udp --dport 53 -j RETURN",
    "-p tcp -m multiport --dports 80,443 -j RETURN",
    "-j DROP",
  ]);
});

function verdict(
  rulesets: readonly Ruleset[],
  host: ReturnType<typeof capture>["host"],
  json: PacketJson,
  key: string,
  holds: boolean,
): string {
  return new Simulator(rulesets, host, { assume: new Map([[key, holds]]) }).packet(synOf(json)).verdict;
}

/** Returns the chain and number of a rule of ours: `FWCHECK-1/2`. */
function chainOf(rulesets: readonly Ruleset[]): string {
  for (const chain of rulesets[0]!.tables.get("filter")!.chains.values())
    for (const rule of chain.rules)
      if (
        chain.name.startsWith("FWCHECK") &&
        asIptables(rule).matches.some((m) => m.values.update !== undefined)
      )
        return `${chain.name}/${rule.index}`;
  throw new Error("no rule of ours asks a list");
}
