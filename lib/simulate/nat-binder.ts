/**
 * Sets up translations: which address and port a connection gets in place of its own, where several want the same
 * (net/netfilter/nf_nat_core.c). What nobody can foretell is named, or goes each way that the rules tell apart.
 */
import type { Host } from "../host/host.ts";
import { type Address, CT, CT_STATUS, PROTO, tracksPorts } from "../packet/field.ts";
import { type Translated, translate } from "../path/nat.ts";
import type { Program } from "../path/program.ts";
import { invertTuple, type Tuple } from "../path/tuple.ts";
import type { Decision, Part } from "../path/walk.ts";
import type { Nat } from "../rules/effect.ts";
import type { Connection, Connections } from "./connection-table.ts";
import { isError, type PacketState } from "./packet-state.ts";
import { isEnded } from "./tcp-tracking.ts";

export class NatBinder {
  constructor(
    private readonly program: Program,
    private readonly host: Host,
    private readonly connections: Connections,
  ) {}

  /**
   * A port that the kernel chooses, and rules behind tell apart from others: each way it can go. `null` where nothing
   * behind asks for it. Of a source that is so only on the way back in by loopback.
   */
  private bindPortChoices(
    state: PacketState,
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    choice: string,
    old: number,
  ): Part<PacketState, Decision>[] | null {
    const { proto } = connection.original;
    if (!tracksPorts(proto) || (side === "src" && state.field("out") !== "lo")) return null;
    const [first, last] = nat?.ports ? [nat.ports.first, nat.ports.last] : defaultRange(proto, old);
    const pieces = this.program.pieces(side, first, last);
    if (pieces.length === 1) return null;
    if (pieces.length > MOST_PORT_CHOICES)
      return [{ state: state.assume(`${choice}, which the rules tell apart`), outcome: "undecided" }];
    const told = (piece: readonly [number, number]): boolean | undefined =>
      state.settled(portChoiceKey(piece));
    const known = pieces.find((piece) => told(piece) === true);
    return (known === undefined ? pieces.filter((piece) => told(piece) !== false) : [known]).flatMap(
      (piece): Part<PacketState, Decision>[] => {
        const key = portChoiceKey(piece);
        const why = `${choice}, and the rules tell it from others`;
        const from = known === undefined ? state.suppose({ key, truth: true, why, at: null }) : state;
        const to = nat?.to ?? { kind: "keep" };
        const one: Nat = {
          ...{ kind: "nat", side, to, random: true },
          ports: { first: piece[0], last: piece[1] },
          ...(nat?.persistent === undefined ? {} : { persistent: nat.persistent }),
        };
        return this.bind(from.assume(choice), { ...connection, kernelChoice: choice }, one, side, false);
      },
    );
  }

