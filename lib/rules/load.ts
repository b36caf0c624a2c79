/**
 * From a document to the chain graph: assigns each option to the match or target that owns it, reads its value, and
 * says with line and column what cannot be read. Nothing is dropped in silence: what is unknown stays in the rule as
 * an unknown, and everything else is still loaded.
 */
import {
  type ChainLine,
  type CommandLine,
  type Comment,
  type Counters,
  type Diagnostic,
  type Document,
  parse,
  Rule as RuleSyntax,
  type Shape,
  type ShapeOption,
  type Table as TableSyntax,
} from "../../grammar/index.ts";
import type { Family } from "../packet/field.ts";
import {
  type Extension,
  type Given,
  type GivenOption,
  type MatchExtension,
  type OptionSpec,
  type Options,
  type Spelling,
  type TargetExtension,
  Unreadable,
} from "./extension.ts";
import { HEADER, implicitMatch, matchByName, targetByName } from "./extensions.ts";
import { protocolName, protocolNumber } from "./names.ts";
import {
  BUILT_IN,
  type Chain,
  isTableName,
  type Match,
  type Rule,
  type Ruleset,
  type Table,
  type TableName,
  type Target,
  type Unknown,
} from "./ruleset.ts";

/** A diagnostic with the name of the file it is about. */
export interface SourceDiagnostic extends Diagnostic {
  readonly source: string;
}

/** What was read from one or more texts: at most one ruleset a family. */
export interface Loaded {
  readonly rulesets: readonly Ruleset[];
  readonly diagnostics: readonly SourceDiagnostic[];
}

/** One option of a shape, and where its value lies. */
interface Slot {
  readonly key: string;
  readonly spec: OptionSpec<unknown>;
  readonly option: ShapeOption;
  /** Index of the value the option really has: one further when an old-style `!` stands in value place. */
  readonly at: number;
  readonly count: number;
  readonly not: boolean;
  /** The value is the same for all rules of a plan: a flag, or the word of `-p`. */
  readonly fixed: boolean;
}

/** An extension as a shape uses it. */
interface Part {
  readonly extension: Extension<Options>;
  /** The `-m` or `-j` that names it; `null` where nothing does. */
  readonly named: ShapeOption | null;
  readonly slots: readonly Slot[];
  /** Values by the words they hang on; what was refused is not here. */
  readonly known: Map<string, GivenValues>;
  /** Words that were not in `known`. */
  misses: number;
  /** A rule of this plan was read whole, so that only the values of another can be at fault. */
  proven: boolean;
}

type GivenValues = Readonly<Record<string, Given<unknown>>>;
type PartDraft = Part & { readonly slots: Slot[] };

/** An option that nobody owns, and what to say of it. */
interface Problem {
  readonly message: string;
  readonly option: ShapeOption;
}

/** What is worked out once for all rules of a shape that agree on the protocol and on what their target is. */
interface Plan {
  readonly matches: readonly Part[];
  readonly target: Part | null;
  /** Where the name behind `-j` or `-g` stands. */
  readonly jump: { readonly at: number; readonly kind: "jump" | "goto"; readonly option: ShapeOption } | null;
  /** `-s` and `-d`, whose lists of addresses make several rules. */
  readonly lists: readonly Slot[];
  readonly unknown: readonly { readonly what: string; readonly options: readonly ShapeOption[] }[];
  readonly problems: readonly Problem[];
  /** Options behind a target that is no extension: none of them fits a user chain. */
  readonly stray: readonly ShapeOption[];
  /** The family, and the protocol behind `-p`. */
  readonly spelling: Spelling;
}

/** The plans of one shape, by the word of `-p` and the extension behind `-j`. */
interface Plans {
  readonly proto: ShapeOption | null;
  /** `-j`; `null` also for `-g`, behind which only chains stand. */
  readonly jump: ShapeOption | null;
  readonly plans: Map<string, Map<TargetExtension | undefined, Plan>>;
  /** The plan that was asked for last, and what for. */
  last: { readonly proto: string; readonly target: TargetExtension | undefined; readonly plan: Plan } | null;
}

