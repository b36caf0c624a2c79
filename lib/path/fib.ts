/**
 * The routing tables as a list of cases, first one that holds: policy rules in order, in each table the longest prefix
 * (net/core/fib_rules.c fib_rules_lookup, net/ipv4/fib_trie.c, net/ipv6/ip6_fib.c).
 */
import {
  type Host,
  mastersOf,
  ownAddresses,
  type Route,
  type RoutingRule,
  sysctl,
  TOS_MASK,
} from "../host/host.ts";
import {
  addressBits,
  maskBits,
  maxAddress,
  type Prefix,
  prefixes,
  prefixRange,
  printPrefix,
} from "../packet/address.ts";
import type { Address, Family, Field, Range } from "../packet/field.ts";
import {
  ANY,
  and,
  between,
  bits,
  is,
  NEVER,
  negate,
  not,
  opaque,
  or,
  type Predicate,
  within,
} from "../packet/predicate.ts";
import type { Case } from "./decision-list.ts";

/** What the tables say of an address. */
export type Found =
  | {
      readonly kind: "local" | "anycast" | "broadcast" | "multicast";
      readonly dev: string | null;
      readonly route: Route;
    }
  /** By `dev`, or by any of `devs` where it is not asked which. */
  | {
      readonly kind: "unicast";
      readonly dev: string;
      readonly devs: readonly string[];
      readonly route: Route;
    }
  | { readonly kind: "refused"; readonly why: string };

/** What is looked up, and for whom: what struct flowi is filled with. */
export interface Lookup {
  /** The address that is looked for; the other one is what `from` asks. */
  readonly towards: "dst" | "src";
  /** What `iif NAME` asks. */
  iif(name: string): Predicate;
  /** Where the packet's mark counts; elsewhere the mark is 0. */
  readonly marked: Predicate;
  /** Where the lookup is told no other address: `from` asks for none then. */
  readonly alone: Predicate;
  /** What `ipproto` and ports ask: the packet as it is, as its answer would be, its protocol alone, or nothing. */
  readonly header: "own" | "answer" | "protocol" | "none";
  /** The field with the interface that IPv6 looks for link-local and multicast addresses on, where it is told one. */
  readonly scope: Field | null;
  /** Whether the packet's TOS counts; elsewhere it is 0. */
  readonly tos: boolean;
  /** Whether it is for a socket of the host's, whose owner counts; elsewhere that is root. */
  readonly owner: boolean;
  /**
   * Which of several next hops: any, or the one that the kernel takes by a hash that nobody can foretell. A second lookup
   * may hash another header, and is another unknown.
   */
  readonly hop: "any" | "first" | "again";
  /** IPv6: among routes of one prefix, the one on the interface of `scope` comes first (rt6_device_match). */
  readonly nearest: boolean;
  /** The interface that it is bound to: no route by another counts. */
  readonly only?: string;
}

const USUAL = {
  marked: ANY,
  alone: NEVER,
  header: "own",
  scope: null,
  tos: true,
  owner: false,
  hop: "any",
  nearest: false,
} as const;
/** The host's own packets come from the loopback interface. */
const ownIif = (name: string): Predicate => (name === "lo" ? ANY : NEVER);

/** Where a packet goes that came in. */
export const FORTH: Lookup = {
  ...USUAL,
  towards: "dst",
  iif: (name) => is("in", name),
  scope: "in",
  hop: "first",
};
/** Where a packet goes that the host sends. */
export const OUT: Lookup = { ...USUAL, towards: "dst", iif: ownIif, owner: true, hop: "first" };
/**
 * The same once more, when OUTPUT changed it: IPv4 forgets whose socket it was (ip_route_me_harder), and IPv6 leaves a
 * link-local address on its interface (ip6_route_me_harder).
 */
export const AGAIN: Readonly<Record<Family, Lookup>> = {
  4: { ...OUT, owner: false, hop: "again" },
  6: { ...OUT, scope: "out", hop: "again" },
};

