/** Scope of an audit: the rules, engines and ports that the inputs contain. "No findings" of an empty scope means little. */
import { engineOfBridge } from "../host/bridge-ports.ts";
import { type Engine, type Host, sysctl } from "../host/host.ts";
import { knownChain } from "../host/known/chains.ts";
import { DOCKER_USER } from "../host/known/docker.ts";
import { PODMAN } from "../host/known/podman.ts";
import { outsideInterfaces } from "../host/packet-origin.ts";
import type { Family } from "../packet/field.ts";
import type { Program } from "../path/program.ts";
import type { Hook } from "../rules/base-chain.ts";
import { chainOf, type Ruleset, tablesOf } from "../rules/ruleset.ts";
import type { Doubt } from "./doubt.ts";
import { otherPublishers } from "./engine-doubts.ts";
import { engineOfTable, publications } from "./engine-rules.ts";
import type { Exposure } from "./finding.ts";
import type { AuditNote } from "./notes.ts";

/** Policies and forwarding of one family's firewall. */
export interface FamilyScope {
  /** 4 or 6. */
  readonly family: Family;
  /** Policy of the input hook: DROP if any base chain has it; `null` where the rules have no base chain, which accepts. */
  readonly input: "ACCEPT" | "DROP" | null;
  /** Policy of the forward hook. */
  readonly forward: "ACCEPT" | "DROP" | null;
  /** True if the host forwards packets that arrive on an interface to outside (`ip_forward`, `forwarding`). */
  readonly forwards: boolean;
}

/** Rules, engines and ports that an audit looked at. */
export interface AuditScope {
  /** Each family whose rules were given. */
  readonly families: readonly FamilyScope[];
  /** Container engines by their chains, bridges, networks or containers: `Docker`, `Podman (netavark)`. */
  readonly engines: readonly string[];
  /** Interfaces of container networks. */
  readonly bridges: readonly string[];
  /** Number of containers that the output of engines names. */
  readonly containers: number;
  /** Number of destinations that rules of engines publish. */
  readonly published: number;
}

export function scopeOf(programs: readonly Program[], host: Host): AuditScope {
  const engines = new Set<string>();
  for (const { ruleset } of programs)
    for (const [table, { chains }] of ruleset.tables)
      for (const name of chains.keys()) {
        const purpose = knownChain(table, name);
        if (purpose?.role === "engine" || purpose?.role === "cluster") engines.add(purpose.by);
      }
  const { bridges, containers } = host;
  const hasDockerUser = programs.some(({ ruleset }) => chainOf(ruleset, "filter", DOCKER_USER) !== undefined);
  if (hasDockerUser || namesEngine(host, "docker")) engines.add("Docker");
  if (namesEngine(host, "podman")) engines.add(PODMAN);
  for (const table of host.engineTables ?? []) engines.add(engineOfTable(table));
  return {
    families: programs.map(({ ruleset }) => ({
      family: ruleset.family,
      input: policyOf(ruleset, "INPUT"),
      forward: policyOf(ruleset, "FORWARD"),
      forwards: forwards(host, ruleset.family),
    })),
    engines: [...engines],
    bridges,
    containers: containers.length,
    published: programs.reduce((sum, program) => sum + publications(program).length, 0),
  };
}

/** Returns true if the inputs other than rules show an engine: containers, networks, bridges, settings of its daemon. */
function namesEngine(host: Host, engine: Engine): boolean {
  const { bridges, containers, daemon, networks } = host;
  return (
    bridges.some((bridge) => engineOfBridge(host, bridge) === engine) ||
    [...containers, ...networks].some((each) => (each.engine ?? "docker") === engine) ||
    (engine === "docker" && Object.keys(daemon).length > 0)
  );
}

/** Returns the policy of a hook: DROP if a base chain of any table has it. */
function policyOf(ruleset: Ruleset, hook: Hook): FamilyScope["input"] {
  const policies = tablesOf(ruleset).flatMap(({ chains }) =>
    [...chains.values()].flatMap(({ base, policy }) => (base?.hook === hook ? (policy ?? []) : [])),
  );
  return policies.includes("DROP") ? "DROP" : (policies[0] ?? null);
}

/** Returns the pod networks that fill chains of a ruleset. */
const clustersOf = ({ tables }: Ruleset): string[] =>
  [...tables].flatMap(([table, { chains }]) =>
    [...chains.keys()].flatMap((chain) => {
      const known = knownChain(table, chain);
      return known?.role === "cluster" ? [known.by] : [];
    }),
  );

/** The sysctl that enables forwarding on all interfaces. */
const forwardingSysctl = (family: Family): string =>
  family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";

/** Returns true if packets that arrive on some interface to outside are forwarded (ip-sysctl: conf/INTERFACE/forwarding). */
function forwards(host: Host, family: Family): boolean {
  const all = sysctl(host, forwardingSysctl(family), 1);
  const names = outsideInterfaces(host);
  return names.length === 0
    ? all !== 0
    : names.some((name) => sysctl(host, `net.ipv${family}.conf.${name}.forwarding`, all) !== 0);
}

/** Returns the doubts that follow from the scope: no engine, or only engines whose rules are not audited. */
export function scopeDoubts({ engines }: AuditScope, programs: readonly Program[]): Doubt[] {
  if (engines.length === 0) return [{ code: "no-engine" }];
  const clusters = new Set(programs.flatMap(({ ruleset }) => clustersOf(ruleset)));
  if (engines.some((engine) => !clusters.has(engine))) return [];
  const named = new Set(programs.flatMap(({ ruleset }) => [...otherPublishers(ruleset)]));
  return engines
    .filter((engine) => !named.has(engine))
    .map((engine): Doubt => ({ code: "other-engine", engine }));
}

/** Returns the notes that follow from the scope: forwarding is off, sockets were not given. */
export function scopeNotes(
  scope: AuditScope,
  programs: readonly Program[],
  exposures: readonly Exposure[],
  host: Host,
): AuditNote[] {
  const notes = programs.flatMap((program): AuditNote[] => {
    const { family } = program.ruleset;
    const isForwarding = scope.families.find((f) => f.family === family)?.forwards ?? true;
    const isOpen = exposures.some((e) => e.family === family && e.means !== "proxy");
    return isForwarding || isOpen || publications(program).length === 0
      ? []
      : [{ code: "not-forwarding", family, sysctl: forwardingSysctl(family) }];
  });
  if (scope.engines.length === 0 && host.listening === undefined) notes.push({ code: "no-sockets-given" });
  return notes;
}
