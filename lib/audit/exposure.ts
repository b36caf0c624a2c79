/** Published ports that packets from outside reach, whether or not the owner's rules govern them. */
import type { Host } from "../host/host.ts";
import { isDockerProxy } from "../host/known/docker.ts";
import { isInRanges, prefixRange, printAddress } from "../packet/address.ts";
import { type Address, type Family, type Field, protoName, type Scalar } from "../packet/field.ts";
import { packetJson } from "../packet/packet-json.ts";
import { is } from "../packet/predicate.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import type { Witness } from "../reach/witness.ts";
import { Simulator } from "../simulate/simulator.ts";
import { openerOf } from "./decision.ts";
import { firstPackets, isAccepted, packetsOf, type SetEnding } from "./endings.ts";
import { servedPorts } from "./engine-rules.ts";
import type { FamilyModel } from "./family-model.ts";
import type {
  Endpoint,
  Exposure,
  ListenAddress,
  PublishedBy,
  ReachedBy,
  UnexpectedPackets,
} from "./finding.ts";
import { endpointAt } from "./finding-builder.ts";

/** A published port. */
interface PublishedPort {
  readonly means: PublishedBy;
  readonly proto: number;
  readonly endpoint: Endpoint;
  readonly listen: ListenAddress;
  /** Preferred values of the witness. */
  readonly target: Partial<Record<Field, readonly Scalar[]>>;
}

/**
 * Returns the exposure of a port.
 * @param all packets that reach it
 * @param permitted those that the owner's rules let through
 */
export function exposureOf(
  model: FamilyModel,
  port: PublishedPort,
  all: Node,
  permitted: Node = all,
): Exposure {
  const { certainty, describer, domain, inputs, outside, sets } = model;
  const { diagrams } = domain;
  const { means, proto, endpoint, listen, target } = port;
  const unread = certainty.unreadOf(all, permitted);
  const unexpected =
    sets.expected === null ? EMPTY : diagrams.subtract(diagrams.intersect(sets.known, all), sets.expected);
  const reachedBy = (set: Node): { readonly witness: Witness; readonly packets: ReachedBy } => {
    // A port that listens on all addresses can be open on some addresses only.
    const by = describer.sourceGroups(set, outside, listen.address === null);
    const witness = model.witnesses.pick(set, inputs.pick(domain, set, outside, by), target);
    return {
      witness,
      packets: {
        in: inputs.namesIn(outside, by),
        sources: describer.sources(set),
        by,
        witness: packetJson(witness.packet),
      },
    };
  };
  const unexpectedBy = (set: Node): UnexpectedPackets => {
    const { witness, packets } = reachedBy(set);
    const answer = new Simulator([model.ruleset], model.host, { assume: witness.assume }).packet(
      witness.packet,
    );
    return { ...packets, rule: openerOf(answer, model.ruleset) };
  };
  return {
    means,
    family: model.family,
    proto: protoName(proto),
    endpoint,
    listen,
    ...reachedBy(all).packets,
    ...(unread.length === 0 ? {} : { unread }),
    ...(unexpected === EMPTY ? {} : { unexpected: unexpectedBy(unexpected) }),
  };
}

/**
 * Returns the ports that docker-proxy serves, for packets to the host itself, which INPUT governs: all of IPv6 where the
 * container has no IPv6 address, and packets without DNAT (accepted by the owner before Docker's rules, not tracked, or
 * from the container's own bridge).
 * @param endings walk of all packets from outside through all rules
 */
