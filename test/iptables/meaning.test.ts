/** Matches and targets whose behaviour in the kernel is not obvious. */
import { describe, expect, test } from "vitest";
import { readRuleset } from "../../lib/iptables/load.ts";
import { asIptables } from "../../lib/iptables/rule.ts";
import { parseAddress } from "../../lib/packet/address.ts";
import { CT, CT_STATUS, type Family, type Field, type Scalar } from "../../lib/packet/field.ts";
import { and, evaluate } from "../../lib/packet/predicate.ts";
import { type Effect, PREPARE } from "../../lib/rules/effect.ts";
import type { Facts } from "../../lib/rules/facts.ts";
import type { TableName } from "../../lib/rules/ruleset.ts";

const facts = (family: Family): Facts => ({
  family,
  addressIs: () => ({ kind: "or", some: [] }),
  interfaces: [],
  member: () => undefined,
  groupOf: () => undefined,
  routesByTos: false,
  bare: () => false,
  changing: () => false,
  setsVary: false,
  lengthens: false,
  rewritesOptions: false,
  reversePath: () => undefined,
});

function rule(line: string, family: Family, table: TableName, chain: string) {
  const text = `*${table}\n:u - [0:0]\n-A ${chain} ${line}\nCOMMIT\n`;
  const { rulesets, diagnostics } = readRuleset([{ name: "t", text, family }]);
  expect(diagnostics).toEqual([]);
  return asIptables(rulesets[0]!.tables.get(table)!.chains.get(chain)!.rules[0]!);
}

type Fields = Partial<Record<Field, Scalar>>;

/** Returns true if a rule matches a packet; `"?"` if unknown. */
function matches(line: string, packet: Fields, family: Family = 4): boolean | "?" {
  const { matches: list } = rule(line, family, "filter", "u");
  const site = { table: "filter", chain: "u", index: 1 };
  const answer = evaluate(and(...list.map((m) => m.extension.predicate(m.values, facts(family), site))), {
    field: (f) => ({ fragment: 0, in: "", out: "", physin: "", physout: "", ...packet })[f],
    settled: () => undefined,
  });
  return typeof answer === "boolean" ? answer : "?";
}

function effect(line: string, table: TableName = "mangle", family: Family = 4, chain = "u"): Effect {
  const { target } = rule(line, family, table, chain);
  if (target.kind !== "extension") throw new Error(target.kind);
  return target.extension.effect(target.values, facts(family), { table, chain, index: 1 });
}

const ip = (text: string): Scalar => parseAddress(text, 4)!;

