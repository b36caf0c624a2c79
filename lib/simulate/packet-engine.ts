/** The engine that walks one packet: chains rule by rule, connection tracking with a table, and branches on unknowns. */

import type { Host } from "../host/host.ts";
import { Classifier } from "../packet/classifier.ts";
import { CT, CT_STATUS, type Field, NAT_DONE, PROTO, type Scalar } from "../packet/field.ts";
import type { QuotedPacket } from "../packet/packet.ts";
import { evaluate } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import type { EndReason } from "../path/end-reason.ts";
import type { NatSide, NatStop } from "../path/hooks.ts";
import type { Program } from "../path/program.ts";
import { GROUPS } from "../path/routing-decision.ts";
import { invertTuple, type Tuple, tupleOf } from "../path/tuple.ts";
import type { Confirmed, Decision, Engine, Part, Rerouting } from "../path/walk.ts";
import type { BaseChain } from "../rules/base-chain.ts";
import type { Nat } from "../rules/effect.ts";
import { runChain } from "./chain-run.ts";
import { type Connection, type ConnectionRef, type Connections, withStatus } from "./connection-table.ts";
import { NatBinder } from "./nat-binder.ts";
import { flowHeaderOf, isError, type PacketState } from "./packet-state.ts";
import { hasValidFlags, trackTcp } from "./tcp-tracking.ts";
import { WorkLimit } from "./work-limit.ts";

/** Engine for one packet, whose work is limited. */
export class PacketEngine implements Engine<PacketState> {
  private readonly natBinder: NatBinder;
  private readonly workLimit = new WorkLimit();

  constructor(
    private readonly program: Program,
    host: Host,
    private readonly connections: Connections,
  ) {
    this.natBinder = new NatBinder(program, host, connections);
  }

  chain(state: PacketState, { table, name }: BaseChain): Part<PacketState, Decision>[] {
    return runChain(state, this.program, table, name, this.workLimit).map(
      ({ state: after, outcome, reason }) => ({
        state: after,
        outcome: typeof outcome === "string" ? outcome : "accept",
        reason,
      }),
    );
  }

  track(state: PacketState): PacketState[] {
    if (!this.program.tracks) return [state];
    // Already tracked before it returned through loopback, or exempt by NOTRACK.
    if (state.connection !== null || state.ctstate === CT.UNTRACKED) return [state];
    const { givenState } = state;
    if (givenState === "INVALID" || givenState === "UNTRACKED")
      return [state.with("ctstate", CT[givenState])];
    const { about } = state.packet;
    if (about !== undefined && isError(state)) return [this.trackError(state, about)];
    const tuple = tupleOf(flowHeaderOf(state));
    const doubts = this.connections.uncertainMatches(tuple);
    return doubts.length === 0
      ? this.trackFound(state, tuple, this.connections.find(tuple))
      : this.trackUncertain(state, tuple, doubts);
  }

  /** Tracks a packet whose connection may exist: branches on each such connection. */
  private trackUncertain(state: PacketState, tuple: Tuple, doubts: readonly ConnectionRef[]): PacketState[] {
    const states: PacketState[] = [];
    let rest = state;
    for (const [i, found] of doubts.entries()) {
      const key = `${EARLIER_CONNECTION}(${i + 1})`;
      const settled = state.settled(key);
      const suppose = (truth: boolean): PacketState =>
        settled === undefined ? rest.suppose({ key, reason: { code: "earlier-packet" } }, truth) : rest;
      if (settled !== false) states.push(...this.trackFound(suppose(true), tuple, found));
      if (settled === true) return states;
      rest = suppose(false);
    }
    return [...states, ...this.trackFound(rest, tuple, this.connections.find(tuple))];
  }

  private trackFound(state: PacketState, tuple: Tuple, found: ConnectionRef | undefined): PacketState[] {
    const { givenState } = state;
    if (found !== undefined && givenState === undefined && tuple.proto === PROTO.tcp) {
      const after = this.trackSegment(state, found);
      if (after !== null) return [after];
    } else if (found !== undefined) return [this.carryConnection(state, found.connection, found.reply)];
    return this.openConnection(state, tuple);
  }

