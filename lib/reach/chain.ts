/**
 * How a chain decides a set of packets. A chain that changes nothing is one diagram from headers to decisions, made
 * once by balanced halves and shared by all that call it; a chain that writes marks is followed rule by rule.
 */
import { CT, type Field, PREPARED } from "../packet/field.ts";
import { ANY, and, is, not, type Predicate } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import { fixed, type Header } from "../path/nat.ts";
import { type BoundChain, type BoundRule, type Program, TOO_DEEP } from "../path/program.ts";
import type { Part } from "../path/walk.ts";
import { type Change, changed, type Effect, ends, type Nat } from "../rules/effect.ts";
import type { Rule, TableName } from "../rules/ruleset.ts";
import { BudgetExceeded, EMPTY, type Node, terminal } from "./diagram.ts";
import type { Domain } from "./domain.ts";
import { alone, bind, type Form, reformed, type SetState, type States, valueIn } from "./state.ts";

/** How a built-in chain let go of packets. */
export type Outcome =
  | { readonly kind: "accept" | "drop" | "reject" | "return" }
  | { readonly kind: "undecided"; readonly why: string }
  /** `idle`: the packets have the header already that the translation gives. */
  | { readonly kind: "nat"; readonly nat: Nat; readonly rule: Rule; readonly idle: boolean };

export type Translation = Extract<Outcome, { kind: "nat" }>;

/** Outcomes as terminals: whole numbers from 1, since 0 is "not decided yet". */
class Outcomes {
  private readonly list: Outcome[] = [];
  private readonly byRule = new Map<Effect, number>();
  private readonly idleByRule = new Map<Effect, number>();
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

  of(effect: Effect, rule: Rule, idle = false): number {
    switch (effect.kind) {
      case "verdict":
        return this[effect.verdict];
      case "return":
        return this.return;
      case "hotdrop":
        return this.drop;
      default: {
        const ids = idle ? this.idleByRule : this.byRule;
        let id = ids.get(effect);
        if (id === undefined) {
          id = this.add(
            effect.kind === "nat"
              ? { kind: "nat", nat: effect, rule, idle }
              : {
                  kind: "undecided",
                  why: effect.kind === "opaque" || effect.kind === "stolen" ? effect.why : "",
                },
          );
          ids.set(effect, id);
        }
        return id;
      }
    }
  }
}

/** States of the same forms are joined where there are more than this. */
const FEW_STATES = 8;

/** A chain that parts packets into more states than this by what it writes onto them is not followed. */
const MOST_STATES = 4096;

const NOBODY: States = { set: EMPTY, forms: new Map() };

export class Chains {
  private readonly outcomes = new Outcomes();
  private readonly diagrams = new Map<BoundChain, Node>();
  private readonly pureness = new Map<BoundChain, boolean>();
  /** What chains that change packets made of states, by their set and forms: a chain is followed once for each. */
  private readonly followed = new Map<BoundChain, Map<string, Part<States, Outcome | null>[]>>();
  private readonly cases = new WeakMap<readonly Case<unknown>[], Node>();
  /** What diagrams are to forms, by what the fields that they ask about have become. */
  private readonly substituted = new Map<Node, Map<string, Node>>();

  /** Called with the name of each built-in chain that is asked: long work shows where it is. */
  asking: ((chain: string) => void) | undefined;

  private static readonly made = new WeakMap<Domain, Map<Program, Chains>>();

  /** The chains of a program in a domain, made once however many ask. */
  static of(program: Program, domain: Domain): Chains {
    let byProgram = Chains.made.get(domain);
    if (byProgram === undefined) Chains.made.set(domain, (byProgram = new Map<Program, Chains>()));
    let chains = byProgram.get(program);
    if (chains === undefined) byProgram.set(program, (chains = new Chains(program, domain)));
    return chains;
  }

  private constructor(
    private readonly program: Program,
    private readonly domain: Domain,
  ) {}

