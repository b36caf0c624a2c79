/**
 * Ports and their masters. A port hands what it gets to its bridge, and what is for another port is switched, not routed:
 * it passes iptables only where br_netfilter is loaded and told to call it (net/bridge/br_netfilter_hooks.c). A bond's
 * port never shows (bond_handle_frame). A VRF has its packets pass PREROUTING once more (vrf_l3_rcv), which is not followed.
 */
import { callsIptables, type Host, mastersOf } from "../host/host.ts";
import { prefixRange } from "../packet/address.ts";
import { type Family, type Field, type Range, type Scalar, UNNAMED_BRIDGE_PORT } from "../packet/field.ts";
import { ANY, and, is, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { Case } from "./decision-list.ts";

/** How a packet comes in. */
export interface Entry {
  /** What changes when a port hands it to its bridge. */
  readonly changes: readonly (readonly [Field, Scalar])[];
  /** The bridge it comes by, if any. */
  readonly bridge: Bridge | null;
  /** Why it is not followed, else `null`. */
  readonly unfollowed: string | null;
}

export interface Bridge {
  readonly name: string;
  /** Whether it calls iptables by itself, before the packet is anybody's. */
  readonly calls: boolean;
  /** The port that a packet goes out by which came by another. */
  readonly physout: string;
}

/** The bridges of a host and their ports, as far as they are known. */
function portsOf(host: Host): Map<string, string[]> {
  const others = new Set(
    (["bond", "vrf", "other"] as const).flatMap((what) => mastersOf(host.interfaces, what)),
  );
  const ports = new Map(host.bridges.map((name): [string, string[]] => [name, []]));
  for (const { name, master } of host.interfaces)
    if (master !== null && !others.has(master)) ports.set(master, [...(ports.get(master) ?? []), name]);
  return ports;
}

/** The interfaces that a packet can come or go by and not be followed: VRFs and their like, and why. */
export function unfollowedOf(host: Host): ReadonlyMap<string, string> {
  return new Map([
    ...mastersOf(host.interfaces, "vrf").map(
      (name) => [name, `what the VRF ${name} makes of its packets is not followed`] as const,
    ),
    ...mastersOf(host.interfaces, "other").map(
      (name) =>
        [
          name,
          `${name} is neither a bridge nor a bond, and what it makes of its packets is not followed`,
        ] as const,
    ),
  ]);
}

/** How packets come in, by their interface. br_netfilter is taken to call iptables where no sysctl was given. */
export function entryCases(host: Host, family: Family): Case<Entry>[] {
  const unfollowed = unfollowedOf(host);
  const master = new Map(host.interfaces.map((i) => [i.name, i.master]));
  /** Why what comes by an interface is not followed. */
  const beyond = (name: string): string | null =>
    unfollowed.get(name) ?? unfollowed.get(master.get(name) ?? "") ?? null;
  const bonds = new Set(mastersOf(host.interfaces, "bond"));
  /** Each interface by its bond's name, so that a bond may be a port of a bridge. */
  const top = (name: string): string => {
    const above = master.get(name);
    return above !== null && above !== undefined && bonds.has(above) ? above : name;
  };
  const cases = [...portsOf(host)].flatMap(([name, ports]): Case<Entry>[] => {
    const calls = callsIptables(host, name, family);
    const entry = (in_: string, physin: string, more: Predicate): Case<Entry> => {
      const others = ports.filter((port) => port !== physin);
      const physout = ports.length === 2 && others.length === 1 ? others[0]! : UNNAMED_BRIDGE_PORT;
      const changes = [["in", name] as const, ...(calls ? [["physin", physin] as const] : [])];
      return {
        when: and(is("in", in_), more),
        outcome: { changes, bridge: { name, calls, physout }, unfollowed: beyond(name) },
      };
    };
    const bonded = host.interfaces.map((i) => i.name).filter((each) => top(each) !== each);
    return [
      ...ports.map((port) => entry(port, port, ANY)),
      ...bonded.filter((each) => ports.includes(top(each))).map((each) => entry(each, top(each), ANY)),
      // Where the bridge alone is named, its port may be, too.
      ...ports.map((port) => entry(name, port, is("physin", port))),
      entry(name, UNNAMED_BRIDGE_PORT, ANY),
    ];
  });
  const others = host.interfaces.flatMap(({ name }): Case<Entry>[] => {
    const by = top(name);
    const why = beyond(by);
    return by === name && why === null
      ? []
      : [{ when: is("in", name), outcome: { changes: [["in", by]], bridge: null, unfollowed: why } }];
  });
  return [...cases, ...others, { when: ANY, outcome: { changes: [], bridge: null, unfollowed: null } }];
}

/**
 * Whether what came in by a bridge is for another of its ports: what is for a neighbour of the bridge's own addresses,
 * since such a neighbour is asked for its hardware address, not the host for a route.
 */
export function acrossCases(host: Host, family: Family): Case<boolean>[] {
  const cases = [...portsOf(host).keys()].flatMap((bridge): Case<boolean>[] => {
    const own = host.interfaces
      .flatMap((i) => (i.name === bridge ? i.addresses : []))
      .filter((a) => a.family === family);
    if (own.length === 0) return [];
    const apart = own.flatMap((a): Range[] => {
      // IPv4's last address is everybody's, and for IPv6's first one, the routers', the host answers.
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
