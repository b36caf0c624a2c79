/**
 * The routing decision as a list of cases, first one that holds: both engines choose among them as they choose among
 * rules (net/ipv4/route.c ip_route_input_slow and ip_route_output_key_hash_rcu, net/ipv4/ip_forward.c,
 * net/ipv6/ip6_input.c, net/ipv6/ip6_output.c).
 */

import { type Host, type Route, sysctl } from "../host/host.ts";
import { isInRanges, prefixes, prefixRange } from "../packet/address.ts";
import { type Family, PROTO, type Range } from "../packet/field.ts";
import {
  ANY,
  and,
  between,
  is,
  NEVER,
  not,
  opaque,
  or,
  type Predicate,
  within,
} from "../packet/predicate.ts";
import { type Case, decide } from "./decision-list.ts";
import { fibCases } from "./fib.ts";
import { byInterface, ipv4Setting, ipv6Setting } from "./interface-settings.ts";
import { hasPolicyRouting } from "./policy-rules.ts";
import { ARRIVING, LEAVING, type Lookup, REROUTED, sourceLookup } from "./routing-lookup.ts";
import type { RouteResult } from "./routing-table.ts";

/** Routing decision. */
export type RouteDecision =
  /** Delivered to the host itself. */
  | { readonly kind: "local"; readonly route?: Route }
  /** Forwarded or sent by this interface. */
  | { readonly kind: "via"; readonly out: string; readonly route?: Route }
  /** Not routed at all. */
  | { readonly kind: "none"; readonly why: string };

export type RouteCase = Case<RouteDecision>;

const LOOPBACK = { 4: prefixes(4, "127.0.0.0/8"), 6: prefixes(6, "::1/128") } as const;
const MULTICAST = { 4: prefixes(4, "224.0.0.0/4"), 6: prefixes(6, "ff00::/8") } as const;
const LINK_GROUPS = prefixes(4, "224.0.0.0/24");
const ZERO = prefixes(4, "0.0.0.0/32");
const EVERYBODY = 0xffff_ffff;

const none = (why: string): RouteDecision => ({ kind: "none", why });
const LOCAL: RouteDecision = { kind: "local" };
const refuse = (when: Predicate, why: string): RouteCase => ({ when, outcome: none(why) });

/** ip_local_deliver. */
const WAITS = "a fragment for the host waits for the rest";

/** All decisions for packets that arrive (`in`), for those the host sends (`out`), and when OUTPUT changed them (`again`). */
export function routeCases(
  host: Host,
  family: Family,
): { readonly in: RouteCase[]; readonly out: RouteCase[]; readonly again: RouteCase[] } {
  const incoming = [...(family === 4 ? arriving4(host) : []), ...forwarded(host, family)];
  const leaving = family === 4 ? leaving4 : leaving6;
  return { in: incoming, out: leaving(host, LEAVING), again: leaving(host, REROUTED[family]) };
}

/** Key of the unknown "the host has joined the multicast group" (`ip maddr`). */
export const GROUPS = "multicast-groups";

/** Returns the groups that the host has joined. All nodes join the all-nodes group; routers also join the all-routers group. */
function joined(host: Host, family: Family): Predicate {
  const routes = sysctl(host, "net.ipv6.conf.all.forwarding", 1) !== 0;
  const everyone =
    family === 4
      ? is("dst", 0xe000_0001)
      : between("dst", (0xff02n << 112n) | 1n, (0xff02n << 112n) | (routes ? 2n : 1n));
  return or(everyone, opaque(GROUPS, "which multicast groups the host has joined is not known (ip maddr)"));
}

/** IPv4: packets that are refused or delivered before the routing tables are evaluated. */
function arriving4(host: Host): RouteCase[] {
  const zero = within("src", ZERO);
  const multicast = within("dst", MULTICAST[4]);
  const closed = not(byInterface(host, (name) => ipv4Setting(host, "route_localnet", name, "or") !== 0));
  const everybody = or(is("dst", EVERYBODY), and(is("src", 0), is("dst", 0)));
  return [
    refuse(
      within("src", [...MULTICAST[4], [EVERYBODY, EVERYBODY]]),
      "a multicast or broadcast source (martian source)",
    ),
    refuse(
      and(multicast, closed, within("src", LOOPBACK[4])),
      "a loopback address from outside (martian source)",
    ),
    refuse(
      and(multicast, zero, not(within("dst", LINK_GROUPS)), not(is("proto", PROTO.igmp))),
      "no source address (martian source)",
    ),
    refuse(and(or(multicast, everybody), is("fragment", 1)), WAITS),
    { when: and(multicast, joined(host, 4)), outcome: LOCAL },
    refuse(multicast, "a multicast group that the host has not joined"),
    { when: everybody, outcome: LOCAL },
    refuse(or(zero, within("dst", ZERO)), "no address at all (martian)"),
    refuse(and(closed, within("dst", LOOPBACK[4])), "a loopback address from outside (martian destination)"),
    refuse(and(closed, within("src", LOOPBACK[4])), "a loopback address from outside (martian source)"),
  ];
}

