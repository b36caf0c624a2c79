/**
 * Binds connections to translations: chooses addresses and ports, and avoids reply tuples that are in use
 * (net/netfilter/nf_nat_core.c). A random choice of the kernel becomes an assumption, or a branch for each set of ports
 * that later rules distinguish.
 */
import type { Host } from "../host/host.ts";
import { type Address, CT, CT_STATUS, PROTO, tracksPorts } from "../packet/field.ts";
import { type FixedHeader, translate } from "../path/header-translation.ts";
import type { Program } from "../path/program.ts";
import { invertTuple, type Tuple } from "../path/tuple.ts";
import type { Decision, Part } from "../path/walk.ts";
import type { Nat } from "../rules/effect.ts";
import type { PortChoice, Supposition } from "./assumption.ts";
import { type Connection, type Connections, sameTuple } from "./connection-table.ts";
import { isError, type PacketState } from "./packet-state.ts";
import { isEnded } from "./tcp-tracking.ts";

/** Source that needs no new choice, and the choice that an earlier connection rests on. */
interface ReusedSource {
  readonly address: Address;
  readonly port: number;
  readonly choice: PortChoice | null;
}

/** Unknown whether a connection can be confirmed, and the other connection, if it is known. */
interface ReplyConflict extends Pick<Supposition, "key" | "reason"> {
  readonly other: Connection | null;
}

export class NatBinder {
  constructor(
    private readonly program: Program,
    private readonly host: Host,
    private readonly connections: Connections,
  ) {}

  /**
   * Branches on the port that the kernel chooses, if later rules distinguish ports; otherwise returns `null`. Later rules
   * see a translated source port only if the packet returns through loopback, or after the translation.
   */
  private bindPortChoices(
    state: PacketState,
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    choice: PortChoice,
    old: { readonly address: Address; readonly port: number },
  ): Part<PacketState, Decision>[] | null {
    const { proto } = connection.original;
    if (!tracksPorts(proto)) return null;
    if (side === "src" && !this.program.seesTranslatedSource(String(state.field("out")))) return null;
    const [first, last] = nat?.ports ? [nat.ports.first, nat.ports.last] : defaultRange(proto, old.port);
    const intervals = this.program.portIntervals(side, first, last);
    if (intervals.length === 1) return null;
    const open = intervals.filter((piece) => this.mayChoose(connection, side, old.address, piece));
    const pieces = open.length === 0 ? intervals : open;
    if (pieces.length > MOST_PORT_CHOICES)
      return [{ state: state.assume({ code: "port-distinguished", choice }), outcome: "undecided" }];
    const settled = (piece: readonly [number, number]): boolean | undefined =>
      state.settled(portChoiceKey(piece));
    const known = pieces.find((piece) => settled(piece) === true);
    return (known === undefined ? pieces.filter((piece) => settled(piece) !== false) : [known]).flatMap(
      (piece): Part<PacketState, Decision>[] => {
        const key = portChoiceKey(piece);
        const reason = { code: "port-distinguished", choice } as const;
        const from = known === undefined ? state.suppose({ key, reason }, true) : state;
        const to = nat?.to ?? { kind: "keep" };
        const one: Nat = {
          kind: "nat",
          side,
          to,
          random: true,
          ports: { first: piece[0], last: piece[1] },
          ...(nat?.persistent === undefined ? {} : { persistent: nat.persistent }),
        };
        const noted = from.assume({ code: "port-chosen", choice, assumed: null });
        return this.bind(noted, { ...connection, kernelChoice: choice }, one, side, false);
      },
    );
  }

