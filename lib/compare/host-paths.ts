/** Walks of all first packets between the zones of a host, of one family. */
import { Certainty } from "../audit/certainty.ts";
import type { Doubt } from "../audit/doubt.ts";
import { firstPackets, isAccepted, packetsOf, type SetEnding } from "../audit/endings.ts";
import { InputInterfaces } from "../audit/input-interfaces.ts";
import { withMissing } from "../audit/missing-tables.ts";
import { WitnessPicker } from "../audit/witness-picker.ts";
import { outsidePorts } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { ownAddresses } from "../host/own-addresses.ts";
import { comesIn, outsideInterfaces } from "../host/packet-origin.ts";
import { isInRanges, MULTICAST, printAddress } from "../packet/address.ts";
import type { Address, Family, Scalar } from "../packet/field.ts";
import { ANY, and, is, not, type Predicate, within } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, valueIn } from "../reach/set-state.ts";
import { vocabularyOf } from "../reach/vocabulary.ts";
import type { Witness } from "../reach/witness.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { firstOfConnections } from "./packet-paths.ts";
import { arrivedFrom, HOST_ZONE, packetsFrom, passedOn, type Zone, type ZoneSources } from "./zones.ts";

/** Destination that packets have after translation. */
export interface Translation {
  /** Address as text; `null` where it is not translated. */
  readonly dst: string | null;
  /** Port; `null` where it is not translated. */
  readonly dport: number | null;
}

/** Packets with one translated destination, as sent. */
export interface TranslatedPart {
  /** The host receives the packets, and docker-proxy passes their contents on. */
  readonly proxied: boolean;
  /** `null` where the destination is not translated. */
  readonly translated: Translation | null;
  readonly set: Node;
}

/** Packets of a zone, as sent. */
export interface ZonePackets {
  /** Packets that open a connection. */
  readonly sent: Node;
  /** Those that arrive somewhere if no rule drops or translates any; of spoofed packets, those with the zone's own sources, too. */
  readonly possible: Node;
  /** Those that arrive in a zone if no rule drops or translates any. */
  routed(to: Zone): Node;
}

/** First packets of connections to one receiver. */
const opening = (host: Host, family: Family): Predicate => {
  const { broadcast } = ownAddresses(host, family);
  return and(
    firstOfConnections(host, family),
    not(within("dst", [...MULTICAST[family], ...broadcast])),
    not(within("src", broadcast)),
  );
};

/** Returns the ruleset without a rule. */
const withoutRules = ({ unread: _, ...ruleset }: Ruleset): Ruleset => ({ ...ruleset, tables: new Map() });

/** Endings of all first packets, by origin. */
interface Walks {
  readonly arriving: readonly SetEnding[];
  /** Of packets that the host sends. */
  readonly sent: readonly SetEnding[];
}

/** Options of the walks. */
export interface HostPathsOptions {
  /** Most intervals of the diagrams. */
  readonly budget?: number | undefined;
  /** Sources of the packets of zones. Default: `own`. */
  readonly sources?: ZoneSources | undefined;
  /** Predicates that the domain must distinguish as well. */
  readonly asked?: readonly Predicate[] | undefined;
}

export class HostPaths {
  readonly family: Family;
  readonly sources: ZoneSources;
  readonly domain: Domain;
  readonly program: Program;
  readonly certainty: Certainty;
  private readonly engine: SetEngine;
  /** All first packets of connections, of every origin. */
  readonly first: Node;
  private readonly walks: Walks;
  /** Walks without rules. */
  private readonly routed: Walks;
  private readonly picker: WitnessPicker;
  private readonly rows = new Map<Zone, ZonePackets>();
  private readonly routes = new Map<readonly SetEnding[], Map<Zone, Node>>();
  /** Bridge of each port that leads outside. */
  private readonly bridgeOf: ReadonlyMap<string, string>;

