/**
 * Address types of `-m addrtype`: IPv4 looks the address up in table local (net/ipv4/fib_frontend.c __inet_dev_addr_type),
 * IPv6 classifies the address or looks its route up (net/netfilter/xt_addrtype.c match_type6).
 */
import type { Host } from "../host/host.ts";
import type { Route } from "../host/routes.ts";
import { isInRanges, MULTICAST, maskBits, maxAddress, prefixes } from "../packet/address.ts";
import type { Address, Family, Range, Side } from "../packet/field.ts";
import {
  evaluate,
  is,
  NEVER,
  normalizeRanges,
  not,
  opaque,
  or,
  type PacketValues,
  type Predicate,
  visitLeaves,
  within,
} from "../packet/predicate.ts";
import { type AddressType, sharedKey } from "../rules/facts.ts";
import type { Case } from "./decision-list.ts";
import { fibCases, localCases } from "./fib.ts";
import { routeAt } from "./route-list.ts";
import { addressLookup } from "./routing-lookup.ts";
import type { RouteResult } from "./routing-table.ts";

/** Returns the packets whose address has a type on an interface; on the whole host if `device` is `undefined`. */
export type AddressTypes = (side: Side, type: AddressType, device: string | undefined) => Predicate;

/** Returns the address types of a host. Lookups are memoized. */
export function addressTypes(host: Host, family: Family): AddressTypes {
  const four = kept((side) => spansOf(cases4(host, side), side, 4));
  const six = kept((side, device) => spansOf(fibCases(host, 6, addressLookup(side, device)), side, 6));
  return (side, type, device) =>
    family === 4
      ? kind4(four(side, undefined), side, type, device)
      : kind6(() => six(side, device), host, side, type, device);
}

/** Memoizes a function. */
function kept<T>(make: (side: Side, device: string | undefined) => T): typeof make {
  const made = new Map<string, T>();
  return (side, device) => {
    const key = `${side} ${device ?? ""}`;
    if (!made.has(key)) made.set(key, make(side, device));
    return made.get(key)!;
  };
}

/** 0.0.0.0 and 255.255.255.255, which IPv4 does not look up. */
const BROADCAST = prefixes(4, "0.0.0.0/32", "255.255.255.255/32");
/** The unspecified address and IPv4-mapped addresses. */
const NO_UNICAST = prefixes(6, "::/128", "::ffff:0:0/96");

/** Range of addresses with the same outcome; `undefined` if no case matches. */
interface OutcomeRange<T> {
  readonly range: Range;
  readonly outcome: T | undefined;
}

/** Type of an IPv4 address on an interface; `undefined` if it is the same on all. */
interface Typed {
  readonly type: string;
  readonly dev: string | undefined;
}

const cases4 = (host: Host, side: Side): Case<Typed>[] => [
  { when: within(side, BROADCAST), outcome: { type: "BROADCAST", dev: undefined } },
  { when: within(side, MULTICAST[4]), outcome: { type: "MULTICAST", dev: undefined } },
  ...localCases(host, addressLookup(side)).map(({ when, outcome: found }) => ({
    when,
    outcome:
      found.kind === "refused"
        ? { type: "UNICAST", dev: undefined }
        : { type: found.kind.toUpperCase(), dev: found.dev ?? "lo" },
  })),
];

/** An address of another interface, or one without a route, is UNICAST. */
const kind4 = (
  spans: readonly OutcomeRange<Typed>[] | undefined,
  side: Side,
  type: AddressType,
  device: string | undefined,
): Predicate =>
  spans === undefined
    ? unknown(side, type, "address-type")
    : within(
        side,
        normalizeRanges(
          spans
            .filter(({ outcome }) =>
              outcome === undefined ||
              (device !== undefined && outcome.dev !== undefined && outcome.dev !== device)
                ? type === "UNICAST"
                : outcome.type === type,
            )
            .map(({ range }) => range),
        ),
      );

const unknown = (side: Side, type: AddressType, code: "address-type" | "unreachable-addresses"): Predicate =>
  opaque(sharedKey("addrtype", `${side} ${type}`), { code });