type Report = (severity: "error" | "warning", message: string, line: number, found?: string) => void;
type RuleReport = (rule: RuleSyntax, message: string, found: string, option?: ShapeOption) => void;

const NONE: readonly never[] = [];
const NO_TARGET: Target = { kind: "none" };
/** Values that are remembered by their word, a part and a plan: enough for ports, states and comments that repeat. */
const MOST_KNOWN = 4096;

/**
 * A rule that was read. Its values are checked when it is loaded, and spelled out as typed matches only when somebody
 * asks: most rules of a large file are never looked at twice.
 */
class LoadedRule implements Rule {
  index = 0;
  /** The chain behind `-j` or `-g`. */
  next: Loading | null = null;
  /** The name behind `-j` is neither a chain nor an extension. */
  lost = false;
  #matches: readonly Match[] | undefined;
  #target: Target | undefined;

  constructor(
    readonly table: TableName,
    readonly syntax: RuleSyntax,
    readonly plan: Plan,
    /** Parts of which something cannot be read; they are kept as unknown. */
    private readonly broken: ReadonlySet<Part> | null,
  ) {}

  get chain(): string {
    return this.syntax.chain;
  }
  get line(): number {
    return this.syntax.line;
  }
  get counters(): Counters | null {
    return this.syntax.counters;
  }

  get matches(): readonly Match[] {
    this.#matches ??= this.plan.matches
      .filter((part) => this.broken?.has(part) !== true)
      .map((part) => ({ extension: part.extension as Match["extension"], values: this.values(part) }));
    return this.#matches;
  }

  get unknown(): readonly Unknown[] {
    const { plan, broken, syntax, lost } = this;
    if (plan.unknown.length === 0 && broken === null && (plan.stray.length === 0 || lost)) return NONE;
    const stray = lost ? NONE : plan.stray;
    return [
      ...plan.unknown.map(({ what, options }) => ({ what, words: options.flatMap((o) => spell(o, syntax)) })),
      ...plan.matches.filter((part) => broken?.has(part)).map((part) => unreadable(part, syntax)),
      ...stray.map((o) => ({ what: `option ${o.name}`, words: spell(o, syntax) })),
    ];
  }

  /** Something of it was reported. */
  get faulty(): boolean {
    return this.broken !== null || this.plan.problems.length > 0;
  }

  /** The chain behind `-j` or `-g`, where it is no extension. */
  get to(): string | undefined {
    return this.plan.jump === null || this.plan.target !== null
      ? undefined
      : this.syntax.values[this.plan.jump.at]!;
  }

  get target(): Target {
    this.#target ??= this.read();
    return this.#target;
  }

  private read(): Target {
    const { plan, syntax } = this;
    if (plan.jump === null) return NO_TARGET;
    const name = syntax.values[plan.jump.at]!;
    if (this.lost) return { kind: "unknown", name, words: plan.stray.flatMap((o) => spell(o, syntax)) };
    if (plan.target === null) return { kind: plan.jump.kind, chain: name };
    if (this.broken?.has(plan.target))
      return { kind: "unknown", name, words: spellSlots(plan.target, syntax) };
    return {
      kind: "extension",
      extension: plan.target.extension as TargetExtension,
      values: this.values(plan.target),
    };
  }

  private values(part: Part): GivenValues {
    const values = readPart(part, this.syntax, this.plan.spelling);
    if (values instanceof Fault) throw new Error("a value was readable when the rule was loaded");
    return values;
  }
}

/** What is wrong with the values of a part. */
class Fault {
  constructor(
    readonly message: string,
    readonly found: string,
    readonly option?: ShapeOption,
  ) {}
}

/** The words that a part's values hang on, in one; `undefined` where there are none, or many. */
function wordsOf({ slots }: Part, { values }: RuleSyntax): string | undefined {
  if (slots.length === 0 || slots.length > 3) return undefined;
  let text = "";
  for (const { at, count } of slots) {
    if (count > 1) return undefined;
    if (count === 1) text = text === "" ? values[at]! : `${text}\n${values[at]!}`;
  }
  return text;
}

