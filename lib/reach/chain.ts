/**
 * How a chain decides a set of packets. A chain that changes nothing is one diagram from headers to decisions, made
 * once by balanced halves and shared by all that call it; a chain that writes marks is followed rule by rule.
 */
import { CT, type Field } from "../packet/field.ts";
import type { Case } from "../path/case.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import type { Part } from "../path/walk.ts";
import { type Change, changed, type Effect, type Nat } from "../rules/effect.ts";
import type { Rule, TableName } from "../rules/ruleset.ts";
import { EMPTY, type Node, terminal } from "./diagram.ts";
import type { Domain } from "./domain.ts";
import { bind, type SetState, valueIn } from "./state.ts";

/** How a built-in chain let go of packets. */
export type Outcome =
  | { readonly kind: "accept" | "drop" | "reject" | "return" }
  | { readonly kind: "undecided"; readonly why: string }
  | { readonly kind: "nat"; readonly nat: Nat; readonly rule: Rule };

/** Outcomes as terminals: whole numbers from 1, since 0 is "not decided yet". */
class Outcomes {
  private readonly list: Outcome[] = [];
  private readonly byRule = new Map<Effect, number>();
  readonly accept = this.add({ kind: "accept" });
  readonly drop = this.add({ kind: "drop" });
  readonly reject = this.add({ kind: "reject" });
  readonly return = this.add({ kind: "return" });

  private add(outcome: Outcome): number {
    this.list.push(outcome);
    return this.list.length;
  }

  get(value: number): Outcome {
    return this.list[value - 1]!;
  }

  of(effect: Effect, rule: Rule): number {
    switch (effect.kind) {
      case "verdict":
        return this[effect.verdict];
      case "return":
        return this.return;
      default: {
        let id = this.byRule.get(effect);
        if (id === undefined) {
          id = this.add(
            effect.kind === "nat"
              ? { kind: "nat", nat: effect, rule }
              : { kind: "undecided", why: effect.kind === "opaque" ? effect.why : "" },
          );
          this.byRule.set(effect, id);
        }
        return id;
      }
    }
  }
}

export class Chains {
  private readonly outcomes = new Outcomes();
  private readonly diagrams = new Map<BoundChain, Node>();
  private readonly pureness = new Map<BoundChain, boolean>();
  private readonly cases = new WeakMap<readonly Case<unknown>[], Node>();

  constructor(
    private readonly program: Program,
    private readonly domain: Domain,
  ) {}

  /** Runs a built-in chain, policy included. A chain the ruleset does not have accepts. */
  run(state: SetState, table: TableName, name: string): Part<SetState, Outcome>[] {
    const chain = this.program.chain(table, name);
    if (chain === undefined) return [{ state, outcome: { kind: "accept" } }];
    const policy = chain.policy === "drop" ? "drop" : "accept";
    return this.chain(state, chain).map(({ state: after, outcome }) => ({
      state: after,
      outcome: outcome === null || outcome.kind === "return" ? { kind: policy } : outcome,
    }));
  }

  /** Runs any chain on its own: `null` is what falls off its end. */
  chain(state: SetState, chain: BoundChain): Part<SetState, Outcome | null>[] {
    return this.pure(chain) ? this.decide(state, chain) : this.follow(state, chain);
  }

  /** The first of the cases that holds; those that come to the same are one part. */
  choose<T>(state: SetState, cases: readonly Case<T>[]): Part<SetState, T>[] {
    let node = this.cases.get(cases);
    if (node === undefined) {
      const { diagrams } = this.domain;
      const first = new Map<string, number>();
      node = diagrams.overAll(
        cases.map(({ when, outcome }, i) => {
          const key = JSON.stringify(outcome, withoutRoute);
          if (!first.has(key)) first.set(key, i + 1);
          return diagrams.mask(this.domain.set(when), terminal(first.get(key)!));
        }),
      );
      this.cases.set(cases, node);
    }
    return this.parts(state, node).map(({ state: part, outcome }) => ({
      state: part,
      outcome: cases[outcome - 1]!.outcome,
    }));
  }

  /** The packets of a state as they were sent, for which a predicate holds of the header as it is now. */
  where(state: SetState, node: Node): Node {
    return this.domain.diagrams.mask(state.set, this.current(state, node));
  }

  /** A diagram over the header as it is now, said of the packets as they were sent. */
  private current(state: SetState, node: Node): Node {
    const { domain } = this;
    const changes = new Map<number, { ordinal: number } | { level: number; through?: readonly number[] }>();
    for (const level of domain.diagrams.support(node)) {
      const variable = domain.variables[level]!;
      const to = variable.kind === "field" ? state.bound[variable.field] : undefined;
      if (to === undefined) continue;
      if ("value" in to) {
        changes.set(level, { ordinal: domain.ordinal(level, to.value) });
        continue;
      }
      const other = domain.levelOf(to.variable);
      if (other === undefined) continue;
      if (to.less !== undefined)
        changes.set(level, { level: other, through: domain.lessened(other, to.less) });
      else if (other !== level) changes.set(level, { level: other });
    }
    return domain.diagrams.substitute(node, changes);
  }

