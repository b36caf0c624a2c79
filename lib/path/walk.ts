/**
 * Path of a packet through the host, for both engines: hooks, base chains, connection tracking, translation and routing. A
 * state is one packet or a set of packets. The engine evaluates chains and splits a state whose packets differ in outcome.
 */
import type { Field, Scalar } from "../packet/field.ts";
import { ANY } from "../packet/predicate.ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";
import type { Verdict } from "../rules/effect.ts";
import type { Bridge, BridgeKind } from "./bridge.ts";
import type { Case } from "./decision-list.ts";
import type { EndReason, RefusalCases } from "./end-reason.ts";
import type { NatStop, Stop } from "./hooks.ts";
import type { Program } from "./program.ts";
import type { RouteCase } from "./routing-decision.ts";
import type { WalkScope } from "./walk-scope.ts";

/** Outcome of a chain for a part of the state. */
export type Decision = Verdict | "undecided";

export interface Part<S, T> {
  readonly state: S;
  readonly outcome: T;
  /** Reason, if neither a rule nor a policy decided. */
  readonly reason?: EndReason | undefined;
}

/** A state after its last hook; `reason` is set if its connection cannot be entered, so that the packet is dropped. */
export interface Confirmed<S> {
  readonly state: S;
  readonly reason: EndReason | null;
}

/** What may change the route of a packet. */
export type Rerouting = "route" | "nat" | "bridge";

export interface Engine<S> {
  /** Evaluates a base chain, policy included. */
  chain(state: S, chain: BaseChain): readonly Part<S, Decision>[];
  /** Connection tracking: looks the packet up, or opens a connection. */
  track(state: S, hook: Hook): readonly S[];
  /** Translation by the chains of type nat of a hook; a packet that they drop comes back with that verdict. */
  nat(state: S, stop: NatStop): readonly Part<S, Decision>[];
  /** Evaluates a list of cases. Packets that no case matches are left out. */
  choose<T>(state: S, cases: readonly Case<T>[]): readonly Part<S, T>[];
  /** Returns the state with a field of its current header changed. */
  assign(state: S, field: Field, value: Scalar): S;
  /** Returns the state with its time to live decremented. */
  aged(state: S): S;
  /** Enters a connection that the packet opened into the connection table (nf_confirm). */
  confirm(state: S): Confirmed<S>;
  /**
   * Splits packets after a base chain: true for those whose route has to be looked up again because the chain changed what it
   * depends on (ip_route_me_harder): addresses, mark and TOS for a chain of type route, the destination for one of type nat,
   * or in a bridge (br_nf_ipv4_daddr_was_changed).
   */
  rerouted(before: S, after: S, type: Rerouting): readonly Part<S, boolean>[];
}

/** Called with each state that reaches a base chain. */
export type Observer<S> = (state: S, chain: BaseChain) => void;

/** Returns an engine that calls `observe` before it evaluates a base chain of a type other than nat. */
export const observed = <S>(engine: Engine<S>, observe: Observer<S>): Engine<S> => ({
  chain: (state, chain) => {
    observe(state, chain);
    return engine.chain(state, chain);
  },
  track: (state, hook) => engine.track(state, hook),
  nat: (state, stop) => engine.nat(state, stop),
  choose: (state, cases) => engine.choose(state, cases),
  assign: (state, field, value) => engine.assign(state, field, value),
  aged: (state) => engine.aged(state),
  confirm: (state) => engine.confirm(state),
  rerouted: (before, after, type) => engine.rerouted(before, after, type),
});

/** End of a walk. */
export interface Ending<S> {
  readonly state: S;
  readonly verdict: Decision;
  readonly delivery: "forward" | "local" | "out" | "none";
  /** Output interface; `null` if it does not leave. */
  readonly out: string | null;
  /** Reason, if no rule decided. */
  readonly reason: EndReason | null;
  /** Last hook; `null` if it ended before the first one. */
  readonly hook: Hook | null;
}

interface Leg<S> {
  readonly state: S;
  readonly delivery: "forward" | "local" | "out" | "none";
  readonly out: string | null;
}

/**
 * Walks a state in from an interface: PREROUTING, then INPUT or FORWARD and POSTROUTING.
 * @param scope limits the walk to packets that are forwarded to some interfaces; the other endings are then incomplete
 */
export function arrive<S>(start: S, program: Program, engine: Engine<S>, scope?: WalkScope): Ending<S>[] {
  const walk = new Walk(program, engine, scope);
  walk.arrive(start);
  return walk.endings;
}

/** Walks a state that the host sends: OUTPUT, POSTROUTING, and back in if it is for the host. */
export function send<S>(start: S, program: Program, engine: Engine<S>): Ending<S>[] {
  const walk = new Walk(program, engine);
  walk.send(start);
  return walk.endings;
}

