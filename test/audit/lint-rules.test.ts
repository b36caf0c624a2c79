/** Dead, shadowed and redundant rules, in both languages; and on drawn packets no rule is called so that decides one. */
import {
  type Answer,
  type Host,
  type LintOptions,
  lintRules,
  lintRulesText,
  type Rule,
  type RuleAnomaly,
  type RuleLint,
  type Ruleset,
  readNftables,
  Simulator,
  withNftables,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { NEVER } from "../../lib/packet/predicate.ts";
import { Program } from "../../lib/path/program.ts";
import { Domain } from "../../lib/reach/domain.ts";
import { vocabularyOf } from "../../lib/reach/vocabulary.ts";
import { NOTE } from "../../lib/rules/effect.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { deadPlaces } from "../dead-rules.ts";
import { generate } from "../kernel/generate.ts";
import { generateNft } from "../kernel/nft/generate.ts";
import { random } from "../random.ts";
import { draw } from "../reach/draw.ts";

/** Packets for each drawn ruleset. */
const PACKETS = Number(process.env.LAW_PACKETS ?? 50);
const SEED = Number(process.env.LAW_SEED ?? 0);
/** Drawn rulesets of each language. */
const DRAWN = Number(process.env.LAW_RULESETS ?? 6);

/** Anomalies in short: chain, rule, kind, reason, causes. */
const short = ({ anomalies }: RuleLint): string[] =>
  anomalies.map((a) => {
    const reason = "reason" in a ? ` ${a.reason}` : "";
    const causes =
      "by" in a ? ` by ${a.by.map(({ decides, rule }) => `${rule.rule} ${decides}`).join()}` : "";
    return `${a.rule.chain} ${a.rule.rule} ${a.kind}${reason}${causes}${"reachesEnd" in a && a.reachesEnd ? " end" : ""}`;
  });

/** Lints rules of table filter of iptables: chains in upper case are base chains. */
function iptables(rules: readonly string[], sets = "", options: LintOptions = {}): RuleLint {
  const chains = new Set(["INPUT", "it", ...rules.map((rule) => rule.split(" ")[0]!)]);
  const heads = [...chains].map((c) => `:${c} ${/^[A-Z]+$/.test(c) ? "ACCEPT" : "-"} [0:0]\n`);
  const text = `*filter\n${heads.join("")}${rules.map((rule) => `-A ${rule}\n`).join("")}COMMIT\n`;
  const rulesets = rulesetsOf(text);
  return lintRules(rulesets, hostOf(rulesets, sets === "" ? {} : { ipset: sets }), options);
}

/** Lints a table of nftables: chains with their lines. */
function nft(
  family: string,
  chains: Readonly<Record<string, readonly string[]>>,
  more = "",
  options: LintOptions = {},
): RuleLint {
  const text = Object.entries(chains).map(([name, lines]) => `chain ${name} {\n${lines.join("\n")}\n}\n`);
  const loaded = readNftables([
    { name: "n", text: `table ${family} t {\n${more}${text.join("")}}\n`, complete: true },
  ]);
  expect(loaded.diagnostics).toEqual([]);
  const { rulesets } = withNftables([], loaded);
  return lintRules(rulesets, hostOf(rulesets), options);
}

const HOOK = "type filter hook input priority filter; policy accept;";

describe("iptables", () => {
  test.each<[string, readonly string[], readonly string[]]>([
    [
      "a deny after a wider allow is shadowed by it alone, whatever other rules take parts of its packets",
      [
        "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "INPUT -s 10.0.0.0/8 -j ACCEPT",
        "INPUT -s 10.1.0.0/16 -j DROP",
        "INPUT -j DROP",
      ],
      ["INPUT 3 shadowed by 2 otherwise"],
    ],
    [
      "an allow after a wider allow is redundant",
      ["INPUT -s 10.0.0.0/8 -j ACCEPT", "INPUT -s 10.1.0.0/16 -j ACCEPT", "INPUT -j DROP"],
      ["INPUT 2 redundant earlier by 1 same"],
    ],
    [
      "an allow before a wider allow is redundant, unless a rule between them denies",
      [
        "INPUT -s 10.1.0.0/16 -j ACCEPT",
        "INPUT -s 10.2.0.0/16 -j ACCEPT",
        "INPUT -s 10.2.0.0/15 -p tcp -j DROP",
        "INPUT -s 10.0.0.0/8 -j ACCEPT",
        "INPUT -j DROP",
      ],
      ["INPUT 1 redundant later by 4 same"],
    ],
    [
      "a deny that the verdicts of a called chain take is compared packet by packet",
      [
        "it -p udp -j ACCEPT",
        "it -p tcp -j DROP",
        "INPUT -j it",
        "INPUT -p tcp -m tcp --dport 22 -j DROP",
        "INPUT -p udp -m udp --dport 22 -j DROP",
      ],
      ["INPUT 2 redundant earlier by 1 same", "INPUT 3 shadowed by 1 otherwise"],
    ],
    [
      "an allow is redundant where the policy allows, and where the callers do",
      ["it -p tcp -j ACCEPT", "INPUT -s 10.0.0.0/8 -j it", "INPUT -s 10.0.0.0/8 -p udp -j DROP"],
      ["INPUT 1 redundant later by  end", "it 1 redundant later by  end"],
    ],
    ["a rule that logs is never redundant", ["INPUT -p tcp -j LOG", "INPUT -s 10.1.0.0/16 -j LOG"], []],
    [
      "an allow in front of a log is not redundant: its packets would be logged",
      ["INPUT -s 10.1.0.0/16 -j ACCEPT", "INPUT -s 10.0.0.0/8 -j LOG", "INPUT -s 10.2.0.0/16 -j LOG"],
      [],
    ],
    [
      "a limit is never redundant, nor is an allow that keeps packets from it",
      [
        "INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "INPUT -p tcp -m limit --limit 1/s -j ACCEPT",
        "INPUT -p udp -m recent --set --name a --rsource -j ACCEPT",
      ],
      [],
    ],
    ["a reject is no drop", ["INPUT -p tcp -j REJECT", "INPUT -j DROP"], []],
    [
      "a mark, a counter, and a call of an empty chain are not redundant",
      [
        "INPUT -p tcp",
        "INPUT -p tcp -j MARK --set-xmark 0x1/0xffffffff",
        "INPUT -p udp -j it",
        "it2 -j DROP",
      ],
      ["it2 1 dead chain-not-entered"],
    ],
    [
      "a chain that no packet enters, and a rule for other packets than those",
      [
        "web -p udp -j DROP",
        "web -p tcp -j DROP",
        "old -j DROP",
        "old -p tcp -j DROP",
        "INPUT -p tcp -j web",
      ],
      ["web 1 dead no-packet", "old 1 dead chain-not-entered"],
    ],
    [
      "a contradiction",
      ["INPUT -p tcp -m conntrack ! --ctproto 6 --ctstate NEW -m conntrack --ctproto 6 -j DROP"],
      ["INPUT 1 dead contradiction"],
    ],
  ])("%s", (_name, rules, found) => {
    expect(short(iptables(rules))).toEqual(found);
  });

  test("the present elements of a set make no rule dead", () => {
    const rules = [
      "INPUT -m set --match-set bans src -j DROP",
      "INPUT -s 10.1.0.0/16 -j DROP",
      "INPUT -m set --match-set bans src -j ACCEPT",
      "INPUT -m set --match-set none src -j DROP",
    ];
    const sets = "create bans hash:net family inet\nadd bans 10.0.0.0/8\ncreate none hash:net family inet\n";
    expect(short(iptables(rules, sets))).toEqual(["INPUT 3 shadowed by 1 otherwise"]);
  });
});

describe("nftables", () => {
  test("a rule of a table for both families is dead only if it is for both", () => {
    const found = nft("inet", {
      input: [
        HOOK,
        "ip6 saddr 2001:db8::/32 drop",
        "ip saddr 10.0.0.0/8 drop",
        "ip saddr 10.1.0.0/16 accept",
      ],
    });
    expect(short(found)).toEqual(["input 3 shadowed by 2 otherwise"]);
    expect(found.anomalies[0]!.families).toEqual([4, 6]);
    expect(found.rules).toBe(3);
  });
  test("verdict maps, anonymous sets and returns", () => {
    expect(
      short(
        nft("ip", {
          web: ["tcp dport 80 accept", "udp dport 80 accept", "return", "tcp dport 81 drop"],
          input: [
            HOOK,
            "tcp dport vmap { 80 : jump web, 81 : drop }",
            "tcp dport { 80, 81 } drop",
            "tcp dport 81 drop",
          ],
        }),
      ),
    ).toEqual([
      "web 2 dead no-packet",
      "web 3 shadowed by 1 otherwise",
      "web 4 dead no-packet",
      "input 2 shadowed by 1 otherwise",
      "input 3 redundant earlier by 1 same",
    ]);
  });
  test("the present elements of sets and maps with a name make no rule dead", () => {
    const sets = [
      "set bans {\ntype ipv4_addr\nflags interval\nelements = { 10.0.0.0/8 }\n}\n",
      "set none {\ntype ipv4_addr\n}\n",
      "map ports {\ntype inet_service : verdict\nelements = { 80 : jump web }\n}\n",
    ];
    expect(
      short(
        nft(
          "ip",
          {
            web: ["tcp dport 80 accept", "tcp dport 81 drop"],
            input: [
              HOOK,
              "ip saddr @bans drop",
              "ip saddr 10.1.0.0/16 drop",
              "ip saddr @none drop",
              "tcp dport vmap @ports",
              "tcp dport 80 drop",
            ],
          },
          sets.join(""),
        ),
      ),
    ).toEqual(["web 2 dead no-packet"]);
  });
  test("a rule with a log or a limit is not redundant", () => {
    expect(
      short(
        nft("ip", { input: [HOOK, "tcp dport 80 log accept", "tcp dport 81 limit rate 1/second accept"] }),
      ),
    ).toEqual([]);
  });
});

describe("correlated rules", () => {
  const options = { correlated: true };
  test("rules that overlap in part and decide otherwise, in their chain", () => {
    const rules = [
      "INPUT -s 10.0.0.0/8 -j ACCEPT",
      "INPUT -s 192.168.0.0/16 -j ACCEPT",
      "INPUT -s 10.1.0.0/16 -p udp -m udp --dport 22 -j ACCEPT",
      "INPUT -p tcp -m tcp --dport 22 -j DROP",
      "INPUT -m limit --limit 1/s -j DROP",
      "INPUT -s 10.0.0.0/6 -j DROP",
    ];
    expect(short(iptables(rules))).toEqual(["INPUT 3 redundant earlier by 1 same"]);
    expect(short(iptables(rules, "", options))).toEqual([
      "INPUT 3 redundant earlier by 1 same",
      "INPUT 4 correlated by 1 otherwise,2 otherwise",
    ]);
  });
  test("for the packets of one family", () => {
    const input = [HOOK, "ip saddr 10.0.0.0/8 accept", "tcp dport 22 drop"];
    const found = nft("inet", { input }, "", options);
    expect(short(found)).toEqual(["input 2 correlated by 1 otherwise"]);
    expect(found.anomalies[0]!.families).toEqual([4]);
  });
  test("too many pairs are not listed, and said so; all other anomalies are listed", () => {
    const sources = Array.from({ length: 400 }, (_, i) => `INPUT -s 10.${i % 256}.${i >> 8}.0/24 -j ACCEPT`);
    const ports = Array.from({ length: 300 }, (_, i) => `INPUT -p tcp -m tcp --dport ${i + 1} -j DROP`);
    const found = iptables([...sources, ...ports, ports[0]!], "", options);
    expect(found.unsettled).toEqual([{ family: 4, table: "filter", limit: 100_000, unit: "pairs of rules" }]);
    expect(short(found)).toEqual([
      "INPUT 401 redundant later by 701 same",
      "INPUT 701 redundant earlier by 401 same",
    ]);
    expect(lintRulesText(found)).toContain("correlated rules of table filter of IPv4 are not listed");
  });
});

test("a budget that is too small ends as unsettled, never as an answer", () => {
  const rulesets = rulesetsOf(
    `*filter\n:INPUT ACCEPT [0:0]\n${Array.from({ length: 50 }, (_, i) => `-A INPUT -s 10.0.${i}.0/24 -j DROP\n`).join("")}COMMIT\n`,
  );
  const found = lintRules(rulesets, hostOf(rulesets), { budget: 20 });
  expect(found).toMatchObject({ anomalies: [], unsettled: [{ family: 4, table: "filter", limit: 20 }] });
  expect(lintRulesText(found)).toContain("raise --budget");
});

/** Returns the ruleset with a rule that no packet matches in the place of another. */
function without(ruleset: Ruleset, { chain: name, rule: number, table: id }: RuleAnomaly["rule"]): Ruleset {
  const table = ruleset.tables.get(id)!;
  const chain = table.chains.get(name)!;
  const gone = (rule: Rule): Rule =>
    Object.create(rule, {
      compile: { value: () => ({ when: NEVER, effect: NOTE }) },
      calledChains: { value: [] },
    }) as Rule;
  const rules = chain.rules.map((rule) => (rule.index === number ? gone(rule) : rule));
  const chains = new Map([...table.chains, [name, { ...chain, rules }]]);
  return { ...ruleset, tables: new Map([...ruleset.tables, [id, { ...table, chains }]]) };
}

const outcome = ({ delivery, out, sent, verdict }: Answer): unknown => ({ delivery, out, sent, verdict });

/** Random rulesets of both languages. */
function* drawn(): Generator<{ readonly name: string; readonly ruleset: Ruleset; readonly host: Host }> {
  const next = random(23 + SEED);
  for (let i = 0; i < DRAWN * 2; i++) {
    const family = i % 3 === 2 ? 6 : 4;
    const name = `${i % 2 === 0 ? "iptables" : "nft"} ${i}`;
    const scenario = i % 2 === 0 ? generate(next, family, name) : generateNft(next, family, name, true);
    const { save, sysctls, nft: text } = scenario;
    const saved = save === "" ? [] : rulesetsOf(save, { name });
    const loaded = text === undefined ? [] : [{ name, text, complete: true }];
    const all = text === undefined ? saved : withNftables(saved, readNftables(loaded)).rulesets;
    const rulesets = all.filter((each) => each.family === family);
    const sysctl = Object.entries(sysctls).map(([key, value]) => `${key} = ${value}\n`);
    yield { name, ruleset: rulesets[0]!, host: hostOf(rulesets, { sysctl: sysctl.join("") }) };
  }
}

test("drawn packets never match a dead rule, and redundant rules change no outcome", () => {
  const next = random(29 + SEED);
  const counts = { dead: 0, redundant: 0, matches: 0, removals: 0 };
  for (const { host, name, ruleset } of drawn()) {
    const { anomalies } = lintRules([ruleset], host, { all: true });
    const key = (r: { table: string; chain: string; rule: number }): string =>
      `${r.table} ${r.chain} ${r.rule}`;
    const later = anomalies.filter((a) => a.kind === "redundant" && a.reason === "later");
    const dead = deadPlaces(ruleset, host);
    // Programs are memoized by ruleset: one ruleset for each removal.
    const removed = new Map(later.map(({ rule }) => [key(rule), { rule, ruleset: without(ruleset, rule) }]));
    counts.dead += dead.size;
    counts.redundant += later.length;
    const vocabulary = vocabularyOf(Program.of(ruleset, host));
    const domain = Domain.of(ruleset.family, [vocabulary]);
    for (let n = 0; n < PACKETS; n++) {
      const shared = vocabulary.shared ?? new Map();
      const { assume, packet } = draw(domain, host, ruleset.family, shared, next, { anyPorts: true });
      const answer = new Simulator([ruleset], host, { assume }).packet(packet);
      for (const step of answer.path) {
        if (step.step !== "rule") continue;
        counts.matches++;
        expect(dead.has(key(step)), `${name}: ${key(step)}`).toBe(false);
        const without = removed.get(key(step));
        if (without === undefined) continue;
        counts.removals++;
        const after = new Simulator([without.ruleset], host, { assume }).packet(packet);
        expect(outcome(after), `${name}: without ${key(step)} ${without.rule.text}`).toEqual(outcome(answer));
      }
    }
  }
  if (process.env.LAW_PACKETS !== undefined) console.log(JSON.stringify(counts));
  expect(counts.dead).toBeGreaterThan(20);
  expect(counts.redundant).toBeGreaterThan(10);
  expect(counts.matches).toBeGreaterThan(200);
  expect(counts.removals).toBeGreaterThan(5);
}, 1_800_000);
