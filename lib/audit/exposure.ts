/** Published ports that packets from outside reach, whether the owner's rules have a say in it or not. */
import { prefixRange, printAddress, within } from "../packet/address.ts";
import { type Address, type Field, protoName, type Scalar } from "../packet/field.ts";
import { packetJson } from "../packet/packet.ts";
import { is } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import type { SetStates } from "../reach/set-state.ts";
import type { Question } from "./context.ts";
import { servedPorts } from "./docker-rules.ts";
import { type Endpoint, type Exposure, endpointOf, type Listen, type Means } from "./finding.ts";
import { isAccepted } from "./intent.ts";

interface Port {
  readonly means: Means;
  readonly proto: number;
  readonly endpoint: Endpoint;
  readonly listen: Listen;
  readonly target: Partial<Record<Field, readonly Scalar[]>>;
}

/**
 * A port, with all packets that reach it.
 * @param allowed those of them that the owner's rules let through
 */
export function exposure(q: Question, port: Port, all: Node, allowed: Node = all): Exposure {
  const { diagrams } = q.domain;
  const { means, proto, endpoint, listen, target } = port;
  const unread = q.unread(all, allowed);
  const unexpected =
    q.expected === null ? EMPTY : diagrams.subtract(diagrams.intersect(q.known, all), q.expected);
  const of = (set: Node): Pick<Exposure, "in" | "from" | "by" | "witness"> => {
    // A port that listens on all addresses can be open on some of them only.
    const by = q.words.who(set, q.outside, listen.address === null);
    const { packet } = q.witness(set, q.input(set, q.outside, by), target);
    return { in: q.seen(q.outside, by), from: q.words.from(set), by, witness: packetJson(packet) };
  };
  return {
    means,
    family: q.ruleset.family,
    proto: protoName(proto),
    endpoint,
    listen,
    ...of(all),
    ...(unread.length === 0 ? {} : { unread }),
    ...(unexpected === EMPTY ? {} : { unexpected: of(unexpected) }),
  };
}

/**
 * Ports that docker-proxy serves: packets for the host itself, which INPUT governs. That is all of IPv6 where the container
 * has no such address, and whatever a DNAT rule does not get: the owner accepts it before Docker's rules, it is not
 * tracked, or it comes in by the container's own bridge.
 */
export function proxied(q: Question, endings: readonly Ending<SetStates>[], exposures: Exposure[]): void {
  const { domain } = q;
  const { diagrams } = domain;
  const local = q.firsts(endings.filter((e) => isAccepted(e) && e.delivery === "local"));
  const sent = diagrams.intersect(q.known, q.union(local));
  // Packets that a translation brings from another port are listed at the socket (`listening`).
  const ports = proxyPorts(q).flatMap((p) => {
    const knocking = diagrams.intersect(q.set(is("proto", p.proto), is("dport", p.port), q.unicast), sent);
    return knocking === EMPTY ? [] : [{ ...p, knocking }];
  });
  if (ports.length === 0) return;
  const states = q.full.splitEndings(local).map(({ state }) => state);
  // What goes to many hosts (broadcast, multicast) opens no connection.
  const own = ownDestinations(q);
  for (const { proto, port, address, ip, knocking } of ports) {
    const here = [
      ...[q.set(is("proto", proto), is("dport", port)), own],
      q.opening,
      ...(address === null ? [] : [domain.sameInterval("dst", address)]),
    ].reduce((all, part) => diagrams.intersect(all, part), FULL);
    const arrived = diagrams.unionAll(states.map((state) => q.full.chains.intersectCurrent(state, here)));
    const all = diagrams.intersect(knocking, arrived);
    if (all === EMPTY) continue;
    const target = { proto: [proto], dport: [port], ...(address === null ? {} : { dst: [address] }) };
    const listen = { address: address === null ? null : printAddress(address), port };
    exposures.push(
      exposure(q, { means: "proxy", proto, endpoint: endpointOf(q, ip, null), listen, target }, all),
    );
  }
}

/** Packets for one of the host's addresses as they are delivered; all where none is known. */
export function ownDestinations(q: Question): Node {
  const own = q.host.interfaces.flatMap((i) => i.addresses).filter((a) => a.family === q.ruleset.family);
  if (own.length === 0) return FULL;
  return q.domain.diagrams.unionAll(own.map((a) => q.domain.sameInterval("dst", a.address)));
}

export interface ProxyPort {
  readonly proto: number;
  readonly port: number;
  /** Where docker-proxy listens; `null` for every address of the host. */
  readonly address: Address | null;
  /** The container's address, of whatever family. */
  readonly ip: Address;
}

/**
 * Ports on which docker-proxy listens: those that Docker publishes, unless userland-proxy is off. Where the sockets of
 * the host are known, those of docker-proxy among them (or of processes that `ss` does not name).
 */
export function proxyPorts(q: Question): ProxyPort[] {
  const { family } = q.ruleset;
  const { daemon, listening, networks } = q.host;
  if (daemon.proxy === false || daemon.backend === "nftables") return [];
  // A routed network's ports are published at the containers' own addresses, and docker-proxy is not started.
  const routed = networks
    .filter((n) => n.gateway[family] === "routed")
    .flatMap((n) => n.subnets.map(prefixRange));
  const ports = new Map<string, ProxyPort>();
  for (const c of q.host.containers) {
    const ip = c.addresses.find((a) => typeof a === (family === 4 ? "number" : "bigint")) ?? c.addresses[0];
    if (c.hostNetwork || ip === undefined) continue;
    for (const { proto, hostPort, address, ...p } of c.published) {
      if (p.family !== family) continue;
      const listens =
        listening?.some(
          (s) =>
            s.family === family &&
            s.proto === proto &&
            s.port === hostPort &&
            s.address === address &&
            (s.processes.length === 0 || s.processes.some(({ name }) => name === "docker-proxy")),
        ) ?? !c.addresses.some((a) => within(a, routed));
      if (listens) ports.set(`${proto} ${hostPort} ${address}`, { proto, port: hostPort, address, ip });
    }
  }
  return [...ports.values()];
}

/** Those of them in IPv6 that no DNAT rule publishes: the container has no IPv6 address, and nothing but docker-proxy serves. */
export function proxiedOnly(q: Question): ProxyPort[] {
  if (q.ruleset.family !== 6) return [];
  const served = servedPorts(q.full.program);
  return proxyPorts(q).filter(({ proto, port }) => !served.has(`${proto} ${port}`));
}
