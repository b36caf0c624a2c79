/** Verdicts on one packet: matches that drop it, targets that pass it on, rewritten headers. */
import { type Answer, readHost, readPacket, Simulator, simulate, verdicts } from "fwcheck";
import { describe, expect, test } from "vitest";
import { hostOf, packetOf, rulesetsOf, synOf } from "../builders.ts";
import { ADDR, filter6, run } from "../two-interfaces.ts";

test("a broadcast fragment waits for the others", () => {
  const save = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
  const to = (dst: string, fragment: number) =>
    run(save, { ...{ in: "eth0", src: "203.0.113.8", dst, proto: "udp", sport: 5, dport: 53 }, fragment })
      .verdict;
  for (const group of ["224.0.0.1", "255.255.255.255"]) {
    expect(to(group, 0)).toBe("accept");
    expect(to(group, 1)).toBe("drop");
  }
});

test("a SYN that TCPMSS may have lengthened has an unknown length", () => {
  const save = (target: string): string =>
    `*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j ${target}\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m length --length 29:46 -j DROP\nCOMMIT\n`;
  const verdict = (target: string, length: number, flags = "S"): string =>
    run(save(target), {
      ...{
        in: "eth0",
        src: "203.0.113.7",
        dst: "203.0.113.1",
        proto: "tcp",
        sport: 5,
        dport: 80,
        flags,
        length,
      },
    }).verdict;
  expect(verdict("MARK --set-mark 1", 40)).toBe("drop");
  expect(verdict("TCPMSS --set-mss 1200", 44)).toBe("undecided");
  expect(verdict("TCPMSS --set-mss 1200", 40)).toBe("drop");
  expect(verdict("TCPMSS --set-mss 1200", 60)).toBe("accept");
  expect(verdict("TCPMSS --set-mss 1200", 44, "A")).toBe("drop");
});

describe("a packet that a match drops (hotdrop)", () => {
  const empty = { in: "eth0", src: "2001:db8:1::7", dst: "fd00:99::2", proto: 59 };
  const connlimit = "-A FORWARD -m connlimit --connlimit-above 3 -j RETURN";

  test("stops without a matching rule", () => {
    expect(run(filter6("-A FORWARD -p udp", connlimit), empty)).toMatchObject({
      verdict: "drop",
      path: [],
      reasonCode: {
        code: "match-drops",
        at: { table: "filter", chain: "FORWARD", rule: 2 },
        match: "connlimit",
        packet: "a packet without a next header",
      },
    });
    expect(run(filter6(connlimit), { ...empty, proto: "udp" }).verdict).toBe("accept");
  });

  test("is dropped only if the earlier matches of the rule match", () => {
    const verdict = (rule: string) => run(filter6(rule), empty).verdict;
    expect(verdict("-A FORWARD -p udp -m connlimit --connlimit-above 3")).toBe("accept");
    expect(verdict("-A FORWARD ! -p udp -m connlimit --connlimit-above 3")).toBe("drop");
    expect(verdict("-A FORWARD -m mark --mark 0x1 -m connlimit --connlimit-above 3")).toBe("accept");
    expect(verdict("-A FORWARD -m connlimit --connlimit-above 3 -m mark --mark 0x1")).toBe("drop");
    expect(verdict("-A FORWARD -m quota --quota 9 -m connlimit --connlimit-above 3")).toBe("undecided");
  });

  test("hashlimit needs ports if it counts by port", () => {
    const by = (mode: string) =>
      `-A FORWARD -m hashlimit --hashlimit-upto 1/min --hashlimit-mode ${mode} --hashlimit-name a`;
    expect(run(filter6(by("srcip,dstport")), empty).verdict).toBe("drop");
    expect(run(filter6(by("srcip,dstip")), empty).verdict).toBe("accept");
    const short = (length: number) =>
      run(filter6(by("srcport")).replace("ip6", "ip"), {
        in: "eth0",
        src: "203.0.113.7",
        dst: "10.99.0.2",
        proto: "udp",
        fragment: 1,
        length,
      }).verdict;
    expect([short(23), short(24)]).toEqual(["drop", "accept"]);
  });

  test("a batch has the same verdicts", () => {
    const rulesets = rulesetsOf(filter6(connlimit));
    const host = hostOf(rulesets, { addr: ADDR });
    const columns = {
      family: 6,
      in: "eth0",
      src: 0x20010db8_0001n << 80n,
      dst: 0xfd00_0099n << 96n,
    } as const;
    expect([...verdicts(rulesets, host, { ...columns, proto: [59, 17] })]).toEqual([1, 0]);
  });
});

