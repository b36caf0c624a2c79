/** Rules of iptables with the members that lib/rules expects of a rule. */
import type { Rule as RuleSyntax } from "iptables-parser-ts";
import type { Predicate } from "../packet/predicate.ts";
import type { Facts } from "../rules/facts.ts";
import type { Action, CopyMode, KnownConditions, Reading, Traits } from "../rules/reading.ts";
import type { CompiledRule, Condition, CopyPart, PrintFormat, Rule } from "../rules/ruleset.ts";
import { compileRule, unknownPredicate } from "./compile-rule.ts";
import type { Options, Values } from "./extension.ts";
import { printMatch, printParts, printTarget, ruleProtocol, spellingOf } from "./print.ts";
import { asIptables, type IptablesRule, type Match, type Target, type UnknownPart } from "./rule.ts";
import { actionOf, readingOf, traitsOfRule } from "./rule-reader.ts";

export const NO_CHAINS: readonly string[] = [];

/** Members that follow from the matches and the target of a rule. */
export abstract class TypedRule implements IptablesRule {
  abstract readonly table: Rule["table"];
  abstract readonly chain: string;
  abstract readonly index: number;
  abstract readonly line: number;
  abstract readonly counters: Rule["counters"];
  abstract readonly matches: readonly Match[];
  abstract readonly unknown: readonly UnknownPart[];
  abstract readonly target: Target;
  abstract readonly syntax: RuleSyntax;

  get reading(): Reading {
    return readingOf(this);
  }

  get action(): Action {
    return actionOf(this.target);
  }

  get calledChains(): readonly string[] {
    const { target } = this;
    return target.kind === "jump" || target.kind === "goto" ? [target.chain] : NO_CHAINS;
  }

  get traits(): Traits {
    return traitsOfRule(this);
  }

  get conditions(): readonly Condition[] {
    return [
      ...this.matches.map((match) => new MatchCondition(this, match)),
      ...this.unknown.map((unknown) => new UnknownCondition(this, unknown)),
    ];
  }

  get targetName(): string {
    return nameOf(this.target);
  }

  get sideEffect(): string | null {
    return this.target.kind === "extension" ? (this.target.extension.sideEffect ?? null) : null;
  }

  text(format: PrintFormat): string {
    return printParts(this, format);
  }

  targetText(format: PrintFormat): string {
    return this.target.kind === "none" ? "" : printTarget(this.target, spellingOf(this, format));
  }

  compile(facts: Facts): CompiledRule {
    return compileRule(this, facts);
  }
}

/** A rule with matches, conditions or a target that its text does not have. */
class EditedRule extends TypedRule {
  readonly table: Rule["table"];
  readonly chain: string;
  readonly index: number;
  readonly line: number;
  readonly counters: Rule["counters"];
  readonly syntax: RuleSyntax;
  readonly matches: readonly Match[];
  readonly unknown: readonly UnknownPart[];
  readonly target: Target;

  constructor(
    { table, chain, index, line, counters, syntax }: IptablesRule,
    { matches, unknown, target }: RuleParts,
  ) {
    super();
    this.table = table;
    this.chain = chain;
    this.index = index;
    this.line = line;
    this.counters = counters;
    this.syntax = syntax;
    this.matches = matches;
    this.unknown = unknown;
    this.target = target;
  }
}

type RuleParts = Pick<IptablesRule, "matches" | "unknown" | "target">;

/** Returns a copy of a rule with other matches, unknown conditions or another target. A spread would copy no getters. */
export function withParts(rule: Rule, parts: Partial<RuleParts>): IptablesRule {
  const given = asIptables(rule);
  const { matches, unknown, target } = given;
  return new EditedRule(given, { matches, unknown, target, ...parts });
}

function nameOf(target: Target): string {
  switch (target.kind) {
    case "jump":
    case "goto":
      return target.chain;
    case "extension":
      return target.extension.name;
    case "unknown":
      return target.name;
    case "none":
      return "";
  }
}

/** A match of a rule, as analyses read it. */
abstract class ReadMatch {
  constructor(
    protected readonly rule: IptablesRule,
    protected readonly match: Match,
  ) {}

  get name(): string {
    return this.match.extension.name;
  }

  get reading(): KnownConditions {
    const { extension, values } = this.match;
    return extension.conditions?.(values) ?? {};
  }

  text(format: PrintFormat): string {
    return printMatch(this.match, spellingOf(this.rule, format));
  }

  predicate(facts: Facts): Predicate {
    const { extension, values } = this.match;
    return extension.predicate(values, facts, this.rule);
  }
}

class MatchCondition extends ReadMatch implements Condition {
  get opaque(): boolean {
    return this.match.extension.opaque !== undefined;
  }

  parts(): readonly CopyPart[] {
    const { extension, values } = this.match;
    if (extension.independentOptions !== true) return [new SplitMatch(this.rule, this.match)];
    return Object.entries(values).map(
      ([key, value]) => new SplitMatch(this.rule, { extension, values: { [key]: value } as Values<Options> }),
    );
  }
}

/** One option of a match, or the whole match where its options depend on each other. */
class SplitMatch extends ReadMatch implements CopyPart {
  get copy(): CopyMode {
    return this.match.extension.copy?.(this.match.values) ?? "never";
  }

  get protocol(): number | undefined {
    return this.match.extension.protocols === undefined ? undefined : ruleProtocol(this.rule.matches);
  }

  originalText(format: PrintFormat): string | null {
    const { extension, values } = this.match;
    const option = extension.originalOption?.(values);
    if (option === undefined) return null;
    const [given] = Object.values(values);
    const value = this.text(format).split(" ").at(-1)!;
    return `-m conntrack ${given?.not ? "! " : ""}${option} ${value} --ctdir ORIGINAL`;
  }
}

class UnknownCondition implements Condition {
  readonly reading: KnownConditions = {};
  readonly opaque = true;

  constructor(
    private readonly rule: IptablesRule,
    private readonly unknown: UnknownPart,
  ) {}

  get name(): string {
    return this.unknown.what;
  }

  text(): string {
    return this.unknown.words.join(" ");
  }

  predicate(): Predicate {
    return unknownPredicate(this.unknown, this.rule);
  }

  parts(): readonly CopyPart[] {
    return [];
  }
}
