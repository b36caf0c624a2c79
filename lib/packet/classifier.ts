/**
 * Finds the first predicate of a list that is true of a packet: the rules of a chain, the cases of a decision.
 *
 * The list is compiled into a program (predicate-program.ts); a long list that is evaluated often also gets an index
 * (predicate-index.ts). Where the program cannot decide, the caller calls `evaluate`, so that a predicate has one meaning.
 */
import type { Field } from "./field.ts";
import type { Intervals } from "./intervals.ts";
import type { PacketValues, Predicate } from "./predicate.ts";
import { buildIndex, distinguishIntervals, type IndexGroup } from "./predicate-index.ts";
import { compileProgram, type PredicateProgram, STRIDE, type ValueCoder } from "./predicate-program.ts";

const NONE = new Int32Array(0);

/** A position that no program has. */
const NOWHERE = 0x7fff_ffff;
/** Lookups per predicate before the list is compiled; below this, direct evaluation is cheaper. */
const WORTH_COMPILING = 16;
/** Lists shorter than this are evaluated one by one. */
const SHORT = 4;
/** Lists longer than `LONG` get an index after `OFTEN` lookups. */
const LONG = 48;
const OFTEN = 512;

/** Finds the first predicate of a list that is true of a packet. */
export class Classifier {
  private static readonly memo = new WeakMap<object, Classifier>();

  /** Returns the classifier of a list, which is created once. */
  static forList(list: readonly { readonly when: Predicate }[]): Classifier {
    let classifier = Classifier.memo.get(list);
    if (classifier === undefined) {
      classifier = new Classifier(list.map((each) => each.when));
      Classifier.memo.set(list, classifier);
    }
    return classifier;
  }

  /** Number of predicates. */
  readonly size: number;
  /** Fields of the predicates, one per register. */
  fields: readonly Field[] = [];
  /** Coder of each register; `null` if the register contains the value itself. */
  coders: readonly (ValueCoder | null)[] = [];
  /** Values of the fields of one packet. */
  registers: Int32Array = NONE;
  /** 1 for each field that the packet does not have. */
  absent = new Uint8Array(0);
  /** True if any field is absent. */
  hasAbsent = false;

  private lookups = 0;
  private loadedStamp: object | null = null;
  private program: PredicateProgram | null = null;
  // Copies of the program's arrays, for fast access.
  private code: Int32Array = NONE;
  private starts: Int32Array = NONE;
  private owners: Int32Array = NONE;
  private index: readonly IndexGroup[] | null = null;
  private distinguished: { readonly intervals: readonly Intervals[] | null } | undefined;

  private constructor(private readonly list: readonly Predicate[]) {
    this.size = list.length;
  }

  /**
   * Finds the first predicate from index `from` on that is true or undecided.
   * @param stamp identity of the packet's values; the registers are loaded again if it differs from the last call
   * @returns `2 * index` of a predicate that is true, `2 * index + 1` of one that needs `evaluate`, `2 * size` for none
   */
  next(packet: PacketValues, stamp: object, from: number): number {
    if (this.program === null) {
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

  /** Prepares the registers for a caller that sets them and then calls `findLoaded`. */
  prepareRegisters(): void {
    if (this.program === null) this.compile();
    this.loadedStamp = null;
  }

  /** Same as `next`, for the registers as they are. */
  findLoaded(from: number): number {
    if (from >= this.size) return 2 * this.size;
    const groups = this.indexFor(1);
    return groups === null ? this.run(this.starts[from]!, NOWHERE) : this.searchIndex(groups, from);
  }

  /**
   * Returns the index, or `null` while the list has had too few lookups to justify one.
   * @param packets number of lookups that the caller is about to make
   */
  indexFor(packets: number): readonly IndexGroup[] | null {
    if (this.index === null && this.size > LONG && (this.lookups += packets) > OFTEN)
      this.index = buildIndex(this.list, this.program!);
    return this.index;
  }

  /** Runs the program from a test on, to a result or to `stop`. */
  private run(start: number, stop: number): number {
    let at = start;
    const { code, registers } = this;
    if (this.hasAbsent) return this.runWithAbsent(start, stop);
    while (at >= 0 && at !== stop)
      at =
        ((registers[code[at]!]! & code[at + 1]!) - code[at + 2]!) >>> 0 <= code[at + 3]! >>> 0
          ? code[at + 4]!
          : code[at + 5]!;
    return ~at;
  }

  /** Same as `run` if a field is absent: the first predicate that tests it is undecided. */
  private runWithAbsent(start: number, stop: number): number {
    let at = start;
    const { code, registers, absent } = this;
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
      // Any predicate of this group may depend on the absent value.
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

  /** Returns the result for one item of the index; -1 if it is false or not between `from` and `best`. */
  private test(item: number, from: number, best: number): number {
    const rule = (item >> 1) - 1;
    if (rule < from || 2 * rule >= best) return -1;
    return (item & 1) === 1 ? 2 * rule : this.testOne(rule);
  }

  /** Returns the result for one predicate; -1 if it is false. */
  testOne(rule: number): number {
    const start = this.starts[rule]!;
    const next = this.starts[rule + 1]!;
    if (start === next) return -1;
    const found = this.run(start, next);
    return found >> 1 === rule ? found : -1;
  }

  /** See `distinguishIntervals`. */
  distinguishedIntervals(): readonly Intervals[] | null {
    this.distinguished ??= { intervals: distinguishIntervals(this.list, this.program!) };
    return this.distinguished.intervals;
  }

  private compile(): void {
    this.lookups = 0;
    this.program = compileProgram(this.list);
    const { fields, coders, code, owners, starts } = this.program;
    this.fields = fields;
    this.coders = coders;
    this.code = code;
    this.owners = owners;
    this.starts = starts;
    this.registers = new Int32Array(fields.length);
    this.absent = new Uint8Array(fields.length);
  }
}
