/** Endpoints of containers that rules of engines name: the targets of published ports, and those of accepts by address. */
import { engineOfBridge } from "../host/bridge-ports.ts";
import { DOCKER_CHAIN } from "../host/known/docker.ts";
import { dockerTableChain, isDockerTable } from "../host/known/tables.ts";
import { isInRanges, prefixRange, printAddress } from "../packet/address.ts";
import { type Address, hasPorts, PROTO } from "../packet/field.ts";
import { requiredRanges } from "../packet/required-ranges.ts";
import type { Program } from "../path/program.ts";
import { type PortRange, plainPorts } from "../rules/reading.ts";
import { chainOf, type Rule } from "../rules/ruleset.ts";
import { gatewayMode } from "./docker-rules.ts";
import { addressOf, type Publication, protocolsOf, publications } from "./engine-rules.ts";
import type { FamilyModel } from "./family-model.ts";
import type { ListenAddress } from "./finding.ts";

export const isLoopback = (address: Address): boolean =>
  typeof address === "number" ? address >>> 24 === 127 : address === 1n;

/** Endpoint that rules of an engine name on a bridge. */
export interface BridgeEndpoint {
  readonly ip: Address;
  readonly proto: number;
  readonly port: number | null;
  /** Last port of a range that `port` is the first of; absent for one port. */
  readonly portEnd?: number;
}

export const keyOf = ({ ip, proto, port }: BridgeEndpoint): string => `${ip} ${proto} ${port}`;

/** Endpoints that DNAT rules of engines lead to, by `keyOf`. */
export interface PublishedEndpoints {
  readonly translated: ReadonlySet<string>;
  /** Those published on a loopback address only, with that address and port. */
  readonly loopback: ReadonlyMap<string, ListenAddress>;
}

export function publishedEndpoints(program: Program): PublishedEndpoints {
  const translated = new Set<string>();
  const loopback = new Map<string, ListenAddress>();
  const others = new Set<string>();
  for (const publication of publications(program)) {
    const address = addressOf(publication);
    for (const endpoint of endpointsOf(publication).flatMap(eachPort)) {
      const key = keyOf(endpoint);
      translated.add(key);
      if (address !== null && isLoopback(address))
        loopback.set(key, { address: printAddress(address), port: hostPortOf(publication, endpoint.port) });
      else others.add(key);
    }
  }
  for (const key of others) loopback.delete(key);
  return { translated, loopback };
}

/** Returns the endpoints that a publication leads to, one for each protocol; TCP where its rule names none. */
const endpointsOf = (publication: Publication): BridgeEndpoint[] => {
  const { ports, to } = publication.nat;
  const protocols = protocolsOf(publication);
  return (protocols.length === 0 ? [PROTO.tcp] : protocols).map((proto) => ({
    ip: to.first,
    proto,
    port: ports?.first ?? null,
    ...(ports === null || ports.first === ports.last ? {} : { portEnd: ports.last }),
  }));
};

/** Returns the endpoints of a range of ports, one for each port. */
function eachPort({ portEnd, ...first }: BridgeEndpoint): BridgeEndpoint[] {
  const { port } = first;
  if (port === null || portEnd === undefined) return [first];
  return Array.from({ length: portEnd - port + 1 }, (_, i) => ({ ...first, port: port + i }));
}

/** Returns the host port that a publication translates to a port of the container; the first where several are. */
function hostPortOf({ nat: { ports }, when }: Publication, port: number | null): number | null {
  const matched = requiredRanges(when, "dport") as readonly PortRange[] | null;
  const first = matched?.[0]?.[0] ?? null;
  if (ports === null || port === null || ports.first === ports.last) return first;
  if (ports.base !== undefined) return ports.base + port - ports.first;
  // The kernel keeps a port that is in the range of the rule.
  return matched?.some((range) => port >= range[0] && port <= range[1]) === true ? port : first;
}

/** Returns true if the rules list the ports that Docker publishes by DNAT; a file of table filter alone does not. */
export const listsTranslations = ({ ruleset }: FamilyModel): boolean =>
  chainOf(ruleset, "nat", DOCKER_CHAIN) !== undefined || [...ruleset.tables.keys()].some(isDockerTable);

/** Returns the endpoints on a bridge that accepts of Docker name. */
export function namedEndpoints(model: FamilyModel, bridge: string): BridgeEndpoint[] {
  const endpoints = new Map<string, BridgeEndpoint>();
  const add = (endpoint: BridgeEndpoint): unknown => endpoints.set(keyOf(endpoint), endpoint);
  for (const rule of dockerAccepts(model, bridge)) {
    const { dst, proto } = rule.reading;
    if (dst === undefined || dst.not || proto === undefined) continue;
    add({
      ip: dst.value.address,
      proto: proto.value,
      port: hasPorts(proto.value) ? (plainPorts(rule.reading.destinationPorts)[0]?.[0] ?? null) : null,
    });
  }
  return [...endpoints.values()];
}

/** Returns the rules of Docker about packets into a bridge, with either backend. */
function dockerAccepts({ ruleset }: FamilyModel, bridge: string): Rule[] {
  const saved = chainOf(ruleset, "filter", DOCKER_CHAIN)?.rules ?? [];
  const listed = [...ruleset.tables].flatMap(([table, { chains }]) =>
    isDockerTable(table) ? (chains.get(dockerTableChain(bridge))?.rules ?? []) : [],
  );
  return [...saved.filter(({ reading }) => reading.out?.value === bridge), ...listed];
}

/**
 * Returns the published endpoints on a bridge whose engine drops no packets to the containers' own addresses: Podman,
 * Docker in gateway mode nat-unprotected, and perhaps an engine that is not known. They are open by the container's address, too.
 */
export function unguardedEndpoints({ full, host, ruleset }: FamilyModel, bridge: string): BridgeEndpoint[] {
  const isUnguarded =
    engineOfBridge(host, bridge) !== "docker" || gatewayMode(ruleset, bridge) === "nat-unprotected";
  if (!isUnguarded) return [];
  const subnets = host.routes.filter((r) => r.dev === bridge).map((r) => prefixRange(r.to));
  const endpoints = publications(full.program)
    .filter(({ nat }) => isInRanges(nat.to.first, subnets))
    .flatMap(endpointsOf);
  return [...new Map(endpoints.map((each) => [`${keyOf(each)} ${each.portEnd}`, each])).values()];
}
