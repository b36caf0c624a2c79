/** One packet after the other through a host: the engine that walks a single packet, and the answer it gives. */
import type { Host } from "../host/host.ts";
import { printAddress } from "../packet/address.ts";
import { Classifier } from "../packet/classifier.ts";
import {
  type Address,
  CT,
  CT_STATUS,
  type Field,
  PROTO,
  protoName,
  type Scalar,
  tracksPorts,
} from "../packet/field.ts";
import { type Packet, type PacketJson, packetJson, type Quoted } from "../packet/packet.ts";
import { evaluate } from "../packet/predicate.ts";
import type { Case } from "../path/case.ts";
import { type Translated, translate } from "../path/nat.ts";
import { Program, type Step } from "../path/program.ts";
import { GROUPS } from "../path/route.ts";
import {
  arrive,
  type Confirmed,
  type Decision,
  deliver,
  type Ending,
  type Engine,
  type Part,
  send,
} from "../path/walk.ts";
import type { Nat } from "../rules/effect.ts";
import type { Given } from "../rules/extension.ts";
import type { Hook, Ruleset, TableName } from "../rules/ruleset.ts";
import { runChain } from "./chain.ts";
import {
  type Connection,
  Connections,
  type Found,
  invert,
  type Tuple,
  tupleOf,
  withStatus,
} from "./conntrack.ts";
import { PacketState, type Supposition } from "./state.ts";
import { closed, isOver, segment, validFlags } from "./tcp.ts";
import { type Moment, Traced, Tracer } from "./trace.ts";

/** The header of a packet as it leaves. */
export interface Sent {
  /** Source address as text. */
  readonly src: string;
  /** Destination address as text. */
  readonly dst: string;
  /** Name of the protocol, or its number. */
  readonly proto: string;
  /** Source port; `null` for a protocol without ports. */
  readonly sport: number | null;
  /** Destination port; `null` for a protocol without ports. */
  readonly dport: number | null;
  /** Mark (fwmark); it does not leave the host. */
  readonly mark: number;
  /** Time to live, or hop limit. */
  readonly ttl: number;
  /** TOS byte, or traffic class. */
  readonly tos: number;
}

/** What becomes of a packet: the contract's JSON. */
export interface Answer {
  /** The packet as it was given. */
  readonly packet: PacketJson;
  /** What becomes of it; `undecided` where that depends on what the inputs do not tell. */
  readonly verdict: Decision;
  /** Forwarded, taken in by the host itself, sent by the host itself, or neither. */
  readonly delivery: "forward" | "local" | "out" | "none";
  /** Interface it leaves by; `null` where it does not leave. */
  readonly out: string | null;
  /** The header that it leaves or is taken in with; `null` where it is neither. */
  readonly sent: Sent | null;
  /** What it met, in order: the steps of the kernel's TRACE target. */
  readonly path: readonly Step[];
  /** What was inferred or taken to be so, a sentence each. */
  readonly assumptions: readonly string[];
  /** Why it went no further where no rule says it (no route, forwarding off); else absent. */
  readonly reason?: string;
  /** Where the verdict depends on what the inputs do not tell: each way it can go. */
  readonly branches?: readonly Outcome[];
}

/** An answer without its packet: how one way ends. */
export interface Outcome extends Omit<Answer, "packet" | "branches"> {
  /** Of a branch: what `--assume` has to be told for the packet to go this way, in order. */
  readonly assume?: readonly string[];
}

/** One way that a packet can go, and what happens to it there. */
export interface Way extends Outcome {
  /** What happened, in order. */
  readonly moments: readonly Moment[];
  /** The unknowns that were taken one way or the other to come here. */
  readonly suppositions: readonly Supposition[];
  /** The header at the end, wherever that is; the host itself gets it when `delivery` is `local`. */
  readonly header: Header;
  /** The hook in which it ended; `null` where it ended between hooks, or met none. */
  readonly hook: Hook | null;
}

/** An answer with all that happened. */
export interface Trace {
  /** What becomes of the packet. */
  readonly answer: Answer;
  /** The way it goes, or each way it can go where an unknown was asked. */
  readonly ways: readonly Way[];
  /**
   * What INPUT would have said of a first packet for this host that a translation took elsewhere, so that INPUT is
   * never asked; `null` for any other packet.
   */
  readonly passed: Outcome | null;
}

