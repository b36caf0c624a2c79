/** Evaluates the owner's chains with the packets of all passages, and records which rule decides which packets. */
import { banProgram } from "../audit/bans.ts";
import { and, type Predicate } from "../packet/predicate.ts";
import { type BoundChain, MOST_NESTED, type Program } from "../path/program.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import type { Diagrams } from "../reach/diagram.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { assignField, type SetState } from "../reach/set-state.ts";
import type { Vocabulary } from "../reach/variables.ts";
import { type Choice, type Effect, ends } from "../rules/effect.ts";
import { type Rule, setLookups } from "../rules/ruleset.ts";
import type { ChainPlace } from "./chain-names.ts";
import { append, type PolicyStep, type StepLists } from "./policy-step.ts";
import type { ReadPoint } from "./read-point.ts";

/** Limit of chain evaluations: a chain is evaluated again for each rule that calls it. */
const MOST_VISITS = 20_000;

/** A step to record, before it is split by passage. */
type StepTemplate = Pick<PolicyStep, "rule" | "callers" | "kind">;

/** A rule whose effect is applied. */
interface RuleVisit {
  readonly rule: Rule;
  readonly callers: readonly Rule[];
  readonly lists: StepLists;
  /** Packets that satisfy all matches except those by ipset. */
  readonly candidates: Node;
}

/** Packets after a rule: those that go on to the next rule, and those that return from the chain. */
interface Continued {
  readonly going: readonly SetState[];
  readonly returning: readonly SetState[];
}

const NOTHING_CONTINUES: Continued = { going: [], returning: [] };

/** Walks chains at one read point and appends the steps to `lists`. */
export class PolicyWalker {
  private readonly diagrams: Diagrams;
  private visits = 0;

  /** @param blocked packets that the intent blocks */
  constructor(
    private readonly readPoint: ReadPoint,
    private readonly lists: StepLists,
    private readonly blocked: Node,
  ) {
    this.diagrams = readPoint.engine.domain.diagrams;
  }

  /** Reads a base chain with its policy, and the packets that do not reach it. */
  readChain(packets: Node, place: ChainPlace): void {
    const { states, engine } = this.readPoint;
    const arrived = this.diagrams.unionAll(states.map((s) => this.untagged(s.set)));
    // Owner's rules in earlier tables stop these packets, or none do: the intent decides.
    const absent = this.diagrams.subtract(packets, arrived);
    const policyStep = (kind: "accept" | "drop"): StepTemplate => ({ rule: null, callers: [], kind });
    this.record(this.lists, this.diagrams.intersect(this.blocked, absent), policyStep("drop"));
    this.record(this.lists, this.diagrams.subtract(absent, this.blocked), policyStep("accept"));
    const chain = engine.program.chain(place.table, place.chain);
    const left = chain === undefined ? states : this.walk(states, chain, []);
    this.record(this.lists, this.unionOf(left), policyStep(chain?.policy === "drop" ? "drop" : "accept"));
  }

  /** Reads the rules of another base chain that stop packets. Packets that they accept go on to the next one. */
  readStops(place: ChainPlace): void {
    const { states, engine } = this.readPoint;
    const chain = engine.program.chain(place.table, place.chain);
    if (chain === undefined || states.length === 0) return;
    const all: StepLists = new Map();
    const left = this.walk(states, chain, [], all);
    if (chain.policy === "drop")
      this.record(all, this.unionOf(left), { rule: null, callers: [], kind: "drop" });
    for (const [number, steps] of all)
      append(
        this.lists,
        number,
        steps.filter(({ kind }) => kind !== "accept" && kind !== "note"),
      );
  }

  /** @returns the states at the end of the chain, and those that return from it */
  walk(
    start: readonly SetState[],
    chain: BoundChain,
    callers: readonly Rule[],
    lists: StepLists = this.lists,
  ): SetState[] {
    this.countVisit(chain, callers);
    let states = [...start];
    const returned: SetState[] = [];
    for (const { rule, when, effect } of chain.rules) {
      if (states.length === 0) break;
      if (effect.kind === "note" && !isCopiedNote(rule)) continue;
      const { matched, rest } = this.split(states, this.readPoint.engine.domain.set(when));
      const jumps = effect.kind === "jump" || effect.kind === "goto";
      if (matched.length === 0 && jumps)
        this.recordSetJump(this.candidates(states, rule), rule, effect.chain, callers, lists);
      const candidates = effect.kind === "verdict" ? this.unionOf(this.candidates(states, rule)) : EMPTY;
      if (matched.length === 0 && candidates === EMPTY) continue;
      const { going, returning } = this.apply(matched, effect, { rule, callers, lists, candidates });
      returned.push(...returning);
      states = going.length === 0 ? rest : this.mergeByHeader([...rest, ...going]);
    }
    return this.mergeByHeader([...states, ...returned]);
  }

