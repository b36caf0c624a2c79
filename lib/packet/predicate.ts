/**
 * Conditions on packets, in a small closed language.
 *
 * Every match of every extension is defined by a predicate. The simulator evaluates it for one packet (`evaluate`). The
 * set engine compiles the same predicate into a decision diagram. No other code defines the meaning of `--dport`.
 */
import { type Field, type Range, type Scalar, successor } from "./field.ts";
import { extensionReason, type UnknownReason } from "./unknown-reason.ts";

export type Predicate =
  /** True for every packet. */
  | { readonly kind: "any" }
  /** True if the value of the field is in one of the ranges; never true without ranges. */
  | { readonly kind: "in"; readonly field: Field; readonly ranges: readonly Range[] }
  /** `(field & mask) === value`. */
  | { readonly kind: "bits"; readonly field: Field; readonly mask: Scalar; readonly value: Scalar }
  | { readonly kind: "and"; readonly all: readonly Predicate[] }
  | { readonly kind: "or"; readonly some: readonly Predicate[] }
  | { readonly kind: "not"; readonly not: Predicate }
  /**
   * Unknown: the inputs do not determine the result. Equal keys have the same result; `reason` names what is missing.
   * `rare`: false for ordinary packets, for example because it needs an unusual header.
   */
  | { readonly kind: "opaque"; readonly key: string; readonly reason: UnknownReason; readonly rare?: true };

/** True for every packet. */
export const ANY: Predicate = { kind: "any" };
/** True for no packet. */
export const NEVER: Predicate = { kind: "or", some: [] };

/** Predicates of one small value, by field and value: rules repeat protocols and ports. */
const SINGLE_VALUES = new Map<Field, Map<number, Predicate>>();
const MOST_SINGLE_VALUE = 0xffff;

/** True if the field has this value. */
export function is(field: Field, value: Scalar): Predicate {
  if (typeof value !== "number" || value > MOST_SINGLE_VALUE) return within(field, [[value, value]]);
  let known = SINGLE_VALUES.get(field);
  if (known === undefined) SINGLE_VALUES.set(field, (known = new Map()));
  let predicate = known.get(value);
  if (predicate === undefined) known.set(value, (predicate = within(field, [[value, value]])));
  return predicate;
}
/** True if the field is in a range, ends included. */
export const between = (field: Field, lo: Scalar, hi: Scalar): Predicate =>
  lo === hi ? is(field, lo) : within(field, [[lo, hi]]);
/** True if the field is in one of the ranges. */
export const within = (field: Field, ranges: readonly Range[]): Predicate => ({ kind: "in", field, ranges });
/** True if `(field & mask) === value`. */
export function bits(field: Field, mask: Scalar, value: Scalar): Predicate {
  if (mask === 0 || mask === 0n) return value === mask ? ANY : NEVER;
  return { kind: "bits", field, mask, value };
}
/**
 * Unknown result; equal keys in one ruleset have the same result.
 * @param reason a string is the text that an extension declares
 */
export const opaque = (key: string, reason: UnknownReason | string, rare = false): Predicate => ({
  kind: "opaque",
  key,
  reason: typeof reason === "string" ? extensionReason(reason) : reason,
  ...(rare ? { rare } : {}),
});

/** Conjunction, simplified if a part is `ANY`, `NEVER` or a conjunction. */
export function and(...all: readonly Predicate[]): Predicate {
  const rest = all.filter((p) => p.kind !== "any");
  if (rest.some(isNever)) return NEVER;
  // A copy has the exact length: `filter` reserves space for 17 elements, which would double the memory of a large ruleset.
  return rest.length === 0
    ? ANY
    : rest.length === 1
      ? rest[0]!
      : { kind: "and", all: rest.some(isConjunction) ? rest.flatMap(conjuncts).slice() : rest.slice() };
}

/** Disjunction, simplified if a part is `ANY` or `NEVER`; `NEVER` without parts. */
export function or(...some: readonly Predicate[]): Predicate {
  const rest = some.filter((p) => !isNever(p));
  if (rest.some((p) => p.kind === "any")) return ANY;
  return rest.length === 1 ? rest[0]! : { kind: "or", some: rest.slice() };
}

/** Negation. */
export function not(p: Predicate): Predicate {
  if (p.kind === "not") return p.not;
  if (p.kind === "any") return NEVER;
  if (isNever(p)) return ANY;
  return { kind: "not", not: p };
}