/** How to simulate. */
export interface SimulateOptions {
  /** The connection table to go on with; it is changed. A new one by default. */
  readonly connections?: Connections;
  /** Truths of unknown matches by key (`recent@filter/INPUT/3`) or extension (`recent`). */
  readonly assume?: ReadonlyMap<string, boolean>;
}

/** Simulates packets on one host; packets share one connection table, in order. */
export class Simulator {
  private readonly programs = new Map<number, Program>();
  /** The connection table, which every packet changes. */
  readonly connections: Connections;
  private readonly truths: ReadonlyMap<string, boolean>;

  /** A host that remembers no connection yet but those of the options; at most one ruleset a family. */
  constructor(
    rulesets: readonly Ruleset[],
    private readonly host: Host,
    options: SimulateOptions = {},
  ) {
    this.connections = options.connections ?? new Connections();
    this.truths = options.assume ?? new Map();
    for (const ruleset of rulesets) this.programs.set(ruleset.family, Program.of(ruleset, host));
  }

  /** What becomes of a packet; a connection it opens is known to the packets that follow. */
  packet(packet: Packet): Answer {
    const program = this.program(packet);
    if (packet.state === "ESTABLISHED" || packet.state === "RELATED") this.opened(packet, program);
    const engine = new PacketEngine(program, this.host, this.connections);
    const start = PacketState.of(packet, this.truths);
    const endings = packet.in === null ? send(start, program, engine) : arrive(start, program, engine);
    return this.answered(packet, endings, program);
  }

  /** What `packet` says, and what happened on the way; the connection is remembered likewise. */
  trace(packet: Packet): Trace {
    const program = this.program(packet);
    if (packet.state === "ESTABLISHED" || packet.state === "RELATED") this.opened(packet, program);
    const tracer = new Tracer(new PacketEngine(program, this.host, this.connections), program);
    const start = new Traced(PacketState.of(packet, this.truths));
    const traced = packet.in === null ? send(start, program, tracer) : arrive(start, program, tracer);
    const endings = traced.map((ending) => ({ ...ending, state: ending.state.state }));
    const ways = traced.map(
      ({ state }, i): Way => ({
        ...branch(endings[i]!),
        moments: state.moments,
        suppositions: state.state.suppositions,
        header: headerOf(state.state),
        hook: endings[i]!.hook,
      }),
    );
    const passed = this.passed(packet, ways, program);
    return { answer: this.answered(packet, endings, program), ways, passed };
  }

  private answered(packet: Packet, endings: readonly Ending<PacketState>[], program: Program): Answer {
    const said = answer(packet, endings);
    if (said.branches === undefined) for (const ending of endings.slice(0, 1)) this.remember(ending, program);
    if (program.ruleset.tables.size > 0) return said;
    const none = `no rules for IPv${packet.family} were given: they are taken to be empty`;
    return { ...said, assumptions: [none, ...said.assumptions] };
  }

  /** See `Trace.passed`. Asked without the nat table, since INPUT is meant to judge the packet as it was sent. */
  private passed(packet: Packet, ways: readonly Way[], program: Program): Outcome | null {
    const taken = ways.every(
      ({ moments }) =>
        moments.some((m) => m.kind === "track" && m.state === "NEW") &&
        moments.some((m) => m.kind === "table" && m.hook === "PREROUTING" && m.changes.length > 0) &&
        moments.some((m) => m.kind === "route" && m.decision.kind === "via"),
    );
    if (packet.in === null || !taken || ways.length === 0) return null;
    const engine = new PacketEngine(program, this.host, this.connections);
    const sent = PacketState.of(packet, this.truths);
    if (!engine.choose(sent, program.routesIn).every(({ outcome }) => outcome.kind === "local")) return null;
    const { ruleset } = program;
    const tables = new Map([...ruleset.tables].filter(([name]) => name !== "nat"));
    const plain = new Simulator([{ ...ruleset, tables }], this.host, { assume: this.truths });
    const { packet: _, branches: __, ...outcome } = plain.delivered(packet);
    return outcome;
  }

