/** One routing table as a list of cases: the longest prefix first, then the lowest metric. */
import type { Host } from "../host/host.ts";
import { type Route, type RoutingRule, TOS_MASK } from "../host/routes.ts";
import { LOOPBACK, maskBits, prefixes, prefixRange, printPrefix } from "../packet/address.ts";
import type { Address, Family, Field, Range } from "../packet/field.ts";
import { mostSpecific, type PrefixPart } from "../packet/nested-prefixes.ts";
import { ANY, and, is, normalizeRanges, not, opaque, type Predicate, within } from "../packet/predicate.ts";
import { siteKey } from "../rules/facts.ts";
import type { Case } from "./decision-list.ts";
import type { RoutingReason } from "./end-reason.ts";
import { impliedLocalRoutes } from "./local-routes.ts";
import { tosPredicate } from "./policy-rules.ts";
import { RouteList, type Routes } from "./route-list.ts";
import { type Lookup, ownIif } from "./routing-lookup.ts";

/** Result of a lookup. */
export type RouteResult =
  | {
      readonly kind: "local" | "anycast" | "broadcast" | "multicast";
      readonly dev: string | null;
      readonly route: Routes;
    }
  /** `devs` has all interfaces of a multipath route if the lookup does not choose one; `dev` is the first. */
  | {
      readonly kind: "unicast";
      readonly dev: string;
      readonly devs: readonly string[];
      readonly route: Routes;
    }
  | { readonly kind: "refused"; readonly reason: RoutingReason };

/** Tables that are looked up as one. Of two routes with the same prefix, that of the first table is used. */
export type Tables = readonly string[];

/** Returns the cases of tables; `rule` is the rule of policy routing that leads to them. */
export function tableCases(
  host: Host,
  family: Family,
  tables: Tables,
  lookup: Lookup,
  rule?: RoutingRule,
): Case<RouteResult>[] {
  const routes = sortedRoutes(host, family, tables, lookup.only);
  return new TableLookup(host, family, lookup, rule).cases(routes);
}

/** Routes of the tables that an interface may use, in the order in which the kernel tries them. */
function sortedRoutes(host: Host, family: Family, tables: Tables, only: string | undefined): Route[] {
  const listed = host.routes.filter((r) => r.family === family && tables.includes(r.table));
  const isComplete =
    !tables.includes("local") || listed.some((r) => r.table === "local" && r.type === "local");
  return (isComplete ? listed : [...listed, ...impliedLocalRoutes(host, family)])
    .filter((r) => only === undefined || devicesOf(r).includes(only))
    .sort(
      (a, b) =>
        prefixLength(b) - prefixLength(a) ||
        sourceLength(b) - sourceLength(a) ||
        tables.indexOf(a.table) - tables.indexOf(b.table) ||
        (b.tos ?? 0) - (a.tos ?? 0) ||
        a.metric - b.metric ||
        preferenceOf(b) - preferenceOf(a),
    );
}

