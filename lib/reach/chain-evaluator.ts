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
import { BudgetExceeded } from "./budget.ts";
import type { Domain } from "./domain.ts";
import { EMPTY, type Node, terminal } from "./node-store.ts";
import {
  bindFields,
  type HeaderState,
  mapHeaders,
  type SetState,
  type SetStates,
  singleState,
  valueIn,
} from "./set-state.ts";

/** How a built-in chain let go of packets. */
export type ChainOutcome =
  | { readonly kind: "accept" | "drop" | "reject" | "return" }
  | { readonly kind: "undecided"; readonly why: string }
  /** `idle`: the packets have the header already that the translation gives. */
  | { readonly kind: "nat"; readonly nat: Nat; readonly rule: Rule; readonly idle: boolean };

export type Translation = Extract<ChainOutcome, { kind: "nat" }>;

/** Outcomes as terminals: whole numbers from 1, since 0 is "not decided yet". */
class OutcomeTable {
  private readonly list: ChainOutcome[] = [];
  private readonly byRule = new Map<Effect, number>();
  private readonly idleByRule = new Map<Effect, number>();
  readonly accept = this.add({ kind: "accept" });
  readonly drop = this.add({ kind: "drop" });
  readonly reject = this.add({ kind: "reject" });
  readonly return = this.add({ kind: "return" });

  private add(outcome: ChainOutcome): number {
    this.list.push(outcome);
    return this.list.length;
  }

