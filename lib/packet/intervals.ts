/**
 * The intervals that some ranges of 32-bit numbers cut the numbers into, and which of them a number lies in. A table
 * over the leading bits leads to the few bounds among which it is sought.
 */
export class Intervals {
  /** How many intervals there are; they are counted from 0, and the first begins with 0. */
  readonly size: number;
  private readonly bounds: Uint32Array;
  private readonly table: Int32Array;
  private readonly shift: number;

  constructor(ranges: readonly (readonly [number, number])[]) {
    const all = new Float64Array(2 * ranges.length + 1);
    ranges.forEach(([lo, hi], i) => {
      all[2 * i + 1] = lo;
      // Behind the last number nothing begins.
      all[2 * i + 2] = hi === 0xffff_ffff ? 0 : hi + 1;
    });
    all.sort();
    this.bounds = Uint32Array.from(all.filter((bound, i) => i === 0 || bound !== all[i - 1]));
    this.size = this.bounds.length;
    // As many entries as bounds or so, so that few of them share one, and none beyond the last bound.
    const width = 32 - Math.clz32(this.bounds[this.size - 1]!);
    const bits = Math.min(width, 16, 33 - Math.clz32(this.size));
    this.shift = width - bits;
    this.table = new Int32Array((1 << bits) + 1);
    let at = 0;
    for (let i = 0; i < this.table.length; i++) {
      const first = i * 2 ** this.shift;
      while (at + 1 < this.size && this.bounds[at + 1]! <= first) at++;
      this.table[i] = at;
    }
  }

  /** The interval a number lies in. */
  find(value: number): number {
    const { bounds, table } = this;
    const entry = value >>> this.shift;
    if (entry >= table.length - 1) return this.size - 1;
    let low = table[entry]!;
    let high = table[entry + 1]!;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (bounds[middle]! <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** For each interval the rules whose ranges cover it, in the order in which the rules are given. */
  lists(rules: readonly { rule: number; ranges: readonly (readonly [number, number])[] }[]): {
    offsets: Int32Array;
    rules: Int32Array;
  } {
    const offsets = new Int32Array(this.size + 1);
    const each = (visit: (slot: number, rule: number) => void): void => {
      for (const { rule, ranges } of rules) {
        let last = -1;
        for (const [lo, hi] of ranges) {
          // Ranges that overlap enter a rule once.
          for (let slot = Math.max(last + 1, this.find(lo)); slot <= this.find(hi); slot++) visit(slot, rule);
          last = Math.max(last, this.find(hi));
        }
      }
    };
    each((slot) => offsets[slot + 1]!++);
    for (let slot = 0; slot < this.size; slot++) offsets[slot + 1]! += offsets[slot]!;
    const filled = offsets.slice(0, -1);
    const sorted = new Int32Array(offsets[this.size]!);
    each((slot, rule) => {
      sorted[filled[slot]!++] = rule;
    });
    return { offsets, rules: sorted };
  }
}
