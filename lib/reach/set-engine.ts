/** All packets at once: the engine that walks a set of packets, on the same way as the simulator's single one. */

import {
  type Address,
  CT,
  CT_STATUS,
  type CtState,
  type Family,
  type Field,
  hasPorts,
  isExtension,
  LAST_NAME,
  PROTO,
  type Range,
  type Scalar,
  successor,
  tracksPorts,
} from "../packet/field.ts";
import { leastLength, type Packet } from "../packet/packet.ts";
import { ANY, and, between, is, leaves, NEVER, or, type Predicate } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import type { NatSide } from "../path/hooks.ts";
import { destinations, fixed, isNobody, translate } from "../path/nat.ts";
import { freshCases, loose } from "../path/new-connection.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import { invertTuple, tupleOf } from "../path/tuple.ts";
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
  send,
} from "../path/walk.ts";
import type { BaseChain } from "../rules/base-chain.ts";
import { HOOKS } from "../rules/base-chain.ts";
import { changed, type Effect, ends, forks, type Nat } from "../rules/effect.ts";
import { countRules, type Rule, TABLES, type TableName } from "../rules/ruleset.ts";
import { BudgetExceeded } from "./budget.ts";
import { ChainEvaluator, type ChainOutcome, type Translation } from "./chain-evaluator.ts";
import type { Domain } from "./domain.ts";
import { EMPTY, type Node } from "./node-store.ts";
import {
  type Binding,
  type Bindings,
  bindFields,
  type HeaderState,
  headerStateOf,
  mapHeaders,
  type SetState,
  type SetStates,
  singleState,
  valueIn,
} from "./set-state.ts";
import { sharedUnknowns } from "./shared-unknowns.ts";
import { MARK_FIELDS, type Vocabulary } from "./variables.ts";

/** What a domain must be able to tell apart to follow a program. */
export function vocabularyOf(program: Program): Vocabulary {
  if (countRules(program.ruleset) > MOST_SET_RULES) throw new BudgetExceeded(MOST_SET_RULES, null, "rules");
  return {
    predicates: predicatesOf(program),
    markValues: possibleMarks(program),
    shared: sharedUnknowns(program),
  };
}

/** Rulesets with more rules than this are not followed as sets: it would take over 20 s and 2 GB. */
const MOST_SET_RULES = 300_000;

/** More different marks than this are not followed: nothing is said then. */
const MOST_MARKS = 4096;

/** All values that marks can come to have: none, and whatever the rules make of those they already gave. */
function possibleMarks(program: Program): Map<Field, Set<number>> {
  const marks = new Map<Field, Set<number>>(MARK_FIELDS.map((field) => [field, new Set([0])]));
  const changes: Extract<Effect, { kind: "assign" }>[] = [];
  for (const { effect } of rulesOf(program))
    for (const end of ends(effect)) if (end.kind === "assign" && marks.has(end.field)) changes.push(end);
  for (let grew = true; grew; ) {
    grew = false;
    for (const { field, change } of changes) {
      const into = marks.get(field)!;
      const from = change.kind === "copy" ? (marks.get(change.from) ?? [0]) : [0];
      for (const old of [...into])
        for (const other of from) {
          const value = changed(old, change, other)!;
          if (into.has(value)) continue;
          // To follow some of them alone would be to say of the others what is not so.
          if (into.size >= MOST_MARKS) throw new BudgetExceeded(MOST_MARKS, null, "values of marks");
          into.add(value);
          grew = true;
        }
    }
  }
  return marks;
}

function* rulesOf(program: Program, tables: readonly TableName[] = TABLES): Generator<BoundRule> {
  for (const table of tables)
    for (const name of program.ruleset.tables.get(table)?.chains.keys() ?? [])
      yield* program.chain(table, name)!.rules;
}

/** What the rules ask, and what decides between the ends of their effects. */
function* rulePredicates(program: Program): Generator<Predicate> {
  for (const { when, effect } of rulesOf(program)) {
    yield when;
    yield* forks(effect);
  }
}

