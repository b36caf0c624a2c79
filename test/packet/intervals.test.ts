/** Compares `find` and `findAll` with counting the bounds below a number. */
import { expect, test } from "vitest";
import { Intervals } from "../../lib/packet/intervals.ts";
import { random } from "../random.ts";

const TOP = 0xffff_ffff;

test("find and findAll return the interval of a number", () => {
  const next = random(1);
  const below = (n: number): number => Math.floor(next() * n);
  for (let round = 0; round < 60; round++) {
    // Bounds over all numbers, or so close that many share a table entry; with and without both ends.
    const base = below(2) === 0 ? 0 : 2 ** 31 + below(1000);
    const width = [100, 5000, 2 ** 20, TOP - base][round % 4]!;
    const ranges = Array.from({ length: 1 + below(600) }, (): [number, number] => {
      const low = base + below(width);
      return [low, Math.min(TOP, low + below(width / 10))];
    });
    if (round % 3 === 0) ranges.push([0, below(9)], [TOP - below(9), TOP]);
    const intervals = new Intervals(ranges);
    const bounds = [...new Set([0, ...ranges.flatMap(([lo, hi]) => [lo, hi + 1])])].filter((b) => b <= TOP);
    expect(intervals.size).toBe(bounds.length);
    const near = bounds.flatMap((b) => [b, b - 1, b + 1]).filter((v) => v >= 0 && v <= TOP);
    const values = [0, TOP, ...near, ...Array.from({ length: 100 }, () => below(TOP))];
    const places = Int32Array.from(values, (_, i) => values.length - 1 - i);
    const found = new Int32Array(values.length);
    intervals.findAll(Int32Array.from(values), places, found);
    const sorted = Float64Array.from(bounds).sort();
    for (const [i, place] of places.entries()) {
      const value = values[place]!;
      let expected = -1;
      for (let low = 0, high = sorted.length - 1; low <= high; ) {
        const middle = (low + high) >> 1;
        if (sorted[middle]! <= value) {
          expected = middle;
          low = middle + 1;
        } else high = middle - 1;
      }
      expect(intervals.find(value), `${value}`).toBe(expected);
      expect(found[i], `${value}`).toBe(expected);
    }
  }
});