/**
 * Walks a state to the host without a routing decision: PREROUTING, then INPUT. It evaluates the owner's INPUT for packets
 * that a translation sends elsewhere.
 */
export function deliver<S>(start: S, program: Program, engine: Engine<S>): Ending<S>[] {
  const walk = new Walk(program, engine);
  walk.deliver(start);
  return walk.endings;
}

type Taken = Exclude<RouteCase["outcome"], { kind: "none" }>;

const outOf = (route: Taken): string => (route.kind === "local" ? "lo" : route.out);

/** One walk: each step returns the parts that continue and records the ends of the others. */
class Walk<S> {
  readonly endings: Ending<S>[] = [];

  constructor(
    private readonly program: Program,
    private readonly engine: Engine<S>,
    private readonly scope?: WalkScope,
  ) {}

  arrive(start: S): void {
    const { engine, program } = this;
    for (const { state, outcome: bridge } of this.entered(start)) {
      if (bridge === null) this.received(state);
      else
        for (const { state: framed, outcome: across } of engine.choose(state, program.across()))
          if (bridge.calls) this.bridged(framed, across);
          else if (!across) this.received(framed);
          else if (this.scope === undefined)
            for (const { state: past, outcome } of engine.choose(framed, program.bridges()))
              this.endings.push({
                state: past,
                verdict: "accept",
                delivery: "forward",
                out: outcome.name,
                hook: null,
                reason: { code: "bridged-past-iptables" },
              });
    }
  }

  deliver(start: S): void {
    for (const { state: came } of this.entered(start))
      for (const state of this.hook({ state: came, ...NOWHERE }, "PREROUTING")) this.input(state);
  }

  /** Returns the packets as the first hook sees them, with the kind of their bridge: a port hands packets to its master. */
  private entered(start: S): Part<S, BridgeKind | null>[] {
    const { engine, program } = this;
    const parts: Part<S, BridgeKind | null>[] = [];
    for (const { state: came, outcome: entry } of engine.choose(start, program.entries())) {
      const { changes, bridge, unfollowed } = entry;
      if (unfollowed !== null) {
        this.left(came, unfollowed, null);
        continue;
      }
      const state = changes.reduce((s, [field, value]) => engine.assign(s, field, value), came);
      parts.push({ state, outcome: bridge });
    }
    return parts;
  }

  send(start: S): void {
    const { engine, program } = this;
    for (const held of this.passed(start, program.held()))
      for (const { state, outcome: route } of engine.choose(held, program.routesOut)) {
        if (route.kind === "none") {
          this.lost(state, route.reason);
          continue;
        }
        const first = engine.assign(state, "out", outOf(route));
        for (const { state: on, outcome } of this.output(first, route)) {
          const out = outOf(outcome);
          const way = { state: engine.assign(on, "out", out), delivery: "out", out } as const;
          if (out !== "lo") this.leave(way);
          else
            for (const back of this.hook(way, "POSTROUTING")) {
              const { state: last, reason } = engine.confirm(back);
              if (reason !== null) this.lost(last, reason, "POSTROUTING");
              else this.looped(last, outcome);
            }
        }
      }
  }

  /** Records packets that the kernel drops outside of the rules. */
  private lost(state: S, reason: EndReason, hook: Hook | null = null): void {
    this.endings.push({ state, verdict: "drop", delivery: "none", out: null, reason, hook });
  }

  /** Records packets that a table does not accept. */
  private stopped({ state, outcome: verdict, reason }: Part<S, Decision>, hook: Hook): void {
    this.endings.push({ state, verdict, delivery: "none", out: null, reason: reason ?? null, hook });
  }

  /** Records packets that are not followed further. */
  private left(state: S, reason: EndReason, hook: Hook | null): void {
    this.endings.push({ state, verdict: "undecided", delivery: "none", out: null, reason, hook });
  }

  /** Returns the parts that no case refuses, and records the others. */
  private passed(state: S, cases: RefusalCases, hook: Hook | null = null): S[] {
    const through: S[] = [];
    for (const { state: part, outcome: reason } of this.engine.choose(state, cases))
      if (reason === null) through.push(part);
      else this.lost(part, reason, hook);
    return through;
  }

  /** Returns the parts that unread base chains of a hook neither drop nor change. */
  private unread(state: S, hook: Hook): S[] {
    const cases = this.program.unread(hook);
    if (cases.length === 0) return [state];
    const through: S[] = [];
    for (const { state: part, outcome: end } of this.engine.choose(state, cases))
      if (end === null) through.push(part);
      else if (end.verdict === "drop") this.lost(part, end.reason, hook);
      else this.left(part, end.reason, hook);
    return through;
  }