/** Every predicate that a program can ask. */
export function* predicatesOf(program: Program): Generator<Predicate> {
  if (readsTuplePorts(program)) for (const { when } of tuplePortCases(program.ruleset.family)) yield when;
  yield* rulePredicates(program);
  yield* translationPredicates(program);
  for (const { when } of program.entries) yield when;
  for (const { when } of program.across) yield when;
  for (const { when } of program.groups) yield when;
  for (const { when } of program.stopped) yield when;
  for (const { when } of program.neighbours) yield when;
  for (const hook of HOOKS) for (const { when } of program.unread(hook)) yield when;
  for (const { when } of program.refused) yield when;
  for (const { when } of program.sources) yield when;
  for (const { when } of program.routesIn) yield when;
  for (const { when } of program.routesOut) yield when;
  for (const { when } of program.routesAgain) yield when;
  for (const { when } of freshCases(program.ruleset.family, loose(program.host))) yield when;
}

/** Values of a field that a translation gives others one by one; of more than these it is not followed. */
const MOST_MAPPED = 1024;

/** The field whose every value becomes another one, or `null` where all become the same. */
const mappedField = ({ side, to, ports }: Nat): Field | null =>
  to.kind === "netmap" ? side : ports?.base === undefined ? null : portField(side);

const portField = (side: Nat["side"]): Field => (side === "dst" ? "dport" : "sport");

/** Of all rules together. */
const MOST_MAPPED_BY_ALL = 8 * MOST_MAPPED;

/** The values that the rule of such a translation asks for, each by itself. */
function* mappedValues(when: Predicate, field: Field): Generator<Predicate> {
  const asked: Range[] = [];
  leaves(when, (leaf) => {
    if (leaf.kind === "in" && leaf.field === field) asked.push(...leaf.ranges);
  });
  for (const [first, last] of asked as (readonly [Address, Address])[]) {
    if (BigInt(last) - BigInt(first) >= BigInt(MOST_MAPPED)) continue;
    for (let value = first; value <= last; value = successor(value) as Address) yield is(field, value);
  }
}

/** What translations turn headers into: the sets must be able to tell whether a header is that already. */
function* translationPredicates(program: Program): Generator<Predicate> {
  const { host, ruleset } = program;
  const { family } = ruleset;
  const interfaces = new Set<Nat["side"]>();
  let mapped = 0;
  for (const { when, effect } of rulesOf(program))
    for (const nat of ends(effect)) {
      if (nat.kind !== "nat") continue;
      const { to, ports, side } = nat;
      const field = mappedField(nat);
      if (field !== null)
        for (const value of mappedValues(when, field)) if (mapped++ < MOST_MAPPED_BY_ALL) yield value;
      const port = portField(side);
      if (to.kind === "range") yield is(side, to.first);
      if (to.kind === "interface") interfaces.add(side);
      if (ports !== null) yield is(port, ports.first);
      if (ports !== null) yield between(port, ports.first, ports.last);
    }
  for (const side of interfaces) {
    for (const each of host.interfaces) {
      yield is(side === "src" ? "out" : "in", each.name);
      for (const a of each.addresses) if (a.family === family) yield is(side, a.address);
    }
    for (const { when } of destinations[family]) yield when;
    yield is("src", ZERO_ADDRESS[family]);
    if (side === "dst") yield is(side, family === 4 ? 0x7f00_0001 : 1n);
  }
}

/** Packets that come from no address, and all others. */
const ANY_SOURCE: readonly Case<boolean>[] = [{ when: ANY, outcome: false }];
const ZERO_SOURCE: readonly Case<boolean>[] = [{ when: is("src", 0), outcome: true }, ...ANY_SOURCE];

const ZERO_ADDRESS: Readonly<Record<Family, Address>> = { 4: 0, 6: 0n };
const NONZERO_ADDRESS: Readonly<Record<Family, Address>> = { 4: 1, 6: 1n };

/** A fresh packet: nothing is marked, nothing is known of it. */
const INITIAL_BINDINGS: Bindings = {
  out: { value: "" },
  physin: { value: "" },
  physout: { value: "" },
  mark: { value: 0 },
  // No socket of this host sent it; `send` says otherwise.
  socket: { value: 0 },
  ctmark: { value: 0 },
  // Conntrack puts fragments together before any table sees them.
  fragment: { value: 0 },
  // What is not addressed to the host on the wire is not what anybody publishes.
  pkttype: { value: 0 },
  ctstate: { value: CT.INVALID },
  ctstatus: { value: 0 },
  ctdir: { value: 0 },
};

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

const TUPLE_PORTS: readonly Field[] = ["ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport"];

