/** Values that expressions read of a packet, and comparisons with them. */
import { isInRanges } from "../packet/address.ts";
import { type Family, FIELDS, type Field, type Range, type Scalar } from "../packet/field.ts";
import {
  ANY,
  bits,
  NEVER,
  normalizeRanges,
  opaque,
  or,
  type Predicate,
  within,
} from "../packet/predicate.ts";
import type { BaseChain } from "../rules/base-chain.ts";
import { type Facts, type Site, sharedKey, siteKey } from "../rules/facts.ts";
import type { Datatype } from "./datatype.ts";

/** Context of a compilation: properties of the host, and place of the rule. */
export interface CompileContext {
  /** The family of the packets is that of the facts. */
  readonly facts: Facts;
  readonly site: Site;
  /** Family of the table: in `inet` an expression of one family excludes packets of the other. */
  readonly tableFamily: string;
  /** Base chains from which the chain of the rule is reached, itself included. */
  bases(): readonly BaseChain[];
}

/** A field that an expression reads, and the position of its bits: `dscp` is the field `tos`, shifted by 2. */
export interface ReadField {
  readonly field: Field;
  /** Number of bits of the field below the value. */
  readonly shift: number;
  /** The field is greater than the value by this number. */
  readonly offset: number;
}

/** A value that an expression reads. */
export interface Operand {
  /** As nft writes it. */
  readonly name: string;
  readonly type: Datatype;
  /** Reason why the value is unknown; absent if it is exact. */
  readonly opaque?: string;
  /** Packets for which the value is unknown, and the reason, if the rest is exact. */
  readonly except?: string;
  /** It reads the connection of the packet, so that the kernel registers connection tracking. */
  readonly needsConntrack?: true;
  /** Least and greatest value, where they are known: all values of `numgen inc mod 4`. */
  readonly span?: Range;
  /** Field that a statement may change; absent if no single field has the value. */
  readonly reads?: ReadField;
  /** Packets that have the value. For all others the kernel leaves the rule (NFT_BREAK), also under `!=`. */
  guard(at: CompileContext): Predicate;
  /** Packets whose value is in one of the ranges. */
  within(ranges: readonly Range[], at: CompileContext): Predicate;
  /** Packets whose value under a mask is this one. */
  masked(mask: Scalar, value: Scalar, at: CompileContext): Predicate;
  /** Returns the result of a comparison, given as text, if the value is unknown; absent if it is exact. */
  unknown?(text: string, at: CompileContext): Predicate;
  /** Packets whose value has one of these bits; absent if `masked` has an equal form. */
  someBit?(mask: number): Predicate;
}

/** Condition under which an expression has a value. */
export type Guard = (at: CompileContext) => Predicate;

/** Always. */
export const always: Guard = () => ANY;

/** Only packets of a family. */
export const ofFamily =
  (family: Family): Guard =>
  ({ facts }) =>
    facts.family === family ? ANY : NEVER;

type Extra = Partial<Pick<Operand, "except" | "needsConntrack">>;

/** Returns an expression that reads a field. */
export function fieldOperand(
  name: string,
  type: Datatype,
  field: Field,
  guard: Guard,
  options: Extra & Partial<Omit<ReadField, "field">> = {},
): Operand {
  const { shift = 0, offset = 0, ...extra } = options;
  // The value of a shifted field has as many bits as its type.
  const mask = shift === 0 && (type.bits ?? 0) >= 8 ? 0 : (2 ** (type.bits ?? 0) - 1) * 2 ** shift;
  const partial = mask !== 0;
  const lifted = (value: Scalar): Scalar => (offset === 0 ? value : (value as number) + offset);
  return {
    name,
    type,
    ...extra,
    reads: { field, shift, offset },
    guard,
    within: (ranges) =>
      partial
        ? or(...ranges.flatMap(([lo, hi]) => [...eachBits(field, mask, shift, lo as number, hi as number)]))
        : valuesOf(field, offset === 0 ? ranges : ranges.map(([lo, hi]): Range => [lifted(lo), lifted(hi)])),
    masked: (m, value, at) =>
      offset === 0
        ? bits(field, shifted(m, shift), shifted(value, shift))
        : unknownOf(name, "a value under a mask is not computed", at, `${m} ${value}`),
  };
}

