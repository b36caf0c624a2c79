/** So many bounds, which stand side by side, are tried one by one faster than halved. */
const LINEAR_SCAN_LIMIT = 8;

/**
 * The intervals that some ranges of 32-bit numbers cut the numbers into, and which of them a number lies in. A table
 * over the leading bits leads to the few bounds among which it is sought.
 */
export class Intervals {
  /** How many intervals there are; they are counted from 0, and the first begins with 0. */
  readonly size: number;
  /** Where each begins, and next to it, to be found in one access to memory, what `enter` entered. */
  private readonly entries: Int32Array;
  private readonly table: Int32Array;
  private readonly shift: number;
  /** The lists of intervals that hold several, each with its length in front. */
  private lists: Int32Array = new Int32Array(0);

  constructor(ranges: readonly (readonly [number, number])[]) {
    const all = new Float64Array(2 * ranges.length + 1);
    ranges.forEach(([lo, hi], i) => {
      all[2 * i + 1] = lo;
      // Behind the last number nothing begins.
      all[2 * i + 2] = hi === 0xffff_ffff ? 0 : hi + 1;
    });
    all.sort();
    const bounds = all.filter((bound, i) => i === 0 || bound !== all[i - 1]);
    this.size = bounds.length;
    this.entries = new Int32Array(2 * this.size);
    for (let i = 0; i < this.size; i++) this.entries[2 * i] = bounds[i]!;
    // As many places in the table as bounds or so, so that few of them share one, and none beyond the last bound.
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

  /** The interval a number from 0 to 2^32-1 lies in. */
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

  /** The same of many: of the values that stand at `places`, in their order, into `found`. */
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

  /** Enters a number above 0 into all intervals that its ranges, sorted and apart, cover; the least come first. */
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

  /** What was entered for an interval: 0 for nothing, the number, or `~` of where the list of the numbers begins. */
  assigned(interval: number): number {
    return this.entries[2 * interval + 1]!;
  }

  /** Of the list that begins at a place its length, or at the places behind the numbers. */
  listEntry(place: number): number {
    return this.lists[place]!;
  }
}
