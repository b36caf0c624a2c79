/** Shadowed rules: no packet matches one, and each has a reason. */
import { printRule, type Ruleset, readHost, readRuleset, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";
import { Program } from "../../lib/path/program.ts";
import { Domain } from "../../lib/reach/domain.ts";
import { findShadowedRules, type Shadow } from "../../lib/reach/shadowed-rules.ts";
import { vocabularyOf } from "../../lib/reach/vocabulary.ts";
import { type Rule, TABLES, type TableName } from "../../lib/rules/ruleset.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { generate } from "../kernel/generate.ts";
import { random } from "../random.ts";
import { draw } from "./draw.ts";

function read(rules: readonly string[], table: TableName, text = ""): [Ruleset, Map<Rule, Shadow>] {
  const chains = new Set(rules.map((rule) => rule.split(" ")[1]!));
  const save = [`*${table}`];
  for (const chain of chains) save.push(`:${chain} ${/^[A-Z]+$/.test(chain) ? "ACCEPT" : "-"} [0:0]`);
  const { rulesets, diagnostics } = readRuleset([
    { name: "save", text: [...save, ...rules, "COMMIT", ""].join("\n") },
  ]);
  expect(diagnostics).toEqual([]);
  const host = readHost({ ipset: text === "" ? [] : [{ name: "sets", text }] }, rulesets);
  return [rulesets[0]!, new Map(findShadowedRules(Program.of(rulesets[0]!, host), table))];
}

/** Lists the shadowed rules with short reasons. */
const told = (rules: readonly string[], table: TableName = "filter", sets = ""): string[] =>
  [...read(rules, table, sets)[1]].map(([{ chain, index }, why]) =>
    why.kind === "taken"
      ? `${chain} ${index} by ${why.by.map((r) => r.rule.index).join()}`
      : `${chain} ${index} ${why.kind}`,
  );

describe("a rule is shadowed", () => {
  test.each<[string, readonly string[], readonly string[]]>([
    ["behind one that takes all", ["-A INPUT -j DROP", "-A INPUT -s 10.0.0.1 -j ACCEPT"], ["INPUT 2 by 1"]],
    [
      "behind a wider one, and not behind a narrower",
      [
        "-A INPUT -s 10.0.0.0/8 -j DROP",
        "-A INPUT -s 10.1.0.0/16 -j ACCEPT",
        "-A INPUT -s 10.0.0.0/7 -j ACCEPT",
      ],
      ["INPUT 2 by 1"],
    ],
    [
      "behind several that take it piece by piece",
      [
        "-A INPUT -s 10.0.0.0/9 -j DROP",
        "-A INPUT -p udp -j ACCEPT",
        "-A INPUT -s 10.128.0.0/9 -j RETURN",
        "-A INPUT -s 10.0.0.0/8 -p tcp -j ACCEPT",
      ],
      ["INPUT 4 by 1,3"],
    ],
    [
      "behind many",
      [
        ...[0, 32, 64, 96, 128, 160, 192, 224].map((n) => `-A INPUT -s ${n}.0.0.0/3 -j DROP`),
        "-A INPUT -p tcp -j ACCEPT",
      ],
      ["INPUT 9 by 1,2,3,4,5,6,7,8"],
    ],
    [
      "that asks for two protocols at once",
      ["-A INPUT -p tcp -m conntrack ! --ctproto 6 --ctstate NEW -m conntrack --ctproto 6 -j DROP"],
      ["INPUT 1 contradiction"],
    ],
    [
      "behind a call that decides all of it",
      [
        "-A own -p tcp -j ACCEPT",
        "-A own -p udp -j DROP",
        "-A INPUT -s 10.0.0.0/8 -j own",
        "-A INPUT -s 10.0.0.0/8 -p udp -j ACCEPT",
        "-A INPUT -s 10.0.0.0/8 -p icmp -j ACCEPT",
        "-A INPUT -p udp -j ACCEPT",
      ],
      ["INPUT 2 by 1"],
    ],
    [
      "not behind a call that returns it first",
      ["-A own -p udp -j RETURN", "-A own -j DROP", "-A INPUT -j own", "-A INPUT -p udp -j ACCEPT"],
      [],
    ],
    [
      "behind a goto, which leaves no way back",
      ["-A own -s 10.0.0.0/8 -j DROP", "-A INPUT -p tcp -g own", "-A INPUT -p tcp -j ACCEPT"],
      ["INPUT 2 by 1"],
    ],
    [
      "where a goto comes back to the caller's caller",
      [
        "-A far -s 10.0.0.0/8 -j DROP",
        "-A own -p tcp -g far",
        "-A own -p tcp -j DROP",
        "-A INPUT -j own",
        "-A INPUT -p tcp -j ACCEPT",
        "-A INPUT -p udp -j ACCEPT",
      ],
      ["own 2 by 1"],
    ],
    [
      "of a chain that is called for other packets",
      ["-A own -p udp -j DROP", "-A own -j ACCEPT", "-A INPUT -p tcp -j own"],
      ["own 1 elsewhere"],
    ],
    [
      "not where a second call brings them",
      ["-A own -p udp -j DROP", "-A INPUT -p tcp -j own", "-A FORWARD -s 10.0.0.0/8 -j own"],
      [],
    ],
    [
      "not where it stands in a chain that nobody calls: nothing in it is asked",
      ["-A own -j DROP", "-A own -p tcp -j ACCEPT", "-A INPUT -p tcp -j ACCEPT"],
      [],
    ],
    [
      "not behind what is not known",
      [
        "-A INPUT -m limit --limit 1/s -j DROP",
        "-A INPUT -m string --algo bm --string a -j DROP",
        "-A INPUT -p tcp -j ACCEPT",
      ],
      [],
    ],
    [
      "not behind a note, nor behind what takes some of them only",
      ["-A INPUT -j LOG", "-A INPUT -p tcp -j SYNPROXY", "-A INPUT -p tcp -j ACCEPT"],
      [],
    ],
    [
      "behind one that hands them to a program, whatever that says",
      ["-A INPUT -p tcp -j NFQUEUE --queue-num 1", "-A INPUT -p tcp -j ACCEPT"],
      ["INPUT 2 by 1"],
    ],
  ])("%s", (_name, rules, dead) => {
    expect(told(rules)).toEqual(dead);
  });

  test("not by marks, nor by fields that rules of the table assign", () => {
    const marked = "-j MARK --set-xmark 0x1/0xffffffff";
    const one = "-A PREROUTING -m mark --mark 1 -j ACCEPT";
    const tables: readonly (readonly string[])[] = [
      [one, `-A PREROUTING -p tcp ${marked}`, "-A PREROUTING -m mark --mark 1 -j DROP"],
      [
        one,
        `-A PREROUTING ${marked}`,
        "-A PREROUTING -m mark ! --mark 1 -j DROP",
        "-A PREROUTING -p tcp -j ACCEPT",
      ],
      [`-A own ${marked}`, "-A own -m mark --mark 1 -j DROP", "-A PREROUTING -m mark --mark 2 -j own"],
      [
        "-A PREROUTING -m mark --mark 0xca6c -j ACCEPT",
        "-A PREROUTING -m connmark --mark 0x80000/0xff0000 -j DROP",
      ],
      [
        "-A PREROUTING -m mark ! --mark 0x2/0x2 -j NFQUEUE --queue-num 0",
        "-A PREROUTING -p tcp -m tcp --dport 22 -j DROP",
        "-A PREROUTING -p tcp -j ACCEPT",
      ],
      [
        "-A own -m mark --mark 1 -j DROP",
        `-A own ${marked}`,
        "-A own -m mark ! --mark 1 -j DROP",
        "-A PREROUTING -j own",
        "-A PREROUTING -p tcp -j ACCEPT",
      ],
      [
        "-A own -m mark --mark 1 -g far",
        "-A own -j DROP",
        "-A far -p sctp -j DROP",
        `-A PREROUTING ${marked}`,
        "-A PREROUTING -j own",
        "-A PREROUTING -p tcp -j ACCEPT",
      ],
      [
        "-A PREROUTING -m ttl --ttl-eq 64 -j ACCEPT",
        "-A PREROUTING -j TTL --ttl-set 64",
        "-A PREROUTING -m ttl --ttl-eq 64 -j DROP",
      ],
    ];
    for (const rules of tables) expect(told(rules, "mangle"), rules.join("\n")).toEqual([]);
  });

  test("not by TCP options that a rule rewrites", () => {
    const asks = (then: string) => `-A FORWARD -p tcp -m tcp ! --tcp-option 4 -j ${then}`;
    const strip = "-A FORWARD -p tcp -j TCPOPTSTRIP --strip-options sack-permitted";
    expect(told([asks("ACCEPT"), strip, asks("DROP")], "mangle")).toEqual([]);
    expect(told([asks("ACCEPT"), asks("DROP")], "mangle")).toEqual(["FORWARD 2 by 1"]);
  });

  test("not by the present content of sets", () => {
    const rules = ["-A INPUT -m set --match-set bans src -j DROP", "-A INPUT -s 10.1.0.0/16 -j ACCEPT"];
    expect(told(rules, "filter", "create bans hash:net family inet\nadd bans 10.0.0.0/8\n")).toEqual([
      "INPUT 2 by 1",
    ]);
    expect(told(rules, "filter", "create bans hash:net family inet\n")).toEqual(["INPUT 1 contradiction"]);
    expect(told(rules)).toEqual([]);
  });

  test("chains nested deeper than JavaScript's stack", () => {
    const rules = Array.from({ length: 20_000 }, (_, i) => `-A c${i} -j c${i + 1}`);
    expect(
      told([...rules, "-A c20000 -p tcp -j DROP", "-A c20000 -p tcp -j ACCEPT", "-A INPUT -j c0"]),
    ).toEqual(["c20000 2 by 1"]);
  });
});

test("no packet matches one, in random rulesets", () => {
  const next = random(17);
  let dead = 0;
  let met = 0;
  for (let i = 0; i < 40; i++) {
    const { save, sysctls } = generate(next, i % 3 === 2 ? 6 : 4, `drawn ${i}`);
    const rulesets = rulesetsOf(save, { name: `drawn ${i}` });
    const text = Object.entries(sysctls).map(([name, value]) => `${name} = ${value}\n`);
    const host = hostOf(rulesets, { sysctl: text.join("") });
    const program = Program.of(rulesets[0]!, host);
    const found = new Set<string>();
    for (const table of TABLES)
      for (const rule of findShadowedRules(program, table).keys()) {
        found.add(`${rule.table} ${rule.chain} ${rule.index}`);
        dead++;
      }
    const vocabulary = vocabularyOf(program);
    const domain = Domain.of(rulesets[0]!.family, [vocabulary]);
    for (let n = 0; n < 250; n++) {
      const { packet, assume } = draw(
        domain,
        host,
        rulesets[0]!.family,
        vocabulary.shared ?? new Map(),
        next,
      );
      for (const step of new Simulator(rulesets, host, { assume }).packet(packet).path) {
        if (step.step !== "rule") continue;
        met++;
        const rule = rulesets[0]!.tables.get(step.table)!.chains.get(step.chain)!.rules[step.rule - 1]!;
        expect(found.has(`${step.table} ${step.chain} ${step.rule}`), printRule(rule, rulesets[0]!)).toBe(
          false,
        );
      }
    }
  }
  expect(dead).toBeGreaterThan(20);
  expect(met).toBeGreaterThan(3000);
});
