/** Simulates packets on a host, one after the other. */
import type { Host } from "../host/host.ts";
import { CT_STATUS } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import { Program } from "../path/program.ts";
import { tupleOf } from "../path/tuple.ts";
import { arrive, deliver, type Ending, send } from "../path/walk.ts";
import { type Ruleset, withBaseChains } from "../rules/ruleset.ts";
import { type Answer, answer, type Outcome, outcomeOf, type Trace, type TracedBranch } from "./answer.ts";
import type { Assumption } from "./assumption.ts";
import {
  type Connection,
  Connections,
  isSameConnection,
  isSameOriginal,
  withStatus,
} from "./connection-table.ts";
import { PacketEngine } from "./packet-engine.ts";
import { flowHeaderOf, PacketState } from "./packet-state.ts";
import { closedByReset } from "./tcp-tracking.ts";
import { TracedState, TracingEngine } from "./trace.ts";

/** Settings of a simulation. */
export interface SimulateOptions {
  /** Connection table; the simulation changes it. A new one by default. */
  readonly connections?: Connections;
  /** Values of unknown matches by key (`recent@filter/INPUT/3`) or extension (`recent`). */
  readonly assume?: ReadonlyMap<string, boolean>;
}

/** Simulates packets on one host; packets share one connection table, in order. */
export class Simulator {
  private readonly programs = new Map<number, Program>();
  /** The connection table, which every packet changes. */
  readonly connections: Connections;
  private readonly truths: ReadonlyMap<string, boolean>;

  /** Starts with the connections of the options; there is at most one ruleset per family. */
  constructor(
    rulesets: readonly Ruleset[],
    private readonly host: Host,
    options: SimulateOptions = {},
  ) {
    this.connections = options.connections ?? new Connections();
    this.truths = options.assume ?? new Map();
    for (const ruleset of rulesets) this.programs.set(ruleset.family, Program.of(ruleset, host));
  }

  /** Simulates a packet. A connection that it opens is known to later packets. */
  packet(packet: Packet): Answer {
    const program = this.program(packet);
    if (packet.state === "ESTABLISHED" || packet.state === "RELATED") this.openEstablished(packet, program);
    const engine = new PacketEngine(program, this.host, this.connections);
    const start = PacketState.of(packet, this.truths);
    const endings = packet.in === null ? send(start, program, engine) : arrive(start, program, engine);
    return this.answerAndRemember(packet, endings, program);
  }

  /** Simulates a packet as `packet` does, and records events. */
  trace(packet: Packet): Trace {
    const program = this.program(packet);
    if (packet.state === "ESTABLISHED" || packet.state === "RELATED") this.openEstablished(packet, program);
    const tracer = new TracingEngine(new PacketEngine(program, this.host, this.connections), program);
    const start = new TracedState(PacketState.of(packet, this.truths));
    const traced = packet.in === null ? send(start, program, tracer) : arrive(start, program, tracer);
    const endings = traced.map((ending) => ({ ...ending, state: ending.state.state }));
    const branches = traced.map(
      ({ state }, i): TracedBranch => ({
        ...outcomeOf(endings[i]!),
        events: state.events,
        suppositions: state.state.suppositions,
        header: flowHeaderOf(state.state),
        hook: endings[i]!.hook,
      }),
    );
    const skippedInput = this.skippedInput(packet, branches, program);
    return { answer: this.answerAndRemember(packet, endings, program), branches, skippedInput };
  }

  private answerAndRemember(
    packet: Packet,
    endings: readonly Ending<PacketState>[],
    program: Program,
  ): Answer {
    const result = answer(packet, endings);
    this.remember(endings, result.verdict !== "undecided", program);
    const given = noRules(packet, program);
    return given.length === 0
      ? result
      : { ...result, assumptionCodes: [...given, ...result.assumptionCodes] };
  }

  /** See `Trace.skippedInput`. Evaluated without chains of type nat: INPUT sees the packet as it was sent. */
  private skippedInput(packet: Packet, branches: readonly TracedBranch[], program: Program): Outcome | null {
    const taken = branches.every(
      ({ events }) =>
        events.some((m) => m.kind === "track" && m.state === "NEW") &&
        events.some((m) => m.kind === "table" && m.hook === "PREROUTING" && m.changes.length > 0) &&
        events.some((m) => m.kind === "route" && m.decision.kind === "via"),
    );
    if (packet.in === null || !taken || branches.length === 0) return null;
    const engine = new PacketEngine(program, this.host, this.connections);
    const sent = PacketState.of(packet, this.truths);
    if (!engine.choose(sent, program.routesIn).every(({ outcome }) => outcome.kind === "local")) return null;
    const { ruleset } = program;
    const plain = new Simulator([withoutNat(ruleset)], this.host, { assume: this.truths });
    const { packet: _, branches: __, ...outcome } = plain.delivered(packet);
    return outcome;
  }

