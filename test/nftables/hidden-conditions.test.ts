/** Conditions that a listing does not show: what nft 1.0.6 merges and leaves out. The forms were measured with nft 1.0.6. */
import { describe, expect, test } from "vitest";
import { type Fields, matches, outcome, ruleOf, SYN } from "./builders.ts";

const MERGED = "merged-tests@inet t/c/1";
const PROTOCOL = "th-protocol@inet t/c/1";
const UDP: Fields = { ...SYN, proto: 17, sport: 5, dport: 53 };

/** Result of a rule for ports: both equal to 1 and 2, one of them, none. */
const results = (rule: string): (boolean | string)[] =>
  [
    { sport: 1, dport: 2 },
    { sport: 1, dport: 9 },
    { sport: 9, dport: 2 },
    { sport: 9, dport: 9 },
  ].map((ports) => matches(ruleOf(`${rule} counter`), { ...SYN, ...ports }));

describe("!= with adjacent fields", () => {
  test("is unknown where one of the values is equal", () => {
    const merged = [false, MERGED, MERGED, true];
    expect(results("tcp sport != 1 tcp dport != 2")).toEqual(merged);
    expect(results("tcp dport != 2 tcp sport != 1")).toEqual(merged);
    expect(results("tcp sport != 1 counter ip ttl 64 tcp dport != { 2 }")).toEqual(merged);
    expect(results("meta l4proto { tcp, udp } th sport != 1 th dport != 2")).toEqual(merged);
  });
  test("does not show which of two tests of a field is merged", () => {
    const rule = "tcp dport != 65535 tcp sport != 1023 tcp dport != 2";
    expect(results(rule)).toEqual([MERGED, true, MERGED, true]);
    expect(results("tcp dport != 3 tcp dport != 2")).toEqual([false, true, false, true]);
  });
  test("is exact in other forms", () => {
    const plain = [false, false, false, true];
    expect(results("tcp sport != { 1, 3 } tcp dport != 2")).toEqual(plain);
    expect(results("tcp sport != 1-1 tcp dport != 2")).toEqual(plain);
    expect(results("tcp sport != 1 meta mark 0 counter tcp dport > 2")).toEqual(plain);
    expect(results("tcp sport 9 tcp dport != 2")).toEqual([false, false, false, true]);
    expect(results("ip saddr != 1.1.1.1 ip daddr != 2.2.2.2")).toEqual([true, true, true, true]);
  });
  test.each([
    ["ip ttl != 64 ip protocol != udp", SYN],
    ["ip protocol != tcp ip ttl != 63", SYN],
    ["udp dport != 53 udp length != 20", UDP],
    ["icmp type != 8 icmp code != 1", { ...SYN, proto: 1, type: 8, code: 0 }],
    ["ip length != 60 ip id != 5", SYN],
    ["tcp flags != syn tcp window != 5", SYN],
    ["ether saddr != 02:00:00:00:00:01 ether type != ip", { ...SYN, mac: 0x0200_0000_0002 }],
    ["@th,0,16 != 1 tcp dport != 80", SYN],
  ])("covers the header: %s", (rule, fields) => {
    expect(matches(ruleOf(`${rule} counter`), fields)).toBe(MERGED);
  });
  test("merges up to four bytes", () => {
    // The lengths of the first two are four bytes; the third stays.
    const rule = ruleOf("udp sport != 5 udp dport != 1 udp length != 3 counter");
    expect(matches(rule, UDP)).toBe(MERGED);
    expect(matches(ruleOf("udp sport != 1 udp dport != 1 udp length != 3 counter"), UDP)).toBe(
      "udp length(udp length 3)",
    );
  });
});

describe("th without a protocol", () => {
  test("may depend on one that the listing does not show", () => {
    expect(results("th sport 1 th dport 2")).toEqual([PROTOCOL, false, false, false]);
    expect(outcome(ruleOf("th dport vmap { 80 : drop }"), SYN)).toBe(`? ${PROTOCOL}`);
    expect(outcome(ruleOf("meta mark set 3 meta mark . th dport { 3 . 80 } drop"), SYN)).toBe(
      "mark=3, ? th-protocol:1@inet t/c/1",
    );
  });
  test.each(["meta l4proto { tcp, udp }", "ip protocol tcp", "ct protocol != udp", "tcp flags syn"])(
    "is exact after %s",
    (condition) => {
      expect(matches(ruleOf(`${condition} th dport 80 counter`), SYN)).toBe(true);
    },
  );
});
