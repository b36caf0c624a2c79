/** The chains of a table while it is read: found by their names, filled, and searched for loops. */
import { CHAIN_SPAN, type Rule as RuleSyntax, VALUE_SPANS, type WordSpans } from "iptables-parser-ts";
import type { Chain, TableName } from "../rules/ruleset.ts";
import type { Home, LoadedRule, RuleReport } from "./rule-loader.ts";

const NONE: LoadedRule[] = [];

/** A chain while it is read. */
export class OpenChain implements Home {
  rules: LoadedRule[] = NONE;
  gone = false;
  /** How many rules will be appended before anything else happens to the chain. */
  private coming = 0;
  /** How many rules stand in `rules`, which has room for those that come. */
  private count = 0;
  /** Takes over from `rules` when the first rule is inserted. */
  private row: Row | null = null;

  constructor(
    readonly table: TableName,
    readonly name: string,
    public policy: Chain["policy"],
    readonly counters: Chain["counters"],
    readonly line: number,
  ) {}

  /** @returns `true` if it will be the first */
  expect(): boolean {
    return this.coming++ === 0 && this.rules === NONE;
  }

  append(rule: LoadedRule): void {
    if (this.row !== null) this.row.insert(Number.MAX_SAFE_INTEGER, rule);
    else {
      // Most chains hold few rules, and an array that grows by itself makes room for many.
      if (this.rules === NONE) this.rules = new Array(this.coming);
      this.rules[this.count++] = rule;
    }
    this.coming--;
  }

  /** @param position from 1; beyond the end is the end */
  insert(position: number, rule: LoadedRule): void {
    this.row ??= new Row(this.rules);
    this.row.insert(position, rule);
  }

  flush(): void {
    this.rules = NONE;
    this.row = null;
    this.count = 0;
  }

  close(): void {
    if (this.row !== null) this.rules = this.row.rules;
    this.row = null;
  }
}

/** A row of rules in blocks, so that a hundred thousand `-I` in a text do not move each other. */
class Row {
  private readonly blocks: LoadedRule[][] = [[]];

  constructor(rules: readonly LoadedRule[]) {
    for (const rule of rules) this.insert(Number.MAX_SAFE_INTEGER, rule);
  }

  /** @param position from 1; beyond the end is the end */
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

/** Characters of a name that are hashed: the last ones, since tools put the same in front of all names. */
const HASHED = 10;

/**
 * All chains of a table. Each rule names one or two, so beside the map stands a cache by the hash of a name, which is
 * asked without cutting the name out of the text; what has no place in it is in the map.
 */
export class Chains {
  readonly all = new Map<string, OpenChain>();
  private cache: (OpenChain | undefined)[] = new Array(64);
  /** In which chain the last rule stood: saved files hold the rules of a chain together. */
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
    chain.gone = true;
    this.all.delete(chain.name);
  }

  /** The slot of a name that stands in a text. */
  private slot(text: string, start: number, end: number): number {
    let hash = end - start;
    for (let i = Math.max(start, end - HASHED); i < end; i++)
      hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
    return (hash ^ (hash >>> 15)) & (this.cache.length - 1);
  }

  /** The chain in which a rule stands. */
  of(rule: RuleSyntax): OpenChain | undefined {
    if (rule.spans === null) return this.all.get(rule.chain);
    const place = rule.at + CHAIN_SPAN;
    const { last } = this;
    if (last !== undefined && isNamed(last, rule.spans, place)) return last;
    this.last = this.at(rule.spans, place);
    return this.last;
  }

  /** The chain that one of a rule's values names. */
  named(rule: RuleSyntax, value: number): OpenChain | undefined {
    if (rule.spans === null) return this.all.get(rule.value(value));
    return this.at(rule.spans, rule.at + VALUE_SPANS + 2 * value);
  }

  private at(words: WordSpans, place: number): OpenChain | undefined {
    const { text, offsets: places } = words;
    const start = places[place]!;
    const end = places[place + 1]!;
    const chain = this.cache[this.slot(text, start, end)];
    return chain !== undefined && isNamed(chain, words, place) ? chain : this.all.get(words.wordAt(place));
  }
}

/** `true` if the chain is there and the word at this place is its name. */
function isNamed(chain: OpenChain, { text, offsets: places }: WordSpans, place: number): boolean {
  const start = places[place]!;
  return (
    !chain.gone && chain.name.length === places[place + 1]! - start && text.startsWith(chain.name, start)
  );
}

/** Finds jumps that lead back to their own chain, which the kernel refuses (ELOOP); each is reported once. */
export function reportLoops(chains: Iterable<Home>, report: RuleReport): void {
  /** How far the search is: on its way through a chain, or done with it. */
  const searched = new Map<Home, "open" | "done">();
  // An explicit stack: chains may be nested deeper than JavaScript's own.
  const stack: Home[] = [];
  const places: number[] = [];
  const enter = (chain: Home): void => {
    searched.set(chain, "open");
    stack.push(chain);
    places.push(0);
  };
  for (const start of chains) {
    if (searched.has(start)) continue;
    enter(start);
    while (stack.length > 0) {
      const chain = stack.at(-1)!;
      const rule = chain.rules[places[places.length - 1]!++];
      if (rule === undefined) {
        searched.set(chain, "done");
        stack.pop();
        places.pop();
        continue;
      }
      const to = rule.next;
      if (to === null) continue;
      const state = searched.get(to);
      if (state === undefined) enter(to);
      else if (state === "open")
        report(
          rule.syntax,
          `a loop of jumps: this rule of chain ${chain.name} leads back to ${to.name}; the kernel refuses such a table`,
          to.name,
          rule.plan.jump!.option,
        );
    }
  }
}
