/** Descriptions of packet sets as data: sources by interface, traffic, and destinations. */
import { isPrefixRange, printAddressRange } from "../packet/address.ts";
import { type Field, PROTO, protoName, type Range } from "../packet/field.ts";
import { is, not } from "../packet/predicate.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";

/** Members of a set as text, such as address ranges or `tcp 25`. */
export interface PartList {
  /** Members; in findings and exposures at most the first six. */
  readonly parts: readonly string[];
  /** Number of members that `parts` omits. */
  readonly more: number;
}

/** A set within a universe, as the shorter of its members and its exceptions. */
export type SetDescription =
  | { readonly kind: "none" }
  | { readonly kind: "all" }
  | ({ readonly kind: "only" } & PartList)
  | ({ readonly kind: "all-but" } & PartList);

/** Source addresses of packets: a set, the members of a ban list that is not given, or unknown. */
export type Sources = SetDescription | { readonly kind: "listed" } | { readonly kind: "unknown" };

/** Destination addresses of packets for the host itself. */
export interface HostDestinations extends PartList {
  /** Other destinations that a translation redirects to the host. */
  readonly redirected?: SetDescription;
  /** The packets are broadcast or multicast; `parts` is empty. */
  readonly group?: true;
}

/** Interfaces that receive packets from the same sources. */
export interface SourceGroup {
  /** Names of interfaces, as iptables matches them; empty where the interface is not on the host. */
  readonly in: readonly string[];
  /** Bridge ports among them that receive the packets; absent where there are none. */
  readonly ports?: readonly string[];
  /** Source addresses. */
  readonly sources: Sources;
  /** Destination addresses of the host; absent for all addresses. */
  readonly destinations?: HostDestinations;
}

/** Destinations of packets that leave the host or enter a container network. */
export type Destination =
  | { readonly kind: "addresses"; readonly addresses: SetDescription }
  /** Any address over an interface. */
  | { readonly kind: "interface"; readonly name: string }
  /** Any container of a bridge. */
  | {
      readonly kind: "network";
      readonly bridge: string;
      /** Name of Docker's network; `null` where it is unknown. */
      readonly network: string | null;
      /** Docker's gateway mode of the network. */
      readonly mode: "nat" | "nat-unprotected" | "routed";
    };

/** Packets by protocol and port, and their destinations. */
export interface Traffic {
  /** Protocols with their ports, such as `tcp 25`. */
  readonly protocols: SetDescription;
  /** Destinations. */
  readonly to: Destination;
}

/** More members than this are counted, not listed. */
const MOST_PARTS = 6;

/** Returns a list with the members that exceed the limit counted. */
export const partList = (parts: readonly string[], most = MOST_PARTS): PartList => ({
  parts: parts.slice(0, most),
  more: Math.max(0, parts.length - most),
});

/** Describes packet sets of one domain; memoizes by diagram node. */
export class SetDescriber {
  private readonly projections = new Map<string, ReadonlySet<number>>();
  private readonly groups = new Map<Node, readonly SourceGroup[]>();
  private readonly described = new Map<string, SetDescription>();

  /**
   * @param possible packets that can arrive at all; "all" means all of these
   * @param visibleName maps an interface to the name that iptables matches: a port's bridge
   * @param most members of a list that are not counted only
   */
  constructor(
    private readonly domain: Domain,
    private readonly possible: Node,
    private readonly visibleName: (name: string) => string,
    private readonly most = MOST_PARTS,
  ) {}

  /** Returns the sources of a set over all interfaces, within those of `all`. */
  sources(set: Node, all: Node = this.possible): SetDescription {
    return this.addresses(this.project(set, "src"), this.project(all, "src"), "src");
  }

  /**
   * Groups interfaces by the sources of a set's packets, widest sources first.
   * @param names interfaces to look at
   * @param withDestinations whether groups also differ by the host's addresses
   */
  sourceGroups(set: Node, names: readonly string[], withDestinations = false): readonly SourceGroup[] {
    // Ports of one host mostly have the same sources: their projections are one node.
    const projected = withDestinations
      ? this.project(set, "in", "src", "dst")
      : this.project(set, "in", "src");
    let known = this.groups.get(projected);
    if (known === undefined) {
      known = this.groupInputs(projected, names, withDestinations);
      this.groups.set(projected, known);
    }
    return known;
  }

  private groupInputs(projected: Node, names: readonly string[], withDestinations: boolean): SourceGroup[] {
    const { diagrams } = this.domain;
    const groups = new Map<
      string,
      { in: string[]; ports?: string[]; sources: SetDescription; destinations?: PartList }
    >();
    for (const name of names) {
      const here = this.domain.set(is("in", name));
      const [some, all] = [diagrams.intersect(here, projected), diagrams.intersect(here, this.possible)];
      if (some === EMPTY) continue;
      const sources = this.addresses(this.project(some, "src"), this.project(all, "src"), "src");
      const destinations = withDestinations ? this.ownDestinations(some, all) : undefined;
      const key = JSON.stringify([sources, destinations]);
      let group = groups.get(key);
      if (group === undefined) {
        group = { in: [], sources, ...(destinations === undefined ? {} : { destinations }) };
        groups.set(key, group);
      }
      const visible = this.visibleName(name);
      if (!group.in.includes(visible)) group.in.push(visible);
      if (visible !== name) (group.ports ??= []).push(name);
    }
    return [...groups.values()].sort((a, b) => rank(a) - rank(b));
  }

