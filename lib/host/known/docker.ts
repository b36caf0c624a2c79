/** Traces of Docker in rules and names: moby's bridge driver from 1.7 to 29. */
import { type Prefix, printPrefix } from "../../packet/address.ts";
import { plain } from "../../rules/reading.ts";
import { chainOf, type Ruleset, setLookups } from "../../rules/ruleset.ts";
import { isDockerTable } from "./tables.ts";

/** Chain for the destinations of published ports: their DNAT in table nat, their ACCEPT in table filter. */
export const DOCKER_CHAIN = "DOCKER";
/** Chain for the owner's rules about containers, which Docker calls first from FORWARD. */
export const DOCKER_USER = "DOCKER-USER";
/** Chain for the published ports of a swarm. */
export const DOCKER_INGRESS = "DOCKER-INGRESS";
/** Chain for the rules that were in FORWARD before Docker 28. */
export const DOCKER_FORWARD = "DOCKER-FORWARD";
/** Chain that calls DOCKER for packets to each bridge, since Docker 28. */
export const DOCKER_BRIDGE = "DOCKER-BRIDGE";
/** Chain for established connections, since Docker 28. */
export const DOCKER_CT = "DOCKER-CT";
/** Chain that closes internal networks (`docker network create --internal`), since Docker 29. */
export const DOCKER_INTERNAL = "DOCKER-INTERNAL";
/** Chain that keeps bridge networks apart, before Docker 17.12. */
export const DOCKER_ISOLATION = "DOCKER-ISOLATION";
/** Chains that keep bridge networks apart, up to Docker 28. */
export const DOCKER_ISOLATION_STAGES = ["DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"] as const;

/** Returns the versions of Docker that write rules of this layout; `null` if there are none of Docker. */
export function dockerLayout(ruleset: Ruleset): string | null {
  const has = (chain: string): boolean => chainOf(ruleset, "filter", chain) !== undefined;
  if (has(DOCKER_INTERNAL)) return "29 or newer";
  if (has(DOCKER_FORWARD)) return "28";
  if (has(DOCKER_ISOLATION_STAGES[0])) return matchesBridgeSet(ruleset) ? "28.0.0" : "27 or older";
  return has(DOCKER_ISOLATION) ? "older than 20.10" : null;
}

/** Docker 28.0.0, and no other version, matches the set of its bridges in FORWARD. */
const matchesBridgeSet = (ruleset: Ruleset): boolean =>
  (chainOf(ruleset, "filter", "FORWARD")?.rules ?? []).some((rule) =>
    setLookups(rule).some(({ value }) => isDockerBridgeSet(value.set)),
  );

/** Returns true for rules of Docker 28.0 or newer, which protects containers in table raw. */
export const isSince28 = (ruleset: Ruleset): boolean =>
  chainOf(ruleset, "filter", DOCKER_FORWARD) !== undefined || matchesBridgeSet(ruleset);

/** Returns true for the name of Docker 28.0.0's set of bridge networks. */
export const isDockerBridgeSet = (set: string): boolean => set.startsWith("docker-ext-bridges");

/** Returns true for the bridges that Docker creates by itself: the default network and that of a swarm. */
export const isDefaultDockerBridge = (name: string): boolean => /^docker(0|_gwbridge)$/.test(name);

/** Returns true for the process that serves a published port; some packages add a version to its name. */
export const isDockerProxy = (process: string): boolean => process.startsWith("docker-proxy");

/** A container bridge that Docker's rules name. */
export interface DockerBridge {
  /** Subnets that its MASQUERADE rules name, by their text. */
  readonly subnets: Map<string, Prefix>;
  /** Addresses of containers with published ports, by their text. */
  readonly endpoints: Map<string, Prefix>;
}

/** Chains of table filter whose rules name bridges with `-i` or `-o`. */
const BRIDGE_CHAINS = [DOCKER_ISOLATION_STAGES[0], DOCKER_INTERNAL, DOCKER_FORWARD, DOCKER_BRIDGE, DOCKER_CT];

const isPattern = (device: string): boolean => device.endsWith("+");

/** Returns the bridges that Docker's rules name. */
export function dockerBridges(rulesets: readonly Ruleset[]): Map<string, DockerBridge> {
  const bridges = new Map<string, DockerBridge>();
  const bridge = (name: string): DockerBridge => {
    let found = bridges.get(name);
    if (found === undefined) bridges.set(name, (found = { subnets: new Map(), endpoints: new Map() }));
    return found;
  };
  for (const ruleset of rulesets) {
    // `-i BRIDGE -j RETURN` up to 28, `! -i BRIDGE ... -j DNAT` in all versions.
    for (const { reading } of chainOf(ruleset, "nat", DOCKER_CHAIN)?.rules ?? [])
      if (reading.in !== undefined && !isPattern(reading.in.value)) bridge(reading.in.value);
    // `-d CONTAINER ! -i BRIDGE -o BRIDGE -j ACCEPT`
    for (const { reading } of chainOf(ruleset, "filter", DOCKER_CHAIN)?.rules ?? []) {
      const name = plain(reading.out);
      if (name === undefined || reading.in?.value !== name || !reading.in.not) continue;
      const { endpoints } = bridge(name);
      const endpoint = plain(reading.dst);
      if (endpoint !== undefined) endpoints.set(printPrefix(endpoint), endpoint);
    }
    for (const chain of BRIDGE_CHAINS)
      for (const { reading } of chainOf(ruleset, "filter", chain)?.rules ?? []) {
        const name = plain(reading.in) ?? plain(reading.out);
        if (name !== undefined && !isPattern(name)) bridge(name);
      }
    // `-s SUBNET ! -o BRIDGE -j MASQUERADE`
    for (const { reading } of chainOf(ruleset, "nat", "POSTROUTING")?.rules ?? []) {
      const { action, src, out } = reading;
      const subnet = plain(src);
      if (action !== "masquerade" || subnet === undefined || !out?.not) continue;
      if (bridges.has(out.value) || /^(docker|br-)/.test(out.value))
        bridge(out.value).subnets.set(printPrefix(subnet), subnet);
    }
    addTableBridges(ruleset, bridge);
  }
  return bridges;
}

/** Adds the bridges of Docker's own table, whose chains carry their names. */
function addTableBridges(ruleset: Ruleset, bridge: (name: string) => DockerBridge): void {
  for (const [id, { chains }] of ruleset.tables) {
    if (!isDockerTable(id)) continue;
    for (const { name, rules } of chains.values()) {
      const [, kind, interfaceName] = /^(.*)__(.+)$/.exec(name) ?? [];
      if (interfaceName === undefined) continue;
      const { subnets, endpoints } = bridge(interfaceName);
      for (const { reading } of rules) {
        // `oifname != BRIDGE ip saddr SUBNET masquerade`
        const subnet = plain(reading.src);
        if (reading.action === "masquerade" && subnet !== undefined) subnets.set(printPrefix(subnet), subnet);
        // `ip daddr CONTAINER tcp dport PORT accept`
        const endpoint = plain(reading.dst);
        if (kind === "filter-forward-in" && reading.action === "accept" && endpoint !== undefined)
          endpoints.set(printPrefix(endpoint), endpoint);
      }
    }
  }
}
