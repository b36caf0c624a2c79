/**
 * A set of packets on their way. The set is always said of the packets as they were sent; what the host has since
 * changed or found out stands in `bound`: a field that now has one value, or that still holds what another field held
 * when the packet was sent.
 */
import type { Field, Scalar } from "../packet/field.ts";
import type { Rule } from "../rules/ruleset.ts";
import type { Node } from "./diagram.ts";

export type Bound =
  | { readonly value: Scalar }
  | { readonly variable: Field }
  /** What the variable was when the packet was sent, less a number (and never below 0). */
  | { readonly variable: Field; readonly less: number };

export interface SetState {
  readonly set: Node;
  readonly bound: ReadonlyMap<Field, Bound>;
  /** The rules that translated it, in order. */
  readonly translated: readonly Rule[];
  /** Which sides the nat table was asked for: once each, even on the second way through loopback. */
  readonly asked: { readonly dst: boolean; readonly src: boolean };
  /** Why a part of it is not decided, in words. */
  readonly unsure: readonly string[];
}

/** A field's binding after a change of another one is spelled: `undefined` where it is still as it was sent. */
export const bind = (state: SetState, changes: Iterable<readonly [Field, Bound]>): SetState => ({
  ...state,
  bound: new Map([...state.bound, ...changes]),
});

/** The one value a field now has, where it has one. */
export function valueIn(state: SetState, field: Field): Scalar | undefined {
  const bound = state.bound.get(field);
  return bound !== undefined && "value" in bound ? bound.value : undefined;
}
