import { describe, expect, test } from "vitest";
import { hasOnly, isUnconditional, plainPorts } from "../../lib/rules/reading.ts";
import type { Rule } from "../../lib/rules/ruleset.ts";
import { rulesetsOf } from "../builders.ts";

/** Reads one rule of table filter, chain INPUT, or of the table that is named. */
function ruleOf(text: string, table = "filter", chain = "INPUT"): Rule {
  const dump = `*${table}\n:${chain} ACCEPT [0:0]\n:mine - [0:0]\n-A ${chain} ${text}\nCOMMIT\n`;
  const rulesets = rulesetsOf(dump, { family: 4 });
  return rulesets[0]!.tables.get(table as "filter")!.chains.get(chain)!.rules[0]!;
}

describe("the conditions of a rule", () => {
  test.each([
    ["-p tcp -m tcp --dport 80 -j DROP", [[80, 80]]],
    ["-p udp -m udp --dport 1:9 -j DROP", [[1, 9]]],
    [
      "-p tcp -m multiport --dports 22,80:81 -j DROP",
      [
        [22, 22],
        [80, 81],
      ],
    ],
    ["-p sctp -m sctp --dport 5 -j DROP", [[5, 5]]],
    ["-p tcp -m tcp ! --dport 80 -j DROP", []],
    ["-p tcp -m tcp --sport 80 -j DROP", []],
    ["-j DROP", []],
  ] as const)("destination ports of %s", (text, ports) => {
    expect(plainPorts(ruleOf(text).reading.destinationPorts)).toEqual(ports);
  });

  test("header, states, set, comment", () => {
    const { calledChains, reading } = ruleOf(
      '-s 10.0.0.0/8 ! -i eth0 -p tcp -m conntrack --ctstate NEW -m set --match-set bad src -m comment --comment "why" -j mine',
    );
    expect(reading).toMatchObject({
      src: { not: false },
      in: { not: true, value: "eth0" },
      proto: { not: false, value: 6 },
      states: { not: false, value: ["NEW"] },
      sets: [{ not: false, value: { set: "bad", sides: ["src"] } }],
      comments: ["why"],
      others: false,
      action: "jump",
      needs: [{ kind: "ipset", name: "bad" }],
    });
    expect(calledChains).toEqual(["mine"]);
    expect(isUnconditional(reading)).toBe(false);
    expect(hasOnly(reading, "src", "in", "proto", "states", "sets")).toBe(true);
    expect(hasOnly(reading, "src", "in", "proto", "states")).toBe(false);
  });

  test("the original destination of a connection", () => {
    const { reading } = ruleOf("-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP");
    expect(reading).toMatchObject({
      originalPorts: { not: false, value: [[8080, 8080]] },
      direction: { value: "ORIGINAL" },
      others: false,
    });
    expect(ruleOf("-m conntrack --ctstatus ASSURED -j DROP").reading.others).toBe(true);
  });

  test.each([
    ["-j DROP", true],
    ["-m comment --comment x -j DROP", true],
    ["-p tcp -j DROP", false],
    ["-m rpfilter -j DROP", false],
    ["-m frobnicate -j DROP", false],
  ])("%s matches every packet: %s", (text, all) => {
    expect(isUnconditional(ruleOf(text, "mangle", "PREROUTING").reading)).toBe(all);
  });

  test("a condition that is given twice is not read as one", () => {
    const { reading } = ruleOf("-p tcp -m multiport --dports 1 -m multiport --dports 2 -j DROP");
    expect(reading).toMatchObject({ destinationPorts: { value: [[1, 1]] }, others: true });
  });

  test("a list of recent addresses", () => {
    const { reading } = ruleOf("-m recent --update --seconds 60 --hitcount 4 --name SSH --rsource -j DROP");
    expect(reading).toMatchObject({
      recents: [{ list: "SSH", side: "src", action: "update", not: false }],
      others: true,
    });
  });
});

describe("the action and the traits of a rule", () => {
  test.each([
    ["filter", "INPUT", "-j ACCEPT", "accept"],
    ["filter", "INPUT", "-p tcp -j REJECT --reject-with tcp-reset", "reject"],
    ["filter", "INPUT", "-g mine", "goto"],
    ["filter", "INPUT", "-j LOG", "log"],
    ["filter", "INPUT", "-p tcp -j TARPIT", "drop"],
    ["filter", "INPUT", "-j FROBNICATE", "unknown"],
    ["filter", "INPUT", "-s 10.0.0.1", "none"],
    ["nat", "PREROUTING", "-j DNAT --to-destination 10.0.0.1", "dnat"],
    ["nat", "POSTROUTING", "-j MASQUERADE", "masquerade"],
  ] as const)("%s %s %s: %s", (table, chain, text, action) => {
    expect(ruleOf(text, table, chain).reading.action).toBe(action);
  });

  test.each([
    ["filter", "INPUT", "-m state --state NEW -j DROP", { needsConntrack: true }],
    ["nat", "POSTROUTING", "-j MASQUERADE", { needsConntrack: true }],
    ["raw", "PREROUTING", "-j CT --notrack", {}],
    ["raw", "PREROUTING", "-j CT --zone 1", { preparesConnection: true }],
    ["filter", "INPUT", "-j SET --add-set seen src", { changesSets: ["seen"] }],
    ["mangle", "PREROUTING", "-p tcp -j TPROXY --on-port 1", { assignsSocket: true, defragments: true }],
    ["filter", "INPUT", "-p tcp -j DROP", {}],
  ] as const)("%s %s %s", (table, chain, text, traits) => {
    expect(ruleOf(text, table, chain).traits).toEqual(traits);
  });

  test("a reset", () => {
    expect(ruleOf("-p tcp -j REJECT --reject-with tcp-reset").reading.resets).toBe(true);
    expect(ruleOf("-p tcp -j REJECT").reading.resets).toBeUndefined();
  });
});
