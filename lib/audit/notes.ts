/** Notes: facts that are no findings, but easily overlooked, such as closed networks and ports that INPUT governs. */
import { type Host, sysctl } from "../host/host.ts";
import { DOCKER_INTERNAL, DOCKER_ISOLATION_STAGES } from "../host/known/docker.ts";
import { isDockerTable, isNetavarkTable } from "../host/known/tables.ts";
import { printPrefix } from "../packet/address.ts";
import { type Family, protoName } from "../packet/field.ts";
import { EMPTY } from "../reach/node-store.ts";
import { chainOf } from "../rules/ruleset.ts";
import { proxyOnlyPorts } from "./exposure.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Exposure, Passage } from "./finding.ts";

/** A fact about the host that is no finding. */
export type AuditNote =
  /** A container shares the host's network namespace: INPUT governs its ports. */
  | { readonly code: "host-network"; readonly container: string }
  /** An internal network, and whether packets enter or leave it. */
  | {
      readonly code: "internal-network";
      /** Name of Docker's network; `null` where it is unknown. */
      readonly network: string | null;
      readonly bridge: string;
      readonly subnets: readonly string[];
      readonly state: "closed" | "entered" | "left";
    }
  /** Ports that docker-proxy serves and no packet from outside reaches. */
  | {
      readonly code: "proxy-closed";
      readonly family: Family;
      /** Ports as `PORT/PROTOCOL`. */
      readonly ports: readonly string[];
    }
  /** Rules that never match were not searched, since the rules exceed a limit; `fwcheck lint` has a higher one. */
  | { readonly code: "shadow-search-skipped"; readonly family: Family }
  /** Rules at the forward hook drop all that containers of a bridge send to outside; the engine uses nftables. */
  | { readonly code: "egress-cut"; readonly family: Family; readonly bridge: string }
  /** Forwarding is off, so published ports reach no container. */
  | { readonly code: "not-forwarding"; readonly family: Family; readonly sysctl: string }
  /** The sockets of the host were not given. */
  | { readonly code: "no-sockets-given" };

/** Returns the notes on one family. */
export const familyNotes = (
  model: FamilyModel,
  passages: readonly Passage[],
  exposures: readonly Exposure[],
): AuditNote[] => {
  const internal = internalNetworks(model, passages);
  return [...internal, ...cutEgress(model, passages, internal), ...closedProxyPorts(model, exposures)];
};

/** Returns a note for each bridge of an engine in nftables from which no packet leaves the host, internal networks excepted. */
function cutEgress(
  { family, host, outside, ruleset }: FamilyModel,
  passages: readonly Passage[],
  internal: readonly AuditNote[],
): AuditNote[] {
  const isNative = [...ruleset.tables.keys()].some((table) => isDockerTable(table) || isNetavarkTable(table));
  if (!isNative || outside.length === 0 || sysctl(host, FORWARDING[family], 1) === 0) return [];
  const closed = new Set(internal.flatMap((note) => (note.code === "internal-network" ? [note.bridge] : [])));
  return host.bridges.flatMap((bridge): AuditNote[] => {
    const device = host.interfaces.find(({ name }) => name === bridge);
    const hasAddress = device?.addresses.some((a) => a.family === family && a.narrow !== true) === true;
    const sends = passages.some((passage) => passage.kind === "egress-bypass" && passage.bridge === bridge);
    // An interface without carrier has no route, so that nothing from it says anything about rules.
    const isIdle = device?.down === true || closed.has(bridge);
    return !hasAddress || sends || isIdle ? [] : [{ code: "egress-cut", family, bridge }];
  });
}

const FORWARDING: Readonly<Record<Family, string>> = {
  4: "net.ipv4.ip_forward",
  6: "net.ipv6.conf.all.forwarding",
};

/** Returns a note for each container that shares the host's network namespace. */
export const hostNetworkNotes = (host: Host): AuditNote[] =>
  host.containers.filter((c) => c.hostNetwork).map((c) => ({ code: "host-network", container: c.name }));

interface InternalNetwork {
  readonly network: string | null;
  readonly bridge: string;
  readonly subnets: readonly string[];
}

/** Returns a note for each network that is internal by Docker's output or by Docker's rules. */
function internalNetworks(model: FamilyModel, passages: readonly Passage[]): AuditNote[] {
  const { diagrams } = model.domain;
  const networks = new Map<string, InternalNetwork>();
  for (const network of [...networksByRules(model), ...networksByDocker(model)])
    if (!networks.has(network.bridge)) networks.set(network.bridge, network);
  return [...networks.values()].map((network): AuditNote => {
    const open = passages.filter(
      (passage) =>
        passage.bridge === network.bridge &&
        passage.kind !== "ineffective-allow" &&
        (passage.kind === "egress-bypass"
          ? passage.all
          : diagrams.intersect(model.sets.known, passage.all)) !== EMPTY,
    );
    const state = open.some((passage) => passage.kind !== "egress-bypass")
      ? "entered"
      : open.length > 0
        ? "left"
        : "closed";
    return { code: "internal-network", ...network, state };
  });
}

/** Returns networks with the rule `! -s SUBNET -o BRIDGE -j DROP` (moby's bridge driver, setupInternalNetworkRules). */
function networksByRules({ host, ruleset }: FamilyModel): InternalNetwork[] {
  const found = new Map<string, InternalNetwork>();
  for (const chain of [DOCKER_ISOLATION_STAGES[0], DOCKER_INTERNAL])
    for (const rule of chainOf(ruleset, "filter", chain)?.rules ?? []) {
      const { action, src, out } = rule.reading;
      if (action !== "drop" || src?.not !== true || out === undefined || out.not) continue;
      const network = host.networks.find((n) => n.bridge === out.value)?.name ?? null;
      found.set(out.value, { network, bridge: out.value, subnets: [printPrefix(src.value)] });
    }
  return [...found.values()];
}

const networksByDocker = ({ family, host }: FamilyModel): InternalNetwork[] =>
  host.networks.flatMap(({ bridge, internal, name, subnets }) => {
    const own = subnets.filter((s) => typeof s.address === (family === 4 ? "number" : "bigint"));
    return internal && bridge !== null && own.length > 0
      ? [{ network: name, bridge, subnets: own.map(printPrefix) }]
      : [];
  });

/** Returns the note on ports that docker-proxy serves and no packet from outside reaches. */
function closedProxyPorts(model: FamilyModel, exposures: readonly Exposure[]): AuditNote[] {
  const open = new Set(
    exposures.filter((e) => e.means === "proxy").map((e) => `${e.listen.port}/${e.proto}`),
  );
  const ports = proxyOnlyPorts(model)
    .map(({ port, proto }) => `${port}/${protoName(proto)}`)
    .filter((port) => !open.has(port));
  return ports.length === 0 ? [] : [{ code: "proxy-closed", family: model.family, ports }];
}
