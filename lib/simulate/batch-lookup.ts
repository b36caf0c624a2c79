/**
 * Which of a list of predicates is the first that holds, for many packets at once: those of a kind find the same, and a
 * long list is asked by its index.
 */
import { Classifier, type Coder, type Group, isByte } from "../packet/classifier.ts";
import type { Field, Scalar } from "../packet/field.ts";
import type { Intervals } from "../packet/intervals.ts";
import { evaluate, type Predicate } from "../packet/predicate.ts";
import { type Lanes, TOGETHER, type Values } from "./column-state.ts";

/** It is not known which: the packet has to be simulated by itself. */
export const OTHER = -1;

/** Where a classifier's register comes from. */
interface Feed {
  readonly register: number;
  /** The values; of IPv6 addresses, which are no 32-bit numbers, there are `wide` ones instead. */
  readonly values: Values;
  readonly wide: readonly Scalar[] | null;
  readonly coder: Coder | null;
  /** What stands in the register for each name. */
  readonly names: number[];
  /** What a packet must have for it, as bits. */
  readonly of: number;
  /** The kinds of its values that the list tells apart; each counts `step`, as a digit of the kind of packet. */
  kinds: Intervals | null;
  step: number;
  /** The digit of each value, where there are few: numbers up to 255, and names. */
  digits: Int32Array | null;
}

/** Packets of a kind find the same: what they found, 2 more so that 0 is what nobody asked yet. */
const MOST_KINDS = 1 << 18;

/** A list of predicates that is asked for packets in columns. */
export interface Asked {
  readonly list: readonly { readonly when: Predicate }[];
  readonly classifier: Classifier;
  readonly feeds: readonly Feed[];
  /** Registers of fields that no packet has. */
  readonly never: readonly number[];
  /** All that its fields ask of a packet to have. */
  readonly of: number;
  /** What packets of each kind find; `null` where there are too many kinds. */
  readonly found: Int32Array | null;
  /** For which packet the registers are set. */
  loaded: number;
  /** Those of its feeds that differ from packet to packet; the others' registers are set for all. */
  differing: readonly Feed[];
  /** For which state of the columns that was so. */
  seen: number;
}

/** Asks lists about packets that stand in lanes. */
export class Lookup {
  /** What the last question found, by the place of the packet in its selection. */
  readonly keys = new Int32Array(TOGETHER);
  private readonly places = new Int32Array(TOGETHER);
  private readonly lists = new Map<object, Asked>();

  constructor(private readonly packets: Lanes) {}

  /** The list as these packets are asked by it, worked out once. */
  ask(list: readonly { readonly when: Predicate }[]): Asked {
    let asked = this.lists.get(list);
    if (asked === undefined) {
      const classifier = Classifier.of(list);
      classifier.open();
      const feeds: Feed[] = [];
      const never: number[] = [];
      classifier.fields.forEach((field, register) => {
        const source = this.packets.source(field);
        const coder = classifier.coders[register]!;
        if (source === undefined) never.push(register);
        else feeds.push({ register, ...source, coder, names: [], kinds: null, step: 0, digits: null });
      });
      const of = feeds.reduce((all, each) => all | each.of, 0);
      const found = counted(classifier, feeds);
      asked = { list, classifier, feeds, never, of, found, loaded: 0, differing: feeds, seen: -1 };
      this.lists.set(list, asked);
    }
    return asked;
  }

  /** The number that stands in a register for a packet's value. */
  private registerOf({ values, wide, coder, names }: Feed, lane: number): number {
    if (coder === null) return values.list[lane]!;
    if (wide !== null) return coder.code(wide[lane]!);
    const id = values.list[lane]!;
    return (names[id] ??= coder.code(this.packets.names[id]!));
  }

