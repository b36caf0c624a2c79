/**
 * Ports and their masters. A port hands its packets to its bridge. Packets to another port are switched, not routed: they
 * pass iptables only if br_netfilter is loaded and enabled (net/bridge/br_netfilter_hooks.c). The port of a bond is never
 * visible (bond_handle_frame). Packets of a VRF pass PREROUTING twice (vrf_l3_rcv), which is not followed.
 */

import { callsIptables, mastersOf } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { prefixRange } from "../packet/address.ts";
import { type Family, type Field, type Range, type Scalar, UNNAMED_BRIDGE_PORT } from "../packet/field.ts";
import { ANY, and, is, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { Case } from "./decision-list.ts";
import type { EndReason } from "./end-reason.ts";

/** Entry of a packet. */
export interface Entry {
  /** Fields that change when a port hands the packet to its bridge. */
  readonly changes: readonly (readonly [Field, Scalar])[];
  /**
   * Properties of the bridge of the input interface, if any. The name is missing: bridges that treat packets alike are one
   * entry, which is walked once. `bridgeCases` gives the name where the path depends on it.
   */
  readonly bridge: BridgeKind | null;
  /** Reason why the packet is not followed; else `null`. */
  readonly unfollowed: EndReason | null;
}

export interface BridgeKind {
  /** The bridge calls iptables before the bridging decision. */
  readonly calls: boolean;
}

export interface Bridge {
  readonly name: string;
  /** Output port of a packet that another port received. */
  readonly physout: string;
}

/** Returns the known ports of each bridge. */
function portsOf(host: Host): Map<string, string[]> {
  const others = new Set(
    (["bond", "vrf", "other"] as const).flatMap((what) => mastersOf(host.interfaces, what)),
  );
  const ports = new Map(host.bridges.map((name): [string, string[]] => [name, []]));
  for (const { name, master } of host.interfaces)
    if (master !== null && !others.has(master)) ports.set(master, [...(ports.get(master) ?? []), name]);
  return ports;
}

/** Returns the interfaces whose packets are not followed (VRFs and others), each with the reason. */
export function unfollowedOf(host: Host): ReadonlyMap<string, EndReason> {
  const of = (kind: "vrf" | "other"): (readonly [string, EndReason])[] =>
    mastersOf(host.interfaces, kind).map((name) => [
      name,
      { code: "unfollowed-master", interface: name, kind },
    ]);
  return new Map([...of("vrf"), ...of("other")]);
}

/** Returns the entries of packets by input interface. Without sysctls, br_netfilter counts as enabled. */
export function entryCases(host: Host, family: Family): Case<Entry>[] {
  const unfollowed = unfollowedOf(host);
  const master = new Map(host.interfaces.map((i) => [i.name, i.master]));
  /** Returns the reason why packets of an interface are not followed. */
  const beyond = (name: string): EndReason | null =>
    unfollowed.get(name) ?? unfollowed.get(master.get(name) ?? "") ?? null;
  const bonds = new Set(mastersOf(host.interfaces, "bond"));
  /** Returns the bond of an interface, or its own name; a bond may be a port of a bridge. */
  const top = (name: string): string => {
    const above = master.get(name);
    return above !== null && above !== undefined && bonds.has(above) ? above : name;
  };
  const cases = [...portsOf(host)].flatMap(([name, ports]): Case<Entry>[] => {
    const calls = callsIptables(host, name, family);
    const entry = (in_: string, physin: string, more: Predicate): Case<Entry> => {
      const changes = [
        ...(in_ === name ? [] : [["in", name] as const]),
        ...(calls ? [["physin", physin] as const] : []),
      ];
      return {
        when: and(is("in", in_), more),
        outcome: { changes, bridge: { calls }, unfollowed: beyond(name) },
      };
    };
    const bonded = host.interfaces.map((i) => i.name).filter((each) => top(each) !== each);
    return [
      ...ports.map((port) => entry(port, port, ANY)),
      ...bonded.filter((each) => ports.includes(top(each))).map((each) => entry(each, top(each), ANY)),
      // A packet description may name the bridge and the port.
      ...ports.map((port) => entry(name, port, is("physin", port))),
      entry(name, UNNAMED_BRIDGE_PORT, ANY),
    ];
  });
  const others = host.interfaces.flatMap(({ name }): Case<Entry>[] => {
    const by = top(name);
    const reason = beyond(by);
    return by === name && reason === null
      ? []
      : [{ when: is("in", name), outcome: { changes: [["in", by]], bridge: null, unfollowed: reason } }];
  });
  return [...cases, ...others, { when: ANY, outcome: { changes: [], bridge: null, unfollowed: null } }];
}

/** Returns the bridge that received a packet, by its current input interface and, of a bridge of two ports, its input port. */
export const bridgeCases = (host: Host): Case<Bridge>[] =>
  [...portsOf(host)].flatMap(([name, ports]): Case<Bridge>[] => {
    const [one, two] = ports.length === 2 ? ports : [];
    const between = (from: string | undefined, physout: string | undefined): Case<Bridge>[] =>
      from === undefined || physout === undefined
        ? []
        : [{ when: and(is("in", name), is("physin", from)), outcome: { name, physout } }];
    return [
      ...between(one, two),
      ...between(two, one),
      { when: is("in", name), outcome: { name, physout: UNNAMED_BRIDGE_PORT } },
    ];
  });

/**
 * Returns true for packets that a bridge switches to another port: their destination is in a subnet of the bridge, so the
 * sender addresses the frame to the neighbour and not to the host.
 */
export function acrossCases(host: Host, family: Family): Case<boolean>[] {
  const cases = [...portsOf(host).keys()].flatMap((bridge): Case<boolean>[] => {
    const own = host.interfaces
      .flatMap((i) => (i.name === bridge ? i.addresses : []))
      .filter((a) => a.family === family);
    if (own.length === 0) return [];
    const apart = own.flatMap((a): Range[] => {
      // Exceptions: IPv4's broadcast address, and IPv6's subnet-router anycast address, which the host answers.
      const apart = prefixRange(a.prefix)[family === 4 ? 1 : 0];
      return [
        [a.address, a.address],
        [apart, apart],
      ];
    });
    const neighbours: Predicate = or(...own.map((a) => within("dst", [prefixRange(a.prefix)])));
    const when = and(is("in", bridge), neighbours, not(within("dst", apart)), is("pkttype", 0));
    return [{ when, outcome: true }];
  });
  return [...cases, { when: ANY, outcome: false }];
}
