/**
 * From a document to the chain graph. Nothing is dropped in silence: what is unknown stays in the rule as an unknown,
 * everything else is still loaded, and a diagnostic says with line and column what cannot be read.
 */

import {
  type ChainLine,
  type CommandLine,
  type Diagnostic,
  type Document,
  parse,
  type Rule as RuleSyntax,
  type ShapeOption,
  type Table as TableSyntax,
} from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import {
  type Beside,
  type Chain,
  isTableName,
  type Ruleset,
  type Table,
  type TableName,
  type Unprinted,
} from "../rules/ruleset.ts";
import { isBuiltIn } from "./base-chains.ts";
import { familySign } from "./family-sign.ts";
import { Chains, OpenChain, reportLoops } from "./open-chain.ts";
import type { Unknown } from "./rule.ts";
import { LoadedRule, Loader, type RuleReport } from "./rule-loader.ts";
import { TextDoubts } from "./text-doubts.ts";
import { withParts } from "./typed-rule.ts";

/** A diagnostic with the name of the file it is about. */
export interface SourceDiagnostic extends Diagnostic {
  /** Name of the file. */
  readonly source: string;
}

/** Where a table is declared. */
export interface TablePlace {
  /** Name of the file. */
  readonly source: string;
  /** 1-based line of its `*name`. */
  readonly line: number;
}

/** A table that the texts give twice, with different rules: which of them the kernel runs is unknown. */
export interface Conflict {
  /** 4 for iptables, 6 for ip6tables. */
  readonly family: Family;
  /** Which table it is. */
  readonly table: TableName;
  /** The two places, in the order of the texts. */
  readonly places: readonly [TablePlace, TablePlace];
}

/** What was read from one or more texts: at most one ruleset a family. */
export interface Loaded {
  /** At most one a family, IPv4 first. */
  readonly rulesets: readonly Ruleset[];
  /** In the order of the files and their lines, syntax before meaning. */
  readonly diagnostics: readonly SourceDiagnostic[];
  /** Tables that are given twice with different rules. The ruleset holds the later one, and a doubt names both. */
  readonly conflicts: readonly Conflict[];
}

type Report = (severity: "error" | "warning", message: string, line: number, found?: string) => void;

/** A table with the text it was read from. */
interface ReadTable {
  readonly place: TablePlace;
  readonly table: Table;
  /** Its lines without counters: two captures of one host differ in them. */
  body(): string;
}

/**
 * Reads rulesets from the texts of iptables-save and ip6tables-save. The family of each dump is told from its own
 * comment line or its contents. Whatever makes a text unreliable is a sentence in the ruleset's `doubts`.
 *
 * @param inputs texts with the names that diagnostics use
 * @returns at most one ruleset a family (4 first), and what is wrong with the texts; it never throws on a text
 */