/** Returns the packets with values in ranges of a type; a field of 8 bits has no values above 255. */
function valuesOf(field: Field, ranges: readonly Range[]): Predicate {
  const last: Scalar | "name" | "address" = FIELDS[field];
  if (typeof last !== "number" || ranges.every(([, hi]) => (hi as number) <= last))
    return within(field, ranges);
  const own = ranges
    .filter(([lo]) => (lo as number) <= last)
    .map(([lo, hi]): Range => [lo, Math.min(hi as number, last)]);
  return own.length === 0 ? NEVER : within(field, own);
}

const shifted = (value: Scalar, shift: number): Scalar =>
  shift === 0 ? value : (value as number) * 2 ** shift;

/** Returns a test for each value of a range; types with fewer than 8 bits have few. */
function* eachBits(field: Field, mask: number, shift: number, lo: number, hi: number): Generator<Predicate> {
  for (let value = lo; value <= hi; value++) yield bits(field, mask, value * 2 ** shift);
}

/** Returns an expression with few possible values, each with the packets that have it. */
export function enumerated(
  name: string,
  type: Datatype,
  values: (at: CompileContext) => Iterable<readonly [value: number, when: Predicate]>,
  guard: Guard = always,
  extra: Extra = {},
): Operand {
  const test = (holds: (value: number) => boolean, at: CompileContext): Predicate => {
    const some: Predicate[] = [];
    for (const [value, when] of values(at)) if (holds(value)) some.push(when);
    return or(...some);
  };
  return {
    name,
    type,
    ...extra,
    guard,
    within: (ranges, at) => test((value) => isInRanges(value, ranges), at),
    masked: (mask, value, at) => test((each) => (each & (mask as number)) >>> 0 === value, at),
  };
}

/**
 * Returns an expression whose values correspond to values of a field one by one.
 * @param values pairs of a value of the expression and a value of the field
 */
export function mapped(
  name: string,
  type: Datatype,
  field: Field,
  values: readonly (readonly [value: number, fieldValue: number])[],
  extra: Extra = {},
): Operand {
  const test = (holds: (value: number) => boolean): Predicate =>
    within(
      field,
      normalizeRanges(values.filter(([value]) => holds(value)).map(([, own]): Range => [own, own])),
    );
  return {
    name,
    type,
    ...extra,
    guard: always,
    within: (ranges) => test((value) => isInRanges(value, ranges)),
    masked: (mask, value) => test((each) => (each & (mask as number)) >>> 0 === value),
    someBit: (mask) => test((each) => (each & mask) !== 0),
  };
}

/** Returns an expression whose value the inputs do not determine. */
export const unknownOperand = (
  name: string,
  type: Datatype,
  why: string,
  guard: Guard = always,
  options: Extra & { readonly changes?: true; readonly span?: Range } = {},
): Operand => {
  const { changes, ...extra } = options;
  // Comparisons of one rule with different values are different unknowns.
  const key = (text: string | null, at: CompileContext): Predicate =>
    changes === true
      ? unknownOf(text === null ? name : `${name} ${text}`, why, at)
      : unknownOf(name, why, at, text);
  return {
    name,
    type,
    opaque: why,
    ...extra,
    guard,
    within: (ranges, at) => key(rangesText(ranges), at),
    masked: (mask, value, at) => key(`${mask} ${value}`, at),
    unknown: (text, at) => unknownOf(name, why, at, changes === true ? null : text),
  };
};

/** Most ranges in the key of an unknown. */
const MOST_IN_KEY = 8;

const rangesText = (ranges: readonly Range[]): string | null =>
  ranges.length > MOST_IN_KEY
    ? null
    : ranges.map(([lo, hi]) => (lo === hi ? String(lo) : `${lo}-${hi}`)).join(",");

/**
 * Returns an unknown result.
 * @param text the comparison, if all rules with the same text have the same result
 */
export const unknownOf = (
  name: string,
  why: string,
  { site }: CompileContext,
  text: string | null = null,
): Predicate => opaque(text === null ? siteKey(name, site) : sharedKey(name, text), why);
