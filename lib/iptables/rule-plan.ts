/**
 * Plan of a rule: which extension owns each of its options. Computed once for all rules of a shape that agree on the
 * protocol and on the kind of target.
 */
import type { Rule as RuleSyntax, Shape, ShapeOption } from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import { protocolNumber } from "../packet/system-names.ts";
import type { Traits } from "../rules/reading.ts";
import type {
  Extension,
  Given,
  MatchExtension,
  OptionSpec,
  Options,
  Spelling,
  TargetExtension,
} from "./extension.ts";
import { HEADER, implicitMatch, matchByName, targetByName } from "./extensions.ts";
import { findOwner } from "./option-owner.ts";

/** An option of a shape and the position of its values. */
export interface OptionSlot {
  readonly key: string;
  readonly spec: OptionSpec<unknown>;
  readonly option: ShapeOption;
  /** Index of the first value. It follows the `!` in the syntax before iptables 1.4.3, `--dport ! 80`. */
  readonly at: number;
  readonly count: number;
  readonly not: boolean;
  /** The value is the same for all rules of a plan: a flag, or the protocol of `-p`. */
  readonly fixed: boolean;
}

/** Values of the options of an extension, by the extension's own keys. */
export type GivenValues = Readonly<Record<string, Given<unknown>>>;

/** An extension of a plan with the options that it owns. */
export interface PlannedExtension {
  readonly extension: Extension<Options>;
  /** The `-m` or `-j` that names it; `null` for the header and for a match that `-p` loads. */
  readonly named: ShapeOption | null;
  readonly slots: readonly OptionSlot[];
  /** Memo of valid values by the words of the options. */
  known: Map<string, GivenValues> | null;
  /** Number of words that were not in `known`. */
  misses: number;
}

type ExtensionDraft = PlannedExtension & { readonly slots: OptionSlot[] };

/** An option without an owner. */
export interface Problem {
  readonly message: string;
  readonly option: ShapeOption;
  readonly found: string;
}

/** Options that fwcheck does not know, kept with their words. */
interface UnknownOptions {
  /** Name for messages: `match frob`, `option --frob`. */
  readonly what: string;
  readonly options: ShapeOption[];
}

/** Fast check of one value in the text of a rule. */
export type IsValid = NonNullable<OptionSpec<unknown>["codec"]["isValid"]>;

/** Check of one value, or of adjacent values, in the text of a rule. */
export interface ValueCheck {
  /** Indexes of the start of the first value and the end of the last one, relative to the rule's word positions. */
  readonly start: number;
  readonly end: number;
  readonly isValid: IsValid | null;
  /** Texts that were valid in earlier rules, the latest first. */
  readonly seen: string[];
}

/** The `-j` or `-g` of a rule. */
export interface JumpOption {
  /** Index of the value that names the target or chain. */
  readonly at: number;
  readonly kind: "jump" | "goto";
  readonly option: ShapeOption;
}

/** Plan of the rules of a shape. */
export interface Plan {
  readonly matches: readonly PlannedExtension[];
  /** Checks that accept another rule without parsing its values; `null` until one rule of the plan was loaded. */
  checks: readonly ValueCheck[] | null;
  readonly target: PlannedExtension | null;
  readonly jump: JumpOption | null;
  /** `-s` and `-d`: a list of addresses makes several rules. */
  readonly lists: readonly OptionSlot[];
  readonly unknown: readonly { readonly what: string; readonly options: readonly ShapeOption[] }[];
  readonly problems: readonly Problem[];
  /** Options after a `-j` that names no extension. A chain takes no options. */
  readonly stray: readonly ShapeOption[];
  readonly spelling: Spelling;
  /** Traits that do not depend on values; `undefined` until the first rule needs them. */
  traits?: Traits;
}

/** Plans of one shape, by the protocol and the target extension. */
export interface ShapePlans {
  readonly proto: ShapeOption | null;
  /** `-j`; `null` for `-g`, which always names a chain. */
  readonly jump: ShapeOption | null;
  /** Options of several values, the first of which may be a `!` (before iptables 1.4.3). */
  readonly several: readonly ShapeOption[];
  readonly plans: Map<string, Map<TargetExtension | undefined, Plan>>;
  /** Plans of recent rules; neighbouring rules often differ in target or protocol only. */
  readonly recent: RecentPlan[];
}

