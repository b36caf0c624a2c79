/** Below this many bounds a linear scan is faster than binary search. */
const LINEAR_SCAN_LIMIT = 8;

/**
 * The intervals between the bounds of a set of ranges of 32-bit numbers. A table over the leading bits narrows the search
 * for the interval of a number to a few bounds.
 */
export class Intervals {
  /** Number of intervals. They are numbered from 0; the first starts at value 0. */
  readonly size: number;
  /** For each interval its first value and its assignment, adjacent so that one memory access reads both. */
  private readonly entries: Int32Array;
  private readonly table: Int32Array;
  private readonly shift: number;
  /** Lists for intervals with several items; each list starts with its length. */
  private lists: Int32Array = new Int32Array(0);

  constructor(ranges: readonly (readonly [number, number])[]) {
    const all = new Float64Array(2 * ranges.length + 1);
    ranges.forEach(([lo, hi], i) => {
      all[2 * i + 1] = lo;
      // No interval starts after the largest number.
      all[2 * i + 2] = hi === 0xffff_ffff ? 0 : hi + 1;
    });
    all.sort();
    const bounds = all.filter((bound, i) => i === 0 || bound !== all[i - 1]);
    this.size = bounds.length;
    this.entries = new Int32Array(2 * this.size);
    for (let i = 0; i < this.size; i++) this.entries[2 * i] = bounds[i]!;
    // About as many table entries as bounds, so that few bounds share an entry; no entries above the last bound.
    const width = 32 - Math.clz32(bounds[this.size - 1]!);
    const bits = Math.min(width, 16, 33 - Math.clz32(this.size));
    this.shift = width - bits;
    this.table = new Int32Array((1 << bits) + 1);
    let at = 0;
    for (let i = 0; i < this.table.length; i++) {
      const first = i * 2 ** this.shift;
      while (at + 1 < this.size && bounds[at + 1]! <= first) at++;
      this.table[i] = at;
    }
  }

  /** Returns the interval of a number from 0 to 2^32-1. */
  find(value: number): number {
    const { entries, table } = this;
    const place = value >>> this.shift;
    if (place >= table.length - 1) return this.size - 1;
    let low = table[place]!;
    let high = table[place + 1]!;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (entries[2 * middle]! >>> 0 <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Finds the intervals of `values[places[i]]` and writes them to `found[i]`. */
  findAll(values: Int32Array, places: Int32Array, found: Int32Array): void {
    const { entries, table, shift } = this;
    const beyond = table.length - 1;
    for (let i = 0; i < places.length; i++) {
      const value = values[places[i]!]! >>> 0;
      const place = value >>> shift;
      if (place >= beyond) {
        found[i] = this.size - 1;
        continue;
      }
      let low = table[place]!;
      let high = table[place + 1]!;
      while (high - low > LINEAR_SCAN_LIMIT) {
        const middle = (low + high + 1) >>> 1;
        if (entries[2 * middle]! >>> 0 <= value) low = middle;
        else high = middle - 1;
      }
      while (low < high && entries[2 * low + 2]! >>> 0 <= value) low++;
      found[i] = low;
    }
  }

  /** Assigns each item (a number above 0) to all intervals in its ranges, which are sorted and disjoint. */
  assign(
    items: readonly { readonly item: number; readonly ranges: readonly (readonly [number, number])[] }[],
  ): void {
    const counts = new Int32Array(this.size);
    const each = (visit: (interval: number, item: number) => void): void => {
      for (const { item, ranges } of items)
        for (const [lo, hi] of ranges) {
          const last = this.find(hi);
          for (let interval = this.find(lo); interval <= last; interval++) visit(interval, item);
        }
    };
    each((interval) => counts[interval]!++);
    const places = new Int32Array(this.size);
    let length = 0;
    for (let i = 0; i < this.size; i++)
      if (counts[i]! > 1) {
        places[i] = length;
        this.entries[2 * i + 1] = ~length;
        length += counts[i]! + 1;
      }
    this.lists = new Int32Array(length);
    each((interval, item) => {
      if (counts[interval] === 1) this.entries[2 * interval + 1] = item;
      else {
        const place = places[interval]!;
        this.lists[place + ++this.lists[place]!] = item;
      }
    });
  }

  /** Returns the assignment of an interval: 0 for none, the item, or `~index` of a list of items. */
  assigned(interval: number): number {
    return this.entries[2 * interval + 1]!;
  }

  /** Returns the length of the list that starts at this index, or one of its items at the following indexes. */
  listEntry(index: number): number {
    return this.lists[index]!;
  }
}
