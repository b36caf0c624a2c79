/**
 * Verdicts of many packets at once. The packets stand in columns, and the state that walks through the host is a
 * selection of them: each stop is made once for thousands of packets, and the selection parts where they fare
 * differently. What asks for more than a header, a translation or something that is not known, is simulated by itself.
 */
import type { Host } from "../host/host.ts";
import { Classifier, type Coder } from "../packet/classifier.ts";
import { CT, CT_STATUS, type Family, type Field, hasPorts, PROTO, type Scalar } from "../packet/field.ts";
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
import { changed } from "../rules/effect.ts";
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

/** How a chain lets go of a packet besides its verdicts. */
const NAT = VERDICTS.length;
const OTHER = NAT + 1;

/** A field as a register of a classifier takes it. */
interface Feed {
  readonly register: number;
  readonly column: Int32Array;
  /** What stands for a name; `null` for a number. */
  readonly coder: Coder | null;
  readonly table: number[];
  /** What a packet must have for it, as bits. */
  readonly of: number;
}

/** A classifier and where its registers come from. */
interface Fed {
  readonly classifier: Classifier;
  readonly feeds: readonly Feed[];
  /** IPv6 addresses, which are no 32-bit numbers. */
  readonly wide: readonly { register: number; column: readonly Scalar[]; coder: Coder; of: number }[];
  /** Registers of fields that no packet has. */
  readonly never: readonly number[];
  /** All that its fields ask of a packet to have. */
  readonly of: number;
}

class BatchEngine implements Engine<Selection>, Reading {
  /** Packets that have to be simulated by themselves. */
  readonly others: number[] = [];
  private readonly columns = new Map<Field, Int32Array>();
  /** IPv6 addresses. */
  private readonly wide: { readonly src: Scalar[]; readonly dst: Scalar[] } = { src: [], dst: [] };
  private readonly has = new Uint8Array(TOGETHER);
  private readonly keys = new Int32Array(TOGETHER);
  private readonly names: string[] = [""];
  private readonly ids = new Map<string, number>([["", 0]]);
  private readonly fed = new Map<Classifier, Fed>();
  private readonly family: Family;
  private count = 0;
  /** The packet that is being read. */
  private lane = 0;

  constructor(
    private readonly program: Program,
    private readonly truths: ReadonlyMap<string, boolean>,
  ) {
    this.family = program.ruleset.family;
  }

  /** Takes up the packets from `first` on. */
  take(packets: PacketColumns, first: number, count: number): void {
    this.count = count;
    this.others.length = 0;
    const inputs = this.column("in");
    const socket = this.column("socket");
    if (isList(packets.in as Column<string | null>))
      for (let i = 0; i < count; i++) {
        const name = (packets.in as readonly (string | null)[])[first + i];
        if (typeof name !== "string" && name !== null) throw wrong("in", first + i, name);
        inputs[i] = this.id(name ?? "");
        socket[i] = name === null ? 1 : 0;
      }
    else {
      inputs.fill(this.id((packets.in as string | null) ?? ""), 0, count);
      socket.fill(packets.in === null ? 1 : 0, 0, count);
    }
    for (const field of ["src", "dst"] as const)
      if (this.family === 4) this.numbers(field, packets[field] as Column<number>, 0xffff_ffff, first);
      else this.addresses(this.wide[field], field, packets[field] as Column<bigint>, first);
    for (const field of Object.keys(NUMBERS) as NumberField[]) {
      const { most, usual } = NUMBERS[field];
      const given = packets[field] ?? usual;
      if (given !== undefined) this.numbers(field, given, most, first);
    }
    const proto = this.column("proto");
    for (let i = 0; i < count; i++) this.has[i] = HAS[proto[i]!]!;
    for (const field of ["out", "physin", "physout", "fragment", "pkttype", "ctstatus"] as const)
      this.column(field).fill(0, 0, count);
    this.column("ctstate").fill(CT.INVALID, 0, count);
    this.column("ctdir").fill(0, 0, count);
    this.column("ctmark").fill(0, 0, count);
  }

  private numbers(field: Field, from: Column<number>, most: number, first: number): void {
    const column = this.column(field);
    if (!isList(from)) {
      if (!(Number.isInteger(from) && from >= 0 && from <= most)) throw wrong(field, first, from);
      column.fill(from, 0, this.count);
      return;
    }
    const { count } = this;
    for (let i = 0; i < count; i++) {
      const value = from[first + i]!;
      if (typeof value !== "number" || value >>> 0 !== value || value > most)
        throw wrong(field, first + i, value);
      column[i] = value;
    }
  }

