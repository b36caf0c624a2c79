/** Doubts about inputs that are missing, or were taken at different times. */
import type { Host } from "../host/host.ts";
import { DOCKER_CHAIN, isSince28 } from "../host/known/docker.ts";
import { isInRanges, prefixRange, printAddress } from "../packet/address.ts";
import { type Address, protoName, type Range } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import { chainOf, type Ruleset, type TableId } from "../rules/ruleset.ts";
import { publishedInNat } from "./docker-rules.ts";
import type { Doubt, PublishedEndpoint } from "./doubt.ts";
import { protocolsOf, publications } from "./engine-rules.ts";

/** Returns the doubt about rules that were not given, where the inputs do not show that there are none. */
export function rulesOnlyDoubts(rulesets: readonly Ruleset[], host: Host): Doubt[] {
  const missing = ([4, 6] as const).filter((family) => rulesets.every((r) => r.family !== family));
  const isListed = rulesets.some(({ programs }) => programs?.includes("nft") === true);
  const areBoth = rulesets.every(({ programs }) => programs?.length === 2) && missing.length === 0;
  return host.complete || areBoth
    ? []
    : [{ code: "rules-only", missing, ...(isListed ? { listed: true as const } : {}) }];
}

export function inputDoubts(rulesets: readonly Ruleset[], host: Host): Doubt[] {
  const doubts = rulesOnlyDoubts(rulesets, host);
  for (const ruleset of rulesets) {
    const { family } = ruleset;
    if (missingTables(ruleset).includes("raw")) doubts.push({ code: "no-raw-table", family });
    const endpoints = publishedEndpoints(ruleset, host);
    const routed = bridgedRanges(host);
    for (const { address, endpoint } of endpoints)
      if (!isInRanges(address, routed)) doubts.push({ code: "unreachable-endpoint", family, endpoint });
    const [first] = endpoints;
    if (first !== undefined && host.networks.length > 0 && host.containers.length === 0)
      doubts.push({ code: "no-containers", family, endpoint: first.endpoint });
  }
  return doubts;
}

/**
 * Returns the tables that the Docker which wrote these rules fills and the text lacks: a file of `iptables-save -t filter`,
 * or of `iptables -S`. Docker publishes in table nat. Since 28.0 it drops in table raw packets to the address of a container
 * with published ports, except in networks of gateway mode nat-unprotected or routed.
 * @returns raw only where the text may lack tables; a snapshot lacks it where Docker was configured to write none
 */
export function missingTables(ruleset: Ruleset): readonly TableId[] {
  const { tables } = ruleset;
  if (chainOf(ruleset, "filter", DOCKER_CHAIN) === undefined) return [];
  const missing: TableId[] = tables.has("nat") ? [] : ["nat"];
  if (
    ruleset.whole !== true &&
    !tables.has("raw") &&
    isSince28(ruleset) &&
    publishedInNat(ruleset).length > 0
  )
    missing.push("raw");
  return missing;
}

/** Returns the endpoints that Docker's DNAT rules lead to. */
function publishedEndpoints(
  ruleset: Ruleset,
  host: Host,
): { readonly address: Address; readonly endpoint: PublishedEndpoint }[] {
  const found = new Map<string, { readonly address: Address; readonly endpoint: PublishedEndpoint }>();
  for (const publication of publications(Program.of(ruleset, host))) {
    const { ports, to } = publication.nat;
    const address = to.first;
    const [proto] = protocolsOf(publication);
    const endpoint: PublishedEndpoint = {
      ip: printAddress(address),
      port: ports?.first ?? null,
      proto: proto === undefined ? null : protoName(proto),
    };
    found.set(JSON.stringify(endpoint), { address, endpoint });
  }
  return [...found.values()];
}

/** Returns the destinations of the routes over the host's container bridges. */
function bridgedRanges({ bridges, interfaces, routes }: Host): Range[] {
  const up = new Set(interfaces.filter((i) => i.down !== true).map((i) => i.name));
  const names = new Set(bridges.filter((name) => up.has(name)));
  return routes
    .filter(({ type, dev }) => type === "unicast" && dev !== null && names.has(dev))
    .map(({ to }) => prefixRange(to));
}
