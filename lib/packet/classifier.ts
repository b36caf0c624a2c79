/**
 * Which of many predicates is the first that holds: rules of a chain, cases of a decision. The predicates are compiled
 * into one program of tests on numbers, which jumps from a test that fails to the next predicate; for a long list
 * that is asked often an index finds the few that can hold at all. What the program cannot tell it leaves to
 * `evaluate`, so that a predicate has one meaning.
 */
import { FIELDS, type Field, type Range, type Scalar, successor } from "./field.ts";
import { Intervals } from "./intervals.ts";
import { normalizeRanges, type PacketValues, type Predicate, visitLeaves } from "./predicate.ts";

const NONE = new Int32Array(0);

/** A test is six numbers: `(register & mask) - low <= span` decides between two places to go on. */
const STRIDE = 6;
/** A place that no program has. */
const NOWHERE = 0x7fff_ffff;
/** A list is compiled when each of its predicates was asked as often: an answer or two are had faster without. */
const WORTH_COMPILING = 16;
/** A list of as few is asked one by one. */
const SHORT = 4;
/** An index is made for longer lists, when they were asked as often. */
const LONG = 48;
const OFTEN = 512;
/** At most so many intervals of one predicate are entered into the index. */
const MOST_RANGES = 64;

/** The number that stands for a value of a field whose values are no 32-bit numbers: among which bounds it lies. */
export class ValueCoder {
  private readonly known = new Map<Scalar, number>();
  constructor(private readonly bounds: readonly Scalar[]) {}

  code(value: Scalar): number {
    let code = this.known.get(value);
    if (code !== undefined) return code;
    let low = 0;
    let high = this.bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.bounds[middle]! <= value) low = middle + 1;
      else high = middle;
    }
    code = low;
    // Names come again and again, addresses may be another each time.
    if (typeof value === "string" && this.known.size < 1024) this.known.set(value, code);
    return code;
  }
}

/** Whether all values of a field are 32-bit numbers, as the registers hold them. */
const isPlain = (field: Field, ipv6: boolean): boolean => {
  const kind = FIELDS[field];
  return kind === "address" ? !ipv6 : typeof kind === "number" && kind <= 0xffff_ffff;
};

/** Whether a field holds numbers up to 255. */
export const isByte = (field: Field): boolean => {
  const kind = FIELDS[field];
  return typeof kind === "number" && kind <= 0xff;
};

/** A list of predicates, to be asked which is the first that holds. */
export class Classifier {
  private static readonly made = new WeakMap<object, Classifier>();

  /** The classifier of a list, made once however many ask for it. */
  static forList(list: readonly { readonly when: Predicate }[]): Classifier {
    let classifier = Classifier.made.get(list);
    if (classifier === undefined) {
      classifier = new Classifier(list.map((each) => each.when));
      Classifier.made.set(list, classifier);
    }
    return classifier;
  }

  /** How many predicates there are. */
  readonly size: number;
  /** The fields that are asked for, one a register. */
  fields: readonly Field[] = [];
  /** What stands for the value of a field; `null` where the value itself does. */
  coders: readonly (ValueCoder | null)[] = [];
  /** The values of the fields, and which of them the packet does not have. */
  registers: Int32Array = NONE;
  absent = new Uint8Array(0);
  /** Whether any is absent. */
  hasAbsent = false;

  private lookups = 0;
  private loadedStamp: object | null = null;
  private code: Int32Array | null = null;
  private starts: Int32Array = NONE;
  /** The predicate that each test belongs to. */
  private owners: Int32Array = NONE;
  private index: readonly IndexGroup[] | null = null;
  private distinguished: readonly Intervals[] | null | undefined;

  private constructor(private readonly list: readonly Predicate[]) {
    this.size = list.length;
  }

