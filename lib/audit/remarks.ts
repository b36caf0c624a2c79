/** What a reader may miss among the findings since nothing is wrong with it: closed networks, ports that INPUT governs. */
import type { Host } from "../host/host.ts";
import { printPrefix } from "../packet/address.ts";
import { protoName } from "../packet/field.ts";
import { EMPTY } from "../reach/node-store.ts";
import { chainOf, targetName } from "../rules/ruleset.ts";
import type { Question } from "./context.ts";
import { proxiedOnly } from "./exposure.ts";
import type { Exposure, Way } from "./finding.ts";

/** Remarks on one family, a sentence each. */
export function remarks(q: Question, ways: readonly Way[], exposures: readonly Exposure[]): string[] {
  return [...internal(q, ways), ...proxies(q, exposures)];
}

/** Containers that share the host's own network: no rule of Docker's is about them. */
export const hostNetwork = (host: Host): string[] =>
  host.containers
    .filter((c) => c.hostNetwork)
    .map((c) => `container ${c.name} uses the host's own network: INPUT governs its ports as any program's`);

/** Internal networks, by Docker's word or by the rules that close them, and whether they are closed. */
function internal(q: Question, ways: readonly Way[]): string[] {
  const { diagrams } = q.domain;
  const { family } = q.ruleset;
  const closed = new Map<string, string>();
  // ! -s SUBNET -o BRIDGE -j DROP (moby's bridge driver, setupInternalNetworkRules)
  for (const chain of ["DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL"])
    for (const rule of chainOf(q.ruleset, "filter", chain)?.rules ?? []) {
      const { src, out } = rule.reading;
      if (targetName(rule) !== "DROP" || src?.not !== true || out === undefined || out.not) continue;
      const network = q.host.networks.find((n) => n.bridge === out.value);
      const name = network === undefined ? "a network" : `network ${network.name}`;
      closed.set(out.value, `${name} (${out.value}, ${printPrefix(src.value)})`);
    }
  for (const network of q.host.networks) {
    const subnets = network.subnets.filter((s) => typeof s.address === (family === 4 ? "number" : "bigint"));
    if (network.internal && network.bridge !== null && subnets.length > 0 && !closed.has(network.bridge))
      closed.set(
        network.bridge,
        `network ${network.name} (${network.bridge}, ${subnets.map(printPrefix).join(", ")})`,
      );
  }
  return [...closed].map(([bridge, name]) => {
    const open = ways.filter(
      (way) =>
        way.bridge === bridge &&
        way.kind !== "ineffective-allow" &&
        (way.kind === "egress-bypass" ? way.all : diagrams.intersect(q.known, way.all)) !== EMPTY,
    );
    const [into, out] = [
      open.some((w) => w.kind !== "egress-bypass"),
      open.some((w) => w.kind === "egress-bypass"),
    ];
    return into || out
      ? `${name} is internal, and yet ${into ? "packets from outside get in" : "its containers get out"}`
      : `${name} is internal and closed: nothing from outside gets in, nothing gets out`;
  });
}

/** Ports that docker-proxy serves and nobody from outside reaches. */
function proxies(q: Question, exposures: readonly Exposure[]): string[] {
  const open = new Set(
    exposures.filter((e) => e.means === "proxy").map((e) => `${e.listen.port}/${e.proto}`),
  );
  const closed = proxiedOnly(q)
    .map(({ port, proto }) => `${port}/${protoName(proto)}`)
    .filter((port) => !open.has(port));
  return closed.length === 0
    ? []
    : [`docker-proxy serves ${closed.join(", ")} in IPv${q.ruleset.family}, and INPUT governs it: closed`];
}