  /** The state in parts, by the terminals that a diagram over its present header gives. */
  private parts(state: SetState, node: Node): Part<SetState, number>[] {
    const { diagrams } = this.domain;
    const now = this.current(state, node);
    if (now < 0) return now === EMPTY ? [] : [{ state, outcome: ~now }];
    return [...diagrams.split(diagrams.mask(state.set, now))].map(([outcome, set]) => ({
      state: { ...state, set },
      outcome,
    }));
  }

  private decide(state: SetState, chain: BoundChain): Part<SetState, Outcome | null>[] {
    const { diagrams } = this.domain;
    const parts = this.parts(state, this.diagram(chain)).map(
      ({ state: part, outcome: id }): Part<SetState, Outcome | null> => {
        const outcome = this.outcomes.get(id);
        const unsure = outcome.kind === "undecided" ? [...part.unsure, outcome.why] : part.unsure;
        return { state: { ...part, unsure }, outcome };
      },
    );
    const rest = diagrams.minus(state.set, diagrams.overAll(parts.map((part) => part.state.set)));
    if (rest !== EMPTY) parts.push({ state: { ...state, set: rest }, outcome: null });
    return parts;
  }

  /** From headers to outcomes; 0 is what falls off the end. Never called on a chain that leads back to itself. */
  private diagram(chain: BoundChain): Node {
    let node = this.diagrams.get(chain);
    if (node === undefined) {
      node = this.domain.diagrams.overAll(chain.rules.map((rule) => this.rule(rule)));
      this.diagrams.set(chain, node);
    }
    return node;
  }

  private rule({ rule, when, effect }: BoundRule): Node {
    const { diagrams } = this.domain;
    switch (effect.kind) {
      case "note":
        return EMPTY;
      case "jump": {
        // A return from the called chain goes on here: not decided.
        const called = diagrams.map(this.diagram(this.program.chain(rule.table, effect.chain)!), (v) =>
          v === this.outcomes.return ? 0 : v,
        );
        return diagrams.mask(this.domain.set(when), called);
      }
      case "goto": {
        const called = this.diagram(this.program.chain(rule.table, effect.chain)!);
        return diagrams.mask(this.domain.set(when), diagrams.over(called, terminal(this.outcomes.return)));
      }
      default:
        return diagrams.mask(this.domain.set(when), terminal(this.outcomes.of(effect, rule)));
    }
  }

  /** Whether no rule of a chain, nor of those it calls, changes the packet. */
  private pure(chain: BoundChain): boolean {
    let pure = this.pureness.get(chain);
    if (pure === undefined) {
      pure = chain.rules.every(({ rule, effect }) => {
        if (effect.kind === "assign") return false;
        if (effect.kind !== "jump" && effect.kind !== "goto") return true;
        return this.pure(this.program.chain(rule.table, effect.chain)!);
      });
      this.pureness.set(chain, pure);
    }
    return pure;
  }

  /** Rule by rule: each splits the state in what it matches and what goes on. */
  private follow(start: SetState, chain: BoundChain): Part<SetState, Outcome | null>[] {
    const { diagrams } = this.domain;
    const out: Part<SetState, Outcome | null>[] = [];
    let states = [start];
    for (const { rule, when, effect } of chain.rules) {
      if (states.length === 0) break;
      if (effect.kind === "note") continue;
      const on: SetState[] = [];
      for (const state of states) {
        const matched = this.where(state, this.domain.set(when));
        if (matched === EMPTY) {
          on.push(state);
          continue;
        }
        const rest = diagrams.minus(state.set, matched);
        if (rest !== EMPTY) on.push({ ...state, set: rest });
        const here = { ...state, set: matched };
        if (effect.kind === "assign") on.push(this.assigned(here, effect.field, effect.change));
        else if (effect.kind === "jump" || effect.kind === "goto") {
          for (const part of this.chain(here, this.program.chain(rule.table, effect.chain)!)) {
            const back = part.outcome === null || part.outcome.kind === "return";
            if (back && effect.kind === "jump") on.push(part.state);
            else out.push(back ? { state: part.state, outcome: { kind: "return" } } : part);
          }
        } else out.push({ state: here, outcome: this.outcomes.get(this.outcomes.of(effect, rule)) });
      }
      states = on;
    }
    for (const state of states) out.push({ state, outcome: null });
    return out;
  }

  /** A field after a change; what cannot be worked out from a single value is said to be unsure. */
  private assigned(state: SetState, field: Field, change: Change): SetState {
    // What has a connection already keeps it (xt_ct_target).
    if (field === "ctstate" && valueIn(state, "ctstate") === CT.NEW) return state;
    // Without a connection there is no mark to write or to copy (xt_connmark).
    const tracked = ![CT.INVALID, CT.UNTRACKED].includes(valueIn(state, "ctstate") as never);
    if (!tracked && (field === "ctmark" || (change.kind === "copy" && change.from === "ctmark")))
      return state;
    const old = valueIn(state, field);
    const value = changed(old, change, change.kind === "copy" ? valueIn(state, change.from) : undefined);
    if (value !== undefined) return bind(state, { [field]: { value } });
    return {
      ...state,
      unsure: [...state.unsure, `what ${field} is after a rule changed it is not followed`],
    };
  }
}

/** A route explains a decision and makes no difference to what becomes of the packet. */
const withoutRoute = (key: string, value: unknown): unknown => (key === "route" ? undefined : value);
