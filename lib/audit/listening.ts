/**
 * What the host itself exposes: for each socket that listens on it, who reaches it from outside. The set is that of all
 * packets that the whole way in (raw, mangle, nat, routing, INPUT) delivers to the socket's address and port.
 */
import { type Host, ownAddresses, type Process, type Socket } from "../host/host.ts";
import { printAddress, within } from "../packet/address.ts";
import { type Address, type Field, PROTO, protoName, type Scalar } from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import type { Step } from "../path/program.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import type { SetState, SetStates } from "../reach/set-state.ts";
import type { Answer } from "../simulate/answer.ts";
import { Simulator } from "../simulate/simulator.ts";
import type { Question } from "./context.ts";
import { ownDestinations, proxiedOnly } from "./exposure.ts";
import { decider, type Exposure, type Intended, type Listen } from "./finding.ts";
import { isAccepted, passes } from "./intent.ts";
import type { Who } from "./set-description.ts";

/**
 * Whether packets from outside reach a socket: they do (`yes`), it depends on unknown inputs (`maybe`),
 * the rules drop all such packets (`no`), a translation takes all of them elsewhere (`translated`), or no packet from
 * outside can have its address (`local`).
 */
export type Open = "yes" | "maybe" | "no" | "translated" | "local";

/** A socket that listens on the host itself, and who reaches it from outside. */
export interface Listening {
  /** 4 or 6. */
  readonly family: 4 | 6;
  /** Name of the protocol. */
  readonly proto: string;
  /** Where it listens: the address that it is bound to, and its port. */
  readonly listen: Listen;
  /** The interface that it is bound to; absent for any. */
  readonly device?: string;
  /** Names of the processes that hold it; none where `ss` does not name them. */
  readonly processes: readonly string[];
  /** The container on the host's own network that holds it; `null` where none is known to. */
  readonly container: string | null;
  /** Whether packets from outside reach it. */
  readonly open: Open;
  /** The interfaces that they come in by. */
  readonly in: readonly string[];
  /** Who can send them, in words. */
  readonly from: string;
  /** The same by interface. */
  readonly by: readonly Who[];
  /** Other ports that a translation brings here, as clients send to them; absent where there are none. */
  readonly as?: string;
  /** The rule or policy that lets one such packet in or stops it; `null` where none decides. */
  readonly rule: Intended["rule"] | null;
}

/** In place of addresses of the host, for packets to many hosts. */
const MANY = "broadcast or multicast";

/** Who reaches what listens at one place. */
type Reached = Pick<Listening, "open" | "in" | "from" | "by" | "as" | "rule">;

/** The sockets of one family, except those of docker-proxy that the published ports name already. */
export function listening(
  q: Question,
  endings: readonly Ending<SetStates>[],
  exposures: readonly Exposure[],
): Listening[] {
  const sockets = (q.host.listening ?? []).filter(({ family }) => family === q.ruleset.family);
  if (sockets.length === 0) return [];
  const search = new Search(q, endings);
  const published = new Set([
    ...exposures.map(({ proto, listen }) => `${proto} ${listen.port}`),
    ...proxiedOnly(q).map(({ proto, port }) => `${protoName(proto)} ${port}`),
  ]);
  const governed = new Set(
    exposures.filter((e) => e.means === "proxy").map(({ proto, listen }) => `${proto} ${listen.port}`),
  );
  return sockets.flatMap((socket) => {
    const reached = search.reached(socket);
    const port = `${protoName(socket.proto)} ${socket.port}`;
    const proxy = socket.processes.every(({ name }) => name === "docker-proxy");
    // docker-proxy is the exposure's own, unless clients get to it past the translation.
    const more = !governed.has(port) || reached.as !== undefined;
    const itself = ["yes", "maybe"].includes(reached.open) && more;
    const named = socket.processes.length > 0;
    const aside = itself ? named && reached.by.every(({ to }) => to === MANY) : published.has(port);
    return proxy && aside ? [] : [{ ...described(q.host, socket), ...reached }];
  });
}

