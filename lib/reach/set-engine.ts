/** The engine that walks packet sets. It follows the same path as the simulator does with one packet. */
import {
  CT,
  CT_STATUS,
  type CtState,
  type Family,
  type Field,
  NAT_DONE,
  type Scalar,
} from "../packet/field.ts";
import { ANY, type Predicate } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import type { NatSide, NatStop } from "../path/hooks.ts";
import type { Program } from "../path/program.ts";
import {
  arrive,
  type Confirmed,
  type Decision,
  deliver,
  type Ending,
  type Engine,
  type Observer,
  observed,
  type Part,
  type Rerouting,
  send,
} from "../path/walk.ts";
import { forwardedTo } from "../path/walk-scope.ts";
import type { BaseChain } from "../rules/base-chain.ts";
import type { TableId } from "../rules/ruleset.ts";
import { ChainEvaluator } from "./chain-evaluator.ts";
import { decisionOfOutcome } from "./chain-outcome.ts";
import type { Domain } from "./domain.ts";
import { NatTranslation } from "./nat-translation.ts";
import { EMPTY } from "./node-store.ts";
import {
  type Bindings,
  bindFields,
  type HeaderState,
  mapHeaders,
  type SetState,
  type SetStates,
  singleState,
  valueIn,
} from "./set-state.ts";
import { readsTuplePorts, tuplePortCases } from "./vocabulary.ts";

/** Bindings of a packet that arrives: no mark, no connection. */
const INITIAL_BINDINGS: Bindings = {
  out: { value: "" },
  physin: { value: "" },
  physout: { value: "" },
  mark: { value: 0 },
  // `send` binds it to 1.
  socket: { value: 0 },
  ctmark: { value: 0 },
  // Conntrack reassembles fragments before any table (nf_defrag_ipv4).
  fragment: { value: 0 },
  // Only frames addressed to this host (PACKET_HOST); published ports never see others.
  pkttype: { value: 0 },
  ctstate: { value: CT.INVALID },
  ctstatus: { value: 0 },
  ctdir: { value: 0 },
};

/** States of packets of a known connection. */
export const KNOWN_STATES = ["ESTABLISHED", "RELATED"] as const satisfies readonly CtState[];
export type KnownState = (typeof KNOWN_STATES)[number];

/** Bindings of the first packet of a connection, and of later ones without translation: the tuples equal the header. */
const TRACKED_BINDINGS: Bindings = {
  ctproto: { variable: "proto" },
  ctorigsrc: { variable: "src" },
  ctorigdst: { variable: "dst" },
  ctorigsrcport: { variable: "sport" },
  ctorigdstport: { variable: "dport" },
  ctreplsrc: { variable: "dst" },
  ctrepldst: { variable: "src" },
  ctreplsrcport: { variable: "dport" },
  ctrepldstport: { variable: "sport" },
};

/** Fields on which a route depends (ip_route_me_harder, ip6_route_me_harder). */
const ROUTED_FIELDS: Readonly<Record<Family, readonly Field[]>> = {
  4: ["src", "dst", "mark", "tos"],
  6: ["src", "dst", "mark", "tos", "ttl"],
};

export class SetEngine implements Engine<SetStates> {
  readonly chains: ChainEvaluator;
  private readonly natTranslation: NatTranslation;
  private readonly fresh: readonly Case<CtState>[];
  /** Ports in the tuples, if a rule tests them. */
  private readonly ports: readonly Case<Bindings>[] | null;
  /**
   * @param sent true if the caller reads the source that packets leave with; otherwise source translation that cannot
   *   drop is skipped, which keeps the sets smaller
   * @param known conntrack state of all packets: they belong to connections that NAT does not translate, and go in the original
   *   direction; `null` for packets of which conntrack knows no connection yet
   */
  constructor(
    readonly program: Program,
    readonly domain: Domain,
    private readonly sent = true,
    private readonly known: KnownState | null = null,
  ) {
    this.chains = ChainEvaluator.of(program, domain);
    this.fresh = known === null ? program.initialStates() : [{ when: ANY, outcome: known }];
    this.ports = readsTuplePorts(program) ? tuplePortCases(program.ruleset.family) : null;
    this.natTranslation = new NatTranslation(program, domain, this.chains);
  }

  /** Returns the state of all packets that satisfy a predicate, as they are sent. */
  start(predicate: Predicate): SetState {
    return {
      set: this.domain.set(predicate),
      bindings: INITIAL_BINDINGS,
      translated: [],
      natDone: { dst: false, src: false },
      unsure: [],
    };
  }

  /** Endings of packets that arrive from outside. */
  arrive(start: SetState, observe?: Observer<SetStates>): Ending<SetStates>[] {
    return start.set === EMPTY ? [] : arrive(singleState(start), this.program, this.engine(observe));
  }

  /** Endings of packets that arrive and are forwarded to some interfaces, none of which is a bridge of containers. */
  forward(start: SetState, outputs: readonly string[], observe?: Observer<SetStates>): Ending<SetStates>[] {
    if (start.set === EMPTY) return [];
    const scope = forwardedTo(this.program, new Set(outputs));
    return arrive(singleState(start), this.program, this.engine(observe), scope);
  }

  /** Endings in PREROUTING and INPUT of packets as if all were for this host. */
  deliver(start: SetState, observe?: Observer<SetStates>): Ending<SetStates>[] {
    return start.set === EMPTY ? [] : deliver(singleState(start), this.program, this.engine(observe));
  }