/** Negates a predicate if the flag is set, for iptables' `!`. */
export const negate = (negated: boolean, p: Predicate): Predicate => (negated ? not(p) : p);

const isConjunction = (p: Predicate): boolean => p.kind === "and";

/** True for a predicate without any packet, as far as its form shows. */
export const isNever = (p: Predicate): boolean =>
  (p.kind === "or" && p.some.length === 0) || (p.kind === "in" && p.ranges.length === 0);

/** Result of `evaluate` if the inputs do not determine it. */
export interface Unknown {
  readonly key: string;
  readonly reason: UnknownReason;
}

/** Values of one packet, and assumed results of opaque matches. */
export interface PacketValues {
  /** Returns the value of a field, or `undefined` if the packet does not have one. */
  field(field: Field): Scalar | undefined;
  /** Returns the assumed result of an unknown, or `undefined`. */
  settled(key: string): boolean | undefined;
}

/** A comparison of one field with values. */
type FieldComparison = Extract<Predicate, { kind: "in" | "bits" }>;

/**
 * Evaluates a predicate for a packet.
 * @returns the result, or the first unknown that can change it; an `and` with a false part is false
 */
export function evaluate(p: Predicate, packet: PacketValues): boolean | Unknown {
  switch (p.kind) {
    case "any":
      return true;
    case "in": {
      const value = packet.field(p.field);
      if (value === undefined) return p.ranges.length > 0 && missingField(p, packet);
      for (const [lo, hi] of p.ranges) if (value >= lo && value <= hi) return true;
      return false;
    }
    case "bits": {
      const value = packet.field(p.field);
      if (value === undefined) return missingField(p, packet);
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
      return packet.settled(p.key) ?? { key: p.key, reason: p.reason };
  }
}

/** Bitwise and of two numbers or bigints. */
export function applyMask(value: Scalar, mask: Scalar): Scalar {
  if (typeof value === "bigint") return value & BigInt(mask as number | bigint);
  return ((value as number) & (mask as number)) >>> 0;
}

/**
 * Returns the unknown result of a comparison with a field that the packet does not have. Each comparison is an unknown of its
 * own: that a packet without a MAC address matches the first of two rules says nothing about the second.
 */
function missingField(comparison: FieldComparison, packet: PacketValues): boolean | Unknown {
  const { field } = comparison;
  const key = missingFieldKey(comparison);
  return packet.settled(key) ?? { key, reason: { code: "field-missing", field } };
}

const comparedKeys = new WeakMap<FieldComparison, string>();

/** Returns the key of the unknown that a comparison is for a packet without the field: `packet:uid@1000-1999`. */
export function missingFieldKey(comparison: FieldComparison): string {
  let key = comparedKeys.get(comparison);
  if (key === undefined) {
    const values =
      comparison.kind === "bits"
        ? `${comparison.value}/${comparison.mask}`
        : comparison.ranges.map(([lo, hi]) => (lo === hi ? lo : `${lo}-${hi}`)).join();
    comparedKeys.set(comparison, (key = `packet:${comparison.field}@${values}`));
  }
  return key;
}

/** Calls `visit` for every part of a predicate that depends on a field or is an unknown. */
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

/** Returns the reason of an unknown that a predicate contains, or `null`. */
export function unknownReasonOf(p: Predicate): UnknownReason | null {
  let reason: UnknownReason | null = null;
  visitLeaves(p, (leaf) => {
    if (leaf.kind === "opaque") reason = leaf.reason;
  });
  return reason;
}

/** Returns the parts of a conjunction, nested conjunctions included; a predicate of another kind is its only part. */
export const conjuncts = (p: Predicate): readonly Predicate[] =>
  p.kind === "and" ? p.all.flatMap(conjuncts) : [p];

const rangeConjuncts = (p: Predicate): readonly Extract<Predicate, { kind: "in" }>[] =>
  conjuncts(p).filter((part) => part.kind === "in");

/** Returns true if the predicates are disjoint because they need different values of one field. False means unknown. */
export function areDisjoint(a: Predicate, b: Predicate): boolean {
  const others = rangeConjuncts(b);
  return rangeConjuncts(a).some((mine) =>
    others.some(
      (other) =>
        other.field === mine.field &&
        !mine.ranges.some(([lo, hi]) => other.ranges.some(([from, to]) => lo <= to && from <= hi)),
    ),
  );
}

/** Sorts ranges, and joins adjacent and overlapping ranges. */
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
