/**
 * Verdicts of many packets at once. The packets stand in columns, and the state that walks through the host is a
 * selection of them: each stop is made once for thousands of packets, and the selection parts where they fare
 * differently. What asks for more than a header, a translation or something that is not known, is simulated by itself.
 */
import type { Host } from "../host/host.ts";
import { Classifier, type Coder, type Group, isByte } from "../packet/classifier.ts";
import {
  CT,
  CT_STATUS,
  type CtState,
  type Family,
  type Field,
  hasPorts,
  PROTO,
  type Scalar,
} from "../packet/field.ts";
import type { Intervals } from "../packet/intervals.ts";
import type { Packet } from "../packet/packet.ts";
import { evaluate, type Predicate, type Reading } from "../packet/predicate.ts";
import type { Case } from "../path/case.ts";
import { type BoundChain, Program } from "../path/program.ts";
import { GROUPS } from "../path/route.ts";
import {
  arrive,
  type Confirmed,
  type Decision,
  type Ending,
  type Engine,
  type Part,
  send,
} from "../path/walk.ts";
import { changed, type Effect } from "../rules/effect.ts";
import type { Hook, Ruleset, TableName } from "../rules/ruleset.ts";
import { isWithinBurst } from "./chain.ts";
import { Simulator } from "./simulate.ts";
import { settled } from "./state.ts";

/** The values of a field: one for all packets, or one each, in order. */
export type Column<T> = T | ArrayLike<T>;

/**
 * Packets in columns, all of one family. Typed arrays are the fastest, plain arrays will do. A field that is not
 * given, or that the protocol of a packet does not have, the packet does not say.
 */
export interface PacketColumns {
  /** 4 for IPv4, 6 for IPv6. */
  readonly family: Family;
  /** Interface each arrives on; `null` where the host itself sends it. */
  readonly in: string | null | readonly (string | null)[];
  /** Source addresses: numbers from 0 to 2^32-1 for IPv4, bigints for IPv6. */
  readonly src: Column<number> | Column<bigint>;
  /** Destination addresses, as `src`. */
  readonly dst: Column<number> | Column<bigint>;
  /** IP protocol numbers, 0 to 255. */
  readonly proto: Column<number>;
  /** Source ports, 0 to 65535, of TCP, UDP, UDP-Lite, SCTP and DCCP. */
  readonly sport?: Column<number>;
  /** Destination ports. */
  readonly dport?: Column<number>;
  /** TCP flags, bits as in `parseFlags`; a SYN alone where they are not given. */
  readonly flags?: Column<number>;
  /** ICMP and ICMPv6 types, 0 to 255. */
  readonly type?: Column<number>;
  /** ICMP and ICMPv6 codes, 0 to 255. */
  readonly code?: Column<number>;
  /** Packet marks, 0 to 2^32-1; 0 where they are not given. */
  readonly mark?: Column<number>;
  /** IPv4 TOS or IPv6 traffic class, the whole byte; 0 where it is not given. */
  readonly tos?: Column<number>;
  /** TTL or hop limit, 0 to 255; 64 where it is not given. */
  readonly ttl?: Column<number>;
  /** Length of the whole packet in bytes, 0 to 65535. */
  readonly length?: Column<number>;
}

/** What a code that `verdicts` gives stands for: `VERDICTS[code]`. */
export const VERDICTS = ["accept", "drop", "reject", "undecided"] as const satisfies readonly Decision[];

/** Settings of `verdicts`. */
export interface BatchOptions {
  /** Truths of unknown matches, as for `simulate`. */
  readonly assume?: ReadonlyMap<string, boolean>;
}

/** Fields that a column may give, with their greatest value and whose they are. */
const NUMBERS = {
  proto: { most: 0xff, of: 0, usual: 0 },
  sport: { most: 0xffff, of: 1, usual: undefined },
  dport: { most: 0xffff, of: 1, usual: undefined },
  flags: { most: 0xff, of: 2, usual: 2 },
  type: { most: 0xff, of: 4, usual: undefined },
  code: { most: 0xff, of: 4, usual: undefined },
  mark: { most: 0xffff_ffff, of: 0, usual: 0 },
  tos: { most: 0xff, of: 0, usual: 0 },
  ttl: { most: 0xff, of: 0, usual: 64 },
  length: { most: 0xffff, of: 0, usual: undefined },
} as const;
type NumberField = keyof typeof NUMBERS;

