/**
 * How a rule is read: which extension owns each of its options, worked out once for all rules of a shape, and the
 * values, checked when the rule is loaded and spelled out when somebody asks.
 */
import {
  type Counters,
  Rule as RuleSyntax,
  type Shape,
  type ShapeOption,
  VALUE_SPANS,
} from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import type { Traits } from "../rules/reading.ts";
import type { Chain, TableName } from "../rules/ruleset.ts";
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
import { HEADER, implicitMatch, LONGEST_TARGET, matchByName, targetByName } from "./extensions.ts";
import { traitsOfRule } from "./reading.ts";
import type { Match, Target, Unknown } from "./rule.ts";
import { protocolName, protocolNumber } from "./system-names.ts";
import { TypedRule } from "./typed-rule.ts";

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

/** How to tell in its place, without cutting it out, that a value or several that stand together are fine. */
interface Test {
  /** Where the place of the first value starts and of the last one ends, counted from the rule's places. */
  readonly start: number;
  readonly end: number;
  readonly sure: Sure | null;
  /** What stood there in rules that were fine, the last one first. */
  readonly seen: string[];
}

type Sure = NonNullable<OptionSpec<unknown>["codec"]["sure"]>;

/** An extension as a shape uses it. */
interface Part {
  readonly extension: Extension<Options>;
  /** The `-m` or `-j` that names it; `null` where nothing does. */
  readonly named: ShapeOption | null;
  readonly slots: readonly Slot[];
  /** Values by the words they hang on; what was refused is not here. */
  known: Map<string, GivenValues> | null;
  /** Words that were not in `known`. */
  misses: number;
}

type GivenValues = Readonly<Record<string, Given<unknown>>>;
type PartDraft = Part & { readonly slots: Slot[] };

/** An option that nobody owns, and what to say of it. */
interface Problem {
  readonly message: string;
  readonly option: ShapeOption;
  readonly found: string;
}

/** What is worked out once for all rules of a shape that agree on the protocol and on what their target is. */
interface Plan {
  readonly matches: readonly Part[];
  /** What to ask of a rule's values once another rule of this plan was read and all was fine; `null` until then. */
  tests: readonly Test[] | null;
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
  /** Traits that do not depend on values; `undefined` until the first rule needs them. */
  traits?: Traits;
}

/** The plans of one shape, by the word of `-p` and the extension behind `-j`. */
interface Plans {
  readonly proto: ShapeOption | null;
  /** `-j`; `null` also for `-g`, behind which only chains stand. */
  readonly jump: ShapeOption | null;
  /** Options of several values: before iptables 1.4.3 the first of them might be `!`. */
  readonly several: readonly ShapeOption[];
  readonly plans: Map<string, Map<TargetExtension | undefined, Plan>>;
  /** The plan that was asked for last, and what for. */
  last: Latest | null;
}

/** A plan, and what it was found by. */
interface Latest {
  readonly proto: string;
  /** What stands behind `-j`. */
  readonly word: string;
  readonly chain: boolean;
  readonly old: readonly boolean[];
  readonly plan: Plan;
}

/** Says what is wrong with a rule; `found` is what stood there, at or behind the option. */
export type RuleReport = (rule: RuleSyntax, message: string, found: string, option?: ShapeOption) => void;

const NONE: readonly never[] = [];
const NO_TARGET: Target = { kind: "none" };
/** Options of one rule that are looked at: iptables-restore takes no more than 255 words a line. */
const MOST_OPTIONS = 255;
const TOO_MANY = `options beyond ${MOST_OPTIONS}`;
/** Rules that one line may make. */
const MOST_LISTED = 10_000;
/** Values that are remembered by their word, a part and a plan: enough for ports, states and comments that repeat. */
const MOST_KNOWN = 4096;

/** Texts that a test remembers, and how long they may be. */
const MOST_SEEN = 8;
const LONGEST_SEEN = 64;