export function readRuleset(
  inputs: readonly {
    readonly name: string;
    readonly text: string;
    readonly family?: Family;
    readonly beside?: Beside;
  }[],
): Loaded {
  const diagnostics: SourceDiagnostic[] = [];
  const conflicts: Conflict[] = [];
  const tables = new Map<Family, Map<TableName, ReadTable>>();
  const doubts = new TextDoubts();
  for (const input of inputs) {
    // A snapshot says by itself that a save program printed nothing.
    if (input.beside !== undefined && input.text.trim() === "") continue;
    const { document, diagnostics: found } = parse(input.text);
    const lines = new LazyLines(input.text);
    /** Lines of which nothing is kept. */
    const lost = new Set<number>();
    for (const d of found) {
      diagnostics.push({ ...d, source: input.name });
      if (d.severity === "error") lost.add(d.line);
    }
    const families = new Set<Family>(input.family === undefined ? [] : [input.family]);
    doubts.comments(document, input.family);
    for (const { family, syntax, contradicted } of byFamily(document, input.family)) {
      const report: Report = (severity, message, line, text = "") => {
        const column = Math.max(0, text === "" ? 0 : lines.at(line).indexOf(text)) + 1;
        diagnostics.push({ severity, message, line, column, found: text.slice(0, 80), source: input.name });
        if (severity === "error") doubts.fault(family, input.name, line, message);
      };
      const ruleReport = (rule: RuleSyntax, message: string, text: string, option?: ShapeOption): void => {
        const line = lines.at(rule.line);
        const from = option === undefined ? 0 : optionColumn(line, rule, option);
        let at = text === "" ? line.length : line.indexOf(text, from);
        if (text === "!" && option?.negated === true) at = line.lastIndexOf("!", from);
        diagnostics.push({
          severity: "error",
          message,
          line: rule.line,
          // A quoted value differs from its text; its option does not.
          column: (at < 0 ? from : at) + 1,
          found: (at < 0 ? (option?.name ?? "") : text).slice(0, 80),
          source: input.name,
        });
        doubts.fault(family, input.name, rule.line, message);
      };
      families.add(family);
      if (!isTableName(syntax.name)) {
        lost.add(syntax.line);
        report(
          "error",
          `unknown table; expected one of raw, mangle, nat, filter, security`,
          syntax.line,
          syntax.name,
        );
        continue;
      }
      if (contradicted)
        report(
          "error",
          `table ${syntax.name} holds rules of IPv${family === 4 ? 6 : 4}, but the text is of IPv${family}`,
          syntax.line,
          `*${syntax.name}`,
        );
      doubts.table(family, input.name, syntax);
      let into = tables.get(family);
      if (into === undefined) tables.set(family, (into = new Map()));
      const loader = new TableLoader(syntax.name, family, report, ruleReport, lost);
      const read: ReadTable = {
        place: { source: input.name, line: syntax.line },
        table: withUnprinted(loader.load(syntax), input.beside?.unprinted ?? []),
        body: () =>
          syntax.entries
            .map((e) =>
              lines
                .at(e.line)
                .replace(/\[\d+:\d+\]/g, "")
                .trim(),
            )
            .join("\n"),
      };
      const before = into.get(syntax.name);
      into.set(syntax.name, read);
      if (before === undefined) continue;
      const same = before.body() === read.body();
      const first = `${before.place.source}:${before.place.line}`;
      report(
        same ? "warning" : "error",
        `table ${syntax.name} of IPv${family} is given twice, first at ${first}, with ${same ? "the same rules" : "other rules; which of them the kernel runs is not known"}`,
        syntax.line,
        `*${syntax.name}`,
      );
      if (same) continue;
      conflicts.push({ family, table: syntax.name, places: [before.place, read.place] });
      doubts.conflict(family, syntax.name, first, `${input.name}:${syntax.line}`);
    }
    doubts.lost(families, input.name, lost, (line) => lines.at(line));
  }
  const rulesets = ([4, 6] as const).flatMap((family): Ruleset[] => {
    const beside = inputs.flatMap((input) => (input.family === family ? (input.beside?.unread ?? []) : []));
    const unread = [...beside, ...doubts.unreadOf(family)];
    // A family without rules of iptables may have rules that were not read.
    const into = tables.get(family) ?? (beside.length > 0 ? new Map<TableName, ReadTable>() : undefined);
    if (into === undefined) return [];
    const release = doubts.releases.get(family);
    const [first] = into.values();
    return [
      {
        family,
        source: first?.place.source ?? inputs.find((input) => input.family === family)?.name ?? "",
        tables: new Map([...into].map(([name, { table }]) => [name, table])),
        doubts: doubts.of(family),
        ...(inputs.some((input) => input.family === family && input.beside !== undefined)
          ? { whole: true }
          : {}),
        ...(doubts.damaged.has(family) ? { damaged: true } : {}),
        ...(unread.length === 0 ? {} : { unread }),
        ...(release === undefined ? {} : { release }),
      },
    ];
  });
  return { rulesets, diagnostics, conflicts };
}