  /**
   * The first predicate from `from` on that is not known to be false of a packet.
   * @param stamp another object whenever the packet's fields are others: what was read of it is kept that long
   * @returns its index, doubled, and 1 more where `evaluate` has to say whether it holds; twice the size for none
   */
  next(packet: PacketValues, stamp: object, from: number): number {
    if (this.code === null) {
      if (from >= this.size) return 2 * this.size;
      if (this.size < SHORT || ++this.lookups < WORTH_COMPILING * this.size) return 2 * from + 1;
      this.compile();
    }
    if (this.loadedStamp !== stamp) this.load(packet, stamp);
    return this.findLoaded(from);
  }

  private load(packet: PacketValues, stamp: object): void {
    this.loadedStamp = stamp;
    this.hasAbsent = false;
    const { fields, coders, registers, absent } = this;
    for (let i = 0; i < fields.length; i++) {
      const value = packet.field(fields[i]!);
      if (value === undefined) {
        absent[i] = 1;
        this.hasAbsent = true;
      } else {
        absent[i] = 0;
        const coder = coders[i]!;
        registers[i] = coder === null ? (value as number) : coder.code(value);
      }
    }
  }

  /** Makes the registers ready to be set by somebody who then calls `find`. */
  prepareRegisters(): void {
    if (this.code === null) this.compile();
    this.loadedStamp = null;
  }

  /** The same as `next` of the registers as they are, once they were opened. */
  findLoaded(from: number): number {
    if (from >= this.size) return 2 * this.size;
    const groups = this.indexFor(1);
    return groups === null ? this.run(this.starts[from]!, NOWHERE) : this.searchIndex(groups, from);
  }

  /**
   * The index, for somebody who asks it for many packets at once; `null` as long as it is not worth making.
   * @param packets how many it is asked for now: what is asked once is asked by a person, what is asked often by a batch
   */
  indexFor(packets: number): readonly IndexGroup[] | null {
    if (this.index === null && this.size > LONG && (this.lookups += packets) > OFTEN)
      this.index = this.grouped();
    return this.index;
  }

  /** Runs the program from a place on, to its end or to `stop`. */
  private run(start: number, stop: number): number {
    let at = start;
    const code = this.code!;
    const { registers } = this;
    if (this.hasAbsent) return this.runWithAbsent(start, stop);
    while (at >= 0 && at !== stop)
      at =
        ((registers[code[at]!]! & code[at + 1]!) - code[at + 2]!) >>> 0 <= code[at + 3]! >>> 0
          ? code[at + 4]!
          : code[at + 5]!;
    return ~at;
  }

  /** The same where a field is absent: the first predicate that asks for it is left to `evaluate`. */
  private runWithAbsent(start: number, stop: number): number {
    let at = start;
    const code = this.code!;
    const { registers, absent } = this;
    while (at >= 0 && at !== stop) {
      if (absent[code[at]!] === 1) return 2 * this.owners[at / STRIDE]! + 1;
      at =
        ((registers[code[at]!]! & code[at + 1]!) - code[at + 2]!) >>> 0 <= code[at + 3]! >>> 0
          ? code[at + 4]!
          : code[at + 5]!;
    }
    return ~at;
  }

  private searchIndex(groups: readonly IndexGroup[], from: number): number {
    let best = 2 * this.size;
    for (let i = 0; i < groups.length; i++) {
      const { register, least, intervals, rest } = groups[i]!;
      if (2 * least >= best) break;
      if (intervals === null) {
        for (let at = 0; at < rest.length; at++) {
          const found = this.test(rest[at]!, from, best);
          if (found < 0) continue;
          best = found;
          break;
        }
        continue;
      }
      // Any of them may depend on a value that the packet does not have.
      if (this.hasAbsent && this.absent[register] === 1) return this.run(this.starts[from]!, NOWHERE);
      const entered = intervals.assigned(intervals.find(this.registers[register]! >>> 0));
      if (entered > 0) {
        const found = this.test(entered, from, best);
        if (found >= 0) best = found;
      } else if (entered < 0) {
        const place = ~entered;
        const last = place + intervals.listEntry(place);
        for (let at = place + 1; at <= last; at++) {
          const found = this.test(intervals.listEntry(at), from, best);
          if (found < 0) continue;
          best = found;
          break;
        }
      }
    }
    return best;
  }

