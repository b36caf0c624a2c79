/** A rule of a text, with values that are parsed on demand: most rules of a large file are never looked at twice. */
import type { Counters, Rule as RuleSyntax } from "iptables-parser-ts";
import type { Traits } from "../rules/reading.ts";
import type { Chain, TableName } from "../rules/ruleset.ts";
import type { TargetExtension } from "./extension.ts";
import { extensionWords, optionWords, readValues, ValueFault } from "./option-values.ts";
import type { Match, Target, UnknownPart } from "./rule.ts";
import type { GivenValues, Plan, PlannedExtension } from "./rule-plan.ts";
import { traitsOfRule } from "./rule-reader.ts";
import { TypedRule } from "./typed-rule.ts";

/** A chain while its table is loaded. */
export interface LoadingChain extends Chain {
  readonly rules: readonly LoadedRule[];
  /** Deleted by `-X`. */
  readonly deleted: boolean;
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
  private cachedMatches: readonly Match[] | null = null;
  private cachedTarget: Target | null = null;

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

  get table(): TableName {
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
    this.cachedMatches ??= this.plan.matches
      .filter((planned) => this.invalid?.has(planned) !== true)
      .map((planned) => ({
        extension: planned.extension as Match["extension"],
        values: this.values(planned),
      }));
    return this.cachedMatches;
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
    this.cachedTarget ??= this.readTarget();
    return this.cachedTarget;
  }

  override get traits(): Traits {
    const { plan } = this;
    const target = plan.target?.extension as TargetExtension | undefined;
    if (this.invalid === null && target?.traitsOf === undefined) return (plan.traits ??= traitsOfRule(this));
    return traitsOfRule(this);
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
