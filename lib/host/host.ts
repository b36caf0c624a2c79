/**
 * The host that the rules live on: interfaces, addresses, routes, sysctls, ipsets, containers. Missing inputs are
 * inferred; `inferences` lists what was.
 */

import type { SourceDiagnostic } from "../iptables/load.ts";
import { familyOf, type Prefix, parsePrefix, prefixes, prefixRange } from "../packet/address.ts";
import type { Address, Family, Range, Scalar } from "../packet/field.ts";
import { normalizeRanges, not, type Predicate, within } from "../packet/predicate.ts";
import type { Facts } from "../rules/facts.ts";
import type { HostDoubt } from "./doubt.ts";
import type { HostInference } from "./inference.ts";
import { isContainerLink } from "./known/docker.ts";

/** An address of an interface. */
export interface InterfaceAddress {
  /** 4 or 6. */
  readonly family: Family;
  /** The address itself. */
  readonly address: Address;
  /** Its subnet. */
  readonly prefix: Prefix;
  /** Its subnet's broadcast address where one is set, else `null`. */
  readonly broadcast: Address | null;
  /** Its scope is link or host, so the kernel does not send to other addresses from it. */
  readonly narrow?: boolean;
  /** Its preferred lifetime is over (IPv6): the kernel prefers other source addresses. */
  readonly deprecated?: boolean;
  /** Temporary address for privacy (RFC 8981). */
  readonly temporary?: boolean;
  /** Invented by fwcheck in place of an unknown address of the host. */
  readonly invented?: boolean;
}

/** A network interface of the host. */
export interface Interface {
  /** As iptables matches it with `-i` and `-o`. */
  readonly name: string;
  /** All of both families. */
  readonly addresses: readonly InterfaceAddress[];
  /** The interface it is a port of: a bridge, unless that one's `masters` says otherwise. */
  readonly master: string | null;
  /**
   * Kind of a master interface, if known: a bridge switches between its ports, a bond (or team) receives their packets as
   * its own, a VRF routes them by its own tables.
   */
  readonly masters?: "bridge" | "bond" | "vrf" | "other";
  /** It is switched off. */
  readonly down?: boolean;
  /** Its group, where that is known. */
  readonly group?: number;
  /** Type of its link (`ether`, `loopback`, `none`, as in `ip -j addr`); absent if unknown. */
  readonly link?: string;
  /**
   * Its kind of device as `ip -d -j link` names it in `info_kind` (`veth`, `vlan`, `tun`), `physical` where it names none;
   * absent where no detailed listing was given.
   */
  readonly kind?: string;
  /** The bridge forwards no frames of this port (`state` of `ip -d link`, STP); absent if it does or if that is unknown. */
  readonly blocked?: boolean;
  /** Families whose iptables this bridge calls, independent of the sysctl (`nf_call_iptables` of ip-link(8)). */
  readonly calls?: readonly Family[];
}

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

/** A Docker network. */
export interface Network {
  /** As Docker knows it. */
  readonly name: string;
  /** `bridge`, `macvlan`, `overlay` and so on. */
  readonly driver: string;
  /** Interface of a bridge network; `null` for other drivers. */
  readonly bridge: string | null;
  /** Prefixes of both families. */
  readonly subnets: readonly Prefix[];
  /** Made with `--internal`: Docker keeps it from the outside. */
  readonly internal: boolean;
  /** Gateway mode by family: `nat` by default, else `nat-unprotected`, `routed` or `isolated`. */
  readonly gateway: Readonly<Record<Family, string>>;
  /** Endpoints by the names that Docker gives them; the ingress sandbox of a swarm is not a container. */
  readonly endpoints: readonly { readonly name: string; readonly address: Address }[];
}

/** Settings of the Docker daemon; unknown ones are absent. */
export interface Daemon {
  /** The firewall backend: `iptables` or `nftables`. */
  readonly backend?: string;
  /** It writes iptables rules. */
  readonly iptables?: boolean;
  /** docker-proxy listens on published ports. */
  readonly proxy?: boolean;
}

