/** Rules of nftables with the members that lib/rules expects of a rule. */
import { printRule, type Rule as RuleSyntax } from "nftables-parser-ts";
import type { Predicate } from "../packet/predicate.ts";
import type { BaseChain } from "../rules/base-chain.ts";
import type { Facts } from "../rules/facts.ts";
import type { Action, KnownConditions, Reading, Traits } from "../rules/reading.ts";
import type { CompiledRule, Condition, CopyPart, Rule } from "../rules/ruleset.ts";
import { compileSteps } from "./compile-rule.ts";
import type { RuleCondition } from "./condition.ts";
import type { CompileContext } from "./operand.ts";
import { readSteps } from "./read-rule.ts";
import { calledChains, type RuleSummary } from "./rule-plan.ts";
import type { RuleScope } from "./rule-scope.ts";
import { NO_TRAITS, type StatementStep, type Step } from "./step.ts";

/** Table of a rule, as its rules see it. */
export interface TableContext {
  /** Id of the table: `inet filter`. */
  readonly table: string;
  readonly tableFamily: string;
  /** Returns the base chains from which a chain is reached, itself included. */
  bases(chain: string): readonly BaseChain[];
}

/** Chain of a rule, as its rules see it. */
export interface ChainContext {
  readonly of: TableContext;
  readonly chain: string;
  /** Scope without a report: faults were reported when the rule was loaded. */
  readonly scope: RuleScope;
}

/** A rule of nftables. */
export class NftRule implements Rule {
  constructor(
    private readonly context: ChainContext,
    readonly index: number,
    readonly syntax: RuleSyntax,
    private readonly summary: RuleSummary,
  ) {}

  /** A counter is a statement of nftables, and a rule may have several. */
  get counters(): null {
    return null;
  }

  get action(): Action {
    return this.summary.action;
  }

  get traits(): Traits {
    return this.summary.traits;
  }

  get calledChains(): readonly string[] {
    return calledChains(this.summary, this.syntax);
  }

  get table(): string {
    return this.context.of.table;
  }

  get chain(): string {
    return this.context.chain;
  }

  get line(): number {
    return this.syntax.line;
  }

  /** Steps are read again at each use: a ruleset has up to a million rules. */
  private get steps(): Step[] {
    return readSteps(this.syntax.statements, this.context.scope);
  }

  get conditions(): readonly Condition[] {
    const { context, index } = this;
    return this.steps.flatMap((step) =>
      step.kind === "condition" ? [new NftCondition(step.condition, context, index)] : [],
    );
  }

  get reading(): Reading {
    return readingOf(this.steps, this.syntax.comment, this.action);
  }

  get targetName(): string {
    return lastStatement(this.steps)?.verdict ?? "continue";
  }

  get sideEffect(): string | null {
    const effects = this.steps.flatMap((step) =>
      step.kind === "statement" && step.sideEffect !== undefined ? [step.sideEffect] : [],
    );
    return effects.length === 0 ? null : effects.join(", ");
  }

  text(): string {
    return printRule(this.syntax);
  }

  targetText(): string {
    return lastStatement(this.steps)?.text() ?? "";
  }

  compile(facts: Facts): CompiledRule {
    return compileSteps(this.steps, contextOf(facts, this.context, this.index));
  }
}

const contextOf = (facts: Facts, { of, chain }: ChainContext, index: number): CompileContext => ({
  facts,
  site: { table: of.table, chain, index },
  tableFamily: of.tableFamily,
  bases: () => of.bases(chain),
});

/** The statement with a verdict; `undefined` if the rule has none. */
const lastStatement = (steps: readonly Step[]): StatementStep | undefined => {
  const statements = steps.filter((step) => step.kind === "statement");
  return statements.findLast(({ verdict }) => verdict !== "");
};

/** Returns the members of a rule that the loader collects. */
export function summaryOf(steps: readonly Step[]): RuleSummary {
  let action: Action = "none";
  let traits: Traits = NO_TRAITS;
  let calls: readonly string[] = NO_CHAINS;
  const add = (more: Traits): void => {
    if (more !== NO_TRAITS && more !== traits) traits = traits === NO_TRAITS ? more : { ...traits, ...more };
  };
  for (const step of steps)
    if (step.kind === "condition") {
      if (step.condition.needsConntrack) add(NEEDS_CONNTRACK);
    } else {
      if (step.action !== "none") action = step.action;
      add(step.traits);
      if (step.chains.length > 0)
        calls = calls.length === 0 ? step.chains : [...new Set([...calls, ...step.chains])];
    }
  return { action: action === "none" && isLog(steps) ? "log" : action, traits, calls };
}

const NO_CHAINS: readonly string[] = [];
const NEEDS_CONNTRACK: Traits = { needsConntrack: true };

const isLog = (steps: readonly Step[]): boolean =>
  steps.some((step) => step.kind === "statement" && step.sideEffect?.startsWith("writes a line") === true);

/** Returns the reading of a rule. */
function readingOf(steps: readonly Step[], comment: string | null, action: Action): Reading {
  const conditions: Record<string, unknown> = {};
  let others = false;
  let resets = false;
  let answer: Pick<Reading, "icmpError"> = {};
  let log: Pick<Reading, "logPrefix"> = {};
  for (const step of steps) {
    if (step.kind === "statement") {
      if (step.goesOn !== undefined && step.action !== "reject") others = true;
      if (step.resets === true) resets = true;
      if (step.icmpError !== undefined) answer = { icmpError: step.icmpError };
      if (step.logPrefix !== undefined) log = { logPrefix: step.logPrefix };
      continue;
    }
    if (step.condition.reading === null) others = true;
    for (const [name, value] of Object.entries(step.condition.reading ?? {}))
      if (conditions[name] === undefined) conditions[name] = value;
      // `tcp sport 1 tcp dport 2` names the protocol twice.
      else if (name !== "proto" || JSON.stringify(conditions[name]) !== JSON.stringify(value)) others = true;
  }
  return {
    ...(conditions as KnownConditions),
    ...(comment === null ? {} : { comments: [comment] }),
    others,
    action,
    ...(resets ? { resets } : {}),
    ...answer,
    ...log,
    needs: [],
  };
}

/** A condition of a rule, as analyses read it. */
class NftCondition implements Condition {
  constructor(
    private readonly condition: RuleCondition,
    private readonly context: ChainContext,
    private readonly index: number,
  ) {}

  get name(): string {
    return this.condition.names.join(" . ");
  }

  get reading(): KnownConditions {
    return this.condition.reading ?? {};
  }

  get opaque(): boolean {
    return this.condition.opaque;
  }

  text(): string {
    return this.condition.text();
  }

  predicate(facts: Facts): Predicate {
    return this.condition.predicate(contextOf(facts, this.context, this.index));
  }

  /** No part can be copied into a chain of iptables. */
  parts(): readonly CopyPart[] {
    return [];
  }
}
