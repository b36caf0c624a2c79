/**
 * Loads rulesets from the texts of the save programs. Nothing is dropped silently: an unknown match stays in its rule as an
 * unknown condition, and a diagnostic names the line and column of everything that cannot be read.
 */
import {
  type Diagnostic,
  type Document,
  parse,
  type Rule as RuleSyntax,
  type ShapeOption,
  type Table as TableSyntax,
} from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import {
  type Backend,
  type Chain,
  idOfBackend,
  iptablesName,
  isTableName,
  type MissingRules,
  type Ruleset,
  type Table,
  type TableId,
  type TableName,
} from "../rules/ruleset.ts";
import type { TablePlace } from "../rules/ruleset-doubt.ts";
import { hasEffect, type IsMainChain, plainBackend } from "./backends.ts";
import { asIptables, type UnknownPart } from "./rule.ts";
import { type FamilyTable, tableFamilies } from "./table-family.ts";
import { TableLoader } from "./table-loader.ts";
import { TextDoubts } from "./text-doubts.ts";
import { withParts } from "./typed-rule.ts";

/** A diagnostic with the name of its file. */
export interface SourceDiagnostic extends Diagnostic {
  /** Name of the file. */
  readonly source: string;
}

/** A table that the texts give twice with different rules. It is unknown which version the kernel runs. */
export interface TableConflict {
  /** 4 for iptables, 6 for ip6tables. */
  readonly family: Family;
  /** Id of the table. */
  readonly table: TableId;
  /** Both places, in the order of the texts. */
  readonly places: readonly [TablePlace, TablePlace];
}

/** Result of reading one or more texts. */
export interface LoadedRulesets {
  /** At most one ruleset for each family, IPv4 first. */
  readonly rulesets: readonly Ruleset[];
  /** In the order of the files and their lines; syntax errors of a file come first. */
  readonly diagnostics: readonly SourceDiagnostic[];
  /** Tables that are given twice with different rules. The ruleset contains the later one, and a doubt names both. */
  readonly conflicts: readonly TableConflict[];
}

/** A text of a save program. */
interface RulesetInput {
  /** Name of the file, for diagnostics. */
  readonly name: string;
  readonly text: string;
  readonly family?: Family;
  /** Backend of tables without a comment of the save program. */
  readonly backend?: Backend;
  readonly missing?: MissingRules;
}

/** A text with its tables. */
interface ParsedText {
  readonly input: RulesetInput;
  readonly document: Document;
  readonly diagnostics: readonly Diagnostic[];
  readonly tables: readonly FamilyTable[];
}

/** A table with the text that it was read from. */
interface ReadTable {
  readonly place: TablePlace;
  readonly table: Table;
  /** Returns its lines without counters, which differ between two captures of one host. */
  body(): string;
}

/**
 * Reads rulesets from the texts of iptables-save and ip6tables-save. A comment line of a dump or its contents determine the
 * family. Everything that makes a text unreliable is in the `doubts` of the ruleset.
 *
 * @param inputs texts with the names that diagnostics use
 * @param isMain returns true for a chain that selects its backend as the one whose tables have plain ids
 * @returns at most one ruleset for each family and the faults of the texts; it never throws on a text
 */
export function readRuleset(
  inputs: readonly RulesetInput[],
  isMain: IsMainChain = () => false,
): LoadedRulesets {
  // A snapshot notes that a save program printed nothing.
  const texts = inputs
    .filter(({ missing, text }) => missing === undefined || text.trim() !== "")
    .map(parsedText);
  const tables = texts.flatMap((each) => each.tables);
  const reader = new RulesetReader({
    4: plainBackend(tables, 4, isMain),
    6: plainBackend(tables, 6, isMain),
  });
  for (const text of texts) reader.readText(text);
  return {
    rulesets: ([4, 6] as const).flatMap((family) => reader.ruleset(family, inputs)),
    diagnostics: reader.diagnostics,
    conflicts: reader.conflicts,
  };
}