  /** @throws BudgetExceeded */
  constructor(
    ruleset: Ruleset,
    readonly host: Host,
    readonly zones: readonly Zone[],
    { budget, sources = "own", asked = [] }: HostPathsOptions = {},
  ) {
    const { family } = ruleset;
    this.family = family;
    this.sources = sources;
    this.bridgeOf = outsidePorts(host);
    this.program = Program.of(withMissing(ruleset, host), host);
    const open = Program.of(withoutRules(ruleset), host);
    const first = opening(host, family);
    const predicates = [
      ...asked,
      first,
      comesIn(host),
      is("sport", 40000),
      is("dport", 0),
      is("src", family === 4 ? 0 : 0n),
      ...[HOST_ZONE, ...zones].flatMap((zone) => [
        arrivedFrom(host, zone),
        packetsFrom(host, family, zone, sources),
        addressed(zone),
        passedOn(zone.proxied),
      ]),
    ];
    this.domain = Domain.of(
      family,
      [vocabularyOf(this.program), vocabularyOf(open), { predicates, markValues: new Map() }],
      budget,
    );
    this.engine = new SetEngine(this.program, this.domain, false);
    this.first = this.domain.set(first);
    this.walks = walk(this.engine, host, first);
    this.routed = walk(new SetEngine(open, this.domain, false), host, first);
    this.certainty = new Certainty(this.domain, this.program.ruleset);
    const inputs = new InputInterfaces(host, family, this.bridgeOf);
    this.picker = new WitnessPicker(this.domain, host, family, inputs, outsideInterfaces(host));
  }

  /** Returns the packets that a zone sends. */
  row(zone: Zone): ZonePackets {
    let row = this.rows.get(zone);
    if (row === undefined) {
      const { diagrams } = this.domain;
      const from = this.domain.set(packetsFrom(this.host, this.family, zone, this.sources));
      const sent = diagrams.intersect(this.first, from);
      const arrives = packetsOf(this.domain, endingsOf(this.routed, zone), isAccepted);
      const possible = this.sources === "own" ? sent : this.domain.set(arrivedFrom(this.host, zone));
      row = {
        sent,
        possible: diagrams.intersect(possible, arrives),
        routed: (to) => diagrams.intersect(sent, this.routedTo(to, zone)),
      };
      this.rows.set(zone, row);
    }
    return row;
  }

  /**
   * Returns the packets that get through to a zone, by the destination that they are translated to.
   * @param from any zone of the same origin: the host itself, or not
   */
  reaching(to: Zone, from: Zone): TranslatedPart[] {
    return this.parts(endingsOf(this.walks, from), to);
  }

  /** Returns the packets of all zones of one origin that arrive in a zone if no rule drops or translates any; memoized. */
  private routedTo(to: Zone, from: Zone): Node {
    const endings = endingsOf(this.routed, from);
    let sets = this.routes.get(endings);
    if (sets === undefined) this.routes.set(endings, (sets = new Map<Zone, Node>()));
    let set = sets.get(to);
    if (set === undefined) {
      const forwarded = this.parts(endings, to).filter(({ proxied }) => !proxied);
      set = this.domain.diagrams.unionAll(forwarded.map((part) => part.set));
      sets.set(to, set);
    }
    return set;
  }

  /** Returns the accepted packets of a walk that arrive in a zone. */
  private parts(endings: readonly SetEnding[], to: Zone): TranslatedPart[] {
    const { diagrams } = this.domain;
    const sets = new Map<string, { readonly part: Omit<TranslatedPart, "set">; readonly sets: Node[] }>();
    for (const ending of endings) {
      const proxied = ending.delivery === "local" && to.proxied.length > 0;
      if (!isAccepted(ending) || !(proxied || this.leadsTo(ending, to))) continue;
      const groups = this.engine.chains.groupByHeader(ending.state, (header) =>
        JSON.stringify(translationOf(header)),
      );
      for (const [key, { set, headers }] of groups) {
        const [header] = headers.values();
        const all = diagrams.members(set);
        const members = proxied
          ? diagrams.intersect(all, this.domain.set(passedOn(to.proxied, (field) => valueIn(header!, field))))
          : this.addressedTo(to, all, header!);
        if (members === EMPTY) continue;
        const name = `${proxied} ${key}`;
        const known = sets.get(name);
        if (known !== undefined) known.sets.push(members);
        else sets.set(name, { part: { translated: translationOf(header!), proxied }, sets: [members] });
      }
    }
    return [...sets.values()].map(({ part, sets: list }) => ({ ...part, set: diagrams.unionAll(list) }));
  }

