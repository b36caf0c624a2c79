/**
 * Compares the two engines: a packet is in the set for an outcome if and only if `simulate` gives it that outcome, and the
 * same rule or policy decides it.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import {
  type Answer,
  type Assumption,
  type Host,
  printRule,
  type Ruleset,
  readHost,
  readNftables,
  readRuleset,
  Simulator,
  withNftables,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { decidingStep } from "../../lib/audit/decision.ts";
import { parseAddress, printAddress } from "../../lib/packet/address.ts";
import { type Address, type Field, hasPorts, type Scalar } from "../../lib/packet/field.ts";
import { packetJson } from "../../lib/packet/packet-json.ts";
import { ANY } from "../../lib/packet/predicate.ts";
import { Program } from "../../lib/path/program.ts";
import { AttributedEngine, type SetDecider } from "../../lib/reach/attributed-engine.ts";
import { BudgetExceeded } from "../../lib/reach/budget.ts";
import { Domain } from "../../lib/reach/domain.ts";
import { valueIn } from "../../lib/reach/set-state.ts";
import { vocabularyOf } from "../../lib/reach/vocabulary.ts";
import { hasBothBackends } from "../../lib/rules/ruleset.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { capture, examples, shared } from "../capture.ts";
import { generate } from "../kernel/generate.ts";
import { generateBoth, generateNft } from "../kernel/nft/generate.ts";
import { random } from "../random.ts";
import { type DrawOptions, draw } from "./draw.ts";

const PACKETS = Number(process.env.LAW_PACKETS ?? 300);
/** Number of random rulesets. */
const DRAWN = Math.max(20, Math.min(200, Math.floor(PACKETS / 50)));
/** Added to the seeds of the random rulesets. */
const SEED = Number(process.env.LAW_SEED ?? 0);
/** Number of the only random ruleset to draw packets for. */
const ONLY = process.env.LAW_RULESET === undefined ? null : Number(process.env.LAW_RULESET);
const LONG = 7_200_000;
const ipv4 = (text: string): Address => parseAddress(text, 4)!;
const count = (packets: number): void => {
  if (process.env.LAW_PACKETS !== undefined) console.log(`${packets} packets, no difference`);
};

function law(
  rulesets: readonly Ruleset[],
  host: Host,
  packets: number,
  seed: number,
  options: DrawOptions = {},
): number {
  const next = random(seed);
  let checked = 0;
  for (const ruleset of rulesets) {
    const program = Program.of(ruleset, host);
    const vocabulary = vocabularyOf(program);
    const domain = Domain.of(ruleset.family, [vocabulary]);
    const reach = new AttributedEngine(program, domain);
    const walks = {
      arriving: reach.attributeArriving(reach.start(ANY)),
      leaving: reach.attributeSent(reach.start(ANY)),
    };
    const arriving = reach.splitEndings(walks.arriving.endings);
    const leaving = reach.splitEndings(walks.leaving.endings);
    for (let i = 0; i < packets; i++) {
      const { packet, assume, ordinal } = draw(
        domain,
        host,
        ruleset.family,
        vocabulary.shared ?? new Map(),
        next,
        options,
      );
      const endings = packet.in === null ? leaving : arriving;
      const homes = endings.filter((e) => domain.diagrams.evaluate(e.state.set, ordinal) === 1);
      const answer = new Simulator([ruleset], host, { assume }).packet(packet);
      const where = () =>
        JSON.stringify({
          seed,
          i,
          packet: packetJson(packet),
          assume: [...assume],
          answer,
          homes: homes.map((h) => [
            h.verdict,
            h.delivery,
            h.out,
            h.reason,
            h.state.translated.map((r) => printRule(r, ruleset)),
          ]),
        });
      // Sets mark some translations as uncertain and give no verdict for them. Packets cannot be given an SPI.
      if (homes.some((h) => h.state.unsure.length > 0) || answer.assumptionCodes.some(isMissingSpi)) continue;
      expect(homes.length, where()).toBe(1);
      const [home] = homes;
      expect(
        [
          home!.verdict,
          home!.verdict === "accept" ? home!.delivery : "none",
          home!.verdict === "accept" ? home!.out : null,
        ],
        where(),
      ).toEqual([answer.verdict, answer.delivery, answer.out]);
      const { deciders } = packet.in === null ? walks.leaving : walks.arriving;
      const decider = reach.decider(domain.diagrams.evaluate(deciders, ordinal));
      // Where the path ends outside the rules, no rule decides unless one of its matches drops the packet.
      if (home!.reason === null) expect(placeOf(decider), where()).toEqual(decidingPlace(answer, ruleset));
      const { sent } = answer;
      const leaves = (field: Field, now: Scalar | null, asText: (value: Scalar) => string = String): void => {
        const known = valueIn(home!.state, field);
        if (known !== undefined) expect(String(now), where()).toBe(asText(known));
      };
      if (sent !== null) {
        // Sets contain any source that the kernel can choose: no later rule tests it.
        const chosen = home!.state.translated.some((r) =>
          / -j (SNAT|MASQUERADE)|\b(snat|masquerade)\b/.test(printRule(r, ruleset)),
        );
        leaves("dst", sent.dst, (a) => printAddress(a as Address));
        if (!chosen) leaves("src", sent.src, (a) => printAddress(a as Address));
        if (hasPorts(packet.proto)) leaves("dport", sent.dport);
      }
      checked++;
    }
  }
  return checked;
}

