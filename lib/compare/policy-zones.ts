/** Zones of a policy on a host. */
import type { Host } from "../host/host.ts";
import { isInRanges } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import type { FlowZone, PolicyZone } from "./policy.ts";
import { containerZones, HOST_ZONE, interfaceZones, networkZones, type Zone } from "./zones.ts";

/** Returns the zones of a host that a policy's zone means in one family; none where it has no address of the family. */
export function zonesIn(host: Host, family: Family, zone: FlowZone): Zone[] {
  switch (zone) {
    case "any":
      return [...interfaceZones(host), ...networkZones(host, family), HOST_ZONE];
    case "outside":
      return interfaceZones(host);
    case "containers":
      return networkZones(host, family);
    case "host":
      return [HOST_ZONE];
    default:
      return narrowed(named(host, family, zone), zone, family);
  }
}

/** Returns true if the host has what a policy's zone names, in either family. */
export const isOnHost = (host: Host, zone: FlowZone): boolean =>
  ([4, 6] as const).some(
    (family) =>
      (typeof zone === "string" ? zonesIn(host, family, zone) : named(host, family, zone)).length > 0,
  );

function named(host: Host, family: Family, zone: PolicyZone): Zone[] {
  const { network, container, service, project } = zone;
  if (zone.interface !== undefined) return interfaceZones(host).filter(({ name }) => name === zone.interface);
  const onNetwork = (each: Zone): boolean =>
    network === undefined ||
    networkZones(host, family).some((n) => isNamed(n, network) && each.bridges.includes(n.bridges[0]!));
  if (container === undefined && service === undefined && project === undefined)
    return network === undefined
      ? [...interfaceZones(host), ...networkZones(host, family), HOST_ZONE]
      : networkZones(host, family).filter((each) => isNamed(each, network));
  const meant = host.containers.filter(
    (c) =>
      (container === undefined || c.name === container) &&
      (service === undefined || c.service === service) &&
      (project === undefined || c.project === project),
  );
  const names = new Set(meant.map(({ name }) => name));
  // Sockets of a container in the host's network are the host's.
  const onHost = network === undefined && meant.some((c) => c.hostNetwork) ? [HOST_ZONE] : [];
  return [
    ...containerZones(host, family).filter((each) => names.has(each.name) && onNetwork(each)),
    ...onHost,
  ];
}

const isNamed = (zone: Zone, name: string): boolean => zone.name === name || zone.bridges.includes(name);

/** Restricts zones to the addresses of a policy's zone. */
function narrowed(zones: readonly Zone[], { addresses }: PolicyZone, family: Family): Zone[] {
  if (addresses === undefined) return [...zones];
  const ranges = addresses.filter((each) => each.family === family).map(({ range }) => range);
  return zones.flatMap((zone): Zone[] => {
    const own: readonly Range[] =
      zone.addresses === null ? ranges : zone.addresses.filter(([first]) => isInRanges(first, ranges));
    // Of a container that is narrowed by its addresses, docker-proxy serves the same ports.
    const proxied = zone.kind === "container" && own.length > 0 ? zone.proxied : [];
    return own.length === 0 ? [] : [{ ...zone, addresses: own, proxied }];
  });
}
