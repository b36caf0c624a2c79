/** What the inputs do not say, or say of another time, so that an audit of them may not be one of the host. */
import type { Host } from "../host/host.ts";
import { isSince28 } from "../host/purpose.ts";
import { prefixRange, printAddress, within } from "../packet/address.ts";
import { type Address, protoName } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import { chainOf, type Ruleset, type TableName } from "../rules/ruleset.ts";
import { gatewayMode, publishing } from "./docker-rules.ts";

/** Doubts about the inputs, a sentence each. */
export function inputDoubts(rulesets: readonly Ruleset[], host: Host): string[] {
  const out = scope(rulesets, host);
  for (const ruleset of rulesets) {
    const { family } = ruleset;
    if (missingTables(ruleset).includes("raw"))
      out.push(
        `IPv${family}: the rules have no table raw, in which the Docker that wrote them drops what is sent to the containers' own addresses: whether it does is not known (was the whole of iptables-save given?)`,
      );
    const endpoints = publishedEndpoints(ruleset, host);
    for (const { ip, what } of endpoints)
      if (!isReached(ip, host))
        out.push(
          `IPv${family}: ${what} is published, and no route or container bridge of the host leads to ${printAddress(ip)}: addresses, routes and rules are not of one time, or not whole; who reaches it is not known`,
        );
    if (endpoints.length > 0 && host.networks.length > 0 && host.containers.length === 0)
      out.push(
        `IPv${family}: the rules publish ${endpoints[0]!.what}, and Docker's output names no container: docker inspect is missing or empty; names, and ports that docker-proxy serves, are not known`,
      );
  }
  return out;
}

/** Rules alone say nothing of what else filters: nftables, the other backend, the other family. */
function scope(rulesets: readonly Ruleset[], host: Host): string[] {
  if (host.complete) return [];
  const missing = ([4, 6] as const).filter((family) => !rulesets.some((r) => r.family === family));
  const parts = ["tables of nftables", "rules of the other iptables backend"];
  for (const family of missing) parts.push(`rules of IPv${family}`);
  return [
    `only iptables rules were given: ${parts.slice(0, -1).join(", ")} and ${parts.at(-1)} may filter or open more, and are not known; audit a snapshot (fwcheck collect), or say --assume complete if there are none`,
  ];
}

/**
 * Tables that the Docker which wrote these rules fills, and that the text does not have: a file of `iptables-save -t
 * filter`, or of `iptables -S`. Docker publishes in table nat; since 28.0 it drops in table raw what is sent to the address
 * of a container with published ports, except in networks of gateway mode nat-unprotected or routed.
 * @returns raw only where the text may lack tables: in a snapshot it is missing where Docker was told to write none
 */
export function missingTables(ruleset: Ruleset): readonly TableName[] {
  const { tables } = ruleset;
  if (chainOf(ruleset, "filter", "DOCKER") === undefined) return [];
  const out: TableName[] = tables.has("nat") ? [] : ["nat"];
  if (ruleset.whole !== true && !tables.has("raw") && isSince28(ruleset) && publishesBehindNat(ruleset))
    out.push("raw");
  return out;
}

/** Docker accepts packets for a container of a network that it protects: a port of it is published. */
const publishesBehindNat = (ruleset: Ruleset): boolean =>
  (chainOf(ruleset, "filter", "DOCKER")?.rules ?? []).some((rule) => {
    const { dst, out } = rule.reading;
    return dst !== undefined && out !== undefined && gatewayMode(ruleset, out.value) === "nat";
  });

interface Published {
  readonly ip: Address;
  /** The endpoint in words: `172.17.0.2:80/tcp`. */
  readonly what: string;
}

/** Containers' ports that Docker's DNAT rules publish. */
function publishedEndpoints(ruleset: Ruleset, host: Host): Published[] {
  const found = new Map<string, Published>();
  for (const { rule, effect } of publishing(Program.of(ruleset, host))) {
    if (effect.kind !== "nat" || effect.to.kind !== "range") continue;
    const ip = effect.to.first;
    const place = ruleset.family === 6 ? `[${printAddress(ip)}]` : printAddress(ip);
    const proto = rule.reading.proto?.value;
    const what = `${place}${effect.ports === null ? "" : `:${effect.ports.first}`}${proto === undefined ? "" : `/${protoName(proto)}`}`;
    found.set(what, { ip, what });
  }
  return [...found.values()];
}

/** Some route leads to the address by a container bridge that the host has. */
const isReached = (ip: Address, host: Host): boolean =>
  host.routes.some(
    ({ type, to, dev }) =>
      type === "unicast" &&
      dev !== null &&
      host.bridges.includes(dev) &&
      host.interfaces.some((i) => i.name === dev && i.down !== true) &&
      within(ip, [prefixRange(to)]),
  );