  /**
   * Sets up the translation a rule asks for, or none (a null binding): the reply tuple changes, and with it this
   * packet's header. Where the tuple is taken another port is found (get_unique_tuple in nf_nat_core.c).
   * @param apart whether to follow apart the ports that the kernel can choose, where rules tell them apart
   */
  bind(
    state: PacketState,
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    apart: boolean,
  ): Part<PacketState, Decision>[] {
    // Nothing to translate, and nobody in the way: all stays as it is.
    if (nat === null && connection.kernelChoice === undefined && !this.isTaken(connection.reply))
      return [{ state: state.withConnection(connection, false, CT.NEW), outcome: "accept" }];
    const now = invertTuple(connection.reply);
    const device = String(state.field(side === "src" ? "out" : "in") ?? "");
    const old =
      side === "dst"
        ? { address: now.dst, port: hasIdentifier(now.proto) ? now.sport : now.dport }
        : { address: now.src, port: now.sport };
    const made =
      nat === null
        ? NO_TRANSLATION
        : translate(nat, old, now.proto, device, now.dst, this.host, this.program.ruleset.family, now.src);
    if (made === null)
      return [{ state: state.assume(`${device} has no address to translate to`), outcome: "drop" }];
    const usual = nat === null || side === "dst" ? null : this.reusableSource(connection, nat, made.address);
    const address = (usual ?? made).address ?? old.address;
    const { port, choice } =
      usual === null
        ? this.uniquePort(connection, nat, side, old.port, address)
        : { port: usual.port!, choice: usual.choice };
    const what = choice?.replace(/; \d+ stands for it$/, "");
    const ways =
      what === undefined || !apart
        ? null
        : this.bindPortChoices(state, connection, nat, side, what, old.port);
    if (ways !== null) return ways;
    const reply = replyTuple(connection.reply, side, address, port);
    const { reply: before } = connection;
    const changes =
      reply.src !== before.src ||
      reply.sport !== before.sport ||
      reply.dst !== before.dst ||
      reply.dport !== before.dport;
    const bit = side === "dst" ? CT_STATUS.DST_NAT : CT_STATUS.SRC_NAT;
    const bound: Connection = {
      ...connection,
      reply,
      status: changes ? connection.status | bit : connection.status,
      kernelChoice: choice ?? connection.kernelChoice,
      masqueradedOn: nat?.to.kind === "interface" && side === "src" ? device : connection.masqueradedOn,
    };
    const noted = choice === null ? state : state.assume(choice);
    const part = (from: PacketState, whole: Connection): Part<PacketState, Decision> => ({
      state: this.applyMapping(from.withConnection(whole, false, CT.NEW), whole, side),
      outcome: "accept",
    });
    const doubt = side === "src" ? this.replyConflict(connection, nat, reply) : undefined;
    if (doubt === undefined) return [part(noted, bound)];
    return [true, false].flatMap((truth): Part<PacketState, Decision>[] => {
      const told = noted.settled(doubt.key);
      if (told !== undefined && told !== truth) return [];
      const { key, why } = doubt;
      const from = told === undefined ? noted.suppose({ key, truth, why, at: null }) : noted;
      return [
        part(from, truth ? { ...bound, replaces: doubt.other ?? undefined } : { ...bound, refused: true }),
      ];
    });
  }

  /** What is not known about whether a connection is entered whose replies may be those of another. */
  private replyConflict(
    connection: Connection,
    nat: Nat | null,
    reply: Tuple,
  ): { readonly key: string; readonly why: string; readonly other: Connection | null } | undefined {
    const found = this.connections.find(reply);
    const other = found?.connection ?? null;
    const chance = "whether what the kernel chooses is what another connection has";
    if (other === null) {
      const forced = nat?.ports !== null && nat?.ports.first === nat?.ports.last;
      return forced && connection.kernelChoice !== undefined && this.mayMeet(reply)
        ? { key: NAT_CHOICE, why: chance, other }
        : undefined;
    }
    if (connection.kernelChoice !== undefined || other.kernelChoice !== undefined)
      return { key: NAT_CHOICE, why: chance, other };
    // One that was translated, and has ended, makes place for a new one behind it (nf_nat_used_tuple_harder).
    const place =
      found!.reply &&
      connection.tcp?.state === "syn-sent" &&
      (other.status & CT_STATUS.SRC_NAT) !== 0 &&
      isEnded(other.tcp);
    const why = "whether a new connection's sequence number lies behind that of one that has ended";
    return place ? { key: SEQUENCE_ADVANCED, why, other } : undefined;
  }

  /** Whether packets of a tuple belong to a connection already (nf_nat_used_tuple). */
  private isTaken(tuple: Tuple): boolean {
    return this.connections.find(tuple) !== undefined;
  }

