/** Packets to the containers' own addresses, and packets that Docker's rules forward to other interfaces. */
import { callsIptables, showsInputPorts } from "../host/bridge-ports.ts";
import { prefixRange } from "../packet/address.ts";
import type { Address, Scalar } from "../packet/field.ts";
import { and, between, is, type Predicate } from "../packet/predicate.ts";
import type { Divided } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { valueIn } from "../reach/set-state.ts";
import { gatewayMode } from "./docker-rules.ts";
import { packetsOf, type SetEnding } from "./endings.ts";
import {
  type BridgeEndpoint,
  keyOf,
  listsTranslations,
  namedEndpoints,
  type PublishedEndpoints,
  publishedEndpoints,
  unguardedEndpoints,
} from "./endpoints.ts";
import { exposureOf } from "./exposure.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Exposure, ListenAddress, Passage, Unmatchable } from "./finding.ts";
import { buildFinding, endpointAt, type FindingSubject } from "./finding-builder.ts";
import type { Destination } from "./set-description.ts";
import type { Unsettled } from "./unsettled.ts";

/** Passages to addresses that no rule of Docker's translates, and the ports of routed networks among them. */
export interface DirectAccess {
  readonly passages: readonly Passage[];
  readonly exposures: readonly Exposure[];
}

/**
 * Returns the passages of forwarded packets that Docker's rules do not translate, by the interface they leave by.
 * @param intent packets that the owner's rules forward
 */
export function directAccess(
  model: FamilyModel,
  endings: readonly SetEnding[],
  intent: Node,
  unsettled: Unsettled,
): DirectAccess {
  const published = publishedEndpoints(model.full.program);
  const parts = [...new Set(endings.map((e) => e.out!))].map((out): DirectAccess => {
    const leaving = endings.filter((e) => e.out === out);
    return model.host.bridges.includes(out)
      ? toContainers(model, out, leaving, intent, published, unsettled)
      : { passages: [elsewhere(model, out, leaving, intent, unsettled)], exposures: [] };
  });
  return { passages: parts.flatMap((p) => p.passages), exposures: parts.flatMap((p) => p.exposures) };
}

/** Returns the passage of packets that leave by an interface that is no container bridge. */
function elsewhere(
  model: FamilyModel,
  out: string,
  endings: readonly SetEnding[],
  intent: Node,
  unsettled: Unsettled,
): Passage {
  const subject: FindingSubject = {
    kind: "forward-bypass",
    place: `${out}/any`,
    listen: null,
    container: null,
    inputs: model.outside,
    to: { kind: "interface", name: out },
    target: { dst: addressesOver(model, out) },
  };
  const part = divide(model, packetsOf(model.domain, endings), intent);
  return forwardedPassage(model, subject, out, part, unsettled);
}

/** Divides packets by the intent. */
const divide = ({ domain: { diagrams } }: FamilyModel, all: Node, intent: Node): Divided => ({
  all,
  inside: diagrams.intersect(all, intent),
  outside: diagrams.subtract(all, intent),
});

/** Returns the passage of packets that leave by an interface; the owner's FORWARD gives the intent. */
function forwardedPassage(
  model: FamilyModel,
  subject: FindingSubject,
  out: string,
  { all, inside, outside }: Divided,
  unsettled: Unsettled,
): Passage {
  const finding = buildFinding(model, unsettled, subject, outside, inside, "forward");
  const { kind } = subject;
  return { kind, proto: null, endpoint: null, listen: null, bridge: out, all, blocked: outside, finding };
}