  /** Sets the registers of a classifier to the packet that is being read. */
  private load(asked: Asked): void {
    if (asked.loaded === this.packets.reading) return;
    asked.loaded = this.packets.reading;
    const { lane } = this.packets;
    const { registers, absent } = asked.classifier;
    if (asked.seen !== this.packets.version) {
      asked.seen = this.packets.version;
      asked.classifier.open();
      for (const feed of asked.feeds) registers[feed.register] = this.registerOf(feed, lane);
      asked.differing = asked.feeds.filter((feed) => !feed.values.same);
    }
    const { feeds, differing, never } = asked;
    for (let i = 0; i < differing.length; i++) {
      const feed = differing[i]!;
      registers[feed.register] = feed.coder === null ? feed.values.list[lane]! : this.registerOf(feed, lane);
    }
    const lacking = asked.of & ~this.packets.has[lane]!;
    asked.classifier.lacks = lacking !== 0 || never.length > 0;
    if (!asked.classifier.lacks) return;
    absent.fill(0);
    for (const each of feeds) if ((each.of & lacking) !== 0) absent[each.register] = 1;
    for (const register of never) absent[register] = 1;
  }

  /**
   * For each packet of a selection the first predicate that holds: its index, the size for none, or `OTHER` where it is
   * not known; into `keys`.
   * @returns whether it is the same for all
   */
  firsts(asked: Asked, lanes: Int32Array): boolean {
    const { found, feeds } = asked;
    const { keys } = this;
    const { has } = this.packets;
    const count = lanes.length;
    if (asked.of === 0 && feeds.every((feed) => feed.values.same)) {
      // Where nothing differs that is asked for, one packet speaks for all.
      this.packets.read(lanes[0]!);
      keys.fill(this.search(asked, 0), 0, count);
      return true;
    }
    if (found === null) {
      const groups = asked.classifier.indexed(count);
      if (groups !== null) this.lookUp(asked, groups, lanes);
      else
        for (let i = 0; i < count; i++) {
          this.packets.read(lanes[i]!);
          keys[i] = this.search(asked, 0);
        }
      return false;
    }
    keys.fill(0, 0, count);
    for (const feed of feeds) {
      const { of, step, coder, wide } = feed;
      const kinds = feed.kinds!;
      const { list } = feed.values;
      const missing = step * kinds.size;
      if (feed.values.same && of === 0) {
        const digit = step * kinds.find(this.registerOf(feed, lanes[0]!) >>> 0);
        if (digit > 0) for (let i = 0; i < count; i++) keys[i]! += digit;
      } else if (feed.digits !== null) {
        const digits = this.digitsOf(feed, feed.digits);
        if (of === 0) for (let i = 0; i < count; i++) keys[i]! += digits[list[lanes[i]!]!]!;
        else
          for (let i = 0; i < count; i++) {
            const lane = lanes[i]!;
            keys[i]! += (of & ~has[lane]!) !== 0 ? missing : digits[list[lane]!]!;
          }
      } else
        for (let i = 0; i < count; i++) {
          const lane = lanes[i]!;
          if ((of & ~has[lane]!) !== 0) keys[i]! += missing;
          else
            keys[i]! +=
              step *
              kinds.find((wide === null || coder === null ? list[lane]! : coder.code(wide[lane]!)) >>> 0);
        }
    }
    for (let i = 0; i < count; i++) {
      const key = keys[i]!;
      let known = found[key]!;
      if (known === 0) {
        this.packets.read(lanes[i]!);
        found[key] = known = this.search(asked, 0) + 2;
      }
      keys[i] = known - 2;
    }
    return false;
  }

  /** The same by the index, group by group for all packets, so that their ways through memory are under way at once. */
  private lookUp(asked: Asked, groups: readonly Group[], lanes: Int32Array): void {
    const { keys } = this;
    const count = lanes.length;
    this.packets.read(NOBODY);
    // Until the last group has been asked a key is what `Classifier.find` would say.
    keys.fill(2 * asked.classifier.size, 0, count);
    for (const { register, least, intervals, rest } of groups)
      if (intervals !== null) this.lookUpIn(asked, register, least, intervals, lanes);
      else
        for (let i = 0; i < count; i++)
          for (let at = 0; at < rest.length && 2 * least < keys[i]!; at++)
            if (this.better(asked, rest[at]!, i, lanes[i]!)) break;
    for (let i = 0; i < count; i++) {
      const key = keys[i]!;
      if ((key & 1) === 0) keys[i] = key >> 1;
      else {
        this.packets.read(lanes[i]!);
        keys[i] = this.search(asked, key >> 1);
      }
    }
  }

