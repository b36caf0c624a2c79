/** Calls (jumps and gotos) between the chains of a ruleset. */
import { HOOKS, type Hook } from "./base-chain.ts";
import { type Chain, chainOf, type Rule, type Ruleset, type TableName } from "./ruleset.ts";

/** Returns the chain that a rule jumps or goes to; `null` if its target is not a chain. */
export const calledChain = ({ target }: Rule): string | null =>
  target.kind === "jump" || target.kind === "goto" ? target.chain : null;

/** Calls of all tables, indexed by the called chain. */
export class CallGraph {
  private readonly callersByTable = new Map<TableName, ReadonlyMap<string, readonly Rule[]>>();
  private readonly hooksByTable = new Map<TableName, ReadonlyMap<string, readonly Hook[]>>();

  constructor(private readonly ruleset: Ruleset) {}

  /** Rules that call a chain, in the order of the ruleset. */
  callers(table: TableName, name: string): readonly Rule[] {
    let callers = this.callersByTable.get(table);
    if (callers === undefined) this.callersByTable.set(table, (callers = this.indexCallers(table)));
    return callers.get(name) ?? [];
  }

  /** Hooks whose base chain in the table is this chain or calls it, directly or through other chains. */
  hooks(table: TableName, name: string): readonly Hook[] {
    let hooks = this.hooksByTable.get(table);
    if (hooks === undefined) this.hooksByTable.set(table, (hooks = this.indexHooks(table)));
    return hooks.get(name) ?? [];
  }

  /** A chain and all chains below it; only chains that exist. */
  below(table: TableName, name: string): ReadonlySet<string> {
    const seen = new Set(chainOf(this.ruleset, table, name) === undefined ? [] : [name]);
    // The iteration includes names that are added during it.
    for (const at of seen)
      for (const rule of this.rules(table, at)) {
        const to = calledChain(rule);
        if (to !== null && chainOf(this.ruleset, table, to) !== undefined) seen.add(to);
      }
    return seen;
  }

  /** A chain and all chains above it. */
  above(table: TableName, name: string): ReadonlySet<string> {
    const seen = new Set([name]);
    // The iteration includes names that are added during it.
    for (const at of seen) for (const rule of this.callers(table, at)) seen.add(rule.chain);
    return seen;
  }

  private chains(table: TableName): Iterable<Chain> {
    return this.ruleset.tables.get(table)?.chains.values() ?? [];
  }

  private rules(table: TableName, name: string): readonly Rule[] {
    return chainOf(this.ruleset, table, name)?.rules ?? [];
  }

  private indexCallers(table: TableName): Map<string, Rule[]> {
    const callers = new Map<string, Rule[]>();
    for (const chain of this.chains(table))
      for (const rule of chain.rules) {
        const to = calledChain(rule);
        if (to === null) continue;
        const known = callers.get(to);
        if (known === undefined) callers.set(to, [rule]);
        else known.push(rule);
      }
    return callers;
  }

  private indexHooks(table: TableName): Map<string, Hook[]> {
    const hooks = new Map<string, Hook[]>();
    for (const hook of HOOKS) {
      // Only base chains have a policy.
      if ((chainOf(this.ruleset, table, hook)?.policy ?? null) === null) continue;
      for (const name of this.below(table, hook)) {
        const known = hooks.get(name);
        if (known === undefined) hooks.set(name, [hook]);
        else known.push(hook);
      }
    }
    return hooks;
  }
}
