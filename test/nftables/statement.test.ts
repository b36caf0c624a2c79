/** Statements, evaluated for single packets. */
import { expect, test } from "vitest";
import { AT_RAW, type Fields, outcome, ruleOf, SYN } from "./builders.ts";

const ADDRESS = (a: number, b = a): string => JSON.stringify({ kind: "range", first: a, last: b });
const PORTS = (first: number, last = first): string => JSON.stringify({ first, last });
const KEEP = '{"kind":"keep"}';
const INTERFACE = '{"kind":"interface"}';
const SYN6: Fields = { ...SYN, src: 7n, dst: (1n << 64n) | 1n };
const UDP: Fields = { ...SYN, proto: 17, dport: 53 };

test.each([
  ["accept", SYN, "accept"],
  ["tcp dport 80 drop", SYN, "drop"],
  ["tcp dport 81 drop", SYN, "no match"],
  ["continue", SYN, "note"],
  ["dnat ip6 to ::1", SYN, "note"],
  ["return", SYN, "return"],
  ["jump other", SYN, "jump other"],
  ["goto other", SYN, "goto other"],
  ['counter packets 1 bytes 2 log prefix "x" drop', SYN, "drop"],
  ["reject", SYN, "reject"],
  ["reject with tcp reset", SYN, "reject"],
  ["reject with tcp reset", UDP, "no match"],
  ["reject with icmpv6 admin-prohibited", SYN, "no match"],
  ["tcp dport vmap { 22 : drop, 80-90 : goto other }", SYN, "goto other"],
  ["tcp dport vmap { 22 : drop, * : accept }", SYN, "accept"],
  ["tcp dport vmap { 22 : drop, 23 : accept }", SYN, "no match"],
  ["tcp dport vmap { 22 : drop, 80 : continue } accept", SYN, "accept"],
  ["ct state vmap { established : accept, new : jump other, invalid : drop }", SYN, "jump other"],
  ["ip saddr . tcp dport vmap { 203.0.113.0/24 . 80-90 : accept, 203.0.113.7 . 80 : drop }", SYN, "drop"],
  ["numgen inc mod 2 vmap { 0 : accept, 1 : drop }", SYN, "? numgen inc mod 2 0@inet t/c/1"],
])("%s", (rule, fields, expected) => {
  expect(outcome(ruleOf(rule), fields)).toBe(expected);
});

