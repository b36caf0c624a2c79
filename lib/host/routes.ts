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
  /** Destinations that it applies to. */
  readonly to: Prefix;
  /** Sources that it applies to (IPv6 only); absent for all. */
  readonly from?: Prefix;
  /** Output interface; `null` for a route without one, such as `blackhole`. */
  readonly dev: string | null;
  /** Name of its table; the number of a table without a name. */
  readonly table: string;
  /** Of two routes with the same prefix, the kernel uses that with the lower metric. */
  readonly metric: number;
  /** The next hop is a gateway, not the destination itself. */
  readonly gateway?: boolean;
  /** Address of the gateway, if it has the family of the route. */
  readonly via?: Address;
  /** Next hops, if there are several; the kernel chooses one for each flow. */
  readonly hops?: readonly NextHop[];
  /** TOS that packets must have; absent for any. */
  readonly tos?: number;
  /** Router preference among IPv6 routes of the same metric; `medium` if absent. */
  readonly preference?: "low" | "high";
  /** The route sets a realm. With any realm, the kernel looks up the source of every packet (fib_num_tclassid_users). */
  readonly realm?: boolean;
  /** Source address that the kernel prefers for packets of the host; `null` if none is set. */
  readonly source: Address | null;
  /** Inferred by fwcheck, not listed by the host. */
  readonly inferred?: boolean;
}

/** One of several next hops of a route. */
export interface NextHop {
  /** Output interface. */
  readonly dev: string;
  /** The next hop is a gateway. */
  readonly gateway: boolean;
  /** Address of the gateway, if it has the family of the route. */
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
  /** Sources that it matches; `null` for all. */
  readonly from: Prefix | null;
  /** Destinations that it matches; `null` for all. */
  readonly to: Prefix | null;
  /** Input interface; `null` for any, `lo` for packets of the host. */
  readonly iif: string | null;
  /** Interface a socket is bound to; `null` for any. */
  readonly oif: string | null;
  /** Mark of the packet under a mask; `null` for any. */
  readonly mark: { readonly value: number; readonly mask: number } | null;
  /** Value of the TOS byte under a mask; `null` for any. */
  readonly tos: { readonly value: number; readonly mask: number } | null;
  /** First and last user id of the sending socket; `null` for any. */
  readonly uid: readonly [number, number] | null;
  /** Matches packets of a VRF and looks up the table of the VRF (`l3mdev`). */
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
  /** Routes with this prefix length or a shorter one are skipped; `null` for none. */
  readonly suppress: number | null;
  /** Routes over an interface of this group are skipped; `null` for none. */
  readonly suppressGroup: number | null;
  /** The rule sets a realm, as for a route. */
  readonly realm?: boolean;
  /** Condition that fwcheck does not evaluate (`tun_id`); else `null`. */
  readonly beyond: string | null;
}
