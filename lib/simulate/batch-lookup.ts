/**
 * Which of a list of predicates is the first that holds, for many packets at once: those of a kind find the same, and a
 * long list is asked by its index.
 */
import { Classifier, type Coder, type Group, isByte } from "../packet/classifier.ts";
import type { Field, Scalar } from "../packet/field.ts";
import type { Intervals } from "../packet/intervals.ts";
import { evaluate, type Predicate } from "../packet/predicate.ts";
import { BATCH_SIZE, type BatchColumn, type PacketBatch } from "./packet-batch.ts";

/** It is not known which: the packet has to be simulated by itself. */
export const UNKNOWN_RESULT = -1;

/** Where a classifier's register comes from. */
interface RegisterSource {
  readonly register: number;
  /** The values; of IPv6 addresses, which are no 32-bit numbers, there are `wide` ones instead. */
  readonly column: BatchColumn;
  readonly wide: readonly Scalar[] | null;
  readonly coder: Coder | null;
  /** What stands in the register for each name. */
  readonly names: number[];
  /** What a packet must have for it, as bits. */
  readonly required: number;
  /** The kinds of its values that the list tells apart; each counts `step`, as a digit of the kind of packet. */
  classes: Intervals | null;
  step: number;
  /** The digit of each value, where there are few: numbers up to 255, and names. */
  digits: Int32Array | null;
}

/** Packets of a kind find the same: what they found, 2 more so that 0 is what nobody asked yet. */
const MOST_CLASSES = 1 << 18;

/** A list of predicates that is asked for packets in columns. */
export interface CompiledList {
  readonly list: readonly { readonly when: Predicate }[];
  readonly classifier: Classifier;
  readonly feeds: readonly RegisterSource[];
  /** Registers of fields that no packet has. */
  readonly absentRegisters: readonly number[];
  /** All that its fields ask of a packet to have. */
  readonly required: number;
  /** What packets of each kind find; `null` where there are too many kinds. */
  readonly memo: Int32Array | null;
  /** For which packet the registers are set. */
  loaded: number;
  /** Those of its feeds that differ from packet to packet; the others' registers are set for all. */
  varying: readonly RegisterSource[];
  /** For which state of the columns that was so. */
  version: number;
}

/** Asks lists about packets that stand in lanes. */
export class BatchLookup {
  /** What the last question found, by the place of the packet in its selection. */
  readonly keys = new Int32Array(BATCH_SIZE);
  private readonly intervalOf = new Int32Array(BATCH_SIZE);
  private readonly lists = new Map<object, CompiledList>();

  constructor(private readonly packets: PacketBatch) {}

  /** The list as these packets are asked by it, worked out once. */
  compile(list: readonly { readonly when: Predicate }[]): CompiledList {
    let asked = this.lists.get(list);
    if (asked === undefined) {
      const classifier = Classifier.of(list);
      classifier.open();
      const feeds: RegisterSource[] = [];
      const absentRegisters: number[] = [];
      classifier.fields.forEach((field, register) => {
        const source = this.packets.source(field);
        const coder = classifier.coders[register]!;
        if (source === undefined) absentRegisters.push(register);
        else feeds.push({ register, ...source, coder, names: [], classes: null, step: 0, digits: null });
      });
      const required = feeds.reduce((all, each) => all | each.required, 0);
      const memo = createMemo(classifier, feeds);
      asked = {
        list,
        classifier,
        feeds,
        absentRegisters,
        required,
        memo,
        loaded: 0,
        varying: feeds,
        version: -1,
      };
      this.lists.set(list, asked);
    }
    return asked;
  }

  /** The number that stands in a register for a packet's value. */
  private registerOf({ column, wide, coder, names }: RegisterSource, lane: number): number {
    if (coder === null) return column.values[lane]!;
    if (wide !== null) return coder.code(wide[lane]!);
    const id = column.values[lane]!;
    return (names[id] ??= coder.code(this.packets.names[id]!));
  }