/** Reads the values of one extension, or says what is wrong with them. */
function readPart(part: Part, syntax: RuleSyntax, spelling: Spelling): GivenValues | Fault {
  // Words that never come again need not be looked for.
  const only = part.misses <= MOST_KNOWN ? wordsOf(part, syntax) : undefined;
  if (only !== undefined) {
    const known = part.known.get(only);
    if (known !== undefined) return known;
  }
  const values = readSlots(part, syntax, spelling);
  if (values instanceof Fault) return values;
  part.proven = true;
  if (only !== undefined && part.misses++ < MOST_KNOWN) part.known.set(only, values);
  return values;
}

function readSlots(part: Part, syntax: RuleSyntax, spelling: Spelling): GivenValues | Fault {
  const { extension } = part;
  const name = extension.name === "" ? "the rule" : extension.name;
  const whole = (message: string): Fault => {
    const at = part.named ?? part.slots[0]?.option;
    return new Fault(message, part.named === null ? (at?.name ?? "") : syntax.values[part.named.at]!, at);
  };
  if (
    extension.needs !== undefined &&
    (spelling.proto === undefined || !extension.needs.includes(spelling.proto))
  )
    return whole(`${name} needs -p ${extension.needs.map(protocolName).join(" or -p ")}`);
  const values: Record<string, Given<unknown>> = {};
  const all: GivenOption[] = [];
  for (const { key, spec, option, at, count, not } of part.slots) {
    const { codec } = spec;
    const given = syntax.values.slice(at, at + count);
    if (count !== codec.words && !(count === 0 && codec.optional === true)) {
      const takes = codec.words === 0 ? "takes no value" : `needs ${codec.expects}`;
      return new Fault(`${option.name} ${takes}`, given[codec.words] ?? "", option);
    }
    if (not && !spec.negatable) return new Fault(`${option.name} cannot be negated with !`, "!", option);
    const value = codec.read(given, spelling);
    if (value instanceof Unreadable)
      return new Fault(`${option.name} needs ${value.expected}`, given[value.word] ?? "", option);
    if (extension.gather !== undefined) {
      all.push({ key, not, value });
      continue;
    }
    const before = values[key];
    // A flag that is repeated says nothing new.
    if (before !== undefined && (codec.words > 0 || before.not !== not))
      return new Fault(`${option.name} is given twice`, option.name, option);
    values[key] = { not, value };
  }
  let read: GivenValues | Unreadable = values;
  if (extension.gather !== undefined) read = extension.gather(all, spelling) as GivenValues | Unreadable;
  else if (extension.normalize !== undefined)
    read = extension.normalize(values as never, spelling) as GivenValues | Unreadable;
  return read instanceof Unreadable ? whole(`${name} needs ${read.expected}`) : read;
}

/** Whether the values of a part can be read, told without reading them. */
function sure(part: Part, values: readonly string[], spelling: Spelling): boolean {
  if (!part.proven || (part.extension.normalize !== undefined && part.extension.steady !== true))
    return false;
  for (const { spec, at, fixed } of part.slots)
    if (!fixed && (spec.codec.words !== 1 || spec.codec.sure?.(values[at]!, spelling) !== true)) return false;
  return true;
}

class Loader {
  private readonly shapes = new Map<Shape, Plans>();

  constructor(
    private readonly family: Family,
    private readonly report: RuleReport,
  ) {}

  /** The rule that a line makes, or the rules where `-s` or `-d` lists addresses. */
  load(syntax: RuleSyntax, table: TableName): LoadedRule | readonly LoadedRule[] {
    const plan = this.plan(syntax);
    for (const { at } of plan.lists)
      if (syntax.values[at]!.includes(",")) return this.several(syntax, plan, table);
    return this.rule(syntax, plan, table);
  }

