/**
 * The routing tables as a list of cases, first one that holds: policy rules in order, in each table the longest prefix
 * (net/core/fib_rules.c fib_rules_lookup, net/ipv4/fib_trie.c, net/ipv6/ip6_fib.c).
 */
import { type Host, ownAddresses, type Route, type RoutingRule, sysctl } from "../host/host.ts";
import { addressBits, maskBits, type Prefix, prefixes, prefixRange } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
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
      readonly kind: "local" | "broadcast" | "multicast";
      readonly dev: string | null;
      readonly route: Route;
    }
  | { readonly kind: "unicast"; readonly dev: string; readonly route: Route }
  | { readonly kind: "refused"; readonly why: string };

/** What is looked up, and for whom. */
export interface Lookup {
  /** The packet's own way, or the way back to its source (fib_validate_source). */
  readonly towards: "dst" | "src";
  /** Whether the packet comes in by an interface or the host sends it; the way back is asked as for the host's own. */
  readonly arriving: boolean;
}

/** A predicate over the interface a packet came in by, for a setting that each interface has for itself. */
export function byInterface(host: Host, test: (name: string) => boolean): Predicate {
  const usual = test("default");
  const other = host.interfaces
    .map((i) => i.name)
    .filter((name) => test(name) !== usual)
    .map((name): Range => [name, name]);
  return negate(usual, within("in", other));
}

const BY_ITSELF: readonly RoutingRule["action"][] = ["local", "main", "default"].map((table) => ({
  kind: "table",
  table,
}));

/** All cases; a packet that none holds for has no route. */
export function fibCases(host: Host, family: Family, lookup: Lookup): Case<Found>[] {
  const rules = (host.rules ?? [])
    .filter((r) => r.family === family)
    .sort((a, b) => a.priority - b.priority)
    .map((rule) => ({ rule, when: asks(rule, host, lookup) }));
  const steps =
    rules.length > 0
      ? rules.map(({ rule, when }) => ({ action: rule.action, when, suppress: rule.suppress ?? -1 }))
      : BY_ITSELF.map((action) => ({ action, when: ANY, suppress: -1 }));
  return steps.flatMap(({ action, when, suppress }): Case<Found>[] =>
    action.kind === "table"
      ? tableCases(host, family, action.table, lookup, suppress).map((c) => ({
          when: and(when, c.when),
          outcome: c.outcome,
        }))
      : [{ when, outcome: { kind: "refused", why: `a rule of policy routing says ${action.kind}` } }],
  );
}

/** What a rule of policy routing asks of a packet. */
function asks(rule: RoutingRule, host: Host, { towards, arriving }: Lookup): Predicate {
  const [there, back] = towards === "dst" ? (["dst", "src"] as const) : (["src", "dst"] as const);
  const inside = (field: "src" | "dst", prefix: Prefix | null): Predicate =>
    prefix === null ? ANY : within(field, [prefixRange(prefix)]);
  const iif =
    rule.iif === null
      ? ANY
      : towards === "src"
        ? // The way back is looked up as if it came by the interface the packet goes out by.
          is("out", rule.iif === "lo" ? "" : rule.iif)
        : arriving
          ? is("in", rule.iif)
          : rule.iif === "lo"
            ? ANY
            : NEVER;
  const asked = rule.mark === null ? ANY : bits("mark", rule.mark.mask, rule.mark.value);
  // The way back is looked up without the mark, unless src_valid_mark says so.
  const valid = byInterface(host, (name) => conf(host, "src_valid_mark", name, "or") !== 0);
  const mark =
    rule.mark === null || towards === "dst"
      ? asked
      : or(and(valid, asked), rule.mark.value === 0 ? not(valid) : NEVER);
  const all = and(
    inside(back, rule.from),
    inside(there, rule.to),
    iif,
    rule.oif === null ? ANY : NEVER,
    mark,
    rule.proto === null ? ANY : is("proto", rule.proto),
    rule.sport === null ? ANY : between("sport", ...rule.sport),
    rule.dport === null ? ANY : between("dport", ...rule.dport),
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
  const devices = new Map<string, string>();
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
  const out: Prefix[] = [];
  const family: Family = typeof lo === "bigint" ? 6 : 4;
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

/** One table: the longest prefix first, then the lowest metric. A `throw` route sends to the next rule. */
function tableCases(
  host: Host,
  family: Family,
  table: string,
  { towards, arriving }: Lookup,
  suppress: number,
): Case<Found>[] {
  const listed = host.routes.filter((r) => r.family === family && r.table === table);
  const mine =
    table === "local" && !listed.some((r) => r.type === "local")
      ? [...listed, ...implied(host, family)]
      : listed;
  const length = (r: Route): number => maskBits(r.to.mask) ?? 0;
  const sorted = mine
    .filter(
      (r) =>
        length(r) > suppress &&
        (r.table === "local" || !["local", "broadcast"].includes(r.type) || listed.includes(r)),
    )
    .sort((a, b) => length(b) - length(a) || a.metric - b.metric);
  const seen = new Set<string>();
  const thrown: Predicate[] = [];
  return sorted.flatMap((r): Case<Found>[] => {
    // IPv6 looks for link-local and multicast addresses on the interface alone (rt6_need_strict).
    const strict = family === 6 && arriving && r.dev !== null && isScoped(r.to.address as bigint);
    const key = `${r.to.address}/${length(r)}${strict ? `%${r.dev}` : ""}`;
    if (seen.has(key)) return [];
    seen.add(key);
    const inside = length(r) === 0 ? ANY : within(towards, [prefixRange(r.to)]);
    const wide = family === 6 && arriving && r.dev !== null && !strict && holdsScoped(r.to);
    const here = strict ? is("in", r.dev!) : wide ? or(not(within(towards, SCOPED)), is("in", r.dev!)) : ANY;
    const when = and(inside, here, ...thrown.map(not));
    if (r.type === "throw") {
      thrown.push(inside);
      return [];
    }
    if (r.type === "local" || r.type === "anycast")
      return [{ when, outcome: { kind: "local", dev: r.dev, route: r } }];
    if (r.type === "broadcast" || r.type === "multicast")
      return [{ when, outcome: { kind: r.type, dev: r.dev, route: r } }];
    if (r.type !== "unicast") return [{ when, outcome: { kind: "refused", why: `a route says ${r.type}` } }];
    return r.dev === null ? [] : [{ when, outcome: { kind: "unicast", dev: r.dev, route: r } }];
  });
}

const SCOPED: readonly Range[] = prefixes(6, "fe80::/10", "ff00::/8");

/** Whether a prefix holds link-local or multicast addresses besides others. */
const holdsScoped = (to: Prefix): boolean => {
  const [lo, hi] = prefixRange(to);
  return SCOPED.some(([first, last]) => lo <= last && hi >= first);
};

/** fe80::/10 and ff00::/8. */
const isScoped = (address: bigint): boolean => address >> 118n === 0x3fan || address >> 120n === 0xffn;
