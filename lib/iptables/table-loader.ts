/** Loads one table: its chains, rules and commands in the order of the text. */
import type { ChainLine, CommandLine, Rule as RuleSyntax, Table as TableSyntax } from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import type { Chain, Table, TableName } from "../rules/ruleset.ts";
import { isBuiltIn, type TableRef } from "./base-chains.ts";
import { LoadedRule, ParsedRules } from "./loaded-rule.ts";
import { ChainIndex, OpenChain, reportLoops } from "./open-chain.ts";
import { RuleLoader, type RuleReport } from "./rule-loader.ts";

/** Reports what is wrong with a line. */
export type LineReport = (
  severity: "error" | "warning",
  message: string,
  line: number,
  found?: string,
) => void;

export class TableLoader {
  private readonly chains = new ChainIndex();
  private readonly loader: RuleLoader;
  private readonly parsed = new ParsedRules();
  /** Rules to append to their chains, which expect them. */
  private readonly waiting: LoadedRule[] = [];
  /** Chains that may have rules. */
  private readonly filled: OpenChain[] = [];

  constructor(
    private readonly table: TableRef,
    family: Family,
    private readonly report: LineReport,
    private readonly ruleReport: RuleReport,
    /** Lines that were dropped; gains those that are dropped here. */
    private readonly lost: Set<number>,
  ) {
    this.loader = new RuleLoader(family, table.name, ruleReport);
  }

  load(syntax: TableSyntax): Table {
    for (const entry of syntax.entries) this.entry(entry);
    this.settle();
    const { all } = this.chains;
    for (const chain of all.values()) this.close(chain);
    reportLoops(all.values(), this.ruleReport);
    return { name: this.table.id, chains: all };
  }

  private entry(entry: TableSyntax["entries"][number]): void {
    if (entry.kind === "rule") this.rule(entry);
    else if (entry.kind === "chain") this.declaration(entry);
    else if (entry.kind === "command") this.command(entry);
  }

  private rule(syntax: RuleSyntax): void {
    const chain = this.chains.containing(syntax) ?? this.undeclared(syntax);
    const loaded = this.loader.load(syntax, chain);
    if (loaded instanceof LoadedRule) this.add(loaded, chain);
    else for (const rule of loaded) this.add(rule, chain);
  }

  private add(rule: LoadedRule, chain: OpenChain): void {
    const { syntax, plan } = rule;
    // The chain is usually declared before the rule, and the lookup is cheapest while the rule is in the cache.
    if (rule.callsChain) rule.callee = this.chains.named(syntax, plan.jump!.at) ?? null;
    if (syntax.position === null) {
      if (chain.expect()) this.filled.push(chain);
      this.waiting.push(rule);
    } else {
      this.settle();
      this.filled.push(chain);
      chain.insert(syntax.position, rule);
    }
  }

  /** Appends the waiting rules to their chains. */
  private settle(): void {
    for (const rule of this.waiting) rule.parent.append(rule);
    this.waiting.length = 0;
  }

  private undeclared({ chain, line }: RuleSyntax): OpenChain {
    const isBuiltIn = this.isBuiltIn(chain);
    const message = `chain ${JSON.stringify(chain)} is not declared in table ${this.table.name}; its rules are loaded`;
    if (!isBuiltIn) this.report("error", message, line, chain);
    return this.declare(chain, isBuiltIn ? "ACCEPT" : null, null, line);
  }

  private declare(
    chain: string,
    policy: Chain["policy"],
    counters: Chain["counters"],
    line: number,
  ): OpenChain {
    const made = new OpenChain(this.table, chain, policy, counters, line, this.parsed);
    this.chains.add(made);
    return made;
  }

  private declaration(entry: ChainLine): void {
    const isBuiltIn = this.isBuiltIn(entry.name);
    const fault = declarationFault(entry, isBuiltIn, this.table.name);
    if (fault !== undefined) {
      this.report("error", fault, entry.line, entry.policy ?? "-");
      this.lost.add(entry.line);
      return;
    }
    const policy = isBuiltIn ? (entry.policy === "DROP" ? "DROP" : "ACCEPT") : null;
    const before = this.chains.all.get(entry.name);
    if (before === undefined) this.declare(entry.name, policy, entry.counters, entry.line);
    else if (entry.command === "-P") before.policy = policy;
    else this.report("error", `chain ${entry.name} is declared twice`, entry.line, entry.name);
  }

  private isBuiltIn(chain: string): boolean {
    return isBuiltIn(this.table.name, chain);
  }

  private command({ command, words, line }: CommandLine): void {
    this.settle();
    const [word] = words;
    const chain = word === undefined ? undefined : this.chains.all.get(word);
    if (command === "-F") {
      for (const each of word === undefined ? this.filled.splice(0) : [chain]) each?.flush();
    } else if (command === "-X") {
      for (const each of word === undefined ? [...this.chains.all.values()] : [chain])
        if (each?.policy === null) this.chains.delete(each);
    } else if (command !== "-Z")
      this.report("error", `command ${command} is not supported in a ruleset`, line, command);
  }

  private close(chain: OpenChain): void {
    chain.close();
    let index = 0;
    for (const rule of chain.rules) {
      rule.index = ++index;
      if (rule.callsChain) this.link(rule);
    }
  }

  /** Looks up the chain that a rule names, now that all chains are loaded. */
  private link(rule: LoadedRule): void {
    if (rule.callee === null || rule.callee.deleted) rule.callee = this.chains.all.get(rule.jumpName) ?? null;
    const { callee, plan, syntax } = rule;
    if (callee === null) {
      if (rule.isFaulty) return;
      const { jumpName } = rule;
      const message = `${JSON.stringify(jumpName)} is neither a chain of table ${this.table.name} nor a known target`;
      this.ruleReport(syntax, message, jumpName, plan.jump!.option);
    } else if (plan.stray.length > 0) {
      const [option] = plan.stray;
      const message = `unknown option ${option!.name}; ${callee.name} is a chain, which takes no options`;
      this.ruleReport(syntax, message, option!.name, option);
    }
  }
}

/** Returns what is wrong with the policy of a chain. */
function declarationFault(entry: ChainLine, isBuiltIn: boolean, table: TableName): string | undefined {
  if (entry.policy !== null && !["ACCEPT", "DROP", "QUEUE"].includes(entry.policy))
    return "expected a policy, ACCEPT or DROP, or - for a user-defined chain";
  if (isBuiltIn && entry.policy === null && entry.command === ":")
    return `expected a policy for the built-in chain ${entry.name}`;
  if (!isBuiltIn && entry.policy !== null)
    return `${entry.name} is not a built-in chain of table ${table}; only built-in chains have a policy`;
  return undefined;
}
