/** Calls (jumps and gotos) between the chains of a ruleset. */
import { HOOKS, type Hook } from "./base-chain.ts";
import { type Chain, chainOf, hookOf, type Rule, type Ruleset, type TableId } from "./ruleset.ts";

/** Names of the chains that a rule calls and that lead back to its own. */
type Loops = ReadonlyMap<Rule, ReadonlySet<string>>;

/** Returns the jumps and gotos that close a loop of chains: without them no chain leads back to itself. */
function loopClosingRules(chains: ReadonlyMap<string, Chain>): Loops {
  const closing = new Map<Rule, Set<string>>();
  const state = new Map<string, "open" | "done">();
  for (const start of chains.values()) {
    if (state.has(start.name)) continue;
    // Depth first with an explicit stack: chains may be nested deeper than JavaScript's own stack.
    const stack = [{ chain: start, calls: callsOf(start) }];
    state.set(start.name, "open");
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const call = top.calls.next();
      if (call.done === true) {
        state.set(top.chain.name, "done");
        stack.pop();
        continue;
      }
      const { rule, name } = call.value;
      const to = chains.get(name);
      if (to === undefined || state.get(to.name) === "done") continue;
      if (state.get(to.name) === "open") {
        const known = closing.get(rule);
        if (known === undefined) closing.set(rule, new Set([name]));
        else known.add(name);
      } else {
        state.set(to.name, "open");
        stack.push({ chain: to, calls: callsOf(to) });
      }
    }
  }
  return closing;
}

/** Yields the calls of a chain, rule by rule. */
function* callsOf({ rules }: Chain): Generator<{ readonly rule: Rule; readonly name: string }, undefined> {
  for (const rule of rules) for (const name of rule.calledChains) yield { rule, name };
}

/** Calls of all tables, indexed by caller and by callee. */
export class CallGraph {
  private readonly loopsByTable = new Map<TableId, Loops>();
  private readonly heights = new Map<Chain, number>();
  private readonly callersByTable = new Map<TableId, ReadonlyMap<string, readonly Rule[]>>();
  private readonly hooksByTable = new Map<TableId, ReadonlyMap<string, readonly Hook[]>>();

  constructor(private readonly ruleset: Ruleset) {}

  /** Rules that call a chain, in the order of the ruleset. */
  callers(table: TableId, name: string): readonly Rule[] {
    let callers = this.callersByTable.get(table);
    if (callers === undefined) this.callersByTable.set(table, (callers = this.indexCallers(table)));
    return callers.get(name) ?? [];
  }

  /** Hooks whose base chain in the table is this chain or calls it, directly or through other chains. */
  hooks(table: TableId, name: string): readonly Hook[] {
    let hooks = this.hooksByTable.get(table);
    if (hooks === undefined) this.hooksByTable.set(table, (hooks = this.indexHooks(table)));
    return hooks.get(name) ?? [];
  }

  /** A chain and all chains below it; only chains that exist. */
  below(table: TableId, name: string): ReadonlySet<string> {
    const seen = new Set(chainOf(this.ruleset, table, name) === undefined ? [] : [name]);
    // The iteration includes names that are added during it.
    for (const at of seen)
      for (const { calledChains } of this.rules(table, at))
        for (const to of calledChains) if (chainOf(this.ruleset, table, to) !== undefined) seen.add(to);
    return seen;
  }

  /** A chain and all chains above it. */
  above(table: TableId, name: string): ReadonlySet<string> {
    const seen = new Set([name]);
    // The iteration includes names that are added during it.
    for (const at of seen) for (const rule of this.callers(table, at)) seen.add(rule.chain);
    return seen;
  }

  /** Returns true if the call of a chain by a rule closes a loop of chains. iptables and nft refuse such rules. */
  closesLoop(rule: Rule, name: string): boolean {
    let loops = this.loopsByTable.get(rule.table);
    if (loops === undefined) {
      loops = loopClosingRules(this.ruleset.tables.get(rule.table)!.chains);
      this.loopsByTable.set(rule.table, loops);
    }
    return loops.get(rule)?.has(name) === true;
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
  private *callees(chain: Chain): Generator<Chain, undefined> {
    for (const { rule, name } of callsOf(chain)) {
      const callee = chainOf(this.ruleset, chain.table, name);
      if (callee !== undefined && !this.closesLoop(rule, name)) yield callee;
    }
  }

  private chains(table: TableId): Iterable<Chain> {
    return this.ruleset.tables.get(table)?.chains.values() ?? [];
  }

  private rules(table: TableId, name: string): readonly Rule[] {
    return chainOf(this.ruleset, table, name)?.rules ?? [];
  }

  private indexCallers(table: TableId): Map<string, Rule[]> {
    const callers = new Map<string, Rule[]>();
    for (const chain of this.chains(table))
      for (const { rule, name } of callsOf(chain)) {
        const known = callers.get(name);
        if (known === undefined) callers.set(name, [rule]);
        else known.push(rule);
      }
    return callers;
  }

  private indexHooks(table: TableId): Map<string, Hook[]> {
    const hooks = new Map<string, Hook[]>();
    const bases = [...this.chains(table)].filter(({ base }) => base !== null);
    for (const hook of HOOKS)
      for (const base of bases.filter((chain) => hookOf(chain) === hook))
        for (const name of this.below(table, base.name)) {
          const known = hooks.get(name);
          if (known === undefined) hooks.set(name, [hook]);
          else if (!known.includes(hook)) known.push(hook);
        }
    return hooks;
  }
}
