/**
 * Packets in columns on their way: what each field has become, a lane a packet. A column in which all packets have the
 * same says so; one packet at a time is read through it.
 */
import { CT, type Family, type Field, type Scalar } from "../packet/field.ts";
import type { Reading } from "../packet/predicate.ts";
import { GROUPS } from "../path/route.ts";
import { isWithinBurst } from "./chain.ts";
import {
  CONNECTION,
  type Column,
  HAS,
  isList,
  NUMBERS,
  type NumberField,
  type PacketColumns,
  valueAt,
  wrong,
} from "./columns.ts";
import { settled } from "./state.ts";

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
export const TOGETHER = 4096;

/** The values of a field. */
export interface Values {
  readonly list: Int32Array;
  /** All packets have the same. */
  same: boolean;
}

/** The packets that go through the host together. */
export class Lanes implements Reading {
  private readonly columns = new Map<Field, Values>();
  /** IPv6 addresses. */
  private readonly wide: { readonly src: Scalar[]; readonly dst: Scalar[] } = { src: [], dst: [] };
  /** What each packet has, as bits. */
  readonly has = new Uint8Array(TOGETHER);
  /** Names by their numbers, which stand in columns. */
  readonly names: string[] = [""];
  private readonly ids = new Map<string, number>([["", 0]]);
  /** How many packets there are. */
  count = 0;
  /** The packet that is being read, and how often one was or changed. */
  lane = 0;
  reading = 0;
  /** How often it changed which columns differ, and what the others hold. */
  version = 0;

  constructor(
    private readonly family: Family,
    private readonly truths: ReadonlyMap<string, boolean>,
  ) {}

  /** Takes up the packets from `first` on. */
  take(packets: PacketColumns, first: number, count: number): void {
    this.count = count;
    this.version++;
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

  /** The values of a field, made where nobody spoke of it yet. */
  column(field: Field): Values {
    let values = this.columns.get(field);
    if (values === undefined)
      this.columns.set(field, (values = { list: new Int32Array(TOGETHER), same: false }));
    return values;
  }

  /** All packets have the same in a field. */
  fill(field: Field, value: number): void {
    const values = this.column(field);
    if (values.same && values.list[0] === (value | 0)) return;
    values.list.fill(value);
    values.same = true;
    this.version++;
  }

  /** From now on packets may differ in a field. */
  differ(values: Values): void {
    if (!values.same) return;
    values.same = false;
    this.version++;
  }

  /** The number of a name. */
  id(name: string): number {
    let id = this.ids.get(name);
    if (id === undefined) {
      this.ids.set(name, (id = this.names.length));
      this.names.push(name);
    }
    return id;
  }

  /** Where a field is read, and what a packet must have for it; `undefined` for what no packet has. */
  source(field: Field): { values: Values; wide: readonly Scalar[] | null; of: number } | undefined {
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

  /** Another packet is read from now on. */
  read(lane: number): void {
    this.lane = lane;
    this.reading++;
  }
}

/** The greatest values that lists of numbers can hold. */
const FITTING: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [Uint8Array, 0xff],
  [Uint16Array, 0xffff],
  [Uint32Array, 0xffff_ffff],
]);

const NAMES: ReadonlySet<Field> = new Set(["in", "out", "physin", "physout"]);
