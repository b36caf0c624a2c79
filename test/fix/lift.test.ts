/** Policies of real hosts: each is lifted with its meaning, and the proof holds. */
import { audit, fix, fixJson, printRuleset, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";
import { restored } from "../../lib/fix/apply-restore.ts";
import { jail, type Layout, read } from "../audit/layout.ts";
import { packetOf, rulesetsOf } from "../builders.ts";

const fixOf = (layout: Layout) => {
  const { rulesets, host } = read(layout);
  return fix(rulesets, host);
};

/** The rules of the chain that an endpoint's packets are handed to. */
const policy = (rules: readonly string[], guard: RegExp): string[] => {
  const chain = / -g (\S+)$/.exec(rules.find((rule) => guard.test(rule)) ?? "")?.[1];
  return rules.filter((r) => r.startsWith(`-A ${chain} `)).map((r) => r.slice(`-A ${chain} `.length));
};

describe("Tailscale", () => {
  const chains = {
    "ts-input": [
      "-s 100.115.92.0/23 ! -i tailscale0 -j RETURN",
      "-s 100.64.0.0/10 ! -i tailscale0 -j DROP",
      "-i tailscale0 -j ACCEPT",
    ],
    "ts-forward": [
      "-i tailscale0 -j MARK --set-xmark 0x40000/0xff0000",
      "-m mark --mark 0x40000/0xff0000 -j ACCEPT",
      "-s 100.64.0.0/10 -o tailscale0 -j DROP",
      "-o tailscale0 -j ACCEPT",
    ],
  };
  const interfaces = { eth1: "10.99.0.1/24", tailscale0: "192.0.2.77/32" };

  test("what returns from a chain is spared, and all interfaces but one become a negated match", () => {
    const result = fixOf({
      chains,
      interfaces,
      input: ["-j ts-input", "-i eth1 -j ACCEPT"],
      behind: ["-j ts-forward"],
    });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(policy(result.rules4, /--dport 80/)).toEqual([
      "! -i tailscale0 -m iprange --src-range 100.64.0.0-100.115.91.255 -j DROP",
      "! -i tailscale0 -m iprange --src-range 100.115.94.0-100.127.255.255 -j DROP",
      "-i tailscale0 -j RETURN",
      "-i eth1 -j RETURN",
      "-j DROP",
    ]);
  });

  test("a mark that the rules themselves write is followed to the rule that matches it", () => {
    const result = fixOf({
      chains,
      interfaces,
      nets: [{ bridge: "docker0", prefix: "172.17.0", mode: "routed", ports: { 8080: 80 } }],
      behind: ["-j ts-forward"],
    });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(policy(result.rules4, /-d 172\.17\.0\.2\/32 .*--dport 80/)).toEqual([
      "-i tailscale0 -j RETURN",
      "-j DROP",
    ]);
  });

  test("a mark that is written for some senders becomes a match of these", () => {
    const result = fixOf({
      chains: {
        ...chains,
        "ts-forward": ["-s 198.51.100.0/24 -j MARK --set-xmark 0x1/0x1", "-m mark --mark 0x1/0x1 -j ACCEPT"],
      },
      interfaces,
      nets: [{ bridge: "docker0", prefix: "172.17.0", mode: "routed", ports: { 8080: 80 } }],
      behind: ["-j ts-forward"],
    });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(policy(result.rules4, /-d 172\.17\.0\.2\/32 .*--dport 80/)).toEqual([
      "-s 198.51.100.0/24 -j RETURN",
      "-j DROP",
    ]);
  });
});

test("what conntrack makes nothing of and OUTPUT lets out, containers may send, too", () => {
  const result = fixOf({
    policy: { OUTPUT: "DROP" },
    output: ["-p udp -m udp --dport 53 -j ACCEPT", "-p icmp -m icmp --icmp-type 0 -j ACCEPT"],
    input: ["-p tcp -m tcp --dport 8080 -j ACCEPT"],
  });
  expect([result.holds, result.left, result.proof.changed]).toEqual([true, [], []]);
  expect(policy(result.rules4, /^-A FWCHECK -i docker0 -g/)).toEqual([
    "-o docker0 -j RETURN",
    "-p udp -m udp --dport 53 -j RETURN",
    "-p icmp -m icmp --icmp-type 0 -j RETURN",
    "-j DROP",
  ]);
});

describe("a swarm whose containers Docker does not guard in raw, as before 28", () => {
  const swarm = { nets: [], swarm: [3000], guard: false, interfaces: { eth1: "10.99.0.1/24" } };

  test("what is open to all as it is published stays closed by the container's own address", () => {
    const result = fixOf({ ...swarm, input: ["-p tcp -m tcp --dport 3000 -j ACCEPT"] });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(result.rules4).toContain("-A FWCHECK -o docker_gwbridge -m conntrack ! --ctstate DNAT -j DROP");
    expect(result.rules4.filter((rule) => rule.includes("172.19.0.2"))).toEqual([]);
  });

  test("who may come as it is published may not by the container's own address", () => {
    const result = fixOf({ ...swarm, input: ["-s 10.99.0.0/24 -p tcp -m tcp --dport 3000 -j ACCEPT"] });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(result.rules4.find((rule) => rule.includes("172.19.0.2"))).toContain("--ctorigdstport 3000");
  });
});

describe("networks that let in more than ports", () => {
  // What ufw writes into ufw-before-forward; the answers to a connection that conntrack does not know are INVALID.
  const behind = [3, 11, 12, 8].map((type) => `-p icmp -m icmp --icmp-type ${type} -j ACCEPT`);

  test.each(["routed", "nat-unprotected"] as const)(
    "%s: ICMP that FORWARD accepts is accepted in every conntrack state",
    (mode) => {
      const result = fixOf({
        nets: [{ bridge: "br-x", prefix: "172.20.0", mode, ports: { 8080: 80 } }],
        behind,
      });
      expect([result.holds, result.left, result.proof.remaining, result.proof.changed]).toEqual([
        true,
        [],
        [],
        [],
      ]);
      expect(policy(result.rules4, /-o br-x -m conntrack ! --ctstate DNAT/)).toEqual([
        ...[3, 11, 12, 8].map((type) => `-p icmp -m icmp --icmp-type ${type} -j RETURN`),
        "-j DROP",
      ]);
    },
  );
});

describe("bans", () => {
  const ports = {
    nets: [{ bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80, 8081: 81, 8082: 82 } }],
  };
  const input = [
    "-p tcp -m multiport --dports 443,8080:8081 -j f2b-web",
    "-p tcp -m tcp --dport 8080 -j ACCEPT",
    "-s 10.99.0.0/24 -p tcp -m tcp --dport 8081 -j ACCEPT",
  ];
  const chains = (...banned: string[]) => ({ "f2b-web": jail(...banned) });
  const needs = (layout: Layout) => {
    const { rulesets, host } = read(layout);
    return { host, before: rulesets[0]!, result: fix(rulesets, host) };
  };

  test.each([[[]], [["198.51.100.77"]]])(
    "a chain of fail2ban that holds %j is called, not copied",
    (banned) => {
      const result = fixOf({ ...ports, input, chains: chains(...banned) });
      expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
      expect(policy(result.rules4, /--dport 80 /)).toEqual(["-j f2b-web"]);
      expect(policy(result.rules4, /--dport 81 /)).toEqual([
        "-j f2b-web",
        "-s 10.99.0.0/24 -j RETURN",
        "-j DROP",
      ]);
      expect(result.rules4).toContain("-A FWCHECK -d 172.17.0.2/32 -p tcp -m tcp --dport 82 -j DROP");
      expect(result.rules4.join()).not.toContain("198.51.100.77");
    },
  );

  test("who is banned once the fix is in force reaches nothing, and who is no longer banned does", () => {
    const { host, before, result } = needs({ ...ports, input, chains: chains("198.51.100.77") });
    const now = restored(before, result.restore);
    const text = printRuleset(now).replace("-s 198.51.100.77/32", "-s 198.51.100.78/32");
    const rulesets = rulesetsOf(text);
    expect(audit(rulesets, host).findings).toEqual([]);
    const open = (src: string): string => {
      const packet = packetOf({
        in: "eth0",
        src,
        dst: "203.0.113.1",
        proto: "tcp",
        sport: 40000,
        dport: 8080,
        flags: "S",
      });
      return new Simulator(rulesets, host).packet(packet).verdict;
    };
    expect([open("198.51.100.77"), open("198.51.100.78")]).toEqual(["accept", "reject"]);
  });

  test("a chain of bans that limits is called, and so keeps one account", () => {
    const bans = ["-s 198.51.100.77/32 -m limit --limit 1/sec -j DROP"];
    const result = fixOf({
      ...ports,
      input: ["-p tcp -j sshguard", ...input.slice(1)],
      chains: { sshguard: bans },
    });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(policy(result.rules4, /--dport 80 /)).toEqual(["-j sshguard"]);
  });

  test("a chain that matches the port of the host is copied, and the warning says it", () => {
    const result = fixOf({
      ...ports,
      input,
      chains: { "f2b-web": ["-s 198.51.100.77/32 -p tcp -m tcp --dport 8080 -j DROP", "-j RETURN"] },
    });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(policy(result.rules4, /--dport 80 /)).toEqual(["-s 198.51.100.77/32 -j DROP"]);
    expect(result.notes).toContainEqual({ code: "bans-copied", family: 4, chain: "f2b-web" });
  });

  test.each(["", "add blk 198.51.100.9\nadd office 203.0.113.7\n"])(
    "ipsets are matched for any elements: %j",
    (members) => {
      const made = ["blk", "office"].map(
        (set) => `create ${set} hash:ip family inet hashsize 1024 maxelem 65536\n`,
      );
      const result = fixOf({
        ...ports,
        ipset: made.join("") + members,
        input: [
          "-m set --match-set blk src -j DROP",
          "-p tcp -m tcp --dport 8080 -m set --match-set office src -j ACCEPT",
          "-p tcp -m tcp --dport 8081 -j ACCEPT",
        ],
      });
      expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
      expect(policy(result.rules4, /--dport 80 /)).toEqual([
        "-m set --match-set blk src -j DROP",
        "-m set --match-set office src -j RETURN",
        "-j DROP",
      ]);
      expect(policy(result.rules4, /--dport 81 /)).toEqual(["-m set --match-set blk src -j DROP"]);
    },
  );

  const logged = '-m limit --limit 3/min -j LOG --log-prefix "blk "';
  const LISTED = "-m set --match-set blk src";
  test.each([
    ["", "-j LOGDROP", [`${LISTED} ${logged}`, `${LISTED} -j DROP`]],
    ["add blk 198.51.100.9\n", "-j LOGDROP", [`${LISTED} ${logged}`, `${LISTED} -j DROP`]],
    ["", "-g LOGDROP", [`${LISTED} ${logged}`, `${LISTED} -j DROP`]],
    [
      "",
      "-p tcp -m tcp --sport 1024:65535 -j LOGDROP",
      [logged, "-j DROP"].map((end) => `-p tcp ${LISTED} -m tcp --sport 1024:65535 ${end}`),
    ],
    ["", "-p tcp -m tcp --sport 1000:2000 -j DROP", [`-p tcp -m tcp --sport 1000:2000 ${LISTED} -j DROP`]],
    // A rule for other packets than the passage's is none of its policy.
    ["", "-p udp -j LOGDROP", undefined],
  ])("a chain called by an ipset match is lifted for any elements: %j, %s", (members, rest, rules) => {
    const result = fixOf({
      ...ports,
      ipset: `create blk hash:ip family inet hashsize 1024 maxelem 65536\n${members}`,
      input: [
        `${LISTED} ${rest}`.replace(/(-m set.*) (-p .*) (-j)/, "$2 $1 $3"),
        "-p tcp -m tcp --dport 8081 -j ACCEPT",
      ],
      chains: { LOGDROP: [logged, "-j DROP"] },
    });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    const closed = policy(result.rules4, /--dport 81 /);
    expect(closed).toEqual(rules ?? []);
  });

  test("in a chain called by an ipset match that excepts senders, the rest of the set is dropped", () => {
    const result = fixOf({
      ...ports,
      ipset: "create blk hash:ip family inet hashsize 1024 maxelem 65536\n",
      input: [`${LISTED} -j CHECK`, "-p tcp -m tcp --dport 8081 -j ACCEPT"],
      chains: { CHECK: ["-s 10.0.0.0/8 -j RETURN", "-j DROP"] },
    });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(policy(result.rules4, /--dport 81 /)).toEqual([
      `${LISTED} -m iprange --src-range 0.0.0.0-9.255.255.255 -j DROP`,
      `${LISTED} -m iprange --src-range 11.0.0.0-255.255.255.255 -j DROP`,
    ]);
  });
});

