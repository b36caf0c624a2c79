/**
 * Evaluates chains on packet sets. A chain that changes nothing is compiled once to a diagram from headers to outcomes,
 * which all its callers share. A chain that assigns fields is followed rule by rule.
 */
import { ANY, and, is, not, type Predicate } from "../packet/predicate.ts";
import { type FixedHeader, fixedHeader } from "../path/header-translation.ts";
import { type BoundChain, type BoundRule, MOST_NESTED, type Program } from "../path/program.ts";
import type { Part } from "../path/walk.ts";
import { type Choice, type Effect, ends, type Nat, NOTE } from "../rules/effect.ts";
import type { Rule, TableId } from "../rules/ruleset.ts";
import { BudgetExceeded, withBudgetContext } from "./budget.ts";
import { type ChainOutcome, type NatOutcome, OutcomeTable, policyOutcome } from "./chain-outcome.ts";
import type { Domain } from "./domain.ts";
import { EMPTY, type Node, terminal } from "./node-store.ts";
import {
  assignField,
  type HeaderState,
  mapHeaders,
  type SetState,
  type SetStates,
  singleState,
  withDoubt,
} from "./set-state.ts";
import { headersKey, StateSplitter } from "./state-splitter.ts";

/** Above this many states, those with equal header states are merged. */
const MERGE_ABOVE = 8;

/** Most states into which the assignments of one chain can split packets. */
const MOST_STATES = 4096;

const NO_STATES: SetStates = { set: EMPTY, headers: new Map() };

export class ChainEvaluator extends StateSplitter {
  private readonly outcomes: OutcomeTable;
  private readonly diagrams = new Map<BoundChain, Node>();
  private readonly pureness = new Map<BoundChain, boolean>();
  private readonly choices = new Map<Choice, ChoiceParts>();
  /** Memo of chains that assign fields, by set and header states. */
  private readonly followed = new Map<BoundChain, Map<string, Part<SetStates, ChainOutcome | null>[]>>();
  /** Called with the name of each base chain that is evaluated, to report progress. */
  onBaseChain: ((chain: string) => void) | undefined;

  private static readonly evaluators = new WeakMap<Domain, Map<Program, ChainEvaluator>>();
  private byDecider: ChainEvaluator | undefined;

  /** Returns the evaluator of a program in a domain, memoized. */
  static of(program: Program, domain: Domain): ChainEvaluator {
    let byProgram = ChainEvaluator.evaluators.get(domain);
    if (byProgram === undefined)
      ChainEvaluator.evaluators.set(domain, (byProgram = new Map<Program, ChainEvaluator>()));
    let chains = byProgram.get(program);
    if (chains === undefined) byProgram.set(program, (chains = new ChainEvaluator(program, domain, false)));
    return chains;
  }

  private constructor(
    private readonly program: Program,
    domain: Domain,
    byDecider: boolean,
  ) {
    super(domain);
    this.outcomes = new OutcomeTable(byDecider);
  }

  /** Returns the evaluator whose outcomes name the rule that decides, memoized. Its diagrams are larger. */
  attributed(): ChainEvaluator {
    this.byDecider ??= new ChainEvaluator(this.program, this.domain, true);
    return this.byDecider;
  }

  /**
   * Maps packets that reach a chain, as they were sent, to numbers of their outcomes. The outcome is `null` at the end of the
   * chain.
   * @param numbered the diagrams of chains with these numbers, memoized by the caller
   */
  numberOutcomes(
    states: SetStates,
    chain: BoundChain,
    number: (outcome: ChainOutcome | null) => number,
    numbered: Map<BoundChain, Node>,
  ): Node {
    const { diagrams } = this.domain;
    if (!this.isPure(chain))
      return diagrams.unionAll(
        this.evaluateChain(states, chain).map(({ state, outcome }) => {
          const id = number(outcome);
          return diagrams.mapTerminals(state.set, (v) => (v === 0 ? 0 : id));
        }),
      );
    let node = numbered.get(chain);
    if (node === undefined) {
      const outcomes = withBudgetContext(chainLabel(chain), () => this.chainDiagram(chain));
      node = diagrams.mapTerminals(outcomes, (id) => number(id === 0 ? null : this.outcomes.get(id)));
      numbered.set(chain, node);
    }
    const groups = this.groupByHeader(states, (header) => this.onOriginalHeader(header, node));
    return diagrams.unionAll([...groups].map(([now, { set }]) => diagrams.intersect(set, now)));
  }

