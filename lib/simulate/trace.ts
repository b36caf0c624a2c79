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
import { changedBy } from "./chain.ts";
import type { Connection } from "./conntrack.ts";
import type { PacketState } from "./state.ts";

/** A field of the header, or what the kernel notes about the packet, before and after. */
export interface Change {
  /** What changed. */
  readonly field: Field;
  /** Its value before; `undefined` where the packet has none. */
  readonly from: Scalar | undefined;
  /** Its value after. */
  readonly to: Scalar | undefined;
}

/** One thing that happened. */
export type Moment =
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
      readonly steps: readonly { readonly step: Step; readonly changes: readonly Change[] }[];
      /** What changed once the chain had decided: a translation. */
      readonly changes: readonly Change[];
    }
  | { readonly kind: "route"; readonly decision: RouteDecision }
  /** Forwarded: its time to live was counted down. */
  | { readonly kind: "aged"; readonly changes: readonly Change[] };

interface Trail {
  readonly last: Moment;
  readonly before: Trail | null;
}

/** A packet on its way and what has happened to it. */
export class Traced {
  constructor(
    readonly state: PacketState,
    private readonly trail: Trail | null = null,
  ) {}

  get moments(): Moment[] {
    const out: Moment[] = [];
    for (let at = this.trail; at !== null; at = at.before) out.push(at.last);
    return out.reverse();
  }

  /** The packet as it is now, after something happened or, with `null`, nothing worth a word. */
  now(state: PacketState, moment: Moment | null): Traced {
    return new Traced(state, moment === null ? this.trail : { last: moment, before: this.trail });
  }
}

const WATCHED: readonly Field[] = ["src", "sport", "dst", "dport", "mark", "tos", "ttl", "ctmark", "ctstate"];
/** What a translation changes. */
const HEADER: readonly Field[] = ["src", "sport", "dst", "dport"];

function changes(before: PacketState, after: PacketState, fields: readonly Field[]): Change[] {
  return fields.flatMap((field) => {
    const [from, to] = [before.field(field), after.field(field)];
    return from === to ? [] : [{ field, from, to }];
  });
}

/** Of all that is chosen among, routes alone are more than a word. */
const isRoute = (outcome: unknown): outcome is RouteDecision =>
  typeof outcome === "object" && outcome !== null && "kind" in outcome;

/** Asks another engine, and notes what came of it. */
export class Tracer implements Engine<Traced> {
  constructor(
    private readonly engine: Engine<PacketState>,
    private readonly program: Program,
  ) {}

  chain(traced: Traced, base: BaseChain): Part<Traced, Decision>[] {
    return this.ran(traced, base, this.engine.chain(traced.state, base));
  }

  nat(traced: Traced, base: BaseChain, side: NatSide): Part<Traced, Decision>[] {
    return this.ran(traced, base, this.engine.nat(traced.state, base, side));
  }

  private ran(
    traced: Traced,
    { table, hook }: BaseChain,
    parts: readonly Part<PacketState, Decision>[],
  ): Part<Traced, Decision>[] {
    const known = traced.state.path.length;
    return parts.map(({ state: after, ...ended }) => {
      let now = traced.state;
      const steps = after.path.slice(known).map((step) => {
        const rule =
          step.step === "rule" ? this.program.chain(step.table, step.chain)?.rules[step.rule - 1] : undefined;
        if (rule === undefined) return { step, changes: [] };
        const before = now;
        now = changedBy(rule.effect, before, after);
        return { step, changes: now === before ? [] : changes(before, now, WATCHED) };
      });
      const rest = changes(now, after, HEADER);
      const quiet = steps.length === 0 && rest.length === 0 && ended.why === undefined;
      const moment: Moment = { kind: "table", table, hook, steps, changes: rest };
      return { state: traced.now(after, quiet ? null : moment), ...ended };
    });
  }

  track(traced: Traced, hook: Hook): Traced[] {
    return this.engine.track(traced.state, hook).map((after) => {
      if (after === traced.state) return traced;
      const { connection, reply } = after;
      const word = after.field("ctstate");
      const state = (Object.keys(CT) as CtState[]).find((name) => CT[name] === word) ?? "INVALID";
      return traced.now(after, { kind: "track", state, connection, reply });
    });
  }

  choose<T>(traced: Traced, cases: readonly Case<T>[]): Part<Traced, T>[] {
    return this.engine.choose(traced.state, cases).map(({ state, outcome }) => ({
      state: traced.now(state, isRoute(outcome) ? { kind: "route", decision: outcome } : null),
      outcome,
    }));
  }

  assign(traced: Traced, field: Field, value: Scalar): Traced {
    return traced.now(this.engine.assign(traced.state, field, value), null);
  }

  aged(traced: Traced): Traced {
    const after = this.engine.aged(traced.state);
    return traced.now(after, { kind: "aged", changes: changes(traced.state, after, ["ttl"]) });
  }

  confirm(traced: Traced): Confirmed<Traced> {
    const { state, why } = this.engine.confirm(traced.state);
    return { state: traced.now(state, null), why };
  }

  rerouted(before: Traced, after: Traced, type: "route" | "nat"): boolean {
    return this.engine.rerouted(before.state, after.state, type);
  }
}