  /**
   * What conntrack keeps of a packet: what it saw of a connection it knows, whatever the rules then said; a new one
   * only if the packet got to the end of its last hook.
   */
  private remember({ state, verdict }: Ending<PacketState>, program: Program): void {
    const { connection } = state;
    if (connection === null || connection.over) return;
    if ((connection.status & CT_STATUS.CONFIRMED) === 0 && !state.confirmed) return;
    if (state.confirmed || this.connections.find(connection.original) !== undefined) {
      // A reset that the host answers with closes the connection, too.
      const reset = verdict === "reject" && connection.tcp !== undefined && answeredByReset(state, program);
      if (connection.instead !== undefined) this.connections.forget(connection.instead);
      this.connections.confirm(reset ? { ...connection, tcp: closed(connection.tcp!) } : connection);
    }
  }

  /** What PREROUTING and INPUT say of a packet as if it were for this host. No connection is remembered. */
  delivered(packet: Packet): Answer {
    const program = this.program(packet);
    const engine = new PacketEngine(program, this.host, this.connections);
    return answer(packet, deliver(PacketState.of(packet, this.truths), program, engine));
  }

  private program(packet: Packet): Program {
    let program = this.programs.get(packet.family);
    if (program === undefined) {
      // A family without rules: the kernel lets everything through.
      program = Program.of({ family: packet.family, source: "", tables: new Map() }, this.host);
      this.programs.set(packet.family, program);
    }
    return program;
  }

  /** A packet said to be ESTABLISHED belongs to a connection that these nat rules set up, whatever else filters say. */
  private opened(packet: Packet, program: Program): void {
    if (this.connections.find(tupleOf(packet)) !== undefined) return;
    const { state: _, ...first } = packet;
    const tables = new Map([...program.ruleset.tables].filter(([name]) => name === "nat"));
    const nat = Program.of({ ...program.ruleset, tables }, this.host);
    const engine = new PacketEngine(nat, this.host, this.connections);
    const start = PacketState.of({ ...first, state: "NEW" }, this.truths);
    for (const { state } of packet.in === null ? send(start, nat, engine) : arrive(start, nat, engine))
      if (state.connection !== null)
        this.connections.confirm(
          withStatus(state.connection, state.connection.status | CT_STATUS.SEEN_REPLY),
        );
  }
}

/**
 * What becomes of one packet on a host.
 * @param rulesets at most one a family; a family without one lets everything through
 */
export function simulate(
  rulesets: readonly Ruleset[],
  host: Host,
  packet: Packet,
  options: SimulateOptions = {},
): Answer {
  return new Simulator(rulesets, host, options).packet(packet);
}

class PacketEngine implements Engine<PacketState> {
  constructor(
    private readonly program: Program,
    private readonly host: Host,
    private readonly connections: Connections,
  ) {}

  table(state: PacketState, table: TableName, hook: Hook): Part<PacketState, Decision>[] {
    return runChain(state, this.program, table, hook).map(({ state: after, outcome, why }) => ({
      state: after,
      outcome: typeof outcome === "string" ? outcome : "accept",
      why,
    }));
  }

  track(state: PacketState): PacketState[] {
    if (!this.program.tracks) return [state];
    // Seen before on the way out through loopback, or told not to be tracked.
    if (state.connection !== null || state.ctstate === CT.UNTRACKED) return [state];
    const { given } = state;
    if (given === "INVALID" || given === "UNTRACKED") return [state.with("ctstate", CT[given])];
    const { about } = state.packet;
    if (about !== undefined && isError(state)) return [this.related(state, about)];
    const tuple = tupleOf(headerOf(state));
    const found = this.connections.find(tuple);
    if (found !== undefined && given === undefined && tuple.proto === PROTO.tcp) {
      const after = this.segment(state, found);
      if (after !== null) return [after];
    } else if (found !== undefined) return [this.known(state, found.connection, found.reply)];
    return this.opening(state, tuple);
  }

