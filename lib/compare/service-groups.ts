/** Groups of services: the ports of a packet set that have the same sources and destinations. */
import { type Field, PROTO, protoName } from "../packet/field.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";

/** Services with the same sources and destinations. */
export interface ServiceGroup {
  /** Protocols with their ports: `tcp 80`, `udp 1024-65535`, `esp`. `all` alone for everything. */
  readonly services: readonly string[];
  /** The packets of these services, sources and destinations; no other field is tested. */
  readonly packets: Node;
}

/** One service: a protocol or a range of them, with ports or without. */
interface Service {
  readonly name: string;
  readonly packets: Node;
}

/** Fields that services, sources and destinations consist of. */
const GROUPED_FIELDS: readonly Field[] = ["dst", "proto", "dport", "src"];

/** Splits packet sets of one domain by service. */
export class ServiceSplitter {
  /** All services that connections can have. */
  private readonly valid: Node;

  /** @param first all first packets of connections */
  constructor(
    private readonly domain: Domain,
    first: Node,
  ) {
    this.valid = domain.projectOnto(first, "proto", "dport");
  }

  /**
   * Returns the services of a set: those of which all packets of the universe are in the set, whatever their other fields, and
   * those of which only some are.
   */
  split(set: Node, universe: Node): { readonly whole: ServiceGroup[]; readonly partial: ServiceGroup[] } {
    const { diagrams } = this.domain;
    const some = this.domain.projectOnto(set, ...GROUPED_FIELDS);
    const others = this.domain.projectOnto(diagrams.subtract(universe, set), ...GROUPED_FIELDS);
    return {
      whole: this.groups(diagrams.subtract(some, others)),
      partial: this.groups(diagrams.intersect(some, others)),
    };
  }

  /** Returns the services of a set of services, those with equal sources and destinations together. */
  private groups(some: Node): ServiceGroup[] {
    const { diagrams } = this.domain;
    const packets = diagrams.intersect(this.valid, some);
    // Ports of one destination first, then equal ports of several destinations: most hosts repeat them.
    const byServices = new Map<string, { services: string[]; parts: Node[] }>();
    for (const [node, destinations] of this.destinations(packets))
      for (const [sources, services] of this.bySources(node)) {
        const names = this.names(services);
        const key = `${sources} ${names.join()}`;
        const ports = diagrams.unionAll(services.map((service) => service.packets));
        const part = diagrams.intersect(destinations, diagrams.intersect(ports, sources));
        const known = byServices.get(key);
        if (known === undefined) byServices.set(key, { services: names, parts: [part] });
        else known.parts.push(part);
      }
    return [...byServices.values()].map(({ services, parts }) => ({
      services,
      packets: diagrams.unionAll(parts),
    }));
  }

  /** Returns the names of services; `all` alone, or `all but` with the exceptions, where that is shorter. */
  private names(services: readonly Service[]): string[] {
    const { diagrams } = this.domain;
    const others = diagrams.subtract(this.valid, diagrams.unionAll(services.map(({ packets }) => packets)));
    if (others === EMPTY) return ["all"];
    const names = services.map(({ name }) => name);
    const exceptions = [...this.bySources(others).values()].flat().map(({ name }) => name);
    return exceptions.length < names.length ? exceptions.map((name) => `all but ${name}`) : names;
  }

  /** Returns the destinations of each set of services and sources. */
  private destinations(packets: Node): Map<Node, Node> {
    const parts = new Map<Node, Node[]>();
    this.branches(packets, "dst", (kid, ordinals) => {
      const known = parts.get(kid);
      if (known === undefined) parts.set(kid, [ordinals]);
      else known.push(ordinals);
    });
    return new Map([...parts].map(([kid, list]) => [kid, this.domain.diagrams.unionAll(list)]));
  }

  /** Returns the services of each set of sources. */
  private bySources(node: Node): Map<Node, Service[]> {
    const found = new Map<Node, Service[]>();
    const add = (sources: Node, service: Service): void => {
      const known = found.get(sources);
      if (known === undefined) found.set(sources, [service]);
      else known.push(service);
    };
    this.branches(node, "proto", (ports, protocols, protoText) =>
      this.branches(ports, "dport", (sources, range, portText) =>
        add(sources, {
          name: [protoText, portText].filter((text) => text !== "").join(" ") || "all",
          packets: this.domain.diagrams.intersect(protocols, range),
        }),
      ),
    );
    return found;
  }

  /** Calls `see` for each part of a set that differs by a field: what follows, the part itself, and its name. */
  private branches(
    node: Node,
    field: "dst" | "proto" | "dport",
    see: (rest: Node, part: Node, name: string) => void,
  ): void {
    const { domain } = this;
    const { diagrams } = domain;
    const level = domain.levelOf(field)!;
    if (node === EMPTY) return;
    if (node < 0 || diagrams.levelOf(node) !== level) {
      see(node, domain.set({ kind: "any" }), "");
      return;
    }
    diagrams.edges(node, (rest, first, last) => {
      if (rest === EMPTY) return;
      const [low, high] = [domain.interval(level, first)[0], domain.interval(level, last)[1]];
      const name =
        field === "proto"
          ? low === high
            ? serviceName(low as number)
            : `protocols ${low}-${high}`
          : low === high
            ? String(low)
            : `${low}-${high}`;
      see(rest, diagrams.range(level, [[first, last]]), name);
    });
  }
}

/** Of ICMP the matrix asks for echo requests. */
function serviceName(proto: number): string {
  if (proto === PROTO.icmp || proto === PROTO.icmpv6) return "ping";
  const name = protoName(proto);
  return name === String(proto) ? `protocol ${proto}` : name;
}
