/**
 * Exposure of the host itself: for each socket that listens, the packets from outside which raw, mangle, nat, routing and
 * INPUT deliver to its address and port.
 */
import type { Host, Process, Socket } from "../host/host.ts";
import { isDockerProxy } from "../host/known/docker.ts";
import { ownAddresses } from "../host/own-addresses.ts";
import { isInRanges, printAddress } from "../packet/address.ts";
import { type Address, type Family, type Field, PROTO, protoName, type Scalar } from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import type { Step } from "../path/program.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import type { SetState } from "../reach/set-state.ts";
import { iptablesName } from "../rules/ruleset.ts";
import type { Answer } from "../simulate/answer.ts";
import { Simulator } from "../simulate/simulator.ts";
import { type Decider, deciderOf } from "./decision.ts";
import type { Doubt } from "./doubt.ts";
import { firstPackets, isAccepted, mayPass, type SetEnding } from "./endings.ts";
import { ownDestinations, proxyOnlyPorts } from "./exposure.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Exposure, ListenAddress } from "./finding.ts";
import type { HostDestinations, SourceGroup, Sources } from "./set-description.ts";

/**
 * Reachability of a socket from outside: `yes`; `maybe`, depending on unknowns; `no`, dropped by the rules; `translated`,
 * redirected to another address or port; or `local`, because no packet from outside can have its address as destination.
 */
export type Reachability = "yes" | "maybe" | "no" | "translated" | "local";

/** A socket that listens on the host itself, and the packets from outside that reach it. */
export interface ListeningSocket {
  /** 4 or 6. */
  readonly family: Family;
  /** Name of the protocol. */
  readonly proto: string;
  /** Address that the socket is bound to, and its port. */
  readonly listen: ListenAddress;
  /** Interface that it is bound to; absent for any. */
  readonly device?: string;
  /** Names of the processes that hold it; empty where `ss` names none. */
  readonly processes: readonly string[];
  /** Container on the host's network that holds it; `null` where none is known. */
  readonly container: string | null;
  /** Reachability from outside. */
  readonly open: Reachability;
  /** Interfaces that the packets arrive on. */
  readonly in: readonly string[];
  /** Sources of the packets; `unknown` where no rules of the family were audited. */
  readonly sources: Sources;
  /** The same by interface. */
  readonly by: readonly SourceGroup[];
  /** Other ports that a translation redirects here, as ranges; absent where there are none. */
  readonly redirectedPorts?: readonly string[];
  /** Rule or policy that accepts or drops one such packet; `null` where none decides. */
  readonly rule: Decider | null;
}

/** The part of `ListeningSocket` that depends on rules. */
type SocketReach = Pick<ListeningSocket, "open" | "in" | "sources" | "by" | "redirectedPorts" | "rule">;

/**
 * Returns the sockets of one family, except those of docker-proxy that `exposures` names already.
 * @param endings walk of all packets from outside through all rules
 */
export function listeningSockets(
  model: FamilyModel,
  endings: readonly SetEnding[],
  exposures: readonly Exposure[],
): ListeningSocket[] {
  const sockets = (model.host.listening ?? []).filter(({ family }) => family === model.family);
  if (sockets.length === 0) return [];
  const analysis = new SocketAnalysis(model, endings);
  const published = new Set([
    ...exposures.map(({ proto, listen }) => `${proto} ${listen.port}`),
    ...proxyOnlyPorts(model).map(({ proto, port }) => `${protoName(proto)} ${port}`),
  ]);
  const proxied = new Set(
    exposures.filter((e) => e.means === "proxy").map(({ proto, listen }) => `${proto} ${listen.port}`),
  );
  return sockets.flatMap((socket) => {
    const reach = analysis.reachOf(socket);
    const port = `${protoName(socket.proto)} ${socket.port}`;
    const isProxy = socket.processes.every(({ name }) => isDockerProxy(name));
    // An exposure names the port of docker-proxy, unless clients reach the socket without the translation.
    const isMore = !proxied.has(port) || reach.redirectedPorts !== undefined;
    const isOpen = ["yes", "maybe"].includes(reach.open) && isMore;
    const isNamed = socket.processes.length > 0;
    const isGroupOnly = reach.by.every(({ destinations }) => destinations?.group === true);
    const isRedundant = isOpen ? isNamed && isGroupOnly : published.has(port);
    return isProxy && isRedundant ? [] : [{ ...described(model.host, socket), ...reach }];
  });
}

/** Returns the sockets of a family whose rules were not audited. */
export const unauditedSockets = (host: Host, family: Family): ListeningSocket[] =>
  (host.listening ?? [])
    .filter((socket) => socket.family === family)
    .map((socket) => ({
      ...described(host, socket),
      open: "maybe",
      in: [],
      sources: { kind: "unknown" },
      by: [],
      rule: null,
    }));

