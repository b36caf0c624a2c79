/**
 * Engine for a batch of packets. A state is a selection of lanes: each hook is evaluated once for thousands of packets,
 * and the selection splits where their paths differ. Packets that need a translation, an unknown, or more than a header
 * leave the batch and are simulated separately.
 */
import { CT, CT_STATUS, type CtState, type Field, type Scalar } from "../packet/field.ts";
import { evaluate } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import type { NatStop } from "../path/hooks.ts";
import type { BoundChain, Program } from "../path/program.ts";
import {
  arrive,
  type Confirmed,
  type Decision,
  type Ending,
  type Engine,
  type Part,
  type Rerouting,
  send,
} from "../path/walk.ts";
import type { BaseChain } from "../rules/base-chain.ts";
import { changed, type Effect, NOTE } from "../rules/effect.ts";
import { BatchLookup, type CompiledList } from "./batch-lookup.ts";
import {
  ASSIGN_CODE,
  effectCode,
  GOTO_CODE,
  JUMP_CODE,
  NAT_CODE,
  PACKET_CODE,
  RETURN_CODE,
  UNKNOWN_RESULT,
  VERDICTS,
} from "./effect-code.ts";
import { BATCH_SIZE, PacketBatch } from "./packet-batch.ts";
import { CONNECTION_BIT, type PacketColumns } from "./packet-columns.ts";

/** Packets on the same path. */
interface BatchState {
  /** Their lanes in the batch. */
  readonly lanes: Int32Array;
  /** Sides for which the nat table was evaluated. */
  readonly natDone: { readonly dst: boolean; readonly src: boolean };
  /** A chain of type route changed a field on which the route depends. */
  readonly moved: boolean;
}

/** Most steps of a packet in one base chain; beyond them it is simulated separately, where its work is limited. */
const MOST_BATCH_STEPS = 1 << 16;

/** A chain, compiled for a batch. */
interface BatchChain {
  readonly bound: BoundChain;
  readonly compiled: CompiledList;
  readonly codes: Int8Array;
  /** Target of each jump, once it was taken. */
  readonly to: (BatchChain | null)[];
}

export class BatchEngine implements Engine<BatchState> {
  /** Lanes of packets that have to be simulated separately. */
  readonly fallback: number[] = [];
  private readonly packets: PacketBatch;
  private readonly lookup: BatchLookup;
  private readonly chains = new Map<BoundChain, BatchChain>();
  private readonly returnChains: BatchChain[] = [];
  private readonly returnRules: number[] = [];

  constructor(
    private readonly program: Program,
    truths: ReadonlyMap<string, boolean>,
  ) {
    this.packets = new PacketBatch(program.ruleset.family, truths);
    this.lookup = new BatchLookup(this.packets);
  }

  /** Loads `count` packets from index `first`. */
  load(packets: PacketColumns, first: number, count: number): void {
    this.fallback.length = 0;
    this.packets.load(packets, first, count);
  }

  /** Walks the batch through the host. */
  walk(): Ending<BatchState>[] {
    const all = { lanes: ALL_LANES.subarray(0, this.packets.count), natDone: NAT_NOT_DONE, moved: false };
    this.lookup.keys.set(this.packets.column("socket").values);
    return this.split(all, 2).flatMap(({ state, outcome: sent }) =>
      sent === 1 ? send(state, this.program, this) : arrive(state, this.program, this),
    );
  }

  /** Splits a state by the key of each packet. Packets with UNKNOWN_RESULT leave the batch. */
  private split(from: BatchState, kinds: number): Part<BatchState, number>[] {
    const { lanes } = from;
    const { keys } = this.lookup;
    const counts = new Int32Array(kinds);
    let rest = 0;
    for (let i = 0; i < lanes.length; i++) {
      const key = keys[i]!;
      if (key < 0) {
        this.fallback.push(lanes[i]!);
        rest++;
      } else counts[key]!++;
    }
    const parts: Part<BatchState, number>[] = [];
    for (let key = 0; key < kinds && rest < lanes.length; key++) {
      const count = counts[key]!;
      if (count === 0) continue;
      if (count === lanes.length) return [{ state: from, outcome: key }];
      const mine = new Int32Array(count);
      for (let i = 0, n = 0; n < count; i++) if (keys[i] === key) mine[n++] = lanes[i]!;
      parts.push({ state: { ...from, lanes: mine }, outcome: key });
      rest += count;
    }
    return parts;
  }