/** The table with an unknown match in each rule whose condition the text does not print in full. */
function withUnprinted(table: Table, unprinted: readonly Unprinted[]): Table {
  const here = new Map(
    unprinted.flatMap((each) => (each.table === table.name ? [[`${each.chain} ${each.index}`, each]] : [])),
  );
  if (here.size === 0) return table;
  const chains = new Map<string, Chain>();
  for (const [name, chain] of table.chains)
    chains.set(name, {
      ...chain,
      rules: chain.rules.map((rule) =>
        here.has(`${name} ${rule.index}`) ? withParts(rule, { unknown: [...rule.unknown, UNPRINTED] }) : rule,
      ),
    });
  return { ...table, chains };
}

const UNPRINTED: Unknown = { what: "nft condition that iptables-save omits", words: [] };

/** Column (from 0) where an option of a rule stands in its line: the n-th time its name stands there as a word. */
function optionColumn(line: string, rule: RuleSyntax, option: ShapeOption): number {
  let nth = 0;
  for (const o of rule.shape.options) {
    if (o === option) break;
    if (o.name === option.name) nth++;
  }
  let at = -1;
  for (let i = 0; i <= nth; i++) {
    do at = line.indexOf(option.name, at + 1);
    while (at > 0 && !(/\s/.test(line[at - 1]!) && /^[\s=]?$/.test(line[at + option.name.length] ?? "")));
    if (at < 0) return 0;
  }
  return at;
}

/** Lines of a text, split only when somebody asks. */
class LazyLines {
  private lines: string[] | undefined;
  constructor(private readonly text: string) {}
  at(line: number): string {
    this.lines ??= this.text.split(/\r?\n/);
    return this.lines[line - 1] ?? "";
  }
}

/** A table with the family it is read as. */
interface FamilyTable {
  readonly family: Family;
  readonly syntax: TableSyntax;
  /** Its rules can only be of the other family. */
  readonly contradicted: boolean;
}

/**
 * Finds the family of each table: the given one, else that of the program in the comment above it, else that of its
 * rules.
 */
function byFamily(document: Document, given: Family | undefined): FamilyTable[] {
  const out: FamilyTable[] = [];
  let dump: TableSyntax[] = [];
  const names = new Set<string>();
  let said: Family | undefined;
  const flush = (): void => {
    const printed = given ?? said;
    const family = printed ?? (dump.some((t) => familySign(t, "likely") === 6) ? 6 : 4);
    for (const syntax of dump) {
      const sign = familySign(syntax, "certain");
      // The program's own comment against the family that the caller gives.
      const other = given !== undefined && said !== undefined && said !== given;
      out.push({ family, syntax, contradicted: other || (sign !== undefined && sign !== family) });
    }
    dump = [];
    names.clear();
  };
  for (const entry of document.entries) {
    if (entry.kind === "table") {
      // The same table again without a comment between them: another dump, perhaps of the other family.
      if (names.has(entry.name)) flush();
      dump.push(entry);
      names.add(entry.name);
      continue;
    }
    const program =
      /Generated by (?:xtables-save|iptables(?:-(?:nft|legacy))?-save|ip(6)tables(?:-(?:nft|legacy))?-save)/.exec(
        entry.text,
      );
    if (program === null) continue;
    flush();
    said = program[1] === "6" ? 6 : entry.text.includes("xtables-save") ? undefined : 4;
  }
  flush();
  return out;
}

/** Reads one table, entry by entry. */
class TableLoader {
  private readonly chains = new Chains();
  private readonly loader: Loader;
  /** Rules to be appended to their chains, which know how many there are. */
  private readonly waiting: LoadedRule[] = [];
  /** Chains with rules. */
  private readonly filled: OpenChain[] = [];

  constructor(
    private readonly name: TableName,
    family: Family,
    private readonly report: Report,
    private readonly ruleReport: RuleReport,
    /** Lines of which nothing is kept. */
    private readonly lost: Set<number>,
  ) {
    this.loader = new Loader(family, name, ruleReport);
  }