/** Returns the place of a rule or policy that decides packets of a set; `null` for a packet that no rule decides. */
const placeOf = (decider: SetDecider | undefined): unknown =>
  decider === undefined
    ? null
    : decider.kind === "policy"
      ? [decider.chain.table, decider.chain.name, "policy"]
      : decider.kind === "taken"
        ? decider.reason
        : [decider.rule.table, decider.rule.chain, decider.rule.index];

/** Returns the place of the rule or policy that decides a packet for the simulator. */
function decidingPlace(answer: Answer, ruleset: Ruleset): unknown {
  if (answer.reasonCode !== undefined) return answer.reasonCode;
  const step = decidingStep(answer, ruleset);
  if (step === undefined) return null;
  return [step.table, step.chain, step.step === "rule" ? step.rule : step.step];
}

/** Returns true for an assumption about the SPI, which packets of the simulator do not have. */
const isMissingSpi = (assumption: Assumption): boolean =>
  assumption.code === "supposed" &&
  assumption.reason.code === "field-missing" &&
  assumption.reason.field === "spi";

/** Adds a condition that is unknown to one rule in eight, in front of it or after its first change. */
const withUnknowns = (text: string, next: () => number): string =>
  text.replace(/^\t\t(?!type |flags |elements |auto-merge|\})((?:meta|ct) mark set 0x\d+ )?/gm, (line) =>
    next() < 0.125 ? `${line}numgen random mod 2 0 ` : line,
  );

/** Random rulesets of nftables, as often as not with tables of iptables. */
function* drawnNft(): Generator<{ readonly rulesets: readonly Ruleset[]; readonly host: Host }> {
  const next = random(7 + SEED);
  for (let i = 0; i < DRAWN; i++) {
    const name = `nft ${i}`;
    const family = i % 3 === 2 ? 6 : 4;
    const { save, sysctls, nft } = generateNft(next, family, name, true);
    const text = withUnknowns(nft!, next);
    const loaded = readNftables([{ name, text, complete: true }]);
    if (loaded.damaged) throw new Error(`${JSON.stringify(loaded.diagnostics)}\n${text}`);
    const own = save === "" ? [] : rulesetsOf(save, { name });
    const rulesets = withNftables(own, loaded).rulesets.filter((each) => each.family === family);
    const sysctl = Object.entries(sysctls).map(([key, value]) => `${key} = ${value}\n`);
    yield { rulesets, host: hostOf(rulesets, { sysctl: sysctl.join("") }) };
  }
}

/** Random rulesets with tables of both backends of iptables, and of nftables as often as not. */
function* drawnBoth(): Generator<{ readonly rulesets: readonly Ruleset[]; readonly host: Host }> {
  const next = random(11 + SEED);
  // They are twice as large as those of one backend.
  for (let i = 0; i < DRAWN / 2; i++) {
    const name = `both ${i}`;
    const family = i % 3 === 2 ? 6 : 4;
    const { backend, save, other, sysctls, nft } = generateBoth(next, family, name, true);
    const backends = ["iptables-legacy", "iptables-nft"] as const;
    const [own, second] = backend === "nft" ? backends.toReversed() : backends;
    const saved = readRuleset([
      { name, text: save, family, backend: own! },
      { name: `${name}, other`, text: other!, family, backend: second! },
    ]);
    const loaded = readNftables(
      nft === undefined ? [] : [{ name, text: withUnknowns(nft, next), complete: true }],
    );
    if (saved.conflicts.length > 0 || loaded.damaged)
      throw new Error(JSON.stringify([saved.conflicts, loaded.diagnostics]));
    const rulesets = withNftables(saved.rulesets, loaded).rulesets.filter((each) => each.family === family);
    expect(rulesets.map(hasBothBackends)).toEqual([true]);
    const sysctl = Object.entries(sysctls).map(([key, value]) => `${key} = ${value}\n`);
    yield { rulesets, host: hostOf(rulesets, { sysctl: sysctl.join("") }) };
  }
}

