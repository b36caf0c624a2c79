/** State of one packet: current header, connection, rules that it matched, and assumptions. */
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
import type { PacketValues } from "../packet/predicate.ts";
import type { Step } from "../path/program.ts";
import { assumedName, unknownName } from "../path/unknown-key.ts";
import type { RulePlace } from "../rules/effect.ts";
import { type Assumption, distinctAssumptions, type Supposition } from "./assumption.ts";
import type { Connection } from "./connection-table.ts";

/** A list that grows at its end; states that branch share its beginning. */
export interface Trail<T> {
  readonly last: T;
  readonly before: Trail<T> | null;
}

const NO_ASSUMPTIONS: readonly Assumption[] = [];

/** Unknowns about IPv6 extension headers. A simulated packet has none. */
const EXTENSION_HEADER = /^(ah|rt|hbh|dst|frag|srh|exthdr)\(/;

/** Returns the value of an unknown: the given one, or false for extension headers. */
export function settledTruth(truths: ReadonlyMap<string, boolean>, key: string): boolean | undefined {
  // `--assume recent=match` sets every match of that extension, `recent@filter/INPUT/3=match` a single one.
  // `packet:uid` sets every comparison with that field.
  const field = key.startsWith("packet:") ? truths.get(unknownName(key)) : undefined;
  const given = truths.get(key) ?? field ?? truths.get(assumedName(key));
  return given ?? (EXTENSION_HEADER.test(key) ? false : undefined);
}

/** Fields of the header and of the sk_buff. Fields of conntrack are read from the connection. */
type HeaderField = Exclude<Field, `ct${string}`>;

/**
 * Current values of all header fields, `undefined` for missing ones. All objects have the same shape, so that V8 copies
 * them fast.
 */
type HeaderFields = { readonly [F in HeaderField]: Scalar | undefined };
type MutableHeader = { -readonly [F in HeaderField]: HeaderFields[F] };

export class PacketState implements PacketValues {
  private constructor(
    /** The packet as it was sent. */
    readonly packet: Packet,
    readonly header: HeaderFields,
    /** Value of CT. */
    readonly ctstate: number,
    readonly connection: Connection | null,
    /** The packet is a reply. */
    readonly reply: boolean,
    /** Steps, the last one first. */
    readonly trail: Trail<Step> | null,
    private readonly assumed: Trail<Assumption> | null,
    private readonly truths: ReadonlyMap<string, boolean>,
    /** The packet reached the end of its last hook, so that its connection is confirmed. */
    readonly confirmed: boolean,
  ) {}

  /** Conntrack state that the input prescribes. */
  get givenState(): CtState | undefined {
    return this.packet.state;
  }

  /** Returns the state of a packet as it is sent. */
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

  /** Sets a field. The mark of a connection is ignored if there is no connection. */
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

  /** Translates one side of the header; `port` is kept if it is `undefined`. */
  withTranslation(side: "src" | "dst", address: Address, port: number | undefined): PacketState {
    const header: MutableHeader = { ...this.header };
    header[side] = address;
    if (port !== undefined) header[side === "src" ? "sport" : "dport"] = port;
    return this.withHeader(header);
  }

  /** Replaces the steps, at the end of a chain. */
  withTrail(trail: Trail<Step> | null): PacketState {
    const { packet, header, ctstate, connection, reply, assumed, truths, confirmed } = this;
    return new PacketState(packet, header, ctstate, connection, reply, trail, assumed, truths, confirmed);
  }

  assume(assumption: Assumption): PacketState {
    return this.withAssumed({ last: assumption, before: this.assumed }, this.truths);
  }

  /** Sets an unknown on this branch. */
  suppose(
    { key, reason }: Pick<Supposition, "key" | "reason">,
    truth: boolean,
    at: RulePlace | null = null,
  ): PacketState {
    const supposition: Supposition = { code: "supposed", key, truth, reason, at };
    return this.withAssumed(
      { last: supposition, before: this.assumed },
      new Map(this.truths).set(key, truth),
    );
  }

  /** Sets an unknown for all branches. */
  settle(key: string, truth: boolean): PacketState {
    return this.withAssumed(this.assumed, new Map(this.truths).set(key, truth));
  }

  /** Adds the packet to a connection, with its conntrack state. */
  withConnection(connection: Connection, reply: boolean, ctstate: number): PacketState {
    return this.withTracking(connection, reply, ctstate, this.confirmed);
  }

  /** Marks the end of the last hook, with the connection there. */
  confirm(connection: Connection | null): PacketState {
    return this.withTracking(connection, this.reply, this.ctstate, true);
  }

  get path(): Step[] {
    return trailToArray(this.trail);
  }

  /** Assumptions of this branch in order, each once. */
  get assumptions(): readonly Assumption[] {
    return this.assumed === null ? NO_ASSUMPTIONS : distinctAssumptions(trailToArray(this.assumed));
  }

  get suppositions(): Supposition[] {
    return trailToArray(this.assumed).filter((a) => a.code === "supposed");
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

  private withAssumed(assumed: Trail<Assumption> | null, truths: ReadonlyMap<string, boolean>): PacketState {
    const { packet, header, ctstate, connection, reply, trail, confirmed } = this;
    return new PacketState(packet, header, ctstate, connection, reply, trail, assumed, truths, confirmed);
  }

  /** Returns a field of conntrack. */
  private conntrackField(field: Field): Scalar | undefined {
    const { connection } = this;
    if (field === "ctstate") return this.ctstate;
    if (field === "ctstatus") return connection === null ? 0 : connection.status;
    return connection === null ? undefined : connectionField(field, connection, this.reply);
  }
}

/** Returns a field of the connection of a packet. */
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

/** Returns the items of a trail, the first one first. */
export function trailToArray<T>(trail: Trail<T> | null): T[] {
  const out: T[] = [];
  for (let at = trail; at !== null; at = at.before) out.push(at.last);
  return out.reverse();
}

/** Fields of a header that determine the tuple of a packet. */
export interface FlowHeader {
  /** IP protocol number. */
  readonly proto: number;
  /** Source address. */
  readonly src: Address;
  /** Destination address. */
  readonly dst: Address;
  /** Source port, where the protocol has ports. */
  readonly sport: number | undefined;
  /** Destination port, where the protocol has ports. */
  readonly dport: number | undefined;
  /** ICMP type. */
  readonly type: number | undefined;
  /** ICMP code. */
  readonly code: number | undefined;
  /** Identifier of an ICMP echo. */
  readonly id: number | undefined;
}

/** Returns the current values of the fields that determine the tuple. */
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

/** Returns true if the packet is an ICMP error that quotes another packet. */
export const isError = (state: PacketState): boolean => {
  if (state.packet.about === undefined) return false;
  const proto = state.field("proto");
  const type = state.field("type") as number | undefined;
  if (type === undefined) return false;
  return proto === PROTO.icmp ? [3, 4, 5, 11, 12].includes(type) : proto === PROTO.icmpv6 && type < 128;
};