describe("what INPUT's other tables say", () => {
  const ports = {
    nets: [{ bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80, 8081: 81 } }],
    input: ["-m mark --mark 0x1 -j ACCEPT", "-p tcp -m tcp --dport 8081 -j ACCEPT"],
  };
  const mark = "-s 198.51.100.0/24 -p tcp -m tcp --dport 8080 -j MARK --set-xmark 0x1/0xffffffff";
  const closed = (layout: Layout) => {
    const result = fixOf(layout);
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    return result.rules4;
  };

  test("a mark that mangle sets before the translation is matched after it", () => {
    const rules = closed({ ...ports, tables: { mangle: [`-A PREROUTING ${mark}`] } });
    expect(policy(rules, /--dport 80 /)).toEqual(["-m mark --mark 0x1 -j RETURN", "-j DROP"]);
  });
  test.each([
    ["only INPUT sees", [`-A INPUT ${mark}`]],
    ["FORWARD no longer sees", [`-A PREROUTING ${mark}`, "-A FORWARD -j MARK --set-xmark 0x0/0xffffffff"]],
  ])("a mark that %s is matched by its senders", (_what, mangle) => {
    const rules = closed({ ...ports, tables: { mangle } });
    expect(policy(rules, /--dport 80 /)).toEqual(["-s 198.51.100.0/24 -j RETURN", "-j DROP"]);
  });
  test.each(["mangle", "security"] as const)("what INPUT of table %s drops is dropped", (table) => {
    const rules = closed({
      ...ports,
      tables: {
        [table]: ["-A INPUT -m set --match-set bad src -j DROP", "-A INPUT -s 192.0.2.0/24 -j DROP"],
      },
    });
    expect(policy(rules, /--dport 81 /)).toEqual([
      "-m set --match-set bad src -j DROP",
      "-s 192.0.2.0/24 -j DROP",
    ]);
  });
  test("what security accepts first it does not drop", () => {
    const rules = closed({
      ...ports,
      tables: {
        security: ["-A INPUT -s 10.0.0.0/8 -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 8081 -j DROP"],
      },
    });
    expect(policy(rules, /--dport 81 /).join()).not.toContain("-j RETURN");
    expect(policy(rules, /--dport 81 /).every((rule) => rule.endsWith("-j DROP"))).toBe(true);
  });
  test("a policy of nat's INPUT that drops closes all ports", () => {
    const rules = closed({ ...ports, natInput: "DROP" });
    expect(rules).toContain("-A FWCHECK -d 172.17.0.2/32 -p tcp -m tcp --dport 80:81 -j DROP");
  });
});