/** What a packet has, as bits: ports, TCP flags, ICMP type and code, and a connection. */
const HAS = Uint8Array.from({ length: 256 }, (_, proto) =>
  hasPorts(proto) ? (proto === PROTO.tcp ? 3 : 1) : proto === PROTO.icmp || proto === PROTO.icmpv6 ? 4 : 0,
);
const CONNECTION = 8;

/** What a first packet's connection says is what its header says, as long as nothing was translated. */
const OF_CONNECTION: Partial<Record<Field, { readonly like: Field; readonly of: number }>> = {
  ctproto: { like: "proto", of: CONNECTION },
  ctorigsrc: { like: "src", of: CONNECTION },
  ctorigdst: { like: "dst", of: CONNECTION },
  ctreplsrc: { like: "dst", of: CONNECTION },
  ctrepldst: { like: "src", of: CONNECTION },
  ctorigsrcport: { like: "sport", of: CONNECTION | 1 },
  ctorigdstport: { like: "dport", of: CONNECTION | 1 },
  ctreplsrcport: { like: "dport", of: CONNECTION | 1 },
  ctrepldstport: { like: "sport", of: CONNECTION | 1 },
  ctdir: { like: "ctdir", of: CONNECTION },
  ctmark: { like: "ctmark", of: CONNECTION },
};

/** Packets that go through the host together; few enough to stay in the processor's cache. */
const TOGETHER = 4096;

/**
 * The verdict of each packet, exactly as a new simulator would give it: every packet is taken for the first of its
 * connection, none sees what another left behind. Nothing is made anew for a packet; rulesets, hosts and what was
 * worked out for them are remembered as long as they are kept, so packets may well come in several calls.
 *
 * ```ts
 * import { type Host, type Ruleset, VERDICTS, verdicts } from "fwcheck";
 * declare const rulesets: readonly Ruleset[];
 * declare const host: Host;
 * const codes = verdicts(rulesets, host, {
 *   family: 4, in: "eth0", src: Uint32Array.of(0xc0000201, 0xc0000202), dst: 0xcb007101, proto: 6, sport: 40000, dport: 22,
 * });
 * const blocked = codes.filter((code) => VERDICTS[code] !== "accept").length;
 * ```
 *
 * @param rulesets at most one a family; a family without one lets everything through
 * @param packets at least one of the columns must be a list; all lists have the same length
 * @returns a code for each packet, an index into `VERDICTS`: `undecided` where the verdict depends on an unknown
 * @throws RangeError where lists differ in length, or a value is none of its field
 */
export function verdicts(
  rulesets: readonly Ruleset[],
  host: Host,
  packets: PacketColumns,
  options: BatchOptions = {},
): Uint8Array {
  const size = sizeOf(packets);
  const codes = new Uint8Array(size).fill(VERDICTS.indexOf("undecided"));
  const truths = options.assume ?? new Map<string, boolean>();
  const ruleset = rulesets.find((r) => r.family === packets.family) ?? {
    ...{ family: packets.family, source: "", tables: new Map() },
  };
  const engine = new BatchEngine(Program.of(ruleset, host), truths);
  for (let first = 0; first < size; first += TOGETHER) {
    const count = Math.min(TOGETHER, size - first);
    engine.take(packets, first, count);
    for (const { state, verdict } of engine.walk()) {
      const code = VERDICTS.indexOf(verdict);
      for (const lane of state.lanes) codes[first + lane] = code;
    }
    for (const lane of engine.others) {
      const alone = new Simulator([ruleset], host, { assume: truths });
      codes[first + lane] = VERDICTS.indexOf(alone.packet(packetAt(packets, first + lane)).verdict);
    }
  }
  return codes;
}

