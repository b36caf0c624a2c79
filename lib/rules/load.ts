/**
 * From a document to the chain graph. Nothing is dropped in silence: what is unknown stays in the rule as an unknown,
 * everything else is still loaded, and a diagnostic says with line and column what cannot be read.
 */
import {
  type ChainLine,
  type CommandLine,
  type Comment,
  type Diagnostic,
  type Document,
  parse,
  type Rule as RuleSyntax,
  type ShapeOption,
  type Table as TableSyntax,
} from "../../grammar/index.ts";
import type { Family } from "../packet/field.ts";
import { type ChainOfRules, LoadedRule, Loader, PROTO_NAMES, type RuleReport } from "./plan.ts";
import { BUILT_IN, type Chain, isTableName, type Ruleset, type Table, type TableName } from "./ruleset.ts";

/** A diagnostic with the name of the file it is about. */
export interface SourceDiagnostic extends Diagnostic {
  readonly source: string;
}

/** What was read from one or more texts: at most one ruleset a family. */
export interface Loaded {
  readonly rulesets: readonly Ruleset[];
  readonly diagnostics: readonly SourceDiagnostic[];
}

type Report = (severity: "error" | "warning", message: string, line: number, found?: string) => void;

/**
 * Reads rulesets from the texts of iptables-save and ip6tables-save. The family of each dump is told from its own
 * comment line or its contents. Where a table comes twice in one family, the later one counts, as for
 * iptables-restore(8), and a warning says so.
 *
 * @param inputs texts with the names under which diagnostics speak of them
 * @returns at most one ruleset a family (4 first), and what is wrong with the texts; it never throws on a text
 */
export function readRuleset(
  inputs: readonly { readonly name: string; readonly text: string; readonly family?: Family }[],
): Loaded {
  const diagnostics: SourceDiagnostic[] = [];
  const tables = new Map<Family, { source: string; tables: Map<TableName, Table> }>();
  for (const input of inputs) {
    const { document, diagnostics: found } = parse(input.text);
    for (const d of found) diagnostics.push({ ...d, source: input.name });
    const lines = new LazyLines(input.text);
    for (const [family, syntax] of byFamily(document, input.family)) {
      const report: Report = (severity, message, line, text = "") => {
        const column = Math.max(0, text === "" ? 0 : lines.at(line).indexOf(text)) + 1;
        diagnostics.push({ severity, message, line, column, found: text.slice(0, 80), source: input.name });
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
          // A value that was quoted does not stand there as it reads; its option does.
          column: (at < 0 ? from : at) + 1,
          found: (at < 0 ? (option?.name ?? "") : text).slice(0, 80),
          source: input.name,
        });
      };
      if (!isTableName(syntax.name)) {
        report(
          "error",
          `unknown table; expected one of raw, mangle, nat, filter, security`,
          syntax.line,
          syntax.name,
        );
        continue;
      }
      let into = tables.get(family);
      if (into === undefined) tables.set(family, (into = { source: input.name, tables: new Map() }));
      if (into.tables.has(syntax.name))
        report(
          "warning",
          `table ${syntax.name} of IPv${family} was already read; this later one counts`,
          syntax.line,
          `*${syntax.name}`,
        );
      into.tables.set(
        syntax.name,
        loadTable(syntax, syntax.name, new Loader(family, ruleReport), report, ruleReport),
      );
    }
  }
  const rulesets = ([4, 6] as const).flatMap((family): Ruleset[] => {
    const into = tables.get(family);
    return into === undefined ? [] : [{ family, ...into }];
  });
  return { rulesets, diagnostics };
}

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