  /** A packet that belongs to no connection: the first of one, or nothing that makes sense. */
  private opening(state: PacketState, tuple: Tuple): PacketState[] {
    return this.choose(state, this.program.fresh).map(({ state: each, outcome }) => {
      const word = state.given ?? outcome;
      if (word === "INVALID" || word === "UNTRACKED") return each.with("ctstate", CT[word]);
      const first =
        tuple.proto === PROTO.tcp ? segment(undefined, state.field("flags") as number, false, false) : null;
      const connection: Connection = {
        original: tuple,
        reply: invert(tuple),
        status: 0,
        mark: 0,
        tcp: first?.kind === "accept" ? first.tcp : undefined,
        masqueraded: undefined,
        chosen: undefined,
        instead: undefined,
        refused: false,
        over: false,
      };
      return each.carried(connection, false, CT[word]);
    });
  }

  /** A packet of a connection that is known. */
  private known(state: PacketState, connection: Connection, reply: boolean): PacketState {
    const replied = reply || (connection.status & CT_STATUS.SEEN_REPLY) !== 0;
    const word = state.given ?? (replied ? "ESTABLISHED" : "NEW");
    // Once there was a reply the next packet makes these what UDP becomes in time only.
    const assured =
      (connection.status & CT_STATUS.SEEN_REPLY) !== 0 && ASSURED_AT_ONCE.includes(connection.original.proto);
    const status = connection.status | (reply ? CT_STATUS.SEEN_REPLY : 0) | (assured ? CT_STATUS.ASSURED : 0);
    return state.carried(withStatus(connection, status), reply, CT[word]);
  }

  /** A TCP segment of a connection that is known; `null` where it opens it anew. */
  private segment(state: PacketState, { connection, reply }: Found): PacketState | null {
    const flags = state.field("flags") as number;
    if (!validFlags(flags)) return state.with("ctstate", CT.INVALID);
    const seen = (connection.status & CT_STATUS.SEEN_REPLY) !== 0;
    const what = segment(connection.tcp, flags, reply, seen);
    switch (what.kind) {
      case "invalid":
        return state.with("ctstate", CT.INVALID);
      case "reopen":
        this.connections.forget(connection);
        return null;
      case "last":
        this.connections.forget(connection);
        return this.known(state, { ...connection, tcp: what.tcp, over: true }, reply);
      case "accept": {
        const status = what.assured ? connection.status | CT_STATUS.ASSURED : connection.status;
        return this.known(state, { ...connection, status, tcp: what.tcp }, reply);
      }
    }
  }

  /** An ICMP error: it belongs to the connection of the packet it quotes (nf_conntrack_inet_error). */
  private related(state: PacketState, about: Quoted): PacketState {
    const inner = invert(tupleOf(about));
    const found = this.connections.find(inner);
    if (found === undefined || inner.dst !== state.field("dst")) return state.with("ctstate", CT.INVALID);
    return state.carried(found.connection, found.reply, CT.RELATED);
  }

  nat(state: PacketState, hook: Hook, side: "dst" | "src"): Part<PacketState, Decision>[] {
    const { connection } = state;
    // Without a nat table in the rules nothing of it is switched on.
    if (connection === null || !this.program.ruleset.tables.has("nat")) return [{ state, outcome: "accept" }];
    const fresh = state.ctstate === CT.NEW && !state.reply;
    const done = side === "dst" ? CT_STATUS.DST_NAT_DONE : CT_STATUS.SRC_NAT_DONE;
    if (!fresh || (connection.status & done) !== 0) {
      const { masqueraded } = connection;
      if (
        hook === "POSTROUTING" &&
        masqueraded !== undefined &&
        !state.reply &&
        masqueraded !== state.field("out") &&
        !isError(state)
      ) {
        this.connections.forget(connection);
        const why = `masqueraded for ${masqueraded}, and routed to another interface now: the connection is cut`;
        return [{ state: state.assume(why), outcome: "drop" }];
      }
      return [{ state: this.translated(state, connection, side), outcome: "accept" }];
    }
    return runChain(state, this.program, "nat", hook).flatMap(
      ({ state: after, outcome, why }): Part<PacketState, Decision>[] => {
        const now = after.connection ?? connection;
        const asked = withStatus(now, now.status | done);
        if (typeof outcome === "string" && outcome !== "accept")
          return [{ state: after, outcome: outcome === "reject" ? "drop" : outcome, why }];
        const nat = typeof outcome === "string" ? null : outcome.nat;
        return this.bind(after, asked, nat, side, true);
      },
    );
  }