  private several(syntax: RuleSyntax, plan: Plan, table: TableName): readonly LoadedRule[] {
    let values: readonly (readonly string[])[] = [syntax.values];
    for (const { at, not, option } of plan.lists) {
      const list = syntax.values[at]!.split(",");
      if (list.length === 1) continue;
      if (not) {
        this.report(syntax, `${option.name} cannot be negated with ! where it lists addresses`, "!", option);
        return [this.rule(syntax, plan, table, plan.matches[0]!)];
      }
      values = values.flatMap((row) => list.map((each) => row.with(at, each)));
    }
    const { line, command, chain, shape, counters, position } = syntax;
    return values.map((row) =>
      this.rule(new RuleSyntax(line, command, chain, shape, row, counters, position), plan, table),
    );
  }

  /** @param bad a part that is known to be unreadable, and was reported */
  private rule(syntax: RuleSyntax, plan: Plan, table: TableName, bad?: Part): LoadedRule {
    // One line, one diagnostic: what follows from the first fault is no news.
    const [problem] = plan.problems;
    if (problem !== undefined) this.report(syntax, problem.message, problem.option.name, problem.option);
    let broken = bad === undefined ? null : new Set([bad]);
    for (const part of plan.matches) if (part !== bad) broken = this.check(part, syntax, plan, broken);
    if (plan.target !== null) {
      broken = this.check(plan.target, syntax, plan, broken);
      const { name, tables } = plan.target.extension as TargetExtension;
      if (tables !== undefined && broken === null && plan.problems.length === 0 && !tables.includes(table))
        this.report(
          syntax,
          `${name} can stand only in table ${tables.join(" or ")}`,
          name,
          plan.jump!.option,
        );
    }
    return new LoadedRule(table, syntax, plan, broken);
  }

  /** Adds a part to those that cannot be read, if it is one. */
  private check(part: Part, syntax: RuleSyntax, plan: Plan, broken: Set<Part> | null): Set<Part> | null {
    if (sure(part, syntax.values, plan.spelling)) return broken;
    const values = readPart(part, syntax, plan.spelling);
    if (!(values instanceof Fault)) return broken;
    if (broken === null && plan.problems.length === 0)
      this.report(syntax, values.message, values.found, values.option);
    return (broken ?? new Set()).add(part);
  }

  private plan(syntax: RuleSyntax): Plan {
    let shape = this.shapes.get(syntax.shape);
    if (shape === undefined) {
      const { options } = syntax.shape;
      const jump = options.findLast((o) => JUMP_NAMES.has(o.name)) ?? null;
      shape = {
        proto: options.find((o) => PROTO_NAMES.has(o.name)) ?? null,
        jump: jump !== null && kindOf(jump) === "jump" ? jump : null,
        plans: new Map(),
        last: null,
      };
      this.shapes.set(syntax.shape, shape);
    }
    // The protocol decides which match is loaded without -m; its text serves as well as its number.
    const proto = shape.proto === null ? "" : syntax.values[shape.proto.at]!;
    const target = shape.jump === null ? undefined : targetByName(syntax.values[shape.jump.at]!, this.family);
    if (shape.last !== null && shape.last.proto === proto && shape.last.target === target)
      return shape.last.plan;
    let plans = shape.plans.get(proto);
    if (plans === undefined) shape.plans.set(proto, (plans = new Map()));
    let plan = plans.get(target);
    if (plan === undefined) plans.set(target, (plan = this.work(syntax)));
    shape.last = { proto, target, plan };
    return plan;
  }