  /** Runs a built-in chain, policy included. A chain the ruleset does not have accepts. */
  run(states: States, table: TableName, name: string): Part<States, Outcome>[] {
    const chain = this.program.chain(table, name);
    if (chain === undefined) return [{ state: states, outcome: { kind: "accept" } }];
    this.asking?.(nameOf(chain));
    return this.chain(states, chain).map(({ state, outcome }) => ({
      state,
      outcome: outcome === null || outcome.kind === "return" ? policyOf(chain) : outcome,
    }));
  }

  /** Runs any chain on its own: `null` is what falls off its end. */
  chain(states: States, chain: BoundChain): Part<States, Outcome | null>[] {
    return within(nameOf(chain), () =>
      this.pure(chain) ? this.decide(states, chain) : this.followOnce(states, chain),
    );
  }

  /**
   * Runs a chain of the nat table on packets of one form. What its rules translate stays together, a form a rule.
   * @param translated the form that a rule's translation gives; `null` where it does not give one form to all packets
   */
  translate(
    state: SetState,
    chain: BoundChain,
    translated: (outcome: Translation) => Form | null,
  ): { readonly states: States; readonly others: Part<SetState, Outcome>[] } {
    const { diagrams } = this.domain;
    if (!this.pure(chain)) return { states: NOBODY, others: this.plain(state, chain) };
    this.asking?.(nameOf(chain));
    const decided = within(nameOf(chain), () =>
      diagrams.mask(state.set, this.current(state, this.diagram(chain))),
    );
    const forms = new Map<number, Form>();
    for (const id of diagrams.terminals(decided)) {
      const outcome = this.outcomes.get(id);
      const form = outcome.kind === "nat" ? translated(outcome) : null;
      if (form !== null) forms.set(id, form);
    }
    if (forms.size === 0) return { states: NOBODY, others: this.plain(state, chain) };
    const set = diagrams.map(decided, (id) => (forms.has(id) ? id : 0));
    const rest = diagrams.minus(state.set, set);
    return {
      states: { set, forms },
      others: rest === EMPTY ? [] : this.plain({ ...state, set: rest }, chain),
    };
  }

  /** What a chain decides for packets of one form. */
  private plain(state: SetState, chain: BoundChain): Part<SetState, Outcome>[] {
    return this.chain(alone(state), chain).flatMap(({ state: after, outcome }) =>
      this.apart(after).map((each) => ({
        state: each,
        outcome: outcome === null || outcome.kind === "return" ? policyOf(chain) : outcome,
      })),
    );
  }

  /** Each form by itself. */
  apart(states: States): SetState[] {
    const { diagrams } = this.domain;
    if (states.forms.size === 1)
      for (const [id, form] of states.forms)
        return [{ ...form, set: id === 1 ? states.set : this.members(states.set) }];
    return [...diagrams.split(states.set)].map(([id, set]) => ({ ...states.forms.get(id)!, set }));
  }

  /** All packets of whatever form. */
  members(set: Node): Node {
    return this.domain.diagrams.members(set);
  }

