/** Predicates of the packets from outside and from containers, by the interfaces they come in by. */
import type { Range } from "../packet/field.ts";
import { not, type Predicate, within } from "../packet/predicate.ts";
import { containerInputs, outsidePorts } from "./bridge-ports.ts";
import type { Host } from "./host.ts";

/** Returns true if the interfaces were inferred, not listed. */
export const interfacesInferred = (host: Host): boolean =>
  host.interfaces.some((i) => i.addresses.some((a) => a.invented === true));

/** Returns the interfaces to the outside: outside ports of container bridges, and all but loopback, container bridges and other ports. */
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
 * Returns the names that are not counted as input interfaces: loopback, and the ports of bridges, whose packets have the
 * bridge as input interface. For a container bridge with outside ports it is the reverse: its ports show the origin.
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

/** Packets that arrive by an interface, from outside or from containers. */
export const comesIn = (host: Host): Predicate => not(named(mute(host)));

/**
 * Packets that arrive on an interface of some of the hosts. A port of a bridge that another host does not list is left out:
 * its packets have the bridge as input interface, and engines give the ports of each container a new name.
 */
export function comesInto(hosts: readonly Host[]): Predicate {
  const mutes = hosts.map((host) => ({
    names: new Set(mute(host)),
    listed: new Set(host.interfaces.map(({ name }) => name)),
  }));
  const names = new Set(mutes.flatMap((each) => [...each.names]));
  return not(
    named([...names].filter((name) => mutes.every((each) => each.names.has(name) || !each.listed.has(name)))),
  );
}

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