  choose<T>(state: BatchState, cases: readonly Case<T>[]): Part<BatchState, T>[] {
    if (cases[0]?.when.kind === "any") return [{ state, outcome: cases[0].outcome }];
    const compiled = this.lookup.compile(cases);
    const allEqual = this.lookup.findAll(compiled, state.lanes);
    const [first] = this.lookup.keys;
    if (allEqual && first! >= 0)
      return first === cases.length ? [] : [{ state, outcome: cases[first!]!.outcome }];
    return this.split(state, cases.length + 1)
      .filter(({ outcome }) => outcome < cases.length)
      .map(({ state: each, outcome }) => ({ state: each, outcome: cases[outcome]!.outcome }));
  }

  private compiled(bound: BoundChain): BatchChain {
    let chain = this.chains.get(bound);
    if (chain === undefined) {
      const codes = Int8Array.from([...bound.rules.map(({ effect }) => effectCode(effect)), RETURN_CODE]);
      chain = {
        bound,
        compiled: this.lookup.compile(bound.rules),
        codes,
        to: new Array(codes.length).fill(null),
      };
      this.chains.set(bound, chain);
    }
    return chain;
  }

  /** Returns the chain that a rule jumps or goes to. */
  private target(from: BatchChain, at: number, effect: Effect | null): BatchChain {
    const bound = from.bound.rules[at]!;
    const { chain: name } = (effect ?? bound.effect) as Extract<Effect, { kind: "jump" | "goto" }>;
    const chain = this.compiled(this.program.target(bound, name));
    // An effect that depends on the packet can lead elsewhere the next time.
    if (effect === null) from.to[at] = chain;
    return chain;
  }

