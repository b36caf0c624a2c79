/** Splits states of packets by header state, by predicates, and by the terminals of diagrams. */
import type { Field } from "../packet/field.ts";
import { applyMask } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import type { Part } from "../path/walk.ts";
import { withBudgetContext } from "./budget.ts";
import type { Substitute } from "./diagram.ts";
import type { Domain } from "./domain.ts";
import { EMPTY, FULL, type Node, terminal } from "./node-store.ts";
import type { Binding, HeaderState, SetState, SetStates } from "./set-state.ts";
import { maskKey } from "./variables.ts";

export class StateSplitter {
  private readonly caseDiagrams = new WeakMap<readonly Case<unknown>[], Node>();
  /** Diagrams over the original header, by diagram and by the bindings of the fields that it tests. */
  private readonly substituted = new Map<Node, Map<string, Node>>();

  constructor(protected readonly domain: Domain) {}

  /** Returns one state for each header state. */
  splitByHeader(states: SetStates): SetState[] {
    const { diagrams } = this.domain;
    if (states.headers.size === 1)
      for (const [id, header] of states.headers)
        return [{ ...header, set: id === 1 ? states.set : this.members(states.set) }];
    return [...diagrams.split(states.set)].map(([id, set]) => ({ ...states.headers.get(id)!, set }));
  }

  /** Returns the packets of all header states. */
  members(set: Node): Node {
    return this.domain.diagrams.members(set);
  }