  /** Updates the connection table after a packet. If the packet is undecided, its connection only may exist. */
  private remember(endings: readonly Ending<PacketState>[], decided: boolean, program: Program): void {
    const kept = endings.map((ending) => this.connectionKept(ending, program));
    const [first] = kept;
    const chosen = kept.some((connection) => connection?.kernelChoice !== undefined);
    if (first === undefined) return;
    const alike = kept.every(
      (c) => c === first || (c !== null && first !== null && isSameConnection(c, first)),
    );
    const open = endings.some(
      ({ verdict, state }) => verdict === "undecided" && !isConfirmed(state.connection),
    );
    // Branches of one connection that differ in the port that the kernel chose.
    const oneOpened = kept.every((c) => c !== null && first !== null && isSameOriginal(c, first));
    if ((alike && !open) || (decided && chosen && oneOpened)) {
      if (first?.replaces !== undefined) this.connections.forget(first.replaces);
      if (first !== null) this.connections.confirm(first);
    } else for (const connection of kept) if (connection !== null) this.connections.addUncertain(connection);
  }

  /**
   * Returns the connection to keep after a packet. A known connection is updated even if rules drop the packet. A new one
   * is kept only if the packet reached the end of its last hook, or if that is undecided.
   */
  private connectionKept({ state, verdict }: Ending<PacketState>, program: Program): Connection | null {
    const { connection } = state;
    if (connection === null || connection.ended) return null;
    const known = this.connections.find(connection.original) !== undefined;
    if (!state.confirmed && !(isConfirmed(connection) && known) && verdict !== "undecided") return null;
    // A reset that the host sends in reply closes the connection too.
    const reset = verdict === "reject" && connection.tcp !== undefined && isRejectedByReset(state, program);
    return reset ? { ...connection, tcp: closedByReset(connection.tcp!) } : connection;
  }

  /** Evaluates PREROUTING and INPUT as if the packet were for this host. Keeps no connection. */
  delivered(packet: Packet): Answer {
    const program = this.program(packet);
    const engine = new PacketEngine(program, this.host, this.connections);
    return answer(packet, deliver(PacketState.of(packet, this.truths), program, engine));
  }

  private program(packet: Packet): Program {
    let program = this.programs.get(packet.family);
    if (program === undefined) {
      // Without rules the kernel accepts everything.
      program = Program.of({ family: packet.family, source: "", tables: new Map(), doubts: [] }, this.host);
      this.programs.set(packet.family, program);
    }
    return program;
  }

  /** Opens the connection of a packet that the input calls ESTABLISHED: evaluates only the chains of type nat for a first packet. */
  private openEstablished(packet: Packet, program: Program): void {
    if (this.connections.find(tupleOf(packet)) !== undefined) return;
    const { state: _, ...first } = packet;
    const nat = Program.of(natOnly(program.ruleset), this.host);
    const engine = new PacketEngine(nat, this.host, this.connections);
    const start = PacketState.of({ ...first, state: "NEW" }, this.truths);
    for (const { state } of packet.in === null ? send(start, nat, engine) : arrive(start, nat, engine))
      if (state.connection !== null)
        this.connections.confirm(
          withStatus(state.connection, state.connection.status | CT_STATUS.SEEN_REPLY),
        );
  }
}

/** Memoizes a part of a ruleset: programs are compiled once for each ruleset. */
function partOf(keep: Parameters<typeof withBaseChains>[1]): (ruleset: Ruleset) => Ruleset {
  const parts = new WeakMap<Ruleset, Ruleset>();
  return (ruleset) => {
    let part = parts.get(ruleset);
    if (part === undefined) parts.set(ruleset, (part = withBaseChains(ruleset, keep)));
    return part;
  };
}

const natOnly = partOf(({ type }) => type === "nat");
const withoutNat = partOf(({ type }) => type !== "nat");

/**
 * Simulates one packet on a host.
 * @param rulesets at most one a family; a family without one accepts everything
 */
export function simulate(
  rulesets: readonly Ruleset[],
  host: Host,
  packet: Packet,
  options: SimulateOptions = {},
): Answer {
  return new Simulator(rulesets, host, options).packet(packet);
}

const isConfirmed = (connection: Connection | null): boolean =>
  connection !== null && (connection.status & CT_STATUS.CONFIRMED) !== 0;

/** Returns true if the last rule of the path is a REJECT with a TCP reset. */
function isRejectedByReset(state: PacketState, program: Program): boolean {
  const last = state.path.at(-1);
  if (last?.step !== "rule") return false;
  return program.chain(last.table, last.chain)?.rules[last.rule - 1]?.rule.reading.resets === true;
}

/** The assumption about a family without rules; none for any other. */
const noRules = ({ family }: Packet, { ruleset }: Program): Assumption[] =>
  ruleset.tables.size > 0 ? [] : [{ code: "no-rules", family }];