/** A plan and the words that select it. */
export interface RecentPlan {
  readonly proto: string;
  /** Value of `-j`. */
  readonly word: string;
  /** `word` names no extension. */
  readonly chain: boolean;
  /** For each option of several values: its first one is a `!`. */
  readonly old: readonly boolean[];
  readonly plan: Plan;
}

/** iptables-restore accepts at most 255 words a line, so no loadable rule has more options. */
const MOST_OPTIONS = 255;
const TOO_MANY = `options beyond ${MOST_OPTIONS}`;

/** Names of the protocol option. */
export const PROTO_NAMES: ReadonlySet<string> = new Set(["-p", "--protocol", "--proto"]);
const JUMP_NAMES: ReadonlySet<string> = new Set(["-j", "--jump", "-g", "--goto"]);
const MATCH_NAMES: ReadonlySet<string> = new Set(["-m", "--match"]);

const jumpKind = ({ name }: ShapeOption): "jump" | "goto" =>
  name === "-j" || name === "--jump" ? "jump" : "goto";

/** Returns the empty index of a shape's plans. */
export function shapePlans({ options }: Shape): ShapePlans {
  const jump = options.findLast((o) => JUMP_NAMES.has(o.name)) ?? null;
  return {
    proto: options.find((o) => PROTO_NAMES.has(o.name) && o.count > 0) ?? null,
    jump: jump !== null && jumpKind(jump) === "jump" ? jump : null,
    several: options.filter((o) => o.count > 1),
    plans: new Map(),
    recent: [],
  };
}

/** Number of recent plans that a shape remembers. */
const MOST_RECENT_PLANS = 4;

/** Returns the plan of a rule and remembers it as a recent one of its shape. */
export function planOf(shape: ShapePlans, syntax: RuleSyntax, family: Family): Plan {
  // The protocol selects the match that is loaded without -m. Its text identifies it as well as its number.
  const proto = shape.proto === null ? "" : syntax.value(shape.proto.at);
  const word = shape.jump === null ? "" : syntax.value(shape.jump.at);
  const target = targetByName(word, family);
  const old = shape.several.map((o) => isBang(syntax, o));
  const key = [proto, ...old].join("\n");
  let plans = shape.plans.get(key);
  if (plans === undefined) shape.plans.set(key, (plans = new Map()));
  let plan = plans.get(target);
  if (plan === undefined) plans.set(target, (plan = new Planner(syntax, family).plan()));
  // Text with escapes reads differently with and without quotes, so it does not identify the value.
  if (!proto.includes("\\")) remember({ proto, word, chain: target === undefined, old, plan }, shape.recent);
  return plan;
}

/** Puts a plan in front of the recent ones. */
function remember(latest: RecentPlan, recent: RecentPlan[]): void {
  const at = recent.findIndex(({ plan, word }) => plan === latest.plan && word === latest.word);
  if (at >= 0) recent.splice(at, 1);
  else if (recent.length === MOST_RECENT_PLANS) recent.pop();
  recent.unshift(latest);
}

const isBang = (syntax: RuleSyntax, option: ShapeOption): boolean => syntax.value(option.at) === "!";

/** Assigns the options of a rule to their owners, as the getopt_long(3) loop of iptables does. */
class Planner {
  private readonly header = draft(HEADER, null);
  private readonly matches: ExtensionDraft[] = [this.header];
  /** Extensions in the order in which their options became available. */
  private readonly loaded: ExtensionDraft[] = [this.header];
  private readonly unknown: UnknownOptions[] = [];
  private readonly problems: Problem[] = [];
  private readonly stray: ShapeOption[] = [];
  private target: ExtensionDraft | null = null;
  private jump: JumpOption | null = null;
  /** The unknown match that owns the options after it. */
  private unknownMatch: UnknownOptions | null = null;

  constructor(
    private readonly syntax: RuleSyntax,
    private readonly family: Family,
  ) {}

  plan(): Plan {
    for (const [i, option] of this.syntax.shape.options.entries()) {
      if (JUMP_NAMES.has(option.name)) this.addJump(option);
      else if (i >= MOST_OPTIONS) this.addExcess(option);
      else if (MATCH_NAMES.has(option.name)) this.addMatch(option);
      else this.addOption(option);
    }
    const { matches, target, jump, unknown, problems, stray, header, family } = this;
    return {
      matches,
      checks: null,
      target,
      jump,
      lists: header.slots.filter((s) => (s.key === "src" || s.key === "dst") && s.count === 1),
      unknown,
      problems,
      stray,
      spelling: { family, proto: this.protocol(false), unlike: this.protocol(true) },
    };
  }

