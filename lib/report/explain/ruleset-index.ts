/** Facts about a ruleset that the explanations of several chains need; computed once, on demand. */
import { dockerUserLint } from "../../audit/docker-user-lint.ts";
import type { Lint } from "../../audit/lint.ts";
import type { Host } from "../../host/host.ts";
import { type BoundRule, Program } from "../../path/program.ts";
import { findShadowedRulesWithin, type Shadow } from "../../reach/shadowed-rules.ts";
import type { CallGraph } from "../../rules/call-graph.ts";
import { type Chain, chainOf, type Rule, type Ruleset, type TableId } from "../../rules/ruleset.ts";
import { type PortMapping, portMappings } from "./port-mappings.ts";

/** Larger rulesets are explained without a search for shadowed rules: it takes a minute and 4 GB for a million rules. */
const MOST_RULES = 100_000;

export class RulesetIndex {
  readonly program: Program;
  readonly calls: CallGraph;
  readonly published: readonly PortMapping[];
  private readonly lintByRule = new Map<string, Lint[]>();
  private readonly shadowsByTable = new Map<TableId, ReadonlyMap<Rule, Shadow>>();
  private readonly finalChains = new Map<Chain, boolean>();

  constructor(
    readonly ruleset: Ruleset,
    readonly host: Host,
  ) {
    this.program = Program.of(ruleset, host);
    this.calls = this.program.calls;
    this.published = portMappings(this.program);
    for (const each of dockerUserLint(this.program)) {
      if (each.rule === null) continue;
      const key = `${each.rule.table}/${each.rule.chain}/${each.rule.rule}`;
      this.lintByRule.set(key, [...(this.lintByRule.get(key) ?? []), each]);
    }
  }

  /** Findings of the audit about a rule. */
  lintOf(rule: Rule): readonly Lint[] {
    return this.lintByRule.get(`${rule.table}/${rule.chain}/${rule.index}`) ?? [];
  }

  /** Rules of a table that no packet matches; empty if the ruleset is too large for the analysis. */
  shadowsOf(table: TableId): ReadonlyMap<Rule, Shadow> {
    let found = this.shadowsByTable.get(table);
    if (found === undefined) {
      found = findShadowedRulesWithin(this.program, table, MOST_RULES) ?? new Map<Rule, Shadow>();
      this.shadowsByTable.set(table, found);
    }
    return found;
  }

  /** Returns true if no packet that reaches the rule continues with the next rule. */
  isFinal({ effect, rule, when }: BoundRule): boolean {
    if (when.kind !== "any") return false;
    if (effect.kind === "jump") return this.isFinalChain(this.callee(rule.table, effect.chain));
    return ["verdict", "return", "goto", "nat"].includes(effect.kind);
  }

  /** Returns true if no packet returns from the chain. */
  private isFinalChain(chain: Chain): boolean {
    if (!this.finalChains.has(chain)) {
      const start = this.program.chain(chain.table, chain.name)!;
      for (const { chain: each, rules } of this.program.calleesFirst([start])) {
        const returns = ({ effect }: BoundRule): boolean =>
          effect.kind === "return" ||
          (effect.kind === "goto" && !this.finalChains.get(this.callee(each.table, effect.chain))!);
        const last = rules.find((bound) => returns(bound) || this.isFinal(bound));
        this.finalChains.set(each, last !== undefined && !returns(last));
      }
    }
    return this.finalChains.get(chain)!;
  }

  private callee(table: TableId, name: string): Chain {
    return chainOf(this.ruleset, table, name)!;
  }
}
