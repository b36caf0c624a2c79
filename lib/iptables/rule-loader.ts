/** Loads the rules of one table: finds the plan of each rule, checks its values and reports what is wrong. */
import { Rule as RuleSyntax, type Shape, type ShapeOption } from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import type { TableName } from "../rules/ruleset.ts";
import type { TargetExtension } from "./extension.ts";
import { LoadedRule, type LoadingChain } from "./loaded-rule.ts";
import { readValues, ValueFault } from "./option-values.ts";
import { type Plan, type PlannedExtension, planOf, type ShapePlans, shapePlans } from "./rule-plan.ts";
import { checksOf, matchingPlan, rememberValues } from "./value-check.ts";

/** Reports what is wrong with a rule. `found` is the text at the fault, at or after the option. */
export type RuleReport = (rule: RuleSyntax, message: string, found: string, option?: ShapeOption) => void;

/** Limit for the rules that one line with lists of addresses makes. */
const MOST_LISTED = 10_000;

export class RuleLoader {
  private readonly shapes = new Map<Shape, ShapePlans>();

  constructor(
    private readonly family: Family,
    private readonly table: TableName,
    private readonly report: RuleReport,
  ) {}

  /** Loads the rule of a line; several rules if `-s` or `-d` lists addresses. */
  load(syntax: RuleSyntax, chain: LoadingChain): LoadedRule | readonly LoadedRule[] {
    const shape = this.shapes.get(syntax.shape);
    const plan = shape === undefined ? null : matchingPlan(syntax, shape);
    return plan === null ? this.loadSlowly(syntax, chain) : new LoadedRule(chain, syntax, plan, null);
  }

  private loadSlowly(syntax: RuleSyntax, chain: LoadingChain): LoadedRule | readonly LoadedRule[] {
    let shape = this.shapes.get(syntax.shape);
    if (shape === undefined) this.shapes.set(syntax.shape, (shape = shapePlans(syntax.shape)));
    const plan = planOf(shape, syntax, this.family);
    for (const { at } of plan.lists)
      if (syntax.value(at).includes(",")) return this.loadList(syntax, plan, chain);
    return this.loadChecked(syntax, plan, chain);
  }

  /** Loads one rule for each combination of listed addresses, as iptables does. */
  private loadList(syntax: RuleSyntax, plan: Plan, chain: LoadingChain): readonly LoadedRule[] {
    let rows: readonly (readonly string[])[] = [syntax.values];
    for (const { at, not, option } of plan.lists) {
      const list = syntax.value(at).split(",");
      if (list.length === 1) continue;
      if (not) {
        this.report(syntax, `${option.name} cannot be negated with ! if it lists addresses`, "!", option);
        return [this.loadChecked(syntax, plan, chain, plan.matches[0]!)];
      }
      if (list.length * rows.length > MOST_LISTED) {
        this.report(syntax, `${option.name} lists too many addresses for one rule`, option.name, option);
        return [this.loadChecked(syntax, plan, chain, plan.matches[0]!)];
      }
      rows = rows.flatMap((row) => list.map((each) => row.with(at, each)));
    }
    const { line, command, chain: name, shape, counters, position } = syntax;
    return rows.map((row) =>
      this.loadChecked(new RuleSyntax(line, command, name, shape, row, counters, position), plan, chain),
    );
  }

  /** @param reported an extension with an invalid value that was reported already */
  private loadChecked(
    syntax: RuleSyntax,
    plan: Plan,
    chain: LoadingChain,
    reported?: PlannedExtension,
  ): LoadedRule {
    const { matches, target, problems } = plan;
    const [problem] = problems;
    // One diagnostic a line: later faults often follow from the first one.
    if (problem !== undefined) this.report(syntax, problem.message, problem.found, problem.option);
    const invalid = new Set(reported === undefined ? [] : [reported]);
    for (const planned of target === null ? matches : [...matches, target]) {
      if (planned === reported) continue;
      const values = readValues(planned, syntax, plan.spelling);
      if (!(values instanceof ValueFault)) continue;
      if (invalid.size === 0 && problem === undefined)
        this.report(syntax, values.message, values.found, values.option);
      invalid.add(planned);
    }
    if (invalid.size > 0) return new LoadedRule(chain, syntax, plan, invalid);
    if (problem === undefined && this.isAllowed(syntax, plan))
      rememberValues(syntax, (plan.checks ??= checksOf(plan)));
    return new LoadedRule(chain, syntax, plan, null);
  }

  /** Reports a target that the table does not have. */
  private isAllowed(syntax: RuleSyntax, { target, jump }: Plan): boolean {
    if (target === null) return true;
    const { name, tables } = target.extension as TargetExtension;
    if (tables === undefined || tables.includes(this.table)) return true;
    this.report(syntax, `${name} is valid only in table ${tables.join(" or ")}`, name, jump!.option);
    return false;
  }
}