  /**
   * Binds a connection to the translation of a rule, or to none (a null binding): changes the reply tuple, and with it the
   * header of this packet. If the tuple is in use, another port is chosen (get_unique_tuple in nf_nat_core.c).
   * @param branches true to branch on a port that the kernel chooses, if later rules distinguish ports
   */
  bind(
    state: PacketState,
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    branches: boolean,
  ): Part<PacketState, Decision>[] {
    // A null binding whose reply tuple is free.
    if (nat === null && connection.kernelChoice === undefined && !this.isTaken(connection.reply))
      return [{ state: state.withConnection(connection, false, CT.NEW), outcome: "accept" }];
    const now = invertTuple(connection.reply);
    const device = String(state.field(side === "src" ? "out" : "in") ?? "");
    const old =
      side === "dst"
        ? { address: now.dst, port: hasIdentifier(now.proto) ? now.sport : now.dport }
        : { address: now.src, port: now.sport };
    const translation =
      nat === null
        ? NO_TRANSLATION
        : translate(nat, { proto: now.proto, old, device, dst: now.dst, src: now.src }, this.host);
    if (translation === null)
      return [{ state: state.assume({ code: "no-interface-address", interface: device }), outcome: "drop" }];
    const reused =
      nat === null || side === "dst" ? null : this.reusableSource(connection, nat, translation.address);
    const address = (reused ?? translation).address ?? old.address;
    const { port, choice } =
      reused === null ? this.uniquePort(connection, nat, side, old.port, address) : reused;
    const branched =
      choice === null || !branches
        ? null
        : this.bindPortChoices(state, connection, nat, side, choice, { address, port: old.port });
    if (branched !== null) return branched;
    const reply = replyTuple(connection.reply, side, address, port);
    const bound: Connection = {
      ...connection,
      reply,
      status: connection.status | (sameTuple(reply, connection.reply) ? 0 : NAT_STATUS[side]),
      kernelChoice: choice ?? connection.kernelChoice,
      masqueradedOn: nat?.to.kind === "interface" && side === "src" ? device : connection.masqueradedOn,
    };
    const noted = choice === null ? state : state.assume({ code: "port-chosen", choice, assumed: port });
    const conflict = side === "src" ? this.replyConflict(connection, nat, reply) : undefined;
    return conflict === undefined
      ? [this.accepted(noted, bound, side)]
      : this.onConflict(noted, bound, side, conflict);
  }

  private accepted(
    state: PacketState,
    connection: Connection,
    side: "dst" | "src",
  ): Part<PacketState, Decision> {
    return {
      state: this.applyMapping(state.withConnection(connection, false, CT.NEW), connection, side),
      outcome: "accept",
    };
  }

  /** Branches on a conflict: the connection replaces the other one, or it cannot be confirmed. */
  private onConflict(
    state: PacketState,
    bound: Connection,
    side: "dst" | "src",
    conflict: ReplyConflict,
  ): Part<PacketState, Decision>[] {
    return [true, false].flatMap((truth): Part<PacketState, Decision>[] => {
      const settled = state.settled(conflict.key);
      if (settled !== undefined && settled !== truth) return [];
      const from = settled === undefined ? state.suppose(conflict, truth) : state;
      const connection = truth
        ? { ...bound, replaces: conflict.other ?? undefined }
        : { ...bound, refused: true };
      return [this.accepted(from, connection, side)];
    });
  }

  /** Returns the unknown whether a connection can be confirmed although another one may have its reply tuple. */
  private replyConflict(connection: Connection, nat: Nat | null, reply: Tuple): ReplyConflict | undefined {
    const found = this.connections.find(reply);
    const other = found?.connection ?? null;
    const reason = { code: "port-collision" } as const;
    if (other === null) {
      const forced = nat?.ports !== null && nat?.ports.first === nat?.ports.last;
      return forced && connection.kernelChoice !== undefined && this.mayMeet(reply)
        ? { key: NAT_CHOICE, reason, other }
        : undefined;
    }
    if (connection.kernelChoice !== undefined || other.kernelChoice !== undefined)
      return { key: NAT_CHOICE, reason, other };
    // A translated connection that has ended is replaced (nf_nat_used_tuple_harder).
    const isReplaced =
      found!.reply &&
      connection.tcp?.state === "syn-sent" &&
      (other.status & CT_STATUS.SRC_NAT) !== 0 &&
      isEnded(other.tcp);
    return isReplaced ? { key: SEQUENCE_ADVANCED, reason: { code: "tcp-sequence" }, other } : undefined;
  }

