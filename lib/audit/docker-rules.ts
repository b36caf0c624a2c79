/**
 * Which rules Docker writes itself, told by their chains and by the forms that moby's bridge driver has used from
 * 20.10 to 29. Everything else, DOCKER-USER's rules included, is the owner's.
 */
import type { Host } from "../host/host.ts";
import { PROTO } from "../packet/field.ts";
import type { BoundRule, Program } from "../path/program.ts";
import {
  type Chain,
  chainOf,
  type Rule,
  type Ruleset,
  type Table,
  type TableName,
} from "../rules/ruleset.ts";

/** Chains that Docker fills: (table, name). DOCKER-USER is made by Docker and filled by the owner. */
const CHAINS: Readonly<Partial<Record<TableName, readonly string[]>>> = {
  nat: ["DOCKER", "DOCKER-INGRESS"],
  filter: [
    "DOCKER",
    "DOCKER-BRIDGE",
    "DOCKER-CT",
    "DOCKER-FORWARD",
    "DOCKER-INGRESS",
    "DOCKER-INTERNAL",
    "DOCKER-ISOLATION",
    "DOCKER-ISOLATION-STAGE-1",
    "DOCKER-ISOLATION-STAGE-2",
  ],
};

/** Whether a chain is filled by Docker. */
export const isDockerChain = (table: TableName, chain: string): boolean =>
  CHAINS[table]?.includes(chain) ?? false;

const extension = (rule: Rule): string =>
  rule.target.kind === "extension" ? rule.target.extension.name : "";

/** Whether Docker wrote this rule. */
export function isDockerRule(rule: Rule, host: Host): boolean {
  if (isDockerChain(rule.table, rule.chain)) return true;
  const { target } = rule;
  if ((target.kind === "jump" || target.kind === "goto") && isDockerChain(rule.table, target.chain))
    return true;
  const { in: input, out, src, dst } = rule.reading;
  const bridge = (name: string | undefined): boolean => name !== undefined && host.bridges.includes(name);
  const others = rule.matches.filter((m) => m.extension.name !== "");
  if (rule.table === "filter" && rule.chain === "FORWARD") {
    if (src !== undefined || dst !== undefined) return false;
    const verdict = ["ACCEPT", "DROP"].includes(extension(rule));
    // -i BRIDGE ! -o BRIDGE -j ACCEPT; -i BRIDGE -o BRIDGE -j ACCEPT or DROP
    if (verdict && bridge(input?.value) && input!.value === out?.value && !input!.not && others.length === 0)
      return true;
    // -o BRIDGE -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT, and 28.0.0's form by ipset
    const established =
      others.length > 0 && others.every((m) => ["conntrack", "set"].includes(m.extension.name));
    const byBridge =
      bridge(out?.value) &&
      !out!.not &&
      input === undefined &&
      others.every((m) => m.extension.name === "conntrack");
    const bySet = others.some(
      (m) =>
        (m.values.set?.value as { set?: string } | undefined)?.set?.startsWith("docker-ext-bridges") ?? false,
    );
    return extension(rule) === "ACCEPT" && established && (byBridge || bySet);
  }
  if (rule.table === "raw" && rule.chain === "PREROUTING")
    // -d CONTAINER ! -i BRIDGE -j DROP, and -d 127.0.0.1 ! -i lo --dport PORT -j DROP
    return (
      extension(rule) === "DROP" &&
      dst !== undefined &&
      input?.not === true &&
      (bridge(input.value) || input.value === "lo")
    );
  if (rule.table === "nat" && rule.chain === "POSTROUTING")
    return (
      extension(rule) === "MASQUERADE" &&
      (bridge(out?.value) || (src !== undefined && src.value.address === dst?.value.address))
    );
  return false;
}

/**
 * What Docker does at a network's edge, told by its rules: a routed network takes ICMP, one that is unprotected takes
 * everything (moby's bridge driver, setup_ip_tables_linux.go).
 */
export function gatewayMode(ruleset: Ruleset, bridge: string): "nat" | "nat-unprotected" | "routed" {
  for (const rule of chainOf(ruleset, "filter", "DOCKER")?.rules ?? []) {
    const { in: input, out, dst, proto } = rule.reading;
    if (out?.value !== bridge || out.not || dst !== undefined || extension(rule) !== "ACCEPT") continue;
    if (input === undefined && (proto?.value === PROTO.icmp || proto?.value === PROTO.icmpv6))
      return "routed";
    if (input?.value === bridge && input.not && proto === undefined) return "nat-unprotected";
  }
  return "nat";
}

/** The rules that publish ports: those of containers, and those of a swarm's services. */
export const publishing = (program: Program): readonly BoundRule[] =>
  ["DOCKER", "DOCKER-INGRESS"].flatMap((chain) => program.chain("nat", chain)?.rules ?? []);

/** Host ports that Docker's DNAT rules publish, as `PROTOCOL PORT` (`17 53`): a rule can name a range. */
export function servedPorts(program: Program): ReadonlySet<string> {
  const served = new Set<string>();
  for (const { rule, effect } of publishing(program)) {
    if (effect.kind !== "nat") continue;
    const proto = rule.reading.proto?.value;
    for (const { values } of rule.matches) {
      const ports = values.dport?.value as readonly [number, number] | undefined;
      for (let port = ports?.[0] ?? 1; ports !== undefined && port <= ports[1]; port++)
        served.add(`${proto} ${port}`);
    }
  }
  return served;
}

/** The ruleset as if Docker had written no rule. */
export const withoutDocker = (ruleset: Ruleset, host: Host): Ruleset =>
  without(ruleset, (rule) => isDockerRule(rule, host));

/** The ruleset without some rules. Those that stay keep their numbers, so whatever names them still does. */
export function without(ruleset: Ruleset, leave: (rule: Rule) => boolean): Ruleset {
  const tables = new Map<TableName, Table>();
  for (const [name, table] of ruleset.tables) {
    const chains = new Map<string, Chain>();
    for (const [key, chain] of table.chains)
      chains.set(key, { ...chain, rules: chain.rules.filter((rule) => !leave(rule)) });
    tables.set(name, { ...table, chains });
  }
  return { ...ruleset, tables };
}