/** Returns the decisions of the routing tables for arriving packets. */
function forwarded(host: Host, family: Family): RouteCase[] {
  const still =
    family === 4
      ? not(
          byInterface(
            host,
            (name) =>
              ipv4Setting(host, "forwarding", name, "own", sysctl(host, "net.ipv4.ip_forward", 1)) !== 0,
          ),
        )
      : sysctl(host, "net.ipv6.conf.all.forwarding", 1) !== 0
        ? NEVER
        : not(byInterface(host, (name) => ipv6Setting(host, "force_forwarding", name) !== 0));
  const off = none("forwarding is switched off (sysctl)");
  const backwards = family === 4 ? fibCases(host, 4, sourceLookup(host)) : [];
  const accepts = byInterface(host, (name) => ipv4Setting(host, "accept_local", name, "or") !== 0);
  const notUnicast = decide(
    backwards.map(({ when, outcome: { kind } }) => ({
      when,
      outcome: kind === "broadcast" || kind === "anycast" ? ANY : kind === "local" ? not(accepts) : NEVER,
    })),
  );
  const waits = refuse(is("fragment", 1), WAITS);
  const hidden =
    family === 4
      ? and(
          DISGUISED,
          byInterface(host, (name) => ipv4Setting(host, "drop_unicast_in_l2_multicast", name, "or") !== 0),
        )
      : NEVER;
  /** Forwards broadcasts to another link; `all` and the interface must both be on. */
  const spreads = byInterface(
    host,
    (name) =>
      sysctl(host, "net.ipv4.conf.all.bc_forwarding", 0) !== 0 &&
      ipv4Setting(host, "bc_forwarding", name, "own") !== 0,
  );
  const sent = ({ when, outcome: found }: Case<RouteResult>): RouteCase[] => {
    const here = (c: RouteCase): RouteCase => ({ when: and(when, c.when), outcome: c.outcome });
    switch (found.kind) {
      case "anycast":
        if (family === 4) return [refuse(when, "a route says anycast")];
        return [here(waits), { when, outcome: { kind: "local", route: found.route } }];
      case "broadcast":
        return [
          ...(found.dev === null
            ? []
            : [
                ...turning4(host, found.dev, notUnicast).map(here).map(only(spreads)),
                {
                  when: and(when, spreads),
                  outcome: { kind: "via", out: found.dev, route: found.route },
                } as const,
              ]),
          here(waits),
          { when, outcome: { kind: "local", route: found.route } },
        ];
      case "local":
        return [
          here(refuse(hidden, HIDDEN)),
          here(waits),
          { when, outcome: { kind: "local", route: found.route } },
        ];
      case "multicast":
        return family === 4
          ? [refuse(when, "a route says multicast")]
          : [
              { when: and(when, joined(host, 6)), outcome: LOCAL },
              refuse(when, "a multicast group that the host has not joined"),
            ];
      case "refused":
        return [refuse(when, found.why)];
      case "unicast":
        return [
          { when: and(when, still), outcome: off },
          ...(family === 4 ? turning4(host, found.dev, notUnicast).map(here) : []),
          { when, outcome: { kind: "via", out: found.dev, route: found.route } },
        ];
    }
  };
  const cases = fibCases(host, family, ARRIVING).flatMap(sent);
  return [...cases, refuse(ANY, "no route leads there")];
}

const only =
  (more: Predicate) =>
  (c: RouteCase): RouteCase => ({ when: and(more, c.when), outcome: c.outcome });

/** Unicast packet in a multicast or broadcast frame (RFC 1122, 3.3.6). */
const DISGUISED = between("pkttype", 1, 2);
const HIDDEN = "a packet for one in a frame for many (drop_unicast_in_l2_multicast)";

/** With send_redirects, the source of a packet that leaves by its input interface is always looked up. */
function turning4(host: Host, dev: string, notUnicast: Predicate): RouteCase[] {
  return ipv4Setting(host, "send_redirects", dev, "or", 1) === 0
    ? []
    : [refuse(and(is("in", dev), notUnicast), "no unicast address as source (martian source)")];
}

/**
 * Returns the reason why the kernel refuses a source address on arrival: an address of the host, or rp_filter
 * (fib_validate_source). It applies to IPv4 packets after the routing decision.
 */