  /** Returns true if packets of an ending can be for a zone. Those that a bridge sends to outside ports can be for both. */
  private leadsTo({ delivery, out }: SetEnding, to: Zone): boolean {
    if (to.kind === "host") return delivery === "local";
    if ((delivery !== "forward" && delivery !== "out") || out === null) return false;
    return to.kind === "interface"
      ? out === to.name || this.bridgeOf.get(to.name) === out
      : to.bridges.includes(out);
  }

  /** Restricts packets with one header to those for the addresses of a zone. */
  private addressedTo(to: Zone, packets: Node, header: HeaderState): Node {
    if (to.addresses === null) return packets;
    const dst = valueIn(header, "dst");
    if (dst !== undefined) return isInRanges(dst, to.addresses) ? packets : EMPTY;
    return this.domain.diagrams.intersect(packets, this.domain.set(addressed(to)));
  }

  /** Returns one packet of a set that a zone sends: the most usual one. */
  witness(from: Zone, set: Node): Witness {
    const input = from.kind === "interface" ? from.name : null;
    const sources = usualSources(this.host, this.family, from);
    const { packet, assume } = this.picker.pick(set, input, sources.length === 0 ? {} : { src: sources });
    return { packet: from.kind === "host" ? { ...packet, in: null } : packet, assume };
  }

  /** Returns the packets of a zone that have no verdict, for example because the order of base chains is not known. */
  undecided(from: Zone): Node {
    const { diagrams } = this.domain;
    const endings = endingsOf(this.walks, from);
    return diagrams.intersect(
      this.row(from).sent,
      packetsOf(this.domain, endings, (e) => e.verdict === "undecided"),
    );
  }

  /** Returns the doubts about packets that are not followed to the end. */
  doubts(): Doubt[] {
    const { family } = this;
    const endings = [...this.walks.arriving, ...this.walks.sent];
    const reasons = endings.flatMap(({ state }) => [...state.headers.values()].flatMap((h) => h.unsure));
    return [
      ...reasons.map((reason): Doubt => ({ code: "not-followed", family, reason })),
      ...(this.zones.some((zone) => this.undecided(zone) !== EMPTY)
        ? [{ code: "undecided-packets", family } as const]
        : []),
    ];
  }
}

const endingsOf = ({ arriving, sent }: Walks, { kind }: Zone): readonly SetEnding[] =>
  kind === "host" ? sent : arriving;

/** Walks the first packets of all connections. */
const walk = (engine: SetEngine, host: Host, first: Predicate): Walks => ({
  arriving: firstPackets(engine, engine.arrive(engine.start(and(first, comesIn(host))))),
  sent: firstPackets(engine, engine.send(engine.start(first))),
});

/** Packets for the addresses of a zone. */
const addressed = ({ addresses }: Zone): Predicate => (addresses === null ? ANY : within("dst", addresses));

/** Returns the destination that packets with a header are translated to. */
function translationOf(header: HeaderState): Translation | null {
  const [dst, dport] = [valueIn(header, "dst"), valueIn(header, "dport")];
  return dst === undefined && dport === undefined
    ? null
    : {
        dst: dst === undefined ? null : printAddress(dst as Address),
        dport: dport === undefined ? null : (dport as number),
      };
}

/** Returns addresses that a zone usually sends from. */
function usualSources(host: Host, family: Family, { kind, bridges, addresses }: Zone): Scalar[] {
  const isOfFamily = (address: Address): boolean => (typeof address === "number" ? 4 : 6) === family;
  switch (kind) {
    case "host":
      return host.interfaces
        .filter(({ name }) => name !== "lo")
        .flatMap((i) => i.addresses.filter((a) => a.family === family).map((a) => a.address));
    case "interface":
      return [];
    case "network":
      return host.networks
        .filter(({ bridge }) => bridge !== null && bridges.includes(bridge))
        .flatMap(({ endpoints }) => endpoints.map((e) => e.address).filter(isOfFamily));
    case "container":
      return (addresses ?? []).map(([first]) => first);
  }
}
