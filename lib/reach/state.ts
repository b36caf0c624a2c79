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
  /** What the variable was when the packet was sent, less a number (and never below 0). */
  | { readonly variable: Field; readonly less?: number };

/** What fields have become; one that is not named is still as it was sent. */
export type Bindings = Readonly<Partial<Record<Field, Bound>>>;

export interface SetState {
  readonly set: Node;
  readonly bound: Bindings;
  /** The rules that translated it, in order. */
  readonly translated: readonly Rule[];
  /** Which sides the nat table was asked for: once each, even on the second way through loopback. */
  readonly asked: { readonly dst: boolean; readonly src: boolean };
  /** Why a part of it is not decided, in words. */
  readonly unsure: readonly string[];
}

/** The state with some fields bound anew. */
export const bind = (state: SetState, changes: Bindings): SetState => ({
  ...state,
  bound: { ...state.bound, ...changes },
});

/** The one value a field now has, where it has one. */
export function valueIn(state: SetState, field: Field): Scalar | undefined {
  const bound = state.bound[field];
  return bound !== undefined && "value" in bound ? bound.value : undefined;
}