/** What stands in a connection's tuple in place of ports, for protocols that have none: 0, or the type of an ICMP query. */
function tuplePortCases(family: Family): Case<Bindings>[] {
  const [proto, types] = family === 4 ? [PROTO.icmp, [8, 13, 15, 17]] : [PROTO.icmpv6, [128, 139]];
  const bound = (type?: number): Bindings => {
    const { sport, dport } = tupleOf({ proto: type === undefined ? 0 : proto, src: 0, dst: 0, type });
    const reply = invertTuple(tupleOf({ proto: type === undefined ? 0 : proto, src: 0, dst: 0, type }));
    return {
      ctorigsrcport: { value: sport },
      ctorigdstport: { value: dport },
      ctreplsrcport: { value: reply.sport },
      ctrepldstport: { value: reply.dport },
    };
  };
  return [
    {
      when: or(
        ...Object.values(PROTO)
          .filter(tracksPorts)
          .map((n) => is("proto", n)),
      ),
      outcome: {},
    },
    ...types.map((t) => ({ when: and(is("proto", proto), is("type", t)), outcome: bound(t) })),
    { when: ANY, outcome: bound() },
  ];
}

/** Whether the rules ask for the ports of connections. */
const readsTuplePorts = (program: Program): boolean => {
  let asks = false;
  for (const asked of rulePredicates(program))
    leaves(asked, (leaf) => {
      if (leaf.kind !== "opaque" && TUPLE_PORTS.includes(leaf.field)) asks = true;
    });
  return asks;
};

export class SetEngine implements Engine<SetStates> {
  readonly chains: ChainEvaluator;
  private readonly fresh: readonly Case<CtState>[];
  /** Where the rules ask for the ports of connections, those of packets that have none. */
  private readonly ports: readonly Case<Bindings>[] | null;
  /** By which interface: the one that MASQUERADE and REDIRECT take an address of. */
  private readonly devices: Readonly<Record<"dst" | "src", readonly Case<string>[]>>;

  /** By interface, whether every packet that goes out by it comes through the nat table. */
  private readonly cannotDrop = new Map<string, boolean>();
  private sourceNatsMade: readonly Nat[] | null | undefined;

  /**
   * @param sent whether the header that packets leave with is asked for: else they are not divided by the source
   *   they leave with, which nobody behind it looks at
   */
  constructor(
    readonly program: Program,
    readonly domain: Domain,
    private readonly sent = true,
  ) {
    this.chains = ChainEvaluator.of(program, domain);
    this.fresh = freshCases(program.ruleset.family, loose(program.host));
    const each = (field: Field): Case<string>[] =>
      program.host.interfaces.map(({ name }) => ({ when: is(field, name), outcome: name }));
    this.ports = readsTuplePorts(program) ? tuplePortCases(program.ruleset.family) : null;
    this.devices = { dst: each("in"), src: each("out") };
  }

  /** The state of all packets that satisfy a predicate, before anything happened to them. */
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

  /** Evaluates a base chain for packets of one form. */
  decideTable(start: SetState, table: TableName, chain: string): Part<SetState, Decision>[] {
    return this.evaluate(singleState(start), table, chain).flatMap(({ state, outcome }) =>
      this.chains.splitByHeader(state).map((each) => ({ state: each, outcome })),
    );
  }

  /** Endings form by form. */
  splitEndings(endings: readonly Ending<SetStates>[]): Ending<SetState>[] {
    return endings.flatMap((ending) =>
      this.chains.splitByHeader(ending.state).map((state): Ending<SetState> => ({ ...ending, state })),
    );
  }

  chain(states: SetStates, { table, name }: BaseChain): Part<SetStates, Decision>[] {
    return this.evaluate(states, table, name);
  }

  private evaluate(states: SetStates, table: TableName, chain: string): Part<SetStates, Decision>[] {
    return this.chains
      .evaluateBaseChain(states, table, chain)
      .map(({ state, outcome }) => ({ state, outcome: decisionOfOutcome(outcome) }));
  }

  track(states: SetStates): SetStates[] {
    if (!this.program.tracks) return [states];
    const done = (form: HeaderState): boolean => {
      const known = valueIn(form, "ctstate");
      return known === CT.UNTRACKED || known === CT.NEW;
    };
    return [...this.chains.groupByHeader(states, done)].flatMap(([known, some]) =>
      known
        ? [some]
        : this.choose(some, this.fresh).flatMap(({ state, outcome }) => {
            const word = { ctstate: { value: CT[outcome] }, ...(outcome === "NEW" ? TRACKED_BINDINGS : {}) };
            const tracked = mapHeaders(state, (form) => bindFields(form, word));
            return outcome === "NEW" && this.ports !== null
              ? this.choose(tracked, this.ports).map((part) =>
                  mapHeaders(part.state, (form) => bindFields(form, part.outcome)),
                )
              : [tracked];
          }),
    );
  }

