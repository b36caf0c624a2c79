/**
 * What a match's meaning may depend on besides the packet: the host. The rules know only this much of it.
 */
import type { Family } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";

/** Address types of `-m addrtype`, the kernel's RTN_* (linux/rtnetlink.h). */
export type AddressType =
  | "UNSPEC"
  | "UNICAST"
  | "LOCAL"
  | "BROADCAST"
  | "ANYCAST"
  | "MULTICAST"
  | "BLACKHOLE"
  | "UNREACHABLE"
  | "PROHIBIT"
  | "THROW"
  | "NAT"
  | "XRESOLVE";

export interface Facts {
  readonly family: Family;
  /**
   * Whether an address of the packet is of one type.
   * @param device the interface that it is asked for (`--limit-iface-in` and `-out`)
   */
  addressIs(field: "src" | "dst", type: AddressType, device: string | undefined): Predicate;
  /** Names of the interfaces the host has. */
  readonly interfaces: readonly string[];
  /** The group of an interface (`ip link set group`), `undefined` where it is not known. */
  groupOf(name: string): number | undefined;
  /** Whether an interface is known to carry no Ethernet frames, so that nothing that comes by it has a MAC address. */
  bare(name: string): boolean;
  /**
   * Membership of a packet in an ipset, looked up by the given sides (`src,dst` as in `--match-set`).
   * @returns `undefined` when no such set is known.
   */
  member(set: string, sides: readonly ("src" | "dst")[]): Predicate | undefined;
  /** Whether the rules themselves add to the set or take from it: then nobody knows what it holds by the time it is asked. */
  changing(set: string): boolean;
  /** Whether a rule sets the maximum segment size of TCP, and so may make a packet longer. */
  readonly lengthens: boolean;
  /** Whether a rule changes TCP's options: then each rule that asks for them may get another answer. */
  readonly rewritesOptions: boolean;
  /** What `-m rpfilter` asks, or `undefined` when the routes are not known. */
  reversePath(options: { loose: boolean; validmark: boolean; acceptLocal: boolean }): Predicate | undefined;
}

/** Where a rule stands: what an opaque match takes its name from. */
export interface Site {
  readonly table: string;
  readonly chain: string;
  /** Number in its chain, from 1. */
  readonly index: number;
}

/** `limit@filter/ufw-not-local/4`: one unknown a rule, since each rule keeps its own state. */
export const siteKey = (extension: string, site: Site): string =>
  `${extension}@${site.table}/${site.chain}/${site.index}`;

/**
 * An unknown that every rule with the same text shares: what it asks of a packet does not change while the packet
 * passes, so two rules that ask it get one answer.
 */
export const sharedKey = (extension: string, text: string): string => `${extension}(${text})`;
