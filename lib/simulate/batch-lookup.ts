/**
 * Finds the first predicate of a list that holds, for a whole batch of packets. Packets of one class have the same
 * result; long lists are evaluated by their index.
 */
import { Classifier } from "../packet/classifier.ts";
import type { Field, Scalar } from "../packet/field.ts";
import type { Intervals } from "../packet/intervals.ts";
import { evaluate, type Predicate } from "../packet/predicate.ts";
import { type IndexGroup, isByte } from "../packet/predicate-index.ts";
import type { ValueCoder } from "../packet/predicate-program.ts";
import { UNKNOWN_RESULT } from "./effect-code.ts";
import { BATCH_SIZE, type BatchColumn, type PacketBatch } from "./packet-batch.ts";

/** Source of the values of a register of a classifier. */
interface RegisterSource {
  readonly register: number;
  /** Values; IPv6 addresses are in `wide` instead, since they are no 32-bit numbers. */
  readonly column: BatchColumn;
  readonly wide: readonly Scalar[] | null;
  readonly coder: ValueCoder | null;
  /** Value of the register for each name, memoized. */
  readonly names: number[];
  /** Bits of HEADER_BITS that a packet needs to have the field. */
  readonly required: number;
  /** Intervals that the list distinguishes. Interval i adds i * step to the class of a packet. */
  classes: Intervals | null;
  step: number;
  /** i * step by value, for bytes and names. */
  digits: Int32Array | null;
}

/** Most classes of a list for which results are memoized. */
const MOST_CLASSES = 1 << 18;

/** A list of predicates, compiled for the columns of a batch. */
export interface CompiledList {
  readonly list: readonly { readonly when: Predicate }[];
  readonly classifier: Classifier;
  readonly sources: readonly RegisterSource[];
  /** Registers of fields that no packet has. */
  readonly absentRegisters: readonly number[];
  /** Bits of HEADER_BITS that a packet needs to have all its fields. */
  readonly required: number;
  /** Memo per packet class: result + 2; 0 means not computed. `null` if there are too many classes. */
  readonly memo: Int32Array | null;
  /** Value of `PacketBatch.selection` for which the registers are set. */
  loaded: number;
  /** Sources with varying columns; the registers of uniform ones are set once. */
  varying: readonly RegisterSource[];
  /** Value of `PacketBatch.version` for which `varying` holds. */
  version: number;
}

/** Evaluates lists on the packets of a batch. */
export class BatchLookup {
  /** Results of the last evaluation, by the index of the packet in `lanes`. */
  readonly keys = new Int32Array(BATCH_SIZE);
  /** Interval of each packet in the register of the current group. */
  private readonly intervalOf = new Int32Array(BATCH_SIZE);
  private readonly lists = new Map<object, CompiledList>();

  constructor(private readonly packets: PacketBatch) {}

  /** Compiles a list, memoized. */
  compile(list: readonly { readonly when: Predicate }[]): CompiledList {
    let compiled = this.lists.get(list);
    if (compiled === undefined) {
      const classifier = Classifier.forList(list);
      classifier.prepareRegisters();
      const sources: RegisterSource[] = [];
      const absentRegisters: number[] = [];
      classifier.fields.forEach((field, register) => {
        const input = this.packets.source(field);
        const coder = classifier.coders[register]!;
        if (input === undefined) absentRegisters.push(register);
        else sources.push({ register, ...input, coder, names: [], classes: null, step: 0, digits: null });
      });
      const required = sources.reduce((all, each) => all | each.required, 0);
      const memo = createMemo(classifier, sources);
      compiled = {
        list,
        classifier,
        sources,
        absentRegisters,
        required,
        memo,
        loaded: 0,
        varying: sources,
        version: -1,
      };
      this.lists.set(list, compiled);
    }
    return compiled;
  }

  /** Returns the value of a register for a packet. */
  private registerOf({ column, wide, coder, names }: RegisterSource, lane: number): number {
    if (coder === null) return column.values[lane]!;
    if (wide !== null) return coder.code(wide[lane]!);
    const id = column.values[lane]!;
    return (names[id] ??= coder.code(this.packets.names[id]!));
  }