  nat(states: SetStates, base: BaseChain, side: NatSide): Part<SetStates, Decision>[] {
    const chain = this.program.chain(base.table, base.name);
    const passed = (form: HeaderState): boolean =>
      chain === undefined ||
      valueIn(form, "ctstate") !== CT.NEW ||
      form.natDone[side] ||
      (!this.sent && base.hook === "POSTROUTING" && this.natCannotDrop(String(valueIn(form, "out"))));
    return [...this.chains.groupByHeader(states, passed)].flatMap(
      ([past, some]): Part<SetStates, Decision>[] =>
        past || chain === undefined
          ? [{ state: some, outcome: "accept" }]
          : this.chains.splitByHeader(some).flatMap((state) => this.translate(state, chain, side)),
    );
  }

  /** Asks a chain of the nat table about packets of one form. */
  private translate(state: SetState, chain: BoundChain, side: "dst" | "src"): Part<SetStates, Decision>[] {
    const asked: SetState = { ...state, natDone: { ...state.natDone, [side]: true } };
    const { states, others } = this.chains.splitTranslations(asked, chain, (outcome) =>
      this.fixedTranslation(asked, outcome),
    );
    const parts = others.flatMap(({ state: after, outcome }): Part<SetState, Decision>[] => {
      if (outcome.kind === "nat") return this.translatePackets(after, outcome.nat, outcome.rule, side);
      const how = decisionOfOutcome(outcome);
      return [{ state: after, outcome: how === "reject" ? "drop" : how }];
    });
    return [
      ...(states.set === EMPTY ? [] : [{ state: states, outcome: "accept" as const }]),
      ...parts.map((part) => ({ state: singleState(part.state), outcome: part.outcome })),
    ];
  }

  /** The form after a translation that gives every packet the same header; one that has it already is not translated. */
  private fixedTranslation(state: SetState, { nat, rule, idle }: Translation): HeaderState | null {
    const header = fixed(nat);
    if (header === null) return null;
    const after = withTranslation(state, rule);
    return headerStateOf(idle ? after : this.bindHeader(after, nat.side, header.address, header.port));
  }

  /** Whether nothing in the nat table can stop what goes out by an interface; what comes back in by it is another thing. */
  private natCannotDrop(out: string): boolean {
    let open = this.cannotDrop.get(out);
    if (open === undefined) {
      const { host, ruleset } = this.program;
      const old = { address: NONZERO_ADDRESS[ruleset.family], port: undefined };
      const has = (nat: Nat): boolean =>
        destinations[ruleset.family].every(
          ({ outcome: dst }) => translate(nat, old, PROTO.tcp, out, dst, host, ruleset.family) !== null,
        );
      open = out !== "lo" && this.sourceNats !== null && this.sourceNats.every(has);
      this.cannotDrop.set(out, open);
    }
    return open;
  }

  /** What can stop packets in the nat table, an effect of a kind; `null` where more than a missing address can. */
  private get sourceNats(): readonly Nat[] | null {
    if (this.sourceNatsMade === undefined) {
      const effects = [...rulesOf(this.program, ["nat"])].flatMap(({ effect }) => [...ends(effect)]);
      const policies = [...(this.program.ruleset.tables.get("nat")?.chains.values() ?? [])];
      const stopped =
        policies.some(({ policy }) => policy !== null && policy !== "ACCEPT") ||
        effects.some(
          (e) =>
            ["opaque", "hotdrop", "stolen"].includes(e.kind) ||
            (e.kind === "verdict" && e.verdict !== "accept"),
        );
      const nats = effects.flatMap((e) => (e.kind === "nat" && e.side === "src" ? [e] : []));
      const kinds = new Map(nats.map((nat) => [nat.to.kind, nat]));
      this.sourceNatsMade = stopped ? null : [...kinds.values()];
    }
    return this.sourceNatsMade;
  }

