/**
 * The routing tables as a list of cases, first one that holds: policy rules in order, in each table the longest prefix
 * (net/core/fib_rules.c fib_rules_lookup, net/ipv4/fib_trie.c, net/ipv6/ip6_fib.c).
 */
import { type Host, ownAddresses, type Route, type RoutingRule, sysctl } from "../host/host.ts";
import { addressBits, maskBits, maxAddress, type Prefix, prefixes, prefixRange } from "../packet/address.ts";
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
import type { Case } from "./case.ts";

/** What the tables say of an address. */
export type Found =
  | {
      readonly kind: "local" | "anycast" | "broadcast" | "multicast";
      readonly dev: string | null;
      readonly route: Route;
    }
  | { readonly kind: "unicast"; readonly dev: string; readonly route: Route }
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
  /** IPv6: among routes of one prefix, the one on the interface of `scope` comes first (rt6_device_match). */
  readonly nearest: boolean;
  /** The interface that it is bound to: no route by another counts. */
  readonly only?: string;
}

const USUAL = { marked: ANY, alone: NEVER, header: "own", scope: null, nearest: false } as const;
/** The host's own packets come from the loopback interface. */
const ownIif = (name: string): Predicate => (name === "lo" ? ANY : NEVER);

/** Where a packet goes that came in. */
export const FORTH: Lookup = { ...USUAL, towards: "dst", iif: (name) => is("in", name), scope: "in" };
/** Where a packet goes that the host sends. */
export const OUT: Lookup = { ...USUAL, towards: "dst", iif: ownIif };
/** The same once more, when OUTPUT changed it: a link-local address stays on its interface (ip6_route_me_harder). */
export const AGAIN: Lookup = { ...OUT, scope: "out" };

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
  const priorities = (host.rules ?? []).filter((r) => r.family === family).map((r) => r.priority);
  return (
    priorities.length > 0 &&
    !(
      priorities.includes(0) &&
      priorities.includes(32766) &&
      priorities.every((p) => USUAL_RULES.includes(p))
    )
  );
}
const USUAL_RULES: readonly number[] = [0, 32766, 32767];

/** What IPv4 asks for the type of an address: its table `local`, and what is kept together with it. */
export const localCases = (host: Host, lookup: Lookup): Case<Found>[] =>
  tableCases(host, 4, custom(host, 4) ? ["local"] : BY_ITSELF[4][0]!, lookup, -1);

/** All cases; a packet that none holds for has no route. */
export function fibCases(host: Host, family: Family, lookup: Lookup): Case<Found>[] {
  if (!custom(host, family))
    return BY_ITSELF[family].flatMap((tables) => tableCases(host, family, tables, lookup, -1));
  const rules = (host.rules ?? []).filter((r) => r.family === family).sort((a, b) => a.priority - b.priority);
  return rules.flatMap((rule): Case<Found>[] => {
    const { action } = rule;
    const when = asks(rule, lookup);
    return action.kind === "table"
      ? tableCases(host, family, [action.table], lookup, rule.suppress ?? -1).map((c) => ({
          when: and(when, c.when),
          outcome: c.outcome,
        }))
      : [{ when, outcome: { kind: "refused", why: `a rule of policy routing says ${action.kind}` } }];
  });
}

/** Where an address leads, as `-m addrtype` of IPv6 asks: nobody sends there, and the packet counts for nothing. */
export const alone = (towards: "dst" | "src", only?: string): Lookup => ({
  ...{ towards, iif: ownIif, marked: NEVER, alone: ANY, header: "none", scope: null, nearest: false },
  ...(only === undefined ? {} : { only }),
});

/**
 * Where a packet's source is, as `-m rpfilter` asks: without its mark unless it is told to, on its interface unless it
 * is loose. A group is no address to come from.
 */