/** IPv4: where the source of a packet that came in is (fib_validate_source). */
export const back = (host: Host): Lookup => ({
  ...USUAL,
  towards: "src",
  // As if it came by the interface that the packet goes out by.
  iif: (name) => is("out", name === "lo" ? "" : name),
  // The mark counts where src_valid_mark says so.
  marked: byInterface(host, (name) => conf(host, "src_valid_mark", name, "or") !== 0),
  header: "answer",
});

/** A predicate over the interface a packet came in by, for a setting that each interface has for itself. */
export function byInterface(host: Host, test: (name: string) => boolean): Predicate {
  const usual = test("default");
  const other = host.interfaces
    .map((i) => i.name)
    .filter((name) => test(name) !== usual)
    .map((name): Range => [name, name]);
  return negate(usual, within("in", other));
}

/** Tables that are asked as one: the longest prefix of all, and of two that are alike the one of the first table. */
type Tables = readonly string[];

/** Where nobody set up policy routing, IPv4 keeps two of its tables in one (fib_new_table, fib_unmerge). */
const BY_ITSELF: Readonly<Record<Family, readonly Tables[]>> = {
  4: [["local", "main"], ["default"]],
  6: [["local"], ["main"], ["default"]],
};

/** Whether rules of policy routing were set up besides those that are there from the start. */
export function custom(host: Host, family: Family): boolean {
  const rules = (host.rules ?? []).filter((r) => r.family === family);
  const priorities = rules.map((r) => r.priority);
  return (
    rules.length > 0 &&
    !(priorities.includes(0) && priorities.includes(32766) && rules.every(isUsual) && allDiffer(priorities))
  );
}
const USUAL_TABLES: ReadonlyMap<number, string> = new Map([
  [0, "local"],
  [32766, "main"],
  [32767, "default"],
]);
const isUsual = ({ family: _, priority, action, not, vrf, ...asked }: RoutingRule): boolean =>
  action.kind === "table" &&
  action.table === USUAL_TABLES.get(priority) &&
  !not &&
  !vrf &&
  Object.values(asked).every((asks) => asks === null);
const allDiffer = (numbers: readonly number[]): boolean => new Set(numbers).size === numbers.length;

/** The tables that are asked where nobody set up policy routing; somebody may have taken away the rule for the last one. */
function usualTables(host: Host, family: Family): readonly Tables[] {
  const rules = (host.rules ?? []).filter((r) => r.family === family);
  return rules.length === 0 || rules.some((r) => r.priority === 32767)
    ? BY_ITSELF[family]
    : BY_ITSELF[family].filter(([table]) => table !== "default");
}

/** What IPv4 asks for the type of an address: its table `local`, and what is kept together with it. */
export const localCases = (host: Host, lookup: Lookup): Case<Found>[] =>
  tableCases(host, 4, custom(host, 4) ? ["local"] : BY_ITSELF[4][0]!, lookup);

/** All cases; a packet that none holds for has no route. */
export function fibCases(host: Host, family: Family, lookup: Lookup): Case<Found>[] {
  if (!custom(host, family))
    return usualTables(host, family).flatMap((tables) => tableCases(host, family, tables, lookup));
  const rules = (host.rules ?? []).filter((r) => r.family === family).sort((a, b) => a.priority - b.priority);
  /** What a `goto` led past each rule. */
  const past = rules.map((): Predicate => NEVER);
  return rules.flatMap((rule, at): Case<Found>[] => {
    const { action } = rule;
    const when = and(not(past[at]!), asks(host, rule, lookup));
    switch (action.kind) {
      case "table":
        return tableCases(host, family, [action.table], lookup, rule).map((c) => ({
          when: and(when, c.when),
          outcome: c.outcome,
        }));
      case "goto":
        // Where there is no such rule it leads nowhere; it never leads back.
        for (let to = rules.findIndex((r) => r.priority === action.priority) - 1; to > at; to--)
          past[to] = or(past[to]!, when);
        return [];
      case "nop":
        return [];
      default:
        return [{ when, outcome: { kind: "refused", why: `a rule of policy routing says ${action.kind}` } }];
    }
  });
}

