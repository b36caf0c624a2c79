/**
 * Why an audit of these rules may not be an audit of this host: Docker's rules are elsewhere, or traffic goes past
 * iptables. Said plainly, so that "no findings" is never taken for "all clear".
 */
import type { Host } from "../host/host.ts";
import { purposeOf } from "../host/purpose.ts";
import { prefixRange, within } from "../packet/address.ts";
import type { Address } from "../packet/field.ts";
import type { Program } from "../path/program.ts";
import { chainOf, doubtsOf, type Ruleset, targetName } from "../rules/ruleset.ts";
import { servedPorts } from "./docker-rules.ts";
import { inputDoubts } from "./input-doubts.ts";
import { unbridged } from "./unbridged-containers.ts";

/** What could not be settled, a sentence each. */
export function doubts(rulesets: readonly Ruleset[], host: Host): string[] {
  const out: string[] = [...host.doubts, ...rulesets.flatMap(doubtsOf)];
  const publishes = host.containers.some((c) => c.published.length > 0);
  const docker =
    publishes ||
    host.networks.some((n) => n.bridge !== null) ||
    host.interfaces.some((i) => /^docker(0|_gwbridge)$/.test(i.name));
  const filter = (ruleset: Ruleset): boolean => chainOf(ruleset, "filter", "DOCKER") !== undefined;
  const nat = (ruleset: Ruleset): boolean => chainOf(ruleset, "nat", "DOCKER") !== undefined;
  const silent = "nothing is said of what containers expose";
  if (host.daemon.backend === "nftables")
    out.push(
      `Docker uses its nftables backend: its rules are in tables that iptables-save does not print; ${silent}`,
    );
  else if (host.daemon.iptables === false)
    out.push(
      'Docker was told to write no iptables rules ("iptables": false): docker-proxy serves the published ports, and what else forwards to containers is not known',
    );
  else if (docker && !rulesets.some((r) => filter(r) || nat(r)))
    out.push(
      `${publishes ? "containers publish ports" : "the host has Docker's bridges"} but the rules have no DOCKER chain: Docker may use its nftables backend, or the other of iptables-legacy and iptables-nft holds its rules; ${silent}`,
    );
  for (const ruleset of rulesets) {
    if (filter(ruleset) && !nat(ruleset))
      out.push(
        `IPv${ruleset.family}: the rules hold Docker's chains of table filter but not those of table nat, where ports are published: which ports are open cannot be told (was the whole of iptables-save given?)`,
      );
    if (nat(ruleset) && !ruleset.tables.has("filter"))
      out.push(
        `IPv${ruleset.family}: the rules have no table filter; what the firewall says cannot be told (was the whole of iptables-save given?)`,
      );
  }
  for (const ruleset of rulesets)
    for (const by of strangers(ruleset))
      out.push(
        `IPv${ruleset.family}: ${by} publishes ports by rules of its own, and only Docker's are audited: nothing is said of what its containers expose`,
      );
  for (const network of host.networks)
    if (network.driver === "macvlan" || network.driver === "ipvlan")
      out.push(
        `network ${network.name} is ${network.driver}: its containers are on the wire themselves, and no iptables rule of this host governs them`,
      );
  out.push(
    ...unbridged(
      host,
      rulesets.map((r) => r.family),
    ),
  );
  out.push(...inputDoubts(rulesets, host));
  const runs = docker || rulesets.some((r) => filter(r) || nat(r));
  if (rulesets.length > 0 && runs && !rulesets.some((r) => r.family === 4))
    out.push("there is no IPv4 ruleset among the inputs");
  if (rulesets.length > 0 && runs && !rulesets.some((r) => r.family === 6) && usesIpv6(host))
    out.push(
      "there is no IPv6 ruleset among the inputs, and the host or its containers have IPv6 addresses: nothing is said of what is open in IPv6",
    );
  return out;
}

/** Who else publishes ports by translations of its own. */
export function strangers(ruleset: Ruleset): ReadonlySet<string> {
  const found = new Set<string>();
  for (const { name, rules } of ruleset.tables.get("nat")?.chains.values() ?? []) {
    const purpose = purposeOf("nat", name);
    if (purpose?.role === "engine" && purpose.by !== "Docker" && rules.some((r) => targetName(r) === "DNAT"))
      found.add(purpose.by);
  }
  return found;
}

/** Whether the host or containers have IPv6 addresses of more than their own link. */
export function usesIpv6(host: Host): boolean {
  const wide = (address: Address): boolean => typeof address === "bigint" && address >> 118n !== 0x3fan;
  return (
    host.networks.some((n) => n.subnets.some((s) => wide(s.address))) ||
    host.containers.some((c) => !c.hostNetwork && c.addresses.some(wide)) ||
    host.interfaces.some((i) => i.name !== "lo" && i.addresses.some((a) => wide(a.address)))
  );
}

/** Ports that Docker says it publishes and no DNAT rule does: docker-proxy, or another ruleset, serves them. */
export function unpublished(program: Program, host: Host): string[] {
  const { family } = program.ruleset;
  if (family === 6) return []; // docker-proxy serves IPv6 where the container has none, and INPUT governs it.
  if (host.daemon.backend === "nftables" || host.daemon.iptables === false) return [];
  const served = servedPorts(program);
  // A routed network has no DNAT: its ports are published at the containers' own addresses.
  const routed = host.networks
    .filter((n) => n.gateway[family] === "routed")
    .flatMap((n) => n.subnets.map(prefixRange));
  return host.containers.flatMap((c) => {
    if (c.hostNetwork || c.addresses.some((a) => within(a, routed))) return [];
    return c.published
      .filter((p) => p.family === family && !served.has(`${p.proto} ${p.hostPort}`))
      .map(
        (p) =>
          `Docker says that ${c.name} is published on port ${p.hostPort}, but no DNAT rule does so: the rules are not the ones that serve it`,
      );
  });
}