  /** Whether another connection expects replies that differ in no more than the port which a choice gave these. */
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
   * A source that needs no new choice: one that the rule would allow as it is, or the one that the last connection from
   * the same address and port got that the rule would allow (find_appropriate_src).
   */
  private reusableSource(connection: Connection, nat: Nat, address: Address | null): Translated | null {
    if (nat.random) return null;
    const { to, ports } = nat;
    const now = invertTuple(connection.reply);
    const fits = (a: Address, port: number): boolean =>
      (to.kind === "keep" || (to.kind === "range" ? a >= to.first && a <= to.last : a === address)) &&
      // Of GRE the kernel looks for a key, too, and it is 0 (l4proto_in_range).
      (ports === null ||
        !(hasPortOrIdentifier(now.proto) || now.proto === PROTO.gre) ||
        (port >= ports.first && port <= ports.last));
    const open = (a: Address, port: number): boolean =>
      !this.isTaken(replyTuple(connection.reply, "src", a, port));
    if (fits(now.src, now.sport))
      return open(now.src, now.sport) ? { address: now.src, port: now.sport, choice: null } : null;
    for (const kin of this.connections.from(connection.original)) {
      const { src, sport } = invertTuple(kin.reply);
      if (fits(src, sport))
        return open(src, sport) ? { address: src, port: sport, choice: kin.kernelChoice ?? null } : null;
    }
    return null;
  }

  /**
   * The port a translation ends up with, or the identifier of an ICMP query, and what the kernel chose there that nobody
   * can foretell (get_unique_tuple, nf_nat_l4proto_unique_tuple).
   */
  private uniquePort(
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    old: number,
    address: Address,
  ): { port: number; choice: string | null } {
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
    // A destination's port is what the rule says, or stays.
    if (ports === null && side === "dst" && !hasIdentifier(proto)) return { port: old, choice: null };
    const size = last - first + 1;
    const what = hasIdentifier(proto) ? "an identifier" : "a port";
    const choice =
      size === 1 || ports?.base !== undefined || (side === "dst" && !random)
        ? null
        : random
          ? `--random: the kernel chooses ${what}`
          : ports === null
            ? `another connection has ${hasIdentifier(proto) ? "identifier" : "port"} ${old}: the kernel chooses one`
            : `the kernel chooses ${what} from ${first} to ${last}`;
    // 16 bits that wrap (u16 off).
    const start = ports?.base === undefined ? (random && kept ? old - first : 0) : old - ports.base;
    for (let i = 0; i < size; i++) {
      const port = first + (((start + i) & 0xffff) % size);
      if (!taken(port)) return { port, choice: choice === null ? null : `${choice}; ${port} stands for it` };
    }
    // None is free: two connections have the same replies, and the second is not entered.
    return { port: ports === null ? old : first, choice: null };
  }

  /** The header with one side translated: what the other direction's tuple says, turned round (nf_nat_packet). */
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

/** Unknown: packets are described without sequence numbers. */
const SEQUENCE_ADVANCED = "tcp-sequence";
/** Unknown: what the kernel chose at random for one connection may stand in the way of another. */
const NAT_CHOICE = "nat-choice";

/** More ways than these are not followed. */
const MOST_PORT_CHOICES = 32;

/** The unknown that a port chosen at random is one of these. */
const portChoiceKey = ([first, last]: readonly [number, number]): string =>
  `nat-choice(${first === last ? first : `${first}-${last}`})`;

const NO_TRANSLATION: Translated = { address: null, port: null, choice: null };

/** Protocols whose connections are told apart by an identifier, the same in both directions. */
const hasIdentifier = (proto: number): boolean => proto === PROTO.icmp || proto === PROTO.icmpv6;

/** Whether there is anything besides addresses that a translation can change. */
const hasPortOrIdentifier = (proto: number): boolean => tracksPorts(proto) || hasIdentifier(proto);

/** What stands for a port, or for an identifier, when another connection has it: one of its like. */
const defaultRange = (proto: number, port: number): readonly [number, number] =>
  hasIdentifier(proto) ? [0, 65_535] : port < 512 ? [1, 511] : port < 1024 ? [600, 1023] : [1024, 65_535];

/** The tuple of replies once a side is translated. */
const replyTuple = (reply: Tuple, side: "dst" | "src", address: Address, port: number): Tuple => ({
  ...reply,
  ...(side === "dst" ? { src: address } : { dst: address }),
  ...(hasIdentifier(reply.proto) || (side === "dst" && tracksPorts(reply.proto))
    ? { sport: port }
    : tracksPorts(reply.proto)
      ? { dport: port }
      : {}),
});