/** Sockets of a family of which no rules were audited: nothing is known of who reaches them. */
export const unaudited = (host: Host, family: 4 | 6): Listening[] =>
  (host.listening ?? [])
    .filter((socket) => socket.family === family)
    .map((socket) => ({
      ...described(host, socket),
      ...{ open: "maybe", in: [], by: [], rule: null },
      from: `not known (no IPv${family} rules were audited)`,
    }));

/** A doubt about sockets of a family without rules; none where no socket serves it. */
export const unauditedDoubt = (host: Host, families: readonly (4 | 6)[]): string[] =>
  families.flatMap((family) => {
    const count = unaudited(host, family).length;
    return count === 0
      ? []
      : [
          `IPv${family}: ${count === 1 ? "a socket listens" : `${count} sockets listen`} on the host, and no IPv${family} rules were audited: who reaches them is not known`,
        ];
  });

/** A socket without the packets that reach it. */
function described(host: Host, socket: Socket): Omit<Listening, keyof Reached> {
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

/** The container that holds a socket. */
function containerOf(host: Host, processes: readonly Process[]): string | null {
  for (const { container } of processes) {
    const known = container === undefined ? undefined : host.containers.find((c) => c.id === container);
    if (known !== undefined) return known.name;
  }
  return null;
}

class Search {
  /** What the host takes in, by form; and the same with what is undecided. */
  private readonly accepted: readonly SetState[];
  private readonly passed: readonly SetState[];
  private readonly known = new Map<string, Reached>();
  private readonly own: Node;
  private readonly local: ReturnType<typeof ownAddresses>["local"];

  constructor(
    private readonly q: Question,
    endings: readonly Ending<SetStates>[],
  ) {
    const firsts = q.firsts(endings.filter((e) => e.delivery === "local" || e.verdict === "undecided"));
    this.accepted = q.full
      .splitEndings(firsts.filter((e) => isAccepted(e) && e.delivery === "local"))
      .map(stateOf);
    this.passed = q.full.splitEndings(firsts.filter(passes)).map(stateOf);
    this.local = ownAddresses(q.host, q.ruleset.family).local;
    this.own = ownDestinations(q);
  }

  /** Who reaches a socket. Ports that no rule tells from each other are one. */
  reached({ proto, address, device, port }: Socket): Reached {
    const { domain } = this.q;
    const key = `${proto} ${address} ${device} ${domain.sameInterval("dport", port)}`;
    let reached = this.known.get(key);
    if (reached === undefined) {
      reached = this.search(proto, address, device, port);
      this.known.set(key, reached);
    }
    return reached;
  }

  private search(proto: number, address: Address | null, device: string | null, port: number): Reached {
    const { q, own } = this;
    const { domain } = q;
    const { diagrams } = domain;
    const bound = address !== null && within(address, this.local);
    const here = [
      domain.sameInterval("proto", proto),
      domain.sameInterval("dport", port),
      q.opening,
      ...(bound ? [domain.sameInterval("dst", address)] : []),
      ...(device === null ? [] : [q.outside.includes(device) ? q.set(is("in", device)) : EMPTY]),
    ].reduce((all, part) => diagrams.intersect(all, part), FULL);
    const among = (states: readonly SetState[], what: Node): Node =>
      diagrams.intersect(
        q.known,
        diagrams.unionAll(states.map((state) => q.full.chains.intersectCurrent(state, what))),
      );
    const target = {
      proto: [proto],
      dport: [port],
      ...(address === null ? {} : { dst: [address] }),
    };
    // What goes to many hosts (broadcast, multicast) opens no connection, and counts only where nothing else gets in.
    const one = address === null ? diagrams.intersect(own, here) : here;
    const direct = among(this.accepted, one);
    const set = direct === EMPTY && proto === PROTO.udp ? among(this.accepted, here) : direct;
    const sure = q.must(set);
    // An address that is not among the host's may be one all the same: a list that is old, or was inferred.
    const certain = sure !== EMPTY && (bound || address === null);
    const all = set === EMPTY ? among(this.passed, one) : set;
    if (all === EMPTY) return this.closed(here, target);
    const many = direct === EMPTY && set !== EMPTY;
    const by = q.words.who(all, q.outside, address === null).flatMap((who): Who[] => {
      if (many) return [who.to === "" ? { ...who, to: MANY } : who];
      return bound || address === null ? this.aimed(who, all) : [who];
    });
    const inputs = q.seen(q.outside, by);
    const shown = sure === EMPTY ? all : sure;
    const { packet, assume } = q.witness(shown, q.input(shown, q.outside, by), target);
    const answer = new Simulator([q.ruleset], q.host, { assume }).packet(packet);
    const moved = diagrams.subtract(all, domain.sameInterval("dport", port));
    return {
      open: certain ? "yes" : "maybe",
      in: inputs,
      from: q.words.from(all),
      by,
      ...(moved === EMPTY ? {} : { as: this.spans(moved, "dport", String) }),
      rule: decidedBy(answer, "filter", q),
    };
  }

  /** Who sends a set's packets to which addresses, where a translation makes others than the host's own lead here. */
  private aimed(who: Who, all: Node): Who[] {
    const { q } = this;
    const { diagrams } = q.domain;
    const groups = new Map<string | undefined, Who>();
    for (const name of who.in) {
      const ports = who.ports?.filter((port) => q.ports.get(port) === name) ?? [];
      const by = diagrams.unionAll([name, ...ports].map((input) => q.set(is("in", input))));
      const to = this.addressed(diagrams.intersect(by, all), who.to);
      const { in: inputs = [], ports: others = [] } = groups.get(to) ?? {};
      const through = [...others, ...ports];
      groups.set(to, {
        in: [...inputs, name],
        ...(through.length === 0 ? {} : { ports: through }),
        from: who.from,
        ...(to === undefined ? {} : { to }),
      });
    }
    return [...groups.values()];
  }

  /** The addresses that packets were sent to; as told already where a translation takes those for any, or for no others. */
  private addressed(set: Node, told: string | undefined): string | undefined {
    const { q, own } = this;
    const { diagrams } = q.domain;
    const others = diagrams.subtract(set, own);
    if (others === EMPTY) return told;
    const text = q.words.to(others, diagrams.complement(own));
    if (text.startsWith("anywhere")) return told === "" ? text : told;
    const mine = told ?? this.spans(diagrams.intersect(set, own), "dst", printAddress);
    return mine === "" ? text : `${mine}, ${text}`;
  }

  /** The values of a field that packets of a set were sent with. */
  private spans(set: Node, field: Field, print: (value: never) => string): string {
    const ranges = this.q.domain.valueRanges(set, field);
    return ranges.map(([a, b]) => [...new Set([a, b])].map((v) => print(v as never)).join("-")).join(", ");
  }

  /** Why nothing from outside reaches a place. */
  private closed(here: Node, target: Partial<Record<"proto" | "dport" | "dst", readonly Scalar[]>>): Reached {
    const { q } = this;
    const nobody = { in: [], from: "nobody", by: [] } as const;
    const knocking = q.domain.diagrams.intersect(here, q.possible);
    const input = q.input(knocking, q.outside);
    if (input === null) return { ...nobody, open: "local", rule: null };
    const { packet, assume } = q.witness(knocking, input, target);
    const answer = new Simulator([q.ruleset], q.host, { assume }).packet(packet);
    // The host takes the packet or sends it on, but no such packet is for this socket in the end.
    const open = answer.verdict === "accept" ? "translated" : "no";
    return { ...nobody, open, rule: decidedBy(answer, open === "translated" ? "nat" : "filter", q) };
  }
}

/** The rule or policy that counts: of a packet that is accepted, the last one of a table; else the one that stops it. */
function decidedBy(answer: Answer, table: "filter" | "nat", q: Question): Intended["rule"] {
  const counts = (s: Step): boolean => s.table === table && (table === "filter" || s.step === "rule");
  const last = answer.verdict === "accept" ? answer.path.findLastIndex(counts) : -1;
  return decider(last < 0 ? answer : { ...answer, path: answer.path.slice(0, last + 1) }, q.ruleset);
}

const stateOf = ({ state }: Ending<SetState>): SetState => state;
