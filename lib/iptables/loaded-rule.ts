/** A rule of a text, with values that are parsed on demand: most rules of a large file are never looked at twice. */
import type { Counters, Rule as RuleSyntax } from "iptables-parser-ts";
import type { Action, Reading, Traits } from "../rules/reading.ts";
import type { Chain, TableId } from "../rules/ruleset.ts";
import type { TargetExtension } from "./extension.ts";
import { extensionWords, optionWords, readValues, ValueFault } from "./option-values.ts";
import type { Match, Target, UnknownPart } from "./rule.ts";
import type { GivenValues, Plan, PlannedExtension } from "./rule-plan.ts";
import { readingOf, traitsOfRule } from "./rule-reader.ts";
import { NO_CHAINS, TypedRule } from "./typed-rule.ts";

/** Memoized values of a rule. */
interface ParsedValues {
  matches?: readonly Match[];
  target?: Target;
  reading?: Reading;
}

/** Most rules of a table whose values stay memoized, about 1 KB each. */
const MOST_KEPT = 1 << 17;
/** Number of other rules whose values are memoized at the same time. */
const MOST_RECENT_PARSED = 1 << 10;

/**
 * Bounds the memory for memoized values. Those of the first rules of a table that are read stay; beyond the limit only the
 * most recent ones do, so that a pass over a million rules leaves no garbage for the slow part of V8's collector.
 */
export class ParsedRules {
  private kept = 0;
  private readonly recent: LoadedRule[] = [];
  private next = 0;

  add(rule: LoadedRule): void {
    if (this.kept < MOST_KEPT) {
      this.kept++;
      return;
    }
    this.recent[this.next]?.forget();
    this.recent[this.next] = rule;
    this.next = (this.next + 1) % MOST_RECENT_PARSED;
  }
}

/** A chain while its table is loaded. */
export interface LoadingChain extends Chain {
  readonly rules: readonly LoadedRule[];
  /** Deleted by `-X`. */
  readonly deleted: boolean;
  /** The rules of its table with memoized values. */
  readonly parsed: ParsedRules;
  /** Appends a rule that `expect` announced. */
  append(rule: LoadedRule): void;
}

const NONE: readonly never[] = [];
const NO_TARGET: Target = { kind: "none" };

/** A rule of a text. Its values were checked when it was loaded. */
export class LoadedRule extends TypedRule {
  index = 0;
  /** The chain that `-j` or `-g` names, once it was looked up. */
  callee: LoadingChain | null = null;
  private memo: ParsedValues | null = null;

  constructor(
    /** The chain that contains it. */
    readonly parent: LoadingChain,
    readonly syntax: RuleSyntax,
    readonly plan: Plan,
    /** Extensions with an invalid value; they become unknown conditions. */
    private readonly invalid: ReadonlySet<PlannedExtension> | null,
  ) {
    super();
  }

  get table(): TableId {
    return this.parent.table;
  }

  get chain(): string {
    return this.parent.name;
  }

  get line(): number {
    return this.syntax.line;
  }

  get counters(): Counters | null {
    return this.syntax.counters;
  }

  /** `-j` or `-g` names no extension, so it should name a chain. */
  get callsChain(): boolean {
    return this.plan.jump !== null && this.plan.target === null;
  }

  /** `-j` or `-g` names neither an extension nor a chain. */
  get hasUnknownTarget(): boolean {
    return this.callee === null && this.callsChain;
  }

  /** A diagnostic was reported for it. */
  get isFaulty(): boolean {
    return this.invalid !== null || this.plan.problems.length > 0;
  }

  /** Value of `-j` or `-g`, one of which must be given. */
  get jumpName(): string {
    return this.syntax.value(this.plan.jump!.at);
  }

  get matches(): readonly Match[] {
    return (this.parsed.matches ??= this.plan.matches
      .filter((planned) => this.invalid?.has(planned) !== true)
      .map((planned) => ({
        extension: planned.extension as Match["extension"],
        values: this.values(planned),
      })));
  }

  get unknown(): readonly UnknownPart[] {
    const { plan, invalid, syntax, hasUnknownTarget } = this;
    if (plan.unknown.length === 0 && invalid === null && (plan.stray.length === 0 || hasUnknownTarget))
      return NONE;
    const stray = hasUnknownTarget ? NONE : plan.stray;
    return [
      ...plan.unknown.map(({ what, options }) => ({
        what,
        words: options.flatMap((o) => optionWords(o, syntax)),
      })),
      ...plan.matches.filter((each) => invalid?.has(each)).map((each) => unreadable(each, syntax)),
      ...stray.map((o) => ({ what: `option ${o.name}`, words: optionWords(o, syntax) })),
    ];
  }

  get target(): Target {
    return (this.parsed.target ??= this.readTarget());
  }

  override get reading(): Reading {
    return (this.parsed.reading ??= readingOf(this));
  }

  override get action(): Action {
    const { target } = this.plan;
    return target === null || this.invalid?.has(target)
      ? super.action
      : ((target.extension as TargetExtension).action ?? "other");
  }

  override get calledChains(): readonly string[] {
    return this.callee === null ? NO_CHAINS : [this.callee.name];
  }

  override get targetName(): string {
    const { plan } = this;
    if (plan.jump === null) return "";
    return plan.target === null || this.invalid?.has(plan.target)
      ? this.jumpName
      : plan.target.extension.name;
  }

  override get traits(): Traits {
    const { plan } = this;
    const target = plan.target?.extension as TargetExtension | undefined;
    if (this.invalid === null && target?.traitsOf === undefined) return (plan.traits ??= traitsOfRule(this));
    return traitsOfRule(this);
  }

  private get parsed(): ParsedValues {
    if (this.memo === null) {
      this.memo = {};
      this.parent.parsed.add(this);
    }
    return this.memo;
  }

  /** Removes the memoized values. */
  forget(): void {
    this.memo = null;
  }

  private readTarget(): Target {
    const { plan, syntax } = this;
    const { target, jump } = plan;
    if (jump === null) return NO_TARGET;
    const name = this.jumpName;
    if (this.hasUnknownTarget)
      return { kind: "unknown", name, words: plan.stray.flatMap((o) => optionWords(o, syntax)) };
    if (target === null) return { kind: jump.kind, chain: name };
    if (this.invalid?.has(target)) return { kind: "unknown", name, words: extensionWords(target, syntax) };
    return {
      kind: "extension",
      extension: target.extension as TargetExtension,
      values: this.values(target),
    };
  }

  private values(planned: PlannedExtension): GivenValues {
    const values = readValues(planned, this.syntax, this.plan.spelling);
    if (values instanceof ValueFault) throw new Error("a value was valid when the rule was loaded");
    return values;
  }
}

function unreadable(planned: PlannedExtension, syntax: RuleSyntax): UnknownPart {
  const { name } = planned.extension;
  const words = extensionWords(planned, syntax);
  return name === ""
    ? { what: "unreadable option", words }
    : { what: `unreadable match ${name}`, words: ["-m", name, ...words] };
}
