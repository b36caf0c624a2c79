/** Properties of the host on which the meaning of a match depends. Rules know nothing else about the host. */
import type { Family } from "../packet/field.ts";
import { ANY, type Predicate } from "../packet/predicate.ts";

/** Address types by their numbers: the kernel's RTN_* (linux/rtnetlink.h). */
export const ADDRESS_TYPES = [
  "UNSPEC",
  "UNICAST",
  "LOCAL",
  "BROADCAST",
  "ANYCAST",
  "MULTICAST",
  "BLACKHOLE",
  "UNREACHABLE",
  "PROHIBIT",
  "THROW",
  "NAT",
  "XRESOLVE",
] as const;
/** Type of an address in the routing tables. */
export type AddressType = (typeof ADDRESS_TYPES)[number];

export interface Facts {
  readonly family: Family;
  /**
   * Returns the packets whose address has a type.
   * @param device restricts the lookup to an interface (`--limit-iface-in` and `-out`)
   */
  addressIs(field: "src" | "dst", type: AddressType, device: string | undefined): Predicate;
  /** Routing rules or routes match the TOS of a packet, which `addressIs` does not look at. */
  readonly routesByTos: boolean;
  /** Names of the host's interfaces. */
  readonly interfaces: readonly string[];
  /** Returns the group of an interface (`ip link set group`); `undefined` if unknown. */
  groupOf(name: string): number | undefined;
  /** Returns true for an interface without Ethernet frames: its packets have no MAC address. */
  bare(name: string): boolean;
  /**
   * Returns the packets in an ipset, looked up by the given sides (`src,dst` as in `--match-set`).
   * @returns `undefined` if the set is unknown
   */
  member(set: string, sides: readonly ("src" | "dst")[]): Predicate | undefined;
  /** Returns true if rules add elements to the set or remove them: its contents during evaluation are unknown. */
  changing(set: string): boolean;
  /** The elements of sets and maps with a name may be any, not only those that are listed. */
  readonly setsVary: boolean;
  /** A rule sets the maximum segment size of TCP, which may make packets longer. */
  readonly lengthens: boolean;
  /** A rule changes TCP options, so that each match of options may give another result. */
  readonly rewritesOptions: boolean;
  /**
   * Returns the predicate of `-m rpfilter`, or of a lookup by `fib` of nftables; `undefined` if the routes are unknown.
   */
  reversePath(options: {
    loose: boolean;
    validmark: boolean;
    acceptLocal: boolean;
    /** Place of the rule with `fib`; absent for rpfilter. */
    fib?: Site;
  }): Predicate | undefined;
}

/** Facts of a host that is not known yet: for what rules name, not for what they match. */
export const UNKNOWN_HOST: Omit<Facts, "family"> = {
  addressIs: () => ANY,
  routesByTos: false,
  interfaces: [],
  groupOf: () => undefined,
  bare: () => false,
  member: () => undefined,
  changing: () => false,
  setsVary: false,
  lengthens: false,
  rewritesOptions: false,
  reversePath: () => undefined,
};

/** Place of a rule; part of the key of an unknown. */
export interface Site {
  readonly table: string;
  readonly chain: string;
  /** Number in its chain, from 1. */
  readonly index: number;
}

/** Returns the key of an unknown of one rule: `limit@filter/ufw-not-local/4`. Each rule has its own state. */
export const siteKey = (extension: string, site: Site): string =>
  `${extension}@${site.table}/${site.chain}/${site.index}`;

/**
 * Returns the key of an unknown that all rules with the same text share, since its value does not change while the packet
 * passes through the host.
 */
export const sharedKey = (extension: string, text: string): string => `${extension}(${text})`;
