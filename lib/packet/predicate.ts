/**
 * What a match asks of a packet: a small closed language over the packet's fields.
 *
 * Every match of every extension says what it means in this language, once. The simulator evaluates a predicate on
 * one packet (`evaluate`); the packet sets compile the same predicate into a diagram. Nothing else knows what
 * `--dport` means.
 */
import { type Field, type Range, type Scalar, successor } from "./field.ts";

export type Predicate =
  /** Holds for every packet. */
  | { readonly kind: "any" }
  /** The field's value lies in one of the ranges; no range at all is never true. */
  | { readonly kind: "in"; readonly field: Field; readonly ranges: readonly Range[] }
  /** `(field & mask) === value`. */
  | { readonly kind: "bits"; readonly field: Field; readonly mask: Scalar; readonly value: Scalar }
  | { readonly kind: "and"; readonly all: readonly Predicate[] }
  | { readonly kind: "or"; readonly some: readonly Predicate[] }
  | { readonly kind: "not"; readonly not: Predicate }
  /**
   * The inputs do not tell; `key` names the unknown (the same key is the same unknown), `why` says what is missing. `rare`:
   * ordinary packets do not satisfy it, such as those without the header that it looks for.
   */
  | { readonly kind: "opaque"; readonly key: string; readonly why: string; readonly rare?: true };

/** True of every packet. */
export const ANY: Predicate = { kind: "any" };
/** True of no packet. */
export const NEVER: Predicate = { kind: "or", some: [] };

/** The field has exactly this value. */
export const is = (field: Field, value: Scalar): Predicate => ({
  kind: "in",
  field,
  ranges: [[value, value]],
});
/** The field lies between two values, both included. */
export const between = (field: Field, lo: Scalar, hi: Scalar): Predicate => ({
  kind: "in",
  field,
  ranges: [[lo, hi]],
});
/** The field lies in one of the ranges. */
export const within = (field: Field, ranges: readonly Range[]): Predicate => ({ kind: "in", field, ranges });
/** `(field & mask) === value`; a mask of zero decides at once. */
export function bits(field: Field, mask: Scalar, value: Scalar): Predicate {
  if (mask === 0 || mask === 0n) return value === mask ? ANY : NEVER;
  return { kind: "bits", field, mask, value };
}
/** An unknown: the same `key` anywhere in a ruleset is the same unknown. */
export const opaque = (key: string, why: string, rare = false): Predicate => ({
  kind: "opaque",
  key,
  why,
  ...(rare ? { rare } : {}),
});

/** Holds when all hold; drops what is always true, and is never true when one is. */
export function and(...all: readonly Predicate[]): Predicate {
  const rest = all.filter((p) => p.kind !== "any");
  if (rest.some(isNever)) return NEVER;
  return rest.length === 0 ? ANY : rest.length === 1 ? rest[0]! : { kind: "and", all: rest };
}

/** Holds when one holds; nothing to choose from is never true. */
export function or(...some: readonly Predicate[]): Predicate {
  const rest = some.filter((p) => !isNever(p));
  if (rest.some((p) => p.kind === "any")) return ANY;
  return rest.length === 1 ? rest[0]! : { kind: "or", some: rest };
}

/** Holds when the other does not. */
export function not(p: Predicate): Predicate {
  if (p.kind === "not") return p.not;
  if (p.kind === "any") return NEVER;
  if (isNever(p)) return ANY;
  return { kind: "not", not: p };
}

/** `not(p)` when the flag is set: iptables' `!`. */
export const negate = (negated: boolean, p: Predicate): Predicate => (negated ? not(p) : p);

const isNever = (p: Predicate): boolean =>
  (p.kind === "or" && p.some.length === 0) || (p.kind === "in" && p.ranges.length === 0);

/** Returned by `evaluate` instead of a truth value when the inputs do not tell. */
export interface Unknown {
  readonly key: string;
  readonly why: string;
}

