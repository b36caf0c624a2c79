/** Values of few bits that statements write to another field: `meta mark set ip dscp << 2 | 0x10`. */
import type { Expression } from "nftables-parser-ts";
import { isNever, type Predicate } from "../packet/predicate.ts";
import { shiftBits } from "../rules/effect.ts";
import { integer, TYPES } from "./datatype.ts";
import { expression } from "./expressions.ts";
import type { CompileContext, Operand } from "./operand.ts";
import { resolved, type Scope } from "./scope.ts";

/** Most bits of such a value: each value is a case of its own. */
const MOST_BITS = 8;

/** An expression of few bits, and a function of its value. */
export interface SmallValue {
  readonly operand: Operand;
  /** Results, with the packets that have them. */
  cases(at: CompileContext): readonly { readonly when: Predicate; readonly value: number }[];
}

type Function = (value: number) => number;

/**
 * Reads `EXPRESSION << 2 | 0x10`, the new value of a mark or of the same expression; `null` for an expression that is wide,
 * unknown, or reads the packet twice.
 */
export function readSmallValue(given: Expression, target: Operand, scope: Scope): SmallValue | null {
  const read = readFunction(given, scope);
  if (read === null) return null;
  const { operand, apply } = read;
  const { bits, bitmask } = operand.type;
  if (bits === null || bits > MOST_BITS || bitmask === true || operand.opaque !== undefined) return null;
  if (target.type !== TYPES.mark && operand !== target) return null;
  const values = Array.from({ length: 2 ** bits }, (_, n) => apply(n));
  if (values.some((value) => value >= 2 ** target.type.bits!)) return null;
  return {
    operand,
    cases: (at) =>
      values
        .map((value, n) => ({ when: operand.within([[n, n]], at), value }))
        .filter(({ when }) => !isNever(when)),
  };
}

function readFunction(
  given: Expression,
  scope: Scope,
): { readonly operand: Operand; readonly apply: Function } | null {
  const found = resolved(given, scope);
  if (found?.kind === "selector") {
    const operand = expression(found.words, scope.tableFamily);
    return operand === undefined ? null : { operand, apply: (value) => value };
  }
  if (found?.kind !== "binary") return null;
  const left = readFunction(found.left, scope);
  const right = resolved(found.right, scope);
  const constant = right?.kind === "value" ? integer(right.text) : undefined;
  const operate = constant === undefined ? undefined : OPERATORS[found.operator]?.(constant);
  if (left === null || operate === undefined) return null;
  return { operand: left.operand, apply: (value) => operate(left.apply(value)) };
}

/** Operators on numbers of 32 bits, as the registers of the kernel have them. */
const OPERATORS: Readonly<Record<string, (constant: number) => Function>> = {
  "&": (constant) => (value) => (value & constant) >>> 0,
  "|": (constant) => (value) => (value | constant) >>> 0,
  "^": (constant) => (value) => (value ^ constant) >>> 0,
  "<<": (constant) => (value) => shiftBits(value, constant),
  ">>": (constant) => (value) => shiftBits(value, -constant),
};
