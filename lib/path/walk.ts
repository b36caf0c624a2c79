/**
 * The way of a packet through the host, once for both engines: hooks, tables, connection tracking, translation and
 * the routing decision. A walk does not know whether its state is one packet or a set of them; an engine says how a
 * chain decides a state, and a state that decides in several ways comes back in parts.
 */
import type { Field, Scalar } from "../packet/field.ts";
import type { Verdict } from "../rules/effect.ts";
import type { Hook, TableName } from "../rules/ruleset.ts";
import { STOPS, type Stop } from "./hooks.ts";
import type { Program } from "./program.ts";
import type { Case, RouteCase } from "./route.ts";

/** How a chain ended for a part of the state. */
export type Decision = Verdict | "undecided";

export interface Part<S, T> {
  readonly state: S;
  readonly outcome: T;
}

export interface Engine<S> {
  /** Runs a table's built-in chain, policy included. */
  table(state: S, table: TableName, hook: Hook): readonly Part<S, Decision>[];
  /** Connection tracking: looks the packet up, or opens a connection. */
  track(state: S, hook: Hook): readonly S[];
  /** Translation by the nat table; what it drops comes back as such. */
  nat(state: S, hook: Hook, side: "dst" | "src"): readonly Part<S, Decision>[];
  /** The first case that holds. Cases that do not cover the state leave the rest out. */
  choose<T>(state: S, cases: readonly Case<T>[]): readonly Part<S, T>[];
  /** The state with a field of its current header changed. */
  assign(state: S, field: Field, value: Scalar): S;
  /** Whether the routing decision has to be made again after a hook of OUTPUT changed the header or the mark. */
  rerouted(before: S, after: S): boolean;
}

/** Where a walk ended. */
export interface Ending<S> {
  readonly state: S;
  readonly verdict: Decision;
  readonly delivery: "forward" | "local" | "out" | "none";
  /** The interface it leaves by. */
  readonly out: string | null;
  /** Why it went no further, in a few words, where no rule says it. */
  readonly why: string | null;
  /** The hook in which it ended. */
  readonly hook: Hook | null;
}

interface Leg<S> {
  readonly state: S;
  readonly delivery: "forward" | "local" | "out" | "none";
  readonly out: string | null;
}

/** Walks a state in from an interface: PREROUTING, then INPUT or FORWARD and POSTROUTING. */
export function arrive<S>(start: S, program: Program, engine: Engine<S>): Ending<S>[] {
  const endings: Ending<S>[] = [];
  for (const { state, outcome: bridged } of engine.choose(start, program.bridged)) {
    if (bridged !== null)
      endings.push({
        state,
        verdict: "accept",
        delivery: "forward",
        out: bridged,
        why: "bridged past iptables (net.bridge.bridge-nf-call-iptables is 0)",
        hook: null,
      });
    else receive(state, program, engine, endings);
  }
  return endings;
}

/**
 * Walks a state to the host itself, whatever the routing decision would say: PREROUTING, then INPUT. It answers what
 * the owner's INPUT means for packets that a translation takes elsewhere.
 */
export function deliver<S>(start: S, engine: Engine<S>): Ending<S>[] {
  const endings: Ending<S>[] = [];
  for (const state of hook({ state: start, delivery: "none", out: null }, "PREROUTING", engine, endings))
    input(state, engine, endings);
  return endings;
}

function input<S>(state: S, engine: Engine<S>, endings: Ending<S>[]): void {
  const leg = { state, delivery: "local", out: null } as const;
  for (const end of hook(leg, "INPUT", engine, endings))
    endings.push({ ...leg, state: end, verdict: "accept", why: null, hook: "INPUT" });
}

/** PREROUTING and what follows it. */
function receive<S>(start: S, program: Program, engine: Engine<S>, endings: Ending<S>[]): void {
  const here = { delivery: "none", out: null } as const;
  for (const state of hook({ state: start, ...here }, "PREROUTING", engine, endings))
    for (const { state: routed, outcome: route } of engine.choose(state, program.routesIn)) {
      if (route.kind === "none")
        endings.push({ state: routed, verdict: "drop", ...here, why: route.why, hook: null });
      else if (route.kind === "local") input(routed, engine, endings);
      else {
        const leg = {
          state: engine.assign(routed, "out", route.out),
          delivery: "forward",
          out: route.out,
        } as const;
        for (const on of hook(leg, "FORWARD", engine, endings)) leave({ ...leg, state: on }, engine, endings);
      }
    }
}

/** Walks a state out that the host itself sends: OUTPUT, POSTROUTING, and back in where it is for the host. */
export function send<S>(start: S, program: Program, engine: Engine<S>): Ending<S>[] {
  const endings: Ending<S>[] = [];
  for (const { state, outcome: route } of engine.choose(start, program.routesOut)) {
    if (route.kind === "none") {
      endings.push({ state, verdict: "drop", delivery: "none", out: null, why: route.why, hook: null });
      continue;
    }
    const first = outOf(route);
    const leg = { state: engine.assign(state, "out", first), delivery: "out", out: first } as const;
    for (const after of hook(leg, "OUTPUT", engine, endings)) {
      const again: readonly Part<S, RouteCase["outcome"]>[] = engine.rerouted(leg.state, after)
        ? engine.choose(after, program.routesOut)
        : [{ state: after, outcome: route }];
      for (const { state: on, outcome } of again) {
        if (outcome.kind === "none") {
          endings.push({
            state: on,
            verdict: "drop",
            delivery: "none",
            out: null,
            why: outcome.why,
            hook: null,
          });
          continue;
        }
        const out = outOf(outcome);
        const way = { state: engine.assign(on, "out", out), delivery: "out", out } as const;
        if (out !== "lo") leave(way, engine, endings);
        else
          for (const back of hook(way, "POSTROUTING", engine, endings))
            receive(engine.assign(engine.assign(back, "in", "lo"), "out", ""), program, engine, endings);
      }
    }
  }
  return endings;
}

const outOf = (route: Exclude<RouteCase["outcome"], { kind: "none" }>): string =>
  route.kind === "local" ? "lo" : route.out;

function leave<S>(leg: Leg<S>, engine: Engine<S>, endings: Ending<S>[]): void {
  for (const state of hook(leg, "POSTROUTING", engine, endings))
    endings.push({ ...leg, state, verdict: "accept", why: null, hook: "POSTROUTING" });
}

/** Runs the stops of a hook; what comes through is returned, what does not has ended. */
export function hook<S>(leg: Leg<S>, name: Hook, engine: Engine<S>, endings: Ending<S>[]): S[] {
  let states = [leg.state];
  for (const stop of STOPS[name]) {
    const through: S[] = [];
    for (const state of states)
      for (const part of at(state, stop, name, engine)) {
        if (part.outcome === "accept") through.push(part.state);
        else
          endings.push({
            ...leg,
            state: part.state,
            verdict: part.outcome,
            delivery: "none",
            out: null,
            why: null,
            hook: name,
          });
      }
    states = through;
  }
  return states;
}

function at<S>(state: S, stop: Stop, name: Hook, engine: Engine<S>): readonly Part<S, Decision>[] {
  switch (stop.kind) {
    case "table":
      return engine.table(state, stop.table, name);
    case "nat":
      return engine.nat(state, name, stop.side);
    case "track":
      return engine.track(state, name).map((tracked) => ({ state: tracked, outcome: "accept" as const }));
  }
}
