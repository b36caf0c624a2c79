/** Expressions of queries as data, and the errors of their text. */
import type { Family, Range, Side } from "../packet/field.ts";

/** A part of the text of an expression, in UTF-16 units. */
export interface Span {
  /** Offset of the first character. */
  readonly start: number;
  /** Offset after the last character. */
  readonly end: number;
}

/** A name of something on the host, with its place in the text. */
export interface QueryName extends Span {
  readonly name: string;
}

/** Addresses of one family, first and last included. */
export interface AddressRange {
  readonly family: Family;
  readonly range: Range;
}

/** Verdict of a packet as queries name it. */
export type QueryVerdict = "accept" | "drop" | "reject";
export const QUERY_VERDICTS: readonly QueryVerdict[] = ["accept", "drop", "reject"];

/** One condition on a packet or on what becomes of it. */
export type QueryTest =
  /** Addresses of the packet as it is sent: before any translation. */
  | { readonly code: "addresses"; readonly side: Side; readonly ranges: readonly AddressRange[] }
  /** `src`: the container sends the packet. `dst`: the packet is delivered to it, after translation. */
  | { readonly code: "container"; readonly side: Side; readonly name: QueryName }
  /** The same for all containers of a network. */
  | { readonly code: "network"; readonly side: Side; readonly name: QueryName }
  /** Interface on which packets arrive, or by which they leave; `+` at the end of a name is any rest. */
  | { readonly code: "interface"; readonly field: "in" | "out"; readonly names: readonly QueryName[] }
  | { readonly code: "protocol"; readonly number: number }
  /** Ports of a protocol that has ports. */
  | { readonly code: "ports"; readonly field: "sport" | "dport"; readonly ranges: readonly Range[] }
  /** Ports on which a container receives accepted packets, after translation. */
  | { readonly code: "container-ports"; readonly ranges: readonly Range[] }
  | { readonly code: "family"; readonly family: Family }
  | { readonly code: "verdict"; readonly verdict: QueryVerdict }
  /** Accepted packets: to the host itself, or through it. */
  | { readonly code: "delivery"; readonly delivery: "local" | "forward" }
  /** The host itself sends the packet. */
  | { readonly code: "sent" }
  /** First packets of connections: all packets that queries are about. */
  | { readonly code: "new" }
  /** The rule with this number in a chain decides, or the chain's policy. */
  | { readonly code: "decided"; readonly chain: QueryName; readonly rule: number | "policy" };

export type Expression =
  | { readonly kind: "test"; readonly test: QueryTest }
  | { readonly kind: "not"; readonly not: Expression }
  | { readonly kind: "and"; readonly all: readonly Expression[] }
  | { readonly kind: "or"; readonly some: readonly Expression[] };

/** What an expression needs at a place. */
export type Expected =
  | "test"
  | "operator"
  | "closing-parenthesis"
  | "closing-brace"
  | "addresses"
  | "ports"
  | "protocol"
  | "verdict"
  | "name"
  | "rule"
  | "state";

/** Kinds of names in expressions. */
export type NameKind = "container" | "network" | "interface" | "chain" | "rule";

/** Why the text is no expression. */
export type QueryFault =
  /** `found` is empty at the end of the text; `suggestion` is a word of the language. */
  | {
      readonly code: "unexpected";
      readonly expected: Expected;
      readonly found: string;
      readonly suggestion: string | null;
    }
  /** A range whose first value is greater than the last. */
  | { readonly code: "empty-range"; readonly found: string }
  /** A state of packets that are not the first of a connection. */
  | { readonly code: "not-first"; readonly state: string }
  | { readonly code: "unterminated-name" }
  | { readonly code: "too-long"; readonly limit: number }
  | { readonly code: "too-deep"; readonly limit: number }
  /** The host has nothing of this name; `suggestion` is the closest name that it has. */
  | {
      readonly code: "unknown-name";
      readonly kind: NameKind;
      readonly name: string;
      readonly suggestion: string | null;
    }
  /** The container has no address of its own: it uses those of the host. */
  | { readonly code: "host-network"; readonly name: string }
  /** The container has no address on a bridge of the host. */
  | { readonly code: "not-on-bridge"; readonly name: string }
  /** Packets on the loopback interface are those that the host sends to itself. */
  | { readonly code: "loopback"; readonly name: string }
  /** Rules match packets of a bridge port by the name of its bridge. */
  | { readonly code: "bridge-port"; readonly name: string; readonly bridge: string };

/** An error in the text of an expression, and its place. */
export type QueryError = Span & QueryFault;

/** Returns true for an error. */
export const isQueryError = <T extends object>(result: T | QueryError): result is QueryError =>
  "code" in result;