export function proxyExposures(model: FamilyModel, endings: readonly SetEnding[]): Exposure[] {
  const { domain, full } = model;
  const { diagrams } = domain;
  const local = firstPackets(
    full,
    endings.filter((e) => isAccepted(e) && e.delivery === "local"),
  );
  const accepted = diagrams.intersect(model.sets.known, packetsOf(domain, local));
  // Packets that a translation redirects from another port are listed with the socket (listening.ts).
  const ports = proxyPorts(model).flatMap((port) => {
    const requested = diagrams.intersect(
      model.set(is("proto", port.proto), is("dport", port.port), model.unicast),
      accepted,
    );
    return requested === EMPTY ? [] : [{ ...port, requested }];
  });
  if (ports.length === 0) return [];
  const states = full.splitEndings(local).map(({ state }) => state);
  // Broadcast and multicast packets open no connection.
  const own = ownDestinations(model);
  return ports.flatMap(({ proto, port, address, ip, requested }) => {
    const atPort = [
      model.set(is("proto", proto), is("dport", port)),
      own,
      model.sets.opening,
      ...(address === null ? [] : [domain.sameInterval("dst", address)]),
    ].reduce((all, part) => diagrams.intersect(all, part), FULL);
    const arrived = diagrams.unionAll(states.map((state) => full.chains.intersectCurrent(state, atPort)));
    const all = diagrams.intersect(requested, arrived);
    if (all === EMPTY) return [];
    const target = { proto: [proto], dport: [port], ...(address === null ? {} : { dst: [address] }) };
    const listen = { address: address === null ? null : printAddress(address), port };
    const endpoint = endpointAt(model, ip, null);
    return [exposureOf(model, { means: "proxy", proto, endpoint, listen, target }, all)];
  });
}

/** Returns the packets that are delivered to one of the host's addresses; all where none is known. */
export function ownDestinations({ host, family, domain }: FamilyModel): Node {
  const own = host.interfaces.flatMap((i) => i.addresses).filter((a) => a.family === family);
  return own.length === 0
    ? FULL
    : domain.diagrams.unionAll(own.map((a) => domain.sameInterval("dst", a.address)));
}

/** A port on which docker-proxy listens. */
export interface ProxyPort {
  readonly proto: number;
  readonly port: number;
  /** Address that docker-proxy is bound to; `null` for every address of the host. */
  readonly address: Address | null;
  /** Address of the container, of either family. */
  readonly ip: Address;
  /** Port of the container that it connects to; `null` where that is not known. */
  readonly containerPort: number | null;
}

/** Returns the sockets that docker-proxy may hold, as `PROTOCOL PORT ADDRESS`; `undefined` where no sockets are given. */
const heldByProxy = ({ listening }: Host, family: Family): ReadonlySet<string> | undefined =>
  listening &&
  new Set(
    listening
      .filter(
        (socket) =>
          socket.family === family &&
          (socket.processes.length === 0 || socket.processes.some(({ name }) => isDockerProxy(name))),
      )
      .map(({ proto, port, address }) => `${proto} ${port} ${address}`),
  );

/**
 * Returns the ports on which docker-proxy listens: those that Docker publishes, unless userland-proxy is off. Where the
 * host's sockets are given, only those held by docker-proxy or by processes that `ss` does not name.
 */
export function proxyPorts({ family, host }: Pick<FamilyModel, "family" | "host">): ProxyPort[] {
  const { daemon, networks } = host;
  if (daemon.proxy === false) return [];
  const held = heldByProxy(host, family);
  // Docker starts no docker-proxy for routed networks: their ports are published at the containers' own addresses.
  const routed = networks
    .filter((n) => n.gateway[family] === "routed")
    .flatMap((n) => n.subnets.map(prefixRange));
  const ports = new Map<string, ProxyPort>();
  for (const container of host.containers) {
    const ip =
      container.addresses.find((a) => typeof a === (family === 4 ? "number" : "bigint")) ??
      container.addresses[0];
    // Podman has no proxy for ports of the root user's containers.
    if (container.hostNetwork || container.engine === "podman" || ip === undefined) continue;
    for (const { proto, hostPort, containerPort = null, address, ...published } of container.published) {
      if (published.family !== family) continue;
      const isServed =
        held?.has(`${proto} ${hostPort} ${address}`) ??
        !container.addresses.some((a) => isInRanges(a, routed));
      if (isServed)
        ports.set(`${proto} ${hostPort} ${address}`, { proto, port: hostPort, address, ip, containerPort });
    }
  }
  return [...ports.values()];
}

/** Returns the proxy ports of IPv6 that no DNAT rule publishes: the container has no IPv6 address. */
export function proxyOnlyPorts(model: FamilyModel): ProxyPort[] {
  if (model.family !== 6) return [];
  const served = servedPorts(model.full.program);
  return proxyPorts(model).filter(({ proto, port }) => !served.has(`${proto} ${port}`));
}
