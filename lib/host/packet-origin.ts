/** Predicates of the packets from outside and from containers, by the interfaces they come in by. */
import type { Range } from "../packet/field.ts";
import { not, type Predicate, within } from "../packet/predicate.ts";
import { containerInputs, outsidePorts } from "./bridge-ports.ts";
import type { Host } from "./host.ts";

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