  private addresses(column: Scalar[], field: Field, from: Column<bigint>, first: number): void {
    for (let i = 0; i < this.count; i++) {
      const value = valueAt(from, first + i);
      if (typeof value !== "bigint" || value < 0n || value >> 128n !== 0n)
        throw wrong(field, first + i, value);
      column[i] = value;
    }
  }

  /** Leads them through the host. */
  walk(): Ending<Selection>[] {
    const socket = this.column("socket");
    const all = { lanes: Int32Array.from({ length: this.count }, (_, i) => i), asked: NONE, moved: false };
    for (let i = 0; i < this.count; i++) this.keys[i] = socket[i]!;
    return this.part(all, 2).flatMap(({ state, outcome: sent }) =>
      sent === 1 ? send(state, this.program, this) : arrive(state, this.program, this),
    );
  }

  private column(field: Field): Int32Array {
    let column = this.columns.get(field);
    if (column === undefined) this.columns.set(field, (column = new Int32Array(TOGETHER)));
    return column;
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
  private source(field: Field): { field: Field; column: Int32Array | null; of: number } | undefined {
    const { like, of } = OF_CONNECTION[field] ?? {
      like: field,
      of: field in NUMBERS ? NUMBERS[field as NumberField].of : 0,
    };
    if (this.family === 6 && (like === "src" || like === "dst")) return { field: like, column: null, of };
    const column = this.columns.get(like);
    return column === undefined ? undefined : { field: like, column, of };
  }

  field(field: Field): Scalar | undefined {
    const source = this.source(field);
    if (source === undefined || (source.of & ~this.has[this.lane]!) !== 0) return undefined;
    if (source.column === null) return this.wide[source.field as "src" | "dst"][this.lane];
    const value = source.column[this.lane]!;
    return NAMES.has(source.field) ? this.names[value] : value >>> 0;
  }

  settled(key: string): boolean | undefined {
    // What these packets do not say here the simulator may know.
    if (key.startsWith("packet:")) return undefined;
    return settled(this.truths, key) ?? (isWithinBurst(key) || key === GROUPS ? true : undefined);
  }

  private feed(classifier: Classifier): Fed {
    let fed = this.fed.get(classifier);
    if (fed === undefined) {
      classifier.open();
      const feeds: Feed[] = [];
      const wide: { register: number; column: readonly Scalar[]; coder: Coder; of: number }[] = [];
      const never: number[] = [];
      classifier.fields.forEach((field, register) => {
        const source = this.source(field);
        const coder = classifier.coders[register]!;
        if (source === undefined) never.push(register);
        else if (source.column === null)
          wide.push({
            register,
            column: this.wide[source.field as "src" | "dst"],
            coder: coder!,
            of: source.of,
          });
        else feeds.push({ register, column: source.column, coder, table: [], of: source.of });
      });
      const of = [...feeds, ...wide].reduce((all, each) => all | each.of, 0);
      this.fed.set(classifier, (fed = { classifier, feeds, wide, never, of }));
    }
    return fed;
  }

  /** Sets the registers of a classifier to a packet. */
  private load({ classifier, feeds, wide, never, of }: Fed, lane: number): void {
    const { registers, absent } = classifier;
    classifier.open();
    for (let i = 0; i < feeds.length; i++) {
      const { register, column, coder, table } = feeds[i]!;
      const value = column[lane]!;
      if (coder === null) registers[register] = value;
      else registers[register] = table[value] ??= coder.code(this.names[value]!);
    }
    for (let i = 0; i < wide.length; i++) {
      const { register, column, coder } = wide[i]!;
      registers[register] = coder.code(column[lane]!);
    }
    const lacking = of & ~this.has[lane]!;
    classifier.lacks = lacking !== 0 || never.length > 0;
    if (!classifier.lacks) return;
    absent.fill(0);
    for (const each of feeds) if ((each.of & lacking) !== 0) absent[each.register] = 1;
    for (const each of wide) if ((each.of & lacking) !== 0) absent[each.register] = 1;
    for (const register of never) absent[register] = 1;
  }

  /** The first predicate that holds from `from` on: its index, the size for none, or -1 where that is not known. */
  private first({ classifier }: Fed, list: readonly { when: Predicate }[], from: number): number {
    for (let at = from; ; at++) {
      const found = classifier.find(at);
      at = found >> 1;
      if ((found & 1) === 0) return at;
      const holds = evaluate(list[at]!.when, this);
      if (holds === true) return at;
      if (holds !== false) return -1;
    }
  }

  /** Parts a selection by the key of each packet; those with the key `OTHER`, or below 0, leave it. */
  private part(from: Selection, kinds: number): Part<Selection, number>[] {
    const { lanes } = from;
    const counts = new Int32Array(kinds);
    let rest = 0;
    for (let i = 0; i < lanes.length; i++) {
      const key = this.keys[i]!;
      if (key < 0) {
        this.others.push(lanes[i]!);
        rest++;
      } else counts[key]!++;
    }
    const parts: Part<Selection, number>[] = [];
    for (let key = 0; key < kinds; key++) {
      const count = counts[key]!;
      if (count === 0) continue;
      if (count === lanes.length) return [{ state: from, outcome: key }];
      const mine = new Int32Array(count);
      for (let i = 0, n = 0; n < count; i++) if (this.keys[i] === key) mine[n++] = lanes[i]!;
      parts.push({ state: { ...from, lanes: mine }, outcome: key });
      if (count + rest === lanes.length) break;
    }
    return parts;
  }

  choose<T>(state: Selection, cases: readonly Case<T>[]): Part<Selection, T>[] {
    if (cases[0]?.when.kind === "any") return [{ state, outcome: cases[0].outcome }];
    const fed = this.feed(Classifier.of(cases));
    const { lanes } = state;
    for (let i = 0; i < lanes.length; i++) {
      this.lane = lanes[i]!;
      this.load(fed, this.lane);
      this.keys[i] = this.first(fed, cases, 0);
    }
    return this.part(state, cases.length + 1)
      .filter(({ outcome }) => outcome < cases.length)
      .map(({ state: each, outcome }) => ({ state: each, outcome: cases[outcome]!.outcome }));
  }

  table(state: Selection, table: TableName, hook: Hook): Part<Selection, Decision>[] {
    const chain = this.program.chain(table, hook);
    if (chain === undefined) return [{ state, outcome: "accept" }];
    if (chain.rules.length === 0) return [{ state, outcome: chain.policy ?? "accept" }];
    const { lanes } = state;
    const watched = table === "mangle" && hook === "OUTPUT" ? this.routed() : [];
    const kinds = VERDICTS.length;
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const before = watched.map((column) => column[lane]);
      const way = this.decide(lane, chain);
      const moved = watched.some((column, n) => column[lane] !== before[n]);
      this.keys[i] = way === OTHER ? -1 : (way === NAT ? 0 : way) + (moved ? kinds : 0);
    }
    return this.part(state, 2 * kinds).map(({ state: each, outcome }) => ({
      state: outcome >= kinds ? { ...each, moved: true } : each.moved ? { ...each, moved: false } : each,
      outcome: VERDICTS[outcome % kinds]!,
    }));
  }

