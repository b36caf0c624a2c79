/** One packet after the other through a host: the engine that walks a single packet, and the answer it gives. */
import type { Host } from "../host/host.ts";
import { printAddress } from "../packet/address.ts";
import {
  type Address,
  CT,
  CT_STATUS,
  type Field,
  hasPorts,
  protoName,
  type Scalar,
} from "../packet/field.ts";
import { type Packet, type PacketJson, packetJson } from "../packet/packet.ts";
import { evaluate } from "../packet/predicate.ts";
import { freshCases } from "../path/fresh.ts";
import { translate } from "../path/nat.ts";
import { Program } from "../path/program.ts";
import type { Case } from "../path/route.ts";
import { arrive, type Decision, deliver, type Ending, type Engine, type Part, send } from "../path/walk.ts";
import type { Nat } from "../rules/effect.ts";
import type { Hook, Ruleset, TableName } from "../rules/ruleset.ts";
import { runChain } from "./chain.ts";
import { type Connection, Connections, invert, type Tuple, tupleOf } from "./conntrack.ts";
import { PacketState, type Step } from "./state.ts";

/** The header of a packet as it leaves. */
export interface Sent {
  readonly src: string;
  readonly dst: string;
  readonly proto: string;
  readonly sport: number | null;
  readonly dport: number | null;
  readonly mark: number;
}

/** What becomes of a packet: the contract's JSON. */
export interface Answer {
  readonly packet: PacketJson;
  readonly verdict: Decision;
  readonly delivery: "forward" | "local" | "out" | "none";
  readonly out: string | null;
  readonly sent: Sent | null;
  readonly path: readonly Step[];
  readonly assumptions: readonly string[];
  /** Why it went no further where no rule says it (no route, forwarding off); else absent. */
  readonly reason?: string;
  /** Where the verdict depends on what the inputs do not tell: each way it can go. */
  readonly branches?: readonly Omit<Answer, "packet" | "branches">[];
}

export interface SimulateOptions {
  /** The connection table to go on with; it is changed. A new one by default. */
  readonly connections?: Connections;
  /** Truths of unknown matches by key (`recent@filter/INPUT/3`) or extension (`recent`). */
  readonly assume?: ReadonlyMap<string, boolean>;
}

/** Simulates packets on one host; packets share one connection table, in order. */
export class Simulator {
  private readonly programs = new Map<number, Program>();
  readonly connections: Connections;
  private readonly truths: ReadonlyMap<string, boolean>;

  constructor(
    rulesets: readonly Ruleset[],
    private readonly host: Host,
    options: SimulateOptions = {},
  ) {
    this.connections = options.connections ?? new Connections();
    this.truths = options.assume ?? new Map();
    for (const ruleset of rulesets) this.programs.set(ruleset.family, new Program(ruleset, host));
  }

  /** What becomes of a packet; a connection it opens is known to the packets that follow. */
  packet(packet: Packet): Answer {
    const program = this.program(packet);
    if (packet.state === "ESTABLISHED" || packet.state === "RELATED") this.opened(packet, program);
    const engine = new PacketEngine(program, this.host, this.connections);
    const start = PacketState.of(packet, this.truths);
    const endings = packet.in === null ? send(start, program, engine) : arrive(start, program, engine);
    const passed = endings.filter((e) => e.verdict === "accept");
    if (endings.length > 0 && passed.length === endings.length)
      for (const { state } of passed)
        if (state.connection !== null) this.connections.confirm(state.connection);
    return answer(packet, endings);
  }

  /** What PREROUTING and INPUT say of a packet as if it were for this host. No connection is remembered. */
  delivered(packet: Packet): Answer {
    const engine = new PacketEngine(this.program(packet), this.host, this.connections);
    return answer(packet, deliver(PacketState.of(packet, this.truths), engine));
  }

  private program(packet: Packet): Program {
    let program = this.programs.get(packet.family);
    if (program === undefined) {
      // A family without rules: the kernel lets everything through.
      program = new Program({ family: packet.family, source: "", tables: new Map() }, this.host);
      this.programs.set(packet.family, program);
    }
    return program;
  }

