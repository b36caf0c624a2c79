/** Descriptions of packet sets by their fields: a set becomes products of interfaces, addresses, services and other fields. */
import { SetDescriber, type SetDescription } from "../audit/set-description.ts";
import { printAddressRange } from "../packet/address.ts";
import type { Address, Field, Range } from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import { mergeProducts, productsOf, simplify } from "../reach/simplify.ts";
import type { FieldRanges, PacketClass } from "./difference.ts";

/** Packets of one description. */
export interface DescribedPackets {
  /** The packets, within those that can arrive. */
  readonly set: Node;
  readonly packets: Omit<PacketClass, "opening" | "others" | "groups">;
}

/** Groups of fields of a description, in the order of their levels; other fields are the last group. */
const GROUPS: readonly (readonly Field[])[] = [["in"], ["dst"], ["proto", "dport"], ["src"]];

export class ClassDescriber {
  private readonly describer: SetDescriber;
  private readonly bounds: readonly number[];
  /** Levels of all fields but protocol and destination port. */
  private readonly notServices: ReadonlySet<number>;

  /** @param names interfaces that some host has */
  constructor(
    private readonly domain: Domain,
    private readonly names: readonly string[],
  ) {
    this.describer = new SetDescriber(domain, FULL, (name) => name, Number.POSITIVE_INFINITY);
    let last = -1;
    this.bounds = GROUPS.map((fields) => {
      for (const field of fields) last = Math.max(last, domain.levelOf(field) ?? -1);
      return last;
    });
    const services = GROUPS[2]!.map((field) => domain.levelOf(field));
    this.notServices = new Set(domain.variables.map((_, i) => i).filter((i) => !services.includes(i)));
  }

  /**
   * Returns a set as few descriptions.
   * @param set depends on no unknown
   * @param possible packets that can occur; the descriptions are within these
   * @param arriving true for packets that arrive on an interface
   */
  describe(set: Node, possible: Node, arriving: boolean): DescribedPackets[] {
    const { diagrams } = this.domain;
    const simple = simplify(diagrams, set, possible);
    // Where only some services can occur, the diagram of these may not name them.
    const products = productsOf(diagrams, simple, this.bounds).map(([inputs, dst, service, src, others]) => {
      const occurring = [inputs, dst, service].reduce<Node>(
        (all, part) => diagrams.intersect(part!, all),
        possible,
      );
      return [inputs!, dst!, diagrams.project(occurring, this.notServices), src!, others!];
    });
    return mergeProducts(diagrams, products).flatMap((product): DescribedPackets[] => {
      const packets = product.reduce((all, part) => diagrams.intersect(all, part), set);
      return packets === EMPTY
        ? []
        : [{ set: packets, packets: this.descriptionOf(product, possible, arriving) }];
    });
  }

  private descriptionOf(
    [inputs, dst, service, src, others]: readonly Node[],
    possible: Node,
    arriving: boolean,
  ): Omit<PacketClass, "opening" | "others" | "groups"> {
    const { diagrams } = this.domain;
    const within = (part: Node | undefined, all: Node): Node => diagrams.intersect(part!, all);
    const here = within(inputs, possible);
    const there = within(dst, here);
    const served = within(service, there);
    return {
      in: arriving ? this.interfaces(inputs!, possible) : null,
      sources: this.describer.sources(within(src, served), served),
      destinations: this.describer.destinations(there, here),
      services: this.describer.protocols(served),
      fields: this.fieldValues(others!),
    };
  }

  private interfaces(inputs: Node, possible: Node): SetDescription {
    const { diagrams } = this.domain;
    const arrives = (name: string, set: Node): boolean =>
      diagrams.intersect(set, diagrams.intersect(possible, this.domain.set(is("in", name)))) !== EMPTY;
    const able = this.names.filter((name) => arrives(name, FULL));
    const parts = able.filter((name) => arrives(name, inputs));
    const listed = diagrams.unionAll(this.names.map((name) => this.domain.set(is("in", name))));
    const unlisted = diagrams.subtract(diagrams.intersect(inputs, possible), listed) !== EMPTY;
    if (!unlisted) return { kind: "only", parts, more: 0 };
    const exceptions = able.filter((name) => !parts.includes(name));
    return exceptions.length === 0 ? { kind: "all" } : { kind: "all-but", parts: exceptions, more: 0 };
  }

  /** Returns the values of the fields that no other part of a description has, as alternatives. */
  private fieldValues(set: Node): FieldRanges[] {
    const { diagrams, variables } = this.domain;
    if (set === FULL) return [];
    const levels = diagrams.support(set);
    return productsOf(diagrams, set, levels).map((product): FieldRanges => {
      const values: Partial<Record<Field, readonly string[]>> = {};
      for (const [i, level] of levels.entries()) {
        const variable = variables[level]!;
        if (product[i] === FULL || variable.kind !== "field") continue;
        const { field } = variable;
        values[field] = this.domain.valueRanges(product[i]!, field).map((range) => rangeText(field, range));
      }
      return values;
    });
  }
}

const ADDRESSES: readonly Field[] = ["src", "dst"];

function rangeText(field: Field, [first, last]: Range): string {
  if (ADDRESSES.includes(field)) return printAddressRange([first as Address, last as Address]);
  return first === last ? String(first) : `${first}-${last}`;
}