/** A chain as its rules know it while they are read. */
export interface Home extends Chain {
  readonly rules: readonly LoadedRule[];
  /** It was deleted. */
  readonly gone: boolean;
  /** Puts a rule that was expected behind the others. */
  append(rule: LoadedRule): void;
}

/**
 * A rule that was read. Its values are checked when it is loaded, and spelled out as typed matches only when somebody
 * asks: most rules of a large file are never looked at twice.
 */
export class LoadedRule extends TypedRule {
  index = 0;
  /** The chain behind `-j` or `-g`, once it was looked for. */
  next: Home | null = null;
  private asked: readonly Match[] | null = null;
  private done: Target | null = null;

  constructor(
    readonly home: Home,
    readonly syntax: RuleSyntax,
    readonly plan: Plan,
    /** Parts of which something cannot be read; they are kept as unknown. */
    private readonly broken: ReadonlySet<Part> | null,
  ) {
    super();
  }

  get table(): TableName {
    return this.home.table;
  }
  get chain(): string {
    return this.home.name;
  }
  get line(): number {
    return this.syntax.line;
  }
  get counters(): Counters | null {
    return this.syntax.counters;
  }

  /** Something behind `-j` or `-g` should be a chain. */
  get jumps(): boolean {
    return this.plan.jump !== null && this.plan.target === null;
  }

  /** The name behind `-j` is neither a chain nor an extension. */
  get lost(): boolean {
    return this.next === null && this.jumps;
  }

