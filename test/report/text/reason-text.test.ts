/** Sentences of reasons. */
import { expect, test } from "vitest";
import { endReasonText, uncertaintyText, unknownReasonText } from "../../../lib/report/text/reason-text.ts";

test("of unknowns", () => {
  expect(
    (
      [
        { code: "extension", text: "the time is not known" },
        { code: "unknown-match", what: "option --frob" },
        { code: "unknown-target", target: "FROB" },
        { code: "field-missing", field: "length" },
        { code: "set-missing", set: "bad" },
        { code: "set-changes", set: "bad" },
        { code: "routing-rule-unfollowed", selector: "l3mdev" },
        { code: "routing-rule-unfollowed", selector: null },
        { code: "may-change", by: "nftables table ip own" },
        { code: "chain-missing", chain: "mine" },
        { code: "jump-loop", chain: "mine" },
      ] as const
    ).map(unknownReasonText),
  ).toEqual([
    "the time is not known",
    "fwcheck does not know the option --frob",
    "fwcheck does not know the target FROB",
    "the packet has no value for length",
    "the ipset bad is not known (give it with --ipset)",
    "rules change the ipset bad",
    "l3mdev of the rule is not followed",
    "its action of the rule is not followed",
    "nftables table ip own is not read, and it may change or translate the packet",
    "chain mine is not declared",
    "a loop of jumps leads back to mine",
  ]);
});

test("of ends outside the rules", () => {
  const at = { table: "filter", chain: "INPUT", rule: 3 } as const;
  expect(
    (
      [
        { code: "no-route" },
        { code: "route-type", type: "blackhole" },
        { code: "routing-rule", action: "prohibit" },
        { code: "forwarding-off" },
        { code: "martian-source", source: "own" },
        { code: "martian-source", source: "none" },
        { code: "rp-filter" },
        { code: "fragment-waits", waitsFor: "host" },
        { code: "fragment-waits", waitsFor: "conntrack" },
        { code: "no-neighbour", interface: "eth0" },
        { code: "bridged-to-group" },
        { code: "unfollowed-master", interface: "blue", kind: "vrf" },
        { code: "unfollowed-master", interface: "team0", kind: "other" },
        { code: "unread-drop", by: "nftables table ip own" },
        { code: "match-drops", at, match: "multiport", packet: "a packet without a next header" },
        { code: "target-keeps", text: "SYNPROXY answers the handshake itself" },
      ] as const
    ).map(endReasonText),
  ).toEqual([
    "no route leads there",
    "a route says blackhole",
    "a rule of policy routing says prohibit",
    "forwarding is switched off (sysctl)",
    "one of the host's own addresses as source, from outside (martian source)",
    "no source address (martian source)",
    "its source is not reached by the interface it came in by (rp_filter)",
    "a fragment for the host waits for the rest",
    "connection tracking waits for the rest of the fragments",
    "the rules drop neighbour discovery on eth0, and no neighbour there is known otherwise",
    "a translation to a multicast group on a bridge is not followed",
    "what the VRF blue makes of its packets is not followed",
    "team0 is neither a bridge nor a bond, and what it makes of its packets is not followed",
    "nftables table ip own, which is not read",
    "filter INPUT rule 3: multiport throws away a packet without a next header",
    "SYNPROXY answers the handshake itself",
  ]);
});

test("of uncertain results", () => {
  expect(
    (
      [
        { code: "value-not-tracked", field: "mark" },
        { code: "too-many-values", field: "src", limit: 64 },
        { code: "kernel-chooses", what: "port" },
        { code: "nested-too-deep", table: "mangle", chain: "a", levels: 256 },
        { code: "extension", text: "the mark is shifted" },
      ] as const
    ).map(uncertaintyText),
  ).toEqual([
    "the value of mark after a rule changed it is not tracked",
    "a translation maps more than 64 values of src to other values",
    "the kernel chooses the port",
    "mangle a: chains nested more than 256 deep that change packets are not followed",
    "the mark is shifted",
  ]);
});
