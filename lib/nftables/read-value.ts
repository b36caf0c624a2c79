/** Left sides of comparisons and keys of lookups: a value of the packet, perhaps under a mask. */
import type { Expression, Selector } from "nftables-parser-ts";
import type { Range, Scalar } from "../packet/field.ts";
import { and, or, type Predicate } from "../packet/predicate.ts";
import { shiftBits } from "../rules/effect.ts";
import { type Datatype, integer, TYPES } from "./datatype.ts";
import { expression } from "./expressions.ts";
import { always, type CompileContext, type Operand, unknownOf } from "./operand.ts";
import { resolved, type Scope } from "./scope.ts";
import { allBits, bitAnd, bitXor, complement, readConstant } from "./values.ts";

/** `((operand & mask) << shift) ^ xor`. */
export interface ReadValue {
  readonly operand: Operand;
  /** `null` for the whole value. Every bit of the mask remains after the shift. */
  readonly mask: Scalar | null;
  /** Bits to the left; negative to the right. Only marks are shifted. */
  readonly shift: number;
  readonly xor: Scalar;
}

/** Returns an expression of a name that fwcheck does not know. Its value is unknown at each evaluation. */
function strange(words: readonly string[]): Operand {
  const name = words.join(" ");
  const test = (at: CompileContext): Predicate =>
    unknownOf(name, `fwcheck does not know the expression ${name}`, at);
  return {
    name,
    type: TYPES.string,
    opaque: "unknown",
    guard: always,
    unknown: (_text, at) => test(at),
    within: (_ranges, at) => test(at),
    masked: (_m, _v, at) => test(at),
  };
}

/** Returns the expression of a selector. An unknown one is reported. */
export function readSelector({ words, at }: Selector & Pick<Expression, "at">, scope: Scope): Operand {
  const known = expression(words, scope.tableFamily);
  if (known !== undefined) return known;
  scope.report(`unknown expression ${words.join(" ")}; its result is unknown`, words.join(" "), at);
  return strange(words);
}

/** Reads a value of the packet; `null` if the expression is none that fwcheck evaluates. */
export function readValue(given: Expression, scope: Scope): ReadValue | null {
  const found = resolved(given, scope);
  if (found === null) return null;
  if (found.kind === "selector") return { operand: readSelector(found, scope), mask: null, shift: 0, xor: 0 };
  if (found.kind !== "binary") return null;
  const left = readValue(found.left, scope);
  if (left === null) return null;
  const { type } = left.operand;
  if (found.operator === "<<" || found.operator === ">>") return readShift(left, found, scope);
  if (type.bits === null || !["&", "|", "^"].includes(found.operator)) return null;
  const right = resolved(found.right, scope);
  if (right === null || right.kind === "selector") return null;
  const constant = readConstant(found.right, type, scope);
  return constant === null || typeof constant === "string" ? null : apply(left, found.operator, constant);
}

/** Bits of a shift: a number, which is of no type. */
const amountOf = (given: Expression, scope: Scope): number | undefined => {
  const found = resolved(given, scope);
  const amount = found?.kind === "value" ? integer(found.text) : undefined;
  return amount !== undefined && amount < 32 ? amount : undefined;
};

/** The kernel shifts numbers of 32 bits in the order of the host, as marks are (nft_bitwise_eval_lshift). */
function readShift(
  { operand, mask, shift, xor }: ReadValue,
  { operator, right }: Extract<Expression, { kind: "binary" }>,
  scope: Scope,
): ReadValue | null {
  const amount = amountOf(right, scope);
  if (operand.type !== TYPES.mark || amount === undefined) return null;
  const by = operator === "<<" ? amount : -amount;
  const kept = shiftBits(shiftBits(0xffff_ffff, shift + by), -(shift + by));
  return {
    operand,
    mask: bitAnd(mask ?? allBits(operand.type), kept),
    shift: shift + by,
    xor: shiftBits(xor as number, by),
  };
}

function apply({ operand, mask, shift, xor }: ReadValue, operator: string, constant: Scalar): ReadValue {
  const { type } = operand;
  const before = mask ?? allBits(type);
  const flipped = type.bits === 128 && xor === 0 ? 0n : xor;
  const kept = (bits: Scalar): Scalar =>
    bitAnd(before, shift === 0 ? bits : shiftBits(bits as number, -shift));
  switch (operator) {
    case "&":
      return { operand, mask: kept(constant), shift, xor: bitAnd(flipped, constant) };
    case "|": {
      const rest = complement(constant, type);
      return { operand, mask: kept(rest), shift, xor: bitXor(bitAnd(flipped, rest), constant) };
    }
    default:
      return { operand, mask: before, shift, xor: bitXor(flipped, constant) };
  }
}

