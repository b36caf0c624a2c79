/** Vocabulary of a program: every predicate that its evaluation can test, and all values that marks can have. */
import {
  type Address,
  type Family,
  type Field,
  PROTO,
  type Range,
  type Scalar,
  successor,
  tracksPorts,
} from "../packet/field.ts";
import { ANY, and, between, is, or, type Predicate, visitLeaves } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import { DESTINATION_CLASSES } from "../path/interface-address.ts";
import type { BoundRule, Program } from "../path/program.ts";
import { invertTuple, tupleOf } from "../path/tuple.ts";
import { HOOKS } from "../rules/base-chain.ts";
import { changed, type Effect, ends, forks, type Nat } from "../rules/effect.ts";
import { baseChainsOf, countRules, tablesOf } from "../rules/ruleset.ts";
import { BudgetExceeded } from "./budget.ts";
import type { Bindings } from "./set-state.ts";
import { sharedUnknowns } from "./shared-unknowns.ts";
import { MARK_FIELDS, type Vocabulary } from "./variables.ts";

/**
 * Returns the vocabulary of a program.
 * @throws BudgetExceeded if there are too many rules or marks
 */
export function vocabularyOf(program: Program): Vocabulary {
  if (countRules(program.ruleset) > MOST_SET_RULES) throw new BudgetExceeded(MOST_SET_RULES, null, "rules");
  return {
    predicates: [...predicatesOf(program)],
    markValues: possibleMarks(program),
    shared: sharedUnknowns(program),
  };
}

/** With more rules than this the analysis would take over 20 s and 2 GB. */
const MOST_SET_RULES = 300_000;

/** Most different values of one mark. */
const MOST_MARKS = 4096;

/** Returns all values that marks can have: 0, closed under the assignments of the rules. */
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
          const value = changed(old, change, other) as number;
          if (into.has(value)) continue;
          // Tracking only some of the values would make the answer wrong for the rest; give up instead.
          if (into.size >= MOST_MARKS) throw new BudgetExceeded(MOST_MARKS, null, "values of marks");
          into.add(value);
          grew = true;
        }
    }
  }
  return marks;
}

/** Yields the rules of all tables. */
export function* rulesOf(program: Program): Generator<BoundRule> {
  for (const { name: table, chains } of tablesOf(program.ruleset))
    for (const name of chains.keys()) yield* program.chain(table, name)!.rules;
}

/** Yields the predicates of the rules and of the forks of their effects. */
function* rulePredicates(program: Program): Generator<Predicate> {
  for (const { when, effect } of rulesOf(program)) {
    yield when;
    yield* forks(effect);
  }
}

/** Yields every predicate that the evaluation of a program can test. */
export function* predicatesOf(program: Program): Generator<Predicate> {
  if (readsTuplePorts(program)) for (const { when } of tuplePortCases(program.ruleset.family)) yield when;
  yield* rulePredicates(program);
  yield* translationPredicates(program);
  yield* reroutedValues(program);
  for (const { when } of program.entries()) yield when;
  for (const { when } of program.across()) yield when;
  for (const { when } of program.bridges()) yield when;
  for (const { when } of program.groups()) yield when;
  for (const { when } of program.stopped()) yield when;
  for (const { when } of program.neighbours()) yield when;
  for (const hook of HOOKS) for (const { when } of program.unread(hook)) yield when;
  for (const hook of HOOKS) for (const { when } of program.sequences(hook)) yield when;
  for (const { when } of program.refused()) yield when;
  for (const { when } of program.sources()) yield when;
  for (const { when } of program.routesIn) yield when;
  for (const { when } of program.routesOut) yield when;
  for (const { when } of program.routesAgain) yield when;
  for (const { when } of program.initialStates()) yield when;
}

/** Most values of a field that one translation maps to values of their own. */
export const MOST_MAPPED = 1024;

/** Returns the field of which each value becomes another one; `null` if all values become the same. */
export const mappedField = ({ side, to, ports }: Nat): Field | null =>
  to.kind === "netmap" ? side : ports?.base === undefined ? null : translatedPort(side);