  /** Packet without a known connection: NEW, INVALID or UNTRACKED. */
  private openConnection(state: PacketState, tuple: Tuple): PacketState[] {
    return this.choose(state, this.program.initialStates()).map(({ state: each, outcome }) => {
      const ctstate = state.givenState ?? outcome;
      if (ctstate === "INVALID" || ctstate === "UNTRACKED") return each.with("ctstate", CT[ctstate]);
      const first =
        tuple.proto === PROTO.tcp ? trackTcp(undefined, state.field("flags") as number, false, false) : null;
      const connection: Connection = {
        original: tuple,
        reply: invertTuple(tuple),
        status: 0,
        mark: 0,
        tcp: first?.kind === "accept" ? first.tcp : undefined,
        masqueradedOn: undefined,
        kernelChoice: undefined,
        replaces: undefined,
        refused: false,
        ended: false,
      };
      return each.withConnection(connection, false, CT[ctstate]);
    });
  }

  /** Adds the connection to the state of a packet. */
  private carryConnection(state: PacketState, connection: Connection, reply: boolean): PacketState {
    const replied = reply || (connection.status & CT_STATUS.SEEN_REPLY) !== 0;
    const ctstate = state.givenState ?? (replied ? "ESTABLISHED" : "NEW");
    // GRE and UDP-Lite become ASSURED with the first packet after a reply (UDP needs time).
    const assured =
      (connection.status & CT_STATUS.SEEN_REPLY) !== 0 && ASSURED_AT_ONCE.includes(connection.original.proto);
    const status = connection.status | (reply ? CT_STATUS.SEEN_REPLY : 0) | (assured ? CT_STATUS.ASSURED : 0);
    return state.withConnection(withStatus(connection, status), reply, CT[ctstate]);
  }

  /** Tracks a TCP segment of a connection; `null` if it opens a new connection. */
  private trackSegment(state: PacketState, { connection, reply }: ConnectionRef): PacketState | null {
    const flags = state.field("flags") as number;
    if (!hasValidFlags(flags)) return state.with("ctstate", CT.INVALID);
    const seen = (connection.status & CT_STATUS.SEEN_REPLY) !== 0;
    const what = trackTcp(connection.tcp, flags, reply, seen);
    switch (what.kind) {
      case "invalid":
        return state.with("ctstate", CT.INVALID);
      case "reopen":
        this.connections.forget(connection);
        return null;
      case "last":
        this.connections.forget(connection);
        return this.carryConnection(state, { ...connection, tcp: what.tcp, ended: true }, reply);
      case "accept": {
        const status = what.assured ? connection.status | CT_STATUS.ASSURED : connection.status;
        return this.carryConnection(state, { ...connection, status, tcp: what.tcp }, reply);
      }
    }
  }

  /** Tracks an ICMP error: it is RELATED to the connection of the packet that it quotes (nf_conntrack_inet_error). */
  private trackError(state: PacketState, about: QuotedPacket): PacketState {
    const inner = invertTuple(tupleOf(about));
    const found = this.connections.find(inner);
    if (found === undefined || inner.dst !== state.field("dst")) return state.with("ctstate", CT.INVALID);
    return state.withConnection(found.connection, found.reply, CT.RELATED);
  }

  nat(state: PacketState, stop: NatStop): Part<PacketState, Decision>[] {
    const { hook, side } = stop;
    const { connection } = state;
    if (connection === null) return [{ state, outcome: "accept" }];
    const fresh = state.ctstate === CT.NEW && !state.reply;
    if (fresh && (connection.status & NAT_DONE[side]) === 0) return this.natChains(state, stop.chains, side);
    const { masqueradedOn } = connection;
    if (
      hook === "POSTROUTING" &&
      masqueradedOn !== undefined &&
      !state.reply &&
      masqueradedOn !== state.field("out") &&
      !isError(state)
    ) {
      this.connections.forget(connection);
      const removed = state.assume({ code: "masquerade-removed", interface: masqueradedOn });
      return [{ state: removed, outcome: "drop" }];
    }
    return [{ state: this.natBinder.applyMapping(state, connection, side), outcome: "accept" }];
  }

