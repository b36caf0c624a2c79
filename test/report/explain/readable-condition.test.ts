/** A condition holds for the same packets as the predicate it is made from. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Field, Scalar } from "../../../lib/packet/field.ts";
import { applyMask, evaluate, type Predicate } from "../../../lib/packet/predicate.ts";
import {
  type ReadableCondition,
  readableConditionOf,
} from "../../../lib/report/explain/readable-condition.ts";

const FIELDS = ["in", "src", "dport", "ctstate", "flags"] as const;
const value = (field: Field): fc.Arbitrary<Scalar> =>
  field === "in"
    ? fc.constantFrom("", "eth0", "lo", "br-a")
    : field === "src"
      ? fc.nat(6)
      : fc.nat(field === "ctstate" ? 4 : 6);

const leaf: fc.Arbitrary<Predicate> = fc.oneof(
  fc.constantFrom(...FIELDS).chain((field) =>
    fc.array(fc.tuple(value(field), value(field)), { maxLength: 3 }).map(
      (pairs): Predicate => ({
        kind: "in",
        field,
        ranges: pairs.map(([a, b]) => (a <= b ? [a, b] : [b, a])),
      }),
    ),
  ),
  fc
    .tuple(fc.constantFrom<Field>("dport", "flags", "src"), fc.nat(7), fc.nat(7))
    .map(([field, mask, bits]): Predicate => ({ kind: "bits", field, mask, value: mask & bits })),
  fc.constantFrom<Predicate>(
    { kind: "opaque", key: "a", reason: { code: "next-hop" } },
    { kind: "opaque", key: "b", reason: { code: "next-hop" } },
    { kind: "any" },
  ),
);
const { predicate } = fc.letrec<{ predicate: Predicate }>((tie) => ({
  predicate: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie("predicate"), { maxLength: 3 }).map((all): Predicate => ({ kind: "and", all })),
    fc.array(tie("predicate"), { maxLength: 3 }).map((some): Predicate => ({ kind: "or", some })),
    tie("predicate").map((not): Predicate => ({ kind: "not", not })),
  ),
}));
const packet = fc.record({
  fields: fc.record(Object.fromEntries(FIELDS.map((f) => [f, value(f)]))),
  settled: fc.record({ a: fc.boolean(), b: fc.boolean() }),
});

function holds(
  condition: ReadableCondition,
  fields: Readonly<Record<string, Scalar>>,
  settled: Readonly<Record<string, boolean>>,
): boolean {
  switch (condition.kind) {
    case "all":
      return condition.parts.every((part) => holds(part, fields, settled));
    case "some":
      return condition.parts.some((part) => holds(part, fields, settled));
    case "text":
      return settled[condition.text]! !== condition.not;
    case "bits":
      return (applyMask(fields[condition.field]!, condition.mask) === condition.value) !== condition.not;
    case "in": {
      const value = fields[condition.field]!;
      return condition.ranges.some(([lo, hi]) => value >= lo && value <= hi) !== condition.not;
    }
  }
}

test("on random predicates and packets", () => {
  fc.assert(
    fc.property(predicate, packet, (p, { fields, settled }) => {
      const condition = readableConditionOf(p, 4, (key) => key);
      const reading = {
        field: (field: Field) => (fields as Record<string, Scalar>)[field],
        settled: (key: string) => (settled as Record<string, boolean>)[key],
      };
      expect(holds(condition, fields as Record<string, Scalar>, settled)).toBe(evaluate(p, reading));
    }),
    { numRuns: 20_000 },
  );
});
