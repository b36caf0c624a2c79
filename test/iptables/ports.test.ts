/** Tests of both ports, which iptables-nft 1.8.9 merges when they are negated. */
import { expect, test } from "vitest";
import { run } from "../two-interfaces.ts";

const verdicts = (match: string): string[] =>
  [
    [1, 2],
    [1, 9],
    [9, 2],
    [9, 9],
  ].map(([sport, dport]) => {
    const save = `*filter\n:INPUT ACCEPT [0:0]\n-A INPUT ${match} -j DROP\nCOMMIT\n`;
    const packet = { in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", proto: "udp", sport, dport };
    return run(save, packet as never).verdict;
  });

test("! --sport and ! --dport of single ports are unknown where one of them is equal", () => {
  expect(verdicts("-p udp -m udp ! --sport 1 ! --dport 2")).toEqual([
    "accept",
    "undecided",
    "undecided",
    "drop",
  ]);
});

test("other tests of both ports are exact", () => {
  expect(verdicts("-p udp -m udp ! --sport 1 --dport 2")).toEqual(["accept", "accept", "drop", "accept"]);
  expect(verdicts("-p udp -m udp ! --sport 1:1 ! --dport 2:3")).toEqual([
    "accept",
    "accept",
    "accept",
    "drop",
  ]);
});