describe("targets that pass packets on", () => {
  const packet = { in: "eth0", src: "203.0.113.7", dst: "10.99.0.2", sport: 40_000, dport: 80 };
  const four = (rules: string): string => filter6(rules).replace("ip6", "ip");
  const ways = ({ branches }: Answer) => branches?.map(({ verdict, assume }) => [verdict, ...assume!]);

  test("a program that reads a queue accepts or drops", () => {
    const answer = run(four("-A FORWARD -j NFQUEUE --queue-num 1\n-A FORWARD -j DROP"), packet);
    expect(answer.verdict).toBe("undecided");
    expect(ways(answer)).toEqual([
      ["drop", "NFQUEUE@filter/FORWARD/1=no-match"],
      ["accept", "NFQUEUE@filter/FORWARD/1=match"],
    ]);
    const rulesets = rulesetsOf(four("-A FORWARD -j QUEUE"));
    const assume = new Map([["QUEUE", true]]);
    const read = packetOf(packet);
    const host = hostOf(rulesets, { addr: ADDR });
    expect(simulate(rulesets, host, read, { assume }).verdict).toBe("accept");
  });

  test("TPROXY assigns a socket, and the packet is not forwarded", () => {
    const save = four("-A FORWARD -m mark --mark 0x1 -j ACCEPT").replace(
      "*filter",
      "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j TPROXY --on-port 1 --tproxy-mark 0x1/0x1\nCOMMIT\n*filter",
    );
    const away = run(save, packet);
    expect([away.verdict, away.branches]).toEqual(["drop", undefined]);
    const here = run(save, { ...packet, dst: "10.99.0.1" });
    expect(ways(here)).toEqual([
      ["drop", "TPROXY@mangle/PREROUTING/1=no-match"],
      ["accept", "TPROXY@mangle/PREROUTING/1=match"],
    ]);
    // The lookup of the socket reassembles fragments.
    expect(run(save, { ...packet, proto: "udp", fragment: 1 }).reasonCode).toMatchObject({
      code: "fragment-waits",
    });
  });

  test("SYNPROXY consumes the handshake only", () => {
    const save = four("-A FORWARD -p tcp -j SYNPROXY\n-A FORWARD -j DROP");
    const rules = (flags: string) => run(save, { ...packet, flags }).path.length;
    expect(["S", "A", "PA", "SEC", "SA", "R", "FA", ""].map(rules)).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    expect(run(save, packet)).toMatchObject({
      verdict: "drop",
      reasonCode: { code: "target-keeps", text: "SYNPROXY answers the handshake itself" },
    });
  });
});

describe("TCP options that a rule rewrites", () => {
  test("can match differently in a later rule", () => {
    const asks = (then: string) => `-A FORWARD -p tcp -m tcp ! --tcp-option 4 -j ${then}`;
    const strip = "-A FORWARD -p tcp -j TCPOPTSTRIP --strip-options sack-permitted";
    const save = (rules: readonly string[]) =>
      `*mangle\n:FORWARD ACCEPT [0:0]\n${rules.join("\n")}\nCOMMIT\n`;
    const packet = {
      in: "eth1",
      src: "10.99.0.7",
      dst: "198.51.100.9",
      proto: "tcp",
      sport: 5000,
      dport: 53,
    };
    expect(run(save([asks("ACCEPT"), strip, asks("DROP")]), packet).verdict).toBe("undecided");
    expect(run(save([asks("ACCEPT"), asks("DROP")]), packet).verdict).toBe("accept");
  });
});

describe("IPv6 extension headers", () => {
  const packet = { in: "eth0", src: "2001:db8:1::7", dst: "fd00:99::2" };

  test("are not the protocol of a packet, and match no rule", () => {
    expect(readPacket({ ...packet, proto: "ah" })).toMatch(/after all IPv6 extension headers/);
    expect(readPacket({ ...packet, src: "192.0.2.1", dst: "192.0.2.2", proto: "ah" })).toMatchObject({
      proto: 51,
    });
    const udp = { ...packet, proto: "udp" };
    expect(run(filter6("-A FORWARD ! -p ipv6-frag -j DROP"), udp).verdict).toBe("drop");
    expect(run(filter6("-A FORWARD -p tcp -m ah -j DROP"), packet).branches).toBeUndefined();
  });

  test("a mobility header may be dropped, or have any type", () => {
    const answer = run(filter6("-A FORWARD -p ipv6-mh -m mh --mh-type 1 -j REJECT"), {
      ...packet,
      proto: 135,
    });
    expect(answer.branches?.map((b) => b.verdict).sort()).toEqual(["accept", "drop", "reject"]);
  });
});

describe("a field that the packet does not have", () => {
  const rulesets = rulesetsOf(
    [
      ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"],
      "-A INPUT -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT",
      ...["-A INPUT -m mac --mac-source 02:00:00:00:00:02 -j DROP", "COMMIT\n"],
    ].join("\n"),
  );
  const packet = synOf({ in: "eth0", src: "198.51.100.7", dst: "192.0.2.1", dport: 80 });
  const simulated = (assume: readonly (readonly [string, boolean])[] = []) =>
    new Simulator(rulesets, readHost({}, rulesets, [packet]), { assume: new Map(assume) }).packet(packet);

  test("each comparison with it is an unknown of its own", () => {
    const { verdict, branches } = simulated();
    expect(verdict).toBe("undecided");
    expect(new Set(branches?.map((branch) => branch.verdict))).toEqual(new Set(["accept", "drop"]));
  });
  test("an assumption sets one comparison, or all of the field", () => {
    const [first, second] = [0x02_00_00_00_00_01, 0x02_00_00_00_00_02];
    expect(simulated([[`packet:mac@${first}`, true]]).verdict).toBe("accept");
    expect(
      simulated([
        [`packet:mac@${first}`, false],
        [`packet:mac@${second}`, true],
      ]).verdict,
    ).toBe("drop");
    expect(simulated([["packet:mac", false]]).verdict).toBe("accept");
  });
});