/** Tells the family of each table: by the comment of the program that printed it, else by what the dump holds. */
function byFamily(document: Document, given: Family | undefined): [Family, TableSyntax][] {
  if (given !== undefined)
    return document.entries.flatMap((e) => (e.kind === "table" ? [[given, e] as [Family, TableSyntax]] : []));
  const out: [Family, TableSyntax][] = [];
  let dump: TableSyntax[] = [];
  let said: Family | undefined;
  const flush = (): void => {
    const family = said ?? (dump.some(looksLikeIPv6) ? 6 : 4);
    for (const table of dump) out.push([family, table]);
    dump = [];
  };
  for (const entry of document.entries) {
    if (entry.kind === "table") {
      // The same table again without a word between: another dump, perhaps of the other family.
      if (dump.some((t) => t.name === entry.name)) flush();
      dump.push(entry);
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

const V6_NAMES = new Set(["icmp6", "rt", "hl", "eui64", "frag", "hbh", "dst", "mh", "ipv6header", "srh"]);
const ADDRESS_NAMES = new Set(["-s", "-d", "--source", "--destination", "--src", "--dst"]);

/** Whether the rules of a table can only be ip6tables'; the first address settles it. */
function looksLikeIPv6(table: TableSyntax): boolean {
  for (const entry of table.entries) {
    if (entry.kind !== "rule") continue;
    for (const o of entry.shape.options) {
      const value = entry.values[o.at] ?? "";
      if (ADDRESS_NAMES.has(o.name)) {
        if (value.includes(":")) return true;
        if (value.includes(".")) return false;
      }
      if (PROTO_NAMES.has(o.name) && (value === "ipv6-icmp" || value === "icmpv6")) return true;
      if (o.name === "-m" && V6_NAMES.has(value)) return true;
      if (o.name === "--reject-with" && value.startsWith("icmp6")) return true;
    }
  }
  return false;
}

/** A chain while it is read. */
type Loading = { -readonly [K in keyof Chain]: K extends "rules" ? LoadedRule[] : Chain[K] } & {
  /** Takes over from `rules` when the first rule is inserted. */
  row: Row | null;
};

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

function loadTable(
  syntax: TableSyntax,
  name: TableName,
  loader: Loader,
  report: Report,
  ruleReport: RuleReport,
): Table {
  const builtIn = BUILT_IN[name] as readonly string[];
  const chains = new Map<string, Loading>();
  const declare = (chain: string, policy: Chain["policy"], counters: Chain["counters"], line: number) => {
    const made: Loading = {
      table: name,
      name: chain,
      policy,
      counters,
      rules: [] as LoadedRule[],
      line,
      row: null,
    };
    chains.set(chain, made);
    return made;
  };
  const declaration = (entry: ChainLine): void => {
    const isBuiltIn = builtIn.includes(entry.name);
    const fault = declarationFault(entry, isBuiltIn, name);
    if (fault !== undefined) {
      report("error", fault, entry.line, entry.policy ?? "-");
      return;
    }
    const policy = isBuiltIn ? (entry.policy === "DROP" ? "DROP" : "ACCEPT") : null;
    const before = chains.get(entry.name);
    if (before === undefined) declare(entry.name, policy, entry.counters, entry.line);
    else if (entry.command === "-P") before.policy = policy;
    else report("warning", `chain ${entry.name} is declared twice`, entry.line, entry.name);
  };
  /** Rules of one chain stand together. */
  let last: Loading | undefined;
  const chainFor = (chain: string, line: number): Loading => {
    if (last?.name === chain) return last;
    last = chains.get(chain);
    if (last !== undefined) return last;
    const isBuiltIn = builtIn.includes(chain);
    if (!isBuiltIn)
      report(
        "error",
        `chain ${JSON.stringify(chain)} is not declared in table ${name}; its rules are kept`,
        line,
        chain,
      );
    return declare(chain, isBuiltIn ? "ACCEPT" : null, null, line);
  };
  const command = (entry: CommandLine): void => {
    const [chain] = entry.words;
    last = undefined;
    if (entry.command === "-F" || entry.command === "--flush") {
      for (const each of chains.values())
        if (chain === undefined || each.name === chain) {
          each.rules.length = 0;
          each.row = null;
        }
    } else if (entry.command === "-X" || entry.command === "--delete-chain") {
      for (const each of [...chains.values()])
        if (each.policy === null && (chain === undefined || each.name === chain)) chains.delete(each.name);
    } else if (!["-Z", "--zero"].includes(entry.command))
      report("error", `the command ${entry.command} is not read in a ruleset`, entry.line, entry.command);
  };
  const entries: readonly (ChainLine | RuleSyntax | CommandLine | Comment)[] = syntax.entries;
  for (const entry of entries) {
    if (entry.kind === "chain") declaration(entry);
    else if (entry.kind === "command") command(entry);
    else if (entry.kind === "rule") {
      const into = chainFor(entry.chain, entry.line);
      const loaded = loader.load(entry, name);
      if (loaded instanceof LoadedRule && entry.position === null && into.row === null)
        into.rules.push(loaded);
      else
        for (const rule of loaded instanceof LoadedRule ? [loaded] : loaded) {
          if (entry.position !== null) into.row ??= new Row(into.rules);
          if (into.row === null) into.rules.push(rule);
          else into.row.insert(entry.position ?? Number.MAX_SAFE_INTEGER, rule);
        }
    }
  }
  for (const chain of chains.values()) {
    if (chain.row !== null) chain.rules = chain.row.rules;
    let index = 0;
    for (const rule of chain.rules) {
      rule.index = ++index;
      const { to } = rule;
      if (to === undefined) continue;
      rule.next = chains.get(to) ?? null;
      if (rule.next === null) {
        rule.lost = true;
        if (rule.faulty) continue;
        const message = `${JSON.stringify(to)} is neither a chain of table ${name} nor a known target`;
        ruleReport(rule.syntax, message, to, rule.plan.jump!.option);
      } else if (rule.plan.stray.length > 0) {
        const [option] = rule.plan.stray;
        ruleReport(rule.syntax, `unknown option ${option!.name}; ${to} is a chain`, option!.name, option);
      }
    }
  }
  reportLoops(chains, ruleReport);
  return { name, chains };
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

/** Finds jumps that lead back to their own chain, which the kernel refuses (ELOOP); each is reported once. */
function reportLoops(chains: ReadonlyMap<string, Loading>, report: RuleReport): void {
  const open = new Set<ChainOfRules>();
  const done = new Set<ChainOfRules>();
  // An explicit stack: chains may be nested deeper than JavaScript's own.
  const stack: { chain: ChainOfRules; at: number }[] = [];
  for (const start of chains.values()) {
    if (done.has(start)) continue;
    stack.push({ chain: start, at: 0 });
    open.add(start);
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const { chain } = top;
      const rule = chain.rules[top.at++];
      if (rule === undefined) {
        open.delete(chain);
        done.add(chain);
        stack.pop();
        continue;
      }
      const to = rule.next;
      if (to === null || done.has(to)) continue;
      if (open.has(to))
        report(
          rule.syntax,
          `a loop of jumps: this rule of chain ${chain.name} leads back to ${to.name}; the kernel refuses such a table`,
          to.name,
          rule.plan.jump!.option,
        );
      else {
        open.add(to);
        stack.push({ chain: to, at: 0 });
      }
    }
  }
}