  /** What mangle can change of that on which the route of the host's own packets depends. */
  private routed(): Int32Array[] {
    const fields: readonly Field[] = this.family === 4 ? ["mark", "tos"] : ["mark", "tos", "ttl"];
    return fields.map((field) => this.column(field));
  }

  /** What a built-in chain makes of a packet: an index into VERDICTS, `NAT` or `OTHER`. */
  private decide(lane: number, top: BoundChain): number {
    this.lane = lane;
    const below: { chain: BoundChain; next: number }[] = [];
    let chain = top;
    let fed = this.feed(chain.classifier);
    this.load(fed, lane);
    let next = 0;
    for (;;) {
      const at = this.first(fed, chain.rules, next);
      if (at < 0) return OTHER;
      const effect = chain.rules[at]?.effect ?? RETURN;
      next = at + 1;
      switch (effect.kind) {
        case "verdict":
          return VERDICTS.indexOf(effect.verdict);
        case "nat":
          return NAT;
        case "opaque":
          return VERDICTS.indexOf("undecided");
        case "note":
          continue;
        case "assign":
          if (!this.assigned(lane, effect.field, effect.change)) return OTHER;
          break;
        case "jump":
          below.push({ chain, next });
          chain = this.program.chain(top.chain.table, effect.chain)!;
          next = 0;
          break;
        case "goto":
          chain = this.program.chain(top.chain.table, effect.chain)!;
          next = 0;
          break;
        case "return": {
          const back = below.pop();
          if (back === undefined) return VERDICTS.indexOf(top.policy ?? "accept");
          ({ chain, next } = back);
        }
      }
      fed = this.feed(chain.classifier);
      this.load(fed, lane);
    }
  }

