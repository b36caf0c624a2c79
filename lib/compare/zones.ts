/** Zones of a host: the host itself, interfaces that lead outside, and networks of containers or single containers. */
import { type ProxyPort, proxyPorts } from "../audit/exposure.ts";
import { outsidePorts } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { ownAddresses } from "../host/own-addresses.ts";
import { fromContainers, outsideInterfaces } from "../host/packet-origin.ts";
import { isInRanges, LOOPBACK, prefixes, prefixRange } from "../packet/address.ts";
import type { Family, Range, Scalar } from "../packet/field.ts";
import { ANY, and, is, NEVER, not, or, type Predicate, within } from "../packet/predicate.ts";
import { decide } from "../path/decision-list.ts";
import { fibCases } from "../path/fib.ts";
import { rpfilterLookup } from "../path/routing-lookup.ts";

/** What a zone is. */
export type ZoneKind = "host" | "interface" | "network" | "container";

/** Part of what a host is connected to. */
export interface Zone {
  /** `host`: the host's own sockets. `interface`: whatever is behind it. */
  readonly kind: ZoneKind;
  /** Name of the interface, of the engine's network (of its bridge where the network is unknown) or of the container. */
  readonly name: string;
  /** Container bridges of a network or of a container. */
  readonly bridges: readonly string[];
  /** Addresses in this family that belong to it; `null` for all. */
  readonly addresses: readonly Range[] | null;
  /**
   * Ports of the host on which docker-proxy listens for its containers: packets that are delivered there reach them, too, in
   * IPv6 also those without an IPv6 address.
   */
  readonly proxied: readonly ProxyPort[];
}

/** The host itself. */
export const HOST_ZONE: Zone = { kind: "host", name: "host", bridges: [], addresses: null, proxied: [] };

/** Containers as zones of their own, or together with the others of their network. */
export type ZoneDetail = "network" | "container";

/** Returns the zones of a host in one family: the interfaces, the networks or containers, and the host last. */
export const zonesOf = (host: Host, family: Family, detail: ZoneDetail): Zone[] => [
  ...interfaceZones(host),
  ...(detail === "network" ? networkZones(host, family) : containerZones(host, family)),
  HOST_ZONE,
];

/** Returns the interfaces that lead outside. */
export const interfaceZones = (host: Host): Zone[] =>
  outsideInterfaces(host).map((name) => ({
    kind: "interface",
    name,
    bridges: [],
    addresses: null,
    proxied: [],
  }));

/** Returns the networks of containers. */
export function networkZones(host: Host, family: Family): Zone[] {
  const ports = proxyPorts({ family, host });
  return host.bridges.map((bridge) => {
    const inside = ([4, 6] as const).flatMap((each) => subnets(host, each, bridge));
    return {
      kind: "network",
      name: host.networks.find((network) => network.bridge === bridge)?.name ?? bridge,
      bridges: [bridge],
      addresses: null,
      proxied: ports.filter(({ ip }) => isInRanges(ip, inside)),
    };
  });
}

/** Returns the containers with an address on a container bridge, or with a port that docker-proxy serves. */
export function containerZones(host: Host, family: Family): Zone[] {
  const ports = proxyPorts({ family, host });
  const bridges = host.bridges.map((bridge) => [bridge, subnets(host, family, bridge)] as const);
  return host.containers.flatMap(({ name, hostNetwork, addresses }): Zone[] => {
    if (hostNetwork) return [];
    const own = addresses.filter((address) => (typeof address === "number" ? 4 : 6) === family);
    const on = bridges
      .filter(([, ranges]) => own.some((a) => isInRanges(a, ranges)))
      .map(([bridge]) => bridge);
    const proxied = ports.filter(({ ip }) => addresses.includes(ip));
    return on.length === 0 && proxied.length === 0
      ? []
      : [{ kind: "container", name, bridges: on, addresses: own.map((a): Range => [a, a]), proxied }];
  });
}

