/**
 * Doubts about rules and host as a whole: Docker's rules are elsewhere, another engine publishes ports, or traffic bypasses
 * iptables.
 */
import { hasContainerLinks } from "../host/bridge-ports.ts";
import type { Engine, Host } from "../host/host.ts";
import { engineOfChain, knownChain } from "../host/known/chains.ts";
import { DOCKER_CHAIN, isDefaultDockerBridge } from "../host/known/docker.ts";
import { isPodmanBridge } from "../host/known/interfaces.ts";
import { isDockerTable } from "../host/known/tables.ts";
import { isInRanges, prefixRange } from "../packet/address.ts";
import type { Address } from "../packet/field.ts";
import type { Program } from "../path/program.ts";
import { ends } from "../rules/effect.ts";
import { chainOf, iptablesName, type Ruleset, rulesetDoubts } from "../rules/ruleset.ts";
import type { Doubt } from "./doubt.ts";
import { servedPorts } from "./engine-rules.ts";
import { inputDoubts } from "./input-doubts.ts";
import { containersOffBridge } from "./unbridged-containers.ts";

/** Returns the doubts about rulesets and host that need no walk of packets. */
export function engineDoubts(rulesets: readonly Ruleset[], host: Host): Doubt[] {
  return [
    ...host.doubts,
    ...rulesets.flatMap(rulesetDoubts),
    ...backendDoubts(rulesets, host),
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
const hasDockerTable = ({ tables }: Ruleset): boolean => [...tables.keys()].some(isDockerTable);

/** Returns true if a ruleset has rules of an engine. */
const hasRulesOf = (ruleset: Ruleset, engine: Engine): boolean =>
  engine === "docker"
    ? hasDockerFilter(ruleset) || hasDockerNat(ruleset) || hasDockerTable(ruleset)
    : [...ruleset.tables].some(([table, { chains }]) =>
        [...chains.keys()].some((chain) => {
          const by = engineOfChain(table, chain);
          return by !== null && by !== "Docker";
        }),
      );

const ENGINES: readonly Engine[] = ["docker", "podman"];

/** Returns true if a ruleset has rules of a container engine. */
export const hasEngineRules = (ruleset: Ruleset): boolean =>
  ENGINES.some((engine) => hasRulesOf(ruleset, engine));

const publishesPorts = (host: Host, engine: Engine): boolean =>
  host.containers.some((c) => (c.engine ?? "docker") === engine && c.published.length > 0);

/** Returns true if the host's own data show an engine: published ports, a bridge network, or a bridge of the engine's. */
const showsEngine = (host: Host, engine: Engine): boolean =>
  publishesPorts(host, engine) ||
  host.networks.some((n) => (n.engine ?? "docker") === engine && n.bridge !== null) ||
  host.interfaces.some(({ name }) =>
    engine === "docker" ? isDefaultDockerBridge(name) : isPodmanBridge(name),
  );

/** Returns the doubts that an engine writes its rules elsewhere or writes none. */
function backendDoubts(rulesets: readonly Ruleset[], host: Host): Doubt[] {
  const hasTable = rulesets.some(hasDockerTable);
  if (host.daemon.backend === "nftables" && !hasTable) return [{ code: "docker-nftables" }];
  if (host.daemon.iptables === false && !hasTable) return [{ code: "docker-without-iptables" }];
  return ENGINES.flatMap((engine): Doubt[] =>
    !showsEngine(host, engine) || rulesets.some((ruleset) => hasRulesOf(ruleset, engine))
      ? []
      : [
          {
            code: "no-docker-chain",
            evidence: publishesPorts(host, engine) ? "published-ports" : "bridges",
            ...(engine === "docker" ? {} : { engine }),
          },
        ],
  );
}

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
  const isShown = (engine: Engine): boolean =>
    showsEngine(host, engine) || rulesets.some((ruleset) => hasRulesOf(ruleset, engine));
  if (rulesets.length === 0 || !ENGINES.some(isShown)) return [];
  const isMissing = (family: 4 | 6): boolean =>
    rulesets.every((r) => r.family !== family) && (family === 4 || usesIpv6(host));
  return ([4, 6] as const).filter(isMissing).map((family): Doubt => ({ code: "no-ruleset", family }));
}

/** Returns the pod networks that publish ports by DNAT rules. */
export function otherPublishers(ruleset: Ruleset): ReadonlySet<string> {
  const engines = new Set<string>();
  for (const [table, { chains }] of ruleset.tables)
    for (const { name, rules } of chains.values()) {
      const known = knownChain(table, name);
      if (known?.role === "cluster" && rules.some((r) => r.action === "dnat")) engines.add(known.by);
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

/**
 * Returns a doubt for each table of nftables, of no known engine, that translates packets to addresses on container bridges,
 * or on bridges that look so: whether it publishes ports for an engine or for the owner is not known.
 */
function otherTranslations(program: Program, host: Host): Doubt[] {
  const { ruleset } = program;
  const onBridges = host.interfaces
    .filter(({ name }) => host.bridges.includes(name) || hasContainerLinks(host.interfaces, name))
    .flatMap(({ addresses }) => addresses.map(({ prefix }) => prefixRange(prefix)));
  return [...ruleset.tables.values()].flatMap(({ name: table, chains }): Doubt[] => {
    const isOther =
      iptablesName(table) === null &&
      host.engineTables?.includes(table) !== true &&
      [...chains.keys()].every((each) => knownChain(table, each) === null);
    if (!isOther) return [];
    const reaches = [...chains.keys()].some((each) =>
      program
        .chain(table, each)
        ?.rules.some(({ effect }) =>
          [...ends(effect)].some(
            (end) =>
              end.kind === "nat" &&
              end.side === "dst" &&
              end.to.kind === "range" &&
              isInRanges(end.to.first, onBridges),
          ),
        ),
    );
    const { family } = ruleset;
    return reaches ? [{ code: "translates-to-containers", family, table }] : [];
  });
}

/** Returns a doubt for each port that an engine's output publishes and no DNAT rule does, and for translations of others. */
export function portsWithoutRule(program: Program, host: Host): Doubt[] {
  const others = otherTranslations(program, host);
  // In IPv6, docker-proxy serves containers without an IPv6 address, and INPUT governs it.
  return program.ruleset.family === 6 ? others : [...others, ...unservedPorts(program, host)];
}

function unservedPorts(program: Program, host: Host): Doubt[] {
  const { family } = program.ruleset;
  const isInRules = program.ruleset.tables.has("ip docker-bridges");
  const isElsewhere = host.daemon.backend === "nftables" || host.daemon.iptables === false;
  const served = servedPorts(program);
  // A routed network has no DNAT: its ports are published at the containers' own addresses.
  const routed = host.networks
    .filter((n) => n.gateway[family] === "routed")
    .flatMap((n) => n.subnets.map(prefixRange));
  return host.containers.flatMap((c) => {
    if (isElsewhere && !isInRules && c.engine !== "podman") return [];
    if (c.hostNetwork || c.addresses.some((a) => isInRanges(a, routed))) return [];
    return c.published
      .filter((p) => p.family === family && !served.has(`${p.proto} ${p.hostPort}`))
      .map(
        (p): Doubt => ({
          code: "port-without-rule",
          container: c.name,
          port: p.hostPort,
          ...(c.engine === "podman" ? { engine: "podman" } : {}),
        }),
      );
  });
}