/**
 * One packet out of the columns, as `Simulator.packet` takes it.
 * @param index from 0
 */
export function packetAt(packets: PacketColumns, index: number): Packet {
  const proto = valueAt<number>(packets.proto, index);
  const fields: Partial<Record<NumberField, number>> = {};
  for (const field of Object.keys(NUMBERS) as NumberField[]) {
    const column = packets[field];
    const { of } = NUMBERS[field];
    if (column !== undefined && (of === 0 || (HAS[proto]! & of) !== 0))
      fields[field] = valueAt(column, index);
  }
  return {
    ...fields,
    family: packets.family,
    in: valueAt<string | null>(packets.in, index),
    src: valueAt<number | bigint>(packets.src as Column<number | bigint>, index),
    dst: valueAt<number | bigint>(packets.dst as Column<number | bigint>, index),
    proto,
  };
}

const isList = <T>(column: Column<T>): column is ArrayLike<T> =>
  typeof column === "object" && column !== null;

const valueAt = <T>(column: Column<T>, index: number): T => (isList(column) ? column[index]! : column);

const COLUMNS = ["in", "src", "dst", ...(Object.keys(NUMBERS) as NumberField[])] as const;

/** How many packets there are. */
function sizeOf(packets: PacketColumns): number {
  let size: number | undefined;
  for (const name of COLUMNS) {
    const column = packets[name] as Column<unknown>;
    if (!isList(column)) continue;
    if (size !== undefined && column.length !== size)
      throw new RangeError(`column ${name} has ${column.length} values, others have ${size}`);
    size = column.length;
  }
  if (size === undefined) throw new RangeError("one of the columns must be a list");
  return size;
}

const wrong = (name: string, index: number, value: unknown): RangeError =>
  new RangeError(`${name} of packet ${index} cannot be ${String(value)}`);

/** Packets that have gone the same way so far. */
interface Selection {
  /** Their places among those that go together. */
  readonly lanes: Int32Array;
  /** Which sides the nat table has been asked for. */
  readonly asked: { readonly dst: boolean; readonly src: boolean };
  /** mangle changed what the route depends on. */
  readonly moved: boolean;
}

/** What a rule does to a packet: an index into VERDICTS, or one of these. */
const NAT = VERDICTS.length;
const NOTE = NAT + 1;
const ASSIGN = NAT + 2;
const JUMP = NAT + 3;
const GOTO = NAT + 4;
const RETURN = NAT + 5;
const FORK = NAT + 6;
/** The packet has to be simulated by itself. */
const OTHER = -1;

function codeOf(effect: Effect): number {
  switch (effect.kind) {
    case "verdict":
      return VERDICTS.indexOf(effect.verdict);
    case "hotdrop":
    case "stolen":
      return VERDICTS.indexOf("drop");
    case "opaque":
      return VERDICTS.indexOf("undecided");
    case "assign":
      return effect.next === undefined ? ASSIGN : OTHER;
    default:
      return { nat: NAT, note: NOTE, jump: JUMP, goto: GOTO, return: RETURN, fork: FORK }[effect.kind];
  }
}

/** The values of a field. */
interface Values {
  readonly list: Int32Array;
  /** All packets have the same. */
  same: boolean;
}

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
interface Asked {
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

/** A chain, as packets in columns run through it. */
interface Chain {
  readonly bound: BoundChain;
  readonly asked: Asked;
  readonly codes: Int8Array;
  /** Where each jump leads. */
  readonly to: (Chain | null)[];
}

class BatchEngine implements Engine<Selection>, Reading {
  /** Packets that have to be simulated by themselves. */
  readonly others: number[] = [];
  private readonly columns = new Map<Field, Values>();
  /** IPv6 addresses. */
  private readonly wide: { readonly src: Scalar[]; readonly dst: Scalar[] } = { src: [], dst: [] };
  private readonly has = new Uint8Array(TOGETHER);
  private readonly keys = new Int32Array(TOGETHER);
  private readonly places = new Int32Array(TOGETHER);
  private readonly names: string[] = [""];
  private readonly ids = new Map<string, number>([["", 0]]);
  private readonly lists = new Map<object, Asked>();
  private readonly chains = new Map<BoundChain, Chain>();
  private readonly back: Chain[] = [];
  private readonly backTo: number[] = [];
  private readonly family: Family;
  private count = 0;
  /** The packet that is being read, and how often one was or changed. */
  private lane = 0;
  private reading = 0;
  /** How often it changed which columns differ, and what the others hold. */
  private version = 0;