/** Returns the subnets of a bridge: those of its addresses and of the routes over it. */
const subnets = (host: Host, family: Family, bridge: string): Range[] => [
  ...host.interfaces
    .filter(({ name }) => name === bridge)
    .flatMap(({ addresses }) =>
      addresses.filter((a) => a.family === family).map(({ prefix }) => prefixRange(prefix)),
    ),
  ...host.routes
    .filter((r) => r.family === family && r.dev === bridge && r.type === "unicast")
    .map(({ to }) => prefixRange(to)),
];

/**
 * Returns the packets that docker-proxy receives on some of its ports and passes on.
 * @param now the value that a field has after translation; `undefined` where it is the one that was sent
 */
export function passedOn(
  proxied: readonly ProxyPort[],
  now: (field: "dst" | "dport") => Scalar | undefined = () => undefined,
): Predicate {
  const has = (field: "dst" | "dport", value: Scalar): Predicate => {
    const known = now(field);
    return known === undefined ? is(field, value) : known === value ? ANY : NEVER;
  };
  return or(
    ...proxied.map(({ proto, port, address }) =>
      and(is("proto", proto), has("dport", port), address === null ? ANY : has("dst", address)),
    ),
  );
}

/** Whose sources the packets of a zone have: its own, or those of somebody else. */
export type ZoneSources = "own" | "spoofed";

/** Returns the packets of a zone with its own sources, or with spoofed ones. */
export const packetsFrom = (host: Host, family: Family, zone: Zone, sources: ZoneSources): Predicate =>
  sources === "own" ? sentBy(host, family, zone) : spoofedBy(host, family, zone);

/**
 * Returns the packets that arrive from a zone although their source cannot be there: no route to it leads out by the interface
 * (the strict reverse path of RFC 3704, 2.2), or it is an address of the host. rp_filter is not considered.
 */
function spoofedBy(host: Host, family: Family, zone: Zone): Predicate {
  const { kind, name, bridges } = zone;
  if (kind === "host") return NEVER;
  // Packets of a bridge's port have the bridge as input interface, and routes lead out by the bridge.
  const inputs = kind === "interface" ? [outsidePorts(host).get(name) ?? name] : bridges;
  // Routes that were inferred count like given ones; the result names them.
  const behind = fibCases(host, family, rpfilterLookup(family, false, false)).map(({ when, outcome }) => ({
    when,
    outcome: outcome.kind === "unicast" && outcome.devs.some((dev) => inputs.includes(dev)) ? ANY : NEVER,
  }));
  return and(arrivedFrom(host, zone), not(decide(behind)), not(within("src", UNROUTED[family])));
}

/** Returns the packets that arrive from a zone, with any source. */
export const arrivedFrom = (host: Host, { kind, name, bridges }: Zone): Predicate =>
  kind === "interface" ? is("in", name) : or(...bridges.map((bridge) => fromContainers(host, bridge)));

/** Sources for which no route exists: hosts without an address yet, and neighbours by their link-local address. */
const UNROUTED: Readonly<Record<Family, readonly Range[]>> = {
  4: prefixes(4, "0.0.0.0/32"),
  6: prefixes(6, "::/128", "fe80::/10"),
};

/**
 * Returns the packets that a zone sends, as they arrive at the host. Of a network and of a container these are the packets
 * with its own addresses as source; other sources are a question of spoofing.
 */
function sentBy(host: Host, family: Family, { kind, name, bridges, addresses }: Zone): Predicate {
  const own = ownAddresses(host, family).local;
  const among = addresses === null ? ANY : within("src", addresses);
  switch (kind) {
    case "host":
      return and(within("src", own), not(within("src", LOOPBACK[family])), among);
    case "interface":
      return and(is("in", name), among);
    case "network":
    case "container":
      return and(
        or(
          ...bridges.map((bridge) =>
            and(fromContainers(host, bridge), within("src", subnets(host, family, bridge))),
          ),
        ),
        not(within("src", own)),
        among,
      );
  }
}