  private lookUpIn(
    asked: Asked,
    register: number,
    least: number,
    intervals: Intervals,
    lanes: Int32Array,
  ): void {
    const { keys, places } = this;
    const { has } = this.packets;
    const count = lanes.length;
    const feed = asked.feeds.find((each) => each.register === register);
    const lacking = feed?.of ?? 0;
    if (feed === undefined) places.fill(NOWHERE, 0, count);
    else if (feed.values.same && lacking === 0) {
      const place = intervals.find(this.registerOf(feed, lanes[0]!) >>> 0);
      if (intervals.entered(place) === 0) return;
      places.fill(place, 0, count);
    } else if (feed.coder === null) intervals.findAll(feed.values.list, lanes, places);
    else for (let i = 0; i < count; i++) places[i] = intervals.find(this.registerOf(feed, lanes[i]!) >>> 0);
    for (let i = 0; i < count; i++) {
      if (2 * least >= keys[i]!) continue;
      const lane = lanes[i]!;
      const place = places[i]!;
      if (place < 0 || (lacking & ~has[lane]!) !== 0) {
        // Any of them may depend on what the packet does not have: it is asked by itself.
        keys[i] = 1;
        continue;
      }
      const entered = intervals.entered(place);
      if (entered > 0) this.better(asked, entered, i, lane);
      else if (entered < 0) {
        const last = ~entered + intervals.listed(~entered);
        for (let at = ~entered + 1; at <= last; at++)
          if (this.better(asked, intervals.listed(at), i, lane)) break;
      }
    }
  }

  /** Whether a predicate of the index is the first so far that can hold of a packet, whose key says so then. */
  private better(asked: Asked, item: number, i: number, lane: number): boolean {
    const rule = (item >> 1) - 1;
    if (2 * rule >= this.keys[i]!) return false;
    let found = 2 * rule;
    if ((item & 1) === 0) {
      if (this.packets.lane !== lane) this.packets.read(lane);
      this.load(asked);
      found = asked.classifier.holds(rule);
      if (found < 0) return false;
    }
    this.keys[i] = found;
    return true;
  }

  /** The digits of a feed, those of names that came up since included. */
  private digitsOf(feed: Feed, known: Int32Array): Int32Array {
    if (feed.coder === null || known.length >= this.packets.names.length) return known;
    feed.digits = Int32Array.from(
      this.packets.names,
      (name) => feed.step * feed.kinds!.find(feed.coder!.code(name)),
    );
    return feed.digits;
  }

  /** The first that holds of the packet that is being read, from one on; `OTHER` where that is not known. */
  search(asked: Asked, from: number): number {
    this.load(asked);
    for (let at = from; ; at++) {
      const found = asked.classifier.find(at);
      at = found >> 1;
      if ((found & 1) === 0) return at;
      const holds = evaluate(asked.list[at]!.when, this.packets);
      if (holds === true) return at;
      if (holds !== false) return OTHER;
    }
  }
}

/**
 * Counts the kinds of packets that a list tells apart, where they are few: then what one of a kind found is what all of
 * them find.
 */
function counted(classifier: Classifier, feeds: readonly Feed[]): Int32Array | null {
  const kinds = classifier.kinds();
  if (kinds === null) return null;
  let all = 1;
  for (const feed of feeds) {
    feed.kinds = kinds[feed.register]!;
    feed.step = all;
    // One more for a packet without it.
    all *= feed.kinds.size + 1;
    if (all > MOST_KINDS) return null;
    feed.digits = digitsOf(feed, classifier.fields[feed.register]!);
  }
  return new Int32Array(all);
}

function digitsOf({ coder, kinds, step, wide }: Feed, field: Field): Int32Array | null {
  if (coder !== null) return wide === null ? new Int32Array(0) : null;
  if (!isByte(field)) return null;
  return Int32Array.from({ length: 0x100 }, (_, value) => step * kinds!.find(value));
}

/** No packet, and no interval. */
const NOBODY = -1;
const NOWHERE = -1;
