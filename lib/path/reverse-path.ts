/** Reverse path of a packet, as `-m rpfilter` tests it (net/ipv4/netfilter/ipt_rpfilter.c, ipv6/netfilter/ip6t_rpfilter.c). */
import type { Host } from "../host/host.ts";
import { LINK_SCOPE, prefixes } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import { ANY, and, is, NEVER, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { Facts } from "../rules/facts.ts";
import { decide } from "./decision-list.ts";
import { fibCases } from "./fib.ts";
import { fibLookup, type Lookup, nearFibLookup, rpfilterLookup } from "./routing-lookup.ts";
import type { RouteResult } from "./routing-table.ts";

/** PACKET_LOOPBACK: multicast of the host that loops back to it. */
const LOOPED = or(is("in", "lo"), is("pkttype", 5));

/** Packets whose source is not looked up, since it has no route: DHCP requests and duplicate address detection. */
const SKIPPED: Readonly<Record<Family, Predicate>> = {
  4: and(is("src", 0), within("dst", prefixes(4, "255.255.255.255/32", "224.0.0.0/24"))),
  6: is("src", 0n),
};

/**
 * Returns the packets that pass `-m rpfilter`, or for whose source `fib` of nftables finds a route; `undefined` if the routes
 * are unknown.
 */
export function reversePath(
  host: Host,
  family: Family,
  { loose, validmark, acceptLocal, fib }: Parameters<Facts["reversePath"]>[0],
): Predicate | undefined {
  if (!host.routed.includes(family)) return undefined;
  const arrivedBy = (dev: string | null): Predicate => (dev === null ? NEVER : is("in", dev));
  const passes = (result: RouteResult): Predicate => {
    if (result.kind === "unicast") {
      const devices = result.devs.map((dev): Range => [dev, dev]);
      return loose ? ANY : within("in", devices);
    }
    // IPv6 treats a multicast route like a unicast route.
    if (family === 6 && result.kind === "multicast") return loose ? ANY : arrivedBy(result.dev);
    if (result.kind !== "local" || !acceptLocal) return NEVER;
    // IPv6 does not compare the interface of a local address.
    return loose || family === 6 ? ANY : arrivedBy(result.dev);
  };
  const found = (lookup: Lookup): Predicate =>
    decide(fibCases(host, family, lookup).map(({ when, outcome }) => ({ when, outcome: passes(outcome) })));
  if (fib === undefined || family === 4)
    return or(LOOPED, SKIPPED[family], found(rpfilterLookup(family, validmark, loose)));
  const near = within("src", LINK_SCOPE);
  return or(
    LOOPED,
    SKIPPED[6],
    and(near, found(nearFibLookup(validmark))),
    and(not(near), found(fibLookup(host, validmark, loose ? null : fib))),
  );
}
