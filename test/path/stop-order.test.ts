/** Order of base chains with one priority, which a listing of rules does not show. */
import type { PacketJson } from "fwcheck";
import { describe, expect, test } from "vitest";
import { Program } from "../../lib/path/program.ts";
import { hostOf } from "../builders.ts";
import { base, engines, nftRuleset, table, typed } from "./both-engines.ts";

const syn = (dport: number, more: Partial<PacketJson> = {}): PacketJson => ({
  ...{ in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", proto: "tcp", sport: 40000, dport, flags: "S" },
  ...more,
});
const orders = (text: string): number => {
  const ruleset = nftRuleset(text);
  return Program.of(ruleset, hostOf([ruleset])).sequences("INPUT").length;
};

/** One chain sets a mark, the other one drops packets without it. */
const MARKS =
  table("ip a", base("c", "input", 0, "tcp dport 80 meta mark set 1")) +
  table("ip b", base("c", "input", 0, "meta mark 0 tcp dport { 80, 81 } drop"));

describe("chains of one priority", () => {
  test("whose order makes no difference have one sequence", () => {
    const text =
      table("ip a", base("c", "input", 0, "tcp dport 80 drop")) +
      table("inet b", base("c", "input", 0, "tcp dport 81 accept", "tcp dport 82 drop"));
    expect(orders(text)).toBe(1);
    const run = engines(text);
    expect([80, 81, 82].map((dport) => run(syn(dport)).verdict)).toEqual(["drop", "accept", "drop"]);
  });
  test("whose order makes a difference are undecided for the packets with different outcomes only", () => {
    expect(orders(MARKS)).toBe(2);
    const run = engines(MARKS);
    const open = run(syn(80));
    expect(open.verdict).toBe("undecided");
    expect(open.assumptionCodes).toContainEqual(
      expect.objectContaining({
        code: "supposed",
        reason: { code: "chain-order", hook: "INPUT", chains: expect.arrayContaining(["ip a c", "ip b c"]) },
      }),
    );
    expect(open.branches?.map(({ verdict }) => verdict).sort()).toEqual(["accept", "drop"]);
    expect([81, 82].map((dport) => run(syn(dport)).verdict)).toEqual(["drop", "accept"]);
  });
  test("run in the order that the hook lists", () => {
    const verdict = (...chains: string[]): string =>
      engines(MARKS, { hookOrder: new Map([["INPUT", chains]]) })(syn(80)).verdict;
    expect(verdict("ip a c", "ip b c")).toBe("accept");
    expect(verdict("ip b c", "ip a c")).toBe("drop");
    expect(verdict("ip a c")).toBe("undecided");
  });
  test("of different priorities need no order", () => {
    const text = MARKS.replace("priority 0", "priority 1");
    expect(orders(text)).toBe(1);
    expect(engines(text)(syn(80)).verdict).toBe("drop");
  });
  test("are undecided if there are more than four whose order makes a difference", () => {
    const chains = (count: number): string =>
      Array.from({ length: count }, (_, i) =>
        table(`ip t${i}`, base("c", "input", 0, `meta mark ${i} meta mark set ${i + 1}`)),
      ).join("");
    expect(orders(chains(4))).toBe(24);
    expect(engines(chains(4))(syn(80)).verdict).toBe("accept");
    expect(engines(chains(5))(syn(80))).toMatchObject({
      verdict: "undecided",
      reasonCode: { code: "too-many-orders", hook: "INPUT" },
    });
  });
  test("of type nat are ordered among themselves: the first translation wins", () => {
    const nat = (name: string, to: string, port: string): string =>
      table(`ip ${name}`, typed("nat", "c", "prerouting", -100, `tcp dport ${port} dnat to ${to}`));
    const text = nat("a", "10.99.0.2", "{ 80, 81 }") + nat("b", "10.99.0.3", "{ 80, 82 }");
    const run = engines(text);
    const open = run(syn(80));
    expect(open.verdict).toBe("undecided");
    expect(open.branches?.map(({ sent }) => sent?.dst).sort()).toEqual(["10.99.0.2", "10.99.0.3"]);
    expect([81, 82, 83].map((dport) => run(syn(dport)).sent?.dst)).toEqual([
      ...["10.99.0.2", "10.99.0.3", undefined],
    ]);
    const ordered = engines(text, { hookOrder: new Map([["PREROUTING", ["ip b c", "ip a c"]]]) });
    expect(ordered(syn(80)).sent?.dst).toBe("10.99.0.3");
  });
  test("and connection tracking, which a chain at -200 may precede", () => {
    const text = table("ip a", base("c", "prerouting", -200, "ct state new tcp dport 80 drop"));
    const run = engines(text);
    expect([80, 81].map((dport) => run(syn(dport)).verdict)).toEqual(["undecided", "accept"]);
    const verdict = (...chains: string[]): string =>
      engines(text, { hookOrder: new Map([["PREROUTING", chains]]) })(syn(80)).verdict;
    expect([verdict("conntrack", "ip a c"), verdict("ip a c", "conntrack")]).toEqual(["drop", "accept"]);
  });
});