  private translatePackets(
    state: SetState,
    nat: Nat,
    rule: Rule,
    side: "dst" | "src",
  ): Part<SetState, Decision>[] {
    const after = withTranslation(state, rule);
    const { family } = this.program.ruleset;
    if (nat.to.kind !== "interface") return this.translatePorts(after, nat, side, "", ZERO_ADDRESS[family]);
    const sources = isNobody(nat, family) ? ZERO_SOURCE : ANY_SOURCE;
    return this.chooseForOne(after, sources).flatMap(
      ({ state: from, outcome: nobody }): Part<SetState, Decision>[] =>
        nobody
          ? [{ state: from, outcome: "accept" }]
          : this.chooseForOne(from, this.devices[side]).flatMap(({ state: part, outcome: device }) =>
              this.chooseForOne(part, destinations[family]).flatMap(({ state: towards, outcome: dst }) =>
                this.translatePorts(towards, nat, side, device, dst),
              ),
            ),
    );
  }

  /** Ports within the rule's range are kept; of the others the kernel chooses one, which nobody can foretell. */
  private translatePorts(
    state: SetState,
    nat: Nat,
    side: "dst" | "src",
    device: string,
    towards: Address,
  ): Part<SetState, Decision>[] {
    const { ports } = nat;
    const mapped = mappedField(nat);
    if (mapped !== null) return this.translateEachValue(state, nat, mapped, device, towards);
    if (ports === null || ports.first === ports.last)
      return this.bindTranslation(state, nat, side, device, towards);
    const field = portField(side);
    const cases: Case<boolean>[] = [
      { when: nat.random ? NEVER : between(field, ports.first, ports.last), outcome: true },
      { when: ANY, outcome: false },
    ];
    return this.chooseForOne(state, cases).flatMap(({ state: part, outcome: kept }) =>
      this.bindTranslation(
        kept ? part : withKernelChoice(part, side, "the kernel chooses the port"),
        { ...nat, ports: kept ? null : ports },
        side,
        device,
        towards,
      ),
    );
  }

  /** Packets by the value that is mapped, each by itself. */
  private translateEachValue(
    state: SetState,
    nat: Nat,
    field: Field,
    device: string,
    towards: Address,
  ): Part<SetState, Decision>[] {
    const { side } = nat;
    const to = (part: SetState, value: Scalar): Part<SetState, Decision>[] => {
      const was = field === side ? { address: value as Address } : { port: value as number };
      return this.bindTranslation(part, nat, side, device, towards, was);
    };
    const known = valueIn(state, field);
    if (known !== undefined) return to(state, known);
    const { diagrams } = this.domain;
    const parts: Part<SetState, Decision>[] = [];
    let { set } = state;
    for (const value of this.domain.singleValues(set, field, MOST_MAPPED)) {
      const one = diagrams.intersect(this.domain.set(is(field, value)), set);
      set = diagrams.subtract(set, one);
      parts.push(...to({ ...state, set: one }, value));
    }
    if (set === EMPTY) return parts;
    const why = `a translation gives more than ${MOST_MAPPED} values of ${field} another one each`;
    return [...parts, { state: { ...state, set, unsure: [...state.unsure, why] }, outcome: "undecided" }];
  }

  /**
   * Binds the translated fields to what they become.
   * @param towards an address that stands for the destinations of the packets
   * @param was what they are now, where the translation makes something else of each
   */
  private bindTranslation(
    state: SetState,
    nat: Nat,
    side: "dst" | "src",
    device: string,
    towards: Address,
    was: { readonly address?: Address; readonly port?: number } = {},
  ): Part<SetState, Decision>[] {
    const { host, ruleset } = this.program;
    const port = portField(side);
    const old = {
      // Nobody's address is dealt with before; what any other is makes no difference.
      address: (valueIn(state, side) as Address | undefined) ?? NONZERO_ADDRESS[ruleset.family],
      port: valueIn(state, port) as number | undefined,
      ...was,
    };
    const to = translate(
      nat,
      old,
      6,
      device,
      (valueIn(state, "dst") as Address | undefined) ?? towards,
      host,
      ruleset.family,
    );
    if (to === null) return [{ state, outcome: "drop" }];
    if (nat.to.kind === "range" && nat.to.first !== nat.to.last)
      return this.bindTranslation(
        withKernelChoice(state, side, "the kernel chooses the address"),
        { ...nat, to: { ...nat.to, last: nat.to.first } },
        side,
        device,
        towards,
        was,
      );
    // A translation to what is there already is none: conntrack does not call the flow translated (nf_nat_setup_info).
    let same = state.set;
    const among = (what: Field, known: Scalar | undefined, value: Scalar | null): void => {
      if (value === null || value === known) return;
      same =
        known === undefined
          ? this.chains.intersectCurrent({ ...state, set: same }, this.domain.set(is(what, value)))
          : EMPTY;
    };
    among(side, was.address, to.address);
    among(port, was.port, to.port);
    const other = { ...state, set: this.domain.diagrams.subtract(state.set, same) };
    return [
      { state: { ...state, set: same }, outcome: "accept" as const },
      { state: this.bindHeader(other, side, to.address, to.port), outcome: "accept" as const },
    ].filter((part) => part.state.set !== EMPTY);
  }

