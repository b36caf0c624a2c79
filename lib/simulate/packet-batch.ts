/**
 * A batch of packets on their path, in columns: one column per field, one lane per packet. A column is uniform if all its
 * values are equal. Predicates are evaluated on one selected packet at a time.
 */
import { CT, type Family, type Field, type Scalar } from "../packet/field.ts";
import type { PacketValues } from "../packet/predicate.ts";
import { GROUPS } from "../path/routing-decision.ts";
import { isLimitKey } from "./chain-run.ts";
import {
  badValue,
  CONNECTION_BIT,
  type FieldColumn,
  HEADER_BITS,
  isList,
  NUMBER_FIELDS,
  type NumberFieldName,
  type PacketColumns,
  valueAt,
} from "./packet-columns.ts";
import { settledTruth } from "./packet-state.ts";

/** Conntrack's fields of the first packet of a connection equal its header: translated packets leave the batch. */
const CONNECTION_FIELDS: Partial<Record<Field, { readonly source: Field; readonly required: number }>> = {
  ctproto: { source: "proto", required: CONNECTION_BIT },
  ctorigsrc: { source: "src", required: CONNECTION_BIT },
  ctorigdst: { source: "dst", required: CONNECTION_BIT },
  ctreplsrc: { source: "dst", required: CONNECTION_BIT },
  ctrepldst: { source: "src", required: CONNECTION_BIT },
  ctorigsrcport: { source: "sport", required: CONNECTION_BIT | 1 },
  ctorigdstport: { source: "dport", required: CONNECTION_BIT | 1 },
  ctreplsrcport: { source: "dport", required: CONNECTION_BIT | 1 },
  ctrepldstport: { source: "sport", required: CONNECTION_BIT | 1 },
  ctdir: { source: "ctdir", required: CONNECTION_BIT },
  ctmark: { source: "ctmark", required: CONNECTION_BIT },
};

/** Packets of a batch, few enough for the cache of the processor. */
export const BATCH_SIZE = 4096;

/** The values of a field, by lane. */
export interface BatchColumn {
  readonly values: Int32Array;
  /** All packets have the same value. */
  uniform: boolean;
}

/** Packets that walk the path together. */
export class PacketBatch implements PacketValues {
  private readonly columns = new Map<Field, BatchColumn>();
  /** IPv6 addresses. */
  private readonly wide: { readonly src: Scalar[]; readonly dst: Scalar[] } = { src: [], dst: [] };
  /** HEADER_BITS and CONNECTION_BIT of each packet. */
  readonly headerBits = new Uint8Array(BATCH_SIZE);
  /** Names of interfaces by the numbers that columns contain. */
  readonly names: string[] = [""];
  private readonly ids = new Map<string, number>([["", 0]]);
  /** Number of packets. */
  count = 0;
  /** Lane of the selected packet. */
  lane = 0;
  /** Incremented when another packet is selected, or when the selected one changes. */
  selection = 0;
  /** Incremented when a column becomes uniform or varying, and when a uniform column changes. */
  version = 0;

  constructor(
    private readonly family: Family,
    private readonly truths: ReadonlyMap<string, boolean>,
  ) {}