  /** Returns the destinations of `some`; `undefined` where they are all destinations of `all`. */
  private ownDestinations(some: Node, all: Node): PartList | undefined {
    const { diagrams } = this.domain;
    const own = this.project(all, "dst");
    const here = diagrams.intersect(own, this.project(some, "dst"));
    return diagrams.subtract(own, here) === EMPTY
      ? undefined
      : partList(this.domain.valueRanges(here, "dst").map(printAddressRange));
  }

  /** Returns protocols and ports of a set, within those of `all`. */
  protocols(set: Node, all: Node = this.possible): SetDescription {
    const { diagrams } = this.domain;
    // ICMP of the other family does not occur.
    const valid = this.domain.set(not(is("proto", this.domain.family === 4 ? PROTO.icmpv6 : PROTO.icmp)));
    const ports = (packets: Node): Node => diagrams.intersect(valid, this.project(packets, "proto", "dport"));
    const [some, whole] = [ports(set), ports(all)];
    const rest = diagrams.subtract(whole, some);
    if (rest === EMPTY && (all === this.possible || whole === valid)) return { kind: "all" };
    const members = this.protocolNames(some);
    if (rest === EMPTY) return { kind: "only", ...partList(members.names, this.most) };
    const exceptions = this.protocolNames(rest);
    return exceptions.names.length < members.names.length || members.hasProtocolRange
      ? { kind: "all-but", ...partList(exceptions.names, this.most) }
      : { kind: "only", ...partList(members.names, this.most) };
  }

  /** Returns the destinations of a set, within those of `all`. */
  destinations(set: Node, all: Node): SetDescription {
    return this.addresses(this.project(set, "dst"), this.project(all, "dst"), "dst");
  }

  private addresses(some: Node, all: Node, field: "src" | "dst"): SetDescription {
    const key = `${some} ${all} ${field}`;
    let known = this.described.get(key);
    if (known === undefined) {
      known = this.describeAddresses(some, all, field);
      this.described.set(key, known);
    }
    return known;
  }

  private describeAddresses(some: Node, all: Node, field: "src" | "dst"): SetDescription {
    if (some === EMPTY) return { kind: "none" };
    const rest = this.domain.diagrams.subtract(all, some);
    if (rest === EMPTY) return { kind: "all" };
    return this.count(some, field) > this.count(rest, field)
      ? { kind: "all-but", ...this.addressRanges(rest, all, field) }
      : { kind: "only", ...this.addressRanges(some, all, field) };
  }

  /** A prefix stays one part where only addresses outside `all` (the host's own, loopback) interrupt it. */
  private addressRanges(part: Node, all: Node, field: "src" | "dst"): PartList {
    const { diagrams } = this.domain;
    const filled = this.domain.valueRanges(diagrams.union(part, diagrams.complement(all)), field);
    const shown: Range[] = [];
    // Both lists are sorted, and each range of `part` is within one of `filled`.
    let at = 0;
    for (const range of this.domain.valueRanges(part, field)) {
      while (filled[at]![1] < range[0]) at++;
      const wide = filled[at]!;
      const next = isPrefixRange(wide) ? wide : range;
      if (next !== shown.at(-1)) shown.push(next);
    }
    return {
      parts: shown.slice(0, this.most).map(printAddressRange),
      more: Math.max(0, shown.length - this.most),
    };
  }

  private count(set: Node, field: Field): bigint {
    let few = 0;
    let many = 0n;
    for (const [a, b] of this.domain.valueRanges(set, field))
      if (typeof a === "number") few += (b as number) - a + 1;
      else many += (b as bigint) - (a as bigint) + 1n;
    return many + BigInt(few);
  }

  /** Returns protocols with their ports; `hasProtocolRange` where one name is a range of protocol numbers. */
  private protocolNames(set: Node): { readonly names: string[]; readonly hasProtocolRange: boolean } {
    const { domain } = this;
    const { diagrams } = domain;
    const [proto, dport] = [domain.levelOf("proto"), domain.levelOf("dport")];
    const names: string[] = [];
    let hasProtocolRange = false;
    const addPorts = (node: Node, name: string): void => {
      if (node === FULL) {
        names.push(name);
        return;
      }
      diagrams.edges(node, (kid, first, last) => {
        if (kid === EMPTY || dport === undefined) return;
        const [low, high] = [domain.interval(dport, first)[0], domain.interval(dport, last)[1]];
        names.push(`${name} ${low === high ? low : `${low}-${high}`}`);
      });
    };
    if (set < 0 || diagrams.levelOf(set) !== proto) {
      if (set !== EMPTY) addPorts(set, "port");
      return { names, hasProtocolRange };
    }
    diagrams.edges(set, (kid, first, last) => {
      if (kid === EMPTY) return;
      const low = domain.interval(proto, first)[0] as number;
      const high = domain.interval(proto, last)[1] as number;
      if (low !== high) hasProtocolRange = true;
      addPorts(kid, low === high ? protoName(low) : `protocols ${low}-${high}`);
    });
    return { names, hasProtocolRange };
  }

  /** Projects a set onto some fields. */
  private project(set: Node, ...fields: Field[]): Node {
    const key = fields.join();
    let others = this.projections.get(key);
    if (others === undefined) {
      const levels = new Set(fields.map((field) => this.domain.levelOf(field)));
      others = new Set(this.domain.variables.map((_, i) => i).filter((i) => !levels.has(i)));
      this.projections.set(key, others);
    }
    return this.domain.diagrams.project(set, others);
  }
}

/** Sort key of a group: wide sources first, groups limited to some destinations last. */
const rank = ({ sources, destinations }: SourceGroup): number =>
  (sources.kind === "all" ? 0 : sources.kind === "all-but" ? 1 : 2) + (destinations === undefined ? 0 : 3);
