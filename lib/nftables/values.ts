/** Reads the right side of comparisons and the elements of sets: values of a datatype. */
import { type Expression, printExpression } from "nftables-parser-ts";
import { parseAddress, prefixMask, prefixRange } from "../packet/address.ts";
import type { Range, Scalar } from "../packet/field.ts";
import { type Datatype, integer } from "./datatype.ts";
import { resolved, type Scope } from "./scope.ts";

/** Returns the ranges of values that an expression denotes; `null` and a report if it is none of the type. */
export const readRanges = (given: Expression, type: Datatype, scope: Scope): Range[] | null =>
  scope.uses === undefined
    ? parseRanges(given, type, scope)
    : scope.uses.literal(given, type, () => parseRanges(given, type, scope));

function parseRanges(given: Expression, type: Datatype, scope: Scope): Range[] | null {
  const expression = resolved(given, scope);
  if (expression === null) return null;
  switch (expression.kind) {
    case "value": {
      const range = type.parse(expression);
      return range === undefined ? invalid(expression, type, scope, given) : [range];
    }
    case "prefix":
      return readPrefix(expression, type, scope, given);
    case "range": {
      const first = readRanges(expression.first, type, scope);
      const last = readRanges(expression.last, type, scope);
      if (first === null || last === null) return null;
      const range: Range = [first[0]![0], last[0]![1]];
      return range[0] <= range[1] ? [range] : invalid(expression, type, scope, given);
    }
    case "set": {
      const all: Range[] = [];
      for (const { key } of expression.elements) {
        const ranges = readRanges(key, type, scope);
        if (ranges === null) return null;
        for (const range of ranges) all.push(range);
      }
      return all;
    }
    case "list":
    case "binary": {
      const value = readConstant(expression, type, scope);
      return value === null ? null : [[value, value]];
    }
    default:
      return invalid(expression, type, scope, given);
  }
}

function invalid(found: Expression, type: Datatype, scope: Scope, given: Expression): null {
  scope.report(`expected ${type.expects}`, printExpression(found), found.at ?? given.at);
  return null;
}

function readPrefix(
  expression: Extract<Expression, { kind: "prefix" }>,
  type: Datatype,
  scope: Scope,
  given: Expression,
): Range[] | null {
  const value = resolved(expression.value, scope);
  const length = integer(expression.length);
  const bits = type.bits;
  if (value?.kind !== "value" || length === undefined || bits === null || length > bits)
    return value === null ? null : invalid(expression, type, scope, given);
  const parsed = type.parse(value)?.[0];
  if (parsed === undefined || typeof parsed === "string") return invalid(expression, type, scope, given);
  if (bits === 32 || bits === 128) {
    const mask = prefixMask(length, bits === 32 ? 4 : 6);
    return [prefixRange({ address: bitAnd(parsed, mask) as number | bigint, mask })];
  }
  const size = 2 ** (bits - length);
  const first = Math.floor((parsed as number) / size) * size;
  return [[first, first + size - 1]];
}

/** Bitwise and of values of one kind. */
export const bitAnd = (a: Scalar, b: Scalar): Scalar =>
  typeof a === "bigint" ? a & BigInt(b as bigint) : ((a as number) & (b as number)) >>> 0;

/** Bitwise exclusive or. */
export const bitXor = (a: Scalar, b: Scalar): Scalar =>
  typeof a === "bigint" ? a ^ BigInt(b as bigint) : ((a as number) ^ (b as number)) >>> 0;

/** Complement within the width of a type. */
export const complement = (mask: Scalar, type: Datatype): Scalar => bitXor(mask, allBits(type));

/** Mask with all bits of a type. */
export const allBits = (type: Datatype): Scalar =>
  type.bits === 128 ? (1n << 128n) - 1n : type.bits === null ? 0 : 2 ** Math.min(type.bits, 32) - 1;

/** Returns the value of an expression of constants: `0x10 | 0x20`, `syn,ack`; `null` and a report for any other. */
export const readConstant = (given: Expression, type: Datatype, scope: Scope): Scalar | null =>
  scope.uses === undefined
    ? parseConstant(given, type, scope)
    : scope.uses.literal(given, type, () => parseConstant(given, type, scope));

function parseConstant(given: Expression, type: Datatype, scope: Scope): Scalar | null {
  const expression = resolved(given, scope);
  if (expression === null) return null;
  switch (expression.kind) {
    case "value": {
      const range = type.parse(expression) ?? maskRange(expression.text, type);
      if (range !== undefined && range[0] === range[1]) return range[0];
      invalid(expression, type, scope, given);
      return null;
    }
    case "list": {
      let sum: Scalar = type.bits === 128 ? 0n : 0;
      for (const item of expression.items) {
        const value = readConstant(item, type, scope);
        if (value === null) return null;
        if (typeof value === "string" || type.bitmask !== true)
          return invalid(expression, type, scope, given);
        sum = bitXor(sum, bitAnd(value, bitXor(allBits(type), sum)));
      }
      return sum;
    }
    case "binary": {
      const left = readConstant(expression.left, type, scope);
      const right = readConstant(expression.right, type, scope);
      if (left === null || right === null) return null;
      const value = operate(expression.operator, left, right);
      return value === undefined ? invalid(expression, type, scope, given) : value;
    }
    default:
      return invalid(expression, type, scope, given);
  }
}

/** Masks of addresses may be written as numbers. */
function maskRange(text: string, type: Datatype): Range | undefined {
  if (type.bits === 128) {
    const address = parseAddress(text, 6) ?? (/^(?:0x[0-9a-f]+|\d+)$/i.test(text) ? BigInt(text) : undefined);
    return address === undefined ? undefined : [address, address];
  }
  const number = integer(text);
  return number === undefined || type.bits === null || number > 2 ** type.bits - 1
    ? undefined
    : [number, number];
}

/** Applies an operator of nft(8), BINARY OPERATORS; `undefined` if it is unknown. */
export function operate(operator: string, left: Scalar, right: Scalar): Scalar | undefined {
  if (typeof left === "string" || typeof right === "string") return undefined;
  const [a, b] = [BigInt(left), BigInt(right)];
  const value =
    operator === "&" ? a & b : operator === "|" ? a | b : operator === "^" ? a ^ b : shift(operator, a, b);
  return value === undefined ? undefined : typeof left === "bigint" ? value : Number(value);
}

const shift = (operator: string, a: bigint, b: bigint): bigint | undefined =>
  b > 128n ? undefined : operator === "<<" ? a << b : operator === ">>" ? a >> b : undefined;
