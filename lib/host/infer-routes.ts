/** Routes of a host without `ip route`: subnets of the interfaces, single containers, and a default route. */
import { addressFamily, type Prefix, parsePrefix } from "../packet/address.ts";
import type { Address, Family } from "../packet/field.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { mastersOf } from "./bridge-ports.ts";
import type { Interface } from "./host.ts";
import { uplinks } from "./infer-interfaces.ts";
import type { HostInference } from "./inference.ts";
import { dockerBridges } from "./known/docker.ts";
import { isTunnel } from "./known/interfaces.ts";
import type { Route } from "./routes.ts";

/** Returns the inferred routes of these families. `note` receives each inference. */
export function inferRoutes(
  rulesets: readonly Ruleset[],
  interfaces: readonly Interface[],
  bridges: readonly string[],
  families: readonly Family[],
  note: (inference: HostInference) => void,
): Route[] {
  return [
    ...subnetRoutes(interfaces, bridges, note),
    ...endpointRoutes(rulesets),
    ...defaultRoutes(rulesets, interfaces, bridges, families, note),
  ].filter(({ family }) => families.includes(family));
}

const inferredRoute = (family: Family, to: Prefix, dev: string, source: Address | null = null): Route => ({
  family,
  type: "unicast",
  to,
  dev,
  table: "main",
  metric: 0,
  source,
  inferred: true,
});

function subnetRoutes(
  interfaces: readonly Interface[],
  bridges: readonly string[],
  note: (inference: HostInference) => void,
): Route[] {
  const vrfs = mastersOf(interfaces, "vrf");
  return interfaces.flatMap(({ name, master, down, addresses }): Route[] => {
    const vrf = vrfs.find((each) => each === master);
    if (down !== true && vrf === undefined)
      return addresses
        .filter((a) => !a.invented || bridges.includes(name))
        .map((a) => inferredRoute(a.family, a.prefix, name, a.address));
    if (addresses.length > 0)
      note(
        vrf === undefined || down === true
          ? { code: "interface-down", interface: name }
          : { code: "vrf-port", interface: name, vrf },
      );
    return [];
  });
}

/** Routes to single containers on bridges whose subnet is unknown. */
const endpointRoutes = (rulesets: readonly Ruleset[]): Route[] =>
  [...dockerBridges(rulesets)].flatMap(([name, { subnets, endpoints }]) =>
    subnets.size > 0
      ? []
      : [...endpoints.values()].map((endpoint) =>
          inferredRoute(addressFamily(endpoint.address), endpoint, name),
        ),
  );

function defaultRoutes(
  rulesets: readonly Ruleset[],
  interfaces: readonly Interface[],
  bridges: readonly string[],
  families: readonly Family[],
  note: (inference: HostInference) => void,
): Route[] {
  const candidates = interfaces.filter(
    (i) =>
      i.name !== "lo" &&
      !isTunnel(i.name) &&
      !bridges.includes(i.name) &&
      i.master === null &&
      i.down !== true &&
      i.masters !== "vrf",
  );
  const [uplink] = uplinks(rulesets, new Set(bridges)).filter((name) =>
    candidates.some((i) => i.name === name),
  );
  // Without listed addresses, the interface with the invented one is the interface that the rules name.
  const main =
    candidates.find((i) => i.name === uplink) ??
    candidates.find((i) => i.addresses.some((a) => a.invented === true)) ??
    candidates[0];
  if (main === undefined) return [];
  const [family, ...others] = families;
  note({
    code: "default-route",
    interface: main.name,
    family: others.length === 0 && family !== undefined ? family : null,
  });
  return ([4, 6] as const).map((family) => {
    const source = main.addresses.find((a) => a.family === family)?.address ?? null;
    return inferredRoute(
      family,
      parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0", family)!,
      main.name,
      source,
    );
  });
}
