/** Compares every operation of diagrams with a table of all packets, on small domains. */
import fc from "fast-check";
import { audit, auditJson, readHost } from "fwcheck";
import { describe, expect, test } from "vitest";
import { ANY } from "../../lib/packet/predicate.ts";
import { Program } from "../../lib/path/program.ts";
import { BudgetExceeded } from "../../lib/reach/budget.ts";
import { Diagrams } from "../../lib/reach/diagram.ts";
import { Domain } from "../../lib/reach/domain.ts";
import { EMPTY, FULL, type Node, terminal } from "../../lib/reach/node-store.ts";
import { SetEngine } from "../../lib/reach/set-engine.ts";
import { vocabularyOf } from "../../lib/reach/vocabulary.ts";
import { rulesetsOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";

const SIZES = [3, 7, 2, 12];
const PACKETS = SIZES.reduce(
  (packets, size) => packets.flatMap((p) => Array.from({ length: size }, (_, o) => [...p, o])),
  [[]] as number[][],
);

/** A rule: one range of ordinals per level, and a terminal. */
interface Rule {
  readonly ranges: readonly (readonly [number, number])[];
  readonly value: number;
}
const rule = (most: number): fc.Arbitrary<Rule> =>
  fc.record({
    ranges: fc.tuple(
      ...SIZES.map((size) =>
        fc
          .tuple(fc.nat(size - 1), fc.nat(size - 1))
          .map(([a, b]): readonly [number, number] => [Math.min(a, b), Math.max(a, b)]),
      ),
    ),
    value: fc.integer({ min: 1, max: most }),
  });
/** A list of rules; the first that matches decides. */
const rules = (most: number): fc.Arbitrary<readonly Rule[]> => fc.array(rule(most), { maxLength: 14 });

const truth = (list: readonly Rule[], packet: readonly number[]): number =>
  list.find(({ ranges }) => ranges.every(([lo, hi], level) => packet[level]! >= lo && packet[level]! <= hi))
    ?.value ?? 0;

const made = (d: Diagrams, list: readonly Rule[]): Node =>
  d.unionAll(
    list.map(({ ranges, value }) =>
      ranges.reduceRight<Node>((inside, range, level) => d.range(level, [range], inside), terminal(value)),
    ),
  );

const at = (d: Diagrams, node: Node, packet: readonly number[]): number =>
  d.evaluate(node, (level) => packet[level]!);
const same = (d: Diagrams, node: Node, wanted: (packet: readonly number[]) => number): void => {
  for (const packet of PACKETS)
    if (at(d, node, packet) !== wanted(packet))
      expect([packet, at(d, node, packet)]).toEqual([packet, wanted(packet)]);
};

describe("operations agree with a table of all packets", () => {
  test("union, intersect, subtract, complement, preimage, members, mapTerminals and split", () => {
    fc.assert(
      fc.property(rules(20), rules(20), (a, b) => {
        const d = new Diagrams(SIZES);
        const [f, g] = [made(d, a), made(d, b)];
        const set = d.members(g);
        const [of, og] = [(p: readonly number[]) => truth(a, p), (p: readonly number[]) => truth(b, p)];
        same(d, f, of);
        same(d, d.union(f, g), (p) => of(p) || og(p));
        same(d, set, (p) => Math.min(og(p), 1));
        same(d, d.intersect(set, f), (p) => (og(p) > 0 ? of(p) : 0));
        same(d, d.subtract(f, set), (p) => (og(p) > 0 ? 0 : of(p)));
        same(d, d.subtract(f, g), (p) => (og(p) > 0 ? 0 : of(p)));
        same(d, d.complement(set), (p) => (og(p) > 0 ? 0 : 1));
        same(
          d,
          d.mapTerminals(f, (v) => (v % 3 === 0 ? 0 : v % 3)),
          (p) => of(p) % 3,
        );
        const split = d.split(f);
        expect([...split.keys()].sort()).toEqual([...new Set(PACKETS.map(of))].filter((v) => v > 0).sort());
        for (const [value, part] of split) {
          same(d, part, (p) => (of(p) === value ? 1 : 0));
          expect(d.preimage(f, value)).toBe(part);
        }
        // Two groups take the way of few parts, fifteen that of many.
        for (const groups of [2, 15])
          for (const [group, part] of d.splitByGroup(f, (v) => v % groups))
            same(d, part, (p) => (of(p) % groups === group ? of(p) : 0));
      }),
      { numRuns: 150 },
    );
  });

  test("project, forall, support and substitute", () => {
    fc.assert(
      fc.property(
        rules(1),
        fc.nat(11),
        fc.array(fc.nat(11), { minLength: 7, maxLength: 7 }),
        (a, fixed, through) => {
          const d = new Diagrams(SIZES);
          const f = made(d, a);
          const any = (p: readonly number[]): boolean[] =>
            [0, 1, 2, 3, 4, 5, 6].map((o) => truth(a, [p[0]!, o, p[2]!, p[3]!]) === 1);
          same(d, d.project(f, new Set([1])), (p) => (any(p).includes(true) ? 1 : 0));
          same(d, d.forall(f, new Set([1])), (p) => (any(p).includes(false) ? 0 : 1));
          for (const level of [0, 1, 2, 3])
            if (!d.support(f).includes(level)) expect(d.project(f, new Set([level]))).toBe(f);
          same(d, d.substitute(f, new Map([[3, { ordinal: fixed }]])), (p) =>
            truth(a, [p[0]!, p[1]!, p[2]!, fixed]),
          );
          // Simultaneous: level 3 becomes a function of level 1, while level 1 becomes a constant.
          same(
            d,
            d.substitute(
              f,
              new Map<number, { ordinal: number } | { level: number; through: number[] }>([
                [3, { level: 1, through }],
                [1, { ordinal: 2 }],
              ]),
            ),
            (p) => truth(a, [p[0]!, 2, p[2]!, through[p[1]!]!]),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  test("equal sets are the same node, by any sequence of operations", () => {
    fc.assert(
      fc.property(rules(1), rules(1), rules(1), (a, b, c) => {
        const d = new Diagrams(SIZES);
        const [x, y, z] = [made(d, a), made(d, b), made(d, c)];
        const and = (p: Node, q: Node): Node => d.intersect(p, q);
        const or = (p: Node, q: Node): Node => d.union(p, q);
        expect(and(x, y)).toBe(and(y, x));
        expect(or(x, y)).toBe(or(y, x));
        expect(and(x, or(y, z))).toBe(or(and(x, y), and(x, z)));
        expect(or(x, and(y, z))).toBe(and(or(x, y), or(x, z)));
        expect(d.complement(and(x, y))).toBe(or(d.complement(x), d.complement(y)));
        expect(d.subtract(x, y)).toBe(and(x, d.complement(y)));
        expect(d.complement(d.complement(x))).toBe(x);
        expect(or(x, d.complement(x))).toBe(FULL);
        expect(and(x, d.complement(x))).toBe(EMPTY);
        expect(or(or(x, y), z)).toBe(or(x, or(y, z)));
      }),
      { numRuns: 300 },
    );
  });
});

describe("a budget that is too small", () => {
  test("throws BudgetExceeded", () => {
    const d = new Diagrams([1000, 1000], 10);
    const grow = () => Array.from({ length: 100 }, (_, i) => d.range(0, [[i, i]], d.range(1, [[i, i]])));
    expect(grow).toThrow(BudgetExceeded);
  });

  test("makes the audit inconclusive; the reason names the chain and the remedy", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
    const { findings, exposures, inconclusive } = auditJson(audit(rulesets, host, { budget: 1000 }));
    expect([findings, exposures]).toEqual([[], []]);
    expect(
      inconclusive.filter((line) =>
        /^IPv4: the packet sets of \w+ [A-Z]+ need more than 1000 intervals, so this family was not audited: .*--budget/.test(
          line,
        ),
      ),
    ).toHaveLength(1);
  });
});

test("an unknown has the level next to the fields of its rule: a list of senders with unknowns does not multiply later rules", () => {
  const edges = (senders: number): number => {
    const list = Array.from({ length: senders }, (_, i) => {
      const from = `-s 10.0.${i >> 8}.${i & 255}/32`;
      return [
        `-A KNOWN ${from} -m string --string s${i} --algo bm --to 65535 -j RETURN`,
        `-A KNOWN ${from} -j DROP`,
      ];
    });
    const ports = Array.from(
      { length: 50 },
      (_, i) => `-A FORWARD -p tcp -m tcp --sport ${1000 + 2 * i} -j ACCEPT`,
    );
    const text = [
      "*filter",
      ":FORWARD DROP [0:0]",
      ":KNOWN - [0:0]",
      "-A FORWARD -j KNOWN",
      ...ports,
      ...list.flat(),
      "COMMIT",
      "",
    ];
    const rulesets = rulesetsOf(text.join("\n"));
    const program = Program.of(rulesets[0]!, readHost({ complete: true }, rulesets));
    const domain = Domain.of(4, [vocabularyOf(program)]);
    const reach = new SetEngine(program, domain);
    let sum = 0;
    for (const { state } of reach.decideTable({ ...reach.start(ANY), bindings: {} }, "filter", "FORWARD")) {
      const seen = new Set<Node>();
      const visit = (node: Node): void => {
        if (node < 0 || seen.has(node)) return;
        seen.add(node);
        domain.diagrams.edges(node, (kid) => {
          sum++;
          visit(kid);
        });
      };
      visit(state.set);
    }
    return sum;
  };
  const [few, many] = [edges(50), edges(200)];
  // Proportional to the senders, not to senders times ports.
  expect(many).toBeLessThan(6 * few);
  expect(many).toBeLessThan(200 * 50);
});