  get(value: number): ChainOutcome {
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
const MERGE_ABOVE = 8;

/** A chain that parts packets into more states than this by what it writes onto them is not followed. */
const MOST_STATES = 4096;

const NO_STATES: SetStates = { set: EMPTY, headers: new Map() };

export class ChainEvaluator {
  private readonly outcomes = new OutcomeTable();
  private readonly diagrams = new Map<BoundChain, Node>();
  private readonly pureness = new Map<BoundChain, boolean>();
  /** What chains that change packets made of states, by their set and forms: a chain is followed once for each. */
  private readonly followed = new Map<BoundChain, Map<string, Part<SetStates, ChainOutcome | null>[]>>();
  private readonly cases = new WeakMap<readonly Case<unknown>[], Node>();
  /** What diagrams are to forms, by what the fields that they ask about have become. */
  private readonly substituted = new Map<Node, Map<string, Node>>();

  /** Called with the name of each built-in chain that is asked: long work shows where it is. */
  onBaseChain: ((chain: string) => void) | undefined;

  private static readonly made = new WeakMap<Domain, Map<Program, ChainEvaluator>>();

  /** The chains of a program in a domain, made once however many ask. */
  static of(program: Program, domain: Domain): ChainEvaluator {
    let byProgram = ChainEvaluator.made.get(domain);
    if (byProgram === undefined)
      ChainEvaluator.made.set(domain, (byProgram = new Map<Program, ChainEvaluator>()));
    let chains = byProgram.get(program);
    if (chains === undefined) byProgram.set(program, (chains = new ChainEvaluator(program, domain)));
    return chains;
  }

  private constructor(
    private readonly program: Program,
    private readonly domain: Domain,
  ) {}

  /** Runs a built-in chain, policy included. A chain the ruleset does not have accepts. */
  evaluateBaseChain(states: SetStates, table: TableName, name: string): Part<SetStates, ChainOutcome>[] {
    const chain = this.program.chain(table, name);
    if (chain === undefined) return [{ state: states, outcome: { kind: "accept" } }];
    this.onBaseChain?.(chainLabel(chain));
    return this.evaluateChain(states, chain).map(({ state, outcome }) => ({
      state,
      outcome: outcome === null || outcome.kind === "return" ? policyOutcome(chain) : outcome,
    }));
  }

  /** Runs any chain on its own: `null` is what falls off its end. */
  evaluateChain(states: SetStates, chain: BoundChain): Part<SetStates, ChainOutcome | null>[] {
    return nameOverrun(chainLabel(chain), () =>
      this.isPure(chain) ? this.decide(states, chain) : this.followMemoized(states, chain),
    );
  }

  /**
   * Runs a chain of the nat table on packets of one form. What its rules translate stays together, a form a rule.
   * @param translated the form that a rule's translation gives; `null` where it does not give one form to all packets
   */
  splitTranslations(
    state: SetState,
    chain: BoundChain,
    translated: (outcome: Translation) => HeaderState | null,
  ): { readonly states: SetStates; readonly others: Part<SetState, ChainOutcome>[] } {
    const { diagrams } = this.domain;
    if (!this.isPure(chain)) return { states: NO_STATES, others: this.evaluateOneHeader(state, chain) };
    this.onBaseChain?.(chainLabel(chain));
    const decided = nameOverrun(chainLabel(chain), () =>
      diagrams.intersect(state.set, this.onOriginalHeader(state, this.chainDiagram(chain))),
    );
    const forms = new Map<number, HeaderState>();
    for (const id of diagrams.terminals(decided)) {
      const outcome = this.outcomes.get(id);
      const form = outcome.kind === "nat" ? translated(outcome) : null;
      if (form !== null) forms.set(id, form);
    }
    if (forms.size === 0) return { states: NO_STATES, others: this.evaluateOneHeader(state, chain) };
    const set = diagrams.mapTerminals(decided, (id) => (forms.has(id) ? id : 0));
    const rest = diagrams.subtract(state.set, set);
    return {
      states: { set, headers: forms },
      others: rest === EMPTY ? [] : this.evaluateOneHeader({ ...state, set: rest }, chain),
    };
  }

  /** What a chain decides for packets of one form. */
  private evaluateOneHeader(state: SetState, chain: BoundChain): Part<SetState, ChainOutcome>[] {
    return this.evaluateChain(singleState(state), chain).flatMap(({ state: after, outcome }) =>
      this.splitByHeader(after).map((each) => ({
        state: each,
        outcome: outcome === null || outcome.kind === "return" ? policyOutcome(chain) : outcome,
      })),
    );
  }

  /** Each form by itself. */
  splitByHeader(states: SetStates): SetState[] {
    const { diagrams } = this.domain;
    if (states.headers.size === 1)
      for (const [id, form] of states.headers)
        return [{ ...form, set: id === 1 ? states.set : this.members(states.set) }];
    return [...diagrams.split(states.set)].map(([id, set]) => ({ ...states.headers.get(id)!, set }));
  }

  /** All packets of whatever form. */
  members(set: Node): Node {
    return this.domain.diagrams.members(set);
  }

  /** The states by a property of their forms. */
  groupByHeader<K>(states: SetStates, property: (form: HeaderState) => K): Map<K, SetStates> {
    const groups = new Map<K, Map<number, HeaderState>>();
    for (const [id, form] of states.headers) {
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
    const sets = diagrams.split(diagrams.mapTerminals(states.set, (id) => number.get(id) ?? 0));
    const out = new Map<K, SetStates>();
    keys.forEach((key, i) => {
      const set = sets.get(i + 1);
      if (set !== undefined)
        out.set(key, { set: diagrams.intersect(set, states.set), headers: groups.get(key)! });
    });
    return out;
  }

  /** The part of the states that is a set of theirs. */
  private restrict(states: SetStates, set: Node): SetStates {
    const { diagrams } = this.domain;
    if (states.headers.size === 1 && states.headers.has(1)) return { set, headers: states.headers };
    const inside = diagrams.intersect(set, states.set);
    if (states.headers.size === 1 || inside === states.set) return { set: inside, headers: states.headers };
    const forms = new Map(diagrams.terminals(inside).map((id) => [id, states.headers.get(id)!]));
    return { set: inside, headers: forms };
  }

  /** The first of the cases that holds; those that come to the same are one part. */
  choose<T>(states: SetStates, cases: readonly Case<T>[]): Part<SetStates, T>[] {
    let node = this.cases.get(cases);
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
      this.cases.set(cases, node);
    }
    const parts = nameOverrun("the routing decision", () => this.splitByTerminal(states, node));
    return parts.flatMap(({ state, outcome }) =>
      outcome === 0 ? [] : [{ state, outcome: cases[outcome - 1]!.outcome }],
    );
  }

  /** The packets of one form as they were sent, for which a predicate holds of the header as it is now. */
  intersectCurrent(state: SetState, node: Node): Node {
    return this.domain.diagrams.intersect(state.set, this.onOriginalHeader(state, node));
  }

  /** A diagram over the header as it is now, said of the packets as they were sent. */
  private onOriginalHeader(form: HeaderState, node: Node): Node {
    const { domain } = this;
    let key = "";
    const changes = new Map<number, { ordinal: number } | { level: number; through?: readonly number[] }>();
    for (const level of domain.diagrams.support(node)) {
      const variable = domain.variables[level]!;
      const to = variable.kind === "field" ? form.bindings[variable.field] : undefined;
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
      key += `${to.variable} ${to.decrement},`;
      if (other === undefined) continue;
      if (to.decrement !== undefined)
        changes.set(level, { level: other, through: domain.decrementedOrdinals(other, to.decrement) });
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
  private splitByTerminal(states: SetStates, node: Node): Part<SetStates, number>[] {
    const { diagrams } = this.domain;
    const parts: Part<SetStates, number>[] = [];
    for (const [now, group] of this.groupByHeader(states, (form) => this.onOriginalHeader(form, node))) {
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

  private decide(states: SetStates, chain: BoundChain): Part<SetStates, ChainOutcome | null>[] {
    return this.splitByTerminal(states, this.chainDiagram(chain)).map(({ state, outcome: id }) =>
      id === 0 ? { state, outcome: null } : this.partOfTerminal(state, id),
    );
  }

  private partOfTerminal(state: SetStates, id: number): Part<SetStates, ChainOutcome> {
    const outcome = this.outcomes.get(id);
    return { state: outcome.kind === "undecided" ? withDoubt(state, outcome.why) : state, outcome };
  }

  /** From headers to outcomes; 0 is what falls off the end. Never called on a chain that leads back to itself. */
  private chainDiagram(chain: BoundChain): Node {
    if (!this.diagrams.has(chain))
      for (const each of this.program.calleesFirst([chain])) {
        if (this.diagrams.has(each)) continue;
        const node = nameOverrun(chainLabel(each), () =>
          this.domain.diagrams.unionAll(each.rules.map((rule) => this.ruleDiagram(rule))),
        );
        this.diagrams.set(each, node);
      }
    return this.diagrams.get(chain)!;
  }

  private ruleDiagram({ rule, when, effect }: Pick<BoundRule, "rule" | "when" | "effect">): Node {
    const { diagrams } = this.domain;
    switch (effect.kind) {
      case "fork":
        return diagrams.union(
          this.ruleDiagram({ rule, when: and(when, effect.when), effect: effect.yes }),
          this.ruleDiagram({ rule, when: and(when, not(effect.when)), effect: effect.no }),
        );
      case "note":
        return EMPTY;
      case "jump": {
        // A return from the called chain goes on here: not decided.
        const called = diagrams.mapTerminals(
          this.chainDiagram(this.program.chain(rule.table, effect.chain)!),
          (v) => (v === this.outcomes.return ? 0 : v),
        );
        return diagrams.intersect(this.domain.set(when), called);
      }
      case "goto": {
        const called = this.chainDiagram(this.program.chain(rule.table, effect.chain)!);
        return diagrams.intersect(
          this.domain.set(when),
          diagrams.union(called, terminal(this.outcomes.return)),
        );
      }
      case "nat": {
        const all = this.domain.terminalWhere(when, terminal(this.outcomes.of(effect, rule)));
        const header = fixed(effect);
        const idle =
          header === null ? EMPTY : diagrams.intersect(this.domain.set(hasHeader(effect.side, header)), all);
        if (idle === EMPTY) return all;
        return diagrams.union(
          diagrams.mapTerminals(idle, (id) => (id === 0 ? 0 : this.outcomes.of(effect, rule, true))),
          all,
        );
      }
      default:
        return this.domain.terminalWhere(when, terminal(this.outcomes.of(effect, rule)));
    }
  }

  /** Whether no rule of a chain, nor of those it calls, changes the packet. */
  private isPure(chain: BoundChain): boolean {
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
  private followMemoized(start: SetStates, chain: BoundChain): Part<SetStates, ChainOutcome | null>[] {
    if (chain.policy !== null) return this.follow(start, chain);
    if (this.program.isDeep(chain))
      return [
        {
          state: withDoubt(start, `${chainLabel(chain)}: ${TOO_DEEP}`),
          outcome: { kind: "undecided", why: TOO_DEEP },
        },
      ];
    let known = this.followed.get(chain);
    if (known === undefined) this.followed.set(chain, (known = new Map()));
    const key = `${start.set}|${headersKey(start)}`;
    let parts = known.get(key);
    if (parts === undefined) known.set(key, (parts = this.follow(start, chain)));
    return parts;
  }

  /** Rule by rule: each splits the states in what it matches and what goes on. */
  private follow(start: SetStates, chain: BoundChain): Part<SetStates, ChainOutcome | null>[] {
    const out: Part<SetStates, ChainOutcome | null>[] = [];
    let all = [start];
    for (const { rule, when, effect } of chain.rules) {
      if (all.length === 0) break;
      if (effect.kind === "note") continue;
      const on: SetStates[] = [];
      for (const { state: here, outcome: matches } of all.flatMap((each) =>
        this.splitByTerminal(each, this.domain.set(when)),
      ))
        if (matches === 0) on.push(here);
        else this.applyEffect(effect, rule, here, on, out);
      all = on.length > MERGE_ABOVE ? this.mergeEqualHeaders(on) : on;
      if (all.length > MOST_STATES) throw new BudgetExceeded(MOST_STATES, chainLabel(chain), "states");
    }
    for (const state of all) out.push({ state, outcome: null });
    return out;
  }

  /** States of the same forms as one. */
  private mergeEqualHeaders(states: readonly SetStates[]): SetStates[] {
    const byForms = new Map<string, SetStates>();
    for (const state of states) {
      const key = headersKey(state);
      const before = byForms.get(key);
      const set = before === undefined ? state.set : this.domain.diagrams.union(before.set, state.set);
      byForms.set(key, { set, headers: state.headers });
    }
    return [...byForms.values()];
  }

  /** Does to packets of a rule what it does: they go on behind it, or are out of the chain. */
  private applyEffect(
    effect: Effect,
    rule: Rule,
    here: SetStates,
    on: SetStates[],
    out: Part<SetStates, ChainOutcome | null>[],
  ): void {
    switch (effect.kind) {
      case "note":
        on.push(here);
        break;
      case "fork":
        for (const { state, outcome: matches } of this.splitByTerminal(here, this.domain.set(effect.when)))
          this.applyEffect(matches === 0 ? effect.no : effect.yes, rule, state, on, out);
        break;
      case "assign": {
        const after = mapHeaders(here, (form) => assignField(form, effect.field, effect.change));
        if (effect.next === undefined) on.push(after);
        else this.applyEffect(effect.next, rule, after, on, out);
        break;
      }
      case "jump":
      case "goto":
        for (const part of this.evaluateChain(here, this.program.chain(rule.table, effect.chain)!)) {
          const back = part.outcome === null || part.outcome.kind === "return";
          if (back && effect.kind === "jump") on.push(part.state);
          else out.push(back ? { state: part.state, outcome: { kind: "return" } } : part);
        }
        break;
      default:
        out.push(this.partOfTerminal(here, this.outcomes.of(effect, rule)));
    }
  }
}

/** Asks whether a header stands on a side already. */
const hasHeader = (side: Nat["side"], { address, port }: Header): Predicate =>
  and(
    address === null ? ANY : is(side, address),
    port === null ? ANY : is(side === "dst" ? "dport" : "sport", port),
  );

const chainLabel = ({ chain }: BoundChain): string => `${chain.table} ${chain.name}`;

/** Forms as a text: equal texts are equal forms. */
const headersKey = ({ headers }: SetStates): string =>
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

/** Works with a chain or a decision: should the diagrams outgrow their budget, it is named. */
function nameOverrun<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof BudgetExceeded ? error.withContext(name) : error;
  }
}

const policyOutcome = (chain: BoundChain): ChainOutcome => ({
  kind: chain.policy === "drop" ? "drop" : "accept",
});

/** The states with a reason why they are not decided. */
export const withDoubt = (states: SetStates, why: string): SetStates =>
  mapHeaders(states, (form) => ({ ...form, unsure: [...form.unsure, why] }));

/** A field after a change; what cannot be worked out from a single value is said to be unsure. */
export function assignField<F extends HeaderState>(form: F, field: Field, change: Change): F {
  // What has a connection already keeps it, and what a rule has said of it (xt_ct_target).
  if (field === "ctstate" && valueIn(form, "ctstate") !== CT.INVALID) return form;
  // Without a connection there is no mark to write or to copy (xt_connmark).
  const tracked = ![CT.INVALID, CT.UNTRACKED, PREPARED].includes(valueIn(form, "ctstate") as never);
  if (!tracked && (field === "ctmark" || (change.kind === "copy" && change.from === "ctmark"))) return form;
  const old = valueIn(form, field);
  const value = changed(old, change, change.kind === "copy" ? valueIn(form, change.from) : undefined);
  if (value !== undefined) return bindFields(form, { [field]: { value } });
  return {
    ...form,
    unsure: [...form.unsure, `what ${field} is after a rule changed it is not followed`],
  };
}

/** What tells outcomes apart: a route explains a decision and makes no difference to what becomes of the packet. */
const outcomeReplacer = (key: string, value: unknown): unknown =>
  key === "route" ? undefined : typeof value === "bigint" ? `${value}n` : value;