/** Where an address leads, as `-m addrtype` of IPv6 asks: nobody sends there, and the packet counts for nothing. */
export const alone = (towards: "dst" | "src", only?: string): Lookup => ({
  ...USUAL,
  towards,
  iif: ownIif,
  marked: NEVER,
  alone: ANY,
  header: "none",
  tos: false,
  ...(only === undefined ? {} : { only }),
});

/**
 * Where a packet's source is, as `-m rpfilter` asks: without its mark unless it is told to, on its interface unless it
 * is loose. A group is no address to come from.
 */
export const reverse = (family: Family, validmark: boolean, loose: boolean): Lookup => ({
  ...USUAL,
  towards: "src",
  iif: ownIif,
  marked: validmark ? ANY : NEVER,
  ...(family === 4
    ? { alone: within("dst", NO_SOURCE), header: "none", scope: null, nearest: false }
    : { alone: within("dst", NO_UNICAST), header: "protocol", scope: "in", nearest: !loose }),
});
const NO_SOURCE = prefixes(4, "224.0.0.0/4", "255.255.255.255/32", "0.0.0.0/32");
const NO_UNICAST = prefixes(6, "ff00::/8", "::/128", "::ffff:0:0/96");

/** What a rule of policy routing asks of a packet. */
function asks(host: Host, rule: RoutingRule, lookup: Lookup): Predicate {
  const { towards, iif, marked, alone, header, only } = lookup;
  const [there, here] = towards === "dst" ? (["dst", "src"] as const) : (["src", "dst"] as const);
  const inside = (field: "src" | "dst", prefix: Prefix | null): Predicate =>
    prefix === null ? ANY : within(field, [prefixRange(prefix)]);
  // IPv4's is 0 where there is none; IPv6 knows that there is none.
  const nobody = rule.from !== null && rule.from.address === 0 ? alone : NEVER;
  const mark =
    rule.mark === null
      ? ANY
      : or(
          and(marked, bits("mark", rule.mark.mask, rule.mark.value)),
          rule.mark.value === 0 ? not(marked) : NEVER,
        );
  const owner =
    rule.uid === null ? ANY : lookup.owner ? between("uid", ...rule.uid) : rule.uid[0] === 0 ? ANY : NEVER;
  // What comes by a VRF is not followed; whether there is one the list of interfaces tells.
  const listed = host.interfaces.some((i) => i.link !== undefined);
  const grouped = rule.suppressGroup === null || host.interfaces.every((i) => i.group !== undefined);
  const beyond = rule.vrf && !listed ? "l3mdev" : (rule.beyond ?? (grouped ? null : "suppress_ifgroup"));
  const port = (field: "sport" | "dport", asked: RoutingRule["sport"]): Predicate =>
    asked === null ? ANY : header === "own" || header === "answer" ? between(field, ...asked) : NEVER;
  const [from, to] = header === "answer" ? (["dport", "sport"] as const) : (["sport", "dport"] as const);
  const all = and(
    rule.from === null ? ANY : or(nobody, and(not(alone), inside(here, rule.from))),
    inside(there, rule.to),
    rule.iif === null ? ANY : iif(rule.iif),
    rule.oif === null || rule.oif === only ? ANY : NEVER,
    mark,
    rule.tos === null ? ANY : asksTos(lookup, rule.tos.mask, rule.tos.value),
    owner,
    rule.proto === null ? ANY : header === "none" ? NEVER : is("proto", rule.proto),
    port(from, rule.sport),
    port(to, rule.dport),
    rule.vrf && listed ? NEVER : ANY,
    beyond === null && (rule.vrf || rule.action.kind !== "unknown")
      ? ANY
      : opaque(`ip-rule(${rule.priority})`, `${beyond ?? "its action"} of the rule is not followed`),
  );
  return negate(rule.not, all);
}

