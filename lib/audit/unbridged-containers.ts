/** Containers whose addresses are on none of the host's bridges. */
import type { Host } from "../host/host.ts";
import { isInRanges, maskBits, prefixRange, printAddress } from "../packet/address.ts";
import type { Family } from "../packet/field.ts";
import type { Doubt } from "./doubt.ts";

/**
 * Returns a doubt for each such container. `docker inspect` names its network but not the driver, so a container of a
 * macvlan, ipvlan or overlay network looks like any other.
 */
export function containersOffBridge(host: Host, families: readonly Family[]): Doubt[] {
  const bridges = host.interfaces.filter((i) => host.bridges.includes(i.name));
  const routes = host.routes.filter(
    (r) => r.type === "unicast" && host.bridges.includes(r.dev ?? "") && maskBits(r.to.mask) !== 0,
  );
  const known = [
    ...host.networks.flatMap((n) => n.subnets),
    ...bridges.flatMap((i) => i.addresses.map((a) => a.prefix)),
    ...routes.map((r) => r.to),
  ].map(prefixRange);
  return host.containers.flatMap((c): Doubt[] => {
    const address = c.addresses.find(
      (a) => families.includes(typeof a === "number" ? 4 : 6) && !isInRanges(a, known),
    );
    return c.hostNetwork || address === undefined
      ? []
      : [{ code: "container-off-bridge", container: c.name, ip: printAddress(address) }];
  });
}