  constructor(
    private readonly program: Program,
    private readonly truths: ReadonlyMap<string, boolean>,
  ) {
    this.family = program.ruleset.family;
  }

  /** Takes up the packets from `first` on. */
  take(packets: PacketColumns, first: number, count: number): void {
    this.count = count;
    this.version++;
    this.others.length = 0;
    const input = packets.in;
    if (isList(input)) {
      const names = this.column("in");
      const sockets = this.column("socket");
      this.differ(names);
      this.differ(sockets);
      for (let i = 0; i < count; i++) {
        const name = input[first + i];
        if (typeof name !== "string" && name !== null) throw wrong("in", first + i, name);
        names.list[i] = this.id(name ?? "");
        sockets.list[i] = name === null ? 1 : 0;
      }
    } else {
      this.fill("in", this.id((input as string | null) ?? ""));
      this.fill("socket", input === null ? 1 : 0);
    }
    for (const field of ["src", "dst"] as const)
      if (this.family === 4) this.numbers(field, packets[field] as Column<number>, 0xffff_ffff, first);
      else this.addresses(this.wide[field], field, packets[field] as Column<bigint>, first);
    for (const field of Object.keys(NUMBERS) as NumberField[]) {
      const { most, usual } = NUMBERS[field];
      const given = packets[field] ?? usual;
      if (given !== undefined) this.numbers(field, given, most, first);
    }
    const proto = this.column("proto").list;
    for (let i = 0; i < count; i++) this.has[i] = HAS[proto[i]!]!;
    for (const field of [
      "out",
      "physin",
      "physout",
      "fragment",
      "pkttype",
      "ctstatus",
      "ctdir",
      "ctmark",
    ] as const)
      this.fill(field, 0);
    this.fill("ctstate", CT.INVALID);
  }

  private numbers(field: Field, from: Column<number>, most: number, first: number): void {
    if (!isList(from)) {
      if (typeof from !== "number" || from >>> 0 !== from || from > most) throw wrong(field, first, from);
      this.fill(field, from);
      return;
    }
    const { count } = this;
    const values = this.column(field);
    this.differ(values);
    const { list } = values;
    // What cannot hold a wrong value need not be looked at.
    if (ArrayBuffer.isView(from) && (FITTING.get(from.constructor) ?? Number.POSITIVE_INFINITY) <= most) {
      list.set((from as unknown as Uint32Array).subarray(first, first + count));
      return;
    }
    for (let i = 0; i < count; i++) {
      const value = from[first + i]!;
      if (typeof value !== "number" || value >>> 0 !== value || value > most)
        throw wrong(field, first + i, value);
      list[i] = value;
    }
  }

  private addresses(column: Scalar[], field: Field, from: Column<bigint>, first: number): void {
    this.differ(this.column(field));
    for (let i = 0; i < this.count; i++) {
      const value = valueAt(from, first + i);
      if (typeof value !== "bigint" || value < 0n || value >> 128n !== 0n)
        throw wrong(field, first + i, value);
      column[i] = value;
    }
  }

  /** Leads them through the host. */
  walk(): Ending<Selection>[] {
    const all = { lanes: ALL.subarray(0, this.count), asked: NONE, moved: false };
    this.keys.set(this.column("socket").list);
    return this.part(all, 2).flatMap(({ state, outcome: sent }) =>
      sent === 1 ? send(state, this.program, this) : arrive(state, this.program, this),
    );
  }