/** Returns the passages of packets into a container bridge: one for each endpoint that Docker's rules name, one for the rest. */
function toContainers(
  model: FamilyModel,
  bridge: string,
  endings: readonly SetEnding[],
  intent: Node,
  { loopback, translated }: PublishedEndpoints,
  unsettled: Unsettled,
): DirectAccess {
  const { domain } = model;
  const endpoints = namedEndpoints(model, bridge);
  const { parts, rest } = domain.partition(packetsOf(domain, endings), endpoints.map(endpointPredicate));
  const hasNat = listsTranslations(model);
  const passages: Passage[] = [];
  const exposures: Exposure[] = [];
  for (const [number, part] of domain.divide(parts, intent)) {
    const endpoint = endpoints[number - 1]!;
    const key = keyOf(endpoint);
    // Docker accepts packets to an endpoint without a DNAT rule in routed networks: the port is published so.
    const isRouted = endpoint.port !== null && hasNat && !translated.has(key);
    const listen = loopback.get(key) ?? null;
    passages.push(endpointPassage(model, bridge, endpoint, listen, part, unsettled));
    if (isRouted) exposures.push(ownAddressExposure(model, endpoint, "routed", part));
  }
  exposures.push(...unguardedExposures(model, bridge, rest, intent));
  if (rest !== EMPTY) passages.push(otherAddresses(model, bridge, endings, rest, intent, unsettled));
  return { passages, exposures };
}

const endpointPredicate = ({ ip, proto, port, portEnd = port! }: BridgeEndpoint): Predicate =>
  and(is("dst", ip), is("proto", proto), ...(port === null ? [] : [between("dport", port, portEnd)]));

const preferredValues = ({ ip, proto, port }: BridgeEndpoint): FindingSubject["target"] => ({
  proto: [proto],
  dst: [ip],
  ...(port === null ? {} : { dport: [port] }),
});

function endpointPassage(
  model: FamilyModel,
  bridge: string,
  endpoint: BridgeEndpoint,
  listen: ListenAddress | null,
  part: Divided,
  unsettled: Unsettled,
): Passage {
  const { ip, proto, port } = endpoint;
  const container = endpointAt(model, ip, port);
  const subject: FindingSubject = {
    kind: listen === null ? "direct-bypass" : "loopback-bypass",
    place: `${container.ip}/${port ?? "any"}`,
    listen,
    container,
    inputs: model.outside,
    target: preferredValues(endpoint),
  };
  return { ...forwardedPassage(model, subject, bridge, part, unsettled), proto, endpoint: { ip, port } };
}

/** Returns the exposures of published ports by the containers' own addresses, where the engine guards none. */
function unguardedExposures(model: FamilyModel, bridge: string, packets: Node, intent: Node): Exposure[] {
  if (packets === EMPTY || model.detail !== "all") return [];
  const { diagrams } = model.domain;
  return unguardedEndpoints(model, bridge).flatMap((endpoint) => {
    const reached = diagrams.intersect(packets, model.set(endpointPredicate(endpoint)));
    return alikePorts(model, endpoint, reached).map(([part, all]) => ({
      ...ownAddressExposure(model, part, "direct", divide(model, all, intent)),
      bridge,
    }));
  });
}

/** Divides the packets to a range of ports into ranges whose ports no rule distinguishes; empty ones are left out. */
function alikePorts(
  { domain }: FamilyModel,
  { portEnd, ...endpoint }: BridgeEndpoint,
  packets: Node,
): (readonly [BridgeEndpoint, Node])[] {
  if (packets === EMPTY) return [];
  if (endpoint.port === null || portEnd === undefined) return [[endpoint, packets]];
  const parts: [BridgeEndpoint, Node][] = [];
  for (let port = endpoint.port; port <= portEnd; ) {
    const alike = domain.sameInterval("dport", port);
    const last = Math.min(portEnd, Number(domain.valueRanges(alike, "dport")[0]![1]));
    const all = domain.diagrams.intersect(packets, alike);
    if (all !== EMPTY) parts.push([{ ...endpoint, port, ...(last === port ? {} : { portEnd: last }) }, all]);
    port = last + 1;
  }
  return parts;
}

/** Returns the exposure of a container's own address and port. */
function ownAddressExposure(
  model: FamilyModel,
  endpoint: BridgeEndpoint,
  means: "routed" | "direct",
  { all, inside }: Divided,
): Exposure {
  const { ip, proto, port, portEnd } = endpoint;
  const range = portEnd === undefined ? {} : { portEnd };
  const container = { ...endpointAt(model, ip, port), ...range };
  const listen = { address: container.ip, port, ...range };
  const target = preferredValues(endpoint);
  return exposureOf(model, { means, proto, endpoint: container, listen, target }, all, inside);
}