  /** A state whose translated fields are bound to what they become. */
  private bindHeader(
    state: SetState,
    side: "dst" | "src",
    address: Address | null,
    port: number | null,
  ): SetState {
    const bit = side === "dst" ? CT_STATUS.DST_NAT : CT_STATUS.SRC_NAT;
    const status = ((valueIn(state, "ctstatus") as number | undefined) ?? 0) | bit;
    const changes: { [F in Field]?: Binding } = { ctstatus: { value: status } };
    if (address !== null)
      changes[side] = changes[side === "dst" ? "ctreplsrc" : "ctrepldst"] = { value: address };
    if (port !== null)
      changes[side === "dst" ? "dport" : "sport"] = changes[
        side === "dst" ? "ctreplsrcport" : "ctrepldstport"
      ] = { value: port };
    return bindFields(state, changes);
  }

  /** The first case that holds, for packets of one form. */
  private chooseForOne<T>(state: SetState, cases: readonly Case<T>[]): Part<SetState, T>[] {
    return this.choose(singleState(state), cases).flatMap(({ state: part, outcome }) =>
      this.chains.splitByHeader(part).map((each) => ({ state: each, outcome })),
    );
  }

  choose<T>(states: SetStates, cases: readonly Case<T>[]): Part<SetStates, T>[] {
    return this.chains.choose(states, cases);
  }

  assign(states: SetStates, field: Field, value: Scalar): SetStates {
    return mapHeaders(states, (form) => bindFields(form, { [field]: { value } }));
  }

  aged(states: SetStates): SetStates {
    return mapHeaders(states, (form) => {
      const { ttl } = form.bindings;
      if (ttl !== undefined && "value" in ttl)
        return bindFields(form, { ttl: { value: Number(ttl.value) - 1 } });
      return bindFields(form, { ttl: { variable: "ttl", decrement: (ttl?.decrement ?? 0) + 1 } });
    });
  }

  confirm(states: SetStates): Confirmed<SetStates> {
    const state = mapHeaders(states, (form) => {
      const status = valueIn(form, "ctstatus");
      return valueIn(form, "ctstate") === CT.NEW && typeof status === "number"
        ? bindFields(form, { ctstatus: { value: status | CT_STATUS.CONFIRMED } })
        : form;
    });
    return { state, why: null };
  }

  rerouted(before: SetStates, after: SetStates, type: "route" | "nat"): boolean {
    const fields: readonly Field[] = type === "nat" ? ["dst"] : ["src", "dst", "mark", "tos"];
    const known = new Map(
      fields.map((field) => [field, new Set([...before.headers.values()].map((f) => f.bindings[field]))]),
    );
    return [...after.headers.values()].some((form) =>
      fields.some((field) => !known.get(field)!.has(form.bindings[field])),
    );
  }
}

/** A state with a rule that translated it. */
const withTranslation = (state: SetState, rule: Rule): SetState => ({
  ...state,
  translated: [...state.translated, rule],
});

/** Where a translation's choice decides what the filter sees, the answer is not sure; of sources it sees nothing. */
const withKernelChoice = (state: SetState, side: "dst" | "src", why: string): SetState =>
  side === "src" ? state : { ...state, unsure: [...state.unsure, why] };

const decisionOfOutcome = (outcome: ChainOutcome): Decision => {
  switch (outcome.kind) {
    case "return":
    case "nat":
      return "accept";
    default:
      return outcome.kind;
  }
};

/** A packet out of a set, and what has to be true of the unknowns for it to be one. */
export interface Witness {
  readonly packet: Packet;
  readonly assume: ReadonlyMap<string, boolean>;
}

/** Values a person would choose, tried in order where the set allows them. */
export type Preferences = Partial<Record<Field, readonly Scalar[]>>;

