/**
 * The host that the rules live on: interfaces, addresses, routes, sysctls, ipsets, containers. Missing inputs are
 * inferred; `inferences` lists what was.
 */

import type { SourceDiagnostic } from "../iptables/load.ts";
import type { Prefix } from "../packet/address.ts";
import type { Address, Family } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";
import type { TableId } from "../rules/table-name.ts";
import type { HostDoubt } from "./host-doubt.ts";
import type { HostInference } from "./inference.ts";
import type { Route, RoutingRule } from "./routes.ts";

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
  /** Name, as iptables matches it with `-i` and `-o`. */
  readonly name: string;
  /** Addresses of both families. */
  readonly addresses: readonly InterfaceAddress[];
  /** The interface that it is a port of: a bridge, unless `masters` of that interface names another kind. */
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

/** Container engine whose program printed a container or a network. */
export type Engine = "docker" | "podman";

/** A network of a container engine. */
export interface Network {
  /** Engine that the network belongs to; Docker if absent. */
  readonly engine?: Engine;
  /** Name in its engine. */
  readonly name: string;
  /** `bridge`, `macvlan`, `overlay` and so on. */
  readonly driver: string;
  /** Interface of a bridge network; `null` for other drivers. */
  readonly bridge: string | null;
  /** Prefixes of both families. */
  readonly subnets: readonly Prefix[];
  /** Created with `--internal`: the engine blocks its traffic to and from outside. */
  readonly internal: boolean;
  /** Gateway mode by family: `nat` by default, else `nat-unprotected`, `routed` or `isolated`. */
  readonly gateway: Readonly<Record<Family, string>>;
  /** Endpoints by the names that the engine gives them; the ingress sandbox of a swarm is not a container. */
  readonly endpoints: readonly { readonly name: string; readonly address: Address }[];
  /** Running containers that the engine lists in it, with those without an address; absent where it lists none by id. */
  readonly members?: readonly { readonly id: string; readonly name: string }[];
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

/** A container with its addresses and ports. */
export interface Container {
  /** Engine that runs it; Docker if absent. */
  readonly engine?: Engine;
  /** Name in its engine, without the leading slash. */
  readonly name: string;
  /** The engine's id of the container; absent if not given. */
  readonly id?: string;
  /** Its Compose project, else `null`. */
  readonly project: string | null;
  /** Its Compose service, or the service of a swarm, else `null`. */
  readonly service: string | null;
  /** It shares the host's network, so INPUT and OUTPUT govern it. */
  readonly hostNetwork: boolean;
  /** Addresses of both families on all its networks. */
  readonly addresses: readonly Address[];
  /** Its addresses by network, as the engine names the networks; absent where it has none. */
  readonly attached?: readonly { readonly network: string; readonly addresses: readonly Address[] }[];
  /** Ports of the host that the engine says it publishes. */
  readonly published: readonly {
    readonly family: Family;
    readonly proto: number;
    readonly hostPort: number;
    /** Port of the container that it leads to; absent if not given. */
    readonly containerPort?: number;
    /** The address of the host that the port is published on; `null` for all. */
    readonly address: Address | null;
  }[];
  /** All addresses were requested with `--ip` and do not change. */
  readonly fixed: boolean;
}

/** A process that holds a socket. */
export interface Process {
  /** Its `comm`, at most 15 bytes of any text. */
  readonly name: string;
  /** Process id on the host. */
  readonly pid: number;
  /** Docker's id of the container that it runs in; absent where it is not known to run in one. */
  readonly container?: string;
}

/** A listening TCP socket or an unconnected UDP socket of the host. */
export interface Socket {
  /** 4 or 6; a socket for both families is listed twice. */
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
  /** Interfaces, with their addresses. */
  readonly interfaces: readonly Interface[];
  /** Routes of all tables and both families. */
  readonly routes: readonly Route[];
  /** The families whose routes were given, not inferred. */
  readonly routed: readonly Family[];
  /** Rules of policy routing; without them tables local, main and default are looked up. */
  readonly rules?: readonly RoutingRule[];
  /** Sysctls by name with dots: `net.ipv4.ip_forward`. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** Networks of Docker and Podman; empty without their output. */
  readonly networks: readonly Network[];
  /** Containers of Docker and Podman; empty without their output. */
  readonly containers: readonly Container[];
  /** Settings of the Docker daemon. */
  readonly daemon: Daemon;
  /** The sockets that listen on the host itself; absent where they were not given. */
  readonly listening?: readonly Socket[];
  /** Container bridges, from the engines' networks or rules. */
  readonly bridges: readonly string[];
  /** Tables of nftables that a container engine fills of which fwcheck knows no name, by family and name: `ip myengine`. */
  readonly engineTables?: readonly TableId[];
  /** The bridges among `bridges` that belong to the engines of `engineTables`. */
  readonly declaredBridges?: readonly string[];
  /** Returns the packets that are in an ipset; `undefined` if the set is unknown. */
  member(set: string, sides: readonly ("src" | "dst")[], family: Family): Predicate | undefined;
  /** The elements of sets and maps may be any, so that answers hold for all of them, not only for those that are listed. */
  readonly setsVary?: boolean;
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
