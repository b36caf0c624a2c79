/**
 * The way of a packet through the host, once for both engines: hooks, tables, connection tracking, translation and
 * the routing decision. A walk does not know whether its state is one packet or a set of them; an engine says how a
 * chain decides a state, and a state that decides in several ways comes back in parts.
 */
import type { Field, Scalar } from "../packet/field.ts";
import type { Verdict } from "../rules/effect.ts";
import type { Hook, TableName } from "../rules/ruleset.ts";
import type { Bridge } from "./bridge.ts";
import type { Case } from "./case.ts";
import { STOPS, type Stop } from "./hooks.ts";
import type { Program } from "./program.ts";
import type { RouteCase } from "./route.ts";

/** How a chain ended for a part of the state. */
export type Decision = Verdict | "undecided";

export interface Part<S, T> {
  readonly state: S;
  readonly outcome: T;
}

/** A state at the end of its last hook, and why its connection could not be entered: the packet is dropped then. */
export interface Confirmed<S> {
  readonly state: S;
  readonly why: string | null;
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
  /** The state one hop older: its time to live is counted down where it is forwarded. */
  aged(state: S): S;
  /** The end of the last hook: a connection that the packet opened is entered now (nf_confirm), or why it is not. */
  confirm(state: S): Confirmed<S>;
  /**
   * Whether the routing decision has to be made again since a stop of OUTPUT changed what it looks at
   * (ip_route_me_harder): mangle looks for addresses, mark and TOS, translation for the address it goes to.
   */
  rerouted(before: S, after: S, stop: "mangle" | "nat"): boolean;
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
  for (const { state: came, outcome: entry } of engine.choose(start, program.entries)) {
    const { changes, bridge } = entry;
    const state = changes.reduce((s, [field, value]) => engine.assign(s, field, value), came);
    if (bridge === null) received(state, program, engine, endings);
    else
      for (const { state: framed, outcome: across } of engine.choose(state, program.across))
        if (bridge.calls) bridged(framed, bridge, across, program, engine, endings);
        else if (!across) received(framed, program, engine, endings);
        else
          endings.push({
            ...{ state: framed, verdict: "accept", delivery: "forward", out: bridge.name, hook: null },
            why: "bridged past iptables (net.bridge.bridge-nf-call-iptables is 0)",
          });
  }
  return endings;
}

/** What goes no further without any rule saying so. */
const lost = <S>(state: S, why: string, at: Hook | null = null): Ending<S> => ({
  ...{ state, verdict: "drop", delivery: "none", out: null, why, hook: at },
});

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
  for (const end of hook(leg, "INPUT", engine, endings)) {
    const { state: last, why } = engine.confirm(end);
    if (why !== null) endings.push(lost(last, why, "INPUT"));
    else endings.push({ ...leg, state: last, verdict: "accept", why: null, hook: "INPUT" });
  }
}

/** The parts that no case refuses; what one does has ended. */
function passed<S>(
  state: S,
  cases: readonly Case<string | null>[],
  engine: Engine<S>,
  endings: Ending<S>[],
): S[] {
  const through: S[] = [];
  for (const { state: part, outcome: why } of engine.choose(state, cases))
    if (why === null) through.push(part);
    else endings.push(lost(part, why));
  return through;
}

const HERE = { delivery: "none", out: null } as const;

/** What the host takes in: PREROUTING, and where the routing decision sends it. */
function received<S>(start: S, program: Program, engine: Engine<S>, endings: Ending<S>[]): void {
  for (const taken of passed(start, program.refused, engine, endings))
    for (const state of hook({ state: taken, ...HERE }, "PREROUTING", engine, endings))
      for (const { state: on, out } of routed(state, program, engine, endings))
        onwards(on, out, program.stopped, engine, endings);
}

/**
 * What comes by a bridge that calls iptables: PREROUTING before it is anybody's. What is on its way to another port
 * stays on it; a translation is routed at once, and may lead to another port or away from the bridge
 * (br_nf_pre_routing_finish).
 */
function bridged<S>(
  start: S,
  bridge: Bridge,
  across: boolean,
  program: Program,
  engine: Engine<S>,
  endings: Ending<S>[],
): void {
  for (const taken of passed(start, program.held, engine, endings))
    for (const state of hook({ state: taken, ...HERE }, "PREROUTING", engine, endings)) {
      const moved = engine.rerouted(taken, state, "nat");
      if (across && !moved) {
        switched(state, bridge, engine, endings);
        continue;
      }
      // What was routed in the bridge counts as come in where it goes out: its source may be of any link.
      const stopped = moved ? program.ended : program.stopped;
      for (const { state: on, out } of routed(state, program, engine, endings))
        if (moved && out === bridge.name) switched(on, bridge, engine, endings);
        else
          for (const own of passed(on, program.refused, engine, endings))
            onwards(own, out, stopped, engine, endings);
    }
}

/** What the routing decision takes up: where it goes, `""` to the host itself. */
function routed<S>(
  start: S,
  program: Program,
  engine: Engine<S>,
  endings: Ending<S>[],
): { readonly state: S; readonly out: string }[] {
  return engine.choose(start, program.routesIn).flatMap(({ state, outcome: route }) => {
    if (route.kind === "none") {
      endings.push(lost(state, route.why));
      return [];
    }
    const out = route.kind === "via" ? route.out : "";
    return passed(engine.assign(state, "out", out), program.sources, engine, endings).map((on) => ({
      state: on,
      out,
    }));
  });
}