export function sourceCases(host: Host, family: Family): Case<string | null>[] {
  const fine: Case<string | null> = { when: ANY, outcome: null };
  if (family === 6) return [fine];
  const filter = (name: string): number => ipv4Setting(host, "rp_filter", name, "max");
  const accepts = byInterface(host, (name) => ipv4Setting(host, "accept_local", name, "or") !== 0);
  const unfiltered = byInterface(host, (name) => filter(name) === 0);
  const strict = byInterface(host, (name) => filter(name) === 1);
  const own = host.interfaces.flatMap((i) =>
    i.addresses.filter((a) => a.family === 4 && !a.invented).map((a): Range => [a.address, a.address]),
  );
  // With policy routing or additional local routes the tables are evaluated even without rp_filter; with realms
  // (fib_num_tclassid_users) even if accept_local is on.
  const counted = [...host.routes, ...(host.rules ?? [])].some((r) => r.family === 4 && r.realm === true);
  const full = counted || hasPolicyRouting(host, 4) || localRoutes(host);
  const martian = "one of the host's own addresses as source, from outside (martian source)";
  const wrong = "its source is not reached by the interface it came in by (rp_filter)";
  // The source of multicast and broadcast is looked up without a destination (ip_mc_validate_source, brd_input).
  const toMany = or(
    within("dst", [...MULTICAST[4], [EVERYBODY, EVERYBODY]]),
    decide(
      (hasPolicyRouting(host, 4) ? fibCases(host, 4, ARRIVING) : []).map(({ when, outcome: { kind } }) => ({
        when,
        outcome: kind === "broadcast" ? ANY : NEVER,
      })),
    ),
  );
  const backwards = fibCases(host, 4, { ...sourceLookup(host), alone: toMany });
  const bare = within(
    "in",
    host.interfaces
      .filter((i) => !i.addresses.some((a) => a.family === 4))
      .map((i): Range => [i.name, i.name]),
  );
  return [
    // The kernel does not look 0.0.0.0 up, since DHCP clients send from it.
    { when: within("src", ZERO), outcome: null },
    ...(counted ? [] : [{ when: and(unfiltered, accepts), outcome: null }]),
    ...(full ? [] : [{ when: and(unfiltered, within("src", own)), outcome: martian }]),
    ...(full ? [] : [{ when: unfiltered, outcome: null }]),
    ...backwards.flatMap(({ when, outcome: found }): Case<string | null>[] => {
      if (found.kind === "unicast")
        return [
          {
            when: and(
              when,
              within(
                "in",
                found.devs.map((dev): Range => [dev, dev]),
              ),
            ),
            outcome: null,
          },
          { when: and(when, bare, not(unfiltered)), outcome: wrong },
          { when: and(when, strict), outcome: wrong },
          { when, outcome: null },
        ];
      const refused: Case<string | null> = { when, outcome: found.kind === "refused" ? wrong : martian };
      // A route that refuses counts as no route.
      if (found.kind === "refused") return [{ when: and(when, unfiltered), outcome: null }, refused];
      return found.kind === "local"
        ? [
            { when: and(when, accepts, not(strict)), outcome: null },
            ...(found.dev === null ? [] : [{ when: and(when, accepts, is("in", found.dev)), outcome: null }]),
            { when: and(when, accepts), outcome: wrong },
            refused,
          ]
        : [refused];
    }),
    { when: unfiltered, outcome: null },
    { when: ANY, outcome: wrong },
  ];
}

/** Returns true if there are local routes that no address implies (fib_has_custom_local_routes). */
const localRoutes = (host: Host): boolean =>
  host.routes.some(({ family, type, to }) => {
    if (family !== 4 || type !== "local") return false;
    const [first, last] = prefixRange(to);
    if (isInRanges(first, LOOPBACK[4])) return false;
    return first !== last || !host.interfaces.some((i) => i.addresses.some((a) => a.address === first));
  });

/** Routed packets that are not forwarded (ip_forward, ip6_forward), with the reason. */
export const ENDED: readonly Case<string | null>[] = [
  { when: not(is("pkttype", 0)), outcome: "a frame that was not sent to this host is not forwarded" },
  { when: between("ttl", 0, 1), outcome: "its time to live ends here" },
  { when: ANY, outcome: null },
];

/** Returns the routed packets that are not forwarded, IPv6 sources of link scope included. */
export function stoppedCases(host: Host, family: Family): readonly Case<string | null>[] {
  if (family === 4) return ENDED;
  const back = or(...host.interfaces.map(({ name }) => and(is("in", name), is("out", name))));
  return [
    { when: and(not(back), is("src", 0n)), outcome: "no source address" },
    {
      when: and(not(back), within("src", prefixes(6, "fe80::/10"))),
      outcome: "a link-local source does not leave its link",
    },
    ...ENDED,
  ];
}