  /** Returns true if a connection has this tuple (nf_nat_used_tuple). */
  private isTaken(tuple: Tuple): boolean {
    return this.connections.find(tuple) !== undefined;
  }

  /** Returns true if a port of the range may be free. The kernel skips ports that are in use. */
  private mayChoose(
    connection: Connection,
    side: "dst" | "src",
    address: Address,
    [first, last]: readonly [number, number],
  ): boolean {
    for (let port = first; port <= last; port++) {
      const other = this.connections.find(replyTuple(connection.reply, side, address, port))?.connection;
      // If the kernel chose the port of that connection, it may differ from the assumed port.
      if (other === undefined || other.kernelChoice !== undefined) return true;
    }
    return false;
  }

  /** Returns true if a connection has a reply tuple that differs in one port at most. */
  private mayMeet(reply: Tuple): boolean {
    for (const { reply: its } of this.connections.all())
      if (
        its.proto === reply.proto &&
        its.src === reply.src &&
        its.dst === reply.dst &&
        (its.sport === reply.sport || its.dport === reply.dport)
      )
        return true;
    return false;
  }

  /**
   * Returns a source that needs no new choice: the present one if the rule allows it, or that of the last connection from
   * the same address and port if the rule allows that (find_appropriate_src).
   */
  private reusableSource(connection: Connection, nat: Nat, address: Address | null): ReusedSource | null {
    if (nat.random) return null;
    const { to, ports } = nat;
    const now = invertTuple(connection.reply);
    const fits = (a: Address, port: number): boolean =>
      (to.kind === "keep" || (to.kind === "range" ? a >= to.first && a <= to.last : a === address)) &&
      // The kernel compares the key of GRE too, which is 0 here (l4proto_in_range).
      (ports === null ||
        !(hasPortOrIdentifier(now.proto) || now.proto === PROTO.gre) ||
        (port >= ports.first && port <= ports.last));
    const open = (a: Address, port: number): boolean =>
      !this.isTaken(replyTuple(connection.reply, "src", a, port));
    if (fits(now.src, now.sport))
      return open(now.src, now.sport) ? { address: now.src, port: now.sport, choice: null } : null;
    // The kernel compares the source as changed so far: another translation may have chosen the identifier of ICMP.
    for (const other of this.connections.from(now)) {
      const { src, sport } = invertTuple(other.reply);
      if (!fits(src, sport)) continue;
      if (open(src, sport)) return { address: src, port: sport, choice: other.kernelChoice ?? null };
      // Two ports that the kernel chose are equal by assumption only: the source is most likely free.
      const taken = this.connections.find(replyTuple(connection.reply, "src", src, sport))!.connection;
      const choice = other.kernelChoice ?? taken.kernelChoice ?? null;
      return choice === null ? null : this.assumedSource(connection, src, sport, choice);
    }
    return null;
  }

  /** Returns a source with the next free port, in place of a port that the kernel chose. */
  private assumedSource(
    connection: Connection,
    address: Address,
    from: number,
    choice: PortChoice,
  ): ReusedSource | null {
    for (let port = from; port <= 65_535; port++)
      if (!this.isTaken(replyTuple(connection.reply, "src", address, port))) return { address, port, choice };
    return null;
  }