  load(syntax: TableSyntax): Table {
    for (const entry of syntax.entries) this.entry(entry);
    this.settle();
    const { all } = this.chains;
    for (const chain of all.values()) this.close(chain);
    reportLoops(all.values(), this.ruleReport);
    return { name: this.name, chains: all };
  }

  private entry(entry: TableSyntax["entries"][number]): void {
    if (entry.kind === "rule") this.rule(entry);
    else if (entry.kind === "chain") this.declaration(entry);
    else if (entry.kind === "command") this.command(entry);
  }

  private rule(syntax: RuleSyntax): void {
    const chain = this.chains.of(syntax) ?? this.undeclared(syntax);
    const loaded = this.loader.load(syntax, chain);
    if (loaded instanceof LoadedRule) this.add(loaded, chain);
    else for (const rule of loaded) this.add(rule, chain);
  }

  private add(rule: LoadedRule, chain: OpenChain): void {
    const { syntax, plan } = rule;
    // Most chains are declared in front of all rules, and while the rule is at hand its jump is soon found.
    if (rule.jumps) rule.next = this.chains.named(syntax, plan.jump!.at) ?? null;
    if (syntax.position === null) {
      if (chain.expect()) this.filled.push(chain);
      this.waiting.push(rule);
    } else {
      this.settle();
      this.filled.push(chain);
      chain.insert(syntax.position, rule);
    }
  }

  /** Puts the rules that wait into their chains. */
  private settle(): void {
    for (const rule of this.waiting) rule.home.append(rule);
    this.waiting.length = 0;
  }

  private undeclared({ chain, line }: RuleSyntax): OpenChain {
    const isBuiltIn = this.isBuiltIn(chain);
    const message = `chain ${JSON.stringify(chain)} is not declared in table ${this.name}; its rules are kept`;
    if (!isBuiltIn) this.report("error", message, line, chain);
    return this.declare(chain, isBuiltIn ? "ACCEPT" : null, null, line);
  }

  private declare(
    chain: string,
    policy: Chain["policy"],
    counters: Chain["counters"],
    line: number,
  ): OpenChain {
    const made = new OpenChain(this.name, chain, policy, counters, line);
    this.chains.add(made);
    return made;
  }

  private declaration(entry: ChainLine): void {
    const isBuiltIn = this.isBuiltIn(entry.name);
    const fault = declarationFault(entry, isBuiltIn, this.name);
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
    return isBuiltIn(this.name, chain);
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
      this.report("error", `the command ${command} is not read in a ruleset`, line, command);
  }

  private close(chain: OpenChain): void {
    chain.close();
    let index = 0;
    for (const rule of chain.rules) {
      rule.index = ++index;
      if (rule.jumps) this.link(rule);
    }
  }

  /** Finds where a rule jumps to, now that all chains are known. */
  private link(rule: LoadedRule): void {
    if (rule.next === null || rule.next.gone) rule.next = this.chains.all.get(rule.to) ?? null;
    const { next, plan, syntax } = rule;
    if (next === null) {
      if (rule.faulty) return;
      const { to } = rule;
      const message = `${JSON.stringify(to)} is neither a chain of table ${this.name} nor a known target`;
      this.ruleReport(syntax, message, to, plan.jump!.option);
    } else if (plan.stray.length > 0) {
      const [option] = plan.stray;
      const message = `unknown option ${option!.name}; ${next.name} is a chain`;
      this.ruleReport(syntax, message, option!.name, option);
    }
  }
}

/** What is wrong with the policy of a chain. */
function declarationFault(entry: ChainLine, isBuiltIn: boolean, table: TableName): string | undefined {
  if (entry.policy !== null && !["ACCEPT", "DROP", "QUEUE"].includes(entry.policy))
    return "expected a policy, ACCEPT or DROP, or - for a user chain";
  if (isBuiltIn && entry.policy === null && entry.command === ":")
    return `expected a policy for the built-in chain ${entry.name}`;
  if (!isBuiltIn && entry.policy !== null)
    return `${entry.name} is no built-in chain of table ${table}, only those have a policy`;
  return undefined;
}