/** Returns the passage of packets into a bridge for addresses and ports that no rule of Docker's names. */
function otherAddresses(
  model: FamilyModel,
  bridge: string,
  endings: readonly SetEnding[],
  all: Node,
  intent: Node,
  unsettled: Unsettled,
): Passage {
  const { host } = model;
  const part = divide(model, all, intent);
  const only = onlyDestination(model, endings, part.outside);
  const known = host.containers.flatMap((c) => c.addresses);
  const named = namedEndpoints(model, bridge).map(({ ip }) => ip);
  const subject: FindingSubject = {
    kind: "direct-bypass",
    place: `${bridge}/any`,
    listen: null,
    container: only === null ? null : endpointAt(model, only, null),
    inputs: model.outside,
    to: networkOf(model, bridge),
    target: { dst: [...known, ...named, ...addressesOver(model, bridge)] },
  };
  return forwardedPassage(model, subject, bridge, part, unsettled);
}

/** Returns the one address that packets of a set are delivered to; `null` where there are several. */
function onlyDestination(
  { domain }: FamilyModel,
  endings: readonly SetEnding[],
  packets: Node,
): Address | null {
  // Where the owner's rules translate, the destination differs from the one that was sent.
  const translated = new Set(
    endings.flatMap((e) => [...e.state.headers.values()].map((form) => valueIn(form, "dst"))),
  );
  const spans = translated.has(undefined)
    ? domain.valueRanges(packets, "dst")
    : [...translated].map((to) => [to!, to!] as const);
  const [first] = spans;
  return translated.size === 1 && spans.length === 1 && first![0] === first![1]
    ? (first![0] as Address)
    : null;
}

/**
 * Returns the passages of packets from outside ports of container bridges that no rule can match separately: frames for a
 * container may be bridged past all rules, and routed frames have the bridge as input interface like its containers' packets.
 */
export function indistinctAccess(
  model: FamilyModel,
  endings: readonly SetEnding[],
  intent: Node,
  unsettled: Unsettled,
): Passage[] {
  const { domain, family, host } = model;
  const ports = [...model.bridgeOf].filter(([, bridge]) => !showsInputPorts(host, bridge, family));
  const names = ports.map(([port]) => port);
  const beyond: Unmatchable = {
    code: ports.every(([, bridge]) => callsIptables(host, bridge, family))
      ? "several-ports"
      : "no-br-netfilter",
    inputs: names,
    sysctl: `net.bridge.bridge-nf-call-${family === 4 ? "iptables" : "ip6tables"}`,
  };
  return [...new Set(endings.map((e) => e.out!))].map((out): Passage => {
    const isBridge = host.bridges.includes(out);
    const subject: FindingSubject = {
      kind: isBridge ? "direct-bypass" : "forward-bypass",
      place: `${out}/${names.join("+")}`,
      listen: null,
      container: null,
      inputs: names,
      to: isBridge ? networkOf(model, out) : { kind: "interface", name: out },
      target: { dst: [...host.containers.flatMap((c) => c.addresses), ...addressesOver(model, out)] },
    };
    const leaving = packetsOf(domain, endings, (e) => e.out === out);
    const part = divide(model, leaving, intent);
    return { ...forwardedPassage(model, subject, out, part, unsettled), beyond };
  });
}

/** Returns likely destinations of packets that leave by an interface: a neighbour there, and a remote host. */
const addressesOver = ({ family, host }: FamilyModel, name: string): Scalar[] => [
  ...host.interfaces
    .filter((i) => i.name === name)
    .flatMap((i) => i.addresses.filter((a) => a.family === family))
    .map(({ prefix }): Scalar => {
      const [first] = prefixRange(prefix) as readonly [Address, Address];
      return typeof first === "bigint" ? first + 2n : first + 2;
    }),
  family === 4 ? 0xc633_6409 : 0x2001_0db8_ffff_0000_0000_0000_0000_0009n,
];

const networkOf = (
  { host, ruleset }: FamilyModel,
  bridge: string,
): Extract<Destination, { kind: "network" }> => ({
  kind: "network",
  bridge,
  network: host.networks.find((n) => n.bridge === bridge)?.name ?? null,
  mode: gatewayMode(ruleset, bridge),
});
