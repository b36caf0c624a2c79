/** The connection table of a simulation: what conntrack remembers of the flows that were let through. */
import { type Address, CT_STATUS, PROTO, tracksPorts } from "../packet/field.ts";
import type { Tcp } from "./tcp.ts";

/** One direction of a connection. ICMP keeps its identifier, and type and code, where others have ports. */
export interface Tuple {
  /** Protocol number. */
  readonly proto: number;
  /** Source address. */
  readonly src: Address;
  /** Destination address. */
  readonly dst: Address;
  /** Source port; 0 where the protocol has none. */
  readonly sport: number;
  /** Destination port; 0 where the protocol has none. */
  readonly dport: number;
}

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
  /** Which sides the nat table has been asked for; it is asked once a connection. */
  readonly asked: { readonly dst: boolean; readonly src: boolean };
  /** The state of a TCP connection. */
  readonly tcp?: Tcp;
  /** The interface it is masqueraded for: it ends when it is routed to another. */
  readonly masqueraded?: string;
  /** What the kernel chose for it that nobody can foretell. */
  readonly chosen?: string;
  /** A connection that is forgotten once this one is entered, since it has the same replies. */
  readonly instead?: Connection | null;
  /** It is not entered: another one turns out to have the same replies. */
  readonly refused?: boolean;
  /** It was forgotten when this packet came: nothing is to be remembered of it. */
  readonly over?: boolean;
}

/** ICMP types that ask, and the types that answer them. */
export const REPLY_TYPES: ReadonlyMap<number, number> = new Map<number, number>([
  [8, 0],
  [13, 14],
  [15, 16],
  [17, 18],
  [128, 129],
  [139, 140],
]);

/** The tuple that answers this one. */
export function invert(t: Tuple): Tuple {
  if (t.proto === PROTO.icmp || t.proto === PROTO.icmpv6) {
    const type = t.dport >> 8;
    const other = REPLY_TYPES.get(type) ?? [...REPLY_TYPES].find(([, reply]) => reply === type)?.[0] ?? type;
    return { ...t, src: t.dst, dst: t.src, dport: (other << 8) | (t.dport & 0xff) };
  }
  return { proto: t.proto, src: t.dst, dst: t.src, sport: t.dport, dport: t.sport };
}

/** The tuple of a header. */
export function tupleOf(h: {
  proto: number;
  src: Address;
  dst: Address;
  sport?: number | undefined;
  dport?: number | undefined;
  type?: number | undefined;
  code?: number | undefined;
  id?: number | undefined;
}): Tuple {
  const { proto, src, dst } = h;
  if (tracksPorts(proto)) return { proto, src, dst, sport: h.sport ?? 0, dport: h.dport ?? 0 };
  if (proto === PROTO.icmp || proto === PROTO.icmpv6)
    return { proto, src, dst, sport: h.id ?? 0, dport: ((h.type ?? 0) << 8) | (h.code ?? 0) };
  return { proto, src, dst, sport: 0, dport: 0 };
}

/** Text for a map; an address of IPv6 is none of IPv4, however small. */
const key = (t: Tuple): string => keyFrom(sourceKey(t), t);

const keyFrom = (source: string, t: Tuple): string => `${source} ${t.dst} ${t.dport}`;

/** A connection that a packet belongs to, and in which direction it goes. */
export interface Found {
  /** What is known of it. */
  readonly connection: Connection;
  /** It goes against the direction in which the connection was opened. */
  readonly reply: boolean;
}

const sourceKey = (t: Tuple): string =>
  `${t.proto}${typeof t.src === "bigint" ? ":" : " "}${t.src} ${t.sport}`;

/** The connection table (nf_conntrack_core.c): connections by both of their tuples. */
export class Connections {
  private readonly byTuple = new Map<string, Found>();
  /** By what the original direction comes from: translations are shared among them (nf_nat_bysource). */
  private readonly bySource = new Map<string, Connection[]>();

  /** The connection this tuple belongs to, either way round. */
  find(tuple: Tuple): Found | undefined {
    return this.byTuple.get(key(tuple));
  }

  /** The connections that come from the same address and port, the last one first. */
  from(tuple: Tuple): readonly Connection[] {
    return this.bySource.get(sourceKey(tuple)) ?? [];
  }

  /** All connections, each by both of its directions. */
  *all(): Generator<Connection> {
    for (const { connection } of this.byTuple.values()) yield connection;
  }

  /** Enters a connection whose first packet came through, or replaces what was known of it. */
  confirm(connection: Connection): void {
    const confirmed = { ...connection, status: connection.status | CT_STATUS.CONFIRMED };
    if (confirmed.instead !== undefined) delete confirmed.instead;
    const source = sourceKey(connection.original);
    const original = keyFrom(source, connection.original);
    const before = this.byTuple.get(original);
    this.byTuple.set(original, { connection: confirmed, reply: false });
    this.byTuple.set(key(connection.reply), { connection: confirmed, reply: true });
    const list = this.bySource.get(source);
    if (list === undefined) {
      this.bySource.set(source, [confirmed]);
      return;
    }
    const at = before === undefined ? -1 : list.indexOf(before.connection);
    if (at >= 0) list[at] = confirmed;
    else list.unshift(confirmed);
  }

  /** Forgets a connection. */
  forget(connection: Connection): void {
    this.byTuple.delete(key(connection.original));
    this.byTuple.delete(key(connection.reply));
    const source = sourceKey(connection.original);
    const original = key(connection.original);
    const rest = this.from(connection.original).filter((c) => key(c.original) !== original);
    if (rest.length === 0) this.bySource.delete(source);
    else this.bySource.set(source, rest);
  }

  /** A table that can go its own way. */
  copy(): Connections {
    const copy = new Connections();
    for (const [k, v] of this.byTuple) copy.byTuple.set(k, v);
    for (const [k, v] of this.bySource) copy.bySource.set(k, [...v]);
    return copy;
  }
}