  get matches(): readonly Match[] {
    this.asked ??= this.plan.matches
      .filter((part) => this.broken?.has(part) !== true)
      .map((part) => ({ extension: part.extension as Match["extension"], values: this.values(part) }));
    return this.asked;
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

  /** The name behind `-j` or `-g`; there must be one. */
  get to(): string {
    return this.syntax.value(this.plan.jump!.at);
  }

  get target(): Target {
    this.done ??= this.read();
    return this.done;
  }

  override get traits(): Traits {
    const { plan } = this;
    if (
      this.broken === null &&
      (plan.target?.extension as TargetExtension | undefined)?.traitsOf === undefined
    )
      return (plan.traits ??= traitsOfRule(this));
    return traitsOfRule(this);
  }

  private read(): Target {
    const { plan, syntax } = this;
    if (plan.jump === null) return NO_TARGET;
    const name = this.to;
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

/** The words that a part's values hang on; `null` where there are none, or many. */
function wordsOf({ slots }: Part, syntax: RuleSyntax): readonly string[] | null {
  if (slots.length === 0 || slots.length > 3 || slots.some((slot) => slot.count > 1)) return null;
  return slots.map(({ at, count }) => (count === 0 ? "" : syntax.value(at)));
}

/** Reads the values of one extension, or says what is wrong with them. */
function readPart(part: Part, syntax: RuleSyntax, spelling: Spelling): GivenValues | Fault {
  // Words that never come again need not be looked for.
  const words = part.misses <= MOST_KNOWN ? wordsOf(part, syntax) : null;
  const only = words?.join("\n") ?? "";
  const known = words === null ? undefined : part.known?.get(only);
  const values = known ?? readSlots(part, syntax, spelling);
  if (values instanceof Fault) return values;
  if (words !== null && known === undefined && part.misses++ < MOST_KNOWN)
    (part.known ??= new Map()).set(only, values);
  return values;
}

function readSlots(part: Part, syntax: RuleSyntax, spelling: Spelling): GivenValues | Fault {
  const { extension } = part;
  const name = extension.name === "" ? "the rule" : extension.name;
  const whole = (message: string): Fault => {
    const at = part.named ?? part.slots[0]?.option;
    return new Fault(message, part.named === null ? (at?.name ?? "") : syntax.value(part.named.at), at);
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
    const given = wordsFrom(syntax, at, count);
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

/** The tests of a plan, one for each value that can be told by itself, and one for each part that cannot. */
function testsOf({ matches, target }: Plan): Test[] {
  return [...matches, ...(target === null ? [] : [target])].flatMap((part) => {
    const slots = part.slots.filter((slot) => !slot.fixed && slot.count > 0);
    const { normalize, gather, steady } = part.extension;
    if (gather === undefined && (normalize === undefined || steady === true))
      return slots.map(({ spec: { codec }, at, count }) =>
        testOf(at, count, codec.words === 1 ? (codec.sure ?? null) : null),
      );
    const [first] = slots;
    const last = slots.at(-1);
    return first === undefined ? [] : [testOf(first.at, last!.at + last!.count - first.at, null)];
  });
}

const testOf = (at: number, count: number, sure: Sure | null): Test => ({
  start: VALUE_SPANS + 2 * at,
  end: VALUE_SPANS + 2 * (at + count) - 1,
  sure,
  seen: [],
});

/**
 * The plan of the rule of this shape that was read last, if this rule surely has the same and nothing is wrong with
 * its values; told in their places, without cutting them out.
 *
 * One function on purpose, as in the scanner: this is asked of every rule of a large file.
 */
function fitting({ spans: words, at }: RuleSyntax, { proto, jump, several, last }: Plans): Plan | null {
  if (words === null || last === null || last.plan.tests === null) return null;
  const { text, offsets: places } = words;
  const { plan } = last;
  if (proto !== null) {
    const place = at + VALUE_SPANS + 2 * proto.at;
    const start = places[place]!;
    if (places[place + 1]! - start !== last.proto.length || !text.startsWith(last.proto, start)) return null;
  }
  if (jump !== null) {
    const place = at + VALUE_SPANS + 2 * jump.at;
    const start = places[place]!;
    const length = places[place + 1]! - start;
    if (!last.chain || length <= LONGEST_TARGET)
      if (length !== last.word.length || !text.startsWith(last.word, start)) return null;
  }
  for (let i = 0; i < several.length; i++) {
    const place = at + VALUE_SPANS + 2 * several[i]!.at;
    const start = places[place]!;
    if ((places[place + 1] === start + 1 && text.startsWith("!", start)) !== last.old[i]) return null;
  }
  const { tests, spelling } = plan;
  next: for (let i = 0; i < tests!.length; i++) {
    const { sure, seen, start: first, end: behind } = tests![i]!;
    const start = places[at + first]!;
    const end = places[at + behind]!;
    if (sure?.(text, start, end, spelling)) continue;
    for (let j = 0; j < seen.length; j++) {
      const known = seen[j]!;
      if (known.length === end - start && text.startsWith(known, start)) continue next;
    }
    return null;
  }
  return plan;
}

/** Remembers what stands in a rule that was read and is fine. */
function remember({ spans: words, at }: RuleSyntax, tests: readonly Test[]): void {
  if (words === null) return;
  for (const { start, end, seen } of tests) {
    const text = words.text.slice(words.offsets[at + start], words.offsets[at + end]);
    // With escapes the same text may read differently, quoted and not.
    if (text.length > LONGEST_SEEN || text.includes("\\") || seen.includes(text)) continue;
    if (seen.unshift(text) > MOST_SEEN) seen.pop();
  }
}

/** Loads the rules of one table. */
export class Loader {
  private readonly shapes = new Map<Shape, Plans>();

  constructor(
    private readonly family: Family,
    private readonly table: TableName,
    private readonly report: RuleReport,
  ) {}

  /** The rule that a line makes, or the rules where `-s` or `-d` lists addresses. */
  load(syntax: RuleSyntax, home: Home): LoadedRule | readonly LoadedRule[] {
    const plans = this.shapes.get(syntax.shape);
    const plan = plans === undefined ? null : fitting(syntax, plans);
    return plan === null ? this.loadSlowly(syntax, home) : new LoadedRule(home, syntax, plan, null);
  }

  private loadSlowly(syntax: RuleSyntax, home: Home): LoadedRule | readonly LoadedRule[] {
    const plan = this.plan(syntax);
    for (const { at } of plan.lists)
      if (syntax.value(at).includes(",")) return this.several(syntax, plan, home);
    return this.rule(syntax, plan, home);
  }

  private several(syntax: RuleSyntax, plan: Plan, home: Home): readonly LoadedRule[] {
    let values: readonly (readonly string[])[] = [syntax.values];
    for (const { at, not, option } of plan.lists) {
      const list = syntax.value(at).split(",");
      if (list.length === 1) continue;
      if (not) {
        this.report(syntax, `${option.name} cannot be negated with ! where it lists addresses`, "!", option);
        return [this.rule(syntax, plan, home, plan.matches[0]!)];
      }
      if (list.length * values.length > MOST_LISTED) {
        this.report(syntax, `${option.name} lists too many addresses for one rule`, option.name, option);
        return [this.rule(syntax, plan, home, plan.matches[0]!)];
      }
      values = values.flatMap((row) => list.map((each) => row.with(at, each)));
    }
    const { line, command, chain, shape, counters, position } = syntax;
    return values.map((row) =>
      this.rule(new RuleSyntax(line, command, chain, shape, row, counters, position), plan, home),
    );
  }

  /** @param bad a part that is known to be unreadable, and was reported */
  private rule(syntax: RuleSyntax, plan: Plan, home: Home, bad?: Part): LoadedRule {
    // One line, one diagnostic: what follows from the first fault is no news.
    const [problem] = plan.problems;
    if (problem !== undefined) this.report(syntax, problem.message, problem.found, problem.option);
    let broken = bad === undefined ? null : new Set([bad]);
    for (const part of plan.matches) if (part !== bad) broken = this.check(part, syntax, plan, broken);
    const { target, problems } = plan;
    if (target !== null) broken = this.check(target, syntax, plan, broken);
    if (broken === null && problems.length === 0) {
      const { name, tables } = (target?.extension ?? {}) as Partial<TargetExtension>;
      if (tables?.includes(this.table) === false)
        this.report(
          syntax,
          `${name} can stand only in table ${tables.join(" or ")}`,
          name!,
          plan.jump!.option,
        );
      else remember(syntax, (plan.tests ??= testsOf(plan)));
    }
    return new LoadedRule(home, syntax, plan, broken);
  }

  /** Adds a part to those that cannot be read, if it is one. */
  private check(part: Part, syntax: RuleSyntax, plan: Plan, broken: Set<Part> | null): Set<Part> | null {
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
        proto: options.find((o) => PROTO_NAMES.has(o.name) && o.count > 0) ?? null,
        jump: jump !== null && kindOf(jump) === "jump" ? jump : null,
        several: options.filter((o) => o.count > 1),
        plans: new Map(),
        last: null,
      };
      this.shapes.set(syntax.shape, shape);
    }
    // The protocol decides which match is loaded without -m; its text serves as well as its number.
    const proto = shape.proto === null ? "" : syntax.value(shape.proto.at);
    const word = shape.jump === null ? "" : syntax.value(shape.jump.at);
    const target = targetByName(word, this.family);
    const old = shape.several.map((o) => syntax.value(o.at) === "!");
    const key = [proto, ...old].join("\n");
    let plans = shape.plans.get(key);
    if (plans === undefined) shape.plans.set(key, (plans = new Map()));
    let plan = plans.get(target);
    if (plan === undefined) plans.set(target, (plan = this.work(syntax)));
    // With escapes the same text may read differently, quoted and not.
    shape.last = proto.includes("\\") ? null : { proto, word, chain: target === undefined, old, plan };
    return plan;
  }

  /** Assigns the options of a rule to their owners, as iptables' own loop over getopt_long(3) does. */
  private work(syntax: RuleSyntax): Plan {
    const draft = (extension: MatchExtension | TargetExtension, named: ShapeOption | null): PartDraft => ({
      extension: extension as unknown as Extension<Options>,
      named,
      slots: [],
      known: null,
      misses: 0,
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
    const proto = (negated = false): number | undefined => {
      const slot = first.slots.find((s) => s.key === "proto") ?? null;
      const late = syntax.shape.options.find((o) => PROTO_NAMES.has(o.name));
      const option = slot ?? late;
      if (
        option === undefined ||
        (slot !== null ? slot.not : late!.negated) !== negated ||
        option.count !== 1
      )
        return undefined;
      return protocolNumber(syntax.value(option.at));
    };
    for (const [i, option] of syntax.shape.options.entries()) {
      if (i >= MOST_OPTIONS && !JUMP_NAMES.has(option.name)) {
        if (unknown.at(-1)?.what !== TOO_MANY) {
          unknown.push({ what: TOO_MANY, options: [] });
          const message = `a rule has at most ${MOST_OPTIONS} options; this one is kept, what the rest asks is not known`;
          problems.push({ message, option, found: option.name });
        }
        unknown.at(-1)!.options.push(option);
        continue;
      }
      if (option.name === "-m" || option.name === "--match") {
        const name = syntax.value(option.at);
        const extension = matchByName(name, this.family);
        stranger = null;
        if (extension !== undefined) {
          const part = draft(extension, option);
          matches.push(part);
          parts.push(part);
        } else {
          unknown.push((stranger = { what: `match ${name}`, options: [option] }));
          const message = `unknown match ${JSON.stringify(name)}; the rule is kept, what it asks is not known`;
          problems.push({ message, option, found: name });
        }
        continue;
      }
      if (JUMP_NAMES.has(option.name)) {
        stranger = null;
        jump = { at: option.at, kind: kindOf(option), option };
        const extension =
          jump.kind === "jump" ? targetByName(syntax.value(option.at), this.family) : undefined;
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
        const old = option.count > 1 && syntax.value(option.at) === "!";
        const spec = found.part.extension.options[found.key]!;
        const count = option.count - (old ? 1 : 0);
        found.part.slots.push({
          key: found.key,
          spec,
          option,
          at: old ? option.at + 1 : option.at,
          count,
          not: option.negated || old,
          fixed: spec.codec.words === 0 || (found.part === first && found.key === "proto"),
        });
      } else if (stranger !== null) stranger.options.push(option);
      else if (jump !== null && target === null) stray.push(option);
      else {
        unknown.push({ what: `option ${option.name}`, options: [option] });
        const message = `unknown option ${option.name}; the rule is kept, what it asks is not known`;
        problems.push({ message, option, found: option.name });
      }
    }
    return {
      matches,
      tests: null,
      target,
      jump,
      lists: first.slots.filter((s) => (s.key === "src" || s.key === "dst") && s.count === 1),
      unknown,
      problems,
      stray,
      spelling: { family: this.family, proto: proto(), unlike: proto(true) },
    };
  }
}

/** Spellings of `-p`. */
export const PROTO_NAMES: ReadonlySet<string> = new Set(["-p", "--protocol", "--proto"]);
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
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i === 0 ? 0 : parts.length - i]!;
    const key = optionNames(part.extension).get(name);
    if (key !== undefined) return { part, key };
  }
  if (!name.startsWith("--") || name.length < 3 || OTHERS.some((other) => other.startsWith(name)))
    return undefined;
  let found: { part: PartDraft; key: string } | undefined;
  for (const part of parts)
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
  ...wordsFrom(rule, o.at, o.count),
];

/** Some values of a rule that stand together. */
const wordsFrom = (rule: RuleSyntax, at: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => rule.value(at + i));

const spellSlots = (part: Part, syntax: RuleSyntax): string[] =>
  part.slots.flatMap((slot) => spell(slot.option, syntax));

function unreadable(part: Part, syntax: RuleSyntax): Unknown {
  const { name } = part.extension;
  const words = spellSlots(part, syntax);
  return name === ""
    ? { what: "unreadable option", words }
    : { what: `unreadable match ${name}`, words: ["-m", name, ...words] };
}
