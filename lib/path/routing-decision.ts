/**
 * The routing decision as a list of cases, first one that holds: both engines choose among them as they choose among
 * rules (net/ipv4/route.c ip_route_input_slow and ip_route_output_key_hash_rcu, net/ipv4/ip_forward.c,
 * net/ipv6/ip6_input.c, net/ipv6/ip6_output.c).
 */

import { type Host, sysctl } from "../host/host.ts";
import type { Route } from "../host/routes.ts";
import { LOOPBACK, MULTICAST, prefixes } from "../packet/address.ts";
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
import type { Case } from "./decision-list.ts";
import type { EndReason } from "./end-reason.ts";
import { fibCases } from "./fib.ts";
import { byInterface, ipv4Setting, ipv6Setting } from "./interface-settings.ts";
import { DISGUISED, HIDDEN } from "./kernel-drops.ts";
import type { Routes } from "./route-list.ts";
import { ARRIVING, LEAVING, type Lookup, REROUTED } from "./routing-lookup.ts";
import type { RouteResult } from "./routing-table.ts";

/** Routing decision, for one packet by default. */
export type RouteDecision<R = Route> =
  /** Delivered to the host itself. */
  | { readonly kind: "local"; readonly route?: R }
  /** Forwarded or sent by this interface. */
  | { readonly kind: "via"; readonly out: string; readonly route?: R }
  /** Not routed at all. */
  | { readonly kind: "none"; readonly reason: EndReason };

export type RouteCase = Case<RouteDecision<Routes>>;

const LINK_GROUPS = prefixes(4, "224.0.0.0/24");
/** 0.0.0.0. */
export const UNSPECIFIED = prefixes(4, "0.0.0.0/32");
/** 255.255.255.255. */
export const LIMITED_BROADCAST = 0xffff_ffff;

const none = (reason: EndReason): RouteDecision<never> => ({ kind: "none", reason });
const LOCAL: RouteDecision<never> = { kind: "local" };
const refuse = (when: Predicate, reason: EndReason): RouteCase => ({ when, outcome: none(reason) });

/** ip_local_deliver. */
const WAITS: EndReason = { code: "fragment-waits", waitsFor: "host" };
const NO_ROUTE: EndReason = { code: "no-route" };
const NOT_JOINED: EndReason = { code: "group-not-joined" };
type MartianSource = Extract<EndReason, { code: "martian-source" }>;
const martian = (source: MartianSource["source"]): MartianSource => ({ code: "martian-source", source });

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
  return or(everyone, opaque(GROUPS, { code: "multicast-groups" }));
}

/** IPv4: packets that are refused or delivered before the routing tables are evaluated. */
function arriving4(host: Host): RouteCase[] {
  const zero = within("src", UNSPECIFIED);
  const multicast = within("dst", MULTICAST[4]);
  const closed = not(byInterface(host, (name) => ipv4Setting(host, "route_localnet", name, "or") !== 0));
  const everybody = or(is("dst", LIMITED_BROADCAST), and(is("src", 0), is("dst", 0)));
  return [
    refuse(
      within("src", [...MULTICAST[4], [LIMITED_BROADCAST, LIMITED_BROADCAST]]),
      martian("multicast-or-broadcast"),
    ),
    refuse(and(multicast, closed, within("src", LOOPBACK[4])), martian("loopback")),
    refuse(
      and(multicast, zero, not(within("dst", LINK_GROUPS)), not(is("proto", PROTO.igmp))),
      martian("none"),
    ),
    refuse(and(or(multicast, everybody), is("fragment", 1)), WAITS),
    { when: and(multicast, joined(host, 4)), outcome: LOCAL },
    refuse(multicast, NOT_JOINED),
    { when: everybody, outcome: LOCAL },
    refuse(or(zero, within("dst", UNSPECIFIED)), { code: "zero-address" }),
    refuse(and(closed, within("dst", LOOPBACK[4])), { code: "martian-destination" }),
    refuse(and(closed, within("src", LOOPBACK[4])), martian("loopback")),
  ];
}

/** Returns the decisions of the routing tables for arriving packets. */
function forwarded(host: Host, family: Family): RouteCase[] {
  const conditions = arrivalConditions(host, family);
  return [
    ...fibCases(host, family, ARRIVING).flatMap((found) => routed(host, family, found, conditions)),
    refuse(ANY, NO_ROUTE),
  ];
}