describe("a packet is in the set for an outcome if and only if simulate gives it that outcome", () => {
  test.each(["ufw-docker-20.10", "ufw-docker-28.5"])("%s", { timeout: LONG }, (name) => {
    const { rulesets, host } = capture(`${examples}${name}`);
    const checked = law(rulesets, host, PACKETS * 5, 1);
    count(checked);
    expect(checked).toBeGreaterThan(PACKETS);
  });

  test("rpfilter, with the routes of a capture", { timeout: LONG }, () => {
    const rules = [
      "-m rpfilter --invert -j DROP",
      "-m rpfilter --loose --accept-local",
      "-i eth1 -m rpfilter -j RETURN",
    ];
    const { rulesets, host } = capture(`${examples}ufw-docker-28.5`, (save) =>
      save.replace(
        /^\*raw\n(?::.*\n)*/m,
        (head) => `${head}${rules.map((r) => `-A PREROUTING ${r}\n`).join("")}`,
      ),
    );
    expect(rulesets[0]!.tables.get("raw")!.chains.get("PREROUTING")!.rules.length).toBeGreaterThan(2);
    expect(law(rulesets, host, PACKETS * 5, 3)).toBeGreaterThan(PACKETS);
  });

  test("NETMAP in both directions, and shifted ranges of ports", { timeout: LONG }, () => {
    const rules: Record<string, readonly string[]> = {
      PREROUTING: [
        "-i wg0 -d 10.50.0.0/24 -j NETMAP --to 172.17.0.0/24",
        "-d 172.17.0.0/28 -j NETMAP --to 172.17.0.0/28",
        "-d 192.0.2.0/24 -j MAP",
        "-p tcp -m tcp --dport 9000:9009 -j DNAT --to-destination 172.17.0.3:80-89/9000",
        "-p udp -m udp --dport 80:85 -j DNAT --to-destination 172.17.0.4:8080-8085/80",
      ],
      POSTROUTING: [
        "-s 172.17.0.0/24 -o wg0 -j NETMAP --to 10.50.0.0/24",
        "-s 10.9.0.0/16 -j NETMAP --to 10.8.0.0/16",
        "-j MAP",
      ],
      // The hook that calls the chain determines the side.
      MAP: ["-s 192.0.2.16/30 -d 192.0.2.0/28 -j NETMAP --to 172.17.0.0/28"],
    };
    const save = [
      "*nat",
      ...Object.keys(rules).map((chain) => `:${chain} ${chain === "MAP" ? "-" : "ACCEPT"} [0:0]`),
      ...Object.entries(rules).flatMap(([chain, list]) => list.map((rule) => `-A ${chain} ${rule}`)),
      ...["COMMIT", "*filter", ":FORWARD DROP [0:0]", "-A FORWARD -d 172.17.0.3 -p tcp --dport 84 -j ACCEPT"],
      ...["-A FORWARD -d 172.17.0.2/31 -j ACCEPT", "-A FORWARD -i docker0 -j ACCEPT", "COMMIT", ""],
    ].join("\n");
    const rulesets = rulesetsOf(save);
    const interfaces = {
      eth0: ["203.0.113.1", 24],
      wg0: ["10.9.0.1", 24],
      docker0: ["172.17.0.1", 16],
    } as const;
    const addr = Object.entries(interfaces).map(([ifname, [local, prefixlen]]) => ({
      ifname,
      addr_info: [{ family: "inet", local, prefixlen }],
    }));
    const host = hostOf(rulesets, { addr });
    const usual = { src: [ipv4("192.0.2.17")], dst: [ipv4("192.0.2.1")] };
    // A range that is too wide to map each value gets no verdict.
    expect(law(rulesets, host, PACKETS * 10, 5, { usual })).toBeGreaterThan(PACKETS * 4);
  });

  test("translations on a bridge, of which some change the port alone", { timeout: LONG }, () => {
    const text = [
      "table ip6 n {",
      ...["\tchain c {", "\t\ttype nat hook prerouting priority -100; policy accept;"],
      ...["\t\ttcp dport 80 dnat to [fd00:18::9]:8080", "\t\ttcp dport 81-82 dnat to :8080", "\t}", "}", ""],
    ].join("\n");
    const loaded = readNftables([{ name: "nft", text, complete: true }]);
    const rulesets = withNftables([], loaded).rulesets.filter(({ family }) => family === 6);
    const port = (ifname: string) => ({ ifname, master: "br0", addr_info: [] });
    const addr = [
      { ifname: "br0", addr_info: [{ family: "inet6", local: "fd00:18::1", prefixlen: 64 }] },
      ...[port("veth1"), port("veth2")],
    ];
    const sysctl = "net.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv6.conf.all.forwarding = 1\n";
    expect(law(rulesets, hostOf(rulesets, { addr, sysctl }), PACKETS * 5, 9)).toBeGreaterThan(PACKETS);
  });

  test("routes by mark, where packets have several marks before a chain of type route", {
    timeout: LONG,
  }, () => {
    const text = [
      "table ip r {",
      ...["\tchain first {", "\t\ttype filter hook output priority -300; policy accept;"],
      ...["\t\ttcp dport 80 meta mark set 0x1", "\t\ttcp dport 81 meta mark set 0x2", "\t}"],
      ...["\tchain second {", "\t\ttype route hook output priority -150; policy accept;"],
      ...[
        "\t\ttcp sport 40000 meta mark set 0x2",
        "\t\ttcp sport 40001 ip daddr set 192.0.2.9",
        "\t}",
        "}",
        "",
      ],
    ].join("\n");
    const rulesets = withNftables([], readNftables([{ name: "nft", text, complete: true }])).rulesets;
    const addr = ["eth0", "eth1"].map((ifname, i) => ({
      ifname,
      addr_info: [{ family: "inet", local: `10.${i}.0.1`, prefixlen: 24 }],
    }));
    const route = [
      { dst: "default", gateway: "10.0.0.2", dev: "eth0" },
      { dst: "default", gateway: "10.1.0.2", dev: "eth1", table: "2" },
    ];
    const rule = [
      { priority: 0, src: "all", table: "local" },
      { priority: 9, src: "all", fwmark: "0x2", table: "2" },
      { priority: 32766, src: "all", table: "main" },
      { priority: 32767, src: "all", table: "default" },
    ];
    const host = hostOf(rulesets, { addr, route, rule });
    const own = rulesets.filter(({ family }) => family === 4);
    const usual = {
      src: [ipv4("10.0.0.1")],
      dst: [ipv4("192.0.2.9"), ipv4("192.0.2.10")],
      sport: [40000, 40001],
      dport: [80, 81, 82],
    };
    expect(law(own, host, PACKETS * 10, 11, { usual })).toBeGreaterThan(PACKETS);
  });

  const folder = `${shared}rulesets/`;
  const files = existsSync(folder) ? readdirSync(folder).filter((f) => f !== "README.md") : [];
  test.skipIf(files.length === 0)(
    `every ruleset of ${files.length} from the world`,
    { timeout: LONG },
    () => {
      let checked = 0;
      for (const name of files) {
        const text = readFileSync(folder + name, "utf8");
        const rulesets = rulesetsOf(text, { name });
        checked += law(rulesets, readHost({ complete: true }, rulesets), Math.ceil(PACKETS / 3), 2);
      }
      count(checked);
      expect(checked).toBeGreaterThan(0);
    },
  );

  test(`${DRAWN} random rulesets`, { timeout: LONG }, () => {
    const next = random(3 + SEED);
    let checked = 0;
    for (let i = 0; i < DRAWN; i++) {
      const { save, sysctls } = generate(next, i % 3 === 2 ? 6 : 4, `drawn ${i}`);
      const rulesets = rulesetsOf(save, { name: `drawn ${i}` });
      const text = Object.entries(sysctls).map(([name, value]) => `${name} = ${value}\n`);
      const host = hostOf(rulesets, { sysctl: text.join("") });
      checked += law(rulesets, host, Math.ceil(PACKETS / 4), 4 + i);
    }
    count(checked);
    expect(checked).toBeGreaterThan(0);
  });

  test.each([
    ["nftables", drawnNft, 1000],
    ["both backends of iptables", drawnBoth, 2000],
  ])("random rulesets of %s", { timeout: LONG }, (_, drawn, first) => {
    const differences: string[] = [];
    let checked = 0;
    let seed = first;
    let limited = 0;
    for (const { rulesets, host } of drawn())
      try {
        if (ONLY !== null && seed !== first + ONLY) {
          seed++;
          continue;
        }
        checked += law(rulesets, host, Math.ceil(PACKETS / 4), seed++, { anyPorts: true });
      } catch (error) {
        if (error instanceof BudgetExceeded) limited++;
        else differences.push(String(error));
      }
    expect(differences).toEqual([]);
    // A set engine that exceeds its budget gives no answer; most rulesets are within it.
    expect(limited).toBeLessThan(DRAWN / 8);
    count(checked);
    expect(checked).toBeGreaterThan(0);
  });
});