  private addExcess(option: ShapeOption): void {
    if (this.unknown.at(-1)?.what !== TOO_MANY) {
      this.unknown.push({ what: TOO_MANY, options: [] });
      this.problem(`a rule has at most ${MOST_OPTIONS} options; ${UNDECIDED}`, option);
    }
    this.unknown.at(-1)!.options.push(option);
  }

  private addMatch(option: ShapeOption): void {
    const name = this.syntax.value(option.at);
    const extension = matchByName(name, this.family);
    this.unknownMatch = null;
    if (extension !== undefined) {
      const match = draft(extension, option);
      this.matches.push(match);
      this.loaded.push(match);
      return;
    }
    this.unknownMatch = { what: `match ${name}`, options: [option] };
    this.unknown.push(this.unknownMatch);
    this.problem(`unknown match ${JSON.stringify(name)}; ${UNDECIDED}`, option, name);
  }

  private addJump(option: ShapeOption): void {
    this.unknownMatch = null;
    this.jump = { at: option.at, kind: jumpKind(option), option };
    const extension =
      this.jump.kind === "jump" ? targetByName(this.syntax.value(option.at), this.family) : undefined;
    this.target = extension === undefined ? null : draft(extension, option);
    if (this.target !== null) this.loaded.push(this.target);
  }

  private addOption(option: ShapeOption): void {
    const found = findOwner(option.name, this.loaded) ?? this.implicitOwner(option);
    if (found !== undefined) found.owner.slots.push(this.slotOf(option, found.owner, found.key));
    else if (this.unknownMatch !== null) this.unknownMatch.options.push(option);
    else if (this.jump !== null && this.target === null) this.stray.push(option);
    else {
      this.unknown.push({ what: `option ${option.name}`, options: [option] });
      this.problem(`unknown option ${option.name}; ${UNDECIDED}`, option);
    }
  }

  /** Loads the match of the rule's protocol if it has the option. */
  private implicitOwner(option: ShapeOption): { owner: ExtensionDraft; key: string } | undefined {
    const protocol = this.protocol(false);
    const implicit = protocol === undefined ? undefined : implicitMatch(protocol, this.family);
    if (implicit === undefined || this.matches.some((m) => m.extension.name === implicit.name))
      return undefined;
    const match = draft(implicit, null);
    const found = findOwner(option.name, [match]);
    if (found === undefined) return undefined;
    this.matches.push(match);
    this.loaded.push(match);
    return found;
  }

  private slotOf(option: ShapeOption, owner: ExtensionDraft, key: string): OptionSlot {
    // Before iptables 1.4.3 the `!` followed the option.
    const old = option.count > 1 && isBang(this.syntax, option);
    const spec = owner.extension.options[key]!;
    return {
      key,
      spec,
      option,
      at: old ? option.at + 1 : option.at,
      count: option.count - (old ? 1 : 0),
      not: option.negated || old,
      fixed: spec.codec.words === 0 || (owner === this.header && key === "proto"),
    };
  }

  /** Returns the number of the protocol that `-p`, or `! -p`, names; it may follow the option that needs it. */
  private protocol(negated: boolean): number | undefined {
    const slot = this.header.slots.find((s) => s.key === "proto");
    const later = this.syntax.shape.options.find((o) => PROTO_NAMES.has(o.name));
    const option = slot ?? later;
    const isNegated = slot?.not ?? later?.negated;
    if (option === undefined || isNegated !== negated || option.count !== 1) return undefined;
    return protocolNumber(this.syntax.value(option.at));
  }

  private problem(message: string, option: ShapeOption, found = option.name): void {
    this.problems.push({ message, option, found });
  }
}

const UNDECIDED = "packets that reach this rule may be undecided";

const draft = (extension: MatchExtension | TargetExtension, named: ShapeOption | null): ExtensionDraft => ({
  extension: extension as unknown as Extension<Options>,
  named,
  slots: [],
  known: null,
  misses: 0,
});