  /** What `find` says of one predicate of the index; -1 where it does not hold, or is none of those sought. */
  private test(item: number, from: number, best: number): number {
    const rule = (item >> 1) - 1;
    if (rule < from || 2 * rule >= best) return -1;
    return (item & 1) === 1 ? 2 * rule : this.testOne(rule);
  }

  /** What `find` says of one predicate; -1 where it does not hold. */
  testOne(rule: number): number {
    const start = this.starts[rule]!;
    const next = this.starts[rule + 1]!;
    if (start === next) return -1;
    const found = this.run(start, next);
    return found >> 1 === rule ? found : -1;
  }

  /**
   * What the list can tell apart of each register: two packets of which every register lies in the same interval find
   * the same, and each is absent where the other's is. `null` where that is not so, for masks over many bits.
   */
  distinguishedIntervals(): readonly Intervals[] | null {
    if (this.distinguished === undefined) this.distinguished = this.toldApart();
    return this.distinguished;
  }

  private toldApart(): readonly Intervals[] | null {
    const ranges = this.fields.map((): [number, number][] => []);
    let known = true;
    for (const predicate of this.list)
      visitLeaves(predicate, (leaf) => {
        if (leaf.kind === "opaque" || (leaf.kind === "in" && leaf.ranges.length === 0)) return;
        const register = this.fields.indexOf(leaf.field);
        const coder = this.coders[register]!;
        const mine = ranges[register]!;
        if (leaf.kind === "in")
          for (const [lo, hi] of leaf.ranges)
            mine.push(coder === null ? [lo as number, hi as number] : [coder.code(lo), coder.code(hi)]);
        else if (!isByte(leaf.field)) known = false;
        else for (let value = 0; value <= 0xff; value++) mine.push([value, value]);
      });
    return known ? ranges.map((each) => new Intervals(each)) : null;
  }

  /** Makes the program. */
  private compile(): void {
    this.lookups = 0;
    const registers = new Map<Field, number>();
    const constants = new Map<Field, Range[]>();
    let ipv6 = false;
    for (const predicate of this.list)
      visitLeaves(predicate, (leaf) => {
        if (leaf.kind === "opaque" || (leaf.kind === "in" && leaf.ranges.length === 0)) return;
        if (!registers.has(leaf.field)) registers.set(leaf.field, registers.size);
        if (leaf.kind === "bits") ipv6 ||= typeof leaf.mask === "bigint";
        else {
          ipv6 ||= typeof leaf.ranges[0]![0] === "bigint";
          const list = constants.get(leaf.field) ?? [];
          list.push(...leaf.ranges);
          constants.set(leaf.field, list);
        }
      });
    this.fields = [...registers.keys()];
    this.coders = this.fields.map((field) =>
      isPlain(field, ipv6) ? null : new ValueCoder(boundsOf(constants.get(field) ?? [])),
    );
    this.registers = new Int32Array(registers.size);
    this.absent = new Uint8Array(registers.size);
    const writer = new Writer(registers, this.coders);
    const starts = new Int32Array(this.size + 1);
    let next = ~(2 * this.size);
    starts[this.size] = next;
    for (let rule = this.size - 1; rule >= 0; rule--) {
      next = writer.write(this.list[rule]!, rule, next);
      starts[rule] = next;
    }
    const { code, owners, turned } = writer.finish();
    this.code = code;
    this.owners = owners;
    this.starts = starts.map(turned);
  }