  /** Records what the effect of a rule does to packets. */
  private apply(matched: readonly SetState[], effect: Effect, at: RuleVisit): Continued {
    const { rule, callers, lists, candidates } = at;
    const set = this.unionOf(matched);
    switch (effect.kind) {
      case "verdict":
        this.record(lists, set, { rule, callers, kind: effect.verdict }, new Map(), candidates);
        return NOTHING_CONTINUES;
      case "return":
        return { going: [], returning: matched };
      case "jump":
      case "goto": {
        const after = this.enter(matched, rule, effect, callers, lists);
        return effect.kind === "goto" ? { going: [], returning: after } : { going: after, returning: [] };
      }
      case "note":
        if (effect.breaks !== true && isCopiedNote(rule))
          this.record(lists, set, { rule, callers, kind: "note" });
        return { going: matched, returning: [] };
      case "assign": {
        // Later rules see the value that this rule writes. The owner's rule keeps writing it with the fix.
        const after = matched.map((state) => assignField(state, effect.field, effect.change));
        const unsure = after.filter((state, i) => state.unsure.length > matched[i]!.unsure.length);
        this.record(lists, this.unionOf(unsure), { rule, callers, kind: "unknown" });
        return effect.next === undefined
          ? { going: after, returning: [] }
          : this.apply(after, effect.next, at);
      }
      case "choice":
        return this.choose(matched, effect, at);
      default:
        // A limit in front of a log decides nothing.
        if (![...ends(effect)].every(({ kind }) => kind === "note"))
          this.record(lists, set, { rule, callers, kind: "unknown" });
        return { going: matched, returning: [] };
    }
  }

  /** Applies the first case that holds; packets of no case go on to the next rule. */
  private choose(matched: readonly SetState[], { cases }: Choice, at: RuleVisit): Continued {
    const going: SetState[] = [];
    const returning: SetState[] = [];
    let left = matched;
    for (const { when, effect } of cases) {
      if (left.length === 0) break;
      const { matched: chosen, rest } = this.split(left, this.readPoint.engine.domain.set(when));
      left = rest;
      if (chosen.length === 0) continue;
      const after = this.apply(chosen, effect, at);
      going.push(...after.going);
      returning.push(...after.returning);
    }
    return { going: [...left, ...going], returning };
  }

  private countVisit({ chain: { table, name } }: BoundChain, callers: readonly Rule[]): void {
    const by = `${table} ${name}`;
    if (++this.visits > MOST_VISITS) throw new BudgetExceeded(MOST_VISITS, by, "calls of chains");
    if (callers.length > MOST_NESTED) throw new BudgetExceeded(MOST_NESTED, by, "levels of chains");
  }

  /** Walks the chain of a jump or goto; returns the states that return from it. */
  private enter(
    matched: readonly SetState[],
    rule: Rule,
    { kind, chain }: { readonly kind: "jump" | "goto"; readonly chain: string },
    callers: readonly Rule[],
    lists: StepLists,
  ): SetState[] {
    const callee = this.readPoint.engine.program.chain(rule.table, chain)!;
    const stepKind =
      rule.reading.recents !== undefined
        ? "once"
        : kind === "jump" && this.isBanChain(callee)
          ? "call"
          : null;
    if (stepKind === null) return this.walk(matched, callee, [...callers, rule], lists);
    const inner: StepLists = new Map();
    const after = this.walk(matched, callee, [], inner);
    this.record(lists, this.unionOf(matched), { rule, callers, kind: stepKind }, inner);
    return after;
  }

  /** Returns the packets that satisfy all matches of a rule except those by ipset; none without such a match. */
  private candidates(states: readonly SetState[], rule: Rule): readonly SetState[] {
    if (setLookups(rule).length === 0) return [];
    const { domain, program } = this.readPoint.engine;
    return this.split(states, domain.set(withoutSetMatches(rule, program))).matched;
  }

  /**
   * Records the steps of the chain of a jump whose ipsets contain none of the packets now, and may later. Passages with a
   * step that cannot be combined with the set match of the jump get none.
   */
  private recordSetJump(
    entered: readonly SetState[],
    rule: Rule,
    chain: string,
    callers: readonly Rule[],
    lists: StepLists,
  ): void {
    if (entered.length === 0) return;
    const inner: StepLists = new Map();
    const callee = this.readPoint.engine.program.chain(rule.table, chain)!;
    this.walk(entered, callee, [...callers, rule], inner);
    for (const [number, steps] of inner) {
      if (steps.some(({ kind }) => kind === "once" || kind === "call" || kind === "unknown")) continue;
      append(
        lists,
        number,
        steps.map((step) => ({
          ...step,
          set: EMPTY,
          candidates: step.candidates ?? step.set,
          setJumps: [rule, ...(step.setJumps ?? [])],
        })),
      );
    }
  }