/** Returns the fields that `mappedField` can return: the hook determines the side of NETMAP. */
function mappedFields(nat: Nat): readonly Field[] {
  if (nat.to.kind === "netmap") return ["dst", "src"];
  const field = mappedField(nat);
  return field === null ? [] : [field];
}

/** Returns the port that a translation of this side changes. */
export const translatedPort = (side: Nat["side"]): Field => (side === "dst" ? "dport" : "sport");

/** Most such values of all rules together. */
const MOST_MAPPED_BY_ALL = 8 * MOST_MAPPED;

/** Yields a predicate for each single value of a field that a rule tests. */
function* mappedValues(when: Predicate, field: Field): Generator<Predicate> {
  const tested: Range[] = [];
  visitLeaves(when, (leaf) => {
    if (leaf.kind === "in" && leaf.field === field) tested.push(...leaf.ranges);
  });
  for (const [first, last] of tested as (readonly [Address, Address])[]) {
    if (BigInt(last) - BigInt(first) >= BigInt(MOST_MAPPED)) continue;
    for (let value = first; value <= last; value = successor(value) as Address) yield is(field, value);
  }
}

/**
 * Yields a predicate for each value that chains of type route assign to a field on which routes depend: only packets with
 * another value are routed again.
 */
function* reroutedValues(program: Program): Generator<Predicate> {
  const bases = baseChainsOf(program.ruleset).filter(({ type }) => type === "route");
  const chains = bases.flatMap(({ table, name }) => program.chain(table, name) ?? []);
  const changes = program
    .calleesFirst(chains)
    .flatMap(({ rules }) => rules.flatMap(({ effect }) => [...ends(effect)]))
    .flatMap((end) => (end.kind === "assign" && ROUTED.includes(end.field) ? [end] : []));
  for (const field of ROUTED) {
    const values = new Set<Scalar>();
    const own = changes.filter((each) => each.field === field);
    const add = (old: Scalar | undefined): void => {
      for (const { change } of own) {
        const value = changed(old, change, undefined);
        if (value !== undefined) values.add(value);
      }
    };
    add(undefined);
    // The iteration includes values that are added during it.
    for (const value of values) {
      yield is(field, value);
      add(value);
    }
  }
}

/** Fields that rules assign and on which routes depend. */
const ROUTED: readonly Field[] = ["src", "dst", "tos", "ttl"];

/** Yields predicates for the headers that translations produce: a packet that already has one is not translated. */
function* translationPredicates(program: Program): Generator<Predicate> {
  const { host, ruleset } = program;
  const { family } = ruleset;
  const interfaces = new Set<Nat["side"]>();
  let mapped = 0;
  for (const { when, effect } of rulesOf(program))
    for (const nat of ends(effect)) {
      if (nat.kind !== "nat") continue;
      const { to, ports, side } = nat;
      for (const field of mappedFields(nat))
        for (const value of mappedValues(when, field)) if (mapped++ < MOST_MAPPED_BY_ALL) yield value;
      const port = translatedPort(side);
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
    for (const { when } of DESTINATION_CLASSES[family]) yield when;
    yield is("src", ZERO_ADDRESS[family]);
    if (side === "dst") {
      yield is("in", "");
      yield is(side, family === 4 ? 0x7f00_0001 : 1n);
    }
  }
}

const TUPLE_PORTS: readonly Field[] = ["ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport"];

/** Returns the ports of a tuple for each kind of protocol. Without ports they are 0, or type and code of an ICMP request. */
export function tuplePortCases(family: Family): Case<Bindings>[] {
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

/** Returns true if a rule tests the ports of a tuple. */
export const readsTuplePorts = (program: Program): boolean => {
  let found = false;
  for (const predicate of rulePredicates(program))
    visitLeaves(predicate, (leaf) => {
      if (leaf.kind !== "opaque" && TUPLE_PORTS.includes(leaf.field)) found = true;
    });
  return found;
};

/** The address 0.0.0.0 or ::. */
export const ZERO_ADDRESS: Readonly<Record<Family, Address>> = { 4: 0, 6: 0n };