  /** Sets the registers of a classifier to the packet that is being read. */
  private loadRegisters(asked: CompiledList): void {
    if (asked.loaded === this.packets.selection) return;
    asked.loaded = this.packets.selection;
    const { lane } = this.packets;
    const { registers, absent } = asked.classifier;
    if (asked.version !== this.packets.version) {
      asked.version = this.packets.version;
      asked.classifier.open();
      for (const feed of asked.feeds) registers[feed.register] = this.registerOf(feed, lane);
      asked.varying = asked.feeds.filter((feed) => !feed.column.uniform);
    }
    const { feeds, varying, absentRegisters } = asked;
    for (let i = 0; i < varying.length; i++) {
      const feed = varying[i]!;
      registers[feed.register] =
        feed.coder === null ? feed.column.values[lane]! : this.registerOf(feed, lane);
    }
    const lacking = asked.required & ~this.packets.headerBits[lane]!;
    asked.classifier.lacks = lacking !== 0 || absentRegisters.length > 0;
    if (!asked.classifier.lacks) return;
    absent.fill(0);
    for (const each of feeds) if ((each.required & lacking) !== 0) absent[each.register] = 1;
    for (const register of absentRegisters) absent[register] = 1;
  }

  /**
   * For each packet of a selection the first predicate that holds: its index, the size for none, or `OTHER` where it is
   * not known; into `keys`.
   * @returns whether it is the same for all
   */
  findAll(asked: CompiledList, lanes: Int32Array): boolean {
    const { memo, feeds } = asked;
    const { keys } = this;
    const { headerBits } = this.packets;
    const count = lanes.length;
    if (asked.required === 0 && feeds.every((feed) => feed.column.uniform)) {
      // Where nothing differs that is asked for, one packet speaks for all.
      this.packets.select(lanes[0]!);
      keys.fill(this.findOne(asked, 0), 0, count);
      return true;
    }
    if (memo === null) {
      const groups = asked.classifier.indexed(count);
      if (groups !== null) this.findByIndex(asked, groups, lanes);
      else
        for (let i = 0; i < count; i++) {
          this.packets.select(lanes[i]!);
          keys[i] = this.findOne(asked, 0);
        }
      return false;
    }
    keys.fill(0, 0, count);
    for (const feed of feeds) {
      const { required, step, coder, wide } = feed;
      const kinds = feed.classes!;
      const { values } = feed.column;
      const missing = step * kinds.size;
      if (feed.column.uniform && required === 0) {
        const digit = step * kinds.find(this.registerOf(feed, lanes[0]!) >>> 0);
        if (digit > 0) for (let i = 0; i < count; i++) keys[i]! += digit;
      } else if (feed.digits !== null) {
        const digits = this.digitsOf(feed, feed.digits);
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
              kinds.find((wide === null || coder === null ? values[lane]! : coder.code(wide[lane]!)) >>> 0);
        }
    }
    for (let i = 0; i < count; i++) {
      const key = keys[i]!;
      let known = memo[key]!;
      if (known === 0) {
        this.packets.select(lanes[i]!);
        memo[key] = known = this.findOne(asked, 0) + 2;
      }
      keys[i] = known - 2;
    }
    return false;
  }

  /** The same by the index, group by group for all packets, so that their ways through memory are under way at once. */
  private findByIndex(asked: CompiledList, groups: readonly Group[], lanes: Int32Array): void {
    const { keys } = this;
    const count = lanes.length;
    this.packets.select(NO_LANE);
    // Until the last group has been asked a key is what `Classifier.find` would say.
    keys.fill(2 * asked.classifier.size, 0, count);
    for (const { register, least, intervals, rest } of groups)
      if (intervals !== null) this.findInGroup(asked, register, least, intervals, lanes);
      else
        for (let i = 0; i < count; i++)
          for (let at = 0; at < rest.length && 2 * least < keys[i]!; at++)
            if (this.improves(asked, rest[at]!, i, lanes[i]!)) break;
    for (let i = 0; i < count; i++) {
      const key = keys[i]!;
      if ((key & 1) === 0) keys[i] = key >> 1;
      else {
        this.packets.select(lanes[i]!);
        keys[i] = this.findOne(asked, key >> 1);
      }
    }
  }

