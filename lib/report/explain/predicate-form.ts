/**
 * Predicates made ready to be said: what stands under `not` is turned inside out, questions about one field are put
 * together, and what another part of the rule settles already is left out. A form holds for the same packets as its
 * predicate.
 */
import { type Family, FIELDS, type Field, type Range, type Scalar } from "../../packet/field.ts";
import { normalizeRanges, type Predicate } from "../../packet/predicate.ts";

/** A question about one field, or an unknown. */
export type Leaf =
  | { readonly kind: "in"; readonly field: Field; readonly ranges: readonly Range[]; readonly not: boolean }
  | {
      readonly kind: "bits";
      readonly field: Field;
      readonly mask: Scalar;
      readonly value: Scalar;
      readonly not: boolean;
    }
  /** What is said as it is spelled; `why` says why nobody can tell whether it holds, `null` where that is known. */
  | { readonly kind: "spelled"; readonly text: string; readonly why: string | null; readonly not: boolean };

/** Conjunctions and disjunctions of leaves. No part at all: always true, and never. */
export type Form =
  | Leaf
  | { readonly kind: "all"; readonly of: readonly Form[] }
  | { readonly kind: "some"; readonly of: readonly Form[] };

const ALWAYS: Form = { kind: "all", of: [] };
const NEVER: Form = { kind: "some", of: [] };

/** Whether it holds for every packet. */
export const isAlways = (form: Form): boolean => form.kind === "all" && form.of.length === 0;
/** Whether it holds for no packet. */
export const isNever = (form: Form): boolean => form.kind === "some" && form.of.length === 0;

/**
 * The form of a predicate.
 * @param spelled how an unknown is spelled, by its key
 */
export function formOf(p: Predicate, family: Family, spelled: (key: string) => string, not = false): Form {
  switch (p.kind) {
    case "any":
      return not ? NEVER : ALWAYS;
    case "in":
      if (p.ranges.length === 0) return not ? ALWAYS : NEVER;
      return { kind: "in", field: p.field, ranges: normalizeRanges(p.ranges), not };
    case "bits":
      return isWhole(p.field, p.mask, family)
        ? { kind: "in", field: p.field, ranges: [[p.value, p.value]], not }
        : { kind: "bits", field: p.field, mask: p.mask, value: p.value, not };
    case "opaque":
      return { kind: "spelled", text: spelled(p.key), why: p.why, not };
    case "not":
      return formOf(p.not, family, spelled, !not);
    case "and":
    case "or": {
      const parts = p.kind === "and" ? p.all : p.some;
      const forms = parts.map((part) => formOf(part, family, spelled, not));
      return (p.kind === "and") !== not ? all(forms) : some(forms);
    }
  }
}

function isWhole(field: Field, mask: Scalar, family: Family): boolean {
  const kind = FIELDS[field];
  if (kind === "name") return false;
  if (kind === "address") return mask === (family === 4 ? 0xffff_ffff : (1n << 128n) - 1n);
  return mask === kind;
}

/** What holds when all parts do. */
export function all(parts: readonly Form[]): Form {
  const flat = unique(parts.flatMap((part) => (part.kind === "all" ? part.of : [part])));
  if (flat.some(isNever)) return NEVER;
  const known = flat.filter(isLeaf);
  const settled = flat.map((part) => (part.kind === "some" ? settle(part, known) : part));
  if (settled.some((part, i) => part !== flat[i])) return all(settled);
  return flat.length === 1 ? flat[0]! : { kind: "all", of: merged(flat, true) };
}

/** What holds when some part does. */
export function some(parts: readonly Form[]): Form {
  const flat = unique(parts.flatMap((part) => (part.kind === "some" ? part.of : [part])));
  if (flat.some(isAlways)) return ALWAYS;
  const joined = merged(flat, false);
  return joined.length === 1 ? joined[0]! : { kind: "some", of: joined };
}

const keyOf = (form: Form): string =>
  JSON.stringify(form, (_, value) => (typeof value === "bigint" ? `${value}n` : value));

const unique = (forms: readonly Form[]): Form[] => {
  const seen = new Set<string>();
  return forms.filter((form) => !seen.has(keyOf(form)) && seen.add(keyOf(form)));
};

type Asked = Extract<Leaf, { kind: "in" }>;
const isLeaf = (form: Form): form is Leaf => form.kind !== "all" && form.kind !== "some";

/** A disjunction beside leaves that hold: parts of it that they decide are left out. */
function settle(form: Form, known: readonly Leaf[]): Form {
  if (!isLeaf(form)) {
    const parts = form.of.map((part) => settle(part, known));
    if (parts.every((part, i) => part === form.of[i])) return form;
    return form.kind === "some" ? some(parts) : all(parts);
  }
  const [same, other] = [keyOf(form), keyOf({ ...form, not: !form.not })];
  for (const fact of known) {
    const key = keyOf(fact);
    if (key === same) return ALWAYS;
    if (key === other) return NEVER;
    if (form.kind !== "in" || fact.kind !== "in" || fact.not || fact.field !== form.field) continue;
    const inside = fact.ranges.every(([lo, hi]) => form.ranges.some(([a, b]) => a <= lo && hi <= b));
    const apart = fact.ranges.every(([lo, hi]) => form.ranges.every(([a, b]) => hi < a || b < lo));
    if (inside || apart) return inside !== form.not ? ALWAYS : NEVER;
  }
  return form;
}

/** Leaves about one field together, where one leaf says the same: alternatives, or exceptions. */
function merged(forms: readonly Form[], conjunction: boolean): Form[] {
  const out: Form[] = [];
  for (const form of forms) {
    const at =
      form.kind === "in" && form.not === conjunction
        ? out.findIndex(
            (other) => other.kind === "in" && other.field === form.field && other.not === form.not,
          )
        : -1;
    if (at < 0) out.push(form);
    else {
      const other = out[at] as Asked;
      out[at] = { ...other, ranges: normalizeRanges([...other.ranges, ...(form as Asked).ranges]) };
    }
  }
  return out;
}

/** How deep conjunctions and disjunctions stand in each other. */
export const depth = (form: Form): number => (isLeaf(form) ? 0 : 1 + Math.max(0, ...form.of.map(depth)));

/** Whether a leaf in it is what `test` looks for. */
export const has = (form: Form, test: (leaf: Leaf) => boolean): boolean =>
  isLeaf(form) ? test(form) : form.of.some((part) => has(part, test));

/** How many leaves it has. */
export const size = (form: Form): number =>
  isLeaf(form) ? 1 : form.of.reduce((sum, part) => sum + size(part), 0);