  /** The states by a property of their forms. */
  sorted<K>(states: States, property: (form: Form) => K): Map<K, States> {
    const groups = new Map<K, Map<number, Form>>();
    for (const [id, form] of states.forms) {
      const key = property(form);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, new Map([[id, form]]));
      else group.set(id, form);
    }
    const keys = [...groups.keys()];
    if (keys.length === 1) return new Map([[keys[0]!, states]]);
    const { diagrams } = this.domain;
    const number = new Map<number, number>();
    keys.forEach((key, i) => {
      for (const id of groups.get(key)!.keys()) number.set(id, i + 1);
    });
    const sets = diagrams.split(diagrams.map(states.set, (id) => number.get(id) ?? 0));
    const out = new Map<K, States>();
    keys.forEach((key, i) => {
      const set = sets.get(i + 1);
      if (set !== undefined) out.set(key, { set: diagrams.mask(set, states.set), forms: groups.get(key)! });
    });
    return out;
  }

  /** The part of the states that is a set of theirs. */
  private inside(states: States, set: Node): States {
    const { diagrams } = this.domain;
    if (states.forms.size === 1 && states.forms.has(1)) return { set, forms: states.forms };
    const inside = diagrams.mask(set, states.set);
    if (states.forms.size === 1 || inside === states.set) return { set: inside, forms: states.forms };
    const forms = new Map(diagrams.terminals(inside).map((id) => [id, states.forms.get(id)!]));
    return { set: inside, forms };
  }

  /** The first of the cases that holds; those that come to the same are one part. */
  choose<T>(states: States, cases: readonly Case<T>[]): Part<States, T>[] {
    let node = this.cases.get(cases);
    if (node === undefined) {
      const { diagrams } = this.domain;
      const first = new Map<string, number>();
      node = diagrams.overAll(
        cases.map(({ when, outcome }, i) => {
          const key = JSON.stringify(outcome, distinct);
          if (!first.has(key)) first.set(key, i + 1);
          return diagrams.mask(this.domain.set(when), terminal(first.get(key)!));
        }),
      );
      this.cases.set(cases, node);
    }
    const parts = within("the routing decision", () => this.parts(states, node));
    return parts.flatMap(({ state, outcome }) =>
      outcome === 0 ? [] : [{ state, outcome: cases[outcome - 1]!.outcome }],
    );
  }

  /** The packets of one form as they were sent, for which a predicate holds of the header as it is now. */
  where(state: SetState, node: Node): Node {
    return this.domain.diagrams.mask(state.set, this.current(state, node));
  }

  /** A diagram over the header as it is now, said of the packets as they were sent. */
  private current(form: Form, node: Node): Node {
    const { domain } = this;
    let key = "";
    const changes = new Map<number, { ordinal: number } | { level: number; through?: readonly number[] }>();
    for (const level of domain.diagrams.support(node)) {
      const variable = domain.variables[level]!;
      const to = variable.kind === "field" ? form.bound[variable.field] : undefined;
      if (to === undefined) {
        key += ",";
        continue;
      }
      if ("value" in to) {
        const ordinal = domain.ordinal(level, to.value);
        changes.set(level, { ordinal });
        key += `${ordinal},`;
        continue;
      }
      const other = domain.levelOf(to.variable);
      key += `${to.variable} ${to.less},`;
      if (other === undefined) continue;
      if (to.less !== undefined)
        changes.set(level, { level: other, through: domain.lessened(other, to.less) });
      else if (other !== level) changes.set(level, { level: other });
    }
    if (changes.size === 0) return node;
    let known = this.substituted.get(node);
    if (known === undefined) this.substituted.set(node, (known = new Map<string, Node>()));
    let now = known.get(key);
    if (now === undefined) known.set(key, (now = domain.diagrams.substitute(node, changes)));
    return now;
  }

  /** The states in parts, by the terminals that a diagram over their present header gives, 0 included. */
  private parts(states: States, node: Node): Part<States, number>[] {
    const { diagrams } = this.domain;
    const parts: Part<States, number>[] = [];
    for (const [now, group] of this.sorted(states, (form) => this.current(form, node))) {
      if (now < 0) {
        parts.push({ state: group, outcome: ~now });
        continue;
      }
      const decided = diagrams.mask(group.set, now);
      for (const [outcome, set] of diagrams.split(decided))
        parts.push({ state: this.inside(group, set), outcome });
      const rest = diagrams.minus(group.set, decided);
      if (rest !== EMPTY) parts.push({ state: this.inside(group, rest), outcome: 0 });
    }
    return parts;
  }

  private decide(states: States, chain: BoundChain): Part<States, Outcome | null>[] {
    return this.parts(states, this.diagram(chain)).map(({ state, outcome: id }) =>
      id === 0 ? { state, outcome: null } : this.ended(state, id),
    );
  }

  private ended(state: States, id: number): Part<States, Outcome> {
    const outcome = this.outcomes.get(id);
    return { state: outcome.kind === "undecided" ? doubted(state, outcome.why) : state, outcome };
  }

  /** From headers to outcomes; 0 is what falls off the end. Never called on a chain that leads back to itself. */
  private diagram(chain: BoundChain): Node {
    if (!this.diagrams.has(chain))
      for (const each of this.program.calleesFirst([chain])) {
        if (this.diagrams.has(each)) continue;
        const node = within(nameOf(each), () =>
          this.domain.diagrams.overAll(each.rules.map((rule) => this.rule(rule))),
        );
        this.diagrams.set(each, node);
      }
    return this.diagrams.get(chain)!;
  }

  private rule({ rule, when, effect }: Pick<BoundRule, "rule" | "when" | "effect">): Node {
    const { diagrams } = this.domain;
    switch (effect.kind) {
      case "fork":
        return diagrams.over(
          this.rule({ rule, when: and(when, effect.when), effect: effect.yes }),
          this.rule({ rule, when: and(when, not(effect.when)), effect: effect.no }),
        );
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
      case "nat": {
        const all = this.domain.inside(when, terminal(this.outcomes.of(effect, rule)));
        const header = fixed(effect);
        const idle =
          header === null ? EMPTY : diagrams.mask(this.domain.set(isHeader(effect.side, header)), all);
        if (idle === EMPTY) return all;
        return diagrams.over(
          diagrams.map(idle, (id) => (id === 0 ? 0 : this.outcomes.of(effect, rule, true))),
          all,
        );
      }
      default:
        return this.domain.inside(when, terminal(this.outcomes.of(effect, rule)));
    }
  }

  /** Whether no rule of a chain, nor of those it calls, changes the packet. */
  private pure(chain: BoundChain): boolean {
    if (!this.pureness.has(chain))
      for (const each of this.program.calleesFirst([chain]))
        this.pureness.set(
          each,
          each.rules.every(({ rule, effect }) =>
            [...ends(effect)].every(
              (end) =>
                end.kind !== "assign" &&
                ((end.kind !== "jump" && end.kind !== "goto") ||
                  this.pureness.get(this.program.chain(rule.table, end.chain)!)!),
            ),
          ),
        );
    return this.pureness.get(chain)!;
  }

  /** Chains that call the next one twice would otherwise be followed as often as there are ways through them. */
  private followOnce(start: States, chain: BoundChain): Part<States, Outcome | null>[] {
    if (chain.policy !== null) return this.follow(start, chain);
    if (this.program.isDeep(chain))
      return [
        {
          state: doubted(start, `${nameOf(chain)}: ${TOO_DEEP}`),
          outcome: { kind: "undecided", why: TOO_DEEP },
        },
      ];
    let known = this.followed.get(chain);
    if (known === undefined) this.followed.set(chain, (known = new Map()));
    const key = `${start.set}|${formsKey(start)}`;
    let parts = known.get(key);
    if (parts === undefined) known.set(key, (parts = this.follow(start, chain)));
    return parts;
  }

  /** Rule by rule: each splits the states in what it matches and what goes on. */
  private follow(start: States, chain: BoundChain): Part<States, Outcome | null>[] {
    const out: Part<States, Outcome | null>[] = [];
    let all = [start];
    for (const { rule, when, effect } of chain.rules) {
      if (all.length === 0) break;
      if (effect.kind === "note") continue;
      const on: States[] = [];
      for (const { state: here, outcome: matches } of all.flatMap((each) =>
        this.parts(each, this.domain.set(when)),
      ))
        if (matches === 0) on.push(here);
        else this.apply(effect, rule, here, on, out);
      all = on.length > FEW_STATES ? this.joined(on) : on;
      if (all.length > MOST_STATES) throw new BudgetExceeded(MOST_STATES, nameOf(chain), "states");
    }
    for (const state of all) out.push({ state, outcome: null });
    return out;
  }

  /** States of the same forms as one. */
  private joined(states: readonly States[]): States[] {
    const byForms = new Map<string, States>();
    for (const state of states) {
      const key = formsKey(state);
      const before = byForms.get(key);
      const set = before === undefined ? state.set : this.domain.diagrams.over(before.set, state.set);
      byForms.set(key, { set, forms: state.forms });
    }
    return [...byForms.values()];
  }

  /** Does to packets of a rule what it does: they go on behind it, or are out of the chain. */
  private apply(
    effect: Effect,
    rule: Rule,
    here: States,
    on: States[],
    out: Part<States, Outcome | null>[],
  ): void {
    switch (effect.kind) {
      case "note":
        on.push(here);
        break;
      case "fork":
        for (const { state, outcome: matches } of this.parts(here, this.domain.set(effect.when)))
          this.apply(matches === 0 ? effect.no : effect.yes, rule, state, on, out);
        break;
      case "assign": {
        const after = reformed(here, (form) => assigned(form, effect.field, effect.change));
        if (effect.next === undefined) on.push(after);
        else this.apply(effect.next, rule, after, on, out);
        break;
      }
      case "jump":
      case "goto":
        for (const part of this.chain(here, this.program.chain(rule.table, effect.chain)!)) {
          const back = part.outcome === null || part.outcome.kind === "return";
          if (back && effect.kind === "jump") on.push(part.state);
          else out.push(back ? { state: part.state, outcome: { kind: "return" } } : part);
        }
        break;
      default:
        out.push(this.ended(here, this.outcomes.of(effect, rule)));
    }
  }
}

