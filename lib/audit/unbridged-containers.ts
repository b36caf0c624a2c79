/** Containers whose addresses are on none of the host's bridges. */
import type { Host } from "../host/host.ts";
import { maskBits, prefixRange, printAddress, within } from "../packet/address.ts";
import type { Family } from "../packet/field.ts";

/**
 * Returns a sentence for each such container. `docker inspect` names its network but not the driver, so that a container of
 * a macvlan, ipvlan or overlay network looks like any other.
 */
export function unbridged(host: Host, families: readonly Family[]): string[] {
  const bridged = host.interfaces.filter((i) => host.bridges.includes(i.name));
  const routes = host.routes.filter(
    (r) => r.type === "unicast" && host.bridges.includes(r.dev ?? "") && maskBits(r.to.mask) !== 0,
  );
  const known = [
    ...host.networks.flatMap((n) => n.subnets),
    ...bridged.flatMap((i) => i.addresses.map((a) => a.prefix)),
    ...routes.map((r) => r.to),
  ].map(prefixRange);
  return host.containers.flatMap((c) => {
    const address = c.addresses.find(
      (a) => families.includes(typeof a === "number" ? 4 : 6) && !within(a, known),
    );
    return c.hostNetwork || address === undefined
      ? []
      : [
          `container ${c.name} has the address ${printAddress(address)}, which is on none of this host's bridges: it may be on a macvlan, ipvlan or overlay network, whose containers no iptables rule of this host governs; add docker network inspect to the inputs`,
        ];
  });
}
