/**
 * States of packet sets. A set is always over the packets as they were sent. `bindings` is the substitution from the
 * current header to the original one: a field has a known value, or the value that some field had originally.
 */
import { CT, CT_TEMPLATE, type Field, type Scalar } from "../packet/field.ts";
import { type Change, changed } from "../rules/effect.ts";
import type { Rule } from "../rules/ruleset.ts";
import type { Node } from "./node-store.ts";
import type { Uncertainty } from "./uncertainty.ts";

export type Binding =
  | { readonly value: Scalar }
  /** The original value of a field, minus `decrement`, clamped at 0. */
  | { readonly variable: Field; readonly decrement?: number };

/** Current values of fields. Other fields have their original value. */
export type Bindings = Readonly<Partial<Record<Field, Binding>>>;

/** Current header of packets, and what happened to them. */
export interface HeaderState {
  readonly bindings: Bindings;
  /** Rules that translated the packets, in order. */
  readonly translated: readonly Rule[];
  /** Sides for which the nat table was evaluated: at most once each, also if packets return through loopback. */
  readonly natDone: { readonly dst: boolean; readonly src: boolean };
  /** Reasons why the result is not certain. */
  readonly unsure: readonly Uncertainty[];
}

/** Packets with one header state. */
export interface SetState extends HeaderState {
  readonly set: Node;
}

/**
 * Packets with several header states on the same path. After a thousand translations there are as many header states, and
 * most chains treat them alike. The diagram maps each packet to the number of its header state, from 1; 0 is no member.
 */
export interface SetStates {
  readonly set: Node;
  readonly headers: ReadonlyMap<number, HeaderState>;
}

export const headerStateOf = ({ bindings, translated, natDone, unsure }: HeaderState): HeaderState => ({
  bindings,
  translated,
  natDone,
  unsure,
});

/** Converts a state with one header state. */
export const singleState = (state: SetState): SetStates => ({
  set: state.set,
  headers: new Map([[1, headerStateOf(state)]]),
});

/** Replaces each header state. */
export function mapHeaders(states: SetStates, change: (header: HeaderState) => HeaderState): SetStates {
  const headers = new Map<number, HeaderState>();
  for (const [id, header] of states.headers) headers.set(id, change(header));
  return { set: states.set, headers };
}

/** Binds fields. */
export const bindFields = <F extends HeaderState>(header: F, changes: Bindings): F => ({
  ...header,
  bindings: { ...header.bindings, ...changes },
});

/** Returns the value of a field if it is the same for all packets of the state. */
export function valueIn(header: HeaderState, field: Field): Scalar | undefined {
  const bound = header.bindings[field];
  return bound !== undefined && "value" in bound ? bound.value : undefined;
}

/** Adds a reason why the result is not certain. */
export const withDoubt = (states: SetStates, reason: Uncertainty): SetStates =>
  mapHeaders(states, (header) => ({ ...header, unsure: [...header.unsure, reason] }));

/** Assigns a field. If the new value depends on an unknown value, the result is not certain. */
export function assignField<F extends HeaderState>(header: F, field: Field, change: Change): F {
  // A packet with a connection, or with a template from an earlier rule, is left alone (xt_ct_target).
  if (field === "ctstate" && valueIn(header, "ctstate") !== CT.INVALID) return header;
  // Without a connection there is no mark to write or to copy (xt_connmark).
  const tracked = ![CT.INVALID, CT.UNTRACKED, CT_TEMPLATE].includes(valueIn(header, "ctstate") as never);
  if (!tracked && (field === "ctmark" || (change.kind === "copy" && change.from === "ctmark"))) return header;
  const old = valueIn(header, field);
  const value = changed(old, change, change.kind === "copy" ? valueIn(header, change.from) : undefined);
  if (value !== undefined) return bindFields(header, { [field]: { value } });
  return { ...header, unsure: [...header.unsure, { code: "value-not-tracked", field }] };
}