  /** Evaluates a base chain, policy included. A chain that the ruleset does not contain accepts. */
  evaluateBaseChain(states: SetStates, table: TableId, name: string): Part<SetStates, ChainOutcome>[] {
    const chain = this.program.chain(table, name);
    if (chain === undefined) return [{ state: states, outcome: { kind: "accept" } }];
    this.onBaseChain?.(chainLabel(chain));
    return this.evaluateChain(states, chain).map(({ state, outcome }) => ({
      state,
      outcome: outcome === null || outcome.kind === "return" ? policyOutcome(chain) : outcome,
    }));
  }

  /** Evaluates any chain by itself; the outcome is `null` for packets that reach its end. */
  evaluateChain(states: SetStates, chain: BoundChain): Part<SetStates, ChainOutcome | null>[] {
    return withBudgetContext(chainLabel(chain), () =>
      this.isPure(chain) ? this.decide(states, chain) : this.followMemoized(states, chain),
    );
  }

  /**
   * Evaluates a chain of type nat on packets with one header state. Translated packets stay in one diagram, with one
   * header state for each rule.
   * @param translated returns the header state after a translation; `null` if packets get different ones
   */
  splitTranslations(
    state: SetState,
    chain: BoundChain,
    translated: (outcome: NatOutcome) => HeaderState | null,
  ): { readonly states: SetStates; readonly others: Part<SetState, ChainOutcome>[] } {
    const { diagrams } = this.domain;
    if (!this.isPure(chain)) return { states: NO_STATES, others: this.evaluateOneHeader(state, chain) };
    this.onBaseChain?.(chainLabel(chain));
    const decided = withBudgetContext(chainLabel(chain), () =>
      diagrams.intersect(state.set, this.onOriginalHeader(state, this.chainDiagram(chain))),
    );
    const headers = new Map<number, HeaderState>();
    for (const id of diagrams.terminals(decided)) {
      const outcome = this.outcomes.get(id);
      const header = outcome.kind === "nat" ? translated(outcome) : null;
      if (header !== null) headers.set(id, header);
    }
    if (headers.size === 0) return { states: NO_STATES, others: this.evaluateOneHeader(state, chain) };
    const set = diagrams.mapTerminals(decided, (id) => (headers.has(id) ? id : 0));
    const rest = diagrams.subtract(state.set, set);
    return {
      states: { set, headers },
      others: rest === EMPTY ? [] : this.evaluateOneHeader({ ...state, set: rest }, chain),
    };
  }

  /** Evaluates a chain on packets with one header state. */
  private evaluateOneHeader(state: SetState, chain: BoundChain): Part<SetState, ChainOutcome>[] {
    return this.evaluateChain(singleState(state), chain).flatMap(({ state: after, outcome }) =>
      this.splitByHeader(after).map((each) => ({
        state: each,
        outcome: outcome === null || outcome.kind === "return" ? policyOutcome(chain) : outcome,
      })),
    );
  }

  private decide(states: SetStates, chain: BoundChain): Part<SetStates, ChainOutcome | null>[] {
    return this.splitByTerminal(states, this.chainDiagram(chain)).map(({ state, outcome: id }) =>
      id === 0 ? { state, outcome: null } : this.partOfTerminal(state, id),
    );
  }

  private partOfTerminal(state: SetStates, id: number): Part<SetStates, ChainOutcome> {
    const outcome = this.outcomes.get(id);
    return { state: outcome.kind === "undecided" ? withDoubt(state, outcome.reason) : state, outcome };
  }