/** Returns true for an expression that reads something of the packet. */
export const readsPacket = (expression: Expression): boolean =>
  expression.kind === "selector" || (expression.kind === "binary" && readsPacket(expression.left));

/** Returns true for an expression that reads the connection of the packet, even if fwcheck does not evaluate it. */
export function readsConnection(given: Expression, scope: Scope): boolean {
  // A variable is a constant, and its faults are reported where it is read.
  switch (given.kind) {
    case "selector":
      return expression(given.words, scope.tableFamily)?.needsConntrack === true;
    case "binary":
      return readsConnection(given.left, scope) || readsConnection(given.right, scope);
    case "concatenation":
      return given.parts.some((part) => readsConnection(part, scope));
    case "map":
      return readsConnection(given.key, scope);
    default:
      return false;
  }
}

/** Parts of a key: one, or those of a concatenation; `null` if fwcheck does not evaluate a part. */
export function readKey(given: Expression, scope: Scope): ReadValue[] | null {
  const found = resolved(given, scope);
  if (found === null) return null;
  const parts: ReadValue[] = [];
  for (const part of found.kind === "concatenation" ? found.parts : [found]) {
    const value = readValue(part, scope);
    if (value === null) return null;
    parts.push(value);
  }
  return parts;
}

/** Packets that have every value of a key. */
export const guardOf = (key: readonly ReadValue[], at: CompileContext): Predicate =>
  and(...key.map(({ operand }) => operand.guard(at)));

/** Returns the packets whose value is in one of the ranges. */
export function valueIn(
  { operand, mask, shift, xor }: ReadValue,
  ranges: readonly Range[],
  at: CompileContext,
): Predicate {
  if (mask === null) return operand.within(ranges, at);
  const plain = shift === 0 ? spread(mask, xor, ranges, operand.type) : undefined;
  if (plain !== undefined && operand.reads?.shift === 0) return operand.within(plain, at);
  const values: Predicate[] = [];
  for (const [lo, hi] of ranges) {
    if (lo !== hi && (typeof lo !== "number" || (hi as number) - lo > MOST_VALUES))
      return tooMany(operand, mask, at);
    for (let value = lo; value <= hi; value = (value as number) + 1) {
      values.push(masked({ operand, mask, shift, xor }, value, at));
      if (lo === hi) break;
    }
  }
  return or(...values);
}

/** Most values of a range that are compared one by one under a mask. */
const MOST_VALUES = 1024;

const tooMany = ({ name }: Operand, mask: Scalar, at: CompileContext): Predicate =>
  unknownOf(name, "a range of values under a mask is not computed", at, String(mask));

/** Returns the packets whose value is this one. */
function masked({ operand, mask, shift, xor }: ReadValue, value: Scalar, at: CompileContext): Predicate {
  const moved = bitXor(value, xor);
  const plain = shift === 0 ? moved : shiftBits(moved as number, -shift);
  if (shift !== 0 && shiftBits(plain as number, shift) !== moved) return or();
  // Bits outside the mask are those of the operator alone.
  if (bitAnd(plain, complement(mask!, operand.type)) !== (typeof plain === "bigint" ? 0n : 0)) return or();
  return operand.masked(mask!, plain, at);
}

/** Returns the ranges of the whole value if the mask is that of a prefix; `undefined` for other masks. */
function spread(mask: Scalar, xor: Scalar, ranges: readonly Range[], type: Datatype): Range[] | undefined {
  const hole = complement(mask, type);
  const next = typeof hole === "bigint" ? hole + 1n : (hole as number) + 1;
  // A hole of low bits is one less than a power of two.
  const low =
    typeof hole === "bigint" ? (hole & (next as bigint)) === 0n : Number.isInteger(Math.log2(next as number));
  if (!low || (xor !== 0 && xor !== 0n)) return undefined;
  const out: Range[] = [];
  for (const [lo, hi] of ranges) {
    const first =
      bitAnd(lo, hole) === (typeof hole === "bigint" ? 0n : 0) ? lo : above(bitAnd(lo, mask), next);
    const last = bitXor(bitAnd(hi, mask), hole);
    if (first <= last) out.push([first, last]);
  }
  return out;
}

const above = (value: Scalar, step: Scalar): Scalar =>
  typeof value === "bigint" ? value + (step as bigint) : (value as number) + (step as number);