/** What `evaluate` asks for: the packet's value of a field, and what is known of an opaque match. */
export interface PacketValues {
  /** The value of a field, or `undefined` when the packet does not say. */
  field(field: Field): Scalar | undefined;
  /** The truth of an unknown where somebody has settled it, else `undefined`. */
  settled(key: string): boolean | undefined;
}

/**
 * Evaluates a predicate on a packet: true, false, or the first unknown that the answer depends on. An unknown that
 * cannot change the answer (an `and` with a false part) is not reported.
 */
export function evaluate(p: Predicate, packet: PacketValues): boolean | Unknown {
  switch (p.kind) {
    case "any":
      return true;
    case "in": {
      const value = packet.field(p.field);
      if (value === undefined) return p.ranges.length > 0 && missingField(p.field, packet);
      for (const [lo, hi] of p.ranges) if (value >= lo && value <= hi) return true;
      return false;
    }
    case "bits": {
      const value = packet.field(p.field);
      if (value === undefined) return missingField(p.field, packet);
      return applyMask(value, p.mask) === p.value;
    }
    case "not": {
      const inner = evaluate(p.not, packet);
      return typeof inner === "boolean" ? !inner : inner;
    }
    case "and": {
      let unknown: Unknown | undefined;
      for (const part of p.all) {
        const value = evaluate(part, packet);
        if (value === false) return false;
        if (value !== true) unknown ??= value;
      }
      return unknown ?? true;
    }
    case "or": {
      let unknown: Unknown | undefined;
      for (const part of p.some) {
        const value = evaluate(part, packet);
        if (value === true) return true;
        if (value !== false) unknown ??= value;
      }
      return unknown ?? false;
    }
    case "opaque":
      return packet.settled(p.key) ?? { key: p.key, why: p.why };
  }
}

/** Bitwise and over whichever kind of number the field holds. */
export function applyMask(value: Scalar, mask: Scalar): Scalar {
  if (typeof value === "bigint") return value & BigInt(mask as number | bigint);
  return ((value as number) & (mask as number)) >>> 0;
}

function missingField(field: Field, packet: PacketValues): boolean | Unknown {
  const key = `packet:${field}`;
  return packet.settled(key) ?? { key, why: `the packet does not say its ${field}` };
}

/** Calls `visit` for every part of a predicate that names a field or an unknown. */
export function visitLeaves(
  p: Predicate,
  visit: (leaf: Extract<Predicate, { kind: "in" | "bits" | "opaque" }>) => void,
): void {
  switch (p.kind) {
    case "any":
      return;
    case "and":
      for (const part of p.all) visitLeaves(part, visit);
      return;
    case "or":
      for (const part of p.some) visitLeaves(part, visit);
      return;
    case "not":
      visitLeaves(p.not, visit);
      return;
    default:
      visit(p);
  }
}

/** What is missing for an unknown that a predicate asks for; `null` where it asks for none. */
export function whyUnknown(p: Predicate): string | null {
  let why: string | null = null;
  visitLeaves(p, (leaf) => {
    if (leaf.kind === "opaque") why = leaf.why;
  });
  return why;
}

const conjuncts = (p: Predicate): readonly Extract<Predicate, { kind: "in" }>[] =>
  p.kind === "and" ? p.all.flatMap(conjuncts) : p.kind === "in" ? [p] : [];

/** Whether surely no packet satisfies both: some field is asked for values that do not meet. */
export function areDisjoint(a: Predicate, b: Predicate): boolean {
  const others = conjuncts(b);
  return conjuncts(a).some((mine) =>
    others.some(
      (other) =>
        other.field === mine.field &&
        !mine.ranges.some(([lo, hi]) => other.ranges.some(([from, to]) => lo <= to && from <= hi)),
    ),
  );
}

/** Sorts and joins ranges that touch or overlap. */
export function normalizeRanges(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  const out: [Scalar, Scalar][] = [];
  for (const [lo, hi] of sorted) {
    const last = out.at(-1);
    if (last !== undefined && lo <= successor(last[1])) {
      if (hi > last[1]) last[1] = hi;
    } else out.push([lo, hi]);
  }
  return out;
}