  /** Compiles a chain to a diagram from headers to outcomes, 0 at its end. Must not be called for a chain in a loop. */
  private chainDiagram(chain: BoundChain): Node {
    if (!this.diagrams.has(chain))
      for (const each of this.program.calleesFirst([chain])) {
        if (this.diagrams.has(each)) continue;
        const node = withBudgetContext(chainLabel(each), () =>
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
      case "choice":
        return diagrams.intersect(this.domain.set(when), this.choiceDiagram(effect, rule));
      case "note":
        return EMPTY;
      case "jump": {
        // A return from the called chain continues with the next rule: not decided.
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
        const header = fixedHeader(effect);
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

  /** Returns the diagram from headers to the outcomes of a choice, 0 where evaluation continues. */
  private choiceDiagram(choice: Choice, rule: Rule): Node {
    const { diagrams } = this.domain;
    const { node, effects } = this.partsOf(choice);
    const outcomes = [0, ...effects.map((effect) => this.outcomeNumber(effect, rule))];
    const ended = diagrams.mapTerminals(node, (id) => outcomes[id] ?? 0);
    if (!outcomes.includes(null)) return ended;
    const called = [...diagrams.split(node)].flatMap(([id, set]) =>
      outcomes[id] === null
        ? [diagrams.intersect(set, this.ruleDiagram({ rule, when: ANY, effect: effects[id - 1]! }))]
        : [],
    );
    return diagrams.unionAll([ended, ...called]);
  }

  /** Returns the terminal of an effect that gives all packets the same outcome, 0 for none; `null` for any other effect. */
  private outcomeNumber(effect: Effect, rule: Rule): number | null {
    switch (effect.kind) {
      case "note":
        return 0;
      case "fork":
      case "choice":
      case "jump":
      case "goto":
      case "nat":
      case "assign":
        return null;
      default:
        return this.outcomes.of(effect, rule);
    }
  }

  /** Splits packets by the first case of a choice that holds. Cases with equal effects are one part. */
  private partsOf(choice: Choice): ChoiceParts {
    let parts = this.choices.get(choice);
    if (parts === undefined) {
      const numbers = new Map<Effect | string, number>();
      const effects: Effect[] = [];
      const node = this.domain.diagrams.unionAll(
        choice.cases.map(({ when, effect }) => {
          const key = effectKey(effect);
          let id = numbers.get(key);
          if (id === undefined) numbers.set(key, (id = effects.push(effect)));
          return this.domain.terminalWhere(when, terminal(id));
        }),
      );
      this.choices.set(choice, (parts = { node, effects }));
    }
    return parts;
  }

  /** Returns true if no rule of a chain, or of the chains that it calls, assigns a field. */
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

  /** Follows a chain, memoized: chains that call the next one twice would otherwise take exponential time. */
  private followMemoized(start: SetStates, chain: BoundChain): Part<SetStates, ChainOutcome | null>[] {
    if (chain.policy !== null) return this.follow(start, chain);
    if (this.program.isDeep(chain)) {
      const { table, name } = chain.chain;
      const reason = { code: "nested-too-deep", table, chain: name, levels: MOST_NESTED } as const;
      return [{ state: withDoubt(start, reason), outcome: { kind: "undecided", reason } }];
    }
    let known = this.followed.get(chain);
    if (known === undefined) this.followed.set(chain, (known = new Map()));
    const key = `${start.set}|${headersKey(start)}`;
    let parts = known.get(key);
    if (parts === undefined) known.set(key, (parts = this.follow(start, chain)));
    return parts;
  }

  /** Evaluates rule by rule: each rule splits the states into packets that match and packets that do not. */
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

  /** Applies an effect. Packets that continue with the next rule are added to `on`, the others to `out`. */
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
      case "choice": {
        const { node, effects } = this.partsOf(effect);
        for (const { state, outcome: id } of this.splitByTerminal(here, node))
          this.applyEffect(effects[id - 1] ?? NOTE, rule, state, on, out);
        break;
      }
      case "assign": {
        const after = mapHeaders(here, (header) => assignField(header, effect.field, effect.change));
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

/** The cases of a choice as a diagram. */
interface ChoiceParts {
  /** Maps each packet to the number of its effect, from 1; to 0 if no case holds. */
  readonly node: Node;
  readonly effects: readonly Effect[];
}

/** Returns a key that equal verdicts and equal calls share; the effect itself for any other. */
function effectKey(effect: Effect): Effect | string {
  switch (effect.kind) {
    case "verdict":
      return effect.verdict;
    case "return":
    case "note":
      return effect.kind;
    case "jump":
    case "goto":
      return `${effect.kind} ${effect.chain}`;
    default:
      return effect;
  }
}

/** Returns the predicate of packets that have this header on this side. */
const hasHeader = (side: Nat["side"], { address, port }: FixedHeader): Predicate =>
  and(
    address === null ? ANY : is(side, address),
    port === null ? ANY : is(side === "dst" ? "dport" : "sport", port),
  );

const chainLabel = ({ chain }: BoundChain): string => `${chain.table} ${chain.name}`;
