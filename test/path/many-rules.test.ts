/** Many routing rules and next hops: each `goto` is followed as the kernel follows it. */
import { type Packet, Simulator } from "fwcheck";
import { expect, test } from "vitest";
import { hostOf, rulesetsOf, synOf } from "../builders.ts";
import { random } from "../random.ts";

const RULES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

const links = (count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({
    ifname: `eth${i}`,
    flags: ["UP"],
    addr_info: [{ family: "inet", local: `192.0.2.${i + 1}`, prefixlen: 32, scope: "global" }],
  }));

/** A rule as `ip -j rule` lists it, for sources 10.0.0.0 with a third byte of `bit` set. */
interface Rule {
  readonly priority: number;
  readonly src: string;
  readonly srclen: number;
  readonly goto?: number;
  readonly table?: string;
}

/** Returns the table of the first rule with a table that a packet from 10.0.0.n reaches. */
function tableOf(rules: readonly Rule[], n: number): string {
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i]!;
    const matches = n >> (32 - rule.srclen) === Number(rule.src.split(".")[3]) >> (32 - rule.srclen);
    if (matches && rule.table !== undefined) return rule.table;
    i = matches ? rules.findIndex(({ priority }) => priority === rule.goto) : i + 1;
  }
  throw new Error("no table");
}

test("gotos to any later rule", () => {
  const rulesets = rulesetsOf(RULES);
  for (let seed = 0; seed < 12; seed++) {
    const next = random(seed);
    const r = (n: number): number => Math.floor(next() * n);
    const count = 24;
    const rules = Array.from({ length: count }, (_, i): Rule => {
      const srclen = 28 + r(5);
      const conditions = {
        priority: 100 + i,
        src: `10.0.0.${(r(16) >> (32 - srclen)) << (32 - srclen)}`,
        srclen,
      };
      if (i === count - 1) return { priority: 100 + i, src: "10.0.0.0", srclen: 28, table: "100" };
      return r(4) === 0
        ? { ...conditions, table: `${100 + r(6)}` }
        : { ...conditions, goto: 101 + i + r(count - i - 1) };
    });
    const host = hostOf(rulesets, {
      addr: links(6),
      route: Array.from({ length: 6 }, (_, i) => ({ dst: "default", dev: `eth${i}`, table: `${100 + i}` })),
      rule: [{ priority: 0, src: "all", table: "local" }, ...rules],
    });
    const simulator = new Simulator(rulesets, host);
    for (let n = 0; n < 16; n++) {
      const packet: Packet = synOf({ src: `10.0.0.${n}`, dst: "198.51.100.1", dport: 80 });
      const event = simulator.trace(packet).branches[0]!.events.find(({ kind }) => kind === "route");
      const decision = event?.kind === "route" ? event.decision : undefined;
      expect(decision).toMatchObject({ kind: "via", out: `eth${Number(tableOf(rules, n)) - 100}` });
    }
  }
});

test("a multipath route by 24 interfaces: one path for each", () => {
  const rulesets = rulesetsOf(RULES);
  const nexthops = links(24).map((_, i) => ({ gateway: `192.0.2.${100 + i}`, dev: `eth${i}`, weight: 1 }));
  const host = hostOf(rulesets, { addr: links(24), route: [{ dst: "default", nexthops }] });
  const { branches } = new Simulator(rulesets, host).trace(
    synOf({ src: "192.0.2.1", dst: "198.51.100.1", dport: 80 }),
  );
  expect(new Set(branches.map(({ out }) => out)).size).toBe(24);
});