  /** A packet said to be ESTABLISHED belongs to a connection that these nat rules set up, whatever else filters say. */
  private opened(packet: Packet, program: Program): void {
    if (this.connections.find(tupleOf(packet)) !== undefined) return;
    const { state: _, ...first } = packet;
    const tables = new Map([...program.ruleset.tables].filter(([name]) => name === "nat"));
    const nat = new Program({ ...program.ruleset, tables }, this.host);
    const engine = new PacketEngine(nat, this.host, this.connections);
    const start = PacketState.of({ ...first, state: "NEW" }, this.truths);
    for (const { state } of packet.in === null ? send(start, nat, engine) : arrive(start, nat, engine))
      if (state.connection !== null)
        this.connections.confirm({
          ...state.connection,
          status: state.connection.status | CT_STATUS.SEEN_REPLY,
        });
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
    return runChain(state, this.program, table, hook).map(({ state: after, outcome }) => ({
      state: after,
      outcome: typeof outcome === "string" ? outcome : "accept",
    }));
  }

  track(state: PacketState): PacketState[] {
    // Seen before on the way out through loopback, or told not to be tracked.
    if (state.connection !== null || state.field("ctstate") === CT.UNTRACKED) return [state];
    if (state.given === "INVALID" || state.given === "UNTRACKED")
      return [state.with({ ctstate: CT[state.given] })];
    const tuple = tupleOf(headerOf(state));
    const found = this.connections.find(tuple);
    if (found !== undefined) {
      const { connection, reply } = found;
      const seen: Connection = reply
        ? { ...connection, status: connection.status | CT_STATUS.SEEN_REPLY }
        : connection;
      const word = state.given ?? (reply || seen.status & CT_STATUS.SEEN_REPLY ? "ESTABLISHED" : "NEW");
      return [withConnection(state, seen, reply, CT[word])];
    }
    return this.choose(state, freshCases(this.program.ruleset.family)).map(({ state: each, outcome }) => {
      const word = state.given ?? outcome;
      if (word === "INVALID" || word === "UNTRACKED") return each.with({ ctstate: CT[word] });
      const connection: Connection = {
        original: tuple,
        reply: invert(tuple),
        status: 0,
        mark: 0,
        asked: { dst: false, src: false },
      };
      return withConnection(each, connection, false, CT[word]);
    });
  }

  nat(state: PacketState, hook: Hook, side: "dst" | "src"): Part<PacketState, Decision>[] {
    const { connection } = state;
    if (connection === null) return [{ state, outcome: "accept" }];
    if (state.reply || connection.asked[side] || state.field("ctstate") !== CT.NEW)
      return [{ state: this.translated(state, connection, side), outcome: "accept" }];
    return runChain(state, this.program, "nat", hook).map(
      ({ state: after, outcome }): Part<PacketState, Decision> => {
        const asked = { ...connection, asked: { ...connection.asked, [side]: true } };
        if (typeof outcome === "string")
          return {
            state: withConnection(after, asked, false, CT.NEW),
            outcome: outcome === "reject" ? "drop" : outcome,
          };
        return this.bind(after, asked, outcome.nat, side);
      },
    );
  }

