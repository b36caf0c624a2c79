/** Lookups in the routing tables: the address that is looked up, and the fields that routing rules can match. */
import type { Host } from "../host/host.ts";
import { isInRanges, prefixes } from "../packet/address.ts";
import type { Family, Field, Range } from "../packet/field.ts";
import { ANY, is, NEVER, type Predicate, within } from "../packet/predicate.ts";
import type { Site } from "../rules/facts.ts";
import { byInterface, ipv4Setting } from "./interface-settings.ts";

/** One lookup: the members of struct flowi that the kernel fills in for it. */
export interface Lookup {
  /** The address that is looked up; `from` of a rule or a route matches the other one. */
  readonly towards: "dst" | "src";
  /** Predicate of `iif NAME`. */
  iif(name: string): Predicate;
  /** Packets whose mark is part of the lookup; the mark of others is 0. */
  readonly marked: Predicate;
  /** Packets whose other address is not part of the lookup; `from` matches none of them. */
  readonly alone: Predicate;
  /** Header that `ipproto` and ports match: the packet's, that of its reply, its protocol only, or none. */
  readonly matchedHeader: "own" | "answer" | "protocol" | "none";
  /** Field with the interface on which IPv6 looks link-local and multicast addresses up; `null` for a lookup without one. */
  readonly scope: Field | null;
  /** The packet's TOS is part of the lookup; else it is 0. */
  readonly tos: boolean;
  /** The owner of the sending socket is part of the lookup; else it is root. */
  readonly owner: boolean;
  /**
   * Next hop of a multipath route: any, or the one that the kernel chooses by a hash that cannot be predicted. A second
   * lookup, or that of a rule, may hash another header, so it depends on another unknown.
   */
  readonly hop: "any" | "first" | "again" | Site;
  /** IPv6: among routes of one prefix, the route on the interface of `scope` comes first (rt6_device_match). */
  readonly nearest: boolean;
  /**
   * IPv6: packets for which the route on an interface comes first among routes of one prefix, since the other address of the
   * lookup is an address of this interface only (rt6_device_match); absent for lookups that the interface decides.
   */
  readonly favours?: (dev: string) => Predicate;
  /** Each prefix has a case of its own, also where its result is that of others. */
  readonly separate: boolean;
  /** Interface that the lookup is bound to: routes by others do not match. */
  readonly only?: string;
}

const DEFAULTS = {
  marked: ANY,
  alone: NEVER,
  matchedHeader: "own",
  scope: null,
  tos: true,
  owner: false,
  hop: "any",
  nearest: false,
  separate: false,
} as const;

/** Input interface of the host's own packets: loopback. */
export const ownIif = (name: string): Predicate => (name === "lo" ? ANY : NEVER);

/** Destination of an arriving packet. */
export const ARRIVING: Lookup = {
  ...DEFAULTS,
  towards: "dst",
  iif: (name) => is("in", name),
  scope: "in",
  hop: "first",
};

/** Destination of a packet of the host. */
export const LEAVING: Lookup = { ...DEFAULTS, towards: "dst", iif: ownIif, owner: true, hop: "first" };

/**
 * Destination of a packet of the host that OUTPUT changed. IPv4 no longer knows the socket's owner (ip_route_me_harder);
 * IPv6 keeps a link-local address on its interface (ip6_route_me_harder).
 */
export const REROUTED: Readonly<Record<Family, Lookup>> = {
  4: { ...LEAVING, owner: false, hop: "again" },
  6: { ...LEAVING, scope: "out", hop: "again" },
};

/** Returns IPv4's lookup of the source of an arriving packet (fib_validate_source). */
export const sourceLookup = (host: Host): Lookup => ({
  ...DEFAULTS,
  towards: "src",
  // The kernel looks the source up as if the packet came by its output interface.
  iif: (name) => is("out", name === "lo" ? "" : name),
  marked: byInterface(host, (name) => ipv4Setting(host, "src_valid_mark", name, "or") !== 0),
  matchedHeader: "answer",
});

/** Returns the lookup of an address without any other property of the packet, as `-m addrtype` of IPv6 does. */
export const addressLookup = (towards: "dst" | "src", only?: string): Lookup => ({
  ...DEFAULTS,
  towards,
  iif: ownIif,
  marked: NEVER,
  alone: ANY,
  matchedHeader: "none",
  tos: false,
  separate: true,
  ...(only === undefined ? {} : { only }),
});

/** Returns the lookup of a source by `-m rpfilter`. Multicast destinations are no source of the reply. */
export const rpfilterLookup = (family: Family, validmark: boolean, loose: boolean): Lookup => ({
  ...DEFAULTS,
  towards: "src",
  iif: ownIif,
  marked: validmark ? ANY : NEVER,
  ...(family === 4
    ? { alone: within("dst", NO_SOURCE), matchedHeader: "none", scope: null, nearest: false }
    : { alone: within("dst", NO_UNICAST), matchedHeader: "protocol", scope: "in", nearest: !loose }),
});

/** IPv6's lookup of a source of link scope by `fib` of nftables: on the input interface (nft_fib6_flowi_init). */
export const nearFibLookup = (validmark: boolean): Lookup => rpfilterLookup(6, validmark, false);

/**
 * IPv6's lookup of any other source by `fib`. Other than rpfilter, it chooses one next hop of a multipath route, not that by
 * the input interface (fib6_select_path).
 * @param rule the rule whose result depends on the next hop; `null` if it needs a route only
 */
export const fibLookup = (host: Host, validmark: boolean, rule: Site | null): Lookup => ({
  ...rpfilterLookup(6, validmark, false),
  scope: null,
  nearest: false,
  favours: (dev) => within("dst", ownLinkLocal(host, dev)),
  hop: rule ?? "any",
});

/** Addresses of link scope that an interface has. */
const ownLinkLocal = (host: Host, dev: string): Range[] =>
  (host.interfaces.find(({ name }) => name === dev)?.addresses ?? [])
    .filter(({ family, address }) => family === 6 && isInRanges(address, LINK_LOCAL))
    .map(({ address }): Range => [address, address]);
const LINK_LOCAL = prefixes(6, "fe80::/10");

const NO_SOURCE = prefixes(4, "224.0.0.0/4", "255.255.255.255/32", "0.0.0.0/32");
const NO_UNICAST = prefixes(6, "ff00::/8", "::/128", "::ffff:0:0/96");
