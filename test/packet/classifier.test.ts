/** Compares the classifier (evaluation, program, index) with evaluating the predicates one after the other. */
import { expect, test } from "vitest";
import { Classifier } from "../../lib/packet/classifier.ts";
import { type Field, fieldRange, type Range, type Scalar } from "../../lib/packet/field.ts";
import {
  ANY,
  and,
  bits,
  evaluate,
  NEVER,
  not,
  opaque,
  or,
  type Predicate,
  within,
} from "../../lib/packet/predicate.ts";
import { random } from "../random.ts";

const FIELDS: readonly Field[] = [
  "src",
  "dst",
  "proto",
  "sport",
  "dport",
  "mark",
  "in",
  "out",
  "ctstate",
  "mac",
];
const NAMES = ["", "lo", "eth0", "eth1", "br-a", "br-b", "docker0"];

/** Creates random predicates and headers of one family. They use few values, so that many ranges overlap. */
function maker(r: () => number, family: 4 | 6) {
  const below = (n: number): number => Math.floor(r() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const pool = new Map<Field, Scalar[]>();
  for (const field of FIELDS) {
    const [lo, hi] = fieldRange(field, family);
    const some = Array.from({ length: 12 }, (): Scalar => {
      if (typeof lo === "string") return pick(NAMES);
      if (typeof lo === "bigint")
        return (0x2001_0db8n << 96n) + BigInt(below(9)) * (1n << 64n) + BigInt(below(4));
      return r() < 0.3 ? (lo as number) + below(3) : Math.floor(r() * ((hi as number) + 1));
    });
    pool.set(field, [...some, lo, hi]);
  }
  const range = (field: Field): Range => {
    const values = pool.get(field)!;
    const [a, b] = [pick(values), r() < 0.4 ? pick(values) : undefined];
    if (b === undefined) return [a, typeof a === "string" && r() < 0.3 ? `${a}\uffff` : a];
    return a <= b ? [a, b] : [b, a];
  };
  const predicate = (depth: number): Predicate => {
    const kind = r();
    if (depth > 0 && kind < 0.35) return and(...Array.from({ length: below(4) }, () => predicate(depth - 1)));
    if (depth > 0 && kind < 0.45) return or(...Array.from({ length: below(4) }, () => predicate(depth - 1)));
    if (kind < 0.55) return not(predicate(Math.max(0, depth - 1)));
    if (kind < 0.6) return opaque(pick(["a", "b", "c"]), "no input");
    if (kind < 0.62) return pick([ANY, NEVER]);
    const field = pick(FIELDS);
    if (kind < 0.7 && !["in", "out"].includes(field)) {
      const [mask, value] = [pick(pool.get(field)!), pick(pool.get(field)!)];
      const both =
        typeof value === "bigint" ? value & (mask as bigint) : ((value as number) & (mask as number)) >>> 0;
      return field === "mac" ? within(field, [range(field)]) : bits(field, mask, both);
    }
    return within(
      field,
      Array.from({ length: r() < 0.8 ? 1 : below(9) }, () => range(field)),
    );
  };
  const header = (whole: boolean): Partial<Record<Field, Scalar>> => {
    const out: Partial<Record<Field, Scalar>> = {};
    for (const field of FIELDS) if (whole || r() < 0.9) out[field] = pick(pool.get(field)!);
    return out;
  };
  return { predicate, header };
}

const SETTLED = new Map([["b", true]]);

test.each(Array.from({ length: 40 }, (_, i) => i + 1))("lists of predicates, seed %i", (seed) => {
  const r = random(seed);
  const { predicate, header } = maker(r, seed % 2 === 0 ? 4 : 6);
  const size = [1, 5, 30, 120][(seed % 8) >> 1]!;
  const list = Array.from({ length: size }, () => ({ when: predicate(3) }));
  const classifier = Classifier.forList(list);
  for (let i = 0; i < 2500; i++) {
    const h = header(r() < 0.7);
    const reading = { field: (f: Field) => h[f], settled: (key: string) => SETTLED.get(key) };
    const values = list.map(({ when }) => evaluate(when, reading));
    let from = 0;
    // As in a chain: continue after each rule that is not false.
    for (;;) {
      let found = classifier.next(reading, h, from);
      while (found >> 1 < size && (found & 1) === 1 && values[found >> 1] === false)
        found = classifier.next(reading, h, (found >> 1) + 1);
      const at = found >> 1;
      const wanted = values.findIndex((value, n) => n >= from && value !== false);
      if (at !== (wanted < 0 ? size : wanted)) expect(at).toBe(wanted);
      if (at === size) break;
      if ((found & 1) === 0 && values[at] !== true) expect(values[at]).toBe(true);
      from = at + 1;
    }
  }
});

test("an index finds one of 3000 predicates", () => {
  const ports = Array.from({ length: 3000 }, (_, i) => ({ when: within("dport", [[2 * i, 2 * i]]) }));
  const classifier = Classifier.forList(ports);
  const found = (dport: number): number => {
    const reading = { field: (f: Field) => (f === "dport" ? dport : undefined), settled: () => undefined };
    for (let at = 0; ; at++) {
      const next = classifier.next(reading, reading, at);
      at = next >> 1;
      if ((next & 1) === 0 || at * 2 === dport) return at;
    }
  };
  for (let i = 0; i < 3000; i++) {
    const dport = (i * 7919) % 6100;
    expect(found(dport)).toBe(dport % 2 === 0 && dport < 6000 ? dport / 2 : 3000);
  }
});