/** A container, as far as its network goes. */
export interface Container {
  /** As Docker knows it, without the slash. */
  readonly name: string;
  /** Docker's id of the container; absent if not given. */
  readonly id?: string;
  /** Its Compose project, else `null`. */
  readonly project: string | null;
  /** Its Compose service, or the service of a swarm, else `null`. */
  readonly service: string | null;
  /** It shares the host's network, so INPUT and OUTPUT govern it. */
  readonly hostNetwork: boolean;
  /** All of both families, on all its networks. */
  readonly addresses: readonly Address[];
  /** Ports of the host that Docker says it publishes. */
  readonly published: readonly {
    readonly family: Family;
    readonly proto: number;
    readonly hostPort: number;
    /** The address of the host it is published on; `null` for every one. */
    readonly address: Address | null;
  }[];
  /** All addresses were requested with `--ip` and do not change. */
  readonly fixed: boolean;
}

/** A process that holds a socket. */
export interface Process {
  /** Its `comm`, at most 15 bytes of any text. */
  readonly name: string;
  /** Its number on the host. */
  readonly pid: number;
  /** Docker's id of the container that it runs in; absent where it is not known to run in one. */
  readonly container?: string;
}

/** A listening TCP socket or an unconnected UDP socket of the host. */
export interface Socket {
  /** 4 or 6: a socket that serves both is two. */
  readonly family: Family;
  /** Protocol number: TCP or UDP. */
  readonly proto: number;
  /** The address that it is bound to; `null` for every address of the host. */
  readonly address: Address | null;
  /** The interface that it is bound to; `null` for any. */
  readonly device: string | null;
  /** Its port. */
  readonly port: number;
  /** The processes that hold it; none where `ss` does not name them (without root, or in another namespace). */
  readonly processes: readonly Process[];
}

/** A host, given or inferred. */
export interface Host {
  /** With their addresses. */
  readonly interfaces: readonly Interface[];
  /** Of all tables and both families. */
  readonly routes: readonly Route[];
  /** The families whose routes were given, not inferred. */
  readonly routed: readonly Family[];
  /** Rules of policy routing; without them tables local, main and default are looked up. */
  readonly rules?: readonly RoutingRule[];
  /** By name with dots: `net.ipv4.ip_forward`. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** From Docker; empty without its output. */
  readonly networks: readonly Network[];
  /** From Docker; empty without its output. */
  readonly containers: readonly Container[];
  /** Settings of the Docker daemon. */
  readonly daemon: Daemon;
  /** The sockets that listen on the host itself; absent where they were not given. */
  readonly listening?: readonly Socket[];
  /** Container bridges, from Docker's networks or rules. */
  readonly bridges: readonly string[];
  /** Returns the packets that are in an ipset; `undefined` if the set is unknown. */
  member(set: string, sides: readonly ("src" | "dst")[], family: Family): Predicate | undefined;
  /** Returns the members of a list:set; none for other types. */
  parts(set: string): readonly string[];
  /** Facts that were inferred from other inputs, as codes with typed fields. */
  readonly inferences: readonly HostInference[];
  /** Reasons why the inputs may be incomplete; every answer must include them. */
  readonly doubts: readonly HostDoubt[];
  /** The given rules are all that filters on the host: a snapshot or the caller says so. */
  readonly complete: boolean;
  /** Lines of the host's files that could not be read. */
  readonly diagnostics: readonly SourceDiagnostic[];
}

/** A sysctl as a number; `fallback` where it is not given. */
export function sysctl(host: Host, name: string, fallback: number): number {
  const text = host.sysctls.get(name);
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : fallback;
}

/** Name of the container that has this address, or `null`. */
export const containerAt = (host: Host, address: Address): Container | null =>
  host.containers.find((c) => c.addresses.includes(address)) ?? null;

/** The ports of a container bridge, by what is at their other end. */
export interface BridgePorts {
  /** Containers of this Docker. */
  readonly containers: readonly string[];
  /** Anything else: the network of a physical device, a virtual machine, another network namespace. */
  readonly outside: readonly string[];
}

