/** Types of routes and of the rules of policy routing. */
import type { Prefix } from "../packet/address.ts";
import type { Address, Family } from "../packet/field.ts";

/** Bits of the TOS byte that `tos` of a route or rule matches (INET_DSCP_MASK, IPTOS_TOS_MASK). */
export const TOS_MASK: Readonly<Record<Family, number>> = { 4: 0x1c, 6: 0xfc };

/** A route as `ip -j route` lists it. */
export interface Route {
  /** 4 or 6. */
  readonly family: Family;
  /** Kind of route (ip-route(8)). */
  readonly type:
    | "unicast"
    | "local"
    | "broadcast"
    | "multicast"
    | "anycast"
    | "blackhole"
    | "unreachable"
    | "prohibit"
    | "throw";
  /** Destinations it is for. */
  readonly to: Prefix;
  /** Sources it is for, of IPv6 alone; absent for all. */
  readonly from?: Prefix;
  /** Interface it leads to; `null` where it leads nowhere. */
  readonly dev: string | null;
  /** Name of its table, or the number where it has none. */
  readonly table: string;
  /** Of two routes with the same prefix, the kernel uses that with the lower metric. */
  readonly metric: number;
  /** It leads to a gateway, not to the addresses themselves. */
  readonly gateway?: boolean;
  /** The gateway's address, where it is of the route's own family. */
  readonly via?: Address;
  /** The ways it leads by where there are several, of which the kernel takes one for each flow. */
  readonly hops?: readonly NextHop[];
  /** The TOS that packets have to have; absent where any will do. */
  readonly tos?: number;
  /** IPv6: the router preference among routes of one metric, `medium` where it is absent. */
  readonly preference?: "low" | "high";
  /** Packets by it are counted for a realm, which has the kernel look closer at where they come from. */
  readonly realm?: boolean;
  /** Source address the kernel prefers for packets of its own. */
  readonly source: Address | null;
  /** Worked out by fwcheck, not listed by the host. */
  readonly inferred?: boolean;
}

/** One of several ways that a route leads by. */
export interface NextHop {
  /** Interface it leads to. */
  readonly dev: string;
  /** It leads to a gateway. */
  readonly gateway: boolean;
  /** The gateway's address, where it is of the route's own family. */
  readonly via?: Address;
}

/** A rule of policy routing as `ip -j rule` lists it. */
export interface RoutingRule {
  /** 4 or 6. */
  readonly family: Family;
  /** Rules are evaluated in ascending order. */
  readonly priority: number;
  /** Inverts the other conditions. */
  readonly not: boolean;
  /** Sources it is for; `null` for all. */
  readonly from: Prefix | null;
  /** Destinations it is for; `null` for all. */
  readonly to: Prefix | null;
  /** Interface they came in by; `null` for any, `lo` for the host's own. */
  readonly iif: string | null;
  /** Interface a socket is bound to; `null` for any. */
  readonly oif: string | null;
  /** The mark they carry, under a mask; `null` for any. */
  readonly mark: { readonly value: number; readonly mask: number } | null;
  /** Value of the TOS byte under a mask; `null` for any. */
  readonly tos: { readonly value: number; readonly mask: number } | null;
  /** First and last owner of the socket that sends; `null` for any. */
  readonly uid: readonly [number, number] | null;
  /** Matches packets of a VRF and looks its table up (`l3mdev`). */
  readonly vrf: boolean;
  /** Protocol number; `null` for any. */
  readonly proto: number | null;
  /** First and last source port; `null` for any. */
  readonly sport: readonly [number, number] | null;
  /** First and last destination port; `null` for any. */
  readonly dport: readonly [number, number] | null;
  /** Table that is looked up, or another action. */
  readonly action:
    | { readonly kind: "table"; readonly table: string }
    | { readonly kind: "goto"; readonly priority: number | null }
    | { readonly kind: "blackhole" | "unreachable" | "prohibit" | "nop" | "unknown" };
  /** A route of this prefix length or shorter is passed over. */
  readonly suppress: number | null;
  /** A route by an interface of this group is passed over. */
  readonly suppressGroup: number | null;
  /** As for a route. */
  readonly realm?: boolean;
  /** Condition that fwcheck does not evaluate (`tun_id`); else `null`. */
  readonly beyond: string | null;
}
