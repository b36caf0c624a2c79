/** Packet sets as lists of boxes: each box is a product of interfaces, sources, destinations and services. */
import { SetDescriber, type SetDescription } from "../audit/set-description.ts";
import { type Field, PROTO, type Range } from "../packet/field.ts";
import { ANY, is } from "../packet/predicate.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";

/** Values of another field of a packet. */
export interface FieldValues {
  /** The field. */
  readonly field: Field;
  /** First and last value of each range, in digits. */
  readonly values: readonly (readonly [first: string, last: string])[];
}

/** Packets with any combination of these values. */
export interface PacketBox {
  /** Interfaces of the host on which they arrive; `null` for any. Empty for packets that the host sends. */
  readonly in: readonly string[] | null;
  /** They also arrive on interfaces that the host does not have. */
  readonly otherInterfaces: boolean;
  /** Source addresses. */
  readonly sources: SetDescription;
  /** Destination addresses, as sent. */
  readonly destinations: SetDescription;
  /** Protocols with their destination ports, as sent: `tcp 22`. */
  readonly services: SetDescription;
  /** Other fields with limited values. */
  readonly fields: readonly FieldValues[];
  /** Fields that further limit the packets, in combinations that are not listed. */
  readonly partly: readonly Field[];
}

/** Sets of the fields of a box before they are described. */
interface Part {
  readonly sources: Node;
  readonly services: Node;
  readonly rest: Node;
  destinations: Node;
}

const BOX_FIELDS = ["in", "dst", "proto", "dport", "src"] as const satisfies readonly Field[];
type BoxField = (typeof BOX_FIELDS)[number];

/** Describes packet sets of one domain. */
export class BoxWriter {
  private readonly describer: SetDescriber;
  /** Fields with one value in all first packets, by protocol. */
  private readonly common: readonly { readonly proto: number | null; readonly levels: ReadonlySet<number> }[];

  /**
   * @param names interfaces on which packets arrive
   * @param possible all packets that questions are about; `all` addresses are those of these packets
   */
  constructor(
    private readonly domain: Domain,
    private readonly names: readonly string[],
    private readonly possible: Node,
  ) {
    this.describer = new SetDescriber(domain, possible, (name) => name, Number.POSITIVE_INFINITY);
    const levelsOf = (field: Field): ReadonlySet<number> =>
      new Set([domain.levelOf(field)].filter((level) => level !== undefined));
    this.common = [
      { proto: PROTO.tcp, levels: levelsOf("flags") },
      { proto: domain.family === 4 ? PROTO.icmp : PROTO.icmpv6, levels: levelsOf("type") },
      { proto: null, levels: levelsOf("ttl") },
    ];
  }

  /** Returns the boxes of a set that depends on no unknown. Their union is the set. */
  boxes(set: Node): PacketBox[] {
    const { diagrams } = this.domain;
    const [packets, early] = this.prepared(set);
    return [...this.byInterface(packets)].flatMap(([node, { names, others }]) =>
      this.parts(node).map((part): PacketBox => {
        const { fields, partly } = this.conditions(part.rest);
        const packetsOfPart = diagrams.intersect(
          part.destinations,
          diagrams.intersect(part.services, part.sources),
        );
        return {
          in: names,
          otherInterfaces: others,
          sources: this.describer.sources(packetsOfPart),
          destinations: this.describer.destinations(packetsOfPart, this.possible),
          services: this.describer.protocols(packetsOfPart, FULL),
          fields,
          partly: [...new Set([...early, ...partly])],
        };
      }),
    );
  }

  /** Removes what all first packets have: SYN for TCP, an echo request for ICMP, their time to live. */
  private prepared(set: Node): readonly [packets: Node, partly: readonly Field[]] {
    const { domain } = this;
    const { diagrams } = domain;
    const packets = this.common.reduce((all, { proto, levels }) => {
      const some = domain.set(proto === null ? ANY : is("proto", proto));
      const projected = diagrams.project(diagrams.intersect(all, some), levels);
      return diagrams.union(projected, diagrams.subtract(all, some));
    }, set);
    const source = domain.levelOf("src") ?? domain.variables.length;
    const levels = new Set(BOX_FIELDS.map((field) => domain.levelOf(field)));
    const early = diagrams.support(packets).filter((level) => level < source && !levels.has(level));
    return [diagrams.project(packets, new Set(early)), this.fieldsOf(early)];
  }