  /** Sets the registers of a classifier to the selected packet. */
  private loadRegisters(compiled: CompiledList): void {
    if (compiled.loaded === this.packets.selection) return;
    compiled.loaded = this.packets.selection;
    const { lane } = this.packets;
    const { registers, absent } = compiled.classifier;
    if (compiled.version !== this.packets.version) {
      compiled.version = this.packets.version;
      compiled.classifier.prepareRegisters();
      for (const source of compiled.sources) registers[source.register] = this.registerOf(source, lane);
      compiled.varying = compiled.sources.filter((source) => !source.column.uniform);
    }
    const { sources, varying, absentRegisters } = compiled;
    for (let i = 0; i < varying.length; i++) {
      const source = varying[i]!;
      registers[source.register] =
        source.coder === null ? source.column.values[lane]! : this.registerOf(source, lane);
    }
    const missingBits = compiled.required & ~this.packets.headerBits[lane]!;
    compiled.classifier.hasAbsent = missingBits !== 0 || absentRegisters.length > 0;
    if (!compiled.classifier.hasAbsent) return;
    absent.fill(0);
    for (const each of sources) if ((each.required & missingBits) !== 0) absent[each.register] = 1;
    for (const register of absentRegisters) absent[register] = 1;
  }

  /**
   * Finds the first predicate that holds for each packet of `lanes`. Stores its index in `keys`, or the size of the list
   * if none holds, or UNKNOWN_RESULT.
   * @returns true if all results are equal by construction
   */
  findAll(compiled: CompiledList, lanes: Int32Array): boolean {
    const { memo, sources } = compiled;
    const { keys } = this;
    const { headerBits } = this.packets;
    const count = lanes.length;
    if (compiled.required === 0 && sources.every((source) => source.column.uniform)) {
      // All columns that the list tests are uniform.
      this.packets.select(lanes[0]!);
      keys.fill(this.findOne(compiled, 0), 0, count);
      return true;
    }
    if (memo === null) {
      const groups = compiled.classifier.indexFor(count);
      if (groups !== null) this.findByIndex(compiled, groups, lanes);
      else
        for (let i = 0; i < count; i++) {
          this.packets.select(lanes[i]!);
          keys[i] = this.findOne(compiled, 0);
        }
      return false;
    }
    keys.fill(0, 0, count);
    for (const source of sources) {
      const { required, step, coder, wide } = source;
      const classes = source.classes!;
      const { values } = source.column;
      const missing = step * classes.size;
      if (source.column.uniform && required === 0) {
        const digit = step * classes.find(this.registerOf(source, lanes[0]!) >>> 0);
        if (digit > 0) for (let i = 0; i < count; i++) keys[i]! += digit;
      } else if (source.digits !== null) {
        const digits = this.digitsOf(source, source.digits);
        if (required === 0) for (let i = 0; i < count; i++) keys[i]! += digits[values[lanes[i]!]!]!;
        else
          for (let i = 0; i < count; i++) {
            const lane = lanes[i]!;
            keys[i]! += (required & ~headerBits[lane]!) !== 0 ? missing : digits[values[lane]!]!;
          }
      } else
        for (let i = 0; i < count; i++) {
          const lane = lanes[i]!;
          if ((required & ~headerBits[lane]!) !== 0) keys[i]! += missing;
          else
            keys[i]! +=
              step *
              classes.find((wide === null || coder === null ? values[lane]! : coder.code(wide[lane]!)) >>> 0);
        }
    }
    for (let i = 0; i < count; i++) {
      const key = keys[i]!;
      let known = memo[key]!;
      if (known === 0) {
        this.packets.select(lanes[i]!);
        memo[key] = known = this.findOne(compiled, 0) + 2;
      }
      keys[i] = known - 2;
    }
    return false;
  }

  /** Evaluates the index group by group for all packets, so that their memory accesses overlap. */
  private findByIndex(compiled: CompiledList, groups: readonly IndexGroup[], lanes: Int32Array): void {
    const { keys } = this;
    const count = lanes.length;
    this.packets.select(NO_LANE);
    // Until the last group is evaluated, a key is encoded as a result of `Classifier.findLoaded`.
    keys.fill(2 * compiled.classifier.size, 0, count);
    for (const { register, least, intervals, rest } of groups)
      if (intervals !== null) this.findInGroup(compiled, register, least, intervals, lanes);
      else
        for (let i = 0; i < count; i++)
          for (let at = 0; at < rest.length && 2 * least < keys[i]!; at++)
            if (this.improves(compiled, rest[at]!, i, lanes[i]!)) break;
    for (let i = 0; i < count; i++) {
      const key = keys[i]!;
      if ((key & 1) === 0) keys[i] = key >> 1;
      else {
        this.packets.select(lanes[i]!);
        keys[i] = this.findOne(compiled, key >> 1);
      }
    }
  }

