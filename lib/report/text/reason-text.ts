/**
 * Sentences of reasons: why a value is unknown, why a path ends outside the rules, why the result for a packet set is not
 * certain. They contain names from the inputs; escape them before printing.
 */
import type { UnknownReason } from "../../packet/unknown-reason.ts";
import type { EndReason } from "../../path/end-reason.ts";
import type { Uncertainty } from "../../reach/uncertainty.ts";
import type { DropReason, RulePlace } from "../../rules/effect.ts";

/** Returns why the inputs do not determine a value. */
export function unknownReasonText(reason: UnknownReason): string {
  switch (reason.code) {
    case "extension":
      return reason.text;
    case "unknown-match":
      return `fwcheck does not know the ${reason.what}`;
    case "unknown-target":
      return `fwcheck does not know the target ${reason.target}`;
    case "field-missing":
      return `the packet has no value for ${reason.field}`;
    case "set-missing":
      return `the ipset ${reason.set} is not known (give it with --ipset)`;
    case "set-changes":
      return `rules change the ipset ${reason.set}`;
    case "set-bitmask":
      return "a range under a bitmask is not worked out";
    case "set-mac":
      return "the destination's MAC address is not part of the packet";
    case "set-bridge-port":
      return "bridge ports of a set are not looked up";
    case "multicast-groups":
      return "which multicast groups the host has joined is not known (ip maddr)";
    case "next-hop":
      return "which of a route's next hops the kernel takes is not known";
    case "routing-rule-unfollowed":
      return `${reason.selector ?? "its action"} of the rule is not followed`;
    case "address-type":
      return "where addresses lead depends on a rule of policy routing that is not followed";
    case "unreachable-addresses":
      return "which addresses have no route is not known (ip -j route)";
    case "neighbours":
      return `the rules drop neighbour discovery on ${reason.interface}`;
    case "may-drop":
      return `${reason.by} is not read, and it may drop the packet`;
    case "may-change":
      return `${reason.by} is not read, and it may change or translate the packet`;
    case "prepared-in-raw":
      return "what raw sees of a connection that it prepares is not followed";
    case "chain-missing":
      return `chain ${reason.chain} is not declared`;
    case "chain-order":
      return `${reason.chains.join(" and ")} have the same priority at ${reason.hook}, and the inputs do not show which runs first (nft list hooks does)`;
    case "jump-loop":
      return `a loop of jumps leads back to ${reason.chain}`;
  }
}

/** `filter INPUT rule 3`. */
export const rulePlaceText = ({ table, chain, rule }: RulePlace): string => `${table} ${chain} rule ${rule}`;

/** Returns why a rule without the target DROP takes a packet. */
export const dropReasonText = (reason: DropReason): string =>
  reason.code === "target-keeps"
    ? reason.text
    : `${rulePlaceText(reason.at)}: ${reason.match} throws away ${reason.packet}`;

const MARTIAN_SOURCES = {
  "multicast-or-broadcast": "a multicast or broadcast source",
  loopback: "a loopback address from outside",
  none: "no source address",
  "not-unicast": "no unicast address as source",
  own: "one of the host's own addresses as source, from outside",
} as const;

/** Returns why the path of a packet ends where no rule and no policy decides. */
export function endReasonText(reason: EndReason): string {
  switch (reason.code) {
    case "no-route":
      return "no route leads there";
    case "route-type":
      return `a route says ${reason.type}`;
    case "routing-rule":
      return `a rule of policy routing says ${reason.action}`;
    case "forwarding-off":
      return "forwarding is switched off (sysctl)";
    case "martian-source":
      return `${MARTIAN_SOURCES[reason.source]} (martian source)`;
    case "martian-destination":
      return "a loopback address from outside (martian destination)";
    case "zero-address":
      return "no address at all (martian)";
    case "rp-filter":
      return "its source is not reached by the interface it came in by (rp_filter)";
    case "group-not-joined":
      return "a multicast group that the host has not joined";
    case "group-interface":
      return "which interface a group is sent by is not known";
    case "no-sending-address":
      return "no address to send from";
    case "loopback-leaves":
      return "a loopback address does not leave the host";
    case "loopback-unreceived":
      return "sent to the loopback interface, where no socket receives it";
    case "socket-unrouted":
      return "TPROXY gave it to a socket, and no route leads to this host";
    case "fragment-waits":
      return reason.waitsFor === "host"
        ? "a fragment for the host waits for the rest"
        : "connection tracking waits for the rest of the fragments";
    case "other-host":
      return "a frame for another host";
    case "frame-not-forwarded":
      return "a frame that was not sent to this host is not forwarded";
    case "unicast-in-multicast-frame":
      return "a unicast packet in a multicast or broadcast frame (drop_unicast_in_l2_multicast)";
    case "ttl-ends":
      return "its time to live ends here";
    case "ipv6-disabled":
      return "IPv6 is switched off where it came in (sysctl)";
    case "ipv6-loopback":
      return "::1 from outside";
    case "multicast-source":
      return "a multicast source";
    case "host-group":
      return "a multicast group that does not leave its host";
    case "no-source-address":
      return "no source address";
    case "link-local-source":
      return "a link-local source does not leave its link";
    case "no-neighbour":
      return `the rules drop neighbour discovery on ${reason.interface}, and no neighbour there is known otherwise`;
    case "bridged-past-iptables":
      return "bridged past iptables (net.bridge.bridge-nf-call-iptables is 0)";
    case "bridged-to-group":
      return "a translation to a multicast group on a bridge is not followed";
    case "unfollowed-master":
      return reason.kind === "vrf"
        ? `what the VRF ${reason.interface} makes of its packets is not followed`
        : `${reason.interface} is neither a bridge nor a bond, and what it makes of its packets is not followed`;
    case "too-many-orders":
      return `many base chains have the same priority at ${reason.hook}, and the inputs do not show their order (nft list hooks does)`;
    case "unread-drop":
      return `${reason.by}, which is not read`;
    case "may-change":
      return unknownReasonText(reason);
    case "reply-tuple-taken":
      return "another connection already expects the same replies";
    case "source-may-be-taken":
      return "an earlier packet is undecided, and its connection may have the address and port that this one would get";
    case "match-drops":
    case "target-keeps":
      return dropReasonText(reason);
  }
}

/** Returns why the result for a packet set is not certain. */
export function uncertaintyText(reason: Uncertainty): string {
  switch (reason.code) {
    case "value-not-tracked":
      return `the value of ${reason.field} after a rule changed it is not tracked`;
    case "too-many-values":
      return `a translation maps more than ${reason.limit} values of ${reason.field} to other values`;
    case "kernel-chooses":
      return `the kernel chooses the ${reason.what}`;
    case "nested-too-deep":
      return `${reason.table} ${reason.chain}: chains nested more than ${reason.levels} deep that change packets are not followed`;
    case "match-drops":
    case "target-keeps":
      return dropReasonText(reason);
    default:
      return unknownReasonText(reason);
  }
}