  /** Returns the parts that are followed, and records the others. */
  private followed(start: S, cases: RefusalCases): S[] {
    const through: S[] = [];
    for (const { state: part, outcome: reason } of this.engine.choose(start, cases))
      if (reason === null) through.push(part);
      else this.left(part, reason, "PREROUTING");
    return through;
  }

  /** Walks packets that arrived: PREROUTING, routing, and the path after it. */
  private received(start: S): void {
    const { program } = this;
    for (const taken of this.passed(start, program.refused()))
      for (const state of this.hook({ state: taken, ...NOWHERE }, "PREROUTING"))
        for (const { state: on, outcome: out } of this.routed(state))
          this.onwards(on, out, program.stopped());
  }

  /**
   * Walks packets of a bridge that calls iptables: PREROUTING runs before the bridging decision. Packets to another port stay
   * on the bridge. Translated packets are routed at once, to another port or away from the bridge (br_nf_pre_routing_finish).
   */
  private bridged(start: S, across: boolean): void {
    const { engine, program } = this;
    for (const taken of this.passed(start, program.held()))
      for (const { state, outcome: moved } of this.hook({ state: taken, ...NOWHERE }, "PREROUTING").flatMap(
        (state) => engine.rerouted(taken, state, "bridge"),
      )) {
        if (across && !moved) {
          if (this.scope === undefined)
            for (const { state: framed, outcome } of engine.choose(state, program.bridges()))
              this.switched(framed, outcome);
          continue;
        }
        // A packet that was routed in the bridge has its output interface as input: link-local sources pass.
        const stopped = moved ? program.ended() : program.stopped();
        for (const known of moved ? this.followed(state, program.groups()) : [state])
          for (const { state: to, outcome: out } of this.routed(known))
            for (const { state: on, outcome: back } of moved
              ? engine.choose(to, program.turned(out))
              : [{ state: to, outcome: null }])
              if (back !== null) this.switched(on, back);
              else {
                // ip_rcv, which follows the bridge, removes the socket that TPROXY assigned (skb_orphan).
                const freed = engine.assign(on, "socket", 0);
                for (const own of this.passed(freed, program.refused())) this.onwards(own, out, stopped);
              }
      }
  }

  /** Returns the routed packets with their output interface; `""` for packets to the host. */
  private routed(start: S): Part<S, string>[] {
    const { engine, program } = this;
    const taken: Part<S, string>[] = [];
    const routes: readonly Case<RouteCase["outcome"] | null>[] = this.scope?.routes ?? program.routesIn;
    for (const { state, outcome: route } of engine.choose(start, routes)) {
      if (route === null) continue;
      if (route.kind === "none") {
        this.lost(state, route.reason);
        continue;
      }
      const out = route.kind === "via" ? route.out : "";
      for (const on of this.passed(engine.assign(state, "out", out), program.sources()))
        taken.push({ state: on, outcome: out });
    }
    return taken;
  }

  /** Walks routed packets: INPUT, or FORWARD and POSTROUTING. */
  private onwards(state: S, out: string, stopped: RefusalCases): void {
    if (out === "") this.input(state);
    else
      for (const sent of this.passed(state, stopped))
        this.forward({ state: this.engine.aged(sent), delivery: "forward", out });
  }

  private input(state: S): void {
    const leg = { state, delivery: "local", out: null } as const;
    for (const end of this.hook(leg, "INPUT")) this.end(leg, end, "INPUT");
  }

  /** Walks packets from one port of a bridge to another: like forwarded ones, but with the same time to live. */
  private switched(start: S, { name, physout }: Bridge): void {
    const { engine } = this;
    const state = engine.assign(engine.assign(start, "out", name), "physout", physout);
    const leg = { state, delivery: "forward", out: name } as const;
    // After FORWARD a bridged packet has no input interface (br_nf_post_routing).
    for (const on of this.hook(leg, "FORWARD"))
      this.leave({ ...leg, state: engine.assign(on, "in", "") }, ADDRESSED);
  }

  private forward(leg: Leg<S>): void {
    for (const state of this.hook(leg, "FORWARD")) this.leave({ ...leg, state });
  }

  /** @param unsent packets that cannot be sent because their neighbour is unknown; only routed packets need one */
  private leave(leg: Leg<S>, unsent = this.program.neighbours()): void {
    for (const end of this.hook(leg, "POSTROUTING"))
      for (const sent of this.passed(end, unsent)) this.end(leg, sent, "POSTROUTING");
  }

  /** Records packets that passed their last hook. */
  private end({ delivery, out }: Leg<S>, last: S, hook: Hook): void {
    const { state, reason } = this.engine.confirm(last);
    const beyond = this.program.unfollowed().get(out ?? "");
    if (reason !== null) this.lost(state, reason, hook);
    else if (beyond !== undefined) this.left(state, beyond, hook);
    else this.endings.push({ state, verdict: "accept", delivery, out, reason, hook });
  }

