/**
 * Doubts about rules and host as a whole: Docker's rules are elsewhere, another engine publishes ports, or traffic bypasses
 * iptables.
 */
import type { Host } from "../host/host.ts";
import { knownChain } from "../host/known/chains.ts";
import { DOCKER_CHAIN, isDefaultDockerBridge, isDockerTable } from "../host/known/docker.ts";
import { isInRanges, prefixRange } from "../packet/address.ts";
import type { Address } from "../packet/field.ts";
import type { Program } from "../path/program.ts";
import { chainOf, isTableName, type Ruleset, rulesetDoubts, type Table } from "../rules/ruleset.ts";
import { servedPorts } from "./docker-rules.ts";
import type { Doubt } from "./doubt.ts";
import { inputDoubts } from "./input-doubts.ts";
import { containersOffBridge } from "./unbridged-containers.ts";

/** Returns the doubts about rulesets and host that need no walk of packets. */
export function engineDoubts(rulesets: readonly Ruleset[], host: Host): Doubt[] {
  return [
    ...host.doubts,
    ...rulesets.flatMap(rulesetDoubts),
    ...backendDoubts(rulesets, host),
    ...nftablesDoubts(rulesets),
    ...rulesets.flatMap(tableDoubts),
    ...rulesets.flatMap((ruleset) =>
      [...otherPublishers(ruleset)].map(
        (engine): Doubt => ({ code: "other-publisher", family: ruleset.family, engine }),
      ),
    ),
    ...host.networks.flatMap(({ name, driver }): Doubt[] =>
      driver === "macvlan" || driver === "ipvlan"
        ? [{ code: "unfiltered-network", network: name, driver }]
        : [],
    ),
    ...containersOffBridge(
      host,
      rulesets.map((r) => r.family),
    ),
    ...inputDoubts(rulesets, host),
    ...familyDoubts(rulesets, host),
  ];
}

const hasDockerFilter = (ruleset: Ruleset): boolean => chainOf(ruleset, "filter", DOCKER_CHAIN) !== undefined;
const hasDockerNat = (ruleset: Ruleset): boolean => chainOf(ruleset, "nat", DOCKER_CHAIN) !== undefined;
const hasDockerChains = (rulesets: readonly Ruleset[]): boolean =>
  rulesets.some((r) => hasDockerFilter(r) || hasDockerNat(r));

const publishesPorts = (host: Host): boolean => host.containers.some((c) => c.published.length > 0);

/** Returns true if the host's own data show Docker: published ports, a bridge network, or a bridge of Docker's. */
const showsDocker = (host: Host): boolean =>
  publishesPorts(host) ||
  host.networks.some((n) => n.bridge !== null) ||
  host.interfaces.some((i) => isDefaultDockerBridge(i.name));

/** Returns the doubt that Docker writes its rules elsewhere or writes none. */
function backendDoubts(rulesets: readonly Ruleset[], host: Host): Doubt[] {
  const native = nativeTables(rulesets);
  if (host.daemon.backend === "nftables" || native.some(isDockerTable)) return [{ code: "docker-nftables" }];
  if (host.daemon.iptables === false) return [{ code: "docker-without-iptables" }];
  if (!showsDocker(host) || hasDockerChains(rulesets)) return [];
  return [{ code: "no-docker-chain", evidence: publishesPorts(host) ? "published-ports" : "bridges" }];
}

/** Returns the ids of the tables of nftables in rulesets. */
const nativeTables = (rulesets: readonly Ruleset[]): string[] => [
  ...new Set(rulesets.flatMap(({ tables }) => [...tables.keys()].filter((id) => !isTableName(id)))),
];

/** Returns the doubt that the intent of owners in tables of nftables is not audited. */
function nftablesDoubts(rulesets: readonly Ruleset[]): Doubt[] {
  const tables = nativeTables(rulesets).filter(
    (id) => !isDockerTable(id) && rulesets.some((ruleset) => mayFilter(ruleset.tables.get(id))),
  );
  return tables.length === 0 ? [] : [{ code: "nftables-intent", tables }];
}

/** Returns true for a table with a base chain that can drop packets, or change what other rules match. */
const mayFilter = (table: Table | undefined): boolean =>
  [...(table?.chains.values() ?? [])].some(
    ({ base, policy, rules }) =>
      base !== null &&
      (policy === "DROP" || rules.length > 0) &&
      !(base.type === "nat" && (base.hook === "POSTROUTING" || base.hook === "INPUT")),
  );

/** Returns the doubts about tables that Docker fills and the text lacks. */
function tableDoubts(ruleset: Ruleset): Doubt[] {
  const { family, tables } = ruleset;
  const doubts: Doubt[] = [];
  if (hasDockerFilter(ruleset) && !hasDockerNat(ruleset)) doubts.push({ code: "no-docker-nat", family });
  if (hasDockerNat(ruleset) && !tables.has("filter")) doubts.push({ code: "no-filter-table", family });
  return doubts;
}

/** Returns the doubts about families without a ruleset. */
function familyDoubts(rulesets: readonly Ruleset[], host: Host): Doubt[] {
  if (rulesets.length === 0 || !(showsDocker(host) || hasDockerChains(rulesets))) return [];
  const isMissing = (family: 4 | 6): boolean =>
    rulesets.every((r) => r.family !== family) && (family === 4 || usesIpv6(host));
  return ([4, 6] as const).filter(isMissing).map((family): Doubt => ({ code: "no-ruleset", family }));
}

/** Returns the engines other than Docker that publish ports by DNAT rules. */
export function otherPublishers(ruleset: Ruleset): ReadonlySet<string> {
  const engines = new Set<string>();
  for (const { name, rules } of ruleset.tables.get("nat")?.chains.values() ?? []) {
    const purpose = knownChain("nat", name);
    if (purpose?.role === "engine" && purpose.by !== "Docker" && rules.some((r) => r.action === "dnat"))
      engines.add(purpose.by);
  }
  return engines;
}

/** Returns true if the host or its containers have IPv6 addresses that are not link-local. */
export function usesIpv6(host: Host): boolean {
  const isWide = (address: Address): boolean => typeof address === "bigint" && address >> 118n !== 0x3fan;
  return (
    host.networks.some((n) => n.subnets.some((s) => isWide(s.address))) ||
    host.containers.some((c) => !c.hostNetwork && c.addresses.some(isWide)) ||
    host.interfaces.some((i) => i.name !== "lo" && i.addresses.some((a) => isWide(a.address)))
  );
}

/** Returns a doubt for each port that Docker's output publishes and no DNAT rule does. */
export function portsWithoutRule(program: Program, host: Host): Doubt[] {
  const { family } = program.ruleset;
  // In IPv6, docker-proxy serves containers without an IPv6 address, and INPUT governs it.
  if (family === 6) return [];
  if (host.daemon.backend === "nftables" || host.daemon.iptables === false) return [];
  const served = servedPorts(program);
  // A routed network has no DNAT: its ports are published at the containers' own addresses.
  const routed = host.networks
    .filter((n) => n.gateway[family] === "routed")
    .flatMap((n) => n.subnets.map(prefixRange));
  return host.containers.flatMap((c) => {
    if (c.hostNetwork || c.addresses.some((a) => isInRanges(a, routed))) return [];
    return c.published
      .filter((p) => p.family === family && !served.has(`${p.proto} ${p.hostPort}`))
      .map((p): Doubt => ({ code: "port-without-rule", container: c.name, port: p.hostPort }));
  });
}