  /**
   * Returns whether a chain contains the bans of a known program (fail2ban, CrowdSec, SSHGuard) and can be called from
   * FORWARD: it stops packets by sender alone, and accepts none.
   */
  private isBanChain({ chain, rules }: BoundChain, nested = false): boolean {
    return (
      (nested || banProgram(chain.name) !== undefined) &&
      rules.every(({ rule, effect }) => {
        if (!matchesSenderOnly(rule)) return false;
        if (effect.kind === "jump") {
          const callee = this.readPoint.engine.program.chain(rule.table, effect.chain)!;
          return callee.chain.name !== chain.name && this.isBanChain(callee, true);
        }
        return effect.kind === "verdict"
          ? effect.verdict !== "accept"
          : effect.kind === "return" || effect.kind === "note";
      })
    );
  }

  private split(states: readonly SetState[], node: Node): { matched: SetState[]; rest: SetState[] } {
    const matched: SetState[] = [];
    const rest: SetState[] = [];
    for (const state of states) {
      const yes = this.readPoint.engine.chains.intersectCurrent(state, node);
      if (yes === EMPTY) {
        rest.push(state);
        continue;
      }
      matched.push({ ...state, set: this.diagrams.intersect(yes, state.set) });
      const no = this.diagrams.subtract(state.set, yes);
      if (no !== EMPTY) rest.push({ ...state, set: no });
    }
    return { matched, rest };
  }

  /** Merges states that have the same header. */
  private mergeByHeader(states: readonly SetState[]): SetState[] {
    const merged = new Map<SetState["bindings"], SetState>();
    for (const state of states) {
      const before = merged.get(state.bindings);
      merged.set(
        state.bindings,
        before === undefined ? state : { ...before, set: this.diagrams.union(before.set, state.set) },
      );
    }
    return [...merged.values()];
  }

  private unionOf(states: readonly SetState[]): Node {
    return this.diagrams.unionAll(states.map((state) => state.set));
  }

  /** Returns a set without the numbers of the passages. */
  private untagged(packets: Node): Node {
    return this.diagrams.mapTerminals(packets, (value) => Math.min(value, 1));
  }

  /** Records a step for each passage that some of the packets belong to. */
  private record(
    lists: StepLists,
    packets: Node,
    step: StepTemplate,
    inner: StepLists = new Map(),
    candidates: Node = EMPTY,
  ): void {
    const sets = this.diagrams.split(packets);
    const candidateSets = this.diagrams.split(candidates);
    for (const number of new Set([...sets.keys(), ...candidateSets.keys()])) {
      const list = lists.get(number) ?? [];
      const own = candidateSets.get(number);
      list.push({
        ...step,
        readPoint: this.readPoint,
        set: sets.get(number) ?? EMPTY,
        inner: inner.get(number) ?? [],
        ...(own === undefined ? {} : { candidates: own }),
      });
      lists.set(number, list);
    }
  }
}

/** Returns the condition of a rule without its ipset matches. */
function withoutSetMatches(rule: Rule, { facts }: Program): Predicate {
  const others = rule.conditions.filter(({ reading }) => reading.sets === undefined);
  return and(...others.map((condition) => condition.predicate(facts)));
}

/**
 * Returns the conditions of rules without their ipset matches, for the domain of an audit. A program omits rules whose
 * set is empty, so the domain of the program alone may not distinguish these packets.
 */
export const setVocabulary = (program: Program): Vocabulary => ({
  predicates: [...program.ruleset.tables.values()]
    .flatMap(({ chains }) => [...chains.values()])
    .flatMap(({ rules }) => rules.filter((rule) => setLookups(rule).length > 0))
    .map((rule) => withoutSetMatches(rule, program)),
  markValues: new Map(),
});

/**
 * Returns whether a rule has only conditions that ban lists use: a source, a set of sources, a protocol, a comment, a
 * limit. A call evaluates the owner's rule itself, so a limit keeps its own count.
 */
const matchesSenderOnly = ({ conditions }: Rule): boolean =>
  conditions
    .flatMap((condition) => condition.parts())
    .every(
      ({ reading: { src, proto, comments, sets }, copy }) =>
        copy === "in-notes" ||
        (src ?? proto ?? comments) !== undefined ||
        sets?.every(({ value }) => value.sides.every((side) => side === "src")) === true,
    );

/** Returns whether a rule that decides nothing is copied: it logs, or records an address in a list. */
const isCopiedNote = ({ reading: { action, recents } }: Rule): boolean =>
  action === "log" || (action === "none" && recents !== undefined);
