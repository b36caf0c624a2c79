/** What an audit had before it: "no findings" says little where there was nothing to find. */
import { type Host, outsideInterfaces, sysctl } from "../host/host.ts";
import { purposeOf } from "../host/purpose.ts";
import type { Family } from "../packet/field.ts";
import type { Program } from "../path/program.ts";
import { chainOf, type Ruleset } from "../rules/ruleset.ts";
import { publishing } from "./docker-rules.ts";
import { strangers } from "./doubts.ts";
import type { Exposure } from "./finding.ts";

/** Policies and forwarding of one family's firewall. */
export interface LookedFamily {
  /** 4 or 6. */
  readonly family: Family;
  /** Policy of INPUT; `null` where the rules have no such chain, which accepts. */
  readonly input: "ACCEPT" | "DROP" | null;
  /** The same of FORWARD. */
  readonly forward: "ACCEPT" | "DROP" | null;
  /** Whether the host forwards packets that come in by an interface to outside (`ip_forward`, `forwarding`). */
  readonly forwards: boolean;
}

/** What an audit looked at. */
export interface Looked {
  /** Each family whose rules were given. */
  readonly families: readonly LookedFamily[];
  /** Container engines by their chains, bridges, networks or containers: `Docker`, `Podman (netavark)`. */
  readonly engines: readonly string[];
  /** Interfaces of container networks. */
  readonly bridges: readonly string[];
  /** How many containers Docker named. */
  readonly containers: number;
  /** How many rules publish ports of containers. */
  readonly published: number;
}

/** What is before an audit. */
export function lookedAt(programs: readonly Program[], host: Host): Looked {
  const engines = new Set<string>();
  for (const { ruleset } of programs)
    for (const [table, { chains }] of ruleset.tables)
      for (const name of chains.keys()) {
        const purpose = purposeOf(table, name);
        if (purpose?.role === "engine") engines.add(purpose.by);
      }
  const { bridges, containers, daemon, networks } = host;
  const hooked = programs.some(({ ruleset }) => chainOf(ruleset, "filter", "DOCKER-USER") !== undefined);
  const docker =
    hooked || bridges.length + containers.length + networks.length > 0 || Object.keys(daemon).length > 0;
  if (docker) engines.add("Docker");
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
    published: programs.reduce((sum, program) => sum + publishing(program).length, 0),
  };
}

const policyOf = (ruleset: Ruleset, chain: string): LookedFamily["input"] =>
  chainOf(ruleset, "filter", chain)?.policy ?? null;

/** Whether packets that come in by some interface to outside are forwarded (ip-sysctl: conf/INTERFACE/forwarding). */
function forwards(host: Host, family: Family): boolean {
  const all = family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
  const own = (name: string): number =>
    sysctl(host, `net.ipv${family}.conf.${name}.forwarding`, sysctl(host, all, 1));
  const names = outsideInterfaces(host);
  return names.length === 0 ? sysctl(host, all, 1) !== 0 : names.some((name) => own(name) !== 0);
}

/** An audit of a host without a container engine has no subject, whatever its result. A sentence, or none. */
export const nothingAudited = ({ engines }: Looked): string[] =>
  engines.length > 0
    ? []
    : [
        "no container engine was found in these rules, so nothing was audited for containers: give a snapshot of the host that runs them (fwcheck collect)",
      ];

/** Engines of which no rule is audited, where Docker is not there, a sentence each; those that publish have one already. */
export function unauditedEngines(looked: Looked, programs: readonly Program[]): string[] {
  const named = new Set(programs.flatMap(({ ruleset }) => [...strangers(ruleset)]));
  if (looked.engines.includes("Docker")) return [];
  return looked.engines
    .filter((engine) => !named.has(engine))
    .map(
      (engine) =>
        `the rules hold chains of ${engine}, and only Docker's are audited: nothing is said of what its containers expose`,
    );
}

/** What follows for the reader from what there was: why nothing is open, and what nothing is known of. */
export function lookedRemarks(
  looked: Looked,
  programs: readonly Program[],
  exposures: readonly Exposure[],
  host: Host,
): string[] {
  const still = programs.flatMap((program): string[] => {
    const { family } = program.ruleset;
    const forwards = looked.families.find((f) => f.family === family)?.forwards ?? true;
    const open = exposures.some((e) => e.family === family && e.means !== "proxy");
    if (forwards || open || publishing(program).length === 0) return [];
    return [
      `IPv${family}: the host forwards no packets (${family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding"} = 0), so what Docker's rules publish reaches no container; only what docker-proxy takes in as a program of the host does`,
    ];
  });
  const silent =
    looked.engines.length === 0 && host.listening === undefined
      ? [
          "what listens on the host was not given, so nothing is said of what the host itself exposes: fwcheck collect gathers it, --listening takes it",
        ]
      : [];
  return [...still, ...silent];
}
