/** Ports of container bridges: those of containers and those to the outside; br_netfilter. */
import { isInRanges, prefixRange } from "../packet/address.ts";
import type { Family } from "../packet/field.ts";
import { type Engine, type Host, type Interface, sysctl } from "./host.ts";
import { isContainerLink, isPodmanBridge } from "./known/interfaces.ts";

/** The ports of a container bridge, by what is at their other end. */
export interface BridgePorts {
  /** Containers of this host. */
  readonly containers: readonly string[];
  /** Anything else: the network of a physical device, a virtual machine, another network namespace. */
  readonly outside: readonly string[];
}

/** Members of a host that show whose bridges it has. */
type BridgeOwners = Pick<Host, "interfaces" | "networks" | "containers" | "declaredBridges">;

/**
 * Returns the engine that a container bridge belongs to: by its network, its name, or the containers in its subnet; `null` for
 * an engine of which only the table is known.
 */
export function engineOfBridge(
  { interfaces, networks, containers, declaredBridges }: BridgeOwners,
  bridge: string,
): Engine | null {
  if (declaredBridges?.includes(bridge) === true) return null;
  const network = networks.find((each) => each.bridge === bridge);
  if (network !== undefined) return network.engine ?? "docker";
  if (isPodmanBridge(bridge)) return "podman";
  const subnets = interfaces
    .filter(({ name }) => name === bridge)
    .flatMap(({ addresses }) => addresses.map(({ prefix }) => prefixRange(prefix)));
  const own = containers.filter((c) => c.addresses.some((address) => isInRanges(address, subnets)));
  return own.length > 0 && own.every(({ engine }) => engine === "podman") ? "podman" : "docker";
}

/**
 * Returns the ports of a bridge. A port belongs to a container if its engine gives such names, where these are known, and its
 * device is a veth or of unknown kind. No packet comes in by a dummy device.
 */
export function bridgePorts(host: BridgeOwners, bridge: string): BridgePorts {
  const engine = engineOfBridge(host, bridge);
  const ports = host.interfaces.filter((i) => i.master === bridge && i.kind !== "dummy");
  const isContainer = ({ name, kind }: Interface): boolean =>
    (engine === null || isContainerLink(name, engine)) && (kind === undefined || kind === "veth");
  const names = (which: boolean): string[] =>
    ports.filter((i) => isContainer(i) === which).map((i) => i.name);
  return { containers: names(true), outside: names(false) };
}

/** Returns true for a bridge whose ports are veth devices, as links of containers are, without a port of another kind. */
export function hasContainerLinks(interfaces: readonly Interface[], bridge: string): boolean {
  const ports = interfaces.filter(({ master }) => master === bridge);
  return ports.length > 0 && ports.every(({ kind }) => kind === "veth");
}

/** Ports of container bridges by which packets come in from outside, each with its bridge. */
export const outsidePorts = (host: Host): ReadonlyMap<string, string> =>
  new Map(
    host.bridges.flatMap((bridge) =>
      bridgePorts(host, bridge).outside.map((port) => [port, bridge] as const),
    ),
  );

/**
 * Returns the input interfaces of packets from a bridge's containers: the bridge, or its containers' ports if packets from
 * outside ports have the bridge as input interface, too.
 */
export function containerInputs(host: Host, bridge: string): readonly string[] {
  const { containers, outside } = bridgePorts(host, bridge);
  return outside.length === 0 ? [bridge] : containers;
}

/** Returns the names of the interfaces that are masters of a kind: bonds, VRFs, bridges. */
export const mastersOf = (interfaces: readonly Interface[], what: Interface["masters"]): string[] =>
  interfaces.filter((i) => i.masters === what).map((i) => i.name);

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
export function showsInputPorts(host: Host, bridge: string, family: Family): boolean {
  const { outside } = bridgePorts(host, bridge);
  return outside.length === 0 || (outside.length === 1 && callsIptables(host, bridge, family));
}