test.each([
  ["meta mark set 5", SYN, "mark=5"],
  ["meta mark set 5 accept", SYN, "mark=5, accept"],
  ["meta mark set meta mark | 0x10", { ...SYN, mark: 0x21 }, "mark=49"],
  ["meta mark set meta mark & 0x0f", { ...SYN, mark: 0x21 }, "mark=1"],
  ["meta mark set mark xor 0x1", { ...SYN, mark: 0x21 }, "mark=32"],
  ["meta mark set ct mark", { ...SYN, ctmark: 9 }, "mark=9"],
  ["meta mark set ct mark", AT_RAW, "no match"],
  ["ct mark set meta mark | 0x10", { ...SYN, mark: 5 }, "ctmark=5, ctmark=21"],
  ["ct mark set 7 accept", AT_RAW, "ctmark=7, accept"],
  ["meta mark set ct mark << 8", { ...SYN, ctmark: 0x1_ff00_00ff % 2 ** 32 }, `mark=${0x0000_ff00}`],
  ["meta mark set ct mark >> 8 & 0xf", { ...SYN, ctmark: 0xffff_fabc }, `mark=${0xa}`],
  ["meta mark set ct mark & 0xff00 >> 8 | 0x100", { ...SYN, ctmark: 0xffff_12bc }, "mark=188, mark=444"],
  ["meta mark set meta mark << 4", { ...SYN, mark: 0xf000_0001 }, "mark=16"],
  ["ct mark set meta mark << 4 ^ 0x3 >> 1", { ...SYN, mark: 0xf }, "ctmark=240, ctmark=241"],
  ["meta mark set ct mark << 8", AT_RAW, "no match"],
  ["meta mark set ip dscp", { ...SYN, tos: 0xb9 }, "mark=46"],
  ["ct mark set ip dscp << 2 | 0x10", { ...SYN, tos: 0xb9 }, `ctmark=${(46 << 2) | 0x10}`],
  ["meta mark set ip dscp << 26 drop", { ...SYN, tos: 0xfc }, `mark=${0xfc00_0000}, drop`],
  ["meta mark set meta l4proto & 0xf", UDP, "mark=1"],
  ["meta mark set icmp type", SYN, "no match"],
  ["meta mark set ct direction", SYN, "mark=0"],
  ["meta mark set ct direction", AT_RAW, "no match"],
  ["meta mark set ip saddr", SYN, "? meta mark set ip saddr@inet t/c/1"],
  ["meta mark set ct mark | meta mark", SYN, "? meta mark set ct mark | meta mark@inet t/c/1"],
  ["ip ttl set ip ttl & 0xf0", { ...SYN, ttl: 0x3f }, `ttl=${0x30}`],
  ["ip dscp set ip dscp | 0x01", { ...SYN, tos: 0xb9 }, `tos=${0xbd}`],
  ["tcp dport set tcp dport | 1", SYN, "dport=81"],
  ["ip daddr set ip daddr & 255.255.255.0 | 0.0.0.9", SYN, `dst=${0x0a000009}`],
  ["ip daddr set ip saddr", SYN, "? ip daddr set ip saddr@inet t/c/1"],
  ["ip6 daddr set ::9", SYN, "no match"],
  ["meta mark set ct mark map { 0x15 : 0x20, 0x16 : 0x30 }", { ...SYN, ctmark: 0x15 }, "mark=32"],
  ["meta mark set ct mark map { 0x15 : 0x20, 0x16 : 0x30 }", SYN, "no match"],
  ["meta mark set 5 tcp dport 80 drop", SYN, "mark=5, drop"],
  ["meta mark set 5 tcp dport 81 drop", SYN, "mark=5, nothing"],
  ["tcp dport set 8888 tcp dport 8888 drop", SYN, "dport=8888, drop"],
  ["ip dscp set ef", { ...SYN, tos: 3 }, "tos=187"],
  ["ip ecn set ce", { ...SYN, tos: 0xb8 }, "tos=187"],
  ["ip ttl set 1", SYN, "ttl=1"],
  ["ip daddr set 10.0.0.9", SYN, `dst=${0x0a000009}`],
  ["notrack", AT_RAW, "ctstate=4"],
  ["meta pkttype set host", SYN, "? meta pkttype set host@inet t/c/1"],
  ["meta priority set 1:2 accept", SYN, "accept"],
  ["tcp option maxseg size set 1400 accept", SYN, "accept"],
  ["tcp option maxseg size set 1400 accept", UDP, "no match"],
])("%s", (rule, fields, expected) => {
  expect(outcome(ruleOf(rule), fields)).toBe(expected);
});