/** IPv4: decisions for packets of the host. */
function leaving4(host: Host, lookup: Lookup): RouteCase[] {
  const group = or(within("dst", MULTICAST[4]), is("dst", EVERYBODY));
  const tables = fibCases(host, 4, lookup);
  return [
    refuse(within("src", [...MULTICAST[4], [EVERYBODY, EVERYBODY]]), "no address to send from"),
    // Multicast and broadcast leave by the interface with the source address.
    ...host.interfaces.flatMap((i): RouteCase[] =>
      i.name === "lo"
        ? []
        : [
            {
              when: and(
                group,
                within(
                  "src",
                  i.addresses.filter((a) => a.family === 4).map((a): Range => [a.address, a.address]),
                ),
              ),
              outcome: { kind: "via", out: i.name },
            },
          ],
    ),
    ...tables.flatMap(({ when, outcome: found }): RouteCase[] => {
      if ((found.kind !== "broadcast" && found.kind !== "unicast") || found.dev === null)
        return [{ when, outcome: decided(found) }];
      const { dev, route } = found;
      const closed = ipv4Setting(host, "route_localnet", dev, "or") === 0 && dev !== "lo";
      return [
        ...(closed
          ? [refuse(and(when, within("src", LOOPBACK[4])), "a loopback address does not leave the host")]
          : []),
        { when, outcome: { kind: "via", out: dev, route } },
      ];
    }),
    refuse(ANY, "no route leads there"),
  ];
}

/** IPv6: decisions for packets of the host. */
const leaving6 = (host: Host, lookup: Lookup): RouteCase[] => [
  ...fibCases(host, 6, lookup).map(({ when, outcome }) => ({
    when,
    outcome: decided(outcome),
  })),
  refuse(ANY, "no route leads there"),
];

function decided(found: RouteResult): RouteDecision {
  switch (found.kind) {
    case "local":
    case "anycast":
      return { kind: "local", route: found.route };
    case "unicast":
      return { kind: "via", out: found.dev, route: found.route };
    case "refused":
      return none(found.why);
    default:
      return none("which interface a group is sent by is not known");
  }
}

/** Fragments that are held back until all have arrived (nf_defrag_ipv4). */
export const heldCases = (tracks: boolean): Case<string | null>[] => [
  ...(tracks
    ? [{ when: is("fragment", 1), outcome: "connection tracking waits for the rest of the fragments" }]
    : []),
  { when: ANY, outcome: null },
];

/** Translations on a bridge that are not followed: IPv6 multicast is flooded to the ports. */
export const groupCases = (family: Family): Case<string | null>[] => [
  ...(family === 6
    ? [
        {
          when: within("dst", MULTICAST[6]),
          outcome: "what a bridge makes of a translation to a group is not followed",
        },
      ]
    : []),
  { when: ANY, outcome: null },
];

/** PACKET_OTHERHOST (linux/if_packet.h). */
const OTHER_HOST = 3;

/** Packets that are dropped before any table: frames for other hosts (ip_rcv_core), invalid IPv6 headers (ip6_rcv_core), and fragments. */
export function refusedCases(host: Host, family: Family, tracks: boolean): Case<string | null>[] {
  const six = (name: string): Predicate =>
    byInterface(host, (device) => ipv6Setting(host, name, device) !== 0);
  const outside = not(is("in", "lo"));
  const at = (when: Predicate, outcome: string): Case<string | null> => ({ when, outcome });
  return [
    at(is("pkttype", OTHER_HOST), "a frame for another host"),
    ...(family === 4
      ? []
      : [
          at(six("disable_ipv6"), "IPv6 is switched off where it came in (sysctl)"),
          at(and(outside, within("src", LOOPBACK[6])), "::1 from outside"),
          at(and(outside, within("dst", LOOPBACK[6])), "::1 from outside"),
          at(and(DISGUISED, not(within("dst", MULTICAST[6])), six("drop_unicast_in_l2_multicast")), HIDDEN),
          at(within("src", MULTICAST[6]), "a multicast source"),
          // Scope 0 is reserved, scope 1 never leaves an interface.
          at(and(outside, ...SCOPES), "a multicast group that does not leave its host"),
        ]),
    ...heldCases(tracks),
  ];
}

/** ff?0::/16 and ff?1::/16. */
const SCOPES = [
  within(
    "dst",
    Array.from({ length: 16 }, (_, flags): Range => {
      const first = BigInt(0xff00 | (flags << 4)) << 112n;
      return [first, first | ((1n << 113n) - 1n)];
    }),
  ),
];