function parsedText(input: RulesetInput): ParsedText {
  const { document, diagnostics } = parse(input.text);
  const tables = tableFamilies(document, input.family).map((each) => ({
    ...each,
    backend: each.backend ?? input.backend ?? null,
  }));
  return { input, document, diagnostics, tables };
}

class RulesetReader {
  readonly diagnostics: SourceDiagnostic[] = [];
  readonly conflicts: TableConflict[] = [];
  private readonly tables = new Map<Family, Map<TableId, ReadTable>>();
  private readonly doubts = new TextDoubts();

  /** @param plain the backend whose tables have plain ids; `null` if it is unknown */
  constructor(private readonly plain: Readonly<Record<Family, Backend | null>>) {}

  readText({ input, document, diagnostics, tables }: ParsedText): void {
    const lines = new LazyLines(input.text);
    /** Lines that were dropped. */
    const lost = new Set<number>();
    for (const diagnostic of diagnostics) {
      this.diagnostics.push({ ...diagnostic, source: input.name });
      if (diagnostic.severity === "error") lost.add(diagnostic.line);
    }
    this.doubts.comments(document, input.family);
    const families = new Set<Family>(input.family === undefined ? [] : [input.family]);
    for (const each of tables) {
      families.add(each.family);
      this.readTable(each, input, lines, lost);
    }
    this.doubts.lost(families, input.name, lost, (line) => lines.at(line));
  }

  private readTable(each: FamilyTable, input: RulesetInput, lines: LazyLines, lost: Set<number>): void {
    const { family, backend, syntax, contradicted } = each;
    const report = new TextReporter(family, input.name, lines, this.diagnostics, this.doubts);
    if (!isTableName(syntax.name)) {
      lost.add(syntax.line);
      const message = "unknown table; expected one of raw, mangle, nat, filter, security";
      report.line("error", message, syntax.line, syntax.name);
      return;
    }
    if (contradicted)
      report.line(
        "error",
        `table ${syntax.name} contains rules of IPv${family === 4 ? 6 : 4}, but the text is of IPv${family}`,
        syntax.line,
        `*${syntax.name}`,
      );
    this.doubts.table(family, backend, input.name, syntax);
    const id = backend === null ? syntax.name : idOfBackend(this.ofFamily(family), backend, syntax.name);
    // Programs of the other backend often leave tables without rules, which do nothing.
    if (id !== syntax.name && !hasEffect(syntax)) return;
    const table = { id, name: syntax.name, backend: backend ?? this.plain[family] };
    const loader = new TableLoader(table, family, report.line, report.rule, lost);
    this.addTable(
      {
        place: { source: input.name, line: syntax.line },
        table: withUnprinted(loader.load(syntax), syntax.name, input.missing),
        body: () => bodyOf(syntax, lines),
      },
      family,
      report,
    );
  }

  private ofFamily(family: Family): Pick<Ruleset, "backend"> {
    const backend = this.plain[family];
    return backend === null ? {} : { backend };
  }

  /** Adds a table. It replaces one of the same name, which is reported. */
  private addTable(read: ReadTable, family: Family, report: TextReporter): void {
    const { name } = read.table;
    let tables = this.tables.get(family);
    if (tables === undefined) this.tables.set(family, (tables = new Map()));
    const before = tables.get(name);
    tables.set(name, read);
    if (before === undefined) return;
    const same = before.body() === read.body();
    const first = `${before.place.source}:${before.place.line}`;
    const rules = same ? "the same rules" : "other rules; it is unknown which version the kernel runs";
    report.line(
      same ? "warning" : "error",
      `table ${name} of IPv${family} is given twice, first at ${first}, with ${rules}`,
      read.place.line,
      `*${iptablesName(name)}`,
    );
    if (same) return;
    this.conflicts.push({ family, table: name, places: [before.place, read.place] });
    this.doubts.conflict(family, name, [before.place, read.place]);
  }

