/** What `-m rpfilter` asks where the routes are known (net/ipv4/netfilter/ipt_rpfilter.c, ipv6/netfilter/ip6t_rpfilter.c). */
import type { Host } from "../host/host.ts";
import { prefixes } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import { ANY, and, is, NEVER, or, type Predicate, within } from "../packet/predicate.ts";
import type { Facts } from "../rules/facts.ts";
import { decide } from "./decision-list.ts";
import { type Found, fibCases, reverse } from "./fib.ts";

/** PACKET_LOOPBACK: what the host sent to a group comes back to it. */
const LOOPED = or(is("in", "lo"), is("pkttype", 5));

/** Sources that are not looked for: nobody could answer them, and DHCP's client and IPv6's neighbours send from there. */
const UNASKED: Readonly<Record<Family, Predicate>> = {
  4: and(is("src", 0), within("dst", prefixes(4, "255.255.255.255/32", "224.0.0.0/24"))),
  6: is("src", 0n),
};

/** Whether an answer would leave by the interface that the packet came in by; `undefined` where no routes were given. */
export function reversePath(
  host: Host,
  family: Family,
  { loose, validmark, acceptLocal }: Parameters<Facts["reversePath"]>[0],
): Predicate | undefined {
  if (!host.routed.includes(family)) return undefined;
  const holds = (found: Found): Predicate => {
    if (found.kind === "unicast")
      return loose
        ? ANY
        : within(
            "in",
            found.devs.map((dev): Range => [dev, dev]),
          );
    // To IPv6 a group's route is one like any other.
    if (family === 6 && found.kind === "multicast")
      return loose ? ANY : found.dev === null ? NEVER : is("in", found.dev);
    if (found.kind !== "local" || !acceptLocal) return NEVER;
    // IPv6 does not ask which interface has the address.
    return loose || family === 6 ? ANY : found.dev === null ? NEVER : is("in", found.dev);
  };
  const cases = fibCases(host, family, reverse(family, validmark, loose));
  return or(LOOPED, UNASKED[family], decide(cases.map((c) => ({ ...c, outcome: holds(c.outcome) }))));
}
