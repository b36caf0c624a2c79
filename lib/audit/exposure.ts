/** Published ports that packets from outside reach, whether the owner's rules have a say in it or not. */
import { type Address, type Field, protoName, type Scalar } from "../packet/field.ts";
import { packetJson } from "../packet/packet.ts";
import { is } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, type Node } from "../reach/diagram.ts";
import type { States } from "../reach/state.ts";
import { servedPorts } from "./docker.ts";
import { type Endpoint, type Exposure, endpointOf, type Listen, type Means } from "./finding.ts";
import { isAccepted } from "./intent.ts";
import type { Question } from "./question.ts";

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
  const unexpected = q.expected === null ? EMPTY : diagrams.minus(diagrams.mask(q.known, all), q.expected);
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

/** Ports that docker-proxy serves since no DNAT rule does: packets for the host itself, which INPUT governs. */
export function proxied(q: Question, endings: readonly Ending<States>[], exposures: Exposure[]): void {
  const { diagrams } = q.domain;
  const ports = proxyPorts(q);
  if (ports.length === 0) return;
  const local = q.union(q.firsts(endings), (e) => isAccepted(e) && e.delivery === "local");
  for (const { proto, port, ip } of ports) {
    const all = diagrams.mask(q.set(is("proto", proto), is("dport", port), q.unicast), local);
    if (diagrams.mask(q.known, all) === EMPTY) continue;
    const target = { proto: [proto], dport: [port] };
    const listen = { address: null, port };
    exposures.push(
      exposure(q, { means: "proxy", proto, endpoint: endpointOf(q, ip, null), listen, target }, all),
    );
  }
}

export interface ProxyPort {
  readonly proto: number;
  readonly port: number;
  /** The container's address, of whatever family. */
  readonly ip: Address;
}

/** Ports that Docker publishes in IPv6 where no DNAT rule does: docker-proxy, unless Docker was told to start none. */
export function proxyPorts(q: Question): ProxyPort[] {
  const { family } = q.ruleset;
  if (family !== 6 || q.host.daemon.proxy === false || q.host.daemon.backend === "nftables") return [];
  const served = servedPorts(q.full.program);
  return q.host.containers.flatMap((c) =>
    c.hostNetwork || c.addresses[0] === undefined
      ? []
      : c.published
          .filter((p) => p.family === family && !served.has(`${p.proto} ${p.hostPort}`))
          .map((p) => ({ proto: p.proto, port: p.hostPort, ip: c.addresses[0]! })),
  );
}
