/**
 * The routing decision as a list of cases, first one that holds: both engines choose among them as they choose among
 * rules (net/ipv4/route.c ip_route_input_slow, net/ipv4/fib_frontend.c, net/ipv6/route.c).
 */

import { type Host, ownAddresses, type Route, sysctl } from "../host/host.ts";
import { maskBits, prefixes, prefixRange } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import { ANY, and, is, not, or, type Predicate, within } from "../packet/predicate.ts";

export type RouteDecision =
  /** Delivered to the host itself. */
  | { readonly kind: "local" }
  /** Sent on, or out, by this interface. */
  | { readonly kind: "via"; readonly out: string }
  /** Not routed at all. */
  | { readonly kind: "none"; readonly why: string };

/** One case of a decision: the first whose predicate holds decides. */
export interface Case<T> {
  readonly when: Predicate;
  readonly outcome: T;
}

export type RouteCase = Case<RouteDecision>;

const LOOPBACK = { 4: prefixes(4, "127.0.0.0/8"), 6: prefixes(6, "::1/128") } as const;
const MULTICAST = { 4: prefixes(4, "224.0.0.0/4"), 6: prefixes(6, "ff00::/8") } as const;

const none = (why: string): RouteDecision => ({ kind: "none", why });
const LOCAL: RouteDecision = { kind: "local" };

/** All decisions for packets that arrive (`in`) and for those the host sends (`out`). */
export function routeCases(host: Host, family: Family): { in: RouteCase[]; out: RouteCase[] } {
  const own = ownAddresses(host, family);
  const unicast = unicastCases(host, family);
  const forwards =
    sysctl(host, family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding", 1) !== 0;
  const local: RouteCase[] = [
    { when: within("dst", MULTICAST[family]), outcome: LOCAL },
    { when: within("dst", [...own.local, ...own.broadcast]), outcome: LOCAL },
  ];
  return {
    in: [
      ...martians(host, family),
      ...local,
      ...(forwards ? unicast : [{ when: ANY, outcome: none("forwarding is switched off (sysctl)") }]),
    ],
    out: [{ when: within("dst", own.local), outcome: LOCAL }, ...multicastOut(host, family), ...unicast],
  };
}

/** Packets whose loopback addresses come from outside: dropped before any INPUT rule. */
function martians(host: Host, family: Family): RouteCase[] {
  const loopback: readonly Range[] = LOOPBACK[family];
  const outside = not(is("in", "lo"));
  const own = host.interfaces.flatMap((i) =>
    i.name === "lo"
      ? []
      : i.addresses
          .filter((a) => a.family === family && !a.invented)
          .map((a): Range => [a.address, a.address]),
  );
  if (family === 6)
    return [{ when: and(outside, within("dst", loopback)), outcome: none("::1 from outside") }];
  const open = host.interfaces
    .filter((i) => {
      const all = sysctl(host, "net.ipv4.conf.all.route_localnet", 0);
      return (all | sysctl(host, `net.ipv4.conf.${i.name}.route_localnet`, 0)) !== 0;
    })
    .map((i) => not(is("in", i.name)));
  const acceptsOwn = host.interfaces
    .filter(
      (i) =>
        (sysctl(host, "net.ipv4.conf.all.accept_local", 0) |
          sysctl(host, `net.ipv4.conf.${i.name}.accept_local`, 0)) !==
        0,
    )
    .map((i) => not(is("in", i.name)));
  return [
    {
      // fib_validate_source: nobody but this host sends from its addresses.
      when: and(outside, ...acceptsOwn, within("src", own)),
      outcome: none("one of the host's own addresses as source, from outside (martian source)"),
    },
    {
      when: within("src", [...MULTICAST[4], [0xffff_ffff, 0xffff_ffff]]),
      outcome: none("a multicast or broadcast source (martian source)"),
    },
    {
      when: and(outside, ...open, within("dst", loopback)),
      outcome: none("a loopback address from outside (martian destination)"),
    },
    {
      when: and(outside, ...open, within("src", loopback)),
      outcome: none("a loopback address from outside (martian source)"),
    },
  ];
}

/** Multicast and broadcast leave by the interface of the default route, or by the one that has them as a route. */
function multicastOut(host: Host, family: Family): RouteCase[] {
  const own = ownAddresses(host, family);
  return own.broadcast.flatMap((range): RouteCase[] => {
    const dev = host.interfaces.find((i) =>
      i.addresses.some((a) => a.family === family && (a.broadcast ?? prefixRange(a.prefix)[1]) === range[0]),
    );
    return dev === undefined
      ? []
      : [{ when: within("dst", [range]), outcome: { kind: "via", out: dev.name } }];
  });
}

/** Table main: the longest prefix first, then the lowest metric. */
function unicastCases(host: Host, family: Family): RouteCase[] {
  const routes = host.routes.filter(
    (r) =>
      r.family === family &&
      r.type !== "local" &&
      r.type !== "broadcast" &&
      r.type !== "multicast" &&
      r.table !== "local",
  );
  const length = (r: Route): number => maskBits(r.to.mask) ?? 0;
  const sorted = [...routes].sort((a, b) => length(b) - length(a) || a.metric - b.metric);
  const seen = new Set<string>();
  const cases = sorted.flatMap((r): RouteCase[] => {
    const key = `${r.to.address}/${length(r)}`;
    if (seen.has(key)) return [];
    seen.add(key);
    const when = length(r) === 0 ? ANY : within("dst", [prefixRange(r.to)]);
    if (r.type !== "unicast" && r.type !== "anycast")
      return [{ when, outcome: none(`a route says ${r.type}`) }];
    return r.dev === null ? [] : [{ when, outcome: { kind: "via", out: r.dev } }];
  });
  return [...cases, { when: ANY, outcome: none("no route leads there") }];
}

/**
 * Traffic between two ports of one bridge is switched, not routed. It passes iptables only where br_netfilter is
 * loaded and told to call it; then the routing decision comes to the same bridge by itself.
 */
export function bridgedCases(host: Host, family: Family): Case<string | null>[] {
  const rest: Case<string | null> = { when: and(), outcome: null };
  const name = family === 4 ? "net.bridge.bridge-nf-call-iptables" : "net.bridge.bridge-nf-call-ip6tables";
  const called = sysctl(host, name, host.sysctls.size === 0 ? 1 : 0) !== 0;
  if (called) return [rest];
  const cases = host.interfaces
    .filter((i) => host.bridges.includes(i.name))
    .flatMap((i): Case<string | null>[] => {
      const own = i.addresses.filter((a) => a.family === family);
      if (own.length === 0) return [];
      const neighbours: Predicate = or(...own.map((a) => within("dst", [prefixRange(a.prefix)])));
      return [
        {
          when: and(is("in", i.name), neighbours, not(or(...own.map((a) => is("dst", a.address))))),
          outcome: i.name,
        },
      ];
    });
  return [...cases, rest];
}