  /**
   * A port that the kernel chooses, and rules behind tell apart from others: each way it can go. `null` where nothing
   * behind asks for it. Of a source that is so only on the way back in by loopback.
   */
  private pieces(
    state: PacketState,
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    choice: string,
    old: number,
  ): Part<PacketState, Decision>[] | null {
    const { proto } = connection.original;
    if (!tracksPorts(proto) || (side === "src" && state.field("out") !== "lo")) return null;
    const [first, last] = nat?.ports ? [nat.ports.first, nat.ports.last] : likeOf(proto, old);
    const pieces = this.program.pieces(side, first, last);
    if (pieces.length === 1) return null;
    if (pieces.length > MOST_PIECES)
      return [{ state: state.assume(`${choice}, which the rules tell apart`), outcome: "undecided" }];
    const told = (piece: readonly [number, number]): boolean | undefined => state.settled(choiceKey(piece));
    const known = pieces.find((piece) => told(piece) === true);
    return (known === undefined ? pieces.filter((piece) => told(piece) !== false) : [known]).flatMap(
      (piece): Part<PacketState, Decision>[] => {
        const key = choiceKey(piece);
        const why = `${choice}, and the rules tell it from others`;
        const from = known === undefined ? state.suppose({ key, truth: true, why, at: null }) : state;
        const to = nat?.to ?? { kind: "keep" };
        const one: Nat = {
          ...{ kind: "nat", side, to, random: true },
          ports: { first: piece[0], last: piece[1] },
          ...(nat?.persistent === undefined ? {} : { persistent: nat.persistent }),
        };
        return this.bind(from.assume(choice), { ...connection, chosen: choice }, one, side, false);
      },
    );
  }