/**
 * Returns the ports of a bridge. A port is a container's when its name is one that Docker gives and its device is a veth,
 * as far as the listing says; nothing comes in by a dummy device.
 */
export function bridgePorts(host: Pick<Host, "interfaces">, bridge: string): BridgePorts {
  const ports = host.interfaces.filter((i) => i.master === bridge && i.kind !== "dummy");
  const isContainer = ({ name, kind }: Interface): boolean =>
    isContainerLink(name) && (kind === undefined || kind === "veth");
  const names = (which: boolean): string[] =>
    ports.filter((i) => isContainer(i) === which).map((i) => i.name);
  return { containers: names(true), outside: names(false) };
}

/** Ports of container bridges by which packets come in from outside, each with its bridge. */
export const outsidePorts = (host: Host): ReadonlyMap<string, string> =>
  new Map(
    host.bridges.flatMap((bridge) =>
      bridgePorts(host, bridge).outside.map((port) => [port, bridge] as const),
    ),
  );

/**
 * Interfaces by which packets of a bridge's containers come in. Where a bridge has outside ports, its own name does not
 * tell containers from others, so its containers' ports are named.
 */
export function containerInputs(host: Host, bridge: string): readonly string[] {
  const { containers, outside } = bridgePorts(host, bridge);
  return outside.length === 0 ? [bridge] : containers;
}

/** Returns true if the interfaces were inferred, not listed. */
export const interfacesInferred = (host: Host): boolean =>
  host.interfaces.some((i) => i.addresses.some((a) => a.invented === true));

/** The interfaces where outsiders come in: neither loopback nor container bridges, and no port but a container bridge's outside port. */
export const outsideInterfaces = (host: Host): string[] => {
  const ports = outsidePorts(host);
  return host.interfaces
    .filter(
      (i) => i.name !== "lo" && !host.bridges.includes(i.name) && (i.master === null || ports.has(i.name)),
    )
    .map((i) => i.name);
};

const named = (names: readonly string[]): Predicate =>
  within(
    "in",
    names.map((name): Range => [name, name]),
  );

/**
 * Interfaces by which no packet comes in: a port hands it to its bridge first, and what comes by loopback the host sent
 * itself. A bridge with outside ports gives way to its ports, which tell its containers from others.
 */
function mute(host: Host): string[] {
  const ports = outsidePorts(host);
  const shared = new Set(ports.values());
  return [
    "",
    "lo",
    ...shared,
    ...host.interfaces
      .filter((i) => i.master !== null && (!shared.has(i.master) || i.kind === "dummy"))
      .map((i) => i.name),
  ];
}

/** Names of the interfaces that are this to their ports. */
export const mastersOf = (interfaces: readonly Interface[], what: Interface["masters"]): string[] =>
  interfaces.filter((i) => i.masters === what).map((i) => i.name);

/** Packets that arrive by an interface, from outside or from containers. */
export const comesIn = (host: Host): Predicate => not(named(mute(host)));

/** Packets from containers of a bridge. */
export const fromContainers = (host: Host, bridge: string): Predicate => named(containerInputs(host, bridge));

/**
 * Packets from outside: by any interface that is not a container bridge, unlisted ones included, because a policy also
 * applies to an interface that is created later.
 */
export const fromOutside = (host: Host): Predicate =>
  not(
    named([...mute(host), ...host.bridges.flatMap((bridge) => [bridge, ...containerInputs(host, bridge)])]),
  );

/** Returns true if a bridge passes its frames to iptables (br_netfilter): by the sysctl, by its own setting, or if no sysctl is known. */
export function callsIptables(host: Host, bridge: string, family: Family): boolean {
  const name = family === 4 ? "net.bridge.bridge-nf-call-iptables" : "net.bridge.bridge-nf-call-ip6tables";
  if (host.sysctls.size === 0) return true;
  // The settings exist while the module br_netfilter is loaded; without it no bridge calls iptables.
  if (!host.sysctls.has(name)) return false;
  return (
    sysctl(host, name, 0) !== 0 ||
    (host.interfaces.find((i) => i.name === bridge)?.calls?.includes(family) ?? false)
  );
}

