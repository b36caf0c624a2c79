/** Packets in columns, as callers pass them: a list for each field, or one value for all packets. */
import { type Family, hasPorts, PROTO } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";

/** Values of a field: one value for all packets, or a list with one for each packet. */
export type FieldColumn<T> = T | ArrayLike<T>;

/**
 * Packets in columns, all of one family. Typed arrays are faster than plain arrays. A field is missing if its column is
 * missing, or if the protocol of the packet does not have it.
 */
export interface PacketColumns {
  /** 4 for IPv4, 6 for IPv6. */
  readonly family: Family;
  /** Input interfaces; `null` for packets that the host sends. */
  readonly in: string | null | readonly (string | null)[];
  /** Source addresses: numbers from 0 to 2^32-1 for IPv4, bigints for IPv6. */
  readonly src: FieldColumn<number> | FieldColumn<bigint>;
  /** Destination addresses, as `src`. */
  readonly dst: FieldColumn<number> | FieldColumn<bigint>;
  /** IP protocol numbers, 0 to 255. */
  readonly proto: FieldColumn<number>;
  /** Source ports, 0 to 65535, of TCP, UDP, UDP-Lite, SCTP and DCCP. */
  readonly sport?: FieldColumn<number>;
  /** Destination ports. */
  readonly dport?: FieldColumn<number>;
  /** TCP flags, bits as in `parseFlags`; a SYN alone where they are not given. */
  readonly flags?: FieldColumn<number>;
  /** ICMP and ICMPv6 types, 0 to 255. */
  readonly type?: FieldColumn<number>;
  /** ICMP and ICMPv6 codes, 0 to 255. */
  readonly code?: FieldColumn<number>;
  /** Packet marks, 0 to 2^32-1; 0 where they are not given. */
  readonly mark?: FieldColumn<number>;
  /** IPv4 TOS or IPv6 traffic class, the whole byte; 0 where it is not given. */
  readonly tos?: FieldColumn<number>;
  /** TTL or hop limit, 0 to 255; 64 where it is not given. */
  readonly ttl?: FieldColumn<number>;
  /** Length of the whole packet in bytes, 0 to 65535. */
  readonly length?: FieldColumn<number>;
}

/** Numeric fields: greatest value, bits of HEADER_BITS that a packet needs to have the field, and default. */
export const NUMBER_FIELDS = {
  proto: { most: 0xff, required: 0, usual: 0 },
  sport: { most: 0xffff, required: 1, usual: undefined },
  dport: { most: 0xffff, required: 1, usual: undefined },
  flags: { most: 0xff, required: 2, usual: 2 },
  type: { most: 0xff, required: 4, usual: undefined },
  code: { most: 0xff, required: 4, usual: undefined },
  mark: { most: 0xffff_ffff, required: 0, usual: 0 },
  tos: { most: 0xff, required: 0, usual: 0 },
  ttl: { most: 0xff, required: 0, usual: 64 },
  length: { most: 0xffff, required: 0, usual: undefined },
} as const;
export type NumberFieldName = keyof typeof NUMBER_FIELDS;

/** Parts of a packet by protocol, as bits: 1 ports, 2 TCP flags, 4 ICMP type and code. */
export const HEADER_BITS = Uint8Array.from({ length: 256 }, (_, proto) =>
  hasPorts(proto) ? (proto === PROTO.tcp ? 3 : 1) : proto === PROTO.icmp || proto === PROTO.icmpv6 ? 4 : 0,
);
/** Bit of a packet with a connection. */
export const CONNECTION_BIT = 8;

/**
 * Returns one packet of the columns, as `Simulator.packet` takes it.
 * @param index from 0
 */
export function packetAt(packets: PacketColumns, index: number): Packet {
  const proto = valueAt<number>(packets.proto, index);
  const fields: Partial<Record<NumberFieldName, number>> = {};
  for (const field of Object.keys(NUMBER_FIELDS) as NumberFieldName[]) {
    const column = packets[field];
    const { required } = NUMBER_FIELDS[field];
    if (column !== undefined && (required === 0 || (HEADER_BITS[proto]! & required) !== 0))
      fields[field] = valueAt(column, index);
  }
  return {
    ...fields,
    family: packets.family,
    in: valueAt<string | null>(packets.in, index),
    src: valueAt<number | bigint>(packets.src as FieldColumn<number | bigint>, index),
    dst: valueAt<number | bigint>(packets.dst as FieldColumn<number | bigint>, index),
    proto,
  };
}

export const isList = <T>(column: FieldColumn<T>): column is ArrayLike<T> =>
  typeof column === "object" && column !== null;

export const valueAt = <T>(column: FieldColumn<T>, index: number): T =>
  isList(column) ? column[index]! : column;

const COLUMN_NAMES = ["in", "src", "dst", ...(Object.keys(NUMBER_FIELDS) as NumberFieldName[])] as const;

/**
 * Returns the number of packets.
 * @throws RangeError if no column is a list, or if lists differ in length
 */
export function packetCount(packets: PacketColumns): number {
  let size: number | undefined;
  for (const name of COLUMN_NAMES) {
    const column = packets[name] as FieldColumn<unknown>;
    if (!isList(column)) continue;
    if (size !== undefined && column.length !== size)
      throw new RangeError(`column ${name} has ${column.length} values, others have ${size}`);
    size = column.length;
  }
  if (size === undefined) throw new RangeError("one of the columns must be a list");
  return size;
}

export const badValue = (name: string, index: number, value: unknown): RangeError =>
  new RangeError(`${name} of packet ${index} cannot be ${String(value)}`);
