/**
 * Why an audit of these rules may not be an audit of this host: Docker's rules are elsewhere, or traffic goes past
 * iptables. Said plainly, so that "no findings" is never taken for "all clear".
 */
import type { Host } from "../host/host.ts";
import type { Program } from "../path/program.ts";
import { chainOf, type Ruleset } from "../rules/ruleset.ts";

/** What could not be settled, a sentence each. */
export function doubts(rulesets: readonly Ruleset[], host: Host): string[] {
  const v4 = rulesets.find((r) => r.family === 4);
  const out: string[] = [...host.doubts];
  const docker =
    host.networks.some((n) => n.bridge !== null) ||
    host.interfaces.some((i) => /^docker(0|_gwbridge)$/.test(i.name));
  const rules = rulesets.some(
    (r) => chainOf(r, "nat", "DOCKER") !== undefined || chainOf(r, "filter", "DOCKER") !== undefined,
  );
  if (docker && !rules)
    out.push(
      "the host has Docker's bridges but the rules have no DOCKER chain: Docker may use its nftables backend, or the other of iptables-legacy and iptables-nft holds its rules; nothing is said of what containers expose",
    );
  for (const network of host.networks)
    if (network.driver === "macvlan" || network.driver === "ipvlan")
      out.push(
        `network ${network.name} is ${network.driver}: its containers are on the wire themselves, and no iptables rule of this host governs them`,
      );
  if (v4 === undefined && rulesets.length > 0 && docker)
    out.push("there is no IPv4 ruleset among the inputs");
  return out;
}

/** Ports that Docker says it publishes and no DNAT rule does: docker-proxy, or another ruleset, serves them. */
export function unpublished(program: Program, host: Host): string[] {
  const { family } = program.ruleset;
  const served = new Set<string>();
  for (const { rule, effect } of program.chain("nat", "DOCKER")?.rules ?? []) {
    if (effect.kind !== "nat") continue;
    const proto = rule.matches[0]?.values.proto?.value;
    for (const match of rule.matches) {
      const ports = match.values.dport?.value as readonly [number, number] | undefined;
      for (let port = ports?.[0] ?? 1; ports !== undefined && port <= ports[1]; port++)
        served.add(`${proto} ${port}`);
    }
  }
  if (family === 6) return []; // docker-proxy serves IPv6 where the container has none, and INPUT governs it.
  return host.containers.flatMap((c) =>
    c.published
      .filter((p) => p.family === family && !c.hostNetwork && !served.has(`${p.proto} ${p.hostPort}`))
      .map(
        (p) =>
          `Docker says that ${c.name} is published on port ${p.hostPort}, but no DNAT rule does so: the rules are not the ones that serve it`,
      ),
  );
}
