/** Tables while the entries of a text are executed in their order, as `nft -f` does. */
import type {
  BaseChainLine,
  Chain as ChainSyntax,
  Command,
  Element,
  Expression,
  NamedObject,
  NamedSet,
  Position,
  Rule as RuleSyntax,
  Table as TableSyntax,
} from "nftables-parser-ts";

/** Values of `$name` at a place of the text. */
export type Definitions = ReadonlyMap<string, Expression>;

export const NO_DEFINITIONS: Definitions = new Map();

/** Returns the definitions after `define`, `redefine` or `undefine`. */
export function defined(definitions: Definitions, { verb, name, body }: Command): Definitions {
  const changed = new Map(definitions);
  if (verb === "undefine") changed.delete(name);
  else changed.set(name, body as Expression);
  return changed;
}

/**
 * Returns a function that gives the definitions at a node of a block: those outside, and those that precede it in the block.
 * `undefine` in a block only removes what the block defines.
 */
function definitionsIn(
  outside: Definitions,
  commands: readonly Command[] | undefined,
): (node: Position) => Definitions {
  if (commands === undefined) return () => outside;
  const known = new Map<number, Definitions>([[0, outside]]);
  return (node) => {
    const preceding = commands.filter((command) => precedes(command, node));
    let found = known.get(preceding.length);
    if (found === undefined) {
      found = new Map([...outside, ...preceding.reduce(defined, NO_DEFINITIONS)]);
      known.set(preceding.length, found);
    }
    return found;
  };
}

const precedes = (a: Position, b: Position): boolean =>
  a.line < b.line || (a.line === b.line && a.column < b.column);

export class DraftChain {
  base: BaseChainLine | null;
  private current: readonly RuleSyntax[];
  /** The list above, if it is no longer that of the syntax. */
  private own: RuleSyntax[] | null = null;
  /** Definitions that precede a rule; `null` if no rule has any. */
  private definitions: Map<RuleSyntax, Definitions> | null = null;

  constructor(readonly syntax: ChainSyntax) {
    this.base = syntax.base;
    this.current = syntax.rules;
  }

  get name(): string {
    return this.syntax.name;
  }

  get place(): Position {
    return this.syntax;
  }

  /** In the order of evaluation. */
  get rules(): readonly RuleSyntax[] {
    return this.current;
  }

  /** Returns the rules to be changed. */
  edit(): RuleSyntax[] {
    this.current = this.own ??= [...this.current];
    return this.own;
  }

  /** Keeps the definitions that precede a rule. */
  define(rule: RuleSyntax, definitions: Definitions): void {
    if (definitions.size === 0) return;
    this.definitions ??= new Map();
    this.definitions.set(rule, definitions);
  }

  definitionsOf(rule: RuleSyntax): Definitions {
    return this.definitions?.get(rule) ?? NO_DEFINITIONS;
  }
}

/** A change of the elements of a set. */
export interface ElementChange {
  readonly verb: "add" | "remove" | "clear";
  readonly elements: readonly Element[];
  readonly definitions: Definitions;
}

export interface DraftSet {
  readonly syntax: NamedSet;
  readonly changes: ElementChange[];
}

/** One table. */
export class TableDraft {
  readonly chains = new Map<string, DraftChain>();
  readonly sets = new Map<string, DraftSet>();
  /** By type and name: `limit slow`. */
  readonly objects = new Map<string, NamedObject>();
  flags: readonly string[] = [];
  managed = false;

  constructor(
    readonly family: TableSyntax["family"],
    readonly name: string,
    readonly place: Position,
  ) {}

  /** Family and name, the id of the table in a ruleset. */
  get id(): string {
    return `${this.family} ${this.name}`;
  }

  /** Adds what a block contains; rules of a chain that exists follow its rules. */
  addBlock(block: TableSyntax, definitions: Definitions): void {
    if (block.flags.length > 0) this.flags = block.flags;
    if (block.managed === true) this.managed = true;
    const definitionsAt = definitionsIn(definitions, block.definitions);
    for (const entry of block.entries) {
      const known = definitionsAt(entry);
      if (entry.kind === "chain") this.addChain(entry, known);
      else if (entry.kind === "object") this.objects.set(`${entry.type} ${entry.name}`, entry);
      else this.addSet(entry, known);
    }
  }

  addChain(syntax: ChainSyntax, definitions: Definitions): void {
    let chain = this.chains.get(syntax.name);
    if (chain === undefined) {
      chain = new DraftChain(syntax);
      this.chains.set(syntax.name, chain);
    } else {
      if (syntax.base !== null) chain.base = syntax.base;
      if (syntax.rules.length > 0) {
        const rules = chain.edit();
        for (const rule of syntax.rules) rules.push(rule);
      }
    }
    if (definitions.size === 0 && syntax.definitions === undefined) return;
    const definitionsAt = definitionsIn(definitions, syntax.definitions);
    for (const rule of syntax.rules) chain.define(rule, definitionsAt(rule));
  }

  addSet(syntax: NamedSet, definitions: Definitions): void {
    let set = this.sets.get(syntax.name);
    if (set === undefined) this.sets.set(syntax.name, (set = { syntax, changes: [] }));
    const { elements } = syntax;
    if (elements === null) return;
    const known = new Map([...definitions, ...(syntax.definitions ?? []).reduce(defined, NO_DEFINITIONS)]);
    set.changes.push({ verb: "add", elements, definitions: known });
  }
}
