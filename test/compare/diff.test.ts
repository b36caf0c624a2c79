/** Tests comparisons: kinds of changes, causes, paired unknowns, doubts, and both rule languages. */
import { type Diff, diff, type Host, type Ruleset, readNftables, withNftables } from "fwcheck";
import { describe, expect, test } from "vitest";
import { hostOf, rulesetsOf } from "../builders.ts";

const ADDR = [
  { ifname: "eth0", addr_info: [{ family: "inet", local: "203.0.113.1", prefixlen: 24 }] },
  { ifname: "eth1", addr_info: [{ family: "inet", local: "10.99.0.1", prefixlen: 24 }] },
];

/** Returns a ruleset of tables nat and filter. */
function rules(filter: readonly string[], nat: readonly string[] = [], input = "DROP"): Ruleset {
  const text = [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ...nat,
    ...["COMMIT", "*filter", `:INPUT ${input} [0:0]`, ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"],
    ...filter,
    ...["COMMIT", ""],
  ].join("\n");
  return rulesetsOf(text, { family: 4 })[0]!;
}

const hostWith = (ruleset: Ruleset, addr: object = ADDR): Host =>
  hostOf([ruleset], { addr, sysctl: "net.ipv4.ip_forward = 1\n" }, { complete: true });

/** Compares two rulesets on the host of the first. */
function compared(before: Ruleset, after: Ruleset): Diff {
  const host = hostWith(before);
  const result = diff({ rulesets: [before], host }, { rulesets: [after], host }, { families: [4] });
  // Packets that the host sends to itself pass INPUT, too.
  return { ...result, changes: result.changes.filter(({ origin }) => origin === "arriving") };
}

const SSH = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT";
const WEB = "-A INPUT -s 198.51.100.0/24 -i eth0 -p tcp -m tcp --dport 80 -j ACCEPT";
const DNAT = "-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination";
const FORWARD = "-A FORWARD -i eth0 -o eth1 -p tcp -j ACCEPT";

describe("changes", () => {
  test("of equal rulesets there are none", () => {
    const { changes, doubts, families } = compared(rules([SSH]), rules([SSH]));
    expect({ changes, doubts, families }).toEqual({ changes: [], doubts: [], families: [4] });
  });

  test("an added rule opens exactly its packets", () => {
    const { changes } = compared(rules([SSH]), rules([SSH, WEB]));
    expect(changes).toMatchObject([
      {
        kind: "opened",
        cause: "rules",
        certainty: "must",
        packets: {
          in: { kind: "only", parts: ["eth0"] },
          sources: { kind: "only", parts: ["198.51.100.0/24"] },
          destinations: { kind: "only" },
          services: { kind: "only", parts: ["tcp 80"] },
          fields: [],
          opening: true,
          others: true,
          groups: true,
        },
        before: { verdict: "drop", deciders: [{ code: "policy", chain: "INPUT" }] },
        after: { verdict: "accept", delivery: "local", deciders: [{ code: "rule", rule: 2 }] },
      },
    ]);
  });

  test("a removed rule closes them, and rules in another order change nothing", () => {
    const { changes } = compared(rules([SSH, WEB]), rules([SSH]));
    expect(changes.map(({ kind }) => kind)).toEqual(["closed"]);
    expect(compared(rules([SSH, WEB]), rules([WEB, SSH])).changes).toEqual([]);
  });

  test("a rejected packet is not a dropped one", () => {
    const { changes } = compared(
      rules([]),
      rules(["-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable"]),
    );
    expect(changes.map(({ kind }) => kind)).toEqual(["stopped-otherwise"]);
  });

  test("another destination is delivered elsewhere, another source is translated otherwise", () => {
    const elsewhere = compared(
      rules([FORWARD], [`${DNAT} 10.99.0.7:80`]),
      rules([FORWARD], [`${DNAT} 10.99.0.8:80`]),
    );
    expect(elsewhere.changes).toMatchObject([
      {
        kind: "delivered-elsewhere",
        packets: { services: { parts: ["tcp 8080"] } },
        before: { header: { dst: "10.99.0.7", dport: 80 }, translations: [{ chain: "PREROUTING", rule: 1 }] },
        after: { header: { dst: "10.99.0.8", dport: 80 } },
      },
    ]);
    const snat = (to: string) => `-A POSTROUTING -o eth1 -p tcp -m tcp --dport 80 -j SNAT --to-source ${to}`;
    for (const to of ["10.99.0.9", "10.99.0.1-10.99.0.9"]) {
      const { changes } = compared(rules([FORWARD], [snat("10.99.0.1")]), rules([FORWARD], [snat(to)]));
      expect(new Set(changes.map(({ kind }) => kind)), to).toEqual(new Set(["translated-otherwise"]));
    }
  });
});

describe("causes", () => {
  test("an address that moves is a change of the host", () => {
    const ruleset = rules([SSH]);
    const moved = [
      { ...ADDR[0], addr_info: [{ family: "inet", local: "203.0.113.9", prefixlen: 24 }] },
      ADDR[1]!,
    ];
    const result = diff(
      { rulesets: [ruleset], host: hostWith(ruleset) },
      { rulesets: [ruleset], host: hostWith(ruleset, moved) },
      { families: [4] },
    );
    expect(result.changes.length).toBeGreaterThan(0);
    expect(new Set(result.changes.map(({ cause }) => cause))).toEqual(new Set(["host"]));
  });
});

describe("unknowns", () => {
  const limited = (rate: string): string =>
    `-A INPUT -p tcp -m tcp --dport 25 -m limit --limit ${rate} -j ACCEPT`;

  test("an equal rule behind an inserted one has the same result", () => {
    const { changes } = compared(rules([limited("1/sec")]), rules([SSH, limited("1/sec")]));
    expect(changes).toMatchObject([
      { kind: "opened", certainty: "must", packets: { services: { parts: ["tcp 22"] } } },
    ]);
  });

  test("another limit may give another result, also where it has the number of the old one", () => {
    const { changes } = compared(rules([limited("1/sec")]), rules([limited("9/sec")]));
    expect(changes.map(({ kind, certainty }) => [kind, certainty])).toEqual([
      ["opened", "may"],
      ["closed", "may"],
    ]);
    expect(changes.flatMap(({ depends }) => depends).length).toBeGreaterThan(0);
  });
});

describe("both rule languages", () => {
  const NFT = [
    "table ip f {",
    ...["\tchain input {", "\t\ttype filter hook input priority 0; policy drop;"],
    ...["\t\ttcp dport 22 accept", "\t\tiif lo accept", "\t}"].filter((line) => !line.includes("lo accept")),
    ...["\tchain forward {", "\t\ttype filter hook forward priority 0; policy drop;", "\t}", "}", ""],
  ].join("\n");
  const nft = (text: string): Ruleset =>
    withNftables([], readNftables([{ name: "nft", text, complete: true }])).rulesets.find(
      (r) => r.family === 4,
    )!;

  test("the same policy is no difference", () => {
    const { changes, doubts } = compared(rules([SSH]), nft(NFT));
    expect({ changes, doubts }).toEqual({ changes: [], doubts: [] });
  });

  test("another port is two", () => {
    const { changes } = compared(rules([SSH]), nft(NFT.replace("dport 22", "dport 23")));
    expect(changes.map(({ kind, packets: { services } }) => [kind, services])).toEqual([
      ["opened", { kind: "only", parts: ["tcp 23"], more: 0 }],
      ["closed", { kind: "only", parts: ["tcp 22"], more: 0 }],
    ]);
  });
});

describe("doubts", () => {
  describe("later packets of connections", () => {
    const accept = (chain: string, states: string) =>
      `-A ${chain} -m conntrack --ctstate ${states} -j ACCEPT`;
    const all = (states: string) => [accept("INPUT", states), accept("FORWARD", states)];
    const differing = (before: Ruleset, after: Ruleset) =>
      compared(before, after).doubts.map(({ doubt }) =>
        doubt.code === "later-packets-differ" ? `${doubt.origin} ${doubt.state}` : doubt.code,
      );

    test.each([0, 1])(
      "the accept of established connections that is removed is no proof of equality: %s",
      (i) => {
        const [kept, whole] = [all("RELATED,ESTABLISHED"), rules([SSH, ...all("RELATED,ESTABLISHED")])];
        const after = rules([SSH, ...kept.filter((_, at) => at !== i)]);
        expect(differing(whole, after)).toEqual(
          expect.arrayContaining(["arriving ESTABLISHED", "arriving RELATED"]),
        );
        expect(differing(whole, whole)).toEqual([]);
      },
    );

    test("each state counts", () => {
      const [both, one] = [rules(all("RELATED,ESTABLISHED")), rules(all("ESTABLISHED"))];
      expect(new Set(differing(both, one))).toEqual(new Set(["arriving RELATED", "sent RELATED"]));
    });

    test("a port that opens does not make the answer inconclusive", () => {
      expect(differing(rules([SSH]), rules([SSH, WEB]))).toEqual([]);
    });

    test("--ctstate NEW on an accept cuts its later packets", () => {
      const after = rules([SSH.replace("-j", "-m conntrack --ctstate NEW -j")]);
      expect(differing(rules([SSH]), after)).toContain("arriving ESTABLISHED");
    });
  });

  test("packets whose header is not followed are no difference, and no proof", () => {
    const range = rules([FORWARD], [`${DNAT} 10.99.0.7-10.99.0.9`]);
    const { changes, doubts } = compared(range, rules([FORWARD, FORWARD], [`${DNAT} 10.99.0.7-10.99.0.9`]));
    expect(changes).toEqual([]);
    expect(new Set(doubts.map(({ side, doubt }) => `${side} ${doubt.code}`))).toEqual(
      new Set(["before not-followed", "after not-followed"]),
    );
  });

  test("a family of one side alone is not compared", () => {
    const ruleset = rules([SSH]);
    const host = hostWith(ruleset);
    const six = rulesetsOf("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", { family: 6 });
    const result = diff({ rulesets: [ruleset], host }, { rulesets: [ruleset, ...six], host });
    expect(result.families).toEqual([4]);
    expect(result.doubts).toContainEqual({ side: "before", doubt: { code: "family-missing", family: 6 } });
  });
});