const asksTos = ({ tos }: Lookup, mask: number, value: number): Predicate =>
  tos ? bits("tos", mask, value) : value === 0 ? ANY : NEVER;

/** A sysctl of IPv6 that an interface has: `all` is written to each. */
export const conf6 = (host: Host, name: string, device: string): number =>
  sysctl(host, `net.ipv6.conf.${device}.${name}`, 0);

/** A sysctl of IPv4 that each interface has besides `all`; the kernel takes either, the greater, or the interface's alone. */
export function conf(
  host: Host,
  name: string,
  device: string,
  how: "or" | "max" | "own",
  fallback = 0,
): number {
  const own = sysctl(host, `net.ipv4.conf.${device}.${name}`, fallback);
  if (how === "own") return own;
  const all = sysctl(host, `net.ipv4.conf.all.${name}`, fallback);
  return how === "or" ? own | all : Math.max(own, all);
}

/** Where nobody listed the kernel's own table, it holds what the addresses make it hold. */
function implied(whole: Host, family: Family): Route[] {
  // A VRF's ports have theirs in its own table.
  const vrfs = mastersOf(whole.interfaces, "vrf");
  const host = { ...whole, interfaces: whole.interfaces.filter((i) => !vrfs.includes(i.master ?? "")) };
  const devices = new Map<string, string>(family === 6 ? [["1", "lo"]] : []);
  for (const { name, addresses } of host.interfaces)
    for (const a of addresses) {
      devices.set(String(a.address), name);
      if (a.family === 4) devices.set(String(a.broadcast ?? prefixRange(a.prefix)[1]), name);
    }
  const route = (type: Route["type"], to: Prefix): Route => ({
    ...{
      family,
      type,
      to,
      dev: devices.get(String(to.address)) ?? null,
      table: "local",
      metric: 0,
      source: null,
    },
  });
  const own = ownAddresses(host, family);
  return [
    ...own.local.flatMap(([lo, hi]) => prefixesOf(lo, hi).map((to) => route("local", to))),
    ...own.broadcast.flatMap(([lo, hi]) => prefixesOf(lo, hi).map((to) => route("broadcast", to))),
    ...(family === 6 ? [route("multicast", { address: 0xffn << 120n, mask: 0xffn << 120n })] : []),
  ];
}

/** The prefixes that make up a range. */
function prefixesOf(lo: Range[0], hi: Range[1]): Prefix[] {
  const family: Family = typeof lo === "bigint" ? 6 : 4;
  // Most are one address.
  if (lo === hi) return [{ address: lo as Address, mask: maxAddress(family) }];
  const out: Prefix[] = [];
  const width = BigInt(addressBits(family));
  const all = (1n << width) - 1n;
  for (let from = BigInt(lo), last = BigInt(hi); from <= last; ) {
    let size = 1n;
    while ((from & ((size << 1n) - 1n)) === 0n && from + (size << 1n) - 1n <= last) size <<= 1n;
    const mask = all ^ (size - 1n);
    out.push(family === 6 ? { address: from, mask } : { address: Number(from), mask: Number(mask) });
    from += size;
  }
  return out;
}

/** The interfaces that a route may lead to. */
const devicesOf = (r: Route): string[] => r.hops?.map(({ dev }) => dev) ?? (r.dev === null ? [] : [r.dev]);

/**
 * Tables: the longest prefix first, then the lowest metric. A `throw` route sends to the next rule, and so does one that
 * the rule suppresses.
 */