export const reverse = (family: Family, validmark: boolean, loose: boolean): Lookup => ({
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
function asks(rule: RoutingRule, { towards, iif, marked, alone, header, only }: Lookup): Predicate {
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
  const port = (field: "sport" | "dport", asked: RoutingRule["sport"]): Predicate =>
    asked === null ? ANY : header === "own" || header === "answer" ? between(field, ...asked) : NEVER;
  const [from, to] = header === "answer" ? (["dport", "sport"] as const) : (["sport", "dport"] as const);
  const all = and(
    rule.from === null ? ANY : or(nobody, and(not(alone), inside(here, rule.from))),
    inside(there, rule.to),
    rule.iif === null ? ANY : iif(rule.iif),
    rule.oif === null || rule.oif === only ? ANY : NEVER,
    mark,
    rule.proto === null ? ANY : header === "none" ? NEVER : is("proto", rule.proto),
    port(from, rule.sport),
    port(to, rule.dport),
    rule.beyond === null && rule.action.kind !== "unknown"
      ? ANY
      : opaque(`ip-rule(${rule.priority})`, `${rule.beyond ?? "its action"} of the rule is not followed`),
  );
  return negate(rule.not, all);
}

/** A sysctl that each interface has besides `all`; the kernel takes either, the greater, or the interface's alone. */
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
function implied(host: Host, family: Family): Route[] {
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

/** Tables: the longest prefix first, then the lowest metric. A `throw` route sends to the next rule. */
function tableCases(
  host: Host,
  family: Family,
  tables: Tables,
  { towards, scope, nearest, only }: Lookup,
  suppress: number,
): Case<Found>[] {
  const listed = host.routes.filter((r) => r.family === family && tables.includes(r.table));
  const mine =
    tables.includes("local") && !listed.some((r) => r.table === "local" && r.type === "local")
      ? [...listed, ...implied(host, family)]
      : listed;
  const length = (r: Route): number => maskBits(r.to.mask) ?? 0;
  const sorted = mine
    .filter((r) => length(r) > suppress && (only === undefined || r.dev === only))
    .sort(
      (a, b) =>
        length(b) - length(a) || tables.indexOf(a.table) - tables.indexOf(b.table) || a.metric - b.metric,
    );
  const by = family === 6 ? scope : null;
  const thrown: Predicate[] = [];
  /** A route for the packets that `here` holds for, besides those in its prefix. */
  const at = (r: Route, here: Predicate): Case<Found>[] => {
    const inside = length(r) === 0 ? ANY : within(towards, [prefixRange(r.to)]);
    const when = and(inside, here, ...thrown.map(not));
    if (r.type === "throw") {
      thrown.push(and(inside, here));
      return [];
    }
    if (r.type === "local" || r.type === "anycast" || r.type === "broadcast" || r.type === "multicast")
      return [{ when, outcome: { kind: r.type, dev: r.dev, route: r } }];
    if (r.type !== "unicast") return [{ when, outcome: { kind: "refused", why: `a route says ${r.type}` } }];
    return r.dev === null ? [] : [{ when, outcome: { kind: "unicast", dev: r.dev, route: r } }];
  };
  const groups = new Map<string, Route[]>();
  for (const r of sorted) {
    const key = `${r.to.address}/${length(r)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [r]);
    else group.push(r);
  }
  return [...groups.values()].flatMap((group): Case<Found>[] => {
    const [first] = group;
    if (by === null) return at(first!, ANY);
    // IPv6 looks for link-local and multicast addresses on the interface alone, and of what comes in for ::1, too
    // (rt6_need_strict, but for ip6_route_me_harder).
    const scoped = by === "in" ? [...LOOPBACK, ...SCOPED] : SCOPED;
    const [from, to] = prefixRange(first!.to);
    const strict = scoped.some(([lo, hi]) => lo <= from && to <= hi);
    const holds = scoped.some(([lo, hi]) => lo <= to && hi >= from);
    const unscoped = holds && !strict ? not(within(towards, scoped)) : ANY;
    const devices = new Set(group.flatMap((r) => (r.dev === null ? [] : [r.dev])));
    const near = [...devices].flatMap((dev) => at(group.find((r) => r.dev === dev)!, is(by, dev)));
    // A route by no interface, like one that refuses, is there on all of them.
    const everywhere = group.find((r) => r.dev === null);
    const last = everywhere === undefined ? [] : at(everywhere, ANY);
    if (strict) return [...near, ...last];
    if (nearest) return [...near, ...at(first!, unscoped), ...last];
    return [...at(first!, unscoped), ...(unscoped === ANY ? [] : [...near, ...last])];
  });
}

const SCOPED: readonly Range[] = prefixes(6, "fe80::/10", "ff00::/8");
const LOOPBACK: readonly Range[] = prefixes(6, "::1/128");