  private findInGroup(
    asked: CompiledList,
    register: number,
    least: number,
    intervals: Intervals,
    lanes: Int32Array,
  ): void {
    const { keys, intervalOf } = this;
    const { headerBits } = this.packets;
    const count = lanes.length;
    const feed = asked.feeds.find((each) => each.register === register);
    const lacking = feed?.required ?? 0;
    if (feed === undefined) intervalOf.fill(NO_INTERVAL, 0, count);
    else if (feed.column.uniform && lacking === 0) {
      const place = intervals.find(this.registerOf(feed, lanes[0]!) >>> 0);
      if (intervals.entered(place) === 0) return;
      intervalOf.fill(place, 0, count);
    } else if (feed.coder === null) intervals.findAll(feed.column.values, lanes, intervalOf);
    else
      for (let i = 0; i < count; i++) intervalOf[i] = intervals.find(this.registerOf(feed, lanes[i]!) >>> 0);
    for (let i = 0; i < count; i++) {
      if (2 * least >= keys[i]!) continue;
      const lane = lanes[i]!;
      const place = intervalOf[i]!;
      if (place < 0 || (lacking & ~headerBits[lane]!) !== 0) {
        // Any of them may depend on what the packet does not have: it is asked by itself.
        keys[i] = 1;
        continue;
      }
      const entered = intervals.entered(place);
      if (entered > 0) this.improves(asked, entered, i, lane);
      else if (entered < 0) {
        const last = ~entered + intervals.listed(~entered);
        for (let at = ~entered + 1; at <= last; at++)
          if (this.improves(asked, intervals.listed(at), i, lane)) break;
      }
    }
  }

  /** Whether a predicate of the index is the first so far that can hold of a packet, whose key says so then. */
  private improves(asked: CompiledList, item: number, i: number, lane: number): boolean {
    const rule = (item >> 1) - 1;
    if (2 * rule >= this.keys[i]!) return false;
    let found = 2 * rule;
    if ((item & 1) === 0) {
      if (this.packets.lane !== lane) this.packets.select(lane);
      this.loadRegisters(asked);
      found = asked.classifier.holds(rule);
      if (found < 0) return false;
    }
    this.keys[i] = found;
    return true;
  }

  /** The digits of a feed, those of names that came up since included. */
  private digitsOf(feed: RegisterSource, known: Int32Array): Int32Array {
    if (feed.coder === null || known.length >= this.packets.names.length) return known;
    feed.digits = Int32Array.from(
      this.packets.names,
      (name) => feed.step * feed.classes!.find(feed.coder!.code(name)),
    );
    return feed.digits;
  }

  /** The first that holds of the packet that is being read, from one on; `OTHER` where that is not known. */
  findOne(asked: CompiledList, from: number): number {
    this.loadRegisters(asked);
    for (let at = from; ; at++) {
      const found = asked.classifier.find(at);
      at = found >> 1;
      if ((found & 1) === 0) return at;
      const holds = evaluate(asked.list[at]!.when, this.packets);
      if (holds === true) return at;
      if (holds !== false) return UNKNOWN_RESULT;
    }
  }
}

/**
 * Counts the kinds of packets that a list tells apart, where they are few: then what one of a kind found is what all of
 * them find.
 */
function createMemo(classifier: Classifier, feeds: readonly RegisterSource[]): Int32Array | null {
  const kinds = classifier.kinds();
  if (kinds === null) return null;
  let all = 1;
  for (const feed of feeds) {
    feed.classes = kinds[feed.register]!;
    feed.step = all;
    // One more for a packet without it.
    all *= feed.classes.size + 1;
    if (all > MOST_CLASSES) return null;
    feed.digits = digitsOf(feed, classifier.fields[feed.register]!);
  }
  return new Int32Array(all);
}

function digitsOf({ coder, classes, step, wide }: RegisterSource, field: Field): Int32Array | null {
  if (coder !== null) return wide === null ? new Int32Array(0) : null;
  if (!isByte(field)) return null;
  return Int32Array.from({ length: 0x100 }, (_, value) => step * classes!.find(value));
}

/** No packet, and no interval. */
const NO_LANE = -1;
const NO_INTERVAL = -1;
