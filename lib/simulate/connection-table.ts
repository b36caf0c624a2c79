/** The connection table of a simulation (nf_conntrack_core.c). */
import { type Address, CT_STATUS } from "../packet/field.ts";
import type { Tuple } from "../path/tuple.ts";
import type { PortChoice } from "./assumption.ts";
import type { TcpState } from "./tcp-tracking.ts";

/** A connection in the table. */
export interface Connection {
  /** Tuple of the packet that opened it, before translation. */
  readonly original: Tuple;
  /** Tuple of replies: the inverted original tuple, translated. */
  readonly reply: Tuple;
  /** IPS_* bits. */
  readonly status: number;
  /** Its mark (CONNMARK's). */
  readonly mark: number;
  /** The state of a TCP connection. */
  readonly tcp: TcpState | undefined;
  /** Interface for which it is masqueraded. The connection ends if it is routed to another one. */
  readonly masqueradedOn: string | undefined;
  /** Choice of the kernel for this connection that the inputs do not determine. */
  readonly kernelChoice: PortChoice | undefined;
  /** Connection with the same reply tuple that is removed when this one is confirmed. */
  readonly replaces: Connection | undefined;
  /** It cannot be confirmed: another connection has the same reply tuple. */
  readonly refused: boolean;
  /** This packet removed it from the table; it is not confirmed again. */
  readonly ended: boolean;
}

/** Returns a copy with other IPS_* bits. Hot path: a literal is faster in V8 than a spread. */
export function withStatus(from: Connection, status: number): Connection {
  const { original, reply, mark, tcp, masqueradedOn, kernelChoice, replaces, refused, ended } = from;
  return { original, reply, status, mark, tcp, masqueradedOn, kernelChoice, replaces, refused, ended };
}

/** The connection of a packet, and the direction of the packet. */
export interface ConnectionRef {
  /** The connection. */
  readonly connection: Connection;
  /** The packet is a reply. */
  readonly reply: boolean;
}

/** Entry of the table for one tuple, and the next entry with the same hash. */
interface TupleEntry extends ConnectionRef {
  readonly next: TupleEntry | null;
}

/** Original tuple of a connection, and the next one whose source has the same hash. */
interface SourceEntry {
  readonly original: Tuple;
  readonly next: SourceEntry | null;
}

/** Returns true if two tuples are equal. */
export const sameTuple = (a: Tuple, b: Tuple): boolean =>
  a.dport === b.dport && a.sport === b.sport && a.src === b.src && a.dst === b.dst && a.proto === b.proto;
const sameSource = (a: Tuple, b: Tuple): boolean =>
  a.sport === b.sport && a.src === b.src && a.proto === b.proto;
/** Returns true if two versions of a connection are equal in tuples, status, mark and TCP state. */
export const isSameConnection = (a: Connection, b: Connection): boolean =>
  sameTuple(a.original, b.original) &&
  sameTuple(a.reply, b.reply) &&
  a.status === b.status &&
  a.mark === b.mark &&
  a.tcp?.state === b.tcp?.state;
/** Returns true if two versions are of one connection: their first packet has the same tuple. */
export const isSameOriginal = (a: Connection, b: Connection): boolean => sameTuple(a.original, b.original);
const tupleIn = ({ connection, reply }: ConnectionRef): Tuple =>
  reply ? connection.reply : connection.original;

/** Random seeds: packets cannot be crafted to collide. */
const random = (): number => Math.floor(Math.random() * 2 ** 32) | 1;
const SEEDS = [random(), random(), random(), random(), random()] as const;

const mix = (hash: number, value: number, seed: number): number => {
  const mixed = Math.imul(hash ^ value, seed);
  return mixed ^ (mixed >>> 15);
};
/** Hashes the four words of an IPv6 address. */
const hashWords = (a: bigint, seed: number): number =>
  mix(
    mix(Number(a & 0xffff_ffffn), Number((a >> 32n) & 0xffff_ffffn), seed),
    mix(Number((a >> 64n) & 0xffff_ffffn), Number(a >> 96n), SEEDS[4]),
    seed,
  );
const hashAddress = (hash: number, a: Address, seed: number): number =>
  mix(hash, typeof a === "number" ? a : hashWords(a, seed), seed);
const hashSource = (t: Tuple): number => hashAddress((t.sport << 8) ^ t.proto, t.src, SEEDS[0]);
const hashTuple = (t: Tuple): number =>
  mix(hashAddress(mix(hashSource(t), t.dport, SEEDS[1]), t.dst, SEEDS[2]), 0, SEEDS[3]);

/** Connections by both of their tuples. */
export class Connections {
  private readonly byTuple = new Map<number, TupleEntry>();
  /** Original tuples by source, for the reuse of translations (nf_nat_bysource). */
  private readonly bySource = new Map<number, SourceEntry>();

  /** Connections that may exist, by both tuples and by source. */
  private readonly uncertain = new Map<number, Connection[]>();