/** INPUT, or FORWARD and POSTROUTING for what may be sent on. */
function onwards<S>(
  state: S,
  out: string,
  stopped: readonly Case<string | null>[],
  engine: Engine<S>,
  endings: Ending<S>[],
): void {
  if (out === "") input(state, engine, endings);
  else
    for (const sent of passed(state, stopped, engine, endings))
      forward({ state: engine.aged(sent), delivery: "forward", out }, engine, endings);
}

/** From one port of a bridge to another: as if forwarded, and no hop older. */
function switched<S>(start: S, { name, physout }: Bridge, engine: Engine<S>, endings: Ending<S>[]): void {
  const state = engine.assign(engine.assign(start, "out", name), "physout", physout);
  forward({ state, delivery: "forward", out: name }, engine, endings);
}

function forward<S>(leg: Leg<S>, engine: Engine<S>, endings: Ending<S>[]): void {
  for (const state of hook(leg, "FORWARD", engine, endings)) leave({ ...leg, state }, engine, endings);
}

/** Walks a state out that the host itself sends: OUTPUT, POSTROUTING, and back in where it is for the host. */
export function send<S>(start: S, program: Program, engine: Engine<S>): Ending<S>[] {
  const endings: Ending<S>[] = [];
  const taken = engine.choose(start, program.held).flatMap(({ state, outcome: why }) => {
    if (why === null) return engine.choose(state, program.routesOut);
    endings.push(lost(state, why));
    return [];
  });
  for (const { state, outcome: route } of taken) {
    if (route.kind === "none") {
      endings.push(lost(state, route.why));
      continue;
    }
    const first = engine.assign(state, "out", outOf(route));
    for (const { state: on, outcome } of output(first, route, program, engine, endings)) {
      const out = outOf(outcome);
      const way = { state: engine.assign(on, "out", out), delivery: "out", out } as const;
      if (out !== "lo") leave(way, engine, endings);
      else
        for (const back of hook(way, "POSTROUTING", engine, endings)) {
          const { state: last, why } = engine.confirm(back);
          if (why !== null) endings.push(lost(last, why, "POSTROUTING"));
          else looped(last, outcome, program, engine, endings);
        }
    }
  }
  return endings;
}

type Taken = Exclude<RouteCase["outcome"], { kind: "none" }>;

/**
 * The stops of OUTPUT. Where mangle or a translation changed what the route depends on, it is looked up again at once;
 * the rules behind still see the first interface, as the hook was entered with it.
 */
function output<S>(
  start: S,
  route: Taken,
  program: Program,
  engine: Engine<S>,
  endings: Ending<S>[],
): Part<S, Taken>[] {
  const here = { delivery: "none", out: null, why: null, hook: "OUTPUT" } as const;
  let parts: Part<S, Taken>[] = [{ state: start, outcome: route }];
  for (const stop of STOPS.OUTPUT) {
    const through: Part<S, Taken>[] = [];
    for (const { state: before, outcome: way } of parts)
      for (const { state: after, outcome: verdict } of at(before, stop, "OUTPUT", engine)) {
        if (verdict !== "accept") {
          endings.push({ ...here, state: after, verdict });
          continue;
        }
        const kind =
          stop.kind === "nat" ? "nat" : stop.kind === "table" && stop.table === "mangle" ? "mangle" : null;
        if (kind === null || !engine.rerouted(before, after, kind)) {
          through.push({ state: after, outcome: way });
          continue;
        }
        for (const { state, outcome } of engine.choose(after, program.routesAgain))
          if (outcome.kind === "none") endings.push(lost(state, outcome.why, "OUTPUT"));
          else through.push({ state, outcome });
      }
    parts = through;
  }
  return parts;
}

/** Comes back in by the loopback interface, which keeps the route it left by: no second decision, no socket. */
function looped<S>(state: S, route: Taken, program: Program, engine: Engine<S>, endings: Ending<S>[]): void {
  const here = { delivery: "none", out: null } as const;
  const changes = [
    ["in", "lo"],
    ["out", ""],
    ["socket", 0],
  ] as const;
  const start = changes.reduce((s, [field, value]) => engine.assign(s, field, value), state);
  for (const back of hook({ state: start, ...here }, "PREROUTING", engine, endings))
    for (const { state: whole, outcome: why } of engine.choose(back, program.waiting))
      if (why !== null) endings.push(lost(whole, why));
      else if (route.kind === "local") input(whole, engine, endings);
      else endings.push(lost(whole, "sent to the loopback interface, where nobody takes it"));
}

const outOf = (route: Taken): string => (route.kind === "local" ? "lo" : route.out);

function leave<S>(leg: Leg<S>, engine: Engine<S>, endings: Ending<S>[]): void {
  for (const end of hook(leg, "POSTROUTING", engine, endings)) {
    const { state, why } = engine.confirm(end);
    if (why !== null) endings.push(lost(state, why, "POSTROUTING"));
    else endings.push({ ...leg, state, verdict: "accept", why: null, hook: "POSTROUTING" });
  }
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