  /**
   * Returns the translated port or ICMP identifier, and the choice if the kernel makes one (get_unique_tuple,
   * nf_nat_l4proto_unique_tuple).
   */
  private uniquePort(
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    old: number,
    address: Address,
  ): { port: number; choice: PortChoice | null } {
    const { proto } = connection.original;
    if (!hasPortOrIdentifier(proto)) return { port: old, choice: null };
    const taken = (port: number): boolean => this.isTaken(replyTuple(connection.reply, side, address, port));
    const ports = nat?.ports ?? null;
    const random = nat?.random === true;
    const [first, last] = ports === null ? defaultRange(proto, old) : [ports.first, ports.last];
    const kept =
      ports === null
        ? !taken(old)
        : ports.base === undefined && old >= first && old <= last && (first === last || !taken(old));
    if (kept && !random) return { port: old, choice: null };
    // The kernel never chooses a destination port: it is that of the rule, or unchanged.
    if (ports === null && side === "dst" && !hasIdentifier(proto)) return { port: old, choice: null };
    const size = last - first + 1;
    const what = hasIdentifier(proto) ? "identifier" : "port";
    const choice: PortChoice | null =
      size === 1 || ports?.base !== undefined || (side === "dst" && !random)
        ? null
        : random
          ? { code: "random", what }
          : ports === null
            ? { code: "in-use", what, old }
            : { code: "range", what, first, last };
    // `off` is a u16 in the kernel and wraps.
    const start = ports?.base === undefined ? (random && kept ? old - first : 0) : old - ports.base;
    for (let i = 0; i < size; i++) {
      const port = first + (((start + i) & 0xffff) % size);
      if (!taken(port)) return { port, choice };
    }
    // No port is free: two connections have the same reply tuple, and the second cannot be confirmed.
    return { port: ports === null ? old : first, choice: null };
  }

  /** Translates one side of the header to the inverted tuple of the other direction (nf_nat_packet). */
  applyMapping(state: PacketState, connection: Connection, side: "dst" | "src"): PacketState {
    const mine = (side === "dst") !== state.reply ? CT_STATUS.DST_NAT : CT_STATUS.SRC_NAT;
    if ((connection.status & mine) === 0) return state;
    const goal = invertTuple(state.reply ? connection.original : connection.reply);
    const ports = tracksPorts(goal.proto) && !isError(state);
    return side === "dst"
      ? state.withTranslation(side, goal.dst, ports ? goal.dport : undefined)
      : state.withTranslation(side, goal.src, ports ? goal.sport : undefined);
  }
}

/** Unknown: packets have no sequence numbers here. */
const SEQUENCE_ADVANCED = "tcp-sequence";
/** Unknown: a random choice for one connection may collide with another connection. */
const NAT_CHOICE = "nat-choice";

/** Most branches on a port. */
const MOST_PORT_CHOICES = 32;

/** Key of the unknown that a port chosen by the kernel is in this range. */
const portChoiceKey = ([first, last]: readonly [number, number]): string =>
  `nat-choice(${first === last ? first : `${first}-${last}`})`;

/** Bit of the status of a connection whose address or port a translation changes. */
const NAT_STATUS = { dst: CT_STATUS.DST_NAT, src: CT_STATUS.SRC_NAT } as const;

const NO_TRANSLATION: FixedHeader = { address: null, port: null };

/** Protocols with an identifier, which is the same in both directions, instead of ports. */
const hasIdentifier = (proto: number): boolean => proto === PROTO.icmp || proto === PROTO.icmpv6;

/** Returns true if a translation can change more than the addresses. */
const hasPortOrIdentifier = (proto: number): boolean => tracksPorts(proto) || hasIdentifier(proto);

/** Returns the range in which the kernel looks for a free port or identifier (nf_nat_l4proto_unique_tuple). */
const defaultRange = (proto: number, port: number): readonly [number, number] =>
  hasIdentifier(proto) ? [0, 65_535] : port < 512 ? [1, 511] : port < 1024 ? [600, 1023] : [1024, 65_535];

/** Returns the reply tuple after the translation of one side. */
const replyTuple = (reply: Tuple, side: "dst" | "src", address: Address, port: number): Tuple => ({
  ...reply,
  ...(side === "dst" ? { src: address } : { dst: address }),
  ...(hasIdentifier(reply.proto) || (side === "dst" && tracksPorts(reply.proto))
    ? { sport: port }
    : tracksPorts(reply.proto)
      ? { dport: port }
      : {}),
});