  /** Evaluates chains of type nat in order; without a translation the connection gets a null binding. */
  private natChains(
    state: PacketState,
    [base, ...others]: readonly BaseChain[],
    side: NatSide,
  ): Part<PacketState, Decision>[] {
    if (base === undefined) return this.bind(state, null, side);
    return runChain(state, this.program, base.table, base.name, this.workLimit).flatMap(
      ({ state: after, outcome, reason }): Part<PacketState, Decision>[] => {
        if (typeof outcome !== "string") return this.bind(after, outcome.nat, side);
        if (outcome === "accept") return this.natChains(after, others, side);
        return [{ state: after, outcome: outcome === "reject" ? "drop" : outcome, reason }];
      },
    );
  }

  private bind(state: PacketState, nat: Nat | null, side: NatSide): Part<PacketState, Decision>[] {
    const { connections } = this;
    const now = state.connection!;
    const evaluated = withStatus(now, now.status | NAT_DONE[side]);
    const sharesSource = nat !== null && side === "src" && connections.hasUncertainFrom(evaluated.original);
    return this.natBinder.bind(state, evaluated, nat, side, true).map((part) => {
      const reply = part.state.connection?.reply;
      const sure = !sharesSource && (reply === undefined || connections.uncertainMatches(reply).length === 0);
      return sure || part.outcome !== "accept"
        ? part
        : { ...part, outcome: "undecided", reason: MAY_SHARE_SOURCE };
    });
  }

  choose<T>(state: PacketState, cases: readonly Case<T>[]): Part<PacketState, T>[] {
    if (cases[0]?.when.kind === "any") return [{ state, outcome: cases[0].outcome }];
    const classifier = Classifier.forList(cases);
    for (let at = 0; ; at++) {
      const found = classifier.next(state, state, at);
      at = found >> 1;
      if (at === cases.length) return [];
      const { when, outcome } = cases[at]!;
      const holds = (found & 1) === 0 || evaluate(when, state);
      if (holds === true) return [{ state, outcome }];
      if (holds === false) continue;
      if (holds.key === GROUPS)
        return this.choose(state.settle(GROUPS, true).assume({ code: "group-joined" }), cases);
      return [
        ...this.choose(state.suppose(holds, true), cases),
        ...this.choose(state.suppose(holds, false), cases),
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
      return { state: state.confirm(connection), reason: null };
    // Reply tuples must be unique: the second connection is dropped (nf_conntrack_confirm).
    const other = this.connections.find(connection.reply)?.connection;
    if (connection.refused || (other !== undefined && other !== connection.replaces))
      return { state, reason: { code: "reply-tuple-taken" } };
    const confirmed = withStatus(connection, connection.status | CT_STATUS.CONFIRMED);
    return { state: state.confirm(confirmed), reason: null };
  }

  rerouted(before: PacketState, after: PacketState, type: Rerouting): Part<PacketState, boolean>[] {
    return [{ state: after, outcome: this.isRerouted(before, after, type) }];
  }

  /** Returns true if the route of a packet has to be looked up again. */
  private isRerouted(before: PacketState, after: PacketState, type: Rerouting): boolean {
    if (type === "bridge") return before.field("dst") !== after.field("dst");
    if (type === "nat") {
      const { connection } = after;
      if (connection === null || isError(after)) return before.field("dst") !== after.field("dst");
      // Every packet of a connection with a translated destination is routed again (nf_nat_ipv4_local_fn).
      const [mine, other] = after.reply
        ? [connection.reply, connection.original]
        : [connection.original, connection.reply];
      return this.program.translates() && mine.dst !== other.src;
    }
    const fields: readonly Field[] =
      this.program.ruleset.family === 4
        ? ["src", "dst", "mark", "tos"]
        : ["src", "dst", "mark", "tos", "ttl"];
    return fields.some((field) => before.field(field) !== after.field(field));
  }
}

/** nf_conntrack_proto_gre.c, and UDP-Lite's part of nf_conntrack_proto_udp.c. */
const ASSURED_AT_ONCE: readonly number[] = [PROTO.gre, PROTO.udplite];

/** Unknown: the verdict of an earlier packet. */
const EARLIER_CONNECTION = "earlier-connection";
const MAY_SHARE_SOURCE: EndReason = { code: "source-may-be-taken" };
