/** Sets of ipset(8) and their elements. */
import type { Address, Family } from "../../packet/field.ts";

/** Kind of value in one dimension of a set. */
export type Dimension = "ip" | "net" | "port" | "mac" | "mark" | "iface" | "set";

/** Values of the port dimension: a protocol with a range of ports, or of ICMP's `type * 256 + code`. */
export interface ElementPorts {
  readonly proto: number;
  readonly first: number;
  readonly last: number;
}

/** A range of addresses; in a net, with the length of its prefix. */
export interface AddressSpan {
  readonly lo: Address;
  readonly hi: Address;
  readonly length: number;
}

export interface Iface {
  readonly name: string;
  /** Matches all interfaces with this beginning. */
  readonly wildcard: boolean;
  /** Matches the port of a bridge. */
  readonly physical: boolean;
}

/** One element, with a value for each dimension; a range of addresses in a net is several spans. */
export interface SetElement {
  readonly spans: readonly (readonly AddressSpan[])[];
  readonly ports: ElementPorts | null;
  /** `null` for a bitmap:ip,mac element that matches any address. */
  readonly mac: number | null;
  readonly mark: number;
  readonly iface: Iface | null;
  readonly member: string;
  readonly nomatch: boolean;
}

/** One set. */
export interface Ipset {
  readonly name: string;
  /** `hash:ip,port`. */
  readonly type: string;
  readonly dimensions: readonly Dimension[];
  /** `null` for types without addresses. */
  readonly family: Family | null;
  /** Mask of the compared bits of an address; `null` if all are compared. */
  readonly mask: Address | null;
  readonly markmask: number;
  readonly elements: readonly SetElement[];
}