  private fieldsOf(levels: readonly number[]): Field[] {
    return levels.flatMap((level) => {
      const variable = this.domain.variables[level]!;
      return variable.kind === "field" ? [variable.field] : [];
    });
  }

  /** Returns the packets of each interface; interfaces with the same packets together. */
  private byInterface(
    set: Node,
  ): Map<Node, { readonly names: readonly string[] | null; readonly others: boolean }> {
    const { domain } = this;
    const { diagrams } = domain;
    const level = domain.levelOf("in");
    if (set === EMPTY) return new Map();
    if (level === undefined || set < 0 || diagrams.levelOf(set) !== level)
      return new Map([[set, { names: null, others: true }]]);
    const groups = new Map<Node, { names: string[]; others: boolean }>();
    const groupOf = (kid: Node): { names: string[]; others: boolean } => {
      let group = groups.get(kid);
      if (group === undefined) groups.set(kid, (group = { names: [], others: false }));
      return group;
    };
    const known = new Set(this.names.map((name) => domain.ordinal(level, name)));
    for (const name of this.names) {
      const kid = diagrams.child(set, domain.ordinal(level, name));
      if (kid !== EMPTY) groupOf(kid).names.push(name);
    }
    diagrams.edges(set, (kid, first, last) => {
      if (kid === EMPTY) return;
      for (let ordinal = first; ordinal <= last; ordinal++)
        if (!known.has(ordinal)) groupOf(kid).others = true;
    });
    return groups;
  }

  /** Returns the parts of a set of packets of one interface; equal ports of several destinations are one part. */
  private parts(set: Node): Part[] {
    const { diagrams } = this.domain;
    const found = new Map<string, Part>();
    for (const [node, destinations] of this.children([[set, FULL]], "dst"))
      for (const [sourceNode, services] of this.services(node))
        for (const [rest, sources] of this.children([[sourceNode, FULL]], "src")) {
          const key = `${services} ${sources} ${rest}`;
          const part = found.get(key);
          if (part === undefined) found.set(key, { destinations, services, sources, rest });
          else part.destinations = diagrams.union(part.destinations, destinations);
        }
    return [...found.values()];
  }

  /** Returns the protocols and ports of each set of sources. */
  private services(node: Node): Map<Node, Node> {
    return this.children(this.children([[node, FULL]], "proto"), "dport");
  }

  /** Splits nodes by one field: maps what follows to the values that lead there, within what led to the node. */
  private children(nodes: Iterable<readonly [Node, Node]>, field: BoxField): Map<Node, Node> {
    const { domain } = this;
    const { diagrams } = domain;
    const level = domain.levelOf(field);
    const lists = new Map<Node, Node[]>();
    const add = (kid: Node, set: Node): void => {
      const list = lists.get(kid);
      if (list === undefined) lists.set(kid, [set]);
      else list.push(set);
    };
    for (const [node, within] of nodes) {
      if (node === EMPTY) continue;
      if (level === undefined || node < 0 || diagrams.levelOf(node) !== level) add(node, within);
      else
        diagrams.edges(node, (kid, first, last) => {
          if (kid !== EMPTY) add(kid, diagrams.intersect(within, diagrams.range(level, [[first, last]])));
        });
    }
    return new Map([...lists].map(([kid, list]) => [kid, diagrams.unionAll(list)]));
  }

  /** Returns the values of the remaining fields, if the set is a product of them. */
  private conditions(rest: Node): Pick<PacketBox, "fields" | "partly"> {
    const { domain } = this;
    const { diagrams } = domain;
    const fields = this.fieldsOf(diagrams.support(rest));
    const product = fields.reduce<Node>(
      (all, field) => diagrams.intersect(all, domain.projectOnto(rest, field)),
      FULL,
    );
    if (product !== rest) return { fields: [], partly: fields };
    const text = ([first, last]: Range): readonly [string, string] => [String(first), String(last)];
    return {
      fields: fields.map((field) => ({ field, values: domain.valueRanges(rest, field).map(text) })),
      partly: [],
    };
  }
}
