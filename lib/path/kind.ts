/**
 * What kind of address `-m addrtype` finds one to be: IPv4 by the table of local addresses (net/ipv4/fib_frontend.c
 * __inet_dev_addr_type), IPv6 by the address alone or by where it leads (net/netfilter/xt_addrtype.c match_type6).
 */
import type { Host, Route } from "../host/host.ts";
import { maskBits, maxAddress, prefixes } from "../packet/address.ts";
import type { Address, Family, Range } from "../packet/field.ts";
import {
  and,
  evaluate,
  is,
  leaves,
  NEVER,
  normalizeRanges,
  not,
  opaque,
  or,
  type Predicate,
  within,
} from "../packet/predicate.ts";
import { type AddressType, sharedKey } from "../rules/facts.ts";
import { type Case, decide } from "./case.ts";
import { alone, type Found, fibCases, localCases } from "./fib.ts";

const MULTICAST = { 4: prefixes(4, "224.0.0.0/4"), 6: prefixes(6, "ff00::/8") } as const;
/** No network, and everybody: IPv4 does not look for them. */
const BROADCAST = prefixes(4, "0.0.0.0/32", "255.255.255.255/32");
/** No address, and IPv4's in disguise. */
const NO_UNICAST = prefixes(6, "::/128", "::ffff:0:0/96");

/**
 * Whether an address of the packet is of a type.
 * @param device the interface that it is asked for, `undefined` for all of the host
 */
export const kindOf = (
  host: Host,
  family: Family,
  field: "src" | "dst",
  type: AddressType,
  device: string | undefined,
): Predicate => (family === 4 ? kind4(host, field, type, device) : kind6(host, field, type, device));

function kind4(host: Host, field: "src" | "dst", type: AddressType, device: string | undefined): Predicate {
  const cases = localCases(host, alone(field)).map(
    ({ when, outcome: { kind, ...found } }): Case<string> => ({
      when,
      // What another interface has, and what is refused, is an address like any other.
      outcome:
        kind === "refused" || ("dev" in found && device !== undefined && found.dev !== device)
          ? "UNICAST"
          : kind.toUpperCase(),
    }),
  );
  return asRanges(
    field,
    4,
    chosen(
      [
        { when: within(field, BROADCAST), outcome: "BROADCAST" },
        { when: within(field, MULTICAST[4]), outcome: "MULTICAST" },
        ...cases,
        { when: and(), outcome: "UNICAST" },
      ],
      (outcome) => (outcome === type ? and() : NEVER),
    ),
  );
}

function kind6(host: Host, field: "src" | "dst", type: AddressType, device: string | undefined): Predicate {
  switch (type) {
    case "MULTICAST":
      return within(field, MULTICAST[6]);
    case "UNICAST":
      return not(within(field, [...MULTICAST[6], ...NO_UNICAST]));
    case "UNSPEC":
      return is(field, 0n);
    case "LOCAL":
    case "ANYCAST":
    case "UNREACHABLE":
      break;
    default:
      return NEVER;
  }
  const cases = fibCases(host, 6, alone(field, device));
  const asked = asRanges(
    field,
    6,
    chosen(cases, (found) => holds6(found, field, type, host, device)),
  );
  if (type !== "UNREACHABLE") return asked;
  const none = not(or(...cases.map((c) => c.when)));
  if (host.routed.includes(6)) return or(asked, asRanges(field, 6, none));
  // What has no route is unreachable, too, and not all routes are known.
  return or(
    asked,
    opaque(
      sharedKey("addrtype", `${field} UNREACHABLE`),
      "which addresses have no route is not known (ip -j route)",
    ),
  );
}

/** What the route that was found says of an address. */
function holds6(
  found: Found,
  field: "src" | "dst",
  type: "LOCAL" | "ANYCAST" | "UNREACHABLE",
  host: Host,
  device: string | undefined,
): Predicate {
  if (type === "UNREACHABLE" || found.kind === "refused")
    return type === "UNREACHABLE" && found.kind === "refused" ? and() : NEVER;
  if (type === "ANYCAST") return found.kind === "anycast" ? and() : firstOf(found.route, field);
  if (device === undefined) return found.kind === "local" ? and() : NEVER;
  const own = host.interfaces.find((i) => i.name === device)?.addresses ?? [];
  return within(
    field,
    own.filter((a) => a.family === 6).map((a): Range => [a.address, a.address]),
  );
}

/** The first address of a subnet that is reached without a gateway stands for its routers (ipv6_anycast_destination). */
const firstOf = ({ to, gateway }: Route, field: "src" | "dst"): Predicate =>
  gateway !== true && (maskBits(to.mask) ?? 128) < 127 ? is(field, to.address) : NEVER;

const chosen = <T>(cases: readonly Case<T>[], holds: (outcome: T) => Predicate): Predicate =>
  decide(cases.map(({ when, outcome }) => ({ when, outcome: holds(outcome) })));

/** The same as a list of ranges, which is asked faster; itself where more than the address decides. */
function asRanges(field: "src" | "dst", family: Family, p: Predicate): Predicate {
  const max = maxAddress(family);
  const one = (family === 4 ? 1 : 1n) as never;
  const bounds = new Set<Address>([family === 4 ? 0 : 0n]);
  let known = true;
  leaves(p, (leaf) => {
    if (leaf.kind !== "in" || leaf.field !== field) known = false;
    else
      for (const [lo, hi] of leaf.ranges) {
        bounds.add(lo as Address);
        if ((hi as Address) < max) bounds.add(((hi as number) + one) as Address);
      }
  });
  if (!known) return p;
  const sorted = [...bounds].sort((a, b) => (a < b ? -1 : 1));
  const holds = (value: Address): boolean =>
    evaluate(p, { field: () => value, settled: () => undefined }) === true;
  return within(
    field,
    normalizeRanges(
      sorted.flatMap((lo, i): Range[] => {
        const next = sorted[i + 1];
        if (!holds(lo)) return [];
        return [[lo, next === undefined ? max : (((next as number) - one) as Address)]];
      }),
    ),
  );
}