  /** Changes a field as far as the kernel lets it (see chain.ts); `false` for a field that is not kept here. */
  private assigned(lane: number, field: Field, change: Parameters<typeof changed>[1]): boolean {
    const tracked = (this.has[lane]! & CONNECTION) !== 0;
    if (field === "ctstate" && tracked) return true;
    const ofConnection = field === "ctmark" || (change.kind === "copy" && change.from === "ctmark");
    if (ofConnection && !tracked) return true;
    if (!CHANGEABLE.has(field)) return false;
    const from = change.kind === "copy" ? (this.field(change.from) ?? 0) : undefined;
    this.column(field)[lane] = changed(this.field(field) ?? 0, change, from)!;
    return true;
  }

  track(state: Selection): Selection[] {
    if (!this.program.tracks) return [state];
    const ctstate = this.column("ctstate");
    const { fresh } = this.program;
    const fed = this.feed(Classifier.of(fresh));
    const { lanes } = state;
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      this.keys[i] = 0;
      if ((this.has[lane]! & CONNECTION) !== 0 || ctstate[lane] === CT.UNTRACKED) continue;
      this.lane = lane;
      this.load(fed, lane);
      const at = this.first(fed, fresh, 0);
      if (at < 0 || at === fresh.length) this.keys[i] = -1;
      else {
        const word = fresh[at]!.outcome;
        ctstate[lane] = CT[word];
        if (word !== "INVALID" && word !== "UNTRACKED") this.has[lane]! |= CONNECTION;
      }
    }
    return this.part(state, 1).map((each) => each.state);
  }

  nat(state: Selection, hook: Hook, side: "dst" | "src"): Part<Selection, Decision>[] {
    // A table that the rules do not have translates nothing; and a connection asks it once a side.
    if (!this.program.ruleset.tables.has("nat") || state.asked[side]) return [{ state, outcome: "accept" }];
    const chain = this.program.chain("nat", hook);
    const asked: Selection = { ...state, asked: { ...state.asked, [side]: true } };
    if (chain === undefined) return [{ state: asked, outcome: "accept" }];
    const { lanes } = state;
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const way = (this.has[lane]! & CONNECTION) === 0 ? 0 : this.decide(lane, chain);
      this.keys[i] = way === NAT || way === OTHER ? -1 : way;
    }
    return this.part(asked, VERDICTS.length).map(({ state: each, outcome }) => {
      const verdict = VERDICTS[outcome]!;
      return { state: each, outcome: verdict === "reject" ? "drop" : verdict };
    });
  }

  assign(state: Selection, field: Field, value: Scalar): Selection {
    const column = this.column(field);
    const number = typeof value === "string" ? this.id(value) : Number(value);
    for (const lane of state.lanes) column[lane] = number;
    return state;
  }

  aged(state: Selection): Selection {
    const ttl = this.column("ttl");
    for (const lane of state.lanes) ttl[lane] = Math.max(0, ttl[lane]! - 1);
    return state;
  }

  confirm(state: Selection): Confirmed<Selection> {
    const status = this.column("ctstatus");
    for (const lane of state.lanes)
      if ((this.has[lane]! & CONNECTION) !== 0) status[lane] = CT_STATUS.CONFIRMED;
    return { state, why: null };
  }

  rerouted(_before: Selection, after: Selection, stop: "mangle" | "nat"): boolean {
    // What a translation changes is simulated by itself.
    return stop === "mangle" && after.moved;
  }
}

const NONE = { dst: false, src: false };
const RETURN = { kind: "return" } as const;
const NAMES: ReadonlySet<Field> = new Set(["in", "out", "physin", "physout"]);
/** Fields that a rule may change while the packet stays in its column. */
const CHANGEABLE: ReadonlySet<Field> = new Set(["mark", "tos", "ttl", "ctstate", "ctmark"]);