function tableCases(
  host: Host,
  family: Family,
  tables: Tables,
  lookup: Lookup,
  rule?: RoutingRule,
): Case<Found>[] {
  const { towards, scope, nearest, only } = lookup;
  const listed = host.routes.filter((r) => r.family === family && tables.includes(r.table));
  const mine =
    tables.includes("local") && !listed.some((r) => r.table === "local" && r.type === "local")
      ? [...listed, ...implied(host, family)]
      : listed;
  const length = (r: Route): number => maskBits(r.to.mask) ?? 0;
  const sorted = mine
    .filter((r) => only === undefined || devicesOf(r).includes(only))
    .sort(
      (a, b) =>
        length(b) - length(a) ||
        sourceLength(b) - sourceLength(a) ||
        tables.indexOf(a.table) - tables.indexOf(b.table) ||
        (b.tos ?? 0) - (a.tos ?? 0) ||
        a.metric - b.metric ||
        preferred(b) - preferred(a),
    );
  const by = family === 6 ? scope : null;
  const suppressed = (r: Route, dev: string | null): boolean =>
    rule !== undefined &&
    (length(r) <= (rule.suppress ?? -1) ||
      (rule.suppressGroup !== null &&
        dev !== null &&
        host.interfaces.find((i) => i.name === dev)?.group === rule.suppressGroup));
  const thrown: Predicate[] = [];
  /** A route for the packets that `here` holds for, besides those in its prefix; by one of its interfaces where it is told which. */
  const at = (r: Route, here: Predicate, dev?: string): Case<Found>[] => {
    const inside = and(
      length(r) === 0 ? ANY : within(towards, [prefixRange(r.to)]),
      r.from === undefined
        ? ANY
        : and(not(lookup.alone), within(towards === "dst" ? "src" : "dst", [prefixRange(r.from)])),
      r.tos === undefined ? ANY : asksTos(lookup, TOS_MASK[4], r.tos),
      here,
    );
    const when = and(inside, ...thrown.map(not));
    if (r.type === "throw") {
      thrown.push(inside);
      return [];
    }
    if (REFUSES.has(r.type)) return [{ when, outcome: { kind: "refused", why: `a route says ${r.type}` } }];
    return waysOf(r, lookup, dev).flatMap(({ when: chosen, outcome }): Case<Found>[] => {
      // IPv4 looks at the first of several.
      if (suppressed(r, family === 4 ? r.dev : outcome)) {
        thrown.push(and(inside, chosen));
        return [];
      }
      const on = { when: and(when, chosen), outcome };
      if (r.type !== "unicast")
        return [{ ...on, outcome: { kind: r.type as "local", dev: outcome, route: r } }];
      if (outcome === null) return [];
      const devs = dev === undefined && lookup.hop === "any" ? devicesOf(r) : [outcome];
      return [{ ...on, outcome: { kind: "unicast", dev: outcome, devs, route: { ...r, dev: outcome } } }];
    });
  };
  const groups = new Map<string, Route[]>();
  for (const r of sorted) {
    const key = `${r.to.address}/${length(r)} ${r.from?.address}/${sourceLength(r)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [r]);
    else group.push(r);
  }
  return [...groups.values()].flatMap((group): Case<Found>[] => {
    const first = group.findIndex((r) => r.tos === undefined);
    // Those for some TOS alone stand in front of the one for all.
    if (by === null)
      return (first < 0 ? group : group.slice(0, first + 1)).flatMap((r) => at(tied(r, group, lookup), ANY));
    return scoped(group, by);
  });

  /** IPv6, where it is told an interface. */
  function scoped(group: readonly Route[], by: Field): Case<Found>[] {
    const [first] = group as readonly [Route];
    // IPv6 looks for link-local and multicast addresses on the interface alone, and of what comes in for ::1, too
    // (rt6_need_strict, which neither ip6_route_me_harder nor rpfilter asks).
    const linked = by === "in" && towards === "dst" ? [...LOOPBACK, ...SCOPED] : SCOPED;
    const [from, to] = prefixRange(first.to);
    const strict = linked.some(([lo, hi]) => lo <= from && to <= hi);
    const holds = linked.some(([lo, hi]) => lo <= to && hi >= from);
    const unscoped = holds && !strict ? not(within(towards, linked)) : ANY;
    const near = [...new Set(group.flatMap(devicesOf))].flatMap((dev) =>
      at(group.find((r) => devicesOf(r).includes(dev))!, is(by, dev), dev),
    );
    // A route by no interface, like one that refuses, is there on all of them.
    const everywhere = group.find((r) => r.dev === null);
    const last = everywhere === undefined ? [] : at(everywhere, ANY);
    if (strict) return [...near, ...last];
    if (nearest) return [...near, ...at(first, unscoped), ...last];
    // Among its like the one by which the packet came in is taken (rt6_score_route).
    const like = group.filter((r) => r.metric === first.metric && preferred(r) === preferred(first));
    const back =
      like.length < 2
        ? []
        : like.flatMap((r) =>
            at(
              r,
              and(
                unscoped,
                within(
                  by,
                  devicesOf(r).map((dev): Range => [dev, dev]),
                ),
              ),
            ),
          );
    return [...back, ...at(first, unscoped), ...(unscoped === ANY ? [] : [...near, ...last])];
  }
}

/** How long a prefix of sources it is for: the longest is asked first where that of the destination is the same. */
const sourceLength = ({ from }: Route): number => (from === undefined ? 0 : (maskBits(from.mask) ?? 0));

const REFUSES: ReadonlySet<Route["type"]> = new Set(["blackhole", "unreachable", "prohibit"]);

/** IPv6's router preference as a number. */
const preferred = ({ preference }: Route): number =>
  preference === "high" ? 1 : preference === "low" ? -1 : 0;

/**
 * Default routes of IPv4 that differ in their gateway alone: for what the host sends, the kernel goes by which gateway
 * it has heard of (fib_select_default).
 */
function tied(r: Route, group: readonly Route[], { iif, hop }: Lookup): Route {
  if (iif !== ownIif || hop === "any" || r.hops !== undefined || r.to.mask !== 0 || !usesGateway(r)) return r;
  const hops = group
    .filter((o) => o.table === r.table && o.tos === r.tos && o.metric === r.metric && usesGateway(o))
    .map((o) => ({ dev: o.dev!, gateway: true }));
  return hops.length < 2 ? r : { ...r, hops };
}
const usesGateway = (r: Route): boolean => r.type === "unicast" && r.dev !== null && r.gateway === true;

/** The interfaces that a route leads to, and what has to hold for each: one of several is chosen. */
function waysOf(r: Route, { hop }: Lookup, only: string | undefined): Case<string | null>[] {
  const [first, ...more] = new Set(only === undefined ? devicesOf(r) : [only]);
  if (r.type !== "unicast" || hop === "any" || first === undefined || more.length === 0)
    return [{ when: ANY, outcome: first ?? null }];
  const cases: Case<string>[] = [];
  const others: Predicate[] = [];
  for (const dev of [first, ...more]) {
    const chosen = others.length === more.length ? ANY : opaque(hopKey(r, dev, hop), WHICH_HOP);
    cases.push({ when: and(...others, chosen), outcome: dev });
    others.push(not(chosen));
  }
  return cases;
}

/** The unknown that the kernel chose an interface for a flow: the same for all routes to the same place in a table. */
function hopKey({ to, table, tos }: Route, dev: string, hop: Lookup["hop"]): string {
  const where = [
    (maskBits(to.mask) ?? 0) === 0 ? "default" : printPrefix(to),
    ...(table === "main" ? [] : [`table ${table}`]),
    ...(tos === undefined ? [] : [`tos ${tos}`]),
    dev,
    ...(hop === "again" ? [hop] : []),
  ];
  return `next-hop(${where.join(", ")})`;
}
const WHICH_HOP = "which of a route's next hops the kernel takes is not known";

const SCOPED: readonly Range[] = prefixes(6, "fe80::/10", "ff00::/8");
const LOOPBACK: readonly Range[] = prefixes(6, "::1/128");