/** Routes of the same destination and source prefix, which differ in TOS, metric or interface. */
function groupsOf(routes: readonly Route[]): Route[][] {
  const groups = new Map<string, Route[]>();
  for (const r of routes) {
    const key = `${r.to.address}/${prefixLength(r)} ${r.from?.address}/${sourceLength(r)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [r]);
    else group.push(r);
  }
  return [...groups.values()];
}

/** Evaluates the routes of one table in order. */
class TableLookup {
  /** Packets that a `throw` route, or a route that the rule suppresses, sends to the next rule. */
  private readonly thrown: Predicate[] = [];

  constructor(
    private readonly host: Host,
    private readonly family: Family,
    private readonly lookup: Lookup,
    private readonly rule: RoutingRule | undefined,
  ) {}

  cases(routes: readonly Route[]): Case<RouteResult>[] {
    const cases: Case<RouteResult>[] = [];
    let plain: Route[][] = [];
    const addPlain = (): void => {
      const many = plain.length >= MANY_ROUTES;
      for (const each of many
        ? this.mergedCases(plain.map(([first]) => first!))
        : plain.flatMap((group) => this.groupCases(group)))
        cases.push(each);
      plain = [];
    };
    for (const group of groupsOf(routes))
      if (this.isPlain(group as [Route, ...Route[]])) plain.push(group);
      else {
        addPlain();
        cases.push(...this.groupCases(group));
      }
    addPlain();
    return cases;
  }

  /** Cases of the routes of one prefix. */
  private groupCases(group: readonly Route[]): Case<RouteResult>[] {
    const scope = this.family === 6 ? this.lookup.scope : null;
    if (scope !== null) return this.scopedCases(group as [Route, ...Route[]], scope);
    if (this.lookup.favours !== undefined) return this.favouredCases(group, this.lookup.favours);
    // The first route without a TOS matches all packets that remain.
    const first = group.findIndex((r) => r.tos === undefined);
    const reached = first < 0 ? group : group.slice(0, first + 1);
    return reached.flatMap((r) => this.routeCases(withTiedGateways(r, group, this.lookup), ANY));
  }

  /** Returns true if the first route of a prefix decides for all its packets, and its result depends on nothing else. */
  private isPlain([route, ...others]: readonly [Route, ...Route[]]): boolean {
    const { towards, scope, nearest, favours, hop, separate } = this.lookup;
    const { rule } = this;
    if (separate || prefixLength(route) === 0 || route.type === "throw") return false;
    if (route.tos !== undefined || route.from !== undefined) return false;
    if (rule !== undefined && (rule.suppress !== null || rule.suppressGroup !== null)) return false;
    const devices = new Set(devicesOf(route)).size;
    if (route.type === "unicast" && devices !== 1 && (devices === 0 || hop !== "any")) return false;
    if (others.length > 0 && (favours !== undefined || (this.family === 6 && scope !== null))) return false;
    return this.family === 4 || scope === null || (!nearest && !isLinked(route, scope, towards));
  }

  /** Cases of plain routes, one for all routes with the same result: each address is that of its longest prefix only. */
  private mergedCases(routes: readonly Route[]): Case<RouteResult>[] {
    const prefixes = routes.map((payload) => {
      const [lo, hi] = prefixRange(payload.to) as readonly [Address, Address];
      return { lo, hi, length: prefixLength(payload), payload };
    });
    const merged = new Map<string, { readonly outcome: RouteResult; readonly parts: PrefixPart<Route>[] }>();
    for (const part of mostSpecific(prefixes)) {
      const key = resultKey(part.payload);
      const same = merged.get(key);
      if (same !== undefined) same.parts.push(part);
      else
        for (const { outcome } of this.routeCases(part.payload, ANY))
          merged.set(key, { outcome, parts: [part] });
    }
    const notThrown = this.thrown.map(not);
    return [...merged.values()].map(({ outcome, parts }): Case<RouteResult> => {
      const when = within(this.lookup.towards, normalizeRanges(parts.map(({ range }) => range)));
      return {
        when: and(when, ...notThrown),
        outcome: outcome.kind === "refused" ? outcome : { ...outcome, route: new RouteList(parts) },
      };
    });
  }

  /** Cases of one prefix for an IPv6 lookup on an interface. */
  private scopedCases(group: readonly [Route, ...Route[]], scope: Field): Case<RouteResult>[] {
    const [first] = group;
    const { towards, nearest } = this.lookup;
    // These addresses are looked up on the interface only (rt6_need_strict): ::1 of arriving packets, too, but neither
    // ip6_route_me_harder nor rpfilter restricts it.
    const linked = linkedRanges(scope, towards);
    const [from, to] = prefixRange(first.to);
    const isStrict = linked.some(([lo, hi]) => lo <= from && to <= hi);
    const overlaps = linked.some(([lo, hi]) => lo <= to && hi >= from);
    const unscoped = overlaps && !isStrict ? not(within(towards, linked)) : ANY;
    const near = [...new Set(group.flatMap(devicesOf))].flatMap((dev) =>
      this.routeCases(group.find((r) => devicesOf(r).includes(dev))!, is(scope, dev), dev),
    );
    // A route without an interface, such as unreachable, applies on every interface.
    const everywhere = group.find((r) => r.dev === null);
    const last = everywhere === undefined ? [] : this.routeCases(everywhere, ANY);
    if (isStrict) return [...near, ...last];
    if (nearest) return [...near, ...this.routeCases(first, unscoped), ...last];
    const back = this.inputInterfaceCases(group, scope, unscoped);
    return [...back, ...this.routeCases(first, unscoped), ...(unscoped === ANY ? [] : [...near, ...last])];
  }

  /** The first route of a prefix, if no other route is favoured. */
  private favouredCases(
    group: readonly Route[],
    favours: NonNullable<Lookup["favours"]>,
  ): Case<RouteResult>[] {
    const others = group
      .slice(1)
      .flatMap((r) => devicesOf(r).flatMap((dev) => this.routeCases(r, favours(dev), dev)));
    return [...others, ...this.routeCases(group[0]!, ANY)];
  }

  /** Among equal routes, the route on the input interface comes first (rt6_score_route). */
  private inputInterfaceCases(
    group: readonly [Route, ...Route[]],
    scope: Field,
    unscoped: Predicate,
  ): Case<RouteResult>[] {
    const [first] = group;
    const equal = group.filter((r) => r.metric === first.metric && preferenceOf(r) === preferenceOf(first));
    if (equal.length < 2) return [];
    return equal.flatMap((r) => {
      const devices = devicesOf(r).map((dev): Range => [dev, dev]);
      return this.routeCases(r, and(unscoped, within(scope, devices)));
    });
  }

  /**
   * Cases of one route.
   * @param condition restricts the packets further
   * @param dev restricts a multipath route to one of its interfaces
   */
  private routeCases(r: Route, condition: Predicate, dev?: string): Case<RouteResult>[] {
    const { lookup } = this;
    const matched = and(this.routePredicate(r), condition);
    const when = and(matched, ...this.thrown.map(not));
    if (r.type === "throw") {
      this.thrown.push(matched);
      return [];
    }
    if (REFUSING.has(r.type))
      return [{ when, outcome: { kind: "refused", reason: { code: "route-type", type: r.type } } }];
    return nextHopCases(r, lookup, dev).flatMap(({ when: chosen, outcome }): Case<RouteResult>[] => {
      // IPv4 tests the interface of the first next hop.
      if (this.isSuppressed(r, this.family === 4 ? r.dev : outcome)) {
        this.thrown.push(and(matched, chosen));
        return [];
      }
      const on = { when: and(when, chosen), outcome };
      if (r.type !== "unicast")
        return [{ ...on, outcome: { kind: r.type as "local", dev: outcome, route: r } }];
      if (outcome === null) return [];
      const devs = dev === undefined && lookup.hop === "any" ? devicesOf(r) : [outcome];
      return [{ ...on, outcome: { kind: "unicast", dev: outcome, devs, route: { ...r, dev: outcome } } }];
    });
  }

  private routePredicate(r: Route): Predicate {
    const { towards, alone } = this.lookup;
    const other = towards === "dst" ? "src" : "dst";
    return and(
      prefixLength(r) === 0 ? ANY : within(towards, [prefixRange(r.to)]),
      r.from === undefined ? ANY : and(not(alone), within(other, [prefixRange(r.from)])),
      r.tos === undefined ? ANY : tosPredicate(this.lookup, TOS_MASK[4], r.tos),
    );
  }

  /** Returns true if the rule suppresses a route: by its prefix length or by the group of its interface. */
  private isSuppressed(r: Route, dev: string | null): boolean {
    const { host, rule } = this;
    if (rule === undefined) return false;
    if (prefixLength(r) <= (rule.suppress ?? -1)) return true;
    if (rule.suppressGroup === null || dev === null) return false;
    return host.interfaces.find((i) => i.name === dev)?.group === rule.suppressGroup;
  }
}

/** Addresses that IPv6 looks up on the interface of the lookup. */
const linkedRanges = (scope: Field, towards: Lookup["towards"]): readonly Range[] =>
  scope === "in" && towards === "dst" ? [...LOOPBACK[6], ...SCOPED] : SCOPED;

const isLinked = ({ to }: Route, scope: Field, towards: Lookup["towards"]): boolean => {
  const [first, last] = prefixRange(to);
  return linkedRanges(scope, towards).some(([lo, hi]) => lo <= last && hi >= first);
};

/** Fewer plain routes than this have a case each. */
const MANY_ROUTES = 64;

/** Text that is equal for routes with the same result. */
const resultKey = (r: Route): string => JSON.stringify([r.type, devicesOf(r)]);

/** Interfaces that a route leads to. */
const devicesOf = (r: Route): string[] => r.hops?.map(({ dev }) => dev) ?? (r.dev === null ? [] : [r.dev]);

const prefixLength = ({ to }: Route): number => maskBits(to.mask) ?? 0;

/** Length of the source prefix. Ties in the length of the destination are broken by the longest source prefix. */
const sourceLength = ({ from }: Route): number => (from === undefined ? 0 : (maskBits(from.mask) ?? 0));

const REFUSING: ReadonlySet<Route["type"]> = new Set(["blackhole", "unreachable", "prohibit"]);

/** IPv6's router preference as a number. */
const preferenceOf = ({ preference }: Route): number =>
  preference === "high" ? 1 : preference === "low" ? -1 : 0;

/**
 * Adds the gateways of IPv4 default routes that differ in their gateway only. For packets of the host the kernel prefers a
 * gateway that neighbour discovery confirmed (fib_select_default), which is unknown.
 */
function withTiedGateways(r: Route, group: readonly Route[], { iif, hop }: Lookup): Route {
  if (iif !== ownIif || hop === "any" || r.hops !== undefined || r.to.mask !== 0 || !usesGateway(r)) return r;
  const hops = group
    .filter((o) => o.table === r.table && o.tos === r.tos && o.metric === r.metric && usesGateway(o))
    .map((o) => ({ dev: o.dev!, gateway: true }));
  return hops.length < 2 ? r : { ...r, hops };
}
const usesGateway = (r: Route): boolean => r.type === "unicast" && r.dev !== null && r.gateway === true;

/** Returns the interfaces that a route leads to. The choice among several depends on unknowns. */
function nextHopCases(r: Route, { hop }: Lookup, only: string | undefined): Case<string | null>[] {
  const [first, ...more] = new Set(only === undefined ? devicesOf(r) : [only]);
  if (r.type !== "unicast" || hop === "any" || first === undefined || more.length === 0)
    return [{ when: ANY, outcome: first ?? null }];
  if (more.length >= MANY_HOPS) return halvedCases([first, ...more], ANY, (name) => nextHopKey(r, name, hop));
  const cases: Case<string>[] = [];
  const others: Predicate[] = [];
  for (const dev of [first, ...more]) {
    const chosen =
      others.length === more.length ? ANY : opaque(nextHopKey(r, dev, hop), { code: "next-hop" });
    cases.push({ when: and(...others, chosen), outcome: dev });
    others.push(not(chosen));
  }
  return cases;
}

/** From this number of next hops on, unknowns halve the list of interfaces: with one for each, packet sets grow with the square. */
const MANY_HOPS = 16;

/** Returns the interfaces of a list, chosen by unknowns that each divide the list. */
function halvedCases(
  devices: readonly string[],
  when: Predicate,
  keyOf: (name: string) => string,
): Case<string>[] {
  const middle = devices.length >> 1;
  if (middle === 0) return [{ when, outcome: devices[0]! }];
  const name = middle === 1 ? devices[0]! : `${devices[0]} to ${devices[middle - 1]}`;
  const chosen = opaque(keyOf(name), { code: "next-hop" });
  return [
    ...halvedCases(devices.slice(0, middle), and(when, chosen), keyOf),
    ...halvedCases(devices.slice(middle), and(when, not(chosen)), keyOf),
  ];
}

/** Key of the unknown "the kernel chose this interface for a flow", shared by all routes of a prefix in a table. */
function nextHopKey({ to, table, tos }: Route, dev: string, hop: Lookup["hop"]): string {
  const parts = [
    (maskBits(to.mask) ?? 0) === 0 ? "default" : printPrefix(to),
    ...(table === "main" ? [] : [`table ${table}`]),
    ...(tos === undefined ? [] : [`tos ${tos}`]),
    dev,
    ...(hop === "again" ? [hop] : []),
  ];
  const key = `next-hop(${parts.join(", ")})`;
  return typeof hop === "string" ? key : siteKey(key, hop);
}

const SCOPED: readonly Range[] = prefixes(6, "fe80::/10", "ff00::/8");