/**
 * Returns true if rules can distinguish frames of a bridge's outside port from frames of its containers. That requires
 * br_netfilter and at most one outside port: no rule distinguishes frames between two outside ports from frames for a container.
 */
export function tellsPorts(host: Host, bridge: string, family: Family): boolean {
  const { outside } = bridgePorts(host, bridge);
  return outside.length === 0 || (outside.length === 1 && callsIptables(host, bridge, family));
}

const LOOPBACK = { 4: prefixes(4, "127.0.0.0/8"), 6: prefixes(6, "::1/128") } as const;

/**
 * Address types of the host's own addresses in the kernel's table `local`: inet_addr_type (net/ipv4/fib_frontend.c). The
 * lowest address of a subnet is an ordinary one since Linux 5.14; the highest is its broadcast address.
 */
export function ownAddresses(
  host: Host,
  family: Family,
  device?: string,
): { local: Range[]; broadcast: Range[] } {
  const local: Range[] = device === undefined || device === "lo" ? [...LOOPBACK[family]] : [];
  const broadcast: Range[] = [];
  for (const each of host.interfaces) {
    if (device !== undefined && each.name !== device) continue;
    for (const a of each.addresses) {
      if (a.family !== family) continue;
      local.push([a.address, a.address]);
      if (a.broadcast !== null) broadcast.push([a.broadcast, a.broadcast]);
      else if (family === 4) {
        const [first, last] = prefixRange(a.prefix) as readonly [number, number];
        if (last - first >= 3) broadcast.push([last, last]);
      }
    }
  }
  for (const route of host.routes) {
    if (route.family !== family || (device !== undefined && route.dev !== device)) continue;
    if (route.type === "local") local.push(prefixRange(route.to));
    if (route.type === "broadcast") broadcast.push(prefixRange(route.to));
  }
  if (family === 4 && device === undefined) broadcast.push([0, 0], [0xffff_ffff, 0xffff_ffff]);
  if (family === 4 && (device === undefined || device === "lo")) broadcast.push([0x7fff_ffff, 0x7fff_ffff]);
  // The broadcast address of a local prefix is the longer route.
  return { local: without(local, broadcast), broadcast: normalizeRanges(broadcast) };
}

/** Subtracts ranges. */
function without(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  let rest = normalizeRanges(ranges);
  for (const [first, last] of normalizeRanges(holes))
    rest = rest.flatMap(([lo, hi]): Range[] => {
      // An address by itself is as long a route as a broadcast address, and was there first.
      if (last < lo || first > hi || lo === hi) return [[lo, hi]];
      const one = (typeof first === "bigint" ? 1n : 1) as never;
      return [
        ...(first > lo ? [[lo, ((first as number) - one) as Scalar] as Range] : []),
        ...(last < hi ? [[((last as number) + one) as Scalar, hi] as Range] : []),
      ];
    });
  return rest;
}

/** Returns the facts of the host that matches need, for one family; facts of routes and rules come from lib/path. */
export function factsOf(
  host: Host,
  family: Family,
): Omit<Facts, "reversePath" | "changing" | "addressIs" | "lengthens" | "rewritesOptions"> {
  return {
    family,
    interfaces: host.interfaces.map((i) => i.name),
    groupOf: (name) => host.interfaces.find((i) => i.name === name)?.group,
    bare(name) {
      const link = name === "lo" ? "loopback" : host.interfaces.find((i) => i.name === name)?.link;
      return link !== undefined && link !== "ether";
    },
    member: (set, sides) => host.member(set, sides, family),
  };
}

/** A prefix from trusted text of either family; `undefined` when it is none. */
export function readPrefix(text: string): { family: Family; prefix: Prefix } | undefined {
  const family = familyOf(text.replace(/\/.*$/, ""));
  const prefix = family === undefined ? undefined : parsePrefix(text, family);
  return family === undefined || prefix === undefined ? undefined : { family, prefix };
}
