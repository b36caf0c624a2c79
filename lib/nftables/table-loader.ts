/** Builds a table of lib/rules from a draft: sets, chains and rules; faults are reported. */
import type { Position, Rule as RuleSyntax } from "nftables-parser-ts";
import type { BaseChain } from "../rules/base-chain.ts";
import type { Chain, Table } from "../rules/ruleset.ts";
import { readBaseChain } from "./base-chains.ts";
import { type Datatype, datatype } from "./datatype.ts";
import { ElementSet } from "./element-set.ts";
import { type ChainContext, NftRule, type TableContext } from "./nft-rule.ts";
import { readKey } from "./read-value.ts";
import { RuleReader } from "./rule-reader.ts";
import type { RuleScope } from "./rule-scope.ts";
import type { Report } from "./scope.ts";
import type { Step } from "./step.ts";
import {
  type Definitions,
  type DraftChain,
  type DraftSet,
  NO_DEFINITIONS,
  type TableDraft,
} from "./table-draft.ts";

/** A table that was loaded. */
export interface LoadedTable {
  readonly table: Table;
  /** Sets whose elements the listing may lack, and that a rule looks up. */
  readonly unlisted: readonly string[];
}

/** Rules of a chain that exists, or of one in braces. */
type RuleList = Pick<DraftChain, "rules" | "definitionsOf">;

/** Loads one table. */
export class TableLoader {
  private readonly sets = new Map<string, ElementSet>();
  private readonly chains = new Map<string, Chain>();
  private readonly anonymous = new Map<string, string>();
  private readonly waiting: { readonly name: string; readonly list: RuleList }[] = [];
  private readonly usedSets = new Set<string>();
  private readonly readers = new Map<Definitions, RuleReader>();
  private readonly context: TableContext;
  /** The rule that is loaded. */
  private current: Position;
  private basesByChain: ReadonlyMap<string, readonly BaseChain[]> | undefined;

  /**
   * @param mayLackElements sets without elements may have some that the listing does not show (`nft -t`)
   */
  constructor(
    private readonly draft: TableDraft,
    private readonly report: Report,
    private readonly mayLackElements: boolean,
  ) {
    this.current = draft.place;
    this.context = {
      table: draft.id,
      tableFamily: draft.family,
      bases: (chain) => this.bases(chain),
    };
  }