describe("matches", () => {
  test.each<[string, Fields, boolean | "?"]>([
    // A name that is not there is no name: -i fails, ! -i holds (ip_packet_match).
    ["-i eth0", { in: "" }, false],
    ["! -i eth0", { in: "" }, true],
    ["-i br-+", { in: "br-0" }, true],
    ["-s 192.0.2.77/255.0.0.255", { src: ip("192.9.9.77") }, true],
    ["! -f", { fragment: 1 }, false],
    // Later fragments have no ports, negated or not.
    ["-p tcp ! --dport 80", { proto: 6, dport: 81, fragment: 1 }, false],
    // xt_ecn reads the bytes at the place of the flags.
    ["-p tcp -m ecn --ecn-tcp-cwr", { proto: 6, flags: 0x80, fragment: 1 }, true],
    ["-p tcp --syn", { proto: 6, flags: 2 }, true],
    ["-p tcp --syn", { proto: 6, flags: 2 | 8 }, true],
    ["-p tcp ! --syn", { proto: 6, flags: 18 }, true],
    ["-p tcp -m multiport --ports 80,90:99", { proto: 6, sport: 95, dport: 5 }, true],
    ["-p tcp -m multiport ! --ports 80,90:99", { proto: 6, sport: 95, dport: 5 }, false],
    ["-p icmp --icmp-type any", { proto: 1, type: 8, code: 0 }, true],
    ["-p icmp ! --icmp-type any", { proto: 1, type: 8, code: 0 }, false],
    ["-p icmp --icmp-type echo-request", { proto: 1, type: 8, code: 7 }, true],
    ["-p icmp --icmp-type 3/4", { proto: 1, type: 3, code: 1 }, false],
    // xt_conntrack: without a connection the state is all that is portPredicate.
    ["-m conntrack --ctstate INVALID --ctproto tcp", { ctstate: CT.INVALID }, true],
    ["-m conntrack --ctproto tcp", { ctstate: CT.INVALID }, false],
    ["-m conntrack ! --ctproto tcp", { ctstate: CT.UNTRACKED }, false],
    ["-m conntrack ! --ctstate NEW", { ctstate: CT.UNTRACKED }, true],
    ["-m conntrack --ctstate DNAT", { ctstate: CT.NEW, ctstatus: CT_STATUS.DST_NAT }, true],
    ["-m conntrack --ctstatus NONE", { ctstate: CT.NEW, ctstatus: 0 }, false],
    ["-m conntrack ! --ctstatus NONE", { ctstate: CT.NEW, ctstatus: 0 }, true],
    ["-m connmark ! --mark 1", { ctstate: CT.UNTRACKED, ctmark: 0 }, false],
    ["-m mark --mark 0x5/0x10", { mark: 5 }, false],
    ["-m mark --mark 0/0", { mark: 5 }, true],
    // xt_owner: no socket matches what is negated altogether.
    ["-m owner --uid-owner 0", { socket: 0 }, false],
    ["-m owner ! --uid-owner 0", { socket: 0 }, true],
    ["-m owner ! --uid-owner 0 --gid-owner 5", { socket: 0 }, false],
    ["-m owner --uid-owner 5-9", { socket: 1, uid: 7, gid: 0 }, true],
    ["-m owner ! --socket-exists", { socket: 1, uid: 7, gid: 0 }, false],
    ["-m owner ! --socket-exists", { socket: 0 }, true],
    // xt_physdev: what no bridge has seen.
    ["-m physdev ! --physdev-in eth0", {}, true],
    ["-m physdev --physdev-in eth0 ! --physdev-is-out", {}, false],
    ["-m physdev --physdev-in eth+", { physin: "eth1" }, true],
    ["-m physdev ! --physdev-out eth0", { physin: "eth1" }, false],
    ["-m physdev --physdev-is-bridged", { physin: "eth1", physout: "eth2" }, true],
    ["-m pkttype --pkt-type multicast", { pkttype: 5, dst: ip("224.0.0.1") }, true],
    ["-m pkttype --pkt-type broadcast", { pkttype: 5, dst: ip("192.0.2.1") }, true],
    ["-m pkttype --pkt-type unicast", { pkttype: 5, dst: ip("192.0.2.1") }, false],
    ["-m dscp --dscp-class EF", { tos: 0xb9 }, true],
    ["-m ecn --ecn-ip-ect 1", { tos: 0xb9 }, true],
    ["-m tos --tos 0x10/0x3f", { tos: 0x50 }, true],
    ["-m ttl --ttl-lt 0", { ttl: 0 }, false],
    ["-m ttl --ttl-gt 254", { ttl: 255 }, true],
    ["-m iprange --src-range 192.0.2.9-192.0.2.1", { src: ip("192.0.2.5") }, false],
    ["-m mac --mac-source 00:00:00:00:01:02", { mac: 258 }, true],
    ["-m recent --set", {}, true],
    ["-m recent ! --set", {}, false],
    ["-m recent --rcheck", {}, "?"],
    ["-m limit --limit 5/sec", {}, "?"],
    ["-m statistic --mode random --probability 1", {}, true],
    ["-m statistic --mode random --probability 0", {}, false],
    ["-m statistic --mode random --probability 0.5", {}, "?"],
    ["-m set --match-set nowhere src", {}, "?"],
    ["-m string --algo bm --string x -p tcp", { proto: 17 }, false],
  ])("%s of %j: %s", (line, packet, expected) => {
    expect(matches(line, packet)).toBe(expected);
  });

  test("one unknown for all rules with the same match of an unchanging field", () => {
    const key = (line: string): unknown => {
      const m = rule(line, 6, "filter", "u").matches.at(-1)!;
      return JSON.stringify(
        m.extension.predicate(m.values, facts(6), { table: "filter", chain: "u", index: Math.random() }),
      );
    };
    expect(key("-m time --weekdays Mon")).toBe(key("-m time --weekdays 1"));
    expect(key("-m rt --rt-type 0")).toBe(key("-m rt --rt-type 0"));
    expect(key("-m limit")).not.toBe(key("-m limit"));
  });
});

