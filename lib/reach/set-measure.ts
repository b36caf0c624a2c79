/** Sizes of packet sets: the number of headers in a set, for shares. */
import type { Scalar } from "../packet/field.ts";
import type { Domain } from "./domain.ts";
import { EMPTY, type Node } from "./node-store.ts";

/** An interface that exists counts as much as this number of names between two names that rules test. */
const KNOWN_NAME = 1_000_000n;

/** Measures packet sets of one domain. A packet set is measured by all fields that rules or questions test. */
export class SetMeasure {
  private readonly weights: readonly (readonly bigint[])[];
  private readonly totals: readonly bigint[];
  private readonly memo = new Map<Node, bigint>();

  /** @param names interfaces of the host */
  constructor(
    private readonly domain: Domain,
    names: readonly string[],
  ) {
    this.weights = domain.variables.map((variable, level) => {
      if (variable.kind === "unknown") return [1n, 1n];
      return variable.starts.map((_, ordinal) => width(domain.interval(level, ordinal), names));
    });
    this.totals = this.weights.map((list) => list.reduce((sum, each) => sum + each, 0n));
  }

  /** Returns the part of a set that another one, which it contains, is: 0 to 1. */
  share(part: Node, whole: Node): number {
    return ratio(this.size(part), this.size(whole));
  }

  /** Returns the number of headers in a set; names of interfaces are weighted. */
  size(set: Node): bigint {
    return this.below(set, 0);
  }

  /** Returns the size of a set in the variables from a level on. */
  private below(node: Node, level: number): bigint {
    if (node === EMPTY) return 0n;
    const { diagrams } = this.domain;
    const next = node < 0 ? this.totals.length : diagrams.levelOf(node);
    let size = node < 0 ? 1n : this.memo.get(node);
    if (size === undefined) {
      const weights = this.weights[next]!;
      let sum = 0n;
      diagrams.edges(node, (kid, first, last) => {
        if (kid === EMPTY) return;
        let weight = 0n;
        for (let ordinal = first; ordinal <= last; ordinal++) weight += weights[ordinal]!;
        sum += weight * this.below(kid, next + 1);
      });
      this.memo.set(node, (size = sum));
    }
    for (let skipped = level; skipped < next; skipped++) size *= this.totals[skipped]!;
    return size;
  }
}

/** Returns a part of a whole as a number, 0 to 1. */
export const ratio = (part: bigint, whole: bigint): number =>
  whole === 0n ? 0 : Number((part * 1_000_000n) / whole) / 1_000_000;

/** Returns the number of values of an interval; of names the end is exclusive. */
function width([first, last]: readonly [Scalar, Scalar], names: readonly string[]): bigint {
  if (typeof first !== "string")
    return BigInt(last as number | bigint) - BigInt(first as number | bigint) + 1n;
  const known = names.filter((name) => name >= first && name < (last as string)).length;
  return known === 0 ? 1n : BigInt(known) * KNOWN_NAME;
}