/** Returns a doubt for each family without rules in which sockets listen. */
export const unauditedSocketDoubts = (host: Host, families: readonly Family[]): Doubt[] =>
  families.flatMap((family) => {
    const count = unauditedSockets(host, family).length;
    return count === 0 ? [] : [{ code: "unaudited-sockets", family, count }];
  });

/** Returns the description of a socket without its reachability. */
function described(host: Host, socket: Socket): Omit<ListeningSocket, keyof SocketReach> {
  const { family, proto, address, device, port, processes } = socket;
  return {
    family,
    proto: protoName(proto),
    listen: { address: address === null ? null : printAddress(address), port },
    ...(device === null ? {} : { device }),
    processes: [...new Set(processes.map(({ name }) => name))],
    container: containerOf(host, processes),
  };
}

/** Returns the name of the container that holds a socket. */
function containerOf(host: Host, processes: readonly Process[]): string | null {
  for (const { container } of processes) {
    const known = container === undefined ? undefined : host.containers.find((c) => c.id === container);
    if (known !== undefined) return known.name;
  }
  return null;
}

/** Computes the reachability of sockets; memoizes by address and by ports that no rule distinguishes. */
class SocketAnalysis {
  /** Packets that the host accepts as input, by form. */
  private readonly accepted: readonly SetState[];
  /** The same with undecided packets. */
  private readonly passed: readonly SetState[];
  private readonly known = new Map<string, SocketReach>();
  /** Packets that are delivered to one of the host's addresses. */
  private readonly own: Node;
  private readonly local: ReturnType<typeof ownAddresses>["local"];

  constructor(
    private readonly model: FamilyModel,
    endings: readonly SetEnding[],
  ) {
    const { full, host, family } = model;
    const firsts = firstPackets(
      full,
      endings.filter((e) => e.delivery === "local" || e.verdict === "undecided"),
    );
    const states = (of: readonly SetEnding[]): SetState[] => full.splitEndings(of).map(({ state }) => state);
    this.accepted = states(firsts.filter((e) => isAccepted(e) && e.delivery === "local"));
    this.passed = states(firsts.filter(mayPass));
    this.local = ownAddresses(host, family).local;
    this.own = ownDestinations(model);
  }

  reachOf({ proto, address, device, port }: Socket): SocketReach {
    const { domain } = this.model;
    const key = `${proto} ${address} ${device} ${domain.sameInterval("dport", port)}`;
    let reach = this.known.get(key);
    if (reach === undefined) {
      reach = this.analyze(proto, address, device, port);
      this.known.set(key, reach);
    }
    return reach;
  }

  private analyze(proto: number, address: Address | null, device: string | null, port: number): SocketReach {
    const { model } = this;
    const { certainty, describer, domain, inputs, outside } = model;
    const { diagrams } = domain;
    const isOwnAddress = address !== null && isInRanges(address, this.local);
    const atSocket = [
      domain.sameInterval("proto", proto),
      domain.sameInterval("dport", port),
      model.sets.opening,
      ...(isOwnAddress ? [domain.sameInterval("dst", address)] : []),
      ...(device === null ? [] : [outside.includes(device) ? model.set(is("in", device)) : EMPTY]),
    ].reduce((all, part) => diagrams.intersect(all, part), FULL);
    const target = { proto: [proto], dport: [port], ...(address === null ? {} : { dst: [address] }) };
    const unicast = address === null ? diagrams.intersect(this.own, atSocket) : atSocket;
    const direct = this.sentTo(this.accepted, unicast);
    // Broadcast and multicast open no connection; they count for UDP where no unicast packet is accepted.
    const set = direct === EMPTY && proto === PROTO.udp ? this.sentTo(this.accepted, atSocket) : direct;
    const certain = certainty.certainPart(set);
    // The list of the host's addresses may be old or inferred, so an address outside it can still be the host's.
    const isCertain = certain !== EMPTY && (isOwnAddress || address === null);
    const all = set === EMPTY ? this.sentTo(this.passed, unicast) : set;
    if (all === EMPTY) return this.closed(atSocket, target);
    const isGroup = direct === EMPTY && set !== EMPTY;
    const by = describer
      .sourceGroups(all, outside, address === null)
      .flatMap((group): readonly SourceGroup[] => {
        if (isGroup)
          return [
            group.destinations?.parts.length === 0
              ? { ...group, destinations: { ...group.destinations, group: true } }
              : group,
          ];
        return isOwnAddress || address === null ? this.byDestination(group, all) : [group];
      });
    const shown = certain === EMPTY ? all : certain;
    const { packet, assume } = model.witnesses.pick(shown, inputs.pick(domain, shown, outside, by), target);
    const answer = new Simulator([model.ruleset], model.host, { assume }).packet(packet);
    const redirected = diagrams.subtract(all, domain.sameInterval("dport", port));
    return {
      open: isCertain ? "yes" : "maybe",
      in: inputs.namesIn(outside, by),
      sources: describer.sources(all),
      by,
      ...(redirected === EMPTY ? {} : { redirectedPorts: this.ranges(redirected, "dport", String) }),
      rule: deciderIn("filter", answer, model),
    };
  }

