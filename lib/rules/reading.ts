/**
 * The conditions and the action of a rule as analyses need them, the same for every rule language. The exact meaning of a
 * rule is its predicate and effect; a reading answers what a person would look for in its text.
 */
import type { Prefix } from "../packet/address.ts";

/** The value of an option, and whether `!` negates it. */
export interface Negatable<T> {
  readonly not: boolean;
  readonly value: T;
}

/** First and last port, both included. */
export type PortRange = readonly [first: number, last: number];

/** A lookup of the packet in a set, one side for each dimension of the set. */
export interface SetLookup {
  readonly set: string;
  readonly sides: readonly ("src" | "dst")[];
}

/** A lookup of an address in a list of `-m recent`. */
export interface RecentLookup {
  readonly list: string;
  /** The address that is looked up or entered. */
  readonly side: "src" | "dst";
  /** `set` enters the address, `update` does so where it is found, `check` and `remove` do not. */
  readonly action: "set" | "update" | "check" | "remove";
  readonly not: boolean;
}

/** Conditions of a rule, one member for each option. An absent member is no condition. */
export interface KnownConditions {
  readonly src?: Negatable<Prefix> | undefined;
  readonly dst?: Negatable<Prefix> | undefined;
  /** Incoming interface; a name that ends in `+` matches all names with that beginning. */
  readonly in?: Negatable<string> | undefined;
  /** Outgoing interface. */
  readonly out?: Negatable<string> | undefined;
  /** Protocol number. */
  readonly proto?: Negatable<number> | undefined;
  readonly sourcePorts?: Negatable<readonly PortRange[]> | undefined;
  readonly destinationPorts?: Negatable<readonly PortRange[]> | undefined;
  /** Connection states by their names in iptables-extensions(8), DNAT and SNAT included. */
  readonly states?: Negatable<readonly string[]> | undefined;
  /** Destination address of the connection's first packet, before translation. */
  readonly originalDestination?: Negatable<Prefix> | undefined;
  /** Destination port of the connection's first packet, before translation. */
  readonly originalPorts?: Negatable<readonly PortRange[]> | undefined;
  /** Direction of the packet in its connection. */
  readonly direction?: Negatable<"ORIGINAL" | "REPLY"> | undefined;
  readonly sets?: readonly Negatable<SetLookup>[] | undefined;
  readonly recents?: readonly RecentLookup[] | undefined;
  /** Comments; they match every packet. */
  readonly comments?: readonly string[] | undefined;
}

/**
 * Final or next step of a rule. `none` has no target and only counts; `unknown` is a target that fwcheck does not know;
 * `other` is any target not named here.
 */
export type Action =
  | "accept"
  | "drop"
  | "reject"
  | "return"
  | "jump"
  | "goto"
  | "dnat"
  | "snat"
  | "masquerade"
  | "redirect"
  | "netmap"
  | "log"
  | "none"
  | "unknown"
  | "other";

/**
 * Way to copy a condition of a chain of the input or output hook into a chain of the forward hook. `unchanged`: it
 * gives the same result there. `by-destination`: it depends on the destination, which DNAT changes. `in-notes`: it keeps
 * state for each rule, so that a copy may only decide whether to log. `never`: no copy gives the same result.
 */
export type CopyMode = "unchanged" | "by-destination" | "in-notes" | "never";

/** Something outside the ruleset that must exist before the kernel accepts a rule that names it. */
export interface Needed {
  readonly kind: "ipset" | "accounting object" | "BPF object" | "cgroup" | "rate estimator";
  readonly name: string;
}

/** Properties of a rule's matches and target that its predicate and effect do not show. */
export interface Traits {
  /** It reads or changes the packet's connection, so that the kernel registers connection tracking (nf_ct_netns_get). */
  readonly needsConntrack?: boolean;
  /** The same for IPv4 alone: a translation of nftables that names its family. */
  readonly needsConntrackIpv4?: boolean;
  /** The same for IPv6 alone. */
  readonly needsConntrackIpv6?: boolean;
  /** It sets up the connection before connection tracking runs (CT), which registers connection tracking, too. */
  readonly preparesConnection?: boolean;
  /** The kernel reassembles fragments before the hook for it (nf_defrag_ipv4_enable). */
  readonly defragments?: boolean;
  /** It can hand a packet to a local socket (TPROXY). */
  readonly assignsSocket?: boolean;
  /** It changes TCP options, so that a later match of options may give another result. */
  readonly rewritesTcpOptions?: boolean;
  /** It can make a packet longer (TCPMSS). */
  readonly lengthens?: boolean;
  /** It looks the packet up in a set: its reading has `sets`. */
  readonly matchesSets?: boolean;
  /** Sets that it adds elements to or removes them from. */
  readonly changesSets?: readonly string[];
}

/** Reading of one rule. */
export interface Reading extends KnownConditions {
  /** Has conditions that are not members of `KnownConditions`, or that fwcheck does not know. */
  readonly others: boolean;
  readonly action: Action;
  /** `reject` answers with a TCP reset instead of an ICMP error. */
  readonly resets?: boolean;
  /** ICMP error that `reject` answers with, as nft(8) names it; absent for port-unreachable and for rules of iptables. */
  readonly icmpError?: string;
  /** Prefix of the lines that it writes to the kernel's log; `""` for none. Absent if it logs nothing, or in another way. */
  readonly logPrefix?: string;
  readonly needs: readonly Needed[];
}

/** Returns the ports of a condition; none where it is absent or negated. */
export const plainPorts = (ports: Negatable<readonly PortRange[]> | undefined): readonly PortRange[] =>
  ports === undefined || ports.not ? [] : ports.value;

/** Returns the value of a condition; `undefined` where it is absent or negated. */
export const plain = <T>(given: Negatable<T> | undefined): T | undefined =>
  given === undefined || given.not ? undefined : given.value;

/** Returns true for a rule without other conditions than these. Comments never count. */
export const hasOnly = (reading: Reading, ...allowed: readonly Matching[]): boolean =>
  !reading.others && MATCHING.every((key) => reading[key] === undefined || allowed.includes(key));

/** Returns true for a rule that every packet matches. */
export const isUnconditional = (reading: Reading): boolean => hasOnly(reading);

/** Conditions that some packets do not match. */
type Matching = Exclude<keyof KnownConditions, "comments">;

/** All of them: the compiler requires that none is missing. */
const MATCHING = Object.keys({
  src: true,
  dst: true,
  in: true,
  out: true,
  proto: true,
  sourcePorts: true,
  destinationPorts: true,
  states: true,
  originalDestination: true,
  originalPorts: true,
  direction: true,
  sets: true,
  recents: true,
} satisfies Record<Matching, true>) as readonly Matching[];
