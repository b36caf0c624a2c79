/** Coverage of a run: the matches and targets of the rules that packets met, and the kinds of packets. */
import type { Answer, Ruleset } from "fwcheck";
import { asIptables } from "../../lib/iptables/rule.ts";
import { NftRule } from "../../lib/nftables/nft-rule.ts";
import { chainOf, targetName } from "../../lib/rules/ruleset.ts";
import type { LabPacket } from "./lab.ts";

const GROUP = /^(22[4-9]|23\d)\.|\.255$|^ff/;

const USUAL = ["tcp", "udp", "icmp", "icmpv6"];

/** Kinds of packets, a packet may be of several. */
const KINDS: readonly (readonly [kind: string, is: (packet: LabPacket, answer: Answer) => boolean])[] = [
  ["sent by the host", (p) => p.in === null],
  ["from port to port", (p) => p.across === true],
  ["fragments", (p) => p.fragment === 1],
  ["ICMP errors", (p) => p.about !== undefined],
  ["to groups", (p) => GROUP.test(p.dst)],
  ["of seldom protocols", (p) => !USUAL.includes(String(p.proto))],
  ["TCP that opens", (p) => p.flags === "S"],
  ["TCP under way", (p) => p.flags !== undefined && p.flags !== "S"],
  ["forwarded", (_, a) => a.delivery === "forward"],
  ["taken in", (_, a) => a.delivery === "local"],
  ["sent out", (_, a) => a.delivery === "out"],
  ["dropped", (_, a) => a.verdict === "drop"],
  ["rejected", (_, a) => a.verdict === "reject"],
  ["undecided", (_, a) => a.verdict === "undecided"],
  ["translated", (p, a) => a.sent !== null && (a.sent.src !== p.src || a.sent.dst !== p.dst)],
];

export class Cover {
  private readonly counts = {
    matches: new Map<string, number>(),
    targets: new Map<string, number>(),
    packets: new Map<string, number>(),
  };

  /** Counts a packet that was compared. */
  add(ruleset: Ruleset, packet: LabPacket, answer: Answer): void {
    for (const step of answer.path) {
      if (step.step !== "rule") continue;
      const rule = chainOf(ruleset, step.table, step.chain)!.rules[step.rule - 1]!;
      if (rule instanceof NftRule) {
        count(this.counts.targets, `nft ${targetName(rule)}`);
        for (const { name } of rule.conditions) count(this.counts.matches, `nft ${name}`);
        continue;
      }
      const { matches, target } = asIptables(rule);
      for (const { extension } of matches)
        count(
          this.counts.matches,
          extension.name === "" ? "addresses, interfaces, protocol" : extension.name,
        );
      count(this.counts.targets, target.kind === "extension" ? targetName(rule) : target.kind);
    }
    for (const [kind, is] of KINDS) if (is(packet, answer)) count(this.counts.packets, kind);
  }

  /** A line for each kind of count, the greatest first. */
  toString(): string {
    return Object.entries(this.counts)
      .map(([name, counts]) => {
        const sorted = [...counts].sort((a, b) => b[1] - a[1]);
        return `${name}: ${sorted.map(([key, n]) => `${key} ${n}`).join(", ")}`;
      })
      .join("\n");
  }
}

const count = (counts: Map<string, number>, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1);
};