  /** Sorts the predicates by an interval that each asks a field to lie in; the rest stand by themselves. */
  private grouped(): IndexGroup[] {
    const perField = new Map<number, { rule: number; ranges: Numbers }[]>();
    const choices = this.list.map((predicate, rule) => {
      const mine: { register: number; ranges: Numbers }[] = [];
      const parts = conjuncts(predicate);
      for (const part of parts) {
        if (part.kind !== "in" || part.ranges.length > MOST_RANGES) continue;
        const register = this.fields.indexOf(part.field);
        const coder = this.coders[register]!;
        const ranges = normalizeRanges(part.ranges).map(([lo, hi]): readonly [number, number] =>
          coder === null ? [lo as number, hi as number] : [coder.code(lo), coder.code(hi)],
        );
        mine.push({ register, ranges });
        const list = perField.get(register) ?? [];
        list.push({ rule, ranges });
        perField.set(register, list);
      }
      return { mine, whole: parts.length === 1 };
    });
    // How much of a field a predicate takes up is counted in the intervals that the whole list tells apart.
    const spaces = new Map(
      [...perField].map(([register, list]) => [register, new Intervals(list.flatMap((l) => l.ranges))]),
    );
    const chosen = choices.map(({ mine, whole }, rule) => {
      let best = { rule, whole, register: -1, ranges: [] as Numbers, share: 1, count: 0 };
      for (const { register, ranges } of mine) {
        const space = spaces.get(register)!;
        const count = ranges.reduce((sum, [lo, hi]) => sum + space.find(hi) - space.find(lo) + 1, 0);
        const share = count / space.size;
        if (share < best.share) best = { rule, whole, register, ranges, share, count };
      }
      return best;
    });
    // Wide predicates would stand in every interval: those that do not fit are left to themselves.
    let room = 8 * this.size;
    for (const each of [...chosen].sort((a, b) => a.count - b.count)) {
      room -= each.count;
      if (room < 0) each.register = -1;
    }
    const groups = new Map<number, typeof chosen>();
    for (const each of chosen) {
      const list = groups.get(each.register) ?? [];
      list.push(each);
      groups.set(each.register, list);
    }
    return [...groups]
      .map(([register, list]): IndexGroup => {
        const least = list[0]!.rule;
        const items = list.map(({ rule, ranges, whole }) => ({
          item: 2 * (rule + 1) + (whole && register >= 0 ? 1 : 0),
          ranges,
        }));
        if (register < 0)
          return { register, least, intervals: null, rest: Int32Array.from(items, (each) => each.item) };
        const intervals = new Intervals(list.flatMap((l) => l.ranges));
        intervals.assign(items);
        return { register, least, intervals, rest: NONE };
      })
      .sort((a, b) => a.least - b.least);
  }
}

/** Ranges of registers. */
type Numbers = readonly (readonly [number, number])[];

/** All that must hold for a predicate to hold. */
const conjuncts = (p: Predicate): readonly Predicate[] => (p.kind === "and" ? p.all.flatMap(conjuncts) : [p]);

/**
 * Predicates that are found by one register, or (-1) those that are tried one by one. Each is a number: its index and 1
 * more, doubled, and 1 more where the interval says all that it asks.
 */
export interface IndexGroup {
  readonly register: number;
  /** The least predicate among them. */
  readonly least: number;
  readonly intervals: Intervals | null;
  readonly rest: Int32Array;
}