describe("targets", () => {
  test.each<[string, TableName, unknown]>([
    [
      "-j MARK --set-mark 0x10/0xff",
      "mangle",
      { kind: "assign", field: "mark", change: { kind: "bits", clear: 0xff, xor: 0x10 } },
    ],
    [
      "-j MARK --and-mark 0xff",
      "mangle",
      { kind: "assign", field: "mark", change: { kind: "bits", clear: 0xffffff00, xor: 0 } },
    ],
    [
      "-j CONNMARK --save-mark",
      "mangle",
      {
        kind: "assign",
        field: "ctmark",
        change: { kind: "copy", from: "mark", mask: 0xffffffff, clear: 0xffffffff },
      },
    ],
    [
      "-j CONNMARK --restore-mark --nfmask 1 --ctmask 2",
      "mangle",
      { kind: "assign", field: "mark", change: { kind: "copy", from: "ctmark", mask: 2, clear: 1 } },
    ],
    [
      "-j DSCP --set-dscp 1",
      "mangle",
      { kind: "assign", field: "tos", change: { kind: "bits", clear: 0xfc, xor: 4 } },
    ],
    ["-j TTL --ttl-dec 2", "mangle", { kind: "assign", field: "ttl", change: { kind: "add", by: -2 } }],
    [
      "-j CT --notrack",
      "raw",
      { kind: "assign", field: "ctstate", change: { kind: "bits", clear: 7, xor: CT.UNTRACKED } },
    ],
    ["-j CT --zone 0", "raw", PREPARE],
    [
      "-j CT --zone 5",
      "raw",
      {
        kind: "opaque",
        key: "CT@raw/u/1",
        reason: { code: "extension", text: "connections in zones are not followed" },
      },
    ],
    ["-j REJECT", "filter", { kind: "verdict", verdict: "reject" }],
    [
      "-p tcp -j DNAT --to-destination :80",
      "nat",
      {
        kind: "nat",
        side: "dst",
        to: { kind: "keep" },
        ports: { first: 80, last: 80 },
        random: false,
        persistent: false,
      },
    ],
    [
      "-p udp -j MASQUERADE --to-ports 1024-2048 --random",
      "nat",
      {
        kind: "nat",
        side: "src",
        to: { kind: "interface" },
        ports: { first: 1024, last: 2048 },
        random: true,
      },
    ],
    ["-j TEE --gateway 192.0.2.1", "mangle", { kind: "note" }],
  ])("%s", (line, table, expected) => {
    expect(effect(line, table)).toEqual(expected);
  });

  test("NETMAP changes what its hook changes", () => {
    expect(effect("-j NETMAP --to 192.0.2.0/24", "nat", 4, "PREROUTING")).toMatchObject({
      kind: "nat",
      side: "dst",
    });
    expect(effect("-j NETMAP --to 192.0.2.0/24", "nat", 4, "POSTROUTING")).toMatchObject({
      kind: "nat",
      side: "src",
    });
  });
});
