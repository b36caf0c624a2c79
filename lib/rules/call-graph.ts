/** Calls (jumps and gotos) between the chains of a ruleset. */
import { HOOKS, type Hook } from "./base-chain.ts";
import { type Chain, chainOf, type Rule, type Ruleset, type TableName } from "./ruleset.ts";

/** Returns the jumps and gotos that close a loop of chains: without them no chain leads back to itself. */
function loopClosingRules(chains: ReadonlyMap<string, Chain>): Set<Rule> {
  const closing = new Set<Rule>();
  const state = new Map<string, "open" | "done">();
  for (const start of chains.values()) {
    if (state.has(start.name)) continue;
    // Depth first with an explicit stack: chains may be nested deeper than JavaScript's own stack.
    const stack = [{ chain: start, next: 0 }];
    state.set(start.name, "open");
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const rule = top.chain.rules[top.next++];
      if (rule === undefined) {
        state.set(top.chain.name, "done");
        stack.pop();
        continue;
      }
      const name = rule.calledChain;
      const to = name === null ? undefined : chains.get(name);
      if (to === undefined || state.get(to.name) === "done") continue;
      if (state.get(to.name) === "open") closing.add(rule);
      else {
        state.set(to.name, "open");
        stack.push({ chain: to, next: 0 });
      }
    }
  }
  return closing;
}

/** Calls of all tables, indexed by caller and by callee. */
export class CallGraph {
  private readonly loopsByTable = new Map<TableName, ReadonlySet<Rule>>();
  private readonly heights = new Map<Chain, number>();
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
        const to = rule.calledChain;
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

  /** Returns true if the jump or goto of a rule closes a loop of chains. iptables refuses such rules. */
  closesLoop(rule: Rule): boolean {
    let loops = this.loopsByTable.get(rule.table);
    if (loops === undefined) {
      loops = loopClosingRules(this.ruleset.tables.get(rule.table)!.chains);
      this.loopsByTable.set(rule.table, loops);
    }
    return loops.has(rule);
  }

  /** Returns chains and all chains below them, each after the chains that it calls. Jumps that close a loop are left out. */
  calleesFirst(chains: Iterable<Chain>): Chain[] {
    const order: Chain[] = [];
    const entered = new Set<Chain>();
    // An explicit stack: chains may be nested deeper than JavaScript's own stack.
    const stack: { readonly chain: Chain; readonly callees: Iterator<Chain> }[] = [];
    const enter = (chain: Chain): void => {
      if (entered.has(chain)) return;
      entered.add(chain);
      stack.push({ chain, callees: this.callees(chain) });
    };
    for (const start of chains) {
      enter(start);
      while (stack.length > 0) {
        const next = stack.at(-1)!.callees.next();
        if (next.done === true) order.push(stack.pop()!.chain);
        else enter(next.value);
      }
    }
    return order;
  }

  /** Returns the number of levels of chains below a chain: 0 if it calls none. */
  height(chain: Chain): number {
    if (!this.heights.has(chain))
      for (const each of this.calleesFirst([chain])) {
        let height = 0;
        for (const callee of this.callees(each)) height = Math.max(height, this.heights.get(callee)! + 1);
        this.heights.set(each, height);
      }
    return this.heights.get(chain)!;
  }

  /** Chains that the rules of a chain call, without loops. */
  private *callees({ table, rules }: Chain): Generator<Chain, undefined> {
    for (const rule of rules) {
      const name = rule.calledChain;
      const callee = name === null ? undefined : chainOf(this.ruleset, table, name);
      if (callee !== undefined && !this.closesLoop(rule)) yield callee;
    }
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
        const to = rule.calledChain;
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
