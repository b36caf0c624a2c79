/** Examples of all statements and lookups of nft(8), and whether fwcheck follows them. */
import { type Predicate, visitLeaves } from "../../lib/packet/predicate.ts";
import { ends, forks } from "../../lib/rules/effect.ts";
import { factsOf, ruleOf } from "./builders.ts";

/** Sets, maps and objects that the statements use. */
const OBJECTS = `
	limit slow {
		rate 3/minute
	}

	set plain {
		type ipv4_addr
		elements = { 10.0.0.1 }
	}

	set timed {
		type ipv4_addr
		flags timeout
		elements = { 10.0.0.1 expires 5m }
	}

	set dynamic {
		type ipv4_addr
		size 100
		flags dynamic
	}

	map verdicts {
		type ipv4_addr : verdict
		elements = { 10.0.0.1 : drop }
	}
`;

/** Statements and lookups of nft(8), each with an example. */
export const STATEMENTS: readonly (readonly [name: string, rule: string])[] = [
  ["accept, drop", "drop"],
  ["continue", "continue"],
  ["return", "return"],
  ["jump, goto", "jump other"],
  ["queue", "queue num 1"],
  ["reject", "reject with icmpx admin-prohibited"],
  ["vmap of an anonymous map", "tcp dport vmap { 22 : accept, 80-90 : drop }"],
  ["vmap of a named map", "ip saddr vmap @verdicts"],
  ["vmap of a random number", "numgen random mod 2 vmap { 0 : accept, 1 : drop }"],
  ["lookup in an anonymous set", "tcp dport { 22, 80-90 } accept"],
  ["lookup in a named set", "ip saddr @plain accept"],
  ["lookup in a set with timeouts", "ip saddr @timed accept"],
  ["lookup in a set that rules change", "ip saddr @dynamic accept"],
  ["meta mark set VALUE", "meta mark set 1"],
  ["meta mark set ct mark, ct mark set meta mark", "meta mark set ct mark | 0x10"],
  ["meta mark set VALUE map", "meta mark set tcp dport map { 80 : 1 }"],
  ["meta mark set, from another field", "meta mark set ip dscp"],
  ["meta priority set", "meta priority set 1:2"],
  ["meta pkttype set", "meta pkttype set host"],
  ["meta nftrace set", "meta nftrace set 1"],
  ["ct mark set", "ct mark set 1"],
  ["ct zone set", "ct zone set 1"],
  ["ct label set, ct event set", "ct event set new"],
  ["notrack", "notrack"],
  ["ip saddr set, ip daddr set", "ip daddr set 10.0.0.1"],
  ["ip6 saddr set, ip6 daddr set", "ip6 daddr set ::1"],
  ["sport set, dport set", "tcp dport set 80"],
  ["ip dscp set, ip ecn set, ip ttl set", "ip dscp set ef"],
  ["tcp option set", "tcp option maxseg size set 1400"],
  ["raw payload set", "@nh,8,8 set 1"],
  ["snat, dnat", "dnat ip to 10.0.0.1:80"],
  ["dnat by a map", "dnat ip to tcp dport map { 80 : 10.0.0.1 . 8080 }"],
  ["snat prefix, dnat prefix", "snat ip prefix to 10.0.0.0/24"],
  ["masquerade", "masquerade to :1024-65535"],
  ["redirect", "redirect to :80"],
  ["tproxy", "tproxy ip to 127.0.0.1:80"],
  ["synproxy", "synproxy mss 1460 wscale 7"],
  ["counter", "counter packets 0 bytes 0"],
  ["log", 'log prefix "x"'],
  ["limit", "limit rate 3/minute accept"],
  ["limit name", 'limit name "slow" accept'],
  ["quota", "quota over 10 mbytes drop"],
  ["ct count", "ct count over 20 drop"],
  ["add, update", "add @dynamic { ip saddr } accept"],
  ["delete", "delete @dynamic { ip saddr }"],
  ["dup", "dup to 10.0.0.9"],
  ["xt match", 'xt match "recent" accept'],
  ["xt target", 'xt target "TCPMSS"'],
];

/** Reasons of the unknowns that the result of a rule depends on. */
export function unknowns(rule: string): string {
  const reasons = new Set<string>();
  const note = (p: Predicate): void =>
    visitLeaves(p, (leaf) => {
      if (leaf.kind === "opaque" && "text" in leaf.reason) reasons.add(leaf.reason.text);
    });
  for (const family of [4, 6] as const) {
    const { when, effect } = ruleOf(`meta l4proto tcp ${rule}`, "inet", OBJECTS).compile(factsOf(family));
    for (const p of [when, ...forks(effect)]) note(p);
    for (const end of ends(effect)) {
      if (end.kind === "opaque" && "text" in end.reason) reasons.add(end.reason.text);
      if (end.kind === "stolen" && end.reason.code === "target-keeps") reasons.add(end.reason.text);
    }
  }
  return [...reasons].join("; ");
}

/** Statements that are exact, each with an example. */
export const EXACT_STATEMENTS = STATEMENTS.filter(([, rule]) => unknowns(rule) === "");