  /** Assigns the options of a rule to their owners, as iptables' own loop over getopt_long(3) does. */
  private work(syntax: RuleSyntax): Plan {
    const draft = (extension: MatchExtension | TargetExtension, named: ShapeOption | null): PartDraft => ({
      extension: extension as unknown as Extension<Options>,
      named,
      slots: [],
      known: new Map(),
      misses: 0,
      proven: false,
    });
    const first = draft(HEADER, null);
    const matches: PartDraft[] = [first];
    /** All parts in the order in which their options came to be known. */
    const parts: PartDraft[] = [first];
    const unknown: { what: string; options: ShapeOption[] }[] = [];
    const problems: Problem[] = [];
    const stray: ShapeOption[] = [];
    let target: PartDraft | null = null;
    let jump: Plan["jump"] = null;
    /** The unknown match whose options are kept with it. */
    let stranger: { what: string; options: ShapeOption[] } | null = null;
    const proto = (): number | undefined => {
      const slot = first.slots.find((s) => s.key === "proto") ?? null;
      const late = syntax.shape.options.find((o) => PROTO_NAMES.has(o.name));
      const option = slot ?? late;
      if (option === undefined || (slot !== null ? slot.not : late!.negated) || option.count !== 1)
        return undefined;
      return protocolNumber(syntax.values[option.at]!);
    };
    for (const option of syntax.shape.options) {
      if (option.name === "-m" || option.name === "--match") {
        const name = syntax.values[option.at] ?? "";
        const extension = matchByName(name, this.family);
        stranger = null;
        if (extension !== undefined) {
          const part = draft(extension, option);
          matches.push(part);
          parts.push(part);
        } else {
          unknown.push((stranger = { what: `match ${name}`, options: [option] }));
          const message = `unknown match ${JSON.stringify(name)}; the rule is kept, what it asks is not known`;
          problems.push({ message, option });
        }
        continue;
      }
      if (JUMP_NAMES.has(option.name)) {
        stranger = null;
        jump = { at: option.at, kind: kindOf(option), option };
        const extension =
          jump.kind === "jump" ? targetByName(syntax.values[option.at] ?? "", this.family) : undefined;
        target = extension === undefined ? null : draft(extension, option);
        if (target !== null) parts.push(target);
        continue;
      }
      let found = owner(option.name, parts);
      if (found === undefined) {
        const protocol = proto();
        const implicit = protocol === undefined ? undefined : implicitMatch(protocol, this.family);
        if (implicit !== undefined && !matches.some((p) => p.extension.name === implicit.name)) {
          const part = draft(implicit, null);
          found = owner(option.name, [part]);
          if (found !== undefined) {
            matches.push(part);
            parts.push(part);
          }
        }
      }
      if (found !== undefined) {
        // Before iptables 1.4.3 the `!` stood behind the option.
        const old = option.count > 1 && syntax.values[option.at] === "!";
        const spec = found.part.extension.options[found.key]!;
        found.part.slots.push({
          key: found.key,
          spec,
          option,
          at: old ? option.at + 1 : option.at,
          count: option.count - (old ? 1 : 0),
          not: option.negated || old,
          fixed: spec.codec.words === 0 || (found.part === first && found.key === "proto"),
        });
      } else if (stranger !== null) stranger.options.push(option);
      else if (jump !== null && target === null) stray.push(option);
      else {
        unknown.push({ what: `option ${option.name}`, options: [option] });
        const message = `unknown option ${option.name}; the rule is kept, what it asks is not known`;
        problems.push({ message, option });
      }
    }
    return {
      matches,
      target,
      jump,
      lists: first.slots.filter((s) => (s.key === "src" || s.key === "dst") && s.count === 1),
      unknown,
      problems,
      stray,
      spelling: { family: this.family, proto: proto() },
    };
  }
}

const PROTO_NAMES: ReadonlySet<string> = new Set(["-p", "--protocol", "--proto"]);
const JUMP_NAMES: ReadonlySet<string> = new Set(["-j", "--jump", "-g", "--goto"]);
const kindOf = ({ name }: ShapeOption): "jump" | "goto" =>
  name === "-j" || name === "--jump" ? "jump" : "goto";

/** Long options of iptables(8) besides those of HEADER: an abbreviation of one of them stands for nothing else. */
const OTHERS = [
  ...[
    "--append",
    "--delete",
    "--check",
    "--insert",
    "--replace",
    "--list",
    "--list-rules",
    "--flush",
    "--zero",
  ],
  ...[
    "--new-chain",
    "--delete-chain",
    "--rename-chain",
    "--policy",
    "--jump",
    "--table",
    "--match",
    "--numeric",
  ],
  ...[
    "--verbose",
    "--wait",
    "--wait-interval",
    "--exact",
    "--version",
    "--help",
    "--line-numbers",
    "--modprobe",
  ],
  ...["--set-counters", "--goto", "--ipv4", "--ipv6"],
];