  /**
   * Runs OUTPUT. If mangle or a translation changed a field that the route depends on, the route is looked up again at once.
   * Later rules still see the interface with which the hook was entered.
   */
  private output(start: S, route: Taken): Part<S, Taken>[] {
    return this.unread(start, "OUTPUT")
      .flatMap((state) => this.sequenced(state, "OUTPUT"))
      .flatMap(({ state, outcome }) => this.outputStops({ state, outcome: route }, outcome));
  }

  private outputStops(start: Part<S, Taken>, stops: readonly Stop[]): Part<S, Taken>[] {
    const { engine } = this;
    let parts = [start];
    for (const stop of stops) {
      const through: Part<S, Taken>[] = [];
      for (const { state: before, outcome: way } of parts)
        for (const part of this.at(before, stop, "OUTPUT")) {
          if (part.outcome !== "accept") {
            this.stopped(part, "OUTPUT");
            continue;
          }
          const type = typeOf(stop);
          const split =
            type === "filter"
              ? [{ state: part.state, outcome: false }]
              : engine.rerouted(before, part.state, type);
          for (const { state, outcome: moved } of split)
            if (moved) through.push(...this.routedAgain(state));
            else through.push({ state, outcome: way });
        }
      parts = through;
    }
    return parts;
  }

  /** Looks the route of packets of OUTPUT up again. */
  private routedAgain(start: S): Part<S, Taken>[] {
    return this.engine
      .choose(start, this.program.routesAgain)
      .flatMap(({ state, outcome }): Part<S, Taken>[] => {
        if (outcome.kind !== "none") return [{ state, outcome }];
        this.lost(state, outcome.reason, "OUTPUT");
        return [];
      });
  }

  /** Walks packets that return by loopback. They keep their route, so there is no second routing decision. */
  private looped(state: S, route: Taken): void {
    const { engine, program } = this;
    const changes = [
      ["in", "lo"],
      ["out", ""],
      ["socket", 0],
    ] as const;
    const start = changes.reduce((s, [field, value]) => engine.assign(s, field, value), state);
    for (const back of this.hook({ state: start, ...NOWHERE }, "PREROUTING"))
      for (const whole of this.passed(back, program.waiting))
        if (route.kind === "local") this.input(whole);
        else this.lost(whole, { code: "loopback-unreceived" });
  }

  /** Runs a hook; returns the packets that pass and records the others. */
  private hook(leg: Leg<S>, name: Hook): readonly S[] {
    return this.unread(leg.state, name)
      .flatMap((state) => this.sequenced(state, name))
      .flatMap(({ state, outcome }) => this.runStops(state, outcome, name));
  }

  /** Splits a state by the order of the stops of a hook, where it is open, and records packets with too many orders. */
  private sequenced(state: S, name: Hook): Part<S, readonly Stop[]>[] {
    const cases = this.program.sequences(name);
    const [only] = cases;
    if (cases.length === 1 && only!.outcome !== null) return [{ state, outcome: only!.outcome }];
    return this.engine
      .choose(state, cases)
      .flatMap(({ state: part, outcome }): Part<S, readonly Stop[]>[] => {
        if (outcome !== null) return [{ state: part, outcome }];
        this.left(part, { code: "too-many-orders", hook: name }, name);
        return [];
      });
  }

  private runStops(start: S, stops: readonly Stop[], name: Hook): readonly S[] {
    let states: readonly S[] = [start];
    for (const stop of stops) {
      const through: S[] = [];
      for (const state of states)
        for (const part of this.at(state, stop, name))
          if (part.outcome === "accept") through.push(part.state);
          else this.stopped(part, name);
      states = through;
    }
    return states;
  }

  private at(state: S, stop: Stop, name: Hook): readonly Part<S, Decision>[] {
    switch (stop.kind) {
      case "chain":
        return this.engine.chain(state, stop.chain);
      case "nat":
        return this.engine.nat(state, stop);
      case "track":
        return this.engine.track(state, name).map((tracked) => ({ state: tracked, outcome: "accept" }));
    }
  }
}

/** Returns the type of a stop for the route: only chains of type route and nat can change it. */
const typeOf = (stop: Stop): BaseChain["type"] =>
  stop.kind === "chain" ? stop.chain.type : stop.kind === "nat" ? "nat" : "filter";

/** A bridge keeps the link-layer address of a frame, so it needs no neighbour. */
const ADDRESSED: RefusalCases = [{ when: ANY, outcome: null }];

/** Delivery of a packet before it is routed. */
const NOWHERE = { delivery: "none", out: null } as const;
