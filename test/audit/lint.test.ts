/** Lint of DOCKER-USER and of the owner's other rules. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readHost, readRuleset, readSnapshot } from "fwcheck";
import { describe, expect, test } from "vitest";
import { ownerRuleLint } from "../../lib/audit/owner-rules.ts";
import { Program } from "../../lib/path/program.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { capture, examples, shared } from "../capture.ts";
import { auditOf } from "./json.ts";

const withRules = (...rules: string[]) => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
    save.replace(
      /(\[0:0\] -A DOCKER-USER -j RETURN)/,
      `${rules.map((r) => `-A DOCKER-USER ${r}\n`).join("")}$1`,
    ),
  );
  return auditOf(rulesets, host).lint.map((l) => l.kind);
};

// One line for each case: rules before Docker's own RETURN, and the kinds of lint.
const CASES: [string[], string[]][] = [
  [[], []],
  [["-i eth0 -p tcp -m tcp --dport 8080 -j DROP"], ["host-port-after-dnat"]],
  [["-i eth0 -p tcp -m multiport --dports 22,8443 -j DROP"], ["host-port-after-dnat"]],
  [["-i eth0 -p tcp -m tcp --dport 80 -j DROP"], []],
  [["-p tcp -m conntrack --ctorigdstport 8080 -j DROP"], ["original-port-unguarded"]],
  [["-i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP"], ["original-port-unguarded"]],
  [
    [
      "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
      "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP",
    ],
    [],
  ],
  [["-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"], []],
  [
    ["-j RETURN", "-s 198.51.100.0/24 -j DROP"],
    ["behind-return", "behind-return"],
  ],
];

test.each(CASES)("%j: %j", (rules, kinds) => {
  expect(withRules(...rules)).toEqual(kinds);
});

test("a chain that accepts before DOCKER-USER is evaluated", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
    save.replace(
      /(\[0:0\] -A FORWARD -j DOCKER-USER)/,
      ":ts-forward - [0:0]\n-A ts-forward -i tailscale0 -j ACCEPT\n-A FORWARD -j ts-forward\n$1",
    ),
  );
  expect(auditOf(rulesets, host).lint).toMatchObject([
    { kind: "docker-user-not-first", rule: { chain: "FORWARD", rule: 1 } },
  ]);
});

describe("chains that DOCKER-USER calls (1Panel: DOCKER-USER -> 1PANEL_DOCKER)", () => {
  const panel = (chain: string[], user: string[] = ["-j 1PANEL_DOCKER"], more = "") => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
      save.replace(
        /(\[0:0\] -A DOCKER-USER -j RETURN)/,
        `:1PANEL_DOCKER - [0:0]\n${[
          ...chain.map((r) => `-A 1PANEL_DOCKER ${r}\n`),
          ...user.map((r) => `-A DOCKER-USER ${r}\n`),
        ].join("")}${more}$1`,
      ),
    );
    return auditOf(rulesets, host).lint.map(({ kind, rule }) => [kind, rule?.chain, rule?.rule]);
  };

  test("the host's port never occurs there either, and the lint names the rule", () => {
    expect(panel(["-s 203.0.113.9/32 -j DROP", "-p tcp -m tcp --dport 8080 -j DROP"])).toEqual([
      ["host-port-after-dnat", "1PANEL_DOCKER", 2],
    ]);
  });
  test("a chain that INPUT also calls sees the host's port", () => {
    expect(panel(["-p tcp -m tcp --dport 8080 -j DROP"], undefined, "-A INPUT -j 1PANEL_DOCKER\n")).toEqual(
      [],
    );
  });
  test("a match of the original port needs a guard, unless established flows return before the call", () => {
    const drop = "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP";
    expect(panel([drop])).toEqual([["original-port-unguarded", "1PANEL_DOCKER", 1]]);
    const back = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN";
    expect(panel([drop], [back, "-j 1PANEL_DOCKER"])).toEqual([]);
    // RETURN ends only the called chain; ESTABLISHED packets return from both.
    expect(panel([back, drop])).toEqual([]);
  });
  test("rules after an unconditional one", () => {
    expect(panel(["-j RETURN", "-s 203.0.113.9/32 -j DROP"])).toEqual([
      ["behind-return", "1PANEL_DOCKER", 2],
    ]);
  });
  test("a chain of another program is not linted", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
      save.replace(
        /(\[0:0\] -A DOCKER-USER -j RETURN)/,
        ":f2b-web - [0:0]\n-A f2b-web -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -j f2b-web\n$1",
      ),
    );
    expect(auditOf(rulesets, host).lint).toEqual([]);
  });
});

describe("the owner's other rules", () => {
  const lints = (text: string) => {
    const rulesets = rulesetsOf(text);
    const addr = JSON.stringify(
      ["203.0.113.1", "10.9.0.1"].map((local, i) => ({
        ifname: `eth${i}`,
        addr_info: [{ family: "inet", local, prefixlen: 24, scope: "global" }],
      })),
    );
    const { lint, remarks } = auditOf(rulesets, hostOf(rulesets, { addr }));
    return {
      lint: lint.map((l) => [l.kind, l.rule?.line, "by" in l ? l.by.map((b) => b.line) : undefined]),
      first: lint[0],
      remarks,
    };
  };
  const input = (...rules: string[]) =>
    lints(`*filter\n:INPUT ACCEPT [0:0]\n:it - [0:0]\n${rules.map((r) => `-A ${r}\n`).join("")}COMMIT\n`);

  test("a deny after an allow of the same packets names both lines", () => {
    const { lint, first } = input(
      "INPUT -p tcp -m tcp --dport 8000:8100 -j ACCEPT",
      "INPUT -p tcp -m tcp --dport 8080 -j DROP",
    );
    expect(lint).toEqual([["shadowed", 5, [4]]]);
    expect(first!.message).toContain("no packet ever matches this deny");
    expect(first!.message).toContain(
      "line 4 (-A INPUT -p tcp -m tcp --dport 8000:8100 -j ACCEPT) decides otherwise",
    );
  });
  test("an allow whose packets two denies match together", () => {
    expect(
      input(
        "INPUT -s 10.0.0.0/9 -j DROP",
        "INPUT -s 10.128.0.0/9 -j DROP",
        "INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT",
      ).lint,
    ).toEqual([["shadowed", 6, [4, 5]]]);
  });
  test("the verdicts of a called chain count", () => {
    expect(input("it -j DROP", "INPUT -j it", "INPUT -p tcp -m tcp --dport 22 -j ACCEPT").lint).toEqual([
      ["shadowed", 6, [5]],
    ]);
  });
  test("many rules after one rule are one lint", () => {
    const many = Array.from({ length: 9 }, (_, i) => `INPUT -p tcp -m tcp --dport ${i + 1} -j ACCEPT`);
    const { lint, first } = input("INPUT -j DROP", ...many);
    expect(lint).toEqual([["shadowed", 5, [4]]]);
    expect(first!.message).toContain("nor the rules of lines 6, 7, 8, 9, 10, 11 and 2 more");
  });
  test.each([
    ["a second allow of the same", ["INPUT -s 10.0.0.0/8 -j ACCEPT", "INPUT -s 10.1.0.0/16 -j ACCEPT"]],
    ["a part that is left", ["INPUT -s 10.1.0.0/16 -j DROP", "INPUT -s 10.0.0.0/8 -j ACCEPT"]],
    [
      "established flows",
      [
        "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "INPUT -p tcp -m tcp --dport 22 -j DROP",
      ],
    ],
    [
      "a deny of the same behind established flows",
      [
        "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "INPUT -p tcp -m tcp --dport 22 -j DROP",
        "INPUT -p tcp -m tcp --dport 22 -j DROP",
      ],
    ],
    [
      "what a limit lets by",
      ["INPUT -m limit --limit 1/sec -j ACCEPT", "INPUT -p tcp -m tcp --dport 22 -j DROP"],
    ],
    ["a chain that others fill", ["INPUT -j ACCEPT", "f2b-x -s 192.0.2.1/32 -j DROP", "INPUT -j f2b-x"]],
  ])("no lint of %s", (_, rules) => {
    const text = `*filter\n:INPUT ACCEPT [0:0]\n:f2b-x - [0:0]\n${rules.map((r) => `-A ${r}\n`).join("")}${rules.some((r) => r.includes("f2b-x")) ? "" : "-A INPUT -j f2b-x\n"}COMMIT\n`;
    expect(lints(text).lint).toEqual([]);
  });

  test("chains that no rule calls, bans among them", () => {
    const { lint, first } = lints(
      "*filter\n:INPUT ACCEPT [0:0]\n:mine - [0:0]\n:f2b-sshd - [0:0]\n:empty - [0:0]\n:used - [0:0]\n-A used -j DROP\n-A INPUT -j used\n-A mine -s 192.0.2.9/32 -j DROP\n-A f2b-sshd -s 192.0.2.1/32 -j REJECT\nCOMMIT\n",
    );
    expect(lint).toEqual([["chain-not-called", 9, undefined]]);
    expect(first!.message).toContain(
      "calls chains mine, f2b-sshd: no packet ever reaches these rules, and bans",
    );
  });

  test("a DNAT rule of the owner that bypasses an explicit deny", () => {
    const rules = (deny: string) =>
      `*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 203.0.113.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.9.0.5:80\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n${deny}COMMIT\n`;
    const { lint, first } = lints(rules("-A INPUT -p tcp -m tcp --dport 8080 -j DROP\n"));
    expect(lint).toEqual([["dnat-past-deny", 3, [8]]]);
    expect(first!.message).toContain(
      "opens port 8080 although line 8 (-A INPUT -p tcp -m tcp --dport 8080 -j DROP)",
    );
    // A port that no rule of INPUT names is forwarded on purpose.
    expect(lints(rules("")).lint).toEqual([]);
    expect(lints(rules("-A INPUT -j DROP\n")).lint).toEqual([]);
  });

  test("5,000 rules of the owner are searched", () => {
    const many = Array.from({ length: 5000 }, (_, i) => `INPUT -s 10.${i >> 8}.${i & 255}.0/24 -j DROP`);
    const { lint, remarks } = input(...many, "INPUT -s 10.9.8.0/25 -j ACCEPT");
    expect(lint).toEqual([["shadowed", expect.any(Number), [expect.any(Number)]]]);
    expect(remarks.join()).not.toContain("not searched");
  });

  test("a note names a search that exceeds its limits, and the command that goes on", () => {
    const sources = Array.from(
      { length: 10_000 },
      (_, i) => `-s ${(i * 7919) % 223}.${i >> 8}.${i & 255}.9/32`,
    );
    const { lint, remarks } = input(
      ...sources.map((source) => `INPUT ${source} -j DROP`),
      ...sources.map((source) => `INPUT ${source} -p tcp -m tcp --dport 22 -j ACCEPT`),
    );
    expect(lint).toEqual([]);
    expect(remarks.join()).toContain("rules that never match were not searched");
    expect(remarks.join()).toContain("fwcheck lint");
  });
});

describe.skipIf(!existsSync(`${shared}hosts`))("real hosts", () => {
  test("no rule that ufw or Docker wrote is reported", () => {
    for (const name of readdirSync(`${shared}hosts`).filter((n) =>
      existsSync(`${shared}hosts/${n}/host.snap`),
    )) {
      const text = readFileSync(`${shared}hosts/${name}/host.snap`, "utf8");
      const { rules, sources } = readSnapshot({ name, text });
      const { rulesets } = readRuleset(rules);
      const host = readHost(sources, rulesets);
      for (const ruleset of rulesets) expect(ownerRuleLint(Program.of(ruleset, host)).lint, name).toEqual([]);
    }
  }, 60_000);
});
