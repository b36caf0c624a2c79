/** One packet on its way: its header as it is now, its connection, the rules it matched, and what had to be assumed. */
import {
  type Address,
  CT,
  type CtState,
  type Field,
  PROTO,
  type Scalar,
  TCP_FLAGS,
} from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import type { Reading } from "../packet/predicate.ts";
import type { Step } from "../path/program.ts";
import type { TableName } from "../rules/ruleset.ts";
import type { Connection } from "./connection-table.ts";

/** An unknown that was taken one way, and the rule that asked, where a rule did. */
export interface Supposition {
  /** Its name, as `assume` and `--assume` take it. */
  readonly key: string;
  /** Which way it was taken. */
  readonly truth: boolean;
  /** What is missing to know it. */
  readonly why: string;
  /** The rule that asked, by its number from 1; `null` where the routing decision did. */
  readonly at: { readonly table: TableName; readonly chain: string; readonly rule: number } | null;
}

/** A list that grows at its end and is shared by the states that came from one. */
export interface Trail<T> {
  readonly last: T;
  readonly before: Trail<T> | null;
}

/** Unknowns about IPv6 extension headers: one packet is described without them, so it has none. */
const EXTENSION_HEADER = /^(ah|rt|hbh|dst|frag|srh)\(/;

/** The truth of an unknown, as far as truths that were given tell it, or that a packet has no extension header. */
export function settledTruth(truths: ReadonlyMap<string, boolean>, key: string): boolean | undefined {
  // `--assume recent=match` speaks of every match of that extension, `recent@filter/INPUT/3=match` of one.
  const told = truths.get(key) ?? truths.get(key.replace(/[@:].*$/s, ""));
  return told ?? (EXTENSION_HEADER.test(key) ? false : undefined);
}

/** What a packet says of itself, and the kernel beside it; what conntrack says of it is read from its connection. */
type HeaderField = Exclude<Field, `ct${string}`>;

/**
 * The fields as they are now: another header has other values. Each has all of them, `undefined` for what the packet
 * does not have, so that one is made of another by copying memory.
 */
type HeaderFields = { readonly [F in HeaderField]: Scalar | undefined };
type MutableHeader = { -readonly [F in HeaderField]: HeaderFields[F] };

export class PacketState implements Reading {
  private constructor(
    /** The packet as it was given. */
    readonly packet: Packet,
    readonly header: HeaderFields,
    /** conntrack's word for it. */
    readonly ctstate: number,
    readonly connection: Connection | null,
    /** Direction of the packet within its connection. */
    readonly reply: boolean,
    /** The rules it met, the last one first. */
    readonly trail: Trail<Step> | null,
    private readonly assumed: Trail<string | Supposition> | null,
    private readonly truths: ReadonlyMap<string, boolean>,
    /** Whether the packet got as far as the end of its last hook, so that a new connection is entered. */
    readonly confirmed: boolean,
  ) {}

  /** conntrack's word where somebody gave it. */
  get givenState(): CtState | undefined {
    return this.packet.state;
  }

  /** The state of a packet before anything happened to it. */
  static of(packet: Packet, truths: ReadonlyMap<string, boolean>): PacketState {
    const header: HeaderFields = {
      in: packet.in ?? "",
      out: "",
      physin: packet.physin ?? "",
      physout: "",
      src: packet.src,
      dst: packet.dst,
      proto: packet.proto,
      sport: packet.sport,
      dport: packet.dport,
      flags: packet.flags ?? (packet.proto === PROTO.tcp ? TCP_FLAGS.SYN : undefined),
      type: packet.type,
      code: packet.code,
      fragment: packet.fragment ?? 0,
      tos: packet.tos ?? 0,
      ttl: packet.ttl ?? 64,
      length: packet.length,
      mac: packet.mac,
      pkttype: packet.pkttype ?? 0,
      mark: packet.mark ?? 0,
      spi: undefined,
      socket: packet.in === null ? 1 : 0,
      uid: packet.uid,
      gid: packet.gid,
    };
    return new PacketState(packet, header, CT.INVALID, null, false, null, null, truths, false);
  }

  field(field: Field): Scalar | undefined {
    return field in this.header ? this.header[field as HeaderField] : this.conntrackField(field);
  }

  settled(key: string): boolean | undefined {
    return settledTruth(this.truths, key);
  }

  /** The state with a field changed; a connection's mark is kept where there is a connection. */
  with(field: Field, value: Scalar): PacketState {
    const { connection, reply, ctstate, confirmed } = this;
    if (field === "ctstate") return this.withTracking(connection, reply, value as number, confirmed);
    if (field === "ctmark")
      return connection === null
        ? this
        : this.withTracking({ ...connection, mark: value as number }, reply, ctstate, confirmed);
    const header: MutableHeader = { ...this.header };
    header[field as HeaderField] = value;
    return this.withHeader(header);
  }

  /** The state with a side of its header translated; `port` is left where it is `undefined`. */
  withTranslation(side: "src" | "dst", address: Address, port: number | undefined): PacketState {
    const header: MutableHeader = { ...this.header };
    header[side] = address;
    if (port !== undefined) header[side === "src" ? "sport" : "dport"] = port;
    return this.withHeader(header);
  }

  /** The state with its last steps, as a chain has let go of it. */
  withTrail(trail: Trail<Step> | null): PacketState {
    const { packet, header, ctstate, connection, reply, assumed, truths, confirmed } = this;
    return new PacketState(packet, header, ctstate, connection, reply, trail, assumed, truths, confirmed);
  }

  assume(sentence: string): PacketState {
    return this.withAssumed({ last: sentence, before: this.assumed }, this.truths);
  }

  /** Takes an unknown one way, and remembers that it might go the other. */
  suppose(supposition: Supposition): PacketState {
    const { key, truth } = supposition;
    return this.withAssumed(
      { last: supposition, before: this.assumed },
      new Map(this.truths).set(key, truth),
    );
  }

  settle(key: string, truth: boolean): PacketState {
    return this.withAssumed(this.assumed, new Map(this.truths).set(key, truth));
  }

  /** The state as a packet of a connection, with conntrack's word for it. */
  withConnection(connection: Connection, reply: boolean, ctstate: number): PacketState {
    return this.withTracking(connection, reply, ctstate, this.confirmed);
  }

  /** The state at the end of its last hook, and its connection there. */
  confirm(connection: Connection | null): PacketState {
    return this.withTracking(connection, this.reply, this.ctstate, true);
  }

  get path(): Step[] {
    return toArray(this.trail);
  }

  get assumptions(): string[] {
    if (this.assumed === null) return [];
    return [...new Set(toArray(this.assumed).map((a) => (typeof a === "string" ? a : suppositionText(a))))];
  }

  /** The assumptions that are not suppositions, a sentence each. */
  get inferences(): string[] {
    return [...new Set(toArray(this.assumed).filter((a): a is string => typeof a === "string"))];
  }

  get suppositions(): Supposition[] {
    return toArray(this.assumed).filter((a) => typeof a !== "string");
  }

  private withHeader(header: HeaderFields): PacketState {
    const { packet, ctstate, connection, reply, trail, assumed, truths, confirmed } = this;
    return new PacketState(packet, header, ctstate, connection, reply, trail, assumed, truths, confirmed);
  }

  private withTracking(
    connection: Connection | null,
    reply: boolean,
    ctstate: number,
    confirmed: boolean,
  ): PacketState {
    const { packet, header, trail, assumed, truths } = this;
    return new PacketState(packet, header, ctstate, connection, reply, trail, assumed, truths, confirmed);
  }

  private withAssumed(
    assumed: Trail<string | Supposition> | null,
    truths: ReadonlyMap<string, boolean>,
  ): PacketState {
    const { packet, header, ctstate, connection, reply, trail, confirmed } = this;
    return new PacketState(packet, header, ctstate, connection, reply, trail, assumed, truths, confirmed);
  }

  /** What conntrack says of the packet. */
  private conntrackField(field: Field): Scalar | undefined {
    const { connection } = this;
    if (field === "ctstate") return this.ctstate;
    if (field === "ctstatus") return connection === null ? 0 : connection.status;
    return connection === null ? undefined : connectionField(field, connection, this.reply);
  }
}

/** What a packet's connection says. */
function connectionField(field: Field, connection: Connection, reply: boolean): Scalar | undefined {
  switch (field) {
    case "ctmark":
      return connection.mark;
    case "ctdir":
      return reply ? 1 : 0;
    case "ctproto":
      return connection.original.proto;
    case "ctorigsrc":
      return connection.original.src;
    case "ctorigdst":
      return connection.original.dst;
    case "ctorigsrcport":
      return connection.original.sport;
    case "ctorigdstport":
      return connection.original.dport;
    case "ctreplsrc":
      return connection.reply.src;
    case "ctrepldst":
      return connection.reply.dst;
    case "ctreplsrcport":
      return connection.reply.sport;
    case "ctrepldstport":
      return connection.reply.dport;
    default:
      return undefined;
  }
}

const suppositionText = ({ key, truth, why, at }: Supposition): string =>
  at === null
    ? `${key} taken ${truth ? "to hold" : "not to hold"} (${why})`
    : `${at.table} ${at.chain} rule ${at.rule}: ${key} taken ${truth ? "to match" : "not to match"} (${why})`;

function toArray<T>(trail: Trail<T> | null): T[] {
  const out: T[] = [];
  for (let at = trail; at !== null; at = at.before) out.push(at.last);
  return out.reverse();
}

/** What of a packet's header tells its flow. */
export interface FlowHeader {
  /** IP protocol number. */
  readonly proto: number;
  /** Source address. */
  readonly src: Address;
  /** Destination address. */
  readonly dst: Address;
  /** Source port, where the protocol has ports. */
  readonly sport: number | undefined;
  /** Destination port, likewise. */
  readonly dport: number | undefined;
  /** ICMP type. */
  readonly type: number | undefined;
  /** ICMP code. */
  readonly code: number | undefined;
  /** Identifier of an ICMP echo. */
  readonly id: number | undefined;
}

/** What of its header, as it is now, tells a packet's flow. */
export const flowHeaderOf = ({ header, packet }: PacketState): FlowHeader => ({
  proto: header.proto as number,
  src: header.src as Address,
  dst: header.dst as Address,
  sport: header.sport as number | undefined,
  dport: header.dport as number | undefined,
  type: header.type as number | undefined,
  code: header.code as number | undefined,
  id: packet.id,
});

/** Whether the packet is an ICMP error that quotes another packet. */
export const isError = (state: PacketState): boolean => {
  if (state.packet.about === undefined) return false;
  const proto = state.field("proto");
  const type = state.field("type") as number | undefined;
  if (type === undefined) return false;
  return proto === PROTO.icmp ? [3, 4, 5, 11, 12].includes(type) : proto === PROTO.icmpv6 && type < 128;
};