/**
 * A value of an interval that `readPacket` accepts: no length without headers, no IPv6 extension header as protocol, and
 * no interface name with control characters. `undefined` where the interval holds none.
 */
function plausible(
  field: Field,
  [least, most]: readonly [Scalar, Scalar],
  packet: Pick<Packet, "family" | "proto">,
): Scalar | undefined {
  if (typeof least === "string") {
    const [base] = least.replaceAll(LAST_NAME, "").split("\0") as [string];
    return [base, `${base}0`, `${base}x`].find(
      (name) => name >= least && (name < most || most === LAST_NAME),
    );
  }
  if (field === "length") {
    const length = Math.max(least as number, Math.min(most as number, PLAUSIBLE_LENGTH));
    return length < leastLength(packet) ? undefined : length;
  }
  if (field !== "proto" || packet.family === 4) return least;
  let proto = least as number;
  while (proto <= (most as number) && isExtension(proto)) proto++;
  return proto > (most as number) ? undefined : proto;
}

const PLAUSIBLE_LENGTH = 100;

/** One concrete packet of a set that is not empty: anybody can send it. */
export function witness(domain: Domain, set: Node, preferences: Preferences): Witness {
  const { diagrams } = domain;
  const values = new Map<Field, Scalar>();
  const assume = new Map<string, boolean>();
  let at = set;
  const take = (field: Field, level: number | undefined): void => {
    const wanted = preferences[field] ?? [];
    if (level === undefined || at < 0 || diagrams.levelOf(at) !== level) {
      if (wanted[0] !== undefined) values.set(field, wanted[0]);
      return;
    }
    for (const value of wanted) {
      const kid = diagrams.child(at, domain.ordinal(level, value));
      if (kid === EMPTY) continue;
      values.set(field, value);
      at = kid;
      return;
    }
    const packet = { family: domain.family, proto: (values.get("proto") as number | undefined) ?? PROTO.tcp };
    let found: { readonly kid: Node; readonly value: Scalar; readonly accepted: boolean } | undefined;
    diagrams.edges(at, (kid, first, last) => {
      if (kid === EMPTY) return;
      for (let ordinal = first; ordinal <= last && found?.accepted !== true; ordinal++) {
        const interval = domain.interval(level, ordinal);
        const value = plausible(field, interval, packet);
        if (value !== undefined) found = { kid, value, accepted: true };
        else found ??= { kid, value: interval[0], accepted: false };
      }
    });
    if (found === undefined) return;
    at = found.kid;
    values.set(field, found.value);
  };
  const seen = new Set<Field>();
  domain.variables.forEach((variable, level) => {
    if (variable.kind === "field") {
      seen.add(variable.field);
      take(variable.field, level);
    } else if (at >= 0 && diagrams.levelOf(at) === level) {
      const no = diagrams.child(at, 0);
      for (const key of variable.keys) assume.set(key, no === EMPTY);
      at = no === EMPTY ? diagrams.child(at, 1) : no;
    }
  });
  for (const field of Object.keys(preferences) as Field[]) if (!seen.has(field)) take(field, undefined);
  return { packet: toPacket(values, domain), assume };
}

function toPacket(values: ReadonlyMap<Field, Scalar>, domain: Domain): Packet {
  const number = (field: Field): number | undefined => values.get(field) as number | undefined;
  const proto = number("proto") ?? 6;
  const zero: Address = domain.family === 4 ? 0 : 0n;
  const input = String(values.get("in") ?? "").replaceAll(LAST_NAME, "");
  const ports = hasPorts(proto);
  const icmp = proto === 1 || proto === 58;
  const optional = <K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> =>
    value === undefined ? {} : ({ [key]: value } as Record<K, number>);
  return {
    family: domain.family,
    in: input === "" ? null : input,
    src: (values.get("src") as Address | undefined) ?? zero,
    dst: (values.get("dst") as Address | undefined) ?? zero,
    proto,
    ...(ports ? { ...optional("sport", number("sport")), ...optional("dport", number("dport")) } : {}),
    ...(proto === 6 ? optional("flags", number("flags")) : {}),
    ...(icmp ? { ...optional("type", number("type")), ...optional("code", number("code")) } : {}),
    ...optional("tos", values.has("tos") ? number("tos") : undefined),
    ...optional("ttl", values.has("ttl") ? number("ttl") : undefined),
    ...optional("length", number("length")),
    ...optional("mac", number("mac")),
  };
}