  chain(state: BatchState, base: BaseChain): Part<BatchState, Decision>[] {
    const bound = this.program.chain(base.table, base.name);
    if (bound === undefined) return [{ state, outcome: "accept" }];
    if (bound.rules.length === 0) return [{ state, outcome: bound.policy ?? "accept" }];
    const chain = this.compiled(bound);
    const { lanes } = state;
    const kinds = VERDICTS.length;
    const watched = base.type === "route" ? this.routeColumns() : null;
    const { keys } = this.lookup;
    const allEqual = this.lookup.findAll(chain.compiled, lanes);
    const code = keys[0]! < 0 ? UNKNOWN_RESULT : chain.codes[keys[0]!]!;
    if (allEqual && code >= 0 && code <= NAT_CODE)
      return [{ state: withMoved(state, false), outcome: VERDICTS[code === NAT_CODE ? 0 : code]! }];
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const before = watched?.map((column) => column[lane]);
      const code = this.decide(lane, chain, keys[i]!);
      const moved = watched?.some((column, n) => column[lane] !== before![n]) === true;
      keys[i] = (code === NAT_CODE ? 0 : code) + (moved && code !== UNKNOWN_RESULT ? kinds : 0);
    }
    return this.split(state, 2 * kinds).map(({ state: some, outcome }) => ({
      state: withMoved(some, outcome >= kinds),
      outcome: VERDICTS[outcome % kinds]!,
    }));
  }

  /** Returns the columns that chains of type route can change and on which the route of local packets depends. */
  private routeColumns(): Int32Array[] {
    const fields: readonly Field[] =
      this.program.ruleset.family === 4 ? ["mark", "tos"] : ["mark", "tos", "ttl"];
    return fields.map((field) => this.packets.column(field).values);
  }

  /**
   * Evaluates a base chain on one packet. Returns an index into VERDICTS, NAT_CODE or UNKNOWN_RESULT.
   * @param first the first rule that matches, from `BatchLookup.findAll`
   */
  private decide(lane: number, top: BatchChain, first: number): number {
    if (first < 0) return UNKNOWN_RESULT;
    if (top.codes[first]! <= NAT_CODE) return top.codes[first]!;
    this.packets.select(lane);
    const { returnChains, returnRules } = this;
    let depth = 0;
    let chain = top;
    let next = 0;
    for (let at = first, steps = 0; ; at = this.lookup.findOne(chain.compiled, next), steps++) {
      if (at < 0 || steps > MOST_BATCH_STEPS) return UNKNOWN_RESULT;
      let code = chain.codes[at]!;
      let effect: Effect | null = null;
      if (code === PACKET_CODE) {
        effect = this.packetEffect(chain.bound.rules[at]!.effect);
        code = effect === null ? UNKNOWN_RESULT : effectCode(effect);
      }
      if (code <= NAT_CODE) return code;
      next = at + 1;
      switch (code) {
        case ASSIGN_CODE:
          if (!this.applyAssignment(effect ?? chain.bound.rules[at]!.effect)) return UNKNOWN_RESULT;
          break;
        case JUMP_CODE:
          returnChains[depth] = chain;
          returnRules[depth++] = next;
          chain = chain.to[at] ?? this.target(chain, at, effect);
          next = 0;
          break;
        case GOTO_CODE:
          chain = chain.to[at] ?? this.target(chain, at, effect);
          next = 0;
          break;
        case RETURN_CODE:
          if (depth === 0) return VERDICTS.indexOf(top.bound.policy ?? "accept");
          chain = returnChains[--depth]!;
          next = returnRules[depth]!;
      }
    }
  }

  /**
   * Returns the last part of an effect for the selected packet, after its assignments; `null` if an unknown decides it or a
   * batch does not track an assigned field.
   */
  private packetEffect(effect: Effect): Effect | null {
    for (let part = effect; ; )
      switch (part.kind) {
        case "fork": {
          const holds = evaluate(part.when, this.packets);
          if (typeof holds !== "boolean") return null;
          part = holds ? part.yes : part.no;
          break;
        }
        case "choice": {
          const at = this.lookup.findOne(this.lookup.compile(part.cases), 0);
          if (at === UNKNOWN_RESULT) return null;
          part = part.cases[at]?.effect ?? NOTE;
          break;
        }
        case "assign":
          if (!this.applyAssignment(part)) return null;
          part = part.next ?? NOTE;
          break;
        default:
          return part;
      }
  }

  /** Assigns a field as assignPacketField does; returns false for a field that a batch does not track. */
  private applyAssignment(effect: Effect): boolean {
    if (effect.kind !== "assign") return false;
    const { field, change } = effect;
    const { lane } = this.packets;
    const tracked = (this.packets.headerBits[lane]! & CONNECTION_BIT) !== 0;
    if (field === "ctstate" && (tracked || this.packets.field("ctstate") !== CT.INVALID)) return true;
    const ofConnection = field === "ctmark" || (change.kind === "copy" && change.from === "ctmark");
    if (ofConnection && !tracked) return true;
    if (!BATCH_FIELDS.has(field)) return false;
    const from = change.kind === "copy" ? (this.packets.field(change.from) ?? 0) : undefined;
    const values = this.packets.column(field);
    // Addresses are no fields of a batch.
    const value = changed(this.packets.field(field) ?? 0, change, from) as number;
    if (value === values.values[lane]! >>> 0) return true;
    this.packets.markVarying(values);
    values.values[lane] = value;
    this.packets.selection++;
    return true;
  }

  track(state: BatchState): BatchState[] {
    if (!this.program.tracks) return [state];
    const ctstate = this.packets.column("ctstate");
    const fresh = this.program.initialStates();
    const compiled = this.lookup.compile(fresh);
    // Already tracked before it returned through loopback, or exempt by NOTRACK.
    const tracked = (lane: number): boolean =>
      (this.packets.headerBits[lane]! & CONNECTION_BIT) !== 0 || ctstate.values[lane] === CT.UNTRACKED;
    const { lanes } = state;
    const { keys } = this.lookup;
    this.lookup.findAll(compiled, lanes);
    let firstState = -1;
    let same = lanes.length === this.packets.count;
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const at = keys[i]!;
      if (tracked(lane)) keys[i] = 0;
      else if (at < 0 || at === fresh.length) keys[i] = UNKNOWN_RESULT;
      else {
        keys[i] = 0;
        ctstate.values[lane] = CT[fresh[at]!.outcome];
        if (TRACKED_STATES.has(fresh[at]!.outcome)) this.packets.headerBits[lane]! |= CONNECTION_BIT;
      }
      if (i === 0) firstState = ctstate.values[lane]!;
      else same &&= ctstate.values[lane] === firstState;
    }
    ctstate.uniform = same;
    this.packets.version++;
    return this.split(state, 1).map((each) => each.state);
  }

  nat(state: BatchState, { side, chains }: NatStop): Part<BatchState, Decision>[] {
    // A connection evaluates the chains once for each side.
    if (state.natDone[side]) return [{ state, outcome: "accept" }];
    const evaluated: BatchState = { ...state, natDone: { ...state.natDone, [side]: true } };
    const bound = chains.flatMap(({ table, name }) => this.program.chain(table, name) ?? []);
    const parts: Part<BatchState, Decision>[] = [];
    let accepted = [evaluated];
    for (const chain of bound.map((each) => this.compiled(each))) {
      const through: BatchState[] = [];
      for (const part of accepted.flatMap((each) => this.natChain(each, chain)))
        if (part.outcome === "accept") through.push(part.state);
        else parts.push(part);
      accepted = through;
    }
    return [...accepted.map((each) => ({ state: each, outcome: "accept" as const })), ...parts];
  }

  /** Evaluates one chain of type nat; packets that it translates leave the batch. */
  private natChain(state: BatchState, chain: BatchChain): Part<BatchState, Decision>[] {
    const { lanes } = state;
    const { keys } = this.lookup;
    this.lookup.findAll(chain.compiled, lanes);
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[i]!;
      const code =
        (this.packets.headerBits[lane]! & CONNECTION_BIT) === 0 ? 0 : this.decide(lane, chain, keys[i]!);
      keys[i] = code === NAT_CODE ? UNKNOWN_RESULT : code;
    }
    return this.split(state, VERDICTS.length).map(({ state: each, outcome }) => {
      const verdict = VERDICTS[outcome]!;
      return { state: each, outcome: verdict === "reject" ? "drop" : verdict };
    });
  }

  assign(state: BatchState, field: Field, value: Scalar): BatchState {
    const number = typeof value === "string" ? this.packets.nameId(value) : Number(value);
    if (state.lanes.length === this.packets.count) {
      this.packets.fill(field, number);
      return state;
    }
    const values = this.packets.column(field);
    this.packets.markVarying(values);
    for (const lane of state.lanes) values.values[lane] = number;
    return state;
  }

  aged(state: BatchState): BatchState {
    const ttl = this.packets.column("ttl");
    this.packets.markVarying(ttl);
    for (const lane of state.lanes) ttl.values[lane] = Math.max(0, ttl.values[lane]! - 1);
    return state;
  }

  confirm(state: BatchState): Confirmed<BatchState> {
    const status = this.packets.column("ctstatus");
    this.packets.markVarying(status);
    for (const lane of state.lanes)
      if ((this.packets.headerBits[lane]! & CONNECTION_BIT) !== 0) status.values[lane] = CT_STATUS.CONFIRMED;
    return { state, reason: null };
  }

  rerouted(_before: BatchState, after: BatchState, type: Rerouting): Part<BatchState, boolean>[] {
    // A packet that a translation changes is simulated by itself.
    return [{ state: after, outcome: type === "route" && after.moved }];
  }
}

/** Conntrack states of a first packet that has a connection. */
const TRACKED_STATES: ReadonlySet<CtState> = new Set(["NEW", "ESTABLISHED", "RELATED"]);
/** Returns the state with this value of `moved`. */
const withMoved = (state: BatchState, moved: boolean): BatchState =>
  state.moved === moved ? state : { ...state, moved };
const ALL_LANES = Int32Array.from({ length: BATCH_SIZE }, (_, i) => i);
const NAT_NOT_DONE = { dst: false, src: false };
/** Fields that rules can assign without the packet leaving the batch. */
const BATCH_FIELDS: ReadonlySet<Field> = new Set(["mark", "tos", "ttl", "ctstate", "ctmark"]);
