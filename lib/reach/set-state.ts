/**
 * Sets of packets on their way. A set is always said of the packets as they were sent; what the host has since
 * changed or found out stands in `bound`: a field that now has one value, or that still holds what another field held
 * when the packet was sent.
 */
import type { Field, Scalar } from "../packet/field.ts";
import type { Rule } from "../rules/ruleset.ts";
import type { Node } from "./node-store.ts";

export type Binding =
  | { readonly value: Scalar }
  /** What the variable was when the packet was sent, less a number (and never below 0). */
  | { readonly variable: Field; readonly decrement?: number };

/** What fields have become; one that is not named is still as it was sent. */
export type Bindings = Readonly<Partial<Record<Field, Binding>>>;

/** What became of packets on their way, and what was found out about them. */
export interface HeaderState {
  readonly bindings: Bindings;
  /** The rules that translated it, in order. */
  readonly translated: readonly Rule[];
  /** Which sides the nat table was asked for: once each, even on the second way through loopback. */
  readonly natDone: { readonly dst: boolean; readonly src: boolean };
  /** Why a part of it is not decided, in words. */
  readonly unsure: readonly string[];
}

/** Packets of one form. */
export interface SetState extends HeaderState {
  readonly set: Node;
}

/**
 * Packets of many forms that go the same way: behind a thousand translations there are as many forms, and a chain
 * decides nearly all of them alike. The diagram gives each packet the number of its form, from 1, and 0 to all others.
 */
export interface SetStates {
  readonly set: Node;
  readonly headers: ReadonlyMap<number, HeaderState>;
}

export const headerStateOf = ({ bindings, translated, natDone, unsure }: HeaderState): HeaderState => ({
  ...{ bindings, translated, natDone, unsure },
});

/** A state as the only one of many. */
export const singleState = (state: SetState): SetStates => ({
  set: state.set,
  headers: new Map([[1, headerStateOf(state)]]),
});

/** The states with each form changed. */
export function mapHeaders(states: SetStates, change: (form: HeaderState) => HeaderState): SetStates {
  const forms = new Map<number, HeaderState>();
  for (const [id, form] of states.headers) forms.set(id, change(form));
  return { set: states.set, headers: forms };
}

/** A form with some fields bound anew. */
export const bindFields = <F extends HeaderState>(form: F, changes: Bindings): F => ({
  ...form,
  bindings: { ...form.bindings, ...changes },
});

/** The one value a field now has, where it has one. */
export function valueIn(form: HeaderState, field: Field): Scalar | undefined {
  const bound = form.bindings[field];
  return bound !== undefined && "value" in bound ? bound.value : undefined;
}
