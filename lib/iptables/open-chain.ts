/** Chains of a table while it is loaded: filled with rules, looked up by name, searched for loops. */
import { CHAIN_SPAN, type Rule as RuleSyntax, VALUE_SPANS, type WordSpans } from "iptables-parser-ts";
import type { BaseChain } from "../rules/base-chain.ts";
import type { Chain, TableId } from "../rules/ruleset.ts";
import { baseChainOf, type TableRef } from "./base-chains.ts";
import type { LoadedRule, LoadingChain, ParsedRules } from "./loaded-rule.ts";
import type { RuleReport } from "./rule-loader.ts";

const NONE: LoadedRule[] = [];

/** A chain while its table is loaded. */
export class OpenChain implements LoadingChain {
  readonly table: TableId;
  readonly base: BaseChain | null;
  rules: LoadedRule[] = NONE;
  deleted = false;
  /** Number of rules to append before anything else changes the chain. */
  private expected = 0;
  /** Number of rules in `rules`, which is allocated for the expected ones. */
  private count = 0;
  /** Replaces `rules` from the first insertion on. */
  private blocks: RuleBlocks | null = null;

  constructor(
    table: TableRef,
    readonly name: string,
    public policy: Chain["policy"],
    readonly counters: Chain["counters"],
    readonly line: number,
    readonly parsed: ParsedRules,
  ) {
    this.table = table.id;
    this.base = baseChainOf(table, name);
  }

  /** Announces a rule. Returns true for the first rule of an empty chain. */
  expect(): boolean {
    return this.expected++ === 0 && this.rules === NONE;
  }

  append(rule: LoadedRule): void {
    if (this.blocks !== null) this.blocks.insert(Number.MAX_SAFE_INTEGER, rule);
    else {
      // Most chains have few rules; a growing array would reserve space for many.
      if (this.rules === NONE) this.rules = new Array(this.expected);
      this.rules[this.count++] = rule;
    }
    this.expected--;
  }

  /** @param position from 1; a position after the end appends */
  insert(position: number, rule: LoadedRule): void {
    this.blocks ??= new RuleBlocks(this.rules);
    this.blocks.insert(position, rule);
  }

  flush(): void {
    this.rules = NONE;
    this.blocks = null;
    this.count = 0;
  }

  close(): void {
    if (this.blocks !== null) this.rules = this.blocks.rules;
    this.blocks = null;
  }
}

/** Rules in blocks of limited length: an array would take quadratic time for 100,000 `-I`. */
class RuleBlocks {
  private readonly blocks: LoadedRule[][] = [[]];

  constructor(rules: readonly LoadedRule[]) {
    for (const rule of rules) this.insert(Number.MAX_SAFE_INTEGER, rule);
  }

  /** @param position from 1; a position after the end appends */
  insert(position: number, rule: LoadedRule): void {
    let at = position - 1;
    let i = at < Number.MAX_SAFE_INTEGER - 1 ? 0 : this.blocks.length - 1;
    while (i < this.blocks.length - 1 && at > this.blocks[i]!.length) at -= this.blocks[i++]!.length;
    const block = this.blocks[i]!;
    block.splice(Math.min(at, block.length), 0, rule);
    if (block.length >= 1024) this.blocks.splice(i + 1, 0, block.splice(512));
  }

  get rules(): LoadedRule[] {
    return this.blocks.flat();
  }
}

/** Number of characters to hash, from the end: generated names share their beginning. */
const HASHED = 10;

/**
 * Chains of a table by name. Each rule names one or two, so a cache by hash finds them without cutting the name out of
 * the text. A name whose slot is taken is looked up in the map.
 */
export class ChainIndex {
  readonly all = new Map<string, OpenChain>();
  private cache: (OpenChain | undefined)[] = new Array(64);
  /** Chain of the last rule: saved files keep the rules of a chain together. */
  private last: OpenChain | undefined;

  add(chain: OpenChain): void {
    this.all.set(chain.name, chain);
    if (this.all.size > this.cache.length / 4) {
      this.cache = new Array(this.cache.length * 4);
      for (const each of this.all.values()) this.keep(each);
    } else this.keep(chain);
  }

  private keep(chain: OpenChain): void {
    this.cache[this.slot(chain.name, 0, chain.name.length)] = chain;
  }

  delete(chain: OpenChain): void {
    chain.deleted = true;
    this.all.delete(chain.name);
  }

  /** Returns the cache slot of a name in a text. */
  private slot(text: string, start: number, end: number): number {
    let hash = end - start;
    for (let i = Math.max(start, end - HASHED); i < end; i++)
      hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
    return (hash ^ (hash >>> 15)) & (this.cache.length - 1);
  }

  /** Returns the chain that contains a rule. */
  containing(rule: RuleSyntax): OpenChain | undefined {
    if (rule.spans === null) return this.all.get(rule.chain);
    const place = rule.at + CHAIN_SPAN;
    const { last } = this;
    if (last !== undefined && isNamed(last, rule.spans, place)) return last;
    this.last = this.at(rule.spans, place);
    return this.last;
  }

  /** Returns the chain that a value of a rule names. */
  named(rule: RuleSyntax, value: number): OpenChain | undefined {
    if (rule.spans === null) return this.all.get(rule.value(value));
    return this.at(rule.spans, rule.at + VALUE_SPANS + 2 * value);
  }

  private at(spans: WordSpans, place: number): OpenChain | undefined {
    const { text, offsets } = spans;
    const start = offsets[place]!;
    const end = offsets[place + 1]!;
    const chain = this.cache[this.slot(text, start, end)];
    return chain !== undefined && isNamed(chain, spans, place) ? chain : this.all.get(spans.wordAt(place));
  }
}

/** Returns true if the word at this place is the name of the chain and the chain exists. */
function isNamed(chain: OpenChain, { text, offsets }: WordSpans, place: number): boolean {
  const start = offsets[place]!;
  return (
    !chain.deleted && chain.name.length === offsets[place + 1]! - start && text.startsWith(chain.name, start)
  );
}

/** Reports each jump that closes a loop; the kernel rejects the table with ELOOP. */
export function reportLoops(chains: Iterable<LoadingChain>, report: RuleReport): void {
  /** State of the depth-first search. */
  const searched = new Map<LoadingChain, "open" | "done">();
  // An explicit stack: chains may be nested deeper than the JavaScript stack.
  const stack: LoadingChain[] = [];
  /** Index of the next rule of each chain on the stack. */
  const next: number[] = [];
  const enter = (chain: LoadingChain): void => {
    searched.set(chain, "open");
    stack.push(chain);
    next.push(0);
  };
  for (const start of chains) {
    if (searched.has(start)) continue;
    enter(start);
    while (stack.length > 0) {
      const chain = stack.at(-1)!;
      const rule = chain.rules[next[next.length - 1]!++];
      if (rule === undefined) {
        searched.set(chain, "done");
        stack.pop();
        next.pop();
        continue;
      }
      const to = rule.callee;
      if (to === null) continue;
      const state = searched.get(to);
      if (state === undefined) enter(to);
      else if (state === "open")
        report(
          rule.syntax,
          `loop of jumps: this rule of chain ${chain.name} leads back to ${to.name}; the kernel rejects the table`,
          to.name,
          rule.plan.jump!.option,
        );
    }
  }
}
