/**
 * Walks packet sets and records which rule or policy decides each packet. An accepted packet is decided by the last base
 * chain that filters, a stopped one by the chain that stops it.
 */
import { engineOfChain } from "../host/known/chains.ts";
import type { NatStop } from "../path/hooks.ts";
import type { BoundChain, Program } from "../path/program.ts";
import type { Decision, Ending, Part } from "../path/walk.ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";
import type { DropReason } from "../rules/effect.ts";
import { type Chain, iptablesName, type Rule } from "../rules/ruleset.ts";
import type { ChainEvaluator } from "./chain-evaluator.ts";
import type { ChainOutcome } from "./chain-outcome.ts";
import type { Domain } from "./domain.ts";
import { EMPTY, type Node } from "./node-store.ts";
import { SetEngine } from "./set-engine.ts";
import type { SetState, SetStates } from "./set-state.ts";

/** Rule, policy or match that decides packets. */
export type SetDecider =
  | { readonly kind: "rule"; readonly rule: Rule }
  /** Policy of a base chain. */
  | { readonly kind: "policy"; readonly chain: Chain }
  /** A match or target takes the packets. */
  | { readonly kind: "taken"; readonly rule: Rule; readonly reason: DropReason };

/** Endings of a walk, and the deciders of its packets. */
export interface AttributedWalk {
  readonly endings: readonly Ending<SetStates>[];
  /** Maps packets, as they were sent, to numbers of their deciders; 0 where no rule and no policy decides. */
  readonly deciders: Node;
}

/** Hooks whose base chains decide what is accepted; those before and after only prepare and follow. */
const DECIDING_HOOKS: readonly Hook[] = ["INPUT", "FORWARD", "OUTPUT"];

/** Returns true for a base chain that filters: of table filter, or of type filter in nftables. */
export const isDecidingChain = ({ table, type, hook }: BaseChain): boolean => {
  const name = iptablesName(table);
  return name !== null ? name === "filter" : type === "filter" && DECIDING_HOOKS.includes(hook);
};

/** Returns false for an engine's chain at the input hook: the owner has no rule there, and its accepting policy decides nothing. */
export const decidesByPolicy = ({ table, name, hook }: BaseChain): boolean =>
  hook !== "INPUT" || engineOfChain(table, name) === null;

export class AttributedEngine extends SetEngine {
  private readonly list: SetDecider[] = [];
  private readonly ids = new Map<object, number>();
  private readonly attributed: ChainEvaluator;
  /** Deciders of packets at each base chain, in the order of evaluation. */
  private records: Node[] = [];
  /** Chains as diagrams with the numbers of deciders. */
  private readonly diagrams = new Map<BoundChain, Node>();

  constructor(program: Program, domain: Domain, sent = true) {
    super(program, domain, sent);
    this.attributed = this.chains.attributed();
  }

  /** Walks packets that arrive from outside. */
  attributeArriving(start: SetState): AttributedWalk {
    return this.recorded(() => this.arrive(start));
  }

  /** Walks packets that the host sends. */
  attributeSent(start: SetState): AttributedWalk {
    return this.recorded(() => this.send(start));
  }

  /** Returns the decider with a number. */
  decider(id: number): SetDecider {
    return this.list[id - 1]!;
  }

  private recorded(walk: () => Ending<SetStates>[]): AttributedWalk {
    this.records = [];
    const endings = walk();
    // Of two records of a packet the later one is in force.
    const deciders = this.domain.diagrams.unionAll(this.records.reverse());
    this.records = [];
    return { endings, deciders };
  }

  override chain(states: SetStates, base: BaseChain): Part<SetStates, Decision>[] {
    const bound = this.program.chain(base.table, base.name);
    if (bound !== undefined) this.record(this.decidersAt(states, bound));
    return super.chain(states, base);
  }

  override nat(states: SetStates, stop: NatStop): Part<SetStates, Decision>[] {
    const parts = super.nat(states, stop);
    const { diagrams } = this.domain;
    const stopped = diagrams.unionAll(
      parts.flatMap(({ state, outcome }) => (outcome === "accept" ? [] : [diagrams.members(state.set)])),
    );
    if (stopped !== EMPTY) {
      const bound = stop.chains.flatMap(({ table, name }) => this.program.chain(table, name) ?? []);
      // Packets that a chain translates or stops do not reach the next one.
      const deciders = diagrams.unionAll(bound.map((chain) => this.decidersAt(states, chain)));
      this.record(diagrams.intersect(stopped, deciders));
    }
    return parts;
  }

  private record(deciders: Node): void {
    if (deciders !== EMPTY) this.records.push(deciders);
  }

  private decidersAt(states: SetStates, chain: BoundChain): Node {
    const number = (outcome: ChainOutcome | null): number => this.numberOf(chain, outcome);
    return this.attributed.numberOutcomes(states, chain, number, this.diagrams);
  }

  private numberOf({ chain, policy }: BoundChain, outcome: ChainOutcome | null): number {
    const base = chain.base!;
    if (outcome === null || outcome.kind === "return") {
      const decides = policy === "drop" || (isDecidingChain(base) && decidesByPolicy(base));
      return decides ? this.add(chain, { kind: "policy", chain }) : 0;
    }
    const { rule } = outcome;
    if (rule === undefined || (outcome.kind === "accept" && !isDecidingChain(base))) return 0;
    if (outcome.kind === "drop" && outcome.reason !== undefined)
      return this.add(outcome.reason, { kind: "taken", rule, reason: outcome.reason });
    return this.add(rule, { kind: "rule", rule });
  }

  private add(key: object, decider: SetDecider): number {
    let id = this.ids.get(key);
    if (id === undefined) this.ids.set(key, (id = this.list.push(decider)));
    return id;
  }
}