  /** Adds a connection that an undecided packet may have opened or changed. */
  addUncertain(connection: Connection): void {
    const { original, reply } = connection;
    if (this.uncertainMatches(original).some((known) => isSameConnection(known.connection, connection)))
      return;
    for (const hash of new Set([hashTuple(original), hashTuple(reply), hashSource(original)])) {
      const known = this.uncertain.get(hash);
      if (known === undefined) this.uncertain.set(hash, [connection]);
      else known.push(connection);
    }
  }

  /** Returns the connections of a tuple that may exist. */
  uncertainMatches(tuple: Tuple): ConnectionRef[] {
    if (this.uncertain.size === 0) return [];
    return (this.uncertain.get(hashTuple(tuple)) ?? []).flatMap((connection) => {
      const reply = !sameTuple(connection.original, tuple);
      return reply && !sameTuple(connection.reply, tuple) ? [] : [{ connection, reply }];
    });
  }

  /** Returns true if a connection from the same address and port may exist. */
  hasUncertainFrom(tuple: Tuple): boolean {
    if (this.uncertain.size === 0) return false;
    return (this.uncertain.get(hashSource(tuple)) ?? []).some((c) => sameSource(c.original, tuple));
  }

  /** Returns the connection of a tuple, in either direction. */
  find(tuple: Tuple): ConnectionRef | undefined {
    for (let slot = this.byTuple.get(hashTuple(tuple)) ?? null; slot !== null; slot = slot.next)
      if (sameTuple(tupleIn(slot), tuple)) return slot;
    return undefined;
  }

  /** Yields the connections from the same address and port, the last one first. */
  *from(tuple: Tuple): Generator<Connection> {
    for (let entry = this.bySource.get(hashSource(tuple)) ?? null; entry !== null; entry = entry.next) {
      const its = sameSource(entry.original, tuple) ? this.findOriginal(entry.original) : undefined;
      if (its !== undefined) yield its;
    }
  }

  /** Yields each connection twice, once for each tuple. */
  *all(): Generator<Connection> {
    for (const first of this.byTuple.values())
      for (let slot: TupleEntry | null = first; slot !== null; slot = slot.next) yield slot.connection;
  }

  /** Adds a connection whose first packet was accepted, or replaces its older version. */
  confirm(connection: Connection): void {
    const { replaces, status } = connection;
    const its: Connection = replaces === undefined ? connection : { ...connection, replaces: undefined };
    const confirmed =
      (status & CT_STATUS.CONFIRMED) !== 0 ? its : withStatus(its, status | CT_STATUS.CONFIRMED);
    const { original, reply } = connection;
    if (this.findOriginal(original) === undefined) {
      const hash = hashSource(original);
      this.bySource.set(hash, { original, next: this.bySource.get(hash) ?? null });
    }
    this.setEntry(original, { connection: confirmed, reply: false });
    this.setEntry(reply, { connection: confirmed, reply: true });
  }

  /** Removes a connection. */
  forget({ original, reply }: Connection): void {
    this.setEntry(original, null);
    this.setEntry(reply, null);
    const hash = hashSource(original);
    const rest: Tuple[] = [];
    for (let entry = this.bySource.get(hash) ?? null; entry !== null; entry = entry.next)
      if (!sameTuple(entry.original, original)) rest.push(entry.original);
    if (rest.length === 0) this.bySource.delete(hash);
    else
      this.bySource.set(
        hash,
        rest.reduceRight((next: SourceEntry | null, each): SourceEntry => ({ original: each, next }), null)!,
      );
  }

  /** Returns an independent copy of the table. */
  copy(): Connections {
    const copy = new Connections();
    for (const [hash, slot] of this.byTuple) copy.byTuple.set(hash, slot);
    for (const [hash, entry] of this.bySource) copy.bySource.set(hash, entry);
    for (const [hash, some] of this.uncertain) copy.uncertain.set(hash, [...some]);
    return copy;
  }

  /** Returns the connection with this original tuple. */
  private findOriginal(tuple: Tuple): Connection | undefined {
    const connection = this.find(tuple)?.connection;
    return connection !== undefined && sameTuple(connection.original, tuple) ? connection : undefined;
  }

  /** Replaces or removes the entry of a tuple. */
  private setEntry(tuple: Tuple, found: ConnectionRef | null): void {
    const hash = hashTuple(tuple);
    const first = this.byTuple.get(hash);
    let slots: TupleEntry | null = null;
    for (let at = first ?? null; at !== null; at = at.next)
      if (!sameTuple(tupleIn(at), tuple)) slots = { connection: at.connection, reply: at.reply, next: slots };
    if (found !== null) slots = { connection: found.connection, reply: found.reply, next: slots };
    if (slots !== null) this.byTuple.set(hash, slots);
    else if (first !== undefined) this.byTuple.delete(hash);
  }
}