  /** Returns the ruleset of a family, if the texts have one. */
  ruleset(family: Family, inputs: readonly RulesetInput[]): Ruleset[] {
    const { doubts } = this;
    const own = inputs.filter((input) => input.family === family);
    const missing = own.flatMap((input) => input.missing?.unread ?? []);
    const unread = [...missing, ...doubts.unreadOf(family)];
    // A family without rules of iptables may have rules that were not read.
    const tables =
      this.tables.get(family) ?? (missing.length > 0 ? new Map<TableId, ReadTable>() : undefined);
    if (tables === undefined) return [];
    const release = doubts.releaseOf(family, this.plain[family]);
    const ids = [...tables.keys()].sort((a, b) => Number(!isTableName(a)) - Number(!isTableName(b)));
    return [
      {
        family,
        source: tables.get(ids[0] ?? "")?.place.source ?? own[0]?.name ?? "",
        tables: new Map(ids.map((id) => [id, tables.get(id)!.table])),
        ...this.ofFamily(family),
        doubts: doubts.of(family),
        ...(own.some((input) => input.missing !== undefined) ? { whole: true } : {}),
        ...(doubts.damaged.has(family) ? { damaged: true } : {}),
        ...(unread.length === 0 ? {} : { unread }),
        ...(release === undefined ? {} : { release }),
      },
    ];
  }
}

/** Reports faults of one table with the place in the text. */
class TextReporter {
  constructor(
    private readonly family: Family,
    private readonly source: string,
    private readonly lines: LazyLines,
    private readonly diagnostics: SourceDiagnostic[],
    private readonly doubts: TextDoubts,
  ) {}

  readonly line = (severity: "error" | "warning", message: string, line: number, text = ""): void => {
    const column = Math.max(0, text === "" ? 0 : this.lines.at(line).indexOf(text)) + 1;
    this.diagnostics.push({
      severity,
      message,
      line,
      column,
      found: text.slice(0, 80),
      source: this.source,
    });
    if (severity === "error") this.doubts.fault(this.family, this.source, line, message);
  };

  readonly rule = (rule: RuleSyntax, message: string, text: string, option?: ShapeOption): void => {
    const line = this.lines.at(rule.line);
    const from = option === undefined ? 0 : optionColumn(line, rule, option);
    let at = text === "" ? line.length : line.indexOf(text, from);
    if (text === "!" && option?.negated === true) at = line.lastIndexOf("!", from);
    this.diagnostics.push({
      severity: "error",
      message,
      line: rule.line,
      // A quoted value differs from its text; the name of the option does not.
      column: (at < 0 ? from : at) + 1,
      found: (at < 0 ? (option?.name ?? "") : text).slice(0, 80),
      source: this.source,
    });
    this.doubts.fault(this.family, this.source, rule.line, message);
  };
}

/** Returns the column (from 0) of an option in the line of its rule: the n-th occurrence of its name, delimited by blanks. */
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

/** Lines of a text, split on first use. */
class LazyLines {
  private lines: string[] | undefined;

  constructor(private readonly text: string) {}

  at(line: number): string {
    this.lines ??= this.text.split(/\r?\n/);
    return this.lines[line - 1] ?? "";
  }
}

const bodyOf = ({ entries }: TableSyntax, lines: LazyLines): string =>
  entries
    .map(({ line }) =>
      lines
        .at(line)
        .replace(/\[\d+:\d+\]/g, "")
        .trim(),
    )
    .join("\n");

/** Adds an unknown condition to each rule with a condition that its text does not have. */
function withUnprinted(table: Table, name: TableName, missing: MissingRules | undefined): Table {
  const unprinted = missing?.unprinted?.filter((each) => each.table === name) ?? [];
  if (unprinted.length === 0) return table;
  const chains = new Map<string, Chain>(table.chains);
  for (const { chain: name, size, rules: numbers } of unprinted) {
    const chain = chains.get(name);
    if (chain === undefined) continue;
    const any = size !== null && size !== chain.rules.length;
    const meant = new Set(numbers);
    const rules = chain.rules.map((rule) =>
      any || meant.has(rule.index)
        ? withParts(rule, { unknown: [...asIptables(rule).unknown, UNPRINTED] })
        : rule,
    );
    chains.set(name, { ...chain, rules });
  }
  return { ...table, chains };
}

const UNPRINTED: UnknownPart = { what: "nft condition that iptables-save omits", words: [] };