  /** Endings of packets that the host sends. */
  send(start: SetState, observe?: Observer<SetStates>): Ending<SetStates>[] {
    if (start.set === EMPTY) return [];
    const sent = bindFields(start, { in: { value: "" }, socket: { value: 1 } });
    return send(singleState(sent), this.program, this.engine(observe));
  }

  private engine(observe: Observer<SetStates> | undefined): Engine<SetStates> {
    return observe === undefined ? this : observed(this, observe);
  }

  /** Evaluates a base chain on packets with one header state. */
  decideTable(start: SetState, table: TableId, chain: string): Part<SetState, Decision>[] {
    return this.evaluate(singleState(start), table, chain).flatMap(({ state, outcome }) =>
      this.chains.splitByHeader(state).map((each) => ({ state: each, outcome })),
    );
  }

  /** Splits endings by header state. */
  splitEndings(endings: readonly Ending<SetStates>[]): Ending<SetState>[] {
    return endings.flatMap((ending) =>
      this.chains.splitByHeader(ending.state).map((state): Ending<SetState> => ({ ...ending, state })),
    );
  }

  chain(states: SetStates, { table, name }: BaseChain): Part<SetStates, Decision>[] {
    return this.evaluate(states, table, name);
  }

  private evaluate(states: SetStates, table: TableId, chain: string): Part<SetStates, Decision>[] {
    return this.chains
      .evaluateBaseChain(states, table, chain)
      .map(({ state, outcome }) => ({ state, outcome: decisionOfOutcome(outcome) }));
  }

  track(states: SetStates): SetStates[] {
    if (!this.program.tracks) return [states];
    const done = (header: HeaderState): boolean => {
      const ctstate = valueIn(header, "ctstate");
      return ctstate === CT.UNTRACKED || ctstate === CT[this.known ?? "NEW"];
    };
    return [...this.chains.groupByHeader(states, done)].flatMap(([skipped, some]) =>
      skipped
        ? [some]
        : this.choose(some, this.fresh).flatMap(({ state, outcome }) => {
            const tracking = {
              ctstate: { value: CT[outcome] },
              ...(outcome === "INVALID" ? {} : TRACKED_BINDINGS),
            };
            const tracked = mapHeaders(state, (header) => bindFields(header, tracking));
            return outcome !== "INVALID" && this.ports !== null
              ? this.choose(tracked, this.ports).map((part) =>
                  mapHeaders(part.state, (header) => bindFields(header, part.outcome)),
                )
              : [tracked];
          }),
    );
  }

  nat(states: SetStates, { hook, side, chains }: NatStop): Part<SetStates, Decision>[] {
    const bound = chains.flatMap(({ table, name }) => this.program.chain(table, name) ?? []);
    const skips = (header: HeaderState): boolean =>
      valueIn(header, "ctstate") !== CT.NEW ||
      header.natDone[side] ||
      (!this.sent &&
        hook === "POSTROUTING" &&
        this.natTranslation.cannotDrop(String(valueIn(header, "out"))));
    return [...this.chains.groupByHeader(states, skips)].flatMap(
      ([skipped, some]): Part<SetStates, Decision>[] => {
        if (skipped) return [{ state: some, outcome: "accept" }];
        // A hook without chains of type nat binds the connection to its present header (nf_nat_alloc_null_binding).
        const parts: readonly Part<SetStates, Decision>[] =
          bound.length === 0
            ? [{ state: some, outcome: "accept" }]
            : this.chains
                .splitByHeader(some)
                .flatMap((state) => this.natTranslation.translate(state, bound, side));
        return parts.map((part) => ({ ...part, state: mapHeaders(part.state, (h) => translated(h, side)) }));
      },
    );
  }

  choose<T>(states: SetStates, cases: readonly Case<T>[]): Part<SetStates, T>[] {
    return this.chains.choose(states, cases);
  }

  assign(states: SetStates, field: Field, value: Scalar): SetStates {
    return mapHeaders(states, (header) => bindFields(header, { [field]: { value } }));
  }

  aged(states: SetStates): SetStates {
    return mapHeaders(states, (header) => {
      const { ttl } = header.bindings;
      if (ttl !== undefined && "value" in ttl)
        return bindFields(header, { ttl: { value: Number(ttl.value) - 1 } });
      return bindFields(header, { ttl: { variable: "ttl", decrement: (ttl?.decrement ?? 0) + 1 } });
    });
  }

  confirm(states: SetStates): Confirmed<SetStates> {
    const state = mapHeaders(states, (header) => {
      const status = valueIn(header, "ctstatus");
      return valueIn(header, "ctstate") === CT.NEW && typeof status === "number"
        ? bindFields(header, { ctstatus: { value: status | CT_STATUS.CONFIRMED } })
        : header;
    });
    return { state, reason: null };
  }

  rerouted(before: SetStates, after: SetStates, type: Rerouting): Part<SetStates, boolean>[] {
    const fields: readonly Field[] = type !== "route" ? ["dst"] : ROUTED_FIELDS[this.program.ruleset.family];
    return this.chains.splitMoved(before, after, fields);
  }
}

/** Marks a side of headers as translated, in the status of the connection, too. */
const translated = (header: HeaderState, side: NatSide): HeaderState => {
  const status = valueIn(header, "ctstatus") as number;
  return {
    ...bindFields(header, { ctstatus: { value: status | NAT_DONE[side] } }),
    natDone: { ...header.natDone, [side]: true },
  };
};