  load(): LoadedTable {
    const { draft } = this;
    for (const [name, set] of draft.sets) this.sets.set(name, this.loadSet(set));
    for (const chain of draft.chains.values()) {
      const base =
        chain.base === null
          ? null
          : readBaseChain(chain.base, { family: draft.family, table: draft.id, name: chain.name });
      if (typeof base === "string" && !OTHER_HOOKS.includes(chain.base!.hook))
        this.report(`unknown ${base} of a base chain`, base, chain.base!);
      this.loadChain(
        chain.name,
        typeof base === "string" ? null : base,
        chain.base?.policy ?? null,
        chain,
        chain.place,
      );
    }
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift())
      this.loadChain(next.name, null, null, next.list, next.list.rules[0]!);
    const unlisted = this.mayLackElements
      ? [...this.usedSets].filter((name) => this.sets.get(name)?.unknown?.why === "unlisted")
      : [];
    return { table: { name: draft.id, chains: this.chains }, unlisted };
  }

  private loadSet({ syntax, changes }: DraftSet): ElementSet {
    const scope = (definitions: Definitions): RuleScope => this.scope(definitions, this.report);
    const types = this.keyTypes(syntax, scope(NO_DEFINITIONS));
    const set = new ElementSet(`@${syntax.name}`, types);
    if (syntax.flags.includes("dynamic")) set.unknown = { why: "changes", listed: true };
    else if (this.mayLackElements && changes.length === 0) set.unknown = { why: "unlisted", listed: false };
    for (const { verb, elements, definitions } of changes)
      if (verb === "add") set.add(elements, scope(definitions));
      else if (verb === "remove") set.remove(elements, scope(definitions));
      else set.clear();
    return set;
  }

  /** Types of the parts of the keys of a set; `null` and a report if one is unknown. */
  private keyTypes(
    { key, name, ...place }: DraftSet["syntax"],
    scope: RuleScope,
  ): readonly Datatype[] | null {
    if (key === null) return null;
    if ("typeof" in key) {
      const parts = readKey(key.typeof, scope);
      if (parts === null) this.report(`the type of set ${name} is unknown`, name, place);
      return parts?.map(({ operand }) => operand.type) ?? null;
    }
    const types: Datatype[] = [];
    for (const each of key.type) {
      const type = datatype(each);
      if (type === undefined) {
        this.report(`unknown datatype ${each} of set ${name}`, each, place);
        return null;
      }
      types.push(type);
    }
    return types;
  }

  private loadChain(
    name: string,
    base: BaseChain | null,
    policy: string | null,
    drafts: RuleList,
    { line }: Position,
  ): void {
    this.chains.set(name, {
      table: this.draft.id,
      name,
      base,
      policy: base === null ? null : policy === "drop" ? "DROP" : "ACCEPT",
      counters: null,
      rules: this.loadRules(name, drafts),
      line,
    });
  }

  private loadRules(chain: string, drafts: RuleList): NftRule[] {
    let reader = this.reader(NO_DEFINITIONS);
    let context: ChainContext = { of: this.context, chain, scope: reader.scope };
    return drafts.rules.map((syntax, i) => {
      const own = this.reader(drafts.definitionsOf(syntax));
      // Rules that share definitions share a context.
      if (own !== reader) {
        reader = own;
        context = { of: this.context, chain, scope: own.scope };
      }
      this.current = syntax;
      return new NftRule(context, i + 1, syntax, reader.read(syntax));
    });
  }

  /** Rules that add elements to a set or remove them make its elements unknown. */
  private noteSets(steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.kind === "condition" || step.changesSet === undefined) continue;
      const { name, removes } = step.changesSet;
      const set = this.sets.get(name);
      if (set !== undefined && set.unknown?.listed !== false)
        set.unknown = { why: "changes", listed: !removes };
    }
  }

  private reader(definitions: Definitions): RuleReader {
    let reader = this.readers.get(definitions);
    if (reader === undefined) {
      reader = new RuleReader(
        (report) => this.scope(definitions, report),
        (message, found, at) => this.report(message, found, at ?? this.current),
        (steps) => this.noteSets(steps),
      );
      this.readers.set(definitions, reader);
    }
    return reader;
  }

  private scope(definitions: Definitions, report: Report): RuleScope {
    const { draft, sets } = this;
    return {
      tableFamily: draft.family,
      definition: (name) => definitions.get(name),
      set: (name) => {
        this.usedSets.add(name);
        return sets.get(name);
      },
      object: (type, name) => draft.objects.get(`${type} ${name}`)?.body,
      hasChain: (name) => draft.chains.has(name),
      anonymousChain: (rules) => this.anonymousChain(rules, definitions),
      report,
    };
  }

  /** Returns the name of the chain of rules in braces. The kernel counts such chains, too. */
  private anonymousChain(rules: readonly RuleSyntax[], definitions: Definitions): string {
    const [first] = rules;
    const place = first === undefined ? "" : `${first.line}:${first.column}`;
    let name = this.anonymous.get(place);
    if (name === undefined) {
      name = `__chain${this.anonymous.size}`;
      this.anonymous.set(place, name);
      const list = { rules, definitionsOf: () => definitions };
      if (first === undefined) this.loadChain(name, null, null, list, this.draft.place);
      else this.waiting.push({ name, list });
    }
    return name;
  }

  /** Base chains from which a chain is reached, itself included. */
  private bases(name: string): readonly BaseChain[] {
    this.basesByChain ??= basesOf(this.chains);
    return this.basesByChain.get(name) ?? [];
  }
}

/** Hooks that only the families bridge, netdev and arp have, or that no IP packet of lib/path passes. */
const OTHER_HOOKS: readonly string[] = ["ingress", "egress"];

/** Returns the base chains that reach each chain. */
function basesOf(chains: ReadonlyMap<string, Chain>): Map<string, BaseChain[]> {
  const bases = new Map<string, BaseChain[]>();
  for (const { name, base } of chains.values()) {
    if (base === null) continue;
    const reached = new Set([name]);
    // The iteration includes names that are added during it.
    for (const at of reached)
      for (const rule of chains.get(at)?.rules ?? []) for (const to of rule.calledChains) reached.add(to);
    for (const at of reached) {
      const known = bases.get(at);
      if (known === undefined) bases.set(at, [base]);
      else known.push(base);
    }
  }
  return bases;
}
