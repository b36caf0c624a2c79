/**
 * Records events of a packet: an engine that delegates to another engine and records the results. The kernel's TRACE
 * prints rules only; a trace here also contains the conntrack state, the route and changes of fields.
 */

import { type Address, CT, type CtState, type Field, type Scalar } from "../packet/field.ts";
import type { Case } from "../path/decision-list.ts";
import type { NatStop } from "../path/hooks.ts";
import type { Program, Step } from "../path/program.ts";
import { type Routes, routeAt } from "../path/route-list.ts";
import type { RouteDecision } from "../path/routing-decision.ts";
import type { Confirmed, Decision, Engine, Part, Rerouting } from "../path/walk.ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";
import type { TableId } from "../rules/ruleset.ts";
import { applyAssignments } from "./chain-run.ts";
import type { Connection } from "./connection-table.ts";
import { type PacketState, type Trail, trailToArray } from "./packet-state.ts";

/** Change of a field of the header or of the sk_buff. */
export interface FieldChange {
  /** The field. */
  readonly field: Field;
  /** Its value before; `undefined` where the packet has none. */
  readonly from: Scalar | undefined;
  /** Its value after. */
  readonly to: Scalar | undefined;
}

/** One event. */
export type TraceEvent =
  /** Connection tracking. */
  | {
      readonly kind: "track";
      readonly state: CtState;
      readonly connection: Connection | null;
      /** The packet is a reply. */
      readonly reply: boolean;
    }
  /** A base chain was evaluated; without a step, the translation of the connection was applied to a later packet. */
  | {
      readonly kind: "table";
      readonly table: TableId;
      readonly hook: Hook;
      readonly steps: readonly { readonly step: Step; readonly changes: readonly FieldChange[] }[];
      /** Changes after the chain: a translation. */
      readonly changes: readonly FieldChange[];
    }
  | { readonly kind: "route"; readonly decision: RouteDecision }
  /** Forwarded: TTL or hop limit was decremented. */
  | { readonly kind: "aged"; readonly changes: readonly FieldChange[] };

/** State of a packet, and its events. */
export class TracedState {
  constructor(
    readonly state: PacketState,
    private readonly trail: Trail<TraceEvent> | null = null,
  ) {}

  get events(): TraceEvent[] {
    return trailToArray(this.trail);
  }

  /** Returns the next state, with an event unless it is `null`. */
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
/** Fields that a translation changes. */
const NAT_FIELDS: readonly Field[] = ["src", "sport", "dst", "dport"];

function fieldChanges(before: PacketState, after: PacketState, fields: readonly Field[]): FieldChange[] {
  return fields.flatMap((field) => {
    const [from, to] = [before.field(field), after.field(field)];
    return from === to ? [] : [{ field, from, to }];
  });
}

/** Routes are the only outcomes of `choose` that are objects with a kind. */
const isRoute = (outcome: unknown): outcome is RouteDecision<Routes> =>
  typeof outcome === "object" && outcome !== null && "kind" in outcome;

/** Returns the decision for one packet: with the route of its destination. */
const decisionOf = (decision: RouteDecision<Routes>, state: PacketState): RouteDecision =>
  decision.kind === "none" || decision.route === undefined
    ? (decision as RouteDecision)
    : { ...decision, route: routeAt(decision.route, state.field("dst") as Address) };

/** A step with the changes of its rule. */
type TracedStep = Extract<TraceEvent, { kind: "table" }>["steps"][number];

/** Splits the steps of a stop by table: several chains of type nat are one stop. */
function runsByTable(
  steps: readonly TracedStep[],
  table: TableId,
): { readonly table: TableId; readonly steps: TracedStep[] }[] {
  const runs: { table: TableId; steps: TracedStep[] }[] = [];
  for (const each of steps) {
    const last = runs.at(-1);
    if (last?.table === each.step.table) last.steps.push(each);
    else runs.push({ table: each.step.table, steps: [each] });
  }
  return runs.length > 0 ? runs : [{ table, steps: [] }];
}

/** Delegates to another engine, and records events. */
export class TracingEngine implements Engine<TracedState> {
  constructor(
    private readonly engine: Engine<PacketState>,
    private readonly program: Program,
  ) {}

  chain(traced: TracedState, base: BaseChain): Part<TracedState, Decision>[] {
    return this.traceChains(traced, base.hook, base.table, this.engine.chain(traced.state, base));
  }

  nat(traced: TracedState, stop: NatStop): Part<TracedState, Decision>[] {
    const table = stop.chains[0]?.table ?? "nat";
    return this.traceChains(traced, stop.hook, table, this.engine.nat(traced.state, stop));
  }

  /** @param table table of an event without steps */
  private traceChains(
    traced: TracedState,
    hook: Hook,
    table: TableId,
    parts: readonly Part<PacketState, Decision>[],
  ): Part<TracedState, Decision>[] {
    const known = traced.state.path.length;
    return parts.map(({ state: after, ...ended }) => {
      let now = traced.state;
      const steps = after.path.slice(known).map((step): TracedStep => {
        const rule =
          step.step === "rule" ? this.program.chain(step.table, step.chain)?.rules[step.rule - 1] : undefined;
        if (rule === undefined) return { step, changes: [] };
        const before = now;
        now = applyAssignments(rule.effect, before, after);
        return { step, changes: now === before ? [] : fieldChanges(before, now, TRACED_FIELDS) };
      });
      const rest = fieldChanges(now, after, NAT_FIELDS);
      const quiet = steps.length === 0 && rest.length === 0 && ended.reason === undefined;
      if (quiet) return { state: traced.next(after, null), ...ended };
      const runs = runsByTable(steps, table);
      const state = runs.reduce(
        (state, run, i) =>
          state.next(after, { kind: "table", hook, ...run, changes: i === runs.length - 1 ? rest : [] }),
        traced,
      );
      return { state, ...ended };
    });
  }

  track(traced: TracedState, hook: Hook): TracedState[] {
    return this.engine.track(traced.state, hook).map((after) => {
      if (after === traced.state) return traced;
      const { connection, reply } = after;
      const ctstate = after.field("ctstate");
      const state = (Object.keys(CT) as CtState[]).find((name) => CT[name] === ctstate) ?? "INVALID";
      return traced.next(after, { kind: "track", state, connection, reply });
    });
  }

  choose<T>(traced: TracedState, cases: readonly Case<T>[]): Part<TracedState, T>[] {
    return this.engine.choose(traced.state, cases).map(({ state, outcome }) => ({
      state: traced.next(
        state,
        isRoute(outcome) ? { kind: "route", decision: decisionOf(outcome, traced.state) } : null,
      ),
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
    const { state, reason } = this.engine.confirm(traced.state);
    return { state: traced.next(state, null), reason };
  }

  rerouted(before: TracedState, after: TracedState, type: Rerouting): Part<TracedState, boolean>[] {
    return this.engine
      .rerouted(before.state, after.state, type)
      .map(({ outcome }) => ({ state: after, outcome }));
  }
}
