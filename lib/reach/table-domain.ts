/** Packet sets of one table: a domain for its rules, and the fields that can have any value. */
import type { Field } from "../packet/field.ts";
import { ANY, and, or, type Predicate, visitLeaves } from "../packet/predicate.ts";
import type { BoundChain, BoundRule, Program } from "../path/program.ts";
import { ends, forks } from "../rules/effect.ts";
import type { TableId } from "../rules/ruleset.ts";
import type { Diagrams } from "./diagram.ts";
import { Domain } from "./domain.ts";
import { EMPTY, type Node } from "./node-store.ts";
import { sharedUnknowns } from "./shared-unknowns.ts";

/** Sets of rules by chain and range. */
export type RangeMemo = Map<BoundChain, Map<string, Node>>;

export class TableDomain {
  readonly domain: Domain;
  readonly chains: readonly BoundChain[];
  /** Each chain after the chains that it calls. */
  readonly calleesFirst: readonly BoundChain[];
  /** Fields that can have any value: those that rules assign, and marks, which sockets, tc and NFQUEUE also set. */
  private readonly variableFields = new Set<Field>(["mark", "ctmark"]);

  constructor(
    readonly program: Program,
    table: TableId,
    budget?: number,
  ) {
    const names = [...(program.ruleset.tables.get(table)?.chains.keys() ?? [])];
    this.chains = names.map((name) => program.chain(table, name)!);
    this.calleesFirst = program.calleesFirst(this.chains);
    // Marks can have any value, so their values need no intervals.
    const predicates = this.chains.flatMap(({ rules }) =>
      rules.flatMap(({ when, effect }) => [when, ...forks(effect)]),
    );
    const vocabulary = { predicates, markValues: new Map(), shared: sharedUnknowns(program) };
    this.domain = Domain.of(program.ruleset.family, [vocabulary], budget);
    for (const { rules } of this.chains)
      for (const { effect } of rules)
        for (const end of ends(effect)) if (end.kind === "assign") this.variableFields.add(end.field);
  }

  get diagrams(): Diagrams {
    return this.domain.diagrams;
  }

  /** Returns true if the predicate tests no field that can have any value. */
  isCertain(when: Predicate): boolean {
    let sure = true;
    visitLeaves(when, (leaf) => {
      if (leaf.kind !== "opaque" && this.variableFields.has(leaf.field)) sure = false;
    });
    return sure;
  }

  /** Returns the packets that can satisfy a predicate. */
  possible(when: Predicate): Node {
    return this.domain.set(this.isCertain(when) ? when : this.relax(when));
  }

  /** Weakens a predicate: parts that test a field with any value become true. */
  private relax(when: Predicate): Predicate {
    if (when.kind === "and") return and(...when.all.map((part) => this.relax(part)));
    if (when.kind === "or") return or(...when.some.map((part) => this.relax(part)));
    return this.isCertain(when) ? when : ANY;
  }

  /** Union of a diagram for each rule of a range, memoized for the halves in which ranges are searched. */
  unionOfRange(
    known: RangeMemo,
    chain: BoundChain,
    from: number,
    to: number,
    one: (bound: BoundRule) => Node,
  ): Node {
    if (from >= to) return EMPTY;
    if (to - from === 1) return one(chain.rules[from]!);
    let halves = known.get(chain);
    if (halves === undefined) known.set(chain, (halves = new Map<string, Node>()));
    const key = `${from}-${to}`;
    let node = halves.get(key);
    if (node === undefined) {
      const middle = (from + to) >> 1;
      const left = this.unionOfRange(known, chain, from, middle, one);
      const right = this.unionOfRange(known, chain, middle, to, one);
      node = this.diagrams.union(left, right);
      halves.set(key, node);
    }
    return node;
  }
}