/** Asks whether a header stands on a side already. */
const isHeader = (side: Nat["side"], { address, port }: Header): Predicate =>
  and(
    address === null ? ANY : is(side, address),
    port === null ? ANY : is(side === "dst" ? "dport" : "sport", port),
  );

const nameOf = ({ chain }: BoundChain): string => `${chain.table} ${chain.name}`;

/** Forms as a text: equal texts are equal forms. */
const formsKey = ({ forms }: States): string =>
  JSON.stringify(
    [...forms].map(([id, { bound, translated, asked, unsure }]) => [
      id,
      Object.entries(bound).sort(([a], [b]) => (a < b ? -1 : 1)),
      translated.map(({ table, chain, index }) => [table, chain, index]),
      asked,
      unsure,
    ]),
    distinct,
  );

/** Works with a chain or a decision: should the diagrams outgrow their budget, it is named. */
function within<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof BudgetExceeded ? error.in(name) : error;
  }
}

const policyOf = (chain: BoundChain): Outcome => ({ kind: chain.policy === "drop" ? "drop" : "accept" });

/** The states with a reason why they are not decided. */
export const doubted = (states: States, why: string): States =>
  reformed(states, (form) => ({ ...form, unsure: [...form.unsure, why] }));

/** A field after a change; what cannot be worked out from a single value is said to be unsure. */
export function assigned<F extends Form>(form: F, field: Field, change: Change): F {
  // What has a connection already keeps it, and what a rule has said of it (xt_ct_target).
  if (field === "ctstate" && valueIn(form, "ctstate") !== CT.INVALID) return form;
  // Without a connection there is no mark to write or to copy (xt_connmark).
  const tracked = ![CT.INVALID, CT.UNTRACKED, PREPARED].includes(valueIn(form, "ctstate") as never);
  if (!tracked && (field === "ctmark" || (change.kind === "copy" && change.from === "ctmark"))) return form;
  const old = valueIn(form, field);
  const value = changed(old, change, change.kind === "copy" ? valueIn(form, change.from) : undefined);
  if (value !== undefined) return bind(form, { [field]: { value } });
  return {
    ...form,
    unsure: [...form.unsure, `what ${field} is after a rule changed it is not followed`],
  };
}

/** What tells outcomes apart: a route explains a decision and makes no difference to what becomes of the packet. */
const distinct = (key: string, value: unknown): unknown =>
  key === "route" ? undefined : typeof value === "bigint" ? `${value}n` : value;