/**
 * Who owns an option: its exact name goes to the header first and then to the extension that was named last; else an
 * unambiguous beginning of a long name will do, as for getopt_long(3).
 */
function owner(name: string, parts: readonly PartDraft[]): { part: PartDraft; key: string } | undefined {
  const latest = [
    ...parts.filter((p) => p.extension.name === ""),
    ...parts.filter((p) => p.extension.name !== "").reverse(),
  ];
  for (const part of latest) {
    const key = optionNames(part.extension).get(name);
    if (key !== undefined) return { part, key };
  }
  if (!name.startsWith("--") || name.length < 3 || OTHERS.some((other) => other.startsWith(name)))
    return undefined;
  let found: { part: PartDraft; key: string } | undefined;
  for (const part of latest)
    for (const [each, key] of optionNames(part.extension)) {
      if (!each.startsWith(name) || (found?.part === part && found.key === key)) continue;
      if (found !== undefined) return undefined;
      found = { part, key };
    }
  return found;
}

/** Option names of each extension; the maps are made once. */
const names = new WeakMap<Extension<Options>, ReadonlyMap<string, string>>();

function optionNames(extension: Extension<Options>): ReadonlyMap<string, string> {
  let map = names.get(extension);
  if (map === undefined) {
    const entries = Object.entries(extension.options);
    map = new Map(
      entries.flatMap(([key, spec]) => [spec.name, ...spec.aliases].map((each) => [each, key] as const)),
    );
    names.set(extension, map);
  }
  return map;
}

const spell = (o: ShapeOption, rule: RuleSyntax): string[] => [
  ...(o.negated ? ["!"] : []),
  o.name,
  ...rule.values.slice(o.at, o.at + o.count),
];

const spellSlots = (part: Part, syntax: RuleSyntax): string[] =>
  part.slots.flatMap((slot) => spell(slot.option, syntax));

function unreadable(part: Part, syntax: RuleSyntax): Unknown {
  const { name } = part.extension;
  const words = spellSlots(part, syntax);
  return name === ""
    ? { what: "unreadable option", words }
    : { what: `unreadable match ${name}`, words: ["-m", name, ...words] };
}

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
        const at = text === "" ? line.length : line.indexOf(text, from);
        diagnostics.push({
          severity: "error",
          message,
          line: rule.line,
          column: (at < 0 ? from : at) + 1,
          found: text.slice(0, 80),
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
type Loading = { -readonly [K in keyof Chain]: K extends "rules" ? LoadedRule[] : Chain[K] };

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
    const made = { table: name, name: chain, policy, counters, rules: [] as LoadedRule[], line };
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
    if (last?.name === chain && chains.has(chain)) return last;
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
    if (entry.command === "-F" || entry.command === "--flush") {
      for (const each of chains.values())
        if (chain === undefined || each.name === chain) each.rules.length = 0;
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
      if (loaded instanceof LoadedRule && entry.position === null) into.rules.push(loaded);
      else
        for (const rule of loaded instanceof LoadedRule ? [loaded] : loaded) {
          if (entry.position === null) into.rules.push(rule);
          else into.rules.splice(Math.min(Math.max(entry.position - 1, 0), into.rules.length), 0, rule);
        }
    }
  }
  for (const chain of chains.values()) {
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
  reportLoops(chains, report);
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
function reportLoops(chains: ReadonlyMap<string, Loading>, report: Report): void {
  const open = new Set<Loading>();
  const done = new Set<Loading>();
  // An explicit stack: chains may be nested deeper than JavaScript's own.
  const stack: { chain: Loading; at: number }[] = [];
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
          "error",
          `a loop of jumps: this rule of chain ${chain.name} leads back to ${to.name}; the kernel refuses such a table`,
          rule.line,
          to.name,
        );
      else {
        open.add(to);
        stack.push({ chain: to, at: 0 });
      }
    }
  }
}
