/**
 * Rules that Docker writes, recognized by their chains and by the forms that moby's bridge driver used from 20.10 to 29.
 * All other rules are the owner's, those in DOCKER-USER included.
 */
import type { Host } from "../host/host.ts";
import { knownChain } from "../host/known/chains.ts";
import { DOCKER_CHAIN, isDockerBridgeSet } from "../host/known/docker.ts";
import { dockerTableChain, isDockerTable } from "../host/known/tables.ts";
import type { Prefix } from "../packet/address.ts";
import { PROTO } from "../packet/field.ts";
import { hasOnly, plain } from "../rules/reading.ts";
import {
  type Chain,
  calledChain,
  chainOf,
  iptablesName,
  type Rule,
  type Ruleset,
  type Table,
  type TableId,
} from "../rules/ruleset.ts";

/** Returns true if Docker fills a chain; DOCKER-USER is created by Docker and filled by the owner. */
export const isDockerChain = (table: TableId, chain: string): boolean =>
  knownChain(table, chain)?.by === "Docker";

/** Returns true if Docker wrote a rule. */
export function isDockerRule(rule: Rule, host: Host): boolean {
  if (isDockerChain(rule.table, rule.chain)) return true;
  const called = calledChain(rule);
  if (called !== null && isDockerChain(rule.table, called)) return true;
  switch (`${iptablesName(rule.table)} ${rule.chain}`) {
    case "filter FORWARD":
      return isBridgeRule(rule, host) || isEstablishedRule(rule, host);
    case "raw PREROUTING":
      return isAddressGuard(rule, host);
    case "nat POSTROUTING":
      return isMasquerade(rule, host);
    default:
      return false;
  }
}

const isBridge = (name: string | undefined, host: Host): boolean =>
  name !== undefined && host.bridges.includes(name);

/** `-i BRIDGE ! -o BRIDGE -j ACCEPT`, and `-i BRIDGE -o BRIDGE -j ACCEPT` or `DROP`. */
function isBridgeRule(rule: Rule, host: Host): boolean {
  if (rule.action !== "accept" && rule.action !== "drop") return false;
  const { comments, in: input, out } = rule.reading;
  return (
    isBridge(input?.value, host) &&
    input?.not === false &&
    input.value === out?.value &&
    comments === undefined &&
    hasOnly(rule.reading, "in", "out")
  );
}

/** `-o BRIDGE -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`; 28.0.0 matches a set instead of `-o`. */
function isEstablishedRule(rule: Rule, host: Host): boolean {
  if (rule.action !== "accept") return false;
  const { reading } = rule;
  const { comments, out, sets } = reading;
  const states = [...(plain(reading.states) ?? [])].sort().join();
  if (comments !== undefined || states !== "ESTABLISHED,RELATED") return false;
  const byBridge = isBridge(plain(out), host) && hasOnly(reading, "out", "states");
  const bySet =
    sets?.some(({ value }) => isDockerBridgeSet(value.set)) === true && hasOnly(reading, "states", "sets");
  return byBridge || bySet;
}

/** `-d CONTAINER ! -i BRIDGE -j DROP`, and `-d 127.0.0.1 ! -i lo --dport PORT -j DROP`. */
function isAddressGuard(rule: Rule, host: Host): boolean {
  if (rule.action !== "drop") return false;
  const { dst, in: input } = rule.reading;
  return dst !== undefined && input?.not === true && (isBridge(input.value, host) || input.value === "lo");
}

/** `-s SUBNET ! -o BRIDGE -j MASQUERADE`, and hairpin NAT: source and destination are the same container. */
function isMasquerade(rule: Rule, host: Host): boolean {
  if (rule.action !== "masquerade") return false;
  const { dst, out, src } = rule.reading;
  return isBridge(out?.value, host) || (src !== undefined && src.value.address === dst?.value.address);
}

/** Gateway mode of a network (docker-network-create(1), com.docker.network.bridge.gateway_mode_ipv4). */
export type GatewayMode = "nat" | "nat-unprotected" | "routed";

const isIcmp = (proto: number | undefined): boolean => proto === PROTO.icmp || proto === PROTO.icmpv6;

/**
 * Returns the gateway mode of a network, recognized by its rules: Docker accepts ICMP for a routed network, and everything
 * for an unprotected one (moby's bridge driver, setup_ip_tables_linux.go).
 */
export function gatewayMode(ruleset: Ruleset, bridge: string): GatewayMode {
  const listed = [...ruleset.tables].flatMap(([table, { chains }]) =>
    isDockerTable(table) ? (chains.get(dockerTableChain(bridge))?.rules ?? []) : [],
  );
  const isOpen = listed.at(-1)?.action === "accept" && listed.every(({ action }) => action !== "drop");
  if (isOpen) return "nat-unprotected";
  if (listed.some(({ action, reading }) => action === "accept" && isIcmp(reading.proto?.value)))
    return "routed";
  for (const { reading } of chainOf(ruleset, "filter", DOCKER_CHAIN)?.rules ?? []) {
    const { action, in: input, out, dst, proto } = reading;
    if (out?.value !== bridge || out.not || dst !== undefined || action !== "accept") continue;
    if (input === undefined && isIcmp(proto?.value)) return "routed";
    if (input?.value === bridge && input.not && proto === undefined) return "nat-unprotected";
  }
  return "nat";
}

/**
 * Returns the addresses of containers of networks in gateway mode nat that Docker accepts packets for: those with published
 * ports.
 */
export function publishedInNat(ruleset: Ruleset): Prefix[] {
  const modes = new Map<string, GatewayMode>();
  return (chainOf(ruleset, "filter", DOCKER_CHAIN)?.rules ?? []).flatMap(({ reading: { dst, out } }) => {
    if (dst === undefined || out === undefined) return [];
    let mode = modes.get(out.value);
    if (mode === undefined) modes.set(out.value, (mode = gatewayMode(ruleset, out.value)));
    return mode === "nat" ? [dst.value] : [];
  });
}

/** Returns the ruleset without some rules; the others keep their numbers, so that references to them stay valid. */
export function withoutRules(ruleset: Ruleset, isRemoved: (rule: Rule) => boolean): Ruleset {
  const tables = new Map<TableId, Table>();
  for (const [name, table] of ruleset.tables) {
    const chains = new Map<string, Chain>();
    for (const [key, chain] of table.chains)
      chains.set(key, { ...chain, rules: chain.rules.filter((rule) => !isRemoved(rule)) });
    tables.set(name, { ...table, chains });
  }
  return { ...ruleset, tables };
}
