/** Outcomes of all packets of one ruleset on one host, in a domain that several rulesets share. */
import type { Host } from "../host/host.ts";
import { comesInto } from "../host/packet-origin.ts";
import { MULTICAST } from "../packet/address.ts";
import { type Family, type Field, PROTO } from "../packet/field.ts";
import { ANY, and, is, NEVER, not, or, type Predicate, within } from "../packet/predicate.ts";
import { decide } from "../path/decision-list.ts";
import { initialStateCases, picksUpConnections } from "../path/new-connection.ts";
import type { Program } from "../path/program.ts";
import { AttributedEngine, type SetDecider } from "../reach/attributed-engine.ts";
import { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { groupOutcomes, type Outcome, type OutcomeSet, outcomeKey } from "../reach/outcome.ts";
import { type KnownState, SetEngine } from "../reach/set-engine.ts";
import type { Vocabulary } from "../reach/variables.ts";
import { vocabularyOf } from "../reach/vocabulary.ts";
import { siteKey } from "../rules/facts.ts";

/** Origin of packets: they arrive on an interface, or the host itself sends them. */
export type Origin = "arriving" | "sent";
export const ORIGINS: readonly Origin[] = ["arriving", "sent"];

/** Fields of the final header: addresses and ports as the packet leaves or is delivered. */
export const HEADER_FIELDS = ["src", "dst", "sport", "dport"] as const satisfies readonly Field[];

/** Packets that can open a connection: for TCP a SYN alone (RFC 9293). */
export const OPENING: Predicate = or(not(is("proto", PROTO.tcp)), is("flags", 2));

/** Packets that conntrack does not call INVALID. Rules in front of conntrack can stop them, too. */
const validForConntrack = (host: Host, family: Family): Predicate =>
  decide(
    initialStateCases(family, picksUpConnections(host)).map(({ when, outcome }) => ({
      when,
      outcome: outcome === "INVALID" ? NEVER : ANY,
    })),
  );

/**
 * First packets of connections that rules are usually written for: of TCP a SYN alone, of ICMP an echo request. Their time to
 * live outlasts every host.
 */
export function firstOfConnections(host: Host, family: Family): Predicate {
  const [icmp, request] = family === 4 ? [PROTO.icmp, 8] : [PROTO.icmpv6, 128];
  return and(
    OPENING,
    or(not(is("proto", icmp)), is("type", request)),
    validForConntrack(host, family),
    is("ttl", 64),
  );
}

/**
 * Returns a domain in which the packets of all programs are sets.
 * @param question predicates that the question itself tests
 * @throws BudgetExceeded
 */
export function commonDomain(
  family: Family,
  programs: readonly Program[],
  question: readonly Predicate[] = [],
  budget?: number,
): Domain {
  const vocabularies = [...new Set(programs)].map(vocabularyOf);
  const hosts = programs.map(({ host }) => host);
  const names = new Set(hosts.flatMap(({ interfaces }) => interfaces.map(({ name }) => name)));
  const own: Vocabulary = {
    predicates: [
      comesInto(hosts),
      OPENING,
      ...[...names].map((name) => is("in", name)),
      ...Object.values(PROTO).map((number) => is("proto", number)),
      not(within("dst", MULTICAST[family])),
      is("sport", 40000),
      ...question,
    ],
    markValues: new Map(),
  };
  return Domain.of(family, [...vocabularies, own], budget);
}

/** Returns the packets of an origin, as they are sent. Packets of the host have no input interface. */
export const packetsFrom = (origin: Origin, hosts: readonly Host[]): Predicate =>
  origin === "arriving" ? comesInto(hosts) : ANY;

/** Numbers of the deciders of packets, and the outcomes of the packets. */
export interface AttributedPackets {
  readonly outcomes: ReadonlyMap<string, OutcomeSet>;
  /** Maps packets to numbers of deciders; 0 where no rule and no policy decides. */
  readonly deciders: Node;
}

/** Paths of all packets of one program. */
export class PacketPaths {
  readonly engine: SetEngine;
  private attributing: AttributedEngine | undefined;

  constructor(
    readonly program: Program,
    readonly domain: Domain,
    private readonly fields: readonly Field[] = HEADER_FIELDS,
    known: KnownState | null = null,
  ) {
    this.engine = new SetEngine(program, domain, true, known);
  }

  /** Returns the packets of a set by outcome and by the rules that translate them. */
  outcomes(origin: Origin, set: Node): ReadonlyMap<string, OutcomeSet> {
    const { engine } = this;
    const start = { ...engine.start(ANY), set };
    const endings = origin === "arriving" ? engine.arrive(start) : engine.send(start);
    return groupOutcomes(endings, engine, this.fields, this.keyOf);
  }

  /** Returns a key of an outcome, the rules that translated the packets included. */
  private readonly keyOf = (outcome: Outcome): string =>
    [outcomeKey(outcome), ...outcome.translated.map((rule) => siteKey("", rule))].join("|");

  /** Returns the packets of a set by outcome, and the rule or policy that decides each. */
  attributed(origin: Origin, set: Node): AttributedPackets {
    if (set === EMPTY) return { outcomes: new Map(), deciders: EMPTY };
    this.attributing ??= new AttributedEngine(this.program, this.domain, true);
    const engine = this.attributing;
    const start = { ...engine.start(ANY), set };
    const { endings, deciders } =
      origin === "arriving" ? engine.attributeArriving(start) : engine.attributeSent(start);
    return { outcomes: groupOutcomes(endings, engine, this.fields, this.keyOf), deciders };
  }

  /** Returns the decider with a number of `attributed`. */
  decider(id: number): SetDecider | undefined {
    return id === 0 ? undefined : this.attributing?.decider(id);
  }
}