  /** Groups states by a property of their header states. */
  groupByHeader<K>(states: SetStates, property: (header: HeaderState) => K): Map<K, SetStates> {
    const groups = new Map<K, Map<number, HeaderState>>();
    for (const [id, header] of states.headers) {
      const key = property(header);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, new Map([[id, header]]));
      else group.set(id, header);
    }
    const keys = [...groups.keys()];
    if (keys.length === 1) return new Map([[keys[0]!, states]]);
    const { diagrams } = this.domain;
    const number = new Map<number, number>();
    keys.forEach((key, i) => {
      for (const id of groups.get(key)!.keys()) number.set(id, i + 1);
    });
    const sets = diagrams.splitByGroup(states.set, (id) => number.get(id)!);
    const out = new Map<K, SetStates>();
    keys.forEach((key, i) => {
      const set = sets.get(i + 1);
      if (set !== undefined) out.set(key, { set, headers: groups.get(key)! });
    });
    return out;
  }

  /** Restricts states to a set. */
  private restrict(states: SetStates, set: Node): SetStates {
    const { diagrams } = this.domain;
    if (states.headers.size === 1 && states.headers.has(1)) return { set, headers: states.headers };
    const inside = diagrams.intersect(set, states.set);
    if (states.headers.size === 1 || inside === states.set) return { set: inside, headers: states.headers };
    const headers = new Map(diagrams.terminals(inside).map((id) => [id, states.headers.get(id)!]));
    return { set: inside, headers };
  }

  /** Splits states by the first case that holds. Cases with equal outcomes give one part. */
  choose<T>(states: SetStates, cases: readonly Case<T>[]): Part<SetStates, T>[] {
    let node = this.caseDiagrams.get(cases);
    if (node === undefined) {
      const { diagrams } = this.domain;
      const first = new Map<string, number>();
      node = diagrams.unionAll(
        cases.map(({ when, outcome }, i) => {
          const key = JSON.stringify(outcome, outcomeReplacer);
          if (!first.has(key)) first.set(key, i + 1);
          return diagrams.intersect(this.domain.set(when), terminal(first.get(key)!));
        }),
      );
      this.caseDiagrams.set(cases, node);
    }
    const parts = withBudgetContext("the routing decision", () => this.splitByTerminal(states, node));
    return parts.flatMap(({ state, outcome }) =>
      outcome === 0 ? [] : [{ state, outcome: cases[outcome - 1]!.outcome }],
    );
  }

  /**
   * Splits packets by a change of their header: true if one of the fields has another value than before.
   * @param before the same packets, or more
   */
  splitMoved(before: SetStates, after: SetStates, fields: readonly Field[]): Part<SetStates, boolean>[] {
    const { diagrams } = this.domain;
    const keyOf = ({ bindings }: HeaderState): string =>
      fields.map((field) => bindingKey(bindings[field], field)).join();
    const all = this.members(after.set);
    const changed: Node[] = [];
    for (const [key, { set, headers }] of this.groupByHeader(before, keyOf)) {
      const [old] = headers.values();
      const own = this.restrict(after, diagrams.intersect(this.members(set), all));
      for (const [now, group] of this.groupByHeader(own, keyOf)) {
        if (now === key) continue;
        const [header] = group.headers.values();
        changed.push(diagrams.subtract(this.members(group.set), this.equalIn(old!, header!, fields)));
      }
    }
    const moved = diagrams.unionAll(changed);
    if (moved === EMPTY) return [{ state: after, outcome: false }];
    const rest = diagrams.subtract(all, moved);
    const parts = [{ state: this.restrict(after, moved), outcome: true }];
    return rest === EMPTY ? parts : [...parts, { state: this.restrict(after, rest), outcome: false }];
  }

  /** Returns the set of packets for which the fields have the same values in two header states. */
  private equalIn(before: HeaderState, after: HeaderState, fields: readonly Field[]): Node {
    let equal: Node = FULL;
    for (const field of fields) {
      const [old, now] = [before.bindings[field], after.bindings[field]];
      if (bindingKey(old, field) === bindingKey(now, field)) continue;
      // A translation is only made for packets that it changes.
      if ((old !== undefined && "value" in old) || now === undefined || !("value" in now)) return EMPTY;
      const tested = this.domain.singleton(field, now.value);
      if (tested === null) return EMPTY;
      equal = this.domain.diagrams.intersect(equal, this.onOriginalHeader(before, tested));
    }
    return equal;
  }

  /** Intersects a state with a set over the current header. The result is over the original header. */
  intersectCurrent(state: SetState, node: Node): Node {
    return this.domain.diagrams.intersect(state.set, this.onOriginalHeader(state, node));
  }

  /** Translates a diagram over the current header to one over the original header. */
  protected onOriginalHeader(header: HeaderState, node: Node): Node {
    const { domain } = this;
    let key = "";
    const changes = new Map<number, Substitute>();
    for (const level of domain.diagrams.support(node)) {
      const [change, name] = this.substitute(header, level);
      key += `${name},`;
      if (change !== null) changes.set(level, change);
    }
    if (changes.size === 0) return node;
    let known = this.substituted.get(node);
    if (known === undefined) this.substituted.set(node, (known = new Map<string, Node>()));
    let now = known.get(key);
    if (now === undefined) known.set(key, (now = domain.diagrams.substitute(node, changes)));
    return now;
  }

  /** Returns what replaces a variable of the current header in the original one, and its name as a key; `null` for none. */
  private substitute(header: HeaderState, level: number): [change: Substitute | null, name: string] {
    const { domain } = this;
    const variable = domain.variables[level]!;
    const bits = variable.kind === "unknown" ? variable.bits : null;
    const field = variable.kind === "field" ? variable.field : bits?.field;
    const to = field === undefined ? undefined : header.bindings[field];
    if (to === undefined) return [null, ""];
    if ("value" in to) {
      const holds = bits !== null && applyMask(to.value, bits.mask) === bits.value;
      const ordinal = bits === null ? domain.ordinal(level, to.value) : Number(holds);
      return [{ ordinal }, String(ordinal)];
    }
    const name = `${to.variable} ${to.decrement}`;
    const other =
      bits === null
        ? domain.levelOf(to.variable)
        : domain.levelOfUnknown(maskKey({ ...bits, field: to.variable }));
    if (other === undefined) return [null, name];
    if (to.decrement !== undefined)
      return [{ level: other, through: domain.decrementedOrdinals(other, to.decrement) }, name];
    return [other === level ? null : { level: other }, name];
  }

  /** Splits states by the terminals of a diagram over the current header, 0 included. */
  protected splitByTerminal(states: SetStates, node: Node): Part<SetStates, number>[] {
    const { diagrams } = this.domain;
    const parts: Part<SetStates, number>[] = [];
    for (const [now, group] of this.groupByHeader(states, (header) => this.onOriginalHeader(header, node))) {
      if (now < 0) {
        parts.push({ state: group, outcome: ~now });
        continue;
      }
      const decided = diagrams.intersect(group.set, now);
      for (const [outcome, set] of diagrams.split(decided))
        parts.push({ state: this.restrict(group, set), outcome });
      const rest = diagrams.subtract(group.set, decided);
      if (rest !== EMPTY) parts.push({ state: this.restrict(group, rest), outcome: 0 });
    }
    return parts;
  }

  /** Merges states with equal header states. */
  protected mergeEqualHeaders(states: readonly SetStates[]): SetStates[] {
    const byHeaders = new Map<string, SetStates>();
    for (const state of states) {
      const key = headersKey(state);
      const before = byHeaders.get(key);
      const set = before === undefined ? state.set : this.domain.diagrams.union(before.set, state.set);
      byHeaders.set(key, { set, headers: state.headers });
    }
    return [...byHeaders.values()];
  }
}

/** Text of a binding, as a key; a field without one has its original value. */
const bindingKey = (binding: Binding | undefined, field: Field): string => {
  if (binding === undefined) return field;
  return "value" in binding ? `=${binding.value}` : `${binding.variable}${binding.decrement ?? ""}`;
};

/** Canonical text of header states, as a key. */
export const headersKey = ({ headers }: SetStates): string =>
  JSON.stringify(
    [...headers].map(([id, { bindings, translated, natDone, unsure }]) => [
      id,
      Object.entries(bindings).sort(([a], [b]) => (a < b ? -1 : 1)),
      translated.map(({ table, chain, index }) => [table, chain, index]),
      natDone,
      unsure,
    ]),
    outcomeReplacer,
  );

/** Replacer for JSON.stringify: prints bigints, and leaves out `route`, which only explains an outcome. */
const outcomeReplacer = (key: string, value: unknown): unknown =>
  key === "route" ? undefined : typeof value === "bigint" ? `${value}n` : value;
