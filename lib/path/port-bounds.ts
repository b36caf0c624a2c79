/** Ports at which predicates begin to hold or cease to hold. */
import type { Side } from "../packet/field.ts";
import { type Predicate, visitLeaves } from "../packet/predicate.ts";
import type { PortRange } from "../rules/reading.ts";

/** First ports of the intervals in which no predicate distinguishes ports. */
export type PortBounds = Readonly<Record<Side, ReadonlySet<number>>>;

/** Port fields by the side whose translation changes them; replies to a translated port carry it on the other side. */
const SIDES: Readonly<Record<string, Side>> = {
  dport: "dst",
  ctreplsrcport: "dst",
  sport: "src",
  ctrepldstport: "src",
};

/** Returns the bounds of predicates. */
export function portBounds(predicates: Iterable<Predicate>): PortBounds {
  const bounds = { dst: new Set<number>(), src: new Set<number>() };
  for (const predicate of predicates)
    visitLeaves(predicate, (leaf) => {
      const side = leaf.kind === "in" && Object.hasOwn(SIDES, leaf.field) ? SIDES[leaf.field] : undefined;
      if (leaf.kind !== "in" || side === undefined) return;
      for (const [lo, hi] of leaf.ranges) bounds[side].add(lo as number).add((hi as number) + 1);
    });
  return bounds;
}

/** Splits a range of ports at bounds. */
export function splitPorts(bounds: ReadonlySet<number>, first: number, last: number): readonly PortRange[] {
  const cuts = [...bounds].filter((port) => port > first && port <= last).sort((a, b) => a - b);
  return [first, ...cuts].map((lo, i): PortRange => [lo, (cuts[i] ?? last + 1) - 1]);
}