test.each([
  ["dnat ip to 10.1.1.1", `dst ${ADDRESS(0x0a010101)} null`],
  ["dnat ip to 10.1.1.1:8080", `dst ${ADDRESS(0x0a010101)} ${PORTS(8080)}`],
  ["dnat ip to 10.1.1.1-10.1.1.9:1-2 random", `dst ${ADDRESS(0x0a010101, 0x0a010109)} ${PORTS(1, 2)} random`],
  ["dnat to :8080", `dst ${KEEP} ${PORTS(8080)}`],
  ["dnat ip to tcp dport map { 80 : 10.1.1.1, 81 : 10.1.1.2 }", `dst ${ADDRESS(0x0a010101)} null`],
  ["dnat ip to tcp dport map { 80 : 10.1.1.1 . 8080 }", `dst ${ADDRESS(0x0a010101)} ${PORTS(8080)}`],
  ["dnat ip to tcp dport map { 81 : 10.1.1.2 }", "no match"],
  ["dnat ip to 10.1.1.1:tcp dport map { 80 : 8080 }", `dst ${ADDRESS(0x0a010101)} ${PORTS(8080)}`],
  ["redirect to :22", `dst ${INTERFACE} ${PORTS(22)}`],
  ["redirect to :tcp dport map { 80 : 8080 }", `dst ${INTERFACE} ${PORTS(8080)}`],
  ["masquerade", `src ${INTERFACE} null`],
  ["masquerade to :1024-2048 fully-random", `src ${INTERFACE} ${PORTS(1024, 2048)} random`],
  ["snat ip6 to 2001:db8::1", "note"],
  [
    "snat ip prefix to 10.9.0.0/16",
    `src {"kind":"netmap","address":${0x0a090000},"mask":${0xffff0000}} null`,
  ],
  ["dnat ip to numgen random mod 2 map { 0 : 10.1.1.1, 1 : 10.1.1.2 }", "? numgen random mod 2 0@inet t/c/1"],
])("%s", (rule, expected) => {
  expect(outcome(ruleOf(`meta l4proto tcp ${rule}`), SYN)).toBe(expected);
});

test.each([
  ["limit rate 3/minute accept", "? limit@inet t/c/1"],
  ["limit rate over 3/minute drop", "? limit@inet t/c/1"],
  ["quota over 10 mbytes drop", "? quota@inet t/c/1"],
  ["ct count over 20 drop", "? connlimit@inet t/c/1"],
  ['limit name "slow" accept', "? limit@inet t/c/1"],
  ["add @known { ip saddr } accept", "? set full@inet t/c/1"],
  ["update @known { ip saddr limit rate over 3/minute } drop", "? set full@inet t/c/1"],
  ["ip saddr @known drop", "? set @known@inet t/c/1"],
  ["queue num 1", "? queue@inet t/c/1"],
  ["tproxy ip to 127.0.0.1:80 accept", "? tproxy@inet t/c/1"],
  ["synproxy mss 1460 wscale 7", "stolen"],
  ["ct zone set 3", "? ct zone set 3@inet t/c/1"],
])("%s is unknown by name", (rule, expected) => {
  const objects = `\tlimit slow {\n\t\trate 3/minute\n\t}\n\n\tset known {\n\t\ttype ipv4_addr\n\t\tsize 100\n\t\tflags dynamic\n\t}\n`;
  const result = outcome(ruleOf(`meta l4proto tcp ${rule}`, "inet", objects), SYN);
  expect(result).toBe(expected);
});

test("a limit of packets over a rate is the negation of the limit", () => {
  const over = ruleOf("limit rate over 3/minute drop").compile({} as never).when;
  expect(over).toMatchObject({ kind: "not", not: { kind: "opaque", key: "limit@inet t/c/1" } });
});

test("the trace prints the verdict of a rule", () => {
  const names = ["accept", "jump other", "tcp dport 80", "drop", "masquerade", "meta mark set 1"].map(
    (rule) => ruleOf(rule).targetName,
  );
  expect(names).toEqual(["accept", "jump other", "continue", "drop", "accept", "continue"]);
});

test.each([
  ["ip6 daddr set ::9", "dst=9"],
  ["ip6 saddr set ::9 ip6 saddr ::9 drop", "src=9, drop"],
  ["ip6 saddr set ::9 ip6 saddr ::7 drop", "src=9, nothing"],
  ["ip6 daddr set ip6 daddr & ffff:ffff:ffff:ffff:: | ::7", `dst=${(1n << 64n) | 7n}`],
  ["ip6 daddr set ip6 saddr map { ::7 : ::8 }", "dst=8"],
  ["ip6 daddr set ip6 saddr map { ::6 : ::8 }", "no match"],
  ["ip6 daddr set ip6 saddr", "? ip6 daddr set ip6 saddr@inet t/c/1"],
  ["meta mark set ip6 dscp << 1", "mark=0"],
])("IPv6: %s", (rule, expected) => {
  expect(outcome(ruleOf(rule), SYN6, 6)).toBe(expected);
});
