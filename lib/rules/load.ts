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
} from "../../grammar/index.ts";
import type { Family } from "../packet/field.ts";
import { Chains, OpenChain, reportLoops } from "./chains.ts";
import type { Release } from "./extension.ts";
import { LoadedRule, Loader, PROTO_NAMES, type RuleReport } from "./plan.ts";
import { BUILT_IN, type Chain, isTableName, type Ruleset, type Table, type TableName } from "./ruleset.ts";

/** A diagnostic with the name of the file it is about. */
export interface SourceDiagnostic extends Diagnostic {
  /** Name of the file. */
  readonly source: string;
}

/** What was read from one or more texts: at most one ruleset a family. */
export interface Loaded {
  /** At most one a family, IPv4 first. */
  readonly rulesets: readonly Ruleset[];
  /** In the order of the files and their lines, syntax before meaning. */
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
  const backends = new Backends();
  for (const input of inputs) {
    const { document, diagnostics: found } = parse(input.text);
    for (const d of found) diagnostics.push({ ...d, source: input.name });
    const lost = new Set(found.flatMap((d) => (d.severity === "error" ? [d.line] : [])));
    const families = new Set<Family>();
    const lines = new LazyLines(input.text);
    backends.read(document, input.family);
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
      let into = tables.get(family);
      if (into === undefined) tables.set(family, (into = { source: input.name, tables: new Map() }));
      if (into.tables.has(syntax.name))
        report(
          "warning",
          `table ${syntax.name} of IPv${family} was already read; this later one counts`,
          syntax.line,
          `*${syntax.name}`,
        );
      const loader = new TableLoader(syntax.name, family, report, ruleReport, lost);
      into.tables.set(syntax.name, loader.load(syntax));
    }
    let first = Number.POSITIVE_INFINITY;
    for (const line of lost) first = Math.min(first, line);
    if (lost.size > 0)
      for (const family of families)
        backends.say(
          family,
          `${lost.size === 1 ? "a line" : `${lost.size} lines`} of ${input.name} could not be read (${lost.size === 1 ? "" : "the first is "}line ${first}): what stands there is not known`,
        );
  }
  const rulesets = ([4, 6] as const).flatMap((family): Ruleset[] => {
    const into = tables.get(family);
    if (into === undefined) return [];
    const elsewhere = backends.said(family);
    const release = backends.releases.get(family);
    return [
      {
        family,
        ...into,
        ...(release === undefined ? {} : { release }),
        ...(elsewhere.length === 0 ? {} : { elsewhere }),
      },
    ];
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

/**
 * What the comments of the save programs say of other rules: a packet meets those of both backends, and what belongs to
 * nftables alone is in neither's output (iptables/xshared.c, iptables/xtables-save.c).
 */
class Backends {
  private readonly sentences = new Map<Family, Set<string>>([
    [4, new Set()],
    [6, new Set()],
  ]);
  private readonly printed = new Map<Family, Set<string>>();
  /** Of the program that printed last. */
  readonly releases = new Map<Family, Release>();

  read(document: Document, given: Family | undefined): void {
    let family: Family = given ?? 4;
    for (const { kind, ...entry } of document.entries) {
      if (kind !== "comment" || !("text" in entry)) continue;
      const { text } = entry;
      const program =
        /Generated by (ip6?tables|xtables)(-nft|-legacy)?-save v(\d+)\.(\d+)\.(\d+)( \(nf_tables\))?/.exec(
          text,
        );
      if (program !== null) {
        family = given ?? (program[1] === "ip6tables" ? 6 : 4);
        const nft = program[1] === "xtables" || program[2] === "-nft" || program[6] !== undefined;
        this.releases.set(family, [Number(program[3]), Number(program[4]), Number(program[5])]);
        this.printed.set(family, (this.printed.get(family) ?? new Set()).add(nft ? "nft" : "legacy"));
      }
      const legacy = /Warning: ip(6?)tables-legacy tables present/.exec(text);
      if (legacy !== null)
        this.say(
          given ?? (legacy[1] === "6" ? 6 : 4),
          "the rules were printed by iptables-nft, and iptables-legacy has rules, too: a packet meets both, and those of iptables-legacy are not here (iptables-legacy-save prints them)",
        );
      const native = /Table `(\S+)' (?:is incompatible|contains incompatible)/.exec(text);
      if (native !== null)
        this.say(
          family,
          `table ${native[1]} has chains or rules that only nft can print: a packet meets them, and they are not here (nft list ruleset prints them)`,
        );
    }
  }

  said(family: Family): string[] {
    const both = (this.printed.get(family)?.size ?? 0) > 1;
    return [
      ...this.sentences.get(family)!,
      ...(both
        ? [
            "the inputs hold rules of iptables-nft and of iptables-legacy: a packet meets both, and of each table only the later one was read",
          ]
        : []),
    ];
  }

  say(family: Family, sentence: string): void {
    this.sentences.get(family)!.add(sentence);
  }
}

/** Tells the family of each table: by the comment of the program that printed it, else by what the dump holds. */
function byFamily(document: Document, given: Family | undefined): [Family, TableSyntax][] {
  if (given !== undefined)
    return document.entries.flatMap((e) => (e.kind === "table" ? [[given, e] as [Family, TableSyntax]] : []));
  const out: [Family, TableSyntax][] = [];
  let dump: TableSyntax[] = [];
  const names = new Set<string>();
  let said: Family | undefined;
  const flush = (): void => {
    const family = said ?? (dump.some(looksLikeIPv6) ? 6 : 4);
    for (const table of dump) out.push([family, table]);
    dump = [];
    names.clear();
  };
  for (const entry of document.entries) {
    if (entry.kind === "table") {
      // The same table again without a word between: another dump, perhaps of the other family.
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

const V6_NAMES = new Set(["icmp6", "rt", "hl", "eui64", "frag", "hbh", "dst", "mh", "ipv6header", "srh"]);
const ADDRESS_NAMES = new Set(["-s", "-d", "--source", "--destination", "--src", "--dst"]);

/** Whether the rules of a table can only be ip6tables'; the first address settles it. */
function looksLikeIPv6(table: TableSyntax): boolean {
  for (const entry of table.entries) {
    if (entry.kind !== "rule") continue;
    for (const o of entry.shape.options) {
      const value = o.count === 0 ? "" : entry.value(o.at);
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
    else this.report("warning", `chain ${entry.name} is declared twice`, entry.line, entry.name);
  }

  private isBuiltIn(chain: string): boolean {
    return (BUILT_IN[this.name] as readonly string[]).includes(chain);
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