  private column(field: Field): Values {
    let values = this.columns.get(field);
    if (values === undefined)
      this.columns.set(field, (values = { list: new Int32Array(TOGETHER), same: false }));
    return values;
  }

  private fill(field: Field, value: number): void {
    const values = this.column(field);
    if (values.same && values.list[0] === (value | 0)) return;
    values.list.fill(value);
    values.same = true;
    this.version++;
  }

  /** From now on packets may differ in a field. */
  private differ(values: Values): void {
    if (!values.same) return;
    values.same = false;
    this.version++;
  }

  private id(name: string): number {
    let id = this.ids.get(name);
    if (id === undefined) {
      this.ids.set(name, (id = this.names.length));
      this.names.push(name);
    }
    return id;
  }

  /** Where a field is read, and what a packet must have for it; `undefined` for what no packet has. */
  private source(field: Field): { values: Values; wide: readonly Scalar[] | null; of: number } | undefined {
    const { like, of } = OF_CONNECTION[field] ?? {
      like: field,
      of: Object.hasOwn(NUMBERS, field) ? NUMBERS[field as NumberField].of : 0,
    };
    const values = this.columns.get(like);
    if (values === undefined) return undefined;
    return {
      values,
      wide: this.family === 6 && (like === "src" || like === "dst") ? this.wide[like] : null,
      of,
    };
  }

  field(field: Field): Scalar | undefined {
    const source = this.source(field);
    if (source === undefined || (source.of & ~this.has[this.lane]!) !== 0) return undefined;
    if (source.wide !== null) return source.wide[this.lane];
    const value = source.values.list[this.lane]!;
    return NAMES.has(field) ? this.names[value] : value >>> 0;
  }

  settled(key: string): boolean | undefined {
    // What these packets do not say here the simulator may know.
    if (key.startsWith("packet:")) return undefined;
    return settled(this.truths, key) ?? (isWithinBurst(key) || key === GROUPS ? true : undefined);
  }