/** Conditions on arriving packets that apply after their route is found. */
interface ArrivalConditions {
  /** Forwarding is switched off on the input interface. */
  readonly notForwarding: Predicate;
  /** IPv4: unicast packets in multicast or broadcast frames, if the input interface drops them. */
  readonly disguised: Predicate;
  /** IPv4: broadcasts are forwarded to another link. */
  readonly forwardsBroadcast: Predicate;
}

function arrivalConditions(host: Host, family: Family): ArrivalConditions {
  if (family === 6)
    return {
      notForwarding:
        sysctl(host, "net.ipv6.conf.all.forwarding", 1) !== 0
          ? NEVER
          : not(byInterface(host, (name) => ipv6Setting(host, "force_forwarding", name) !== 0)),
      disguised: NEVER,
      forwardsBroadcast: NEVER,
    };
  const usual = sysctl(host, "net.ipv4.ip_forward", 1);
  return {
    notForwarding: not(
      byInterface(host, (name) => ipv4Setting(host, "forwarding", name, "own", usual) !== 0),
    ),
    disguised: and(
      DISGUISED,
      byInterface(host, (name) => ipv4Setting(host, "drop_unicast_in_l2_multicast", name, "or") !== 0),
    ),
    // Both `all` and the interface must be on.
    forwardsBroadcast: byInterface(
      host,
      (name) =>
        sysctl(host, "net.ipv4.conf.all.bc_forwarding", 0) !== 0 &&
        ipv4Setting(host, "bc_forwarding", name, "own") !== 0,
    ),
  };
}

/** Returns the decisions for arriving packets whose route is found. */
function routed(
  host: Host,
  family: Family,
  { when, outcome: found }: Case<RouteResult>,
  { notForwarding, disguised, forwardsBroadcast }: ArrivalConditions,
): RouteCase[] {
  const waits = refuse(and(when, is("fragment", 1)), WAITS);
  switch (found.kind) {
    case "anycast":
      if (family === 4) return [refuse(when, { code: "route-type", type: "anycast" })];
      return [waits, { when, outcome: { kind: "local", route: found.route } }];
    case "broadcast": {
      const spread = and(when, forwardsBroadcast);
      const toLink: RouteCase[] =
        found.dev === null
          ? []
          : [{ when: spread, outcome: { kind: "via", out: found.dev, route: found.route } }];
      return [...toLink, waits, { when, outcome: { kind: "local", route: found.route } }];
    }
    case "local":
      return [
        refuse(and(when, disguised), HIDDEN),
        waits,
        { when, outcome: { kind: "local", route: found.route } },
      ];
    case "multicast":
      return family === 4
        ? [refuse(when, { code: "route-type", type: "multicast" })]
        : [{ when: and(when, joined(host, 6)), outcome: LOCAL }, refuse(when, NOT_JOINED)];
    case "refused":
      return [refuse(when, found.reason)];
    case "unicast":
      return [
        refuse(and(when, notForwarding), { code: "forwarding-off" }),
        { when, outcome: { kind: "via", out: found.dev, route: found.route } },
      ];
  }
}

/** IPv4: decisions for packets of the host. */
function leaving4(host: Host, lookup: Lookup): RouteCase[] {
  const group = or(within("dst", MULTICAST[4]), is("dst", LIMITED_BROADCAST));
  const tables = fibCases(host, 4, lookup);
  return [
    refuse(within("src", [...MULTICAST[4], [LIMITED_BROADCAST, LIMITED_BROADCAST]]), {
      code: "no-sending-address",
    }),
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
        ...(closed ? [refuse(and(when, within("src", LOOPBACK[4])), { code: "loopback-leaves" })] : []),
        { when, outcome: { kind: "via", out: dev, route } },
      ];
    }),
    refuse(ANY, NO_ROUTE),
  ];
}

/** IPv6: decisions for packets of the host. */
const leaving6 = (host: Host, lookup: Lookup): RouteCase[] => [
  ...fibCases(host, 6, lookup).map(({ when, outcome }) => ({
    when,
    outcome: decided(outcome),
  })),
  refuse(ANY, NO_ROUTE),
];

function decided(found: RouteResult): RouteDecision<Routes> {
  switch (found.kind) {
    case "local":
    case "anycast":
      return { kind: "local", route: found.route };
    case "unicast":
      return { kind: "via", out: found.dev, route: found.route };
    case "refused":
      return none(found.reason);
    default:
      return none({ code: "group-interface" });
  }
}