function kind6(
  ask: () => readonly OutcomeRange<RouteResult>[] | undefined,
  host: Host,
  side: Side,
  type: AddressType,
  device: string | undefined,
): Predicate {
  switch (type) {
    case "MULTICAST":
      return within(side, MULTICAST[6]);
    case "UNICAST":
      return not(within(side, [...MULTICAST[6], ...NO_UNICAST]));
    case "UNSPEC":
      return is(side, 0n);
    case "LOCAL":
    case "ANYCAST":
    case "UNREACHABLE":
    case "BLACKHOLE":
    case "PROHIBIT":
      break;
    default:
      return NEVER;
  }
  const spans = ask();
  if (spans === undefined) return unknown(side, type, "address-type");
  // Without a list of routes, an address without a route may be unreachable.
  const open = type === "UNREACHABLE" && !host.routed.includes(6);
  const own = host.interfaces.find((i) => i.name === device)?.addresses ?? [];
  const ranges = spans.flatMap(({ range, outcome: found }): readonly Range[] => {
    const [lo] = range;
    if (type === "UNREACHABLE")
      return found === undefined ? (open ? [] : [range]) : found.kind === "refused" ? [range] : [];
    if (found === undefined) return [];
    if (found.kind === "refused") return refusalOf(found) === type.toLowerCase() ? [range] : [];
    if (type === "BLACKHOLE" || type === "PROHIBIT") return [];
    if (type === "ANYCAST")
      return found.kind === "anycast"
        ? [range]
        : firstOf(routeAt(found.route, lo as Address)) === lo
          ? [[lo, lo]]
          : [];
    if (device === undefined) return found.kind === "local" ? [range] : [];
    return own
      .filter((a) => a.family === 6 && isInRanges(a.address, [range]))
      .map((a): Range => [a.address, a.address]);
  });
  const listed = within(side, normalizeRanges(ranges));
  return open ? or(listed, unknown(side, type, "unreachable-addresses")) : listed;
}

/** Returns how a route or a routing rule refuses a packet: the three kinds differ in the error of the lookup. */
const refusalOf = ({ reason }: Extract<RouteResult, { kind: "refused" }>): string | undefined =>
  reason.code === "route-type" ? reason.type : reason.code === "routing-rule" ? reason.action : undefined;

/** Returns the subnet-router anycast address of a subnet on the link (ipv6_anycast_destination). */
const firstOf = ({ to, gateway }: Route): Address | undefined =>
  gateway !== true && (maskBits(to.mask) ?? 128) < 127 ? to.address : undefined;

/** Splits the address space at the bounds of the cases; `undefined` if cases depend on other fields. */
function spansOf<T>(
  cases: readonly Case<T>[],
  side: Side,
  family: Family,
): readonly OutcomeRange<T>[] | undefined {
  const max = maxAddress(family);
  const [zero, one] = (family === 4 ? [0, 1] : [0n, 1n]) as [never, never];
  const bounds = new Set<Address>([zero]);
  let known = true;
  for (const { when } of cases)
    visitLeaves(when, (leaf) => {
      if (leaf.kind !== "in" || leaf.field !== side) known = false;
      else
        for (const [lo, hi] of leaf.ranges) {
          bounds.add(lo as Address);
          if ((hi as Address) < max) bounds.add(((hi as number) + one) as Address);
        }
    });
  if (!known) return undefined;
  const sorted = [...bounds].sort((a, b) => (a < b ? -1 : 1));
  const first = firstCases(sorted, cases);
  return sorted.map((lo, i): OutcomeRange<T> => {
    const next = sorted[i + 1];
    return {
      range: [lo, next === undefined ? max : (((next as number) - one) as Address)],
      outcome: cases[first[i]!]?.outcome,
    };
  });
}

/**
 * Returns for each interval the number of the first case that its addresses satisfy, that of no case if there is none.
 * @param starts first address of each interval, in ascending order; no case distinguishes the addresses of one
 */
function firstCases(starts: readonly Address[], cases: readonly Case<unknown>[]): Int32Array {
  const first = new Int32Array(starts.length).fill(cases.length);
  // The next interval without a case, at each interval or after it: a forest with shortened paths.
  const next = Int32Array.from({ length: starts.length + 1 }, (_, i) => i);
  const openAt = (from: number): number => {
    let open = from;
    while (next[open] !== open) open = next[open]!;
    for (let i = from; next[i] !== open; ) [next[i], i] = [open, next[i]!];
    return open;
  };
  const indexOf = new Map(starts.map((start, i) => [start, i]));
  for (const [number, { when }] of cases.entries()) {
    const ranges: readonly Range[] = when.kind === "in" ? when.ranges : [[starts[0]!, starts.at(-1)!]];
    for (const [lo, hi] of ranges)
      for (
        let i = openAt(indexOf.get(lo as Address)!);
        i < starts.length && starts[i]! <= (hi as Address);
        i = openAt(i + 1)
      ) {
        const packet: PacketValues = { field: () => starts[i]!, settled: () => undefined };
        if (when.kind !== "in" && evaluate(when, packet) !== true) continue;
        first[i] = number;
        next[i] = i + 1;
      }
  }
  return first;
}