test("an owner's translation into a network that takes all is closed by its original port", () => {
  const result = fixOf({
    nets: [{ bridge: "br-x", prefix: "172.20.0", mode: "nat-unprotected", ports: { 8080: 80 } }],
    nat: ["-i eth0 -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.20.0.2:81"],
  });
  expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
  expect(result.rules4).toContain(
    "-A FWCHECK -d 172.20.0.2/32 -p tcp -m tcp --dport 81 -m conntrack --ctstate DNAT --ctorigdstport 9999 --ctdir ORIGINAL -j DROP",
  );
});

test("a range of destinations before the translation becomes prefixes", () => {
  const result = fixOf({
    interfaces: { eth1: "10.99.0.1/24", eth2: "10.99.1.4/24", eth3: "10.99.2.4/24" },
    input: ["-m iprange --dst-range 10.99.0.1-10.99.1.9 -j ACCEPT"],
  });
  expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
  expect(policy(result.rules4, /--dport 80 /).filter((rule) => rule.includes("--ctorigdst ")).length).toBe(2);
});

describe("what is not followed keeps nothing else open", () => {
  const two = { nets: [{ bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80, 8081: 81 } }] };

  test("one rule that puts connections into a zone of conntrack", () => {
    const result = fixOf({
      ...two,
      raw: ["-i eth0 -p tcp -m tcp --dport 8081 -j CT --zone 5"],
      input: ["-s 198.51.100.0/24 -p tcp -m tcp --dport 8081 -j ACCEPT"],
    });
    expect(fixJson(result)).toMatchObject({
      holds: true,
      proof: { remaining: [], changed: [] },
      failed: ["IPv4: connections in zones are not followed"],
    });
    // The first packet in a zone is NEW as anywhere: the policy holds for it, and accepts the senders that the owner accepts.
    expect(policy(result.rules4, /--dport 81/)).toEqual(["-s 198.51.100.0/24 -j RETURN", "-j DROP"]);
    expect(result.rules4).toContain("-A FWCHECK -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP");
  });

  test("a target of the owner's INPUT that is unpredictable: that port is left open by name", () => {
    const result = fixOf({ ...two, input: ["-p tcp -m tcp --dport 8081 -j NFQUEUE --queue-num 1"] });
    expect(result.holds).toBe(true);
    expect(result.proof).toEqual({
      closed: ["ingress-bypass/4/tcp/any/8080"],
      remaining: ["ingress-bypass/4/tcp/any/8081"],
      changed: [],
    });
    expect(fixJson(result).failed).toEqual([
      expect.stringMatching(/^ingress-bypass\/4\/tcp\/any\/8081: .*NFQUEUE/),
    ]);
    expect(result.families.ipv4).toBe("open");
  });

  test("where the kernel chooses the address of a translation, no rule matches by address alone", () => {
    const result = fixOf({
      ...two,
      guard: false,
      nat: ["-i eth0 -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.17.0.2-172.17.0.9:80"],
      behind: ["-o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"],
    });
    expect([result.holds, fixJson(result).failed]).toEqual([true, ["IPv4: the kernel chooses the address"]]);
    const byAddress = result.rules4.filter((rule) => rule.includes(" -d "));
    expect(byAddress.length).toBeGreaterThan(0);
    for (const rule of byAddress) expect(rule).toMatch(/--ctstate DNAT /);
  });
});
