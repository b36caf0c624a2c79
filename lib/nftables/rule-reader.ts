/** Reads the rules of a table that share definitions: with a plan of their shape, or statement by statement. */
import type { Rule as RuleSyntax, Shape } from "nftables-parser-ts";
import { summaryOf } from "./nft-rule.ts";
import { readSteps } from "./read-rule.ts";
import { fits, isCovered, planOf, type RulePlan, type RuleSummary, remember } from "./rule-plan.ts";
import type { RuleScope } from "./rule-scope.ts";
import type { Report } from "./scope.ts";
import type { Step } from "./step.ts";
import { ValueUses } from "./value-uses.ts";

/** Plans of one shape. */
interface ShapePlans {
  readonly plans: RulePlan[];
  /** Number of rules that were read statement by statement without a fault. */
  read: number;
  /** Plans that may still be made. */
  left: number;
}

/** Most plans of a shape. Each is for other values that no check accepts, as the names of sets. */
const MOST_PLANS = 8;
const MOST_MADE = 64;

const IGNORE: Report = () => {};

export class RuleReader {
  /** Scope for later readings of the rules; faults were reported at the first one. */
  readonly scope: RuleScope;
  private readonly reporting: RuleScope;
  private readonly shapes = new Map<Shape, ShapePlans>();
  private faults = 0;

  /**
   * @param scopeWith returns the scope of the rules with a reporter
   * @param note is called with the steps of rules: at least one of all rules that change the same sets
   */
  constructor(
    scopeWith: (report: Report) => RuleScope,
    report: Report,
    private readonly note: (steps: readonly Step[]) => void,
  ) {
    this.scope = scopeWith(IGNORE);
    this.reporting = scopeWith((message, found, at) => {
      this.faults++;
      report(message, found, at);
    });
  }

  /** Returns the summary of a rule; faults are reported. */
  read(syntax: RuleSyntax): RuleSummary {
    let shape = this.shapes.get(syntax.shape);
    if (shape === undefined) this.shapes.set(syntax.shape, (shape = { plans: [], read: 0, left: MOST_MADE }));
    const { plans } = shape;
    for (let i = 0; i < plans.length; i++) if (fits(plans[i]!, syntax, this.scope)) return plans[i]!.summary;
    this.faults = 0;
    const steps = readSteps(syntax.statements, this.reporting);
    this.note(steps);
    const summary = summaryOf(steps);
    // Most shapes of a small file occur once.
    if (this.faults === 0 && shape.read++ > 0) this.learn(syntax, shape, summary);
    return summary;
  }

  /** Makes a plan for rules like this one, or lets a plan know its values. */
  private learn(syntax: RuleSyntax, shape: ShapePlans, summary: RuleSummary): void {
    const { plans } = shape;
    const covering = plans.find((plan) => isCovered(plan, syntax));
    if (covering !== undefined) {
      remember(covering, syntax);
      return;
    }
    if (shape.left === 0) return;
    const uses = new ValueUses();
    const statements = syntax.observe(uses.read);
    if (statements !== null) readSteps(statements, { ...this.scope, uses });
    const plan = statements === null ? null : planOf(syntax, summary, uses);
    shape.left = plan === null ? 0 : shape.left - 1;
    if (plan === null) return;
    plans.unshift(plan);
    if (plans.length > MOST_PLANS) plans.pop();
    remember(plan, syntax);
  }
}
