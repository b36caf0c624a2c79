/**
 * What happens to a packet on its way, in order: an engine that hands every question on to another one and notes what
 * came of it. The kernel's TRACE tells the rules; this also tells conntrack's word, the route, and what changed.
 */

import { CT, type CtState, type Field, type Scalar } from "../packet/field.ts";
import type { Case } from "../path/decision-list.ts";
import type { NatSide } from "../path/hooks.ts";
import type { Program, Step } from "../path/program.ts";
import type { RouteDecision } from "../path/route.ts";
import type { Confirmed, Decision, Engine, Part } from "../path/walk.ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";
import type { TableName } from "../rules/ruleset.ts";
import { applyAssignments } from "./chain-run.ts";
import type { Connection } from "./connection-table.ts";
import type { PacketState } from "./packet-state.ts";

/** A field of the header, or what the kernel notes about the packet, before and after. */
export interface FieldChange {
  /** What changed. */
  readonly field: Field;
  /** Its value before; `undefined` where the packet has none. */
  readonly from: Scalar | undefined;
  /** Its value after. */
  readonly to: Scalar | undefined;
}

/** One thing that happened. */
export type TraceEvent =
  /** Connection tracking took the packet for something. */
  | {
      readonly kind: "track";
      readonly state: CtState;
      readonly connection: Connection | null;
      /** The packet goes in the connection's reply direction. */
      readonly reply: boolean;
    }
  /** A table's built-in chain was run; or, without a step, the connection's translation was applied to a later packet. */
  | {
      readonly kind: "table";
      readonly table: TableName;
      readonly hook: Hook;
      readonly steps: readonly { readonly step: Step; readonly changes: readonly FieldChange[] }[];
      /** What changed once the chain had decided: a translation. */
      readonly changes: readonly FieldChange[];
    }
  | { readonly kind: "route"; readonly decision: RouteDecision }
  /** Forwarded: its time to live was counted down. */
  | { readonly kind: "aged"; readonly changes: readonly FieldChange[] };

interface Trail {
  readonly last: TraceEvent;
  readonly before: Trail | null;
}

/** A packet on its way and what has happened to it. */
export class TracedState {
  constructor(
    readonly state: PacketState,
    private readonly trail: Trail | null = null,
  ) {}

  get events(): TraceEvent[] {
    const out: TraceEvent[] = [];
    for (let at = this.trail; at !== null; at = at.before) out.push(at.last);
    return out.reverse();
  }

  /** The packet as it is now, after something happened or, with `null`, nothing worth a word. */
  next(state: PacketState, moment: TraceEvent | null): TracedState {
    return new TracedState(state, moment === null ? this.trail : { last: moment, before: this.trail });
  }
}

const TRACED_FIELDS: readonly Field[] = [
  "src",
  "sport",
  "dst",
  "dport",
  "mark",
  "tos",
  "ttl",
  "ctmark",
  "ctstate",
];
/** What a translation changes. */
const NAT_FIELDS: readonly Field[] = ["src", "sport", "dst", "dport"];

function fieldChanges(before: PacketState, after: PacketState, fields: readonly Field[]): FieldChange[] {
  return fields.flatMap((field) => {
    const [from, to] = [before.field(field), after.field(field)];
    return from === to ? [] : [{ field, from, to }];
  });
}

/** Of all that is chosen among, routes alone are more than a word. */
const isRoute = (outcome: unknown): outcome is RouteDecision =>
  typeof outcome === "object" && outcome !== null && "kind" in outcome;

/** Asks another engine, and notes what came of it. */
export class TracingEngine implements Engine<TracedState> {
  constructor(
    private readonly engine: Engine<PacketState>,
    private readonly program: Program,
  ) {}

  chain(traced: TracedState, base: BaseChain): Part<TracedState, Decision>[] {
    return this.traceChain(traced, base, this.engine.chain(traced.state, base));
  }

  nat(traced: TracedState, base: BaseChain, side: NatSide): Part<TracedState, Decision>[] {
    return this.traceChain(traced, base, this.engine.nat(traced.state, base, side));
  }

  private traceChain(
    traced: TracedState,
    { table, hook }: BaseChain,
    parts: readonly Part<PacketState, Decision>[],
  ): Part<TracedState, Decision>[] {
    const known = traced.state.path.length;
    return parts.map(({ state: after, ...ended }) => {
      let now = traced.state;
      const steps = after.path.slice(known).map((step) => {
        const rule =
          step.step === "rule" ? this.program.chain(step.table, step.chain)?.rules[step.rule - 1] : undefined;
        if (rule === undefined) return { step, changes: [] };
        const before = now;
        now = applyAssignments(rule.effect, before, after);
        return { step, changes: now === before ? [] : fieldChanges(before, now, TRACED_FIELDS) };
      });
      const rest = fieldChanges(now, after, NAT_FIELDS);
      const quiet = steps.length === 0 && rest.length === 0 && ended.why === undefined;
      const moment: TraceEvent = { kind: "table", table, hook, steps, changes: rest };
      return { state: traced.next(after, quiet ? null : moment), ...ended };
    });
  }

  track(traced: TracedState, hook: Hook): TracedState[] {
    return this.engine.track(traced.state, hook).map((after) => {
      if (after === traced.state) return traced;
      const { connection, reply } = after;
      const word = after.field("ctstate");
      const state = (Object.keys(CT) as CtState[]).find((name) => CT[name] === word) ?? "INVALID";
      return traced.next(after, { kind: "track", state, connection, reply });
    });
  }

  choose<T>(traced: TracedState, cases: readonly Case<T>[]): Part<TracedState, T>[] {
    return this.engine.choose(traced.state, cases).map(({ state, outcome }) => ({
      state: traced.next(state, isRoute(outcome) ? { kind: "route", decision: outcome } : null),
      outcome,
    }));
  }

  assign(traced: TracedState, field: Field, value: Scalar): TracedState {
    return traced.next(this.engine.assign(traced.state, field, value), null);
  }

  aged(traced: TracedState): TracedState {
    const after = this.engine.aged(traced.state);
    return traced.next(after, { kind: "aged", changes: fieldChanges(traced.state, after, ["ttl"]) });
  }

  confirm(traced: TracedState): Confirmed<TracedState> {
    const { state, why } = this.engine.confirm(traced.state);
    return { state: traced.next(state, null), why };
  }

  rerouted(before: TracedState, after: TracedState, type: "route" | "nat"): boolean {
    return this.engine.rerouted(before.state, after.state, type);
  }
}