  /**
   * Sets up the translation a rule asks for, or none (a null binding): the reply tuple changes, and with it this
   * packet's header. Where the tuple is taken another port is found (get_unique_tuple in nf_nat_core.c).
   * @param apart whether to follow apart the ports that the kernel can choose, where rules tell them apart
   */
  private bind(
    state: PacketState,
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    apart: boolean,
  ): Part<PacketState, Decision>[] {
    // Nothing to translate, and nobody in the way: all stays as it is.
    if (nat === null && connection.chosen === undefined && !this.isTaken(connection.reply))
      return [{ state: state.carried(connection, false, CT.NEW), outcome: "accept" }];
    const now = invert(connection.reply);
    const device = String(state.field(side === "src" ? "out" : "in") ?? "");
    const old =
      side === "dst"
        ? { address: now.dst, port: isEcho(now.proto) ? now.sport : now.dport }
        : { address: now.src, port: now.sport };
    const made =
      nat === null
        ? NOTHING
        : translate(nat, old, now.proto, device, now.dst, this.host, this.program.ruleset.family, now.src);
    if (made === null)
      return [{ state: state.assume(`${device} has no address to translate to`), outcome: "drop" }];
    const usual = nat === null || side === "dst" ? null : this.usual(connection, nat, made.address);
    const address = (usual ?? made).address ?? old.address;
    const { port, choice } =
      usual === null
        ? this.free(connection, nat, side, old.port, address)
        : { port: usual.port!, choice: usual.choice };
    const what = choice?.replace(/; \d+ stands for it$/, "");
    const ways =
      what === undefined || !apart ? null : this.pieces(state, connection, nat, side, what, old.port);
    if (ways !== null) return ways;
    const reply = turned(connection.reply, side, address, port);
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
      chosen: choice ?? connection.chosen,
      masqueraded: nat?.to.kind === "interface" && side === "src" ? device : connection.masqueraded,
    };
    const noted = choice === null ? state : state.assume(choice);
    const part = (from: PacketState, whole: Connection): Part<PacketState, Decision> => ({
      state: this.translated(from.carried(whole, false, CT.NEW), whole, side),
      outcome: "accept",
    });
    const doubt = side === "src" ? this.doubt(connection, nat, reply) : undefined;
    if (doubt === undefined) return [part(noted, bound)];
    return [true, false].flatMap((truth): Part<PacketState, Decision>[] => {
      const told = noted.settled(doubt.key);
      if (told !== undefined && told !== truth) return [];
      const { key, why } = doubt;
      const from = told === undefined ? noted.suppose({ key, truth, why, at: null }) : noted;
      return [
        part(from, truth ? { ...bound, instead: doubt.other ?? undefined } : { ...bound, refused: true }),
      ];
    });
  }

  /** What is not known about whether a connection is entered whose replies may be those of another. */
  private doubt(
    connection: Connection,
    nat: Nat | null,
    reply: Tuple,
  ): { readonly key: string; readonly why: string; readonly other: Connection | null } | undefined {
    const found = this.connections.find(reply);
    const other = found?.connection ?? null;
    const chance = "whether what the kernel chooses is what another connection has";
    if (other === null) {
      const forced = nat?.ports !== null && nat?.ports.first === nat?.ports.last;
      return forced && connection.chosen !== undefined && this.mayMeet(reply)
        ? { key: CHOICE, why: chance, other }
        : undefined;
    }
    if (connection.chosen !== undefined || other.chosen !== undefined)
      return { key: CHOICE, why: chance, other };
    // One that was translated, and has ended, makes place for a new one behind it (nf_nat_used_tuple_harder).
    const place =
      found!.reply &&
      connection.tcp?.state === "syn-sent" &&
      (other.status & CT_STATUS.SRC_NAT) !== 0 &&
      isOver(other.tcp);
    const why = "whether a new connection's sequence number lies behind that of one that has ended";
    return place ? { key: ADVANCED, why, other } : undefined;
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
  private usual(connection: Connection, nat: Nat, address: Address | null): Translated | null {
    if (nat.random) return null;
    const { to, ports } = nat;
    const now = invert(connection.reply);
    const fits = (a: Address, port: number): boolean =>
      (to.kind === "keep" || (to.kind === "range" ? a >= to.first && a <= to.last : a === address)) &&
      // Of GRE the kernel looks for a key, too, and it is 0 (l4proto_in_range).
      (ports === null ||
        !(hasKey(now.proto) || now.proto === PROTO.gre) ||
        (port >= ports.first && port <= ports.last));
    const open = (a: Address, port: number): boolean =>
      !this.isTaken(turned(connection.reply, "src", a, port));
    if (fits(now.src, now.sport))
      return open(now.src, now.sport) ? { address: now.src, port: now.sport, choice: null } : null;
    for (const kin of this.connections.from(connection.original)) {
      const { src, sport } = invert(kin.reply);
      if (fits(src, sport))
        return open(src, sport) ? { address: src, port: sport, choice: kin.chosen ?? null } : null;
    }
    return null;
  }

  /**
   * The port a translation ends up with, or the identifier of an ICMP query, and what the kernel chose there that nobody
   * can foretell (get_unique_tuple, nf_nat_l4proto_unique_tuple).
   */
  private free(
    connection: Connection,
    nat: Nat | null,
    side: "dst" | "src",
    old: number,
    address: Address,
  ): { port: number; choice: string | null } {
    const { proto } = connection.original;
    if (!hasKey(proto)) return { port: old, choice: null };
    const taken = (port: number): boolean => this.isTaken(turned(connection.reply, side, address, port));
    const ports = nat?.ports ?? null;
    const random = nat?.random === true;
    const [first, last] = ports === null ? likeOf(proto, old) : [ports.first, ports.last];
    const kept =
      ports === null
        ? !taken(old)
        : ports.base === undefined && old >= first && old <= last && (first === last || !taken(old));
    if (kept && !random) return { port: old, choice: null };
    // A destination's port is what the rule says, or stays.
    if (ports === null && side === "dst" && !isEcho(proto)) return { port: old, choice: null };
    const size = last - first + 1;
    const what = isEcho(proto) ? "an identifier" : "a port";
    const choice =
      size === 1 || ports?.base !== undefined || (side === "dst" && !random)
        ? null
        : random
          ? `--random: the kernel chooses ${what}`
          : ports === null
            ? `another connection has ${isEcho(proto) ? "identifier" : "port"} ${old}: the kernel chooses one`
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
  private translated(state: PacketState, connection: Connection, side: "dst" | "src"): PacketState {
    const mine = (side === "dst") !== state.reply ? CT_STATUS.DST_NAT : CT_STATUS.SRC_NAT;
    if ((connection.status & mine) === 0) return state;
    const goal = invert(state.reply ? connection.original : connection.reply);
    const ports = tracksPorts(goal.proto) && !isError(state);
    return side === "dst"
      ? state.translated(side, goal.dst, ports ? goal.dport : undefined)
      : state.translated(side, goal.src, ports ? goal.sport : undefined);
  }

  choose<T>(state: PacketState, cases: readonly Case<T>[]): Part<PacketState, T>[] {
    if (cases[0]?.when.kind === "any") return [{ state, outcome: cases[0].outcome }];
    const classifier = Classifier.of(cases);
    for (let at = 0; ; at++) {
      const found = classifier.next(state, state, at);
      at = found >> 1;
      if (at === cases.length) return [];
      const { when, outcome } = cases[at]!;
      const holds = (found & 1) === 0 || evaluate(when, state);
      if (holds === true) return [{ state, outcome }];
      if (holds === false) continue;
      if (holds.key === GROUPS)
        return this.choose(
          state.settle(GROUPS, true).assume("the host is taken to have joined the multicast group"),
          cases,
        );
      return [
        ...this.choose(state.suppose({ ...holds, truth: true, at: null }), cases),
        ...this.choose(state.suppose({ ...holds, truth: false, at: null }), cases),
      ];
    }
  }

  assign(state: PacketState, field: Field, value: Scalar): PacketState {
    return state.field(field) === value ? state : state.with(field, value);
  }

  aged(state: PacketState): PacketState {
    return state.with("ttl", Math.max(0, (state.header.ttl as number) - 1));
  }

  confirm(state: PacketState): Confirmed<PacketState> {
    const { connection } = state;
    if (connection === null || connection.status & CT_STATUS.CONFIRMED)
      return { state: state.confirm(connection), why: null };
    // Two connections whose replies nobody could tell apart: the second is not let through.
    const other = this.connections.find(connection.reply)?.connection;
    if (connection.refused || (other !== undefined && other !== connection.instead))
      return { state, why: "another connection already expects the same replies" };
    const confirmed = withStatus(connection, connection.status | CT_STATUS.CONFIRMED);
    return { state: state.confirm(confirmed), why: null };
  }

  rerouted(before: PacketState, after: PacketState, stop: "mangle" | "nat"): boolean {
    if (stop === "nat") {
      const { connection } = after;
      if (connection === null || isError(after)) return before.field("dst") !== after.field("dst");
      // Every packet of a flow that goes elsewhere is looked up again (nf_nat_ipv4_local_fn).
      const [mine, other] = after.reply
        ? [connection.reply, connection.original]
        : [connection.original, connection.reply];
      return this.program.ruleset.tables.has("nat") && mine.dst !== other.src;
    }
    const fields: readonly Field[] =
      this.program.ruleset.family === 4
        ? ["src", "dst", "mark", "tos"]
        : ["src", "dst", "mark", "tos", "ttl"];
    return fields.some((field) => before.field(field) !== after.field(field));
  }
}

/** Unknown: packets are described without sequence numbers. */
const ADVANCED = "tcp-sequence";
/** Unknown: what the kernel chose at random for one connection may stand in the way of another. */
const CHOICE = "nat-choice";

/** More ways than these are not followed. */
const MOST_PIECES = 32;

/** The unknown that a port chosen at random is one of these. */
const choiceKey = ([first, last]: readonly [number, number]): string =>
  `nat-choice(${first === last ? first : `${first}-${last}`})`;

/** nf_conntrack_proto_gre.c, and UDP-Lite's part of nf_conntrack_proto_udp.c. */
const ASSURED_AT_ONCE: readonly number[] = [PROTO.gre, PROTO.udplite];

const NOTHING: Translated = { address: null, port: null, choice: null };

/** Protocols whose connections are told apart by an identifier, the same in both directions. */
const isEcho = (proto: number): boolean => proto === PROTO.icmp || proto === PROTO.icmpv6;

/** Whether there is anything besides addresses that a translation can change. */
const hasKey = (proto: number): boolean => tracksPorts(proto) || isEcho(proto);

/** What stands for a port, or for an identifier, when another connection has it: one of its like. */
const likeOf = (proto: number, port: number): readonly [number, number] =>
  isEcho(proto) ? [0, 65_535] : port < 512 ? [1, 511] : port < 1024 ? [600, 1023] : [1024, 65_535];

/** The tuple of replies once a side is translated. */
const turned = (reply: Tuple, side: "dst" | "src", address: Address, port: number): Tuple => ({
  ...reply,
  ...(side === "dst" ? { src: address } : { dst: address }),
  ...(isEcho(reply.proto) || (side === "dst" && tracksPorts(reply.proto))
    ? { sport: port }
    : tracksPorts(reply.proto)
      ? { dport: port }
      : {}),
});

/** Whether the packet is an ICMP error that quotes another packet. */
const isError = (state: PacketState): boolean => {
  if (state.packet.about === undefined) return false;
  const proto = state.field("proto");
  const type = state.field("type") as number | undefined;
  if (type === undefined) return false;
  return proto === PROTO.icmp ? [3, 4, 5, 11, 12].includes(type) : proto === PROTO.icmpv6 && type < 128;
};

/** What of a packet's header tells its flow. */
export interface Header {
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

/** Whether the last rule of the path was a REJECT with a TCP reset. */
function answeredByReset(state: PacketState, program: Program): boolean {
  const last = state.path.at(-1);
  if (last?.step !== "rule") return false;
  const target = program.chain(last.table, last.chain)?.rules[last.rule - 1]?.rule.target;
  return (
    target?.kind === "extension" && (target.values.with as Given<string> | undefined)?.value === "tcp-reset"
  );
}

const headerOf = ({ header, packet }: PacketState): Header => ({
  proto: header.proto as number,
  src: header.src as Address,
  dst: header.dst as Address,
  sport: header.sport as number | undefined,
  dport: header.dport as number | undefined,
  type: header.type as number | undefined,
  code: header.code as number | undefined,
  id: packet.id,
});

function sentHeader(ending: Ending<PacketState>): Sent | null {
  if (ending.verdict !== "accept" || ending.delivery === "local" || ending.delivery === "none") return null;
  const h = headerOf(ending.state);
  return {
    src: printAddress(h.src),
    dst: printAddress(h.dst),
    proto: protoName(h.proto),
    sport: h.sport ?? null,
    dport: h.dport ?? null,
    mark: ending.state.field("mark") as number,
    ttl: ending.state.field("ttl") as number,
    tos: ending.state.field("tos") as number,
  };
}

function branch(ending: Ending<PacketState>): Outcome {
  return {
    verdict: ending.verdict,
    delivery: ending.verdict === "accept" ? ending.delivery : "none",
    out: ending.verdict === "accept" ? ending.out : null,
    sent: sentHeader(ending),
    path: ending.state.path,
    assumptions: ending.state.assumptions,
    ...(ending.why === null ? {} : { reason: ending.why }),
  };
}

/** As `--assume` takes it. */
const assumption = ({ key, truth }: Supposition): string => `${key}=${truth ? "match" : "no-match"}`;

function answer(packet: Packet, endings: readonly Ending<PacketState>[]): Answer {
  const branches = endings.map(branch);
  const [first] = branches;
  const json = packetJson(packet);
  if (first === undefined)
    return {
      packet: json,
      verdict: "undecided",
      delivery: "none",
      out: null,
      sent: null,
      path: [],
      assumptions: [],
    };
  if (branches.length === 1) return { packet: json, ...first };
  // Ports that the kernel chooses are nobody's to foretell: one stands for all.
  const chosen = endings.some(({ state }) => state.connection?.chosen !== undefined);
  const sent = (b: Outcome): string =>
    JSON.stringify(b.sent, (key, value) => (chosen && /^[sd]port$/.test(key) ? null : value));
  const same = branches.every(
    (b) =>
      b === first ||
      (b.verdict === first.verdict &&
        b.delivery === first.delivery &&
        b.out === first.out &&
        sent(b) === sent(first)),
  );
  if (same) {
    // Where the outcome does not depend on it, an unknown is still named.
    return { packet: json, ...first, assumptions: [...new Set(branches.flatMap((b) => b.assumptions))] };
  }
  return {
    packet: json,
    verdict: "undecided",
    delivery: "none",
    out: null,
    sent: null,
    path: first.path,
    assumptions: [...new Set(branches.flatMap((b) => b.assumptions))],
    branches: branches.map((b, i) => ({ ...b, assume: endings[i]!.state.suppositions.map(assumption) })),
  };
}