  /** Returns the packets, as sent on known interfaces, that are in a set after the walk. */
  private sentTo(states: readonly SetState[], set: Node): Node {
    const { domain, full, sets } = this.model;
    const { diagrams } = domain;
    return diagrams.intersect(
      sets.known,
      diagrams.unionAll(states.map((state) => full.chains.intersectCurrent(state, set))),
    );
  }

  /** Divides a group by destination, where translations redirect packets for other addresses to the host. */
  private byDestination(group: SourceGroup, all: Node): SourceGroup[] {
    const { bridgeOf, domain } = this.model;
    const { diagrams } = domain;
    const groups = new Map<string, SourceGroup>();
    for (const name of group.in) {
      const ports = group.ports?.filter((port) => bridgeOf.get(port) === name) ?? [];
      const arriving = diagrams.unionAll([name, ...ports].map((input) => this.model.set(is("in", input))));
      const destinations = this.destinations(diagrams.intersect(arriving, all), group.destinations);
      const key = JSON.stringify(destinations) ?? "";
      const { in: names = [], ports: others = [] } = groups.get(key) ?? {};
      const allPorts = [...others, ...ports];
      groups.set(key, {
        in: [...names, name],
        ...(allPorts.length === 0 ? {} : { ports: allPorts }),
        sources: group.sources,
        ...(destinations === undefined ? {} : { destinations }),
      });
    }
    return [...groups.values()];
  }

  /**
   * Returns the destinations that packets were sent to, with those that a translation redirects to the host.
   * @param own destinations of the host among them; `undefined` for all
   */
  private destinations(set: Node, own: HostDestinations | undefined): HostDestinations | undefined {
    const { describer, domain } = this.model;
    const { diagrams } = domain;
    const others = diagrams.subtract(set, this.own);
    if (others === EMPTY) return own;
    const redirected = describer.destinations(others, diagrams.complement(this.own));
    if (redirected.kind === "all" || redirected.kind === "all-but")
      return own?.parts.length === 0 ? { ...own, redirected } : own;
    const ownParts = own ?? {
      parts: this.ranges(diagrams.intersect(set, this.own), "dst", printAddress),
      more: 0,
    };
    return { ...ownParts, redirected };
  }

  /** Returns the values of a field that packets of a set were sent with, as ranges. */
  private ranges(set: Node, field: Field, print: (value: never) => string): string[] {
    return this.model.domain
      .valueRanges(set, field)
      .map(([a, b]) => [...new Set([a, b])].map((value) => print(value as never)).join("-"));
  }

  /** Returns the result for a socket that no packet from outside reaches, with the reason. */
  private closed(
    atSocket: Node,
    target: Partial<Record<"proto" | "dport" | "dst", readonly Scalar[]>>,
  ): SocketReach {
    const { model } = this;
    const { domain, inputs, outside } = model;
    const none = { in: [], sources: { kind: "none" }, by: [] } as const;
    const requested = domain.diagrams.intersect(atSocket, model.deliverable);
    const input = inputs.pick(domain, requested, outside);
    if (input === null) return { ...none, open: "local", rule: null };
    const { packet, assume } = model.witnesses.pick(requested, input, target);
    const answer = new Simulator([model.ruleset], model.host, { assume }).packet(packet);
    // An accepted packet is delivered elsewhere, since none reaches this socket.
    return answer.verdict === "accept"
      ? { ...none, open: "translated", rule: deciderIn("nat", answer, model) }
      : { ...none, open: "no", rule: deciderIn("filter", answer, model) };
  }
}

/** Returns the rule or policy that stops a packet, or for an accepted packet the last one of a table. */
function deciderIn(table: "filter" | "nat", answer: Answer, { ruleset }: FamilyModel): Decider {
  const counts = (s: Step): boolean =>
    iptablesName(s.table) === table && (table === "filter" || s.step === "rule");
  const last = answer.verdict === "accept" ? answer.path.findLastIndex(counts) : -1;
  return deciderOf(last < 0 ? answer : { ...answer, path: answer.path.slice(0, last + 1) }, ruleset);
}