  private findInGroup(
    compiled: CompiledList,
    register: number,
    least: number,
    intervals: Intervals,
    lanes: Int32Array,
  ): void {
    const { keys, intervalOf } = this;
    const { headerBits } = this.packets;
    const count = lanes.length;
    const source = compiled.sources.find((each) => each.register === register);
    const missingBits = source?.required ?? 0;
    if (source === undefined) intervalOf.fill(NO_INTERVAL, 0, count);
    else if (source.column.uniform && missingBits === 0) {
      const interval = intervals.find(this.registerOf(source, lanes[0]!) >>> 0);
      if (intervals.assigned(interval) === 0) return;
      intervalOf.fill(interval, 0, count);
    } else if (source.coder === null) intervals.findAll(source.column.values, lanes, intervalOf);
    else
      for (let i = 0; i < count; i++)
        intervalOf[i] = intervals.find(this.registerOf(source, lanes[i]!) >>> 0);
    for (let i = 0; i < count; i++) {
      if (2 * least >= keys[i]!) continue;
      const lane = lanes[i]!;
      const interval = intervalOf[i]!;
      if (interval < 0 || (missingBits & ~headerBits[lane]!) !== 0) {
        // A predicate of the group may depend on a missing field: evaluate the packet by itself.
        keys[i] = 1;
        continue;
      }
      const entered = intervals.assigned(interval);
      if (entered > 0) this.improves(compiled, entered, i, lane);
      else if (entered < 0) {
        const last = ~entered + intervals.listEntry(~entered);
        for (let at = ~entered + 1; at <= last; at++)
          if (this.improves(compiled, intervals.listEntry(at), i, lane)) break;
      }
    }
  }

  /** Stores a predicate of the index as the key of a packet, if it is the first so far that can hold. */
  private improves(compiled: CompiledList, item: number, i: number, lane: number): boolean {
    const rule = (item >> 1) - 1;
    if (2 * rule >= this.keys[i]!) return false;
    let found = 2 * rule;
    if ((item & 1) === 0) {
      if (this.packets.lane !== lane) this.packets.select(lane);
      this.loadRegisters(compiled);
      found = compiled.classifier.testOne(rule);
      if (found < 0) return false;
    }
    this.keys[i] = found;
    return true;
  }

  /** Returns the digits of a source, extended for new names. */
  private digitsOf(source: RegisterSource, known: Int32Array): Int32Array {
    if (source.coder === null || known.length >= this.packets.names.length) return known;
    source.digits = Int32Array.from(
      this.packets.names,
      (name) => source.step * source.classes!.find(source.coder!.code(name)),
    );
    return source.digits;
  }

  /** Returns the first predicate at `from` or after it that holds for the selected packet, or UNKNOWN_RESULT. */
  findOne(compiled: CompiledList, from: number): number {
    this.loadRegisters(compiled);
    for (let at = from; ; at++) {
      const found = compiled.classifier.findLoaded(at);
      at = found >> 1;
      if ((found & 1) === 0) return at;
      const holds = evaluate(compiled.list[at]!.when, this.packets);
      if (holds === true) return at;
      if (holds !== false) return UNKNOWN_RESULT;
    }
  }
}

/** Counts the classes of packets that a list distinguishes, and creates their memo; `null` if there are too many. */
function createMemo(classifier: Classifier, sources: readonly RegisterSource[]): Int32Array | null {
  const classes = classifier.distinguishedIntervals();
  if (classes === null) return null;
  let all = 1;
  for (const source of sources) {
    source.classes = classes[source.register]!;
    source.step = all;
    // One more for packets without the field.
    all *= source.classes.size + 1;
    if (all > MOST_CLASSES) return null;
    source.digits = digitsOf(source, classifier.fields[source.register]!);
  }
  return new Int32Array(all);
}

function digitsOf({ coder, classes, step, wide }: RegisterSource, field: Field): Int32Array | null {
  if (coder !== null) return wide === null ? new Int32Array(0) : null;
  if (!isByte(field)) return null;
  return Int32Array.from({ length: 0x100 }, (_, value) => step * classes!.find(value));
}

const NO_LANE = -1;
const NO_INTERVAL = -1;