  private ask(list: readonly { readonly when: Predicate }[]): Asked {
    let asked = this.lists.get(list);
    if (asked === undefined) {
      const classifier = Classifier.of(list);
      classifier.open();
      const feeds: Feed[] = [];
      const never: number[] = [];
      classifier.fields.forEach((field, register) => {
        const source = this.source(field);
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
    return (names[id] ??= coder.code(this.names[id]!));
  }

  /** Sets the registers of a classifier to the packet that is being read. */
  private load(asked: Asked): void {
    if (asked.loaded === this.reading) return;
    asked.loaded = this.reading;
    const { lane } = this;
    const { registers, absent } = asked.classifier;
    if (asked.seen !== this.version) {
      asked.seen = this.version;
      asked.classifier.open();
      for (const feed of asked.feeds) registers[feed.register] = this.registerOf(feed, lane);
      asked.differing = asked.feeds.filter((feed) => !feed.values.same);
    }
    const { feeds, differing, never } = asked;
    for (let i = 0; i < differing.length; i++) {
      const feed = differing[i]!;
      registers[feed.register] = feed.coder === null ? feed.values.list[lane]! : this.registerOf(feed, lane);
    }
    const lacking = asked.of & ~this.has[lane]!;
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
  private firsts(asked: Asked, lanes: Int32Array): boolean {
    const { found, feeds } = asked;
    const { keys, has } = this;
    const count = lanes.length;
    if (asked.of === 0 && feeds.every((feed) => feed.values.same)) {
      // Where nothing differs that is asked for, one packet speaks for all.
      this.read(lanes[0]!);
      keys.fill(this.search(asked, 0), 0, count);
      return true;
    }
    if (found === null) {
      const groups = asked.classifier.indexed(count);
      if (groups !== null) this.lookUp(asked, groups, lanes);
      else
        for (let i = 0; i < count; i++) {
          this.read(lanes[i]!);
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
        this.read(lanes[i]!);
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
    this.read(NOBODY);
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
        this.read(lanes[i]!);
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
    const { keys, has, places } = this;
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
      if (this.lane !== lane) this.read(lane);
      this.load(asked);
      found = asked.classifier.holds(rule);
      if (found < 0) return false;
    }
    this.keys[i] = found;
    return true;
  }

  /** The digits of a feed, those of names that came up since included. */
  private digitsOf(feed: Feed, known: Int32Array): Int32Array {
    if (feed.coder === null || known.length >= this.names.length) return known;
    feed.digits = Int32Array.from(this.names, (name) => feed.step * feed.kinds!.find(feed.coder!.code(name)));
    return feed.digits;
  }

  private search(asked: Asked, from: number): number {
    this.load(asked);
    for (let at = from; ; at++) {
      const found = asked.classifier.find(at);
      at = found >> 1;
      if ((found & 1) === 0) return at;
      const holds = evaluate(asked.list[at]!.when, this);
      if (holds === true) return at;
      if (holds !== false) return OTHER;
    }
  }

  private read(lane: number): void {
    this.lane = lane;
    this.reading++;
  }

  /** Parts a selection by the key of each packet; those whose key is `OTHER` leave it. */
  private part(from: Selection, kinds: number): Part<Selection, number>[] {
    const { lanes } = from;
    const { keys } = this;
    const counts = new Int32Array(kinds);
    let rest = 0;
    for (let i = 0; i < lanes.length; i++) {
      const key = keys[i]!;
      if (key < 0) {
        this.others.push(lanes[i]!);
        rest++;
      } else counts[key]!++;
    }
    const parts: Part<Selection, number>[] = [];
    for (let key = 0; key < kinds && rest < lanes.length; key++) {
      const count = counts[key]!;
      if (count === 0) continue;
      if (count === lanes.length) return [{ state: from, outcome: key }];
      const mine = new Int32Array(count);
      for (let i = 0, n = 0; n < count; i++) if (keys[i] === key) mine[n++] = lanes[i]!;
      parts.push({ state: { ...from, lanes: mine }, outcome: key });
      rest += count;
    }
    return parts;
  }

  choose<T>(state: Selection, cases: readonly Case<T>[]): Part<Selection, T>[] {
    if (cases[0]?.when.kind === "any") return [{ state, outcome: cases[0].outcome }];
    const asked = this.ask(cases);
    const alike = this.firsts(asked, state.lanes);
    const [first] = this.keys;
    if (alike && first! >= 0)
      return first === cases.length ? [] : [{ state, outcome: cases[first!]!.outcome }];
    return this.part(state, cases.length + 1)
      .filter(({ outcome }) => outcome < cases.length)
      .map(({ state: each, outcome }) => ({ state: each, outcome: cases[outcome]!.outcome }));
  }

  private chain(bound: BoundChain): Chain {
    let chain = this.chains.get(bound);
    if (chain === undefined) {
      const codes = Int8Array.from([...bound.rules.map(({ effect }) => codeOf(effect)), RETURN]);
      chain = { bound, asked: this.ask(bound.rules), codes, to: new Array(codes.length).fill(null) };
      this.chains.set(bound, chain);
    }
    return chain;
  }

  /** The chain that a rule jumps to. */
  private target(from: Chain, at: number): Chain {
    const chain = this.chain(this.program.target(from.bound.rules[at]!));
    from.to[at] = chain;
    return chain;
  }

  table(state: Selection, table: TableName, hook: Hook): Part<Selection, Decision>[] {
    const bound = this.program.chain(table, hook);
    if (bound === undefined) return [{ state, outcome: "accept" }];
    if (bound.rules.length === 0) return [{ state, outcome: bound.policy ?? "accept" }];
    const chain = this.chain(bound);
    const { lanes } = state;
    const kinds = VERDICTS.length;
    const watched = table === "mangle" && hook === "OUTPUT" ? this.routed() : null;
    const { keys } = this;
    const alike = this.firsts(chain.asked, lanes);
    const code = keys[0]! < 0 ? OTHER : chain.codes[keys[0]!]!;
    if (alike && code >= 0 && code <= NAT)
      return [{ state: told(state, false), outcome: VERDICTS[code === NAT ? 0 : code]! }];
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const before = watched?.map((column) => column[lane]);
      const way = this.decide(lane, chain, keys[i]!);
      const moved = watched?.some((column, n) => column[lane] !== before![n]) === true;
      keys[i] = (way === NAT ? 0 : way) + (moved && way !== OTHER ? kinds : 0);
    }
    return this.part(state, 2 * kinds).map(({ state: some, outcome }) => ({
      state: told(some, outcome >= kinds),
      outcome: VERDICTS[outcome % kinds]!,
    }));
  }

  /** What mangle can change of that on which the route of the host's own packets depends. */
  private routed(): Int32Array[] {
    const fields: readonly Field[] = this.family === 4 ? ["mark", "tos"] : ["mark", "tos", "ttl"];
    return fields.map((field) => this.column(field).list);
  }

  /**
   * What a built-in chain makes of a packet: an index into VERDICTS, `NAT` or `OTHER`.
   * @param first the first rule that matches, as `firsts` gives it
   */
  private decide(lane: number, top: Chain, first: number): number {
    if (first < 0) return OTHER;
    if (top.codes[first]! <= NAT) return top.codes[first]!;
    this.read(lane);
    const { back, backTo } = this;
    let depth = 0;
    let chain = top;
    let next = 0;
    for (let at = first; ; at = this.search(chain.asked, next)) {
      if (at < 0) return OTHER;
      let code = chain.codes[at]!;
      let effect: Effect | null = null;
      if (code === FORK) {
        effect = this.end(chain.bound.rules[at]!.effect);
        code = effect === null ? OTHER : codeOf(effect);
      }
      if (code <= NAT) return code;
      next = at + 1;
      switch (code) {
        case ASSIGN:
          if (!this.assigned(effect ?? chain.bound.rules[at]!.effect)) return OTHER;
          break;
        case JUMP:
          back[depth] = chain;
          backTo[depth++] = next;
          chain = chain.to[at] ?? this.target(chain, at);
          next = 0;
          break;
        case GOTO:
          chain = chain.to[at] ?? this.target(chain, at);
          next = 0;
          break;
        case RETURN:
          if (depth === 0) return VERDICTS.indexOf(top.bound.policy ?? "accept");
          chain = back[--depth]!;
          next = backTo[depth]!;
      }
    }
  }

  /** What an effect comes to; `null` where that is not known. */
  private end(effect: Effect): Effect | null {
    let end = effect;
    while (end.kind === "fork") {
      const way = evaluate(end.when, this);
      if (typeof way !== "boolean") return null;
      end = way ? end.yes : end.no;
    }
    return end;
  }

  /** Changes a field as far as the kernel lets it (see chain.ts); `false` for a field that is not kept here. */
  private assigned(effect: Effect): boolean {
    if (effect.kind !== "assign") return false;
    const { field, change } = effect;
    const { lane } = this;
    const tracked = (this.has[lane]! & CONNECTION) !== 0;
    if (field === "ctstate" && (tracked || this.field("ctstate") !== CT.INVALID)) return true;
    const ofConnection = field === "ctmark" || (change.kind === "copy" && change.from === "ctmark");
    if (ofConnection && !tracked) return true;
    if (!CHANGEABLE.has(field)) return false;
    const from = change.kind === "copy" ? (this.field(change.from) ?? 0) : undefined;
    const values = this.column(field);
    const value = changed(this.field(field) ?? 0, change, from)!;
    if (value === values.list[lane]! >>> 0) return true;
    this.differ(values);
    values.list[lane] = value;
    this.reading++;
    return true;
  }

  track(state: Selection): Selection[] {
    if (!this.program.tracks) return [state];
    const ctstate = this.column("ctstate");
    const { fresh } = this.program;
    const asked = this.ask(fresh);
    // Seen before on the way out through loopback, or told not to be tracked.
    const tracked = (lane: number): boolean =>
      (this.has[lane]! & CONNECTION) !== 0 || ctstate.list[lane] === CT.UNTRACKED;
    const { lanes } = state;
    const { keys } = this;
    this.firsts(asked, lanes);
    let word = -1;
    let same = lanes.length === this.count;
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const at = keys[i]!;
      if (tracked(lane)) keys[i] = 0;
      else if (at < 0 || at === fresh.length) keys[i] = OTHER;
      else {
        keys[i] = 0;
        ctstate.list[lane] = CT[fresh[at]!.outcome];
        if (OPENS.has(fresh[at]!.outcome)) this.has[lane]! |= CONNECTION;
      }
      if (i === 0) word = ctstate.list[lane]!;
      else same &&= ctstate.list[lane] === word;
    }
    ctstate.same = same;
    this.version++;
    return this.part(state, 1).map((each) => each.state);
  }

  nat(state: Selection, hook: Hook, side: "dst" | "src"): Part<Selection, Decision>[] {
    // A table that the rules do not have translates nothing; and a connection asks it once a side.
    if (!this.program.ruleset.tables.has("nat") || state.asked[side]) return [{ state, outcome: "accept" }];
    const bound = this.program.chain("nat", hook);
    const asked: Selection = { ...state, asked: { ...state.asked, [side]: true } };
    if (bound === undefined) return [{ state: asked, outcome: "accept" }];
    const chain = this.chain(bound);
    const { lanes } = state;
    const { keys } = this;
    this.firsts(chain.asked, lanes);
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const way = (this.has[lane]! & CONNECTION) === 0 ? 0 : this.decide(lane, chain, keys[i]!);
      keys[i] = way === NAT ? OTHER : way;
    }
    return this.part(asked, VERDICTS.length).map(({ state: each, outcome }) => {
      const verdict = VERDICTS[outcome]!;
      return { state: each, outcome: verdict === "reject" ? "drop" : verdict };
    });
  }

  assign(state: Selection, field: Field, value: Scalar): Selection {
    const number = typeof value === "string" ? this.id(value) : Number(value);
    if (state.lanes.length === this.count) {
      this.fill(field, number);
      return state;
    }
    const values = this.column(field);
    this.differ(values);
    for (const lane of state.lanes) values.list[lane] = number;
    return state;
  }

  aged(state: Selection): Selection {
    const ttl = this.column("ttl");
    this.differ(ttl);
    for (const lane of state.lanes) ttl.list[lane] = Math.max(0, ttl.list[lane]! - 1);
    return state;
  }

  confirm(state: Selection): Confirmed<Selection> {
    const status = this.column("ctstatus");
    this.differ(status);
    for (const lane of state.lanes)
      if ((this.has[lane]! & CONNECTION) !== 0) status.list[lane] = CT_STATUS.CONFIRMED;
    return { state, why: null };
  }

  rerouted(_before: Selection, after: Selection, stop: "mangle" | "nat"): boolean {
    // What a translation changes is simulated by itself.
    return stop === "mangle" && after.moved;
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

/** What of conntrack's words for a first packet says that there is a connection. */
const OPENS: ReadonlySet<CtState> = new Set(["NEW", "ESTABLISHED", "RELATED"]);
/** The greatest values that lists of numbers can hold. */
const FITTING: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [Uint8Array, 0xff],
  [Uint16Array, 0xffff],
  [Uint32Array, 0xffff_ffff],
]);
/** A selection that mangle did, or did not, take off its route. */
const told = (state: Selection, moved: boolean): Selection =>
  state.moved === moved ? state : { ...state, moved };
/** No packet, and no interval. */
const NOBODY = -1;
const NOWHERE = -1;
const ALL = Int32Array.from({ length: TOGETHER }, (_, i) => i);
const NONE = { dst: false, src: false };
const NAMES: ReadonlySet<Field> = new Set(["in", "out", "physin", "physout"]);
/** Fields that a rule may change while the packet stays in its column. */
const CHANGEABLE: ReadonlySet<Field> = new Set(["mark", "tos", "ttl", "ctstate", "ctmark"]);