  /** Sets up the translation a rule asks for: the reply tuple changes, and with it this packet's header. */
  private bind(
    state: PacketState,
    connection: Connection,
    nat: Nat,
    side: "dst" | "src",
  ): Part<PacketState, Decision> {
    const h = headerOf(state);
    const device = String(state.field(side === "src" ? "out" : "in") ?? "");
    const old = side === "dst" ? { address: h.dst, port: h.dport } : { address: h.src, port: h.sport };
    const to = translate(nat, old, h.proto, device, h.dst, this.host, this.program.ruleset.family);
    if (to === null)
      return { state: state.assume(`${device} has no address to translate to`), outcome: "drop" };
    const { reply } = connection;
    // Replies come from where the packet is sent to, and go to where it seems to come from.
    const turned: Tuple =
      side === "dst"
        ? { ...reply, src: to.address ?? reply.src, sport: to.port ?? reply.sport }
        : { ...reply, dst: to.address ?? reply.dst, dport: to.port ?? reply.dport };
    const changes =
      turned.src !== reply.src ||
      turned.sport !== reply.sport ||
      turned.dst !== reply.dst ||
      turned.dport !== reply.dport;
    const bit = side === "dst" ? CT_STATUS.DST_NAT : CT_STATUS.SRC_NAT;
    const bound: Connection = {
      ...connection,
      reply: turned,
      status: changes ? connection.status | bit : connection.status,
    };
    const noted = to.choice === null ? state : state.assume(to.choice);
    return {
      state: this.translated(withConnection(noted, bound, false, CT.NEW), bound, side),
      outcome: "accept",
    };
  }

  /** The header with one side translated: what the other direction's tuple says, turned round. */
  private translated(state: PacketState, connection: Connection, side: "dst" | "src"): PacketState {
    const bits = CT_STATUS.DST_NAT | CT_STATUS.SRC_NAT;
    if ((connection.status & bits) === 0) return state;
    const goal = invert(state.reply ? connection.original : connection.reply);
    const ports = hasPorts(goal.proto);
    if (side === "dst") {
      const moved = state.moved || state.field("dst") !== goal.dst;
      return state.with({ dst: goal.dst, ...(ports ? { dport: goal.dport } : {}) }, moved);
    }
    return state.with({ src: goal.src, ...(ports ? { sport: goal.sport } : {}) });
  }

  choose<T>(state: PacketState, cases: readonly Case<T>[]): Part<PacketState, T>[] {
    for (let i = 0; i < cases.length; i++) {
      const { when, outcome } = cases[i]!;
      const holds = evaluate(when, state);
      if (holds === true) return [{ state, outcome }];
      if (holds !== false)
        return [
          {
            state: state.settle(holds.key, true).assume(`${holds.key} taken to hold (${holds.why})`),
            outcome,
          },
          ...this.choose(
            state.settle(holds.key, false).assume(`${holds.key} taken not to hold (${holds.why})`),
            cases.slice(i + 1),
          ),
        ];
    }
    return [];
  }

  assign(state: PacketState, field: Field, value: Scalar): PacketState {
    return state.with({ [field]: value }, field === "out" ? false : state.moved);
  }

  rerouted(_before: PacketState, after: PacketState): boolean {
    return after.moved;
  }
}

interface Header {
  readonly proto: number;
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number | undefined;
  readonly dport: number | undefined;
  readonly type: number | undefined;
  readonly code: number | undefined;
}

const headerOf = (state: PacketState): Header => ({
  proto: state.field("proto") as number,
  src: state.field("src") as Address,
  dst: state.field("dst") as Address,
  sport: state.field("sport") as number | undefined,
  dport: state.field("dport") as number | undefined,
  type: state.field("type") as number | undefined,
  code: state.field("code") as number | undefined,
});

function withConnection(
  state: PacketState,
  connection: Connection,
  reply: boolean,
  ctstate: number,
): PacketState {
  const { original: o, reply: r } = connection;
  return state.carried(connection, reply).with({
    ctstate,
    ctdir: reply ? 1 : 0,
    ctstatus: connection.status,
    ctmark: connection.mark,
    ctproto: o.proto,
    ctorigsrc: o.src,
    ctorigdst: o.dst,
    ctorigsrcport: o.sport,
    ctorigdstport: o.dport,
    ctreplsrc: r.src,
    ctrepldst: r.dst,
    ctreplsrcport: r.sport,
    ctrepldstport: r.dport,
  });
}

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
  };
}

function branch(ending: Ending<PacketState>): Omit<Answer, "packet" | "branches"> {
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
  const same = branches.every(
    (b) =>
      b.verdict === first.verdict &&
      b.delivery === first.delivery &&
      b.out === first.out &&
      JSON.stringify(b.sent) === JSON.stringify(first.sent),
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
    branches,
  };
}