  /** Loads `count` packets from index `first`. */
  load(packets: PacketColumns, first: number, count: number): void {
    this.count = count;
    this.version++;
    const input = packets.in;
    if (isList(input)) {
      const names = this.column("in");
      const sockets = this.column("socket");
      this.markVarying(names);
      this.markVarying(sockets);
      for (let i = 0; i < count; i++) {
        const name = input[first + i];
        if (typeof name !== "string" && name !== null) throw badValue("in", first + i, name);
        names.values[i] = this.nameId(name ?? "");
        sockets.values[i] = name === null ? 1 : 0;
      }
    } else {
      this.fill("in", this.nameId((input as string | null) ?? ""));
      this.fill("socket", input === null ? 1 : 0);
    }
    for (const field of ["src", "dst"] as const)
      if (this.family === 4)
        this.loadNumbers(field, packets[field] as FieldColumn<number>, 0xffff_ffff, first);
      else this.loadAddresses(this.wide[field], field, packets[field] as FieldColumn<bigint>, first);
    for (const field of Object.keys(NUMBER_FIELDS) as NumberFieldName[]) {
      const { most, usual } = NUMBER_FIELDS[field];
      const given = packets[field] ?? usual;
      if (given !== undefined) this.loadNumbers(field, given, most, first);
    }
    const proto = this.column("proto").values;
    for (let i = 0; i < count; i++) this.headerBits[i] = HEADER_BITS[proto[i]!]!;
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

  private loadNumbers(field: Field, from: FieldColumn<number>, most: number, first: number): void {
    if (!isList(from)) {
      if (typeof from !== "number" || from >>> 0 !== from || from > most) throw badValue(field, first, from);
      this.fill(field, from);
      return;
    }
    const { count } = this;
    const column = this.column(field);
    this.markVarying(column);
    const { values } = column;
    // The type of the array excludes values that are too large.
    if (
      ArrayBuffer.isView(from) &&
      (ARRAY_MAXIMA.get(from.constructor) ?? Number.POSITIVE_INFINITY) <= most
    ) {
      values.set((from as unknown as Uint32Array).subarray(first, first + count));
      return;
    }
    for (let i = 0; i < count; i++) {
      const value = from[first + i]!;
      if (typeof value !== "number" || value >>> 0 !== value || value > most)
        throw badValue(field, first + i, value);
      values[i] = value;
    }
  }

  private loadAddresses(column: Scalar[], field: Field, from: FieldColumn<bigint>, first: number): void {
    this.markVarying(this.column(field));
    for (let i = 0; i < this.count; i++) {
      const value = valueAt(from, first + i);
      if (typeof value !== "bigint" || value < 0n || value >> 128n !== 0n)
        throw badValue(field, first + i, value);
      column[i] = value;
    }
  }

  /** Returns the column of a field, created on first use. */
  column(field: Field): BatchColumn {
    let values = this.columns.get(field);
    if (values === undefined)
      this.columns.set(field, (values = { values: new Int32Array(BATCH_SIZE), uniform: false }));
    return values;
  }

  /** Sets a field of all packets. */
  fill(field: Field, value: number): void {
    const values = this.column(field);
    if (values.uniform && values.values[0] === (value | 0)) return;
    values.values.fill(value);
    values.uniform = true;
    this.version++;
  }

  /** Marks a column as varying. */
  markVarying(column: BatchColumn): void {
    if (!column.uniform) return;
    column.uniform = false;
    this.version++;
  }

  /** Returns the number of a name. */
  nameId(name: string): number {
    let id = this.ids.get(name);
    if (id === undefined) {
      this.ids.set(name, (id = this.names.length));
      this.names.push(name);
    }
    return id;
  }

  /** Returns the column of a field and the bits that a packet needs for it; `undefined` if no packet has the field. */
  source(
    field: Field,
  ): { column: BatchColumn; wide: readonly Scalar[] | null; required: number } | undefined {
    const { source, required } = CONNECTION_FIELDS[field] ?? {
      source: field,
      required: Object.hasOwn(NUMBER_FIELDS, field) ? NUMBER_FIELDS[field as NumberFieldName].required : 0,
    };
    const column = this.columns.get(source);
    if (column === undefined) return undefined;
    return {
      column,
      wide: this.family === 6 && (source === "src" || source === "dst") ? this.wide[source] : null,
      required,
    };
  }

  field(field: Field): Scalar | undefined {
    const source = this.source(field);
    if (source === undefined || (source.required & ~this.headerBits[this.lane]!) !== 0) return undefined;
    if (source.wide !== null) return source.wide[this.lane];
    const value = source.column.values[this.lane]!;
    return NAME_FIELDS.has(field) ? this.names[value] : value >>> 0;
  }

  settled(key: string): boolean | undefined {
    // A field that is missing here may be known to the simulator.
    if (key.startsWith("packet:")) return undefined;
    return settledTruth(this.truths, key) ?? (isLimitKey(key) || key === GROUPS ? true : undefined);
  }

  /** Selects a packet. */
  select(lane: number): void {
    this.lane = lane;
    this.selection++;
  }
}

/** Greatest values of typed arrays. */
const ARRAY_MAXIMA: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [Uint8Array, 0xff],
  [Uint16Array, 0xffff],
  [Uint32Array, 0xffff_ffff],
]);

const NAME_FIELDS: ReadonlySet<Field> = new Set(["in", "out", "physin", "physout"]);
