/** The connection table of a simulation: what conntrack remembers of the flows that were let through. */
import { type Address, CT_STATUS } from "../packet/field.ts";
import type { Tuple } from "../path/tuple.ts";
import type { TcpState } from "./tcp-tracking.ts";

/** A connection as conntrack keeps it. */
export interface Connection {
  /** Of the packet that opened it, as it was sent. */
  readonly original: Tuple;
  /** The tuple of replies: the original turned round, and translated. */
  readonly reply: Tuple;
  /** IPS_* bits. */
  readonly status: number;
  /** Its mark (CONNMARK's). */
  readonly mark: number;
  /** The state of a TCP connection. */
  readonly tcp: TcpState | undefined;
  /** The interface it is masqueraded for: it ends when it is routed to another. */
  readonly masqueradedOn: string | undefined;
  /** What the kernel chose for it that nobody can foretell. */
  readonly kernelChoice: string | undefined;
  /** A connection that is forgotten once this one is entered, since it has the same replies. */
  readonly replaces: Connection | undefined;
  /** It is not entered: another one turns out to have the same replies. */
  readonly refused: boolean;
  /** It was forgotten when this packet came: nothing is to be remembered of it. */
  readonly ended: boolean;
}

/** A connection with other IPS_* bits. Written out since packets have it made several times, and V8 is slow to spread. */
export function withStatus(from: Connection, status: number): Connection {
  const { original, reply, mark, tcp, masqueradedOn, kernelChoice, replaces, refused, ended } = from;
  return { original, reply, status, mark, tcp, masqueradedOn, kernelChoice, replaces, refused, ended };
}

/** A connection that a packet belongs to, and in which direction it goes. */
export interface ConnectionRef {
  /** What is known of it. */
  readonly connection: Connection;
  /** It goes against the direction in which the connection was opened. */
  readonly reply: boolean;
}

/** What stands in a table for one tuple, and the next that has the same hash. */
interface TupleEntry extends ConnectionRef {
  readonly next: TupleEntry | null;
}

/** The tuple of a connection that comes from somewhere, and the ones before it whose sources have the same hash. */
interface SourceEntry {
  readonly original: Tuple;
  readonly next: SourceEntry | null;
}

const sameTuple = (a: Tuple, b: Tuple): boolean =>
  a.dport === b.dport && a.sport === b.sport && a.src === b.src && a.dst === b.dst && a.proto === b.proto;
const sameSource = (a: Tuple, b: Tuple): boolean =>
  a.sport === b.sport && a.src === b.src && a.proto === b.proto;
/** Whether two descriptions of a connection say the same. */
export const isSameConnection = (a: Connection, b: Connection): boolean =>
  sameTuple(a.original, b.original) &&
  sameTuple(a.reply, b.reply) &&
  a.status === b.status &&
  a.mark === b.mark &&
  a.tcp?.state === b.tcp?.state;
const tupleIn = ({ connection, reply }: ConnectionRef): Tuple =>
  reply ? connection.reply : connection.original;

/** Numbers that nobody can foretell: packets cannot be made to have the same hash. */
const random = (): number => Math.floor(Math.random() * 2 ** 32) | 1;
const SEEDS = [random(), random(), random(), random(), random()] as const;

const mix = (hash: number, word: number, seed: number): number => {
  const mixed = Math.imul(hash ^ word, seed);
  return mixed ^ (mixed >>> 15);
};
/** An address of IPv6 in two words that each depend on all of it. */
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

/** The connection table (nf_conntrack_core.c): connections by both of their tuples. */
export class Connections {
  private readonly byTuple = new Map<number, TupleEntry>();
  /** By what the original direction comes from: translations are shared among them (nf_nat_bysource). */
  private readonly bySource = new Map<number, SourceEntry>();

  /** Connections that may be there or not, by either of their tuples and by what they come from. */
  private readonly uncertain = new Map<number, Connection[]>();

  /** A packet that is undecided may have opened this connection, or made it what it is here. */
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

  /** The connections that a tuple may belong to and of which nobody knows whether they are there. */
  uncertainMatches(tuple: Tuple): ConnectionRef[] {
    if (this.uncertain.size === 0) return [];
    return (this.uncertain.get(hashTuple(tuple)) ?? []).flatMap((connection) => {
      const reply = !sameTuple(connection.original, tuple);
      return reply && !sameTuple(connection.reply, tuple) ? [] : [{ connection, reply }];
    });
  }

  /** Whether there may be such a connection from the same address and port. */
  hasUncertainFrom(tuple: Tuple): boolean {
    if (this.uncertain.size === 0) return false;
    return (this.uncertain.get(hashSource(tuple)) ?? []).some((c) => sameSource(c.original, tuple));
  }

  /** The connection this tuple belongs to, either way round. */
  find(tuple: Tuple): ConnectionRef | undefined {
    for (let slot = this.byTuple.get(hashTuple(tuple)) ?? null; slot !== null; slot = slot.next)
      if (sameTuple(tupleIn(slot), tuple)) return slot;
    return undefined;
  }

  /** The connections that come from the same address and port, the last one first. */
  *from(tuple: Tuple): Generator<Connection> {
    for (let kin = this.bySource.get(hashSource(tuple)) ?? null; kin !== null; kin = kin.next) {
      const its = sameSource(kin.original, tuple) ? this.findOriginal(kin.original) : undefined;
      if (its !== undefined) yield its;
    }
  }

  /** All connections, each by both of its directions. */
  *all(): Generator<Connection> {
    for (const first of this.byTuple.values())
      for (let slot: TupleEntry | null = first; slot !== null; slot = slot.next) yield slot.connection;
  }

  /** Enters a connection whose first packet came through, or replaces what was known of it. */
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

  /** Forgets a connection. */
  forget({ original, reply }: Connection): void {
    this.setEntry(original, null);
    this.setEntry(reply, null);
    const hash = hashSource(original);
    const rest: Tuple[] = [];
    for (let kin = this.bySource.get(hash) ?? null; kin !== null; kin = kin.next)
      if (!sameTuple(kin.original, original)) rest.push(kin.original);
    if (rest.length === 0) this.bySource.delete(hash);
    else
      this.bySource.set(
        hash,
        rest.reduceRight((next: SourceEntry | null, each): SourceEntry => ({ original: each, next }), null)!,
      );
  }

  /** A table that can go its own way. */
  copy(): Connections {
    const copy = new Connections();
    for (const [hash, slot] of this.byTuple) copy.byTuple.set(hash, slot);
    for (const [hash, kin] of this.bySource) copy.bySource.set(hash, kin);
    for (const [hash, some] of this.uncertain) copy.uncertain.set(hash, [...some]);
    return copy;
  }

  /** The connection that a packet of this tuple opened. */
  private findOriginal(tuple: Tuple): Connection | undefined {
    const connection = this.find(tuple)?.connection;
    return connection !== undefined && sameTuple(connection.original, tuple) ? connection : undefined;
  }

  /** Puts something in the place of a tuple, or nothing. */
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