/** Where the ranges begin, and what comes behind them, in order. */
function boundsOf(ranges: readonly Range[]): Scalar[] {
  const bounds = new Set<Scalar>();
  for (const [lo, hi] of ranges) bounds.add(lo).add(successor(hi));
  return [...bounds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Writes the program from its end to its beginning, so that every place to go on to is known. */
class Writer {
  private code = new Int32Array(1 << 10);
  private owners = new Int32Array(1 << 8);
  private length = 0;
  private rule = 0;

  constructor(
    private readonly registers: ReadonlyMap<Field, number>,
    private readonly coders: readonly (ValueCoder | null)[],
  ) {}

  /** @returns where the predicate starts: the place of a test, or what `~` makes of a result */
  write(predicate: Predicate, rule: number, no: number): number {
    this.rule = rule;
    return this.part(predicate, ~(2 * rule), no);
  }

  private part(p: Predicate, yes: number, no: number): number {
    switch (p.kind) {
      case "any":
        return yes;
      case "not":
        return this.part(p.not, no, yes);
      case "and":
        return knownFirst(p.all).reduceRight((next, part) => this.part(part, next, no), yes);
      case "or":
        return knownFirst(p.some).reduceRight((next, part) => this.part(part, yes, next), no);
      case "opaque":
        return ~(2 * this.rule + 1);
      case "bits": {
        const register = this.registers.get(p.field)!;
        if (this.coders[register] !== null) return ~(2 * this.rule + 1);
        return this.test(register, p.mask as number, p.value as number, 0, yes, no);
      }
      case "in": {
        const ranges = normalizeRanges(p.ranges);
        return this.ranges(this.registers.get(p.field)!, ranges, 0, ranges.length, yes, no);
      }
    }
  }

  /** Whether the value lies in one of the ranges from `first` to before `end`. */
  private ranges(
    register: number,
    list: readonly Range[],
    first: number,
    end: number,
    yes: number,
    no: number,
  ): number {
    const coder = this.coders[register]!;
    const code = (value: Scalar): number => (coder === null ? (value as number) : coder.code(value));
    if (end - first > 4) {
      const middle = (first + end) >>> 1;
      const above = this.ranges(register, list, middle, end, yes, no);
      const below = this.ranges(register, list, first, middle, yes, no);
      return this.test(register, -1, 0, code(list[middle]![0]) - 1, below, above);
    }
    let next = no;
    for (let i = end - 1; i >= first; i--) {
      const low = code(list[i]![0]);
      next = this.test(register, -1, low, code(list[i]![1]) - low, yes, next);
    }
    return next;
  }

  private test(register: number, mask: number, low: number, span: number, yes: number, no: number): number {
    if (yes === no) return yes;
    if (this.length + STRIDE > this.code.length) {
      const code = new Int32Array(2 * this.code.length);
      code.set(this.code);
      this.code = code;
      const owners = new Int32Array(2 * this.owners.length);
      owners.set(this.owners);
      this.owners = owners;
    }
    const at = this.length;
    this.code[at] = register;
    this.code[at + 1] = mask;
    this.code[at + 2] = low;
    this.code[at + 3] = span;
    this.code[at + 4] = yes;
    this.code[at + 5] = no;
    this.owners[at / STRIDE] = this.rule;
    this.length += STRIDE;
    return at;
  }

  /** The program in its order of running, and where a place of the writing went. */
  finish(): { code: Int32Array; owners: Int32Array; turned: (place: number) => number } {
    const { length } = this;
    const turned = (place: number): number => (place < 0 ? place : length - STRIDE - place);
    const code = new Int32Array(length);
    const owners = new Int32Array(length / STRIDE);
    for (let at = 0; at < length; at += STRIDE) {
      const to = turned(at);
      for (let i = 0; i < 4; i++) code[to + i] = this.code[at + i]!;
      code[to + 4] = turned(this.code[at + 4]!);
      code[to + 5] = turned(this.code[at + 5]!);
      owners[to / STRIDE] = this.owners[at / STRIDE]!;
    }
    return { code, owners, turned };
  }
}

/** What can be decided comes before what may be unknown: the order makes no difference to the answer. */
function knownFirst(parts: readonly Predicate[]): readonly Predicate[] {
  const unknown = (p: Predicate): boolean => {
    let found = false;
    visitLeaves(p, (leaf) => (found ||= leaf.kind === "opaque"));
    return found;
  };
  const last = parts.filter(unknown);
  return last.length === 0 ? parts : [...parts.filter((p) => !last.includes(p)), ...last];
}
