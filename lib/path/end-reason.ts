/**
 * Reasons why the path of a packet ends where no rule and no policy decides. `lib/report/text` has the sentences, and the
 * code that decides names the function of the kernel.
 */
import type { DropReason } from "../rules/effect.ts";
import type { Case } from "./decision-list.ts";

/** Reason why a path ends outside the rules. */
export type EndReason = RoutingReason | HeaderReason | UnfollowedReason | ConnectionReason | DropReason;

/** Reason of the routing decision. */
export type RoutingReason =
  /** No route leads to the destination. */
  | { readonly code: "no-route" }
  /** The route is of a type that delivers nothing: `blackhole`, `unreachable`. */
  | { readonly code: "route-type"; readonly type: string }
  /** A rule of policy routing refuses the packet. */
  | { readonly code: "routing-rule"; readonly action: string }
  /** The host does not forward (sysctl). */
  | { readonly code: "forwarding-off" }
  /** The kernel refuses the source address on arrival. */
  | {
      readonly code: "martian-source";
      readonly source: "multicast-or-broadcast" | "loopback" | "none" | "not-unicast" | "own";
    }
  /** A packet from outside is for a loopback address. */
  | { readonly code: "martian-destination" }
  /** Source or destination is 0.0.0.0. */
  | { readonly code: "zero-address" }
  /** The source is not reached by the input interface. */
  | { readonly code: "rp-filter" }
  /** The host has not joined the multicast group. */
  | { readonly code: "group-not-joined" }
  /** The interface by which the host sends to a group is not known. */
  | { readonly code: "group-interface" }
  /** The host cannot send from this source address. */
  | { readonly code: "no-sending-address" }
  /** A loopback address does not leave the host. */
  | { readonly code: "loopback-leaves" }
  /** A packet returned by the loopback interface, and no socket receives it. */
  | { readonly code: "loopback-unreceived" }
  /** TPROXY gave the packet to a socket, and no route leads to the host. */
  | { readonly code: "socket-unrouted" };

/** Reason in the header, the frame or the link. */
export type HeaderReason =
  /** A fragment waits for the others: for the host that receives it, or for connection tracking. */
  | { readonly code: "fragment-waits"; readonly waitsFor: "host" | "conntrack" }
  /** The frame is addressed to another host. */
  | { readonly code: "other-host" }
  /** The frame is not addressed to this host alone, so it is not forwarded. */
  | { readonly code: "frame-not-forwarded" }
  /** A multicast or broadcast frame contains a unicast packet (drop_unicast_in_l2_multicast). */
  | { readonly code: "unicast-in-multicast-frame" }
  /** The time to live ends here. */
  | { readonly code: "ttl-ends" }
  /** IPv6 is disabled on the input interface (sysctl). */
  | { readonly code: "ipv6-disabled" }
  /** A packet from outside has the address ::1. */
  | { readonly code: "ipv6-loopback" }
  /** IPv6: the source is a multicast address. */
  | { readonly code: "multicast-source" }
  /** The group does not leave its host. */
  | { readonly code: "host-group" }
  /** IPv6: the source is ::, and the packet would be forwarded. */
  | { readonly code: "no-source-address" }
  /** A link-local source does not leave its link. */
  | { readonly code: "link-local-source" }
  /** The rules drop neighbour discovery on an interface, and no neighbour there is known otherwise. */
  | { readonly code: "no-neighbour"; readonly interface: string };

/** Reason why fwcheck does not follow a packet further. */
export type UnfollowedReason =
  /** A bridge switches the packet past iptables. */
  | { readonly code: "bridged-past-iptables" }
  /** A bridge translates the destination to a group. */
  | { readonly code: "bridged-to-group" }
  /** Packets of a VRF, or of a master that is neither a bridge nor a bond. */
  | { readonly code: "unfollowed-master"; readonly interface: string; readonly kind: "vrf" | "other" }
  /** A firewall that was not read drops the packet. */
  | { readonly code: "unread-drop"; readonly by: string }
  /** A firewall that was not read may change or translate the packet. */
  | { readonly code: "may-change"; readonly by: string }
  /** Chains of one priority have an unknown order, and there are too many orders to follow. */
  | { readonly code: "too-many-orders"; readonly hook: string };

/** Reason of connection tracking. */
export type ConnectionReason =
  /** Another connection expects the same replies (nf_conntrack_confirm). */
  | { readonly code: "reply-tuple-taken" }
  /** An earlier packet is undecided, and its connection may have the source that this one would get. */
  | { readonly code: "source-may-be-taken" };

/** Cases with the reason why a packet goes no further; `null` for a packet that does. */
export type RefusalCases = readonly Case<EndReason | null>[];
