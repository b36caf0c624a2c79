/** The smallest change of the rules that lets the stopped packets of a query through, with a proof that it changes nothing else. */
import { ruleNote } from "../audit/rule-note.ts";
import { hasUfwDefaults, ufwCommand } from "../audit/ufw-rules.ts";
import type { Host } from "../host/host.ts";
import { engineOfChain } from "../host/known/chains.ts";
import { DOCKER_USER } from "../host/known/docker.ts";
import { ufwCommandChain } from "../host/known/ufw.ts";
import type { Family } from "../packet/field.ts";
import type { Expression } from "../query-language/expression.ts";
import {
  chainOf,
  iptablesName,
  namedBackend,
  programOf,
  type Ruleset,
  type TableId,
} from "../rules/ruleset.ts";
import { type AddedRules, acceptingRules, type RulePosition, withRules } from "./accept-rules.ts";
import { ChangedRules, type StoppedPart } from "./changed-rules.ts";

/** A rule that a change adds. */
export interface ChangeRule {
  /** Its table. */
  readonly table: TableId;
  /** Its chain. */
  readonly chain: string;
  /** Number of the rule in front of which it is added; `null` for the end of the chain. */
  readonly before: number | null;
  /** The rule, as iptables-save or nft prints it without its chain. */
  readonly text: string;
  /** The command that adds it. */
  readonly command: string;
  /** True if the command also adds a rule for the other family, which the proof does not cover. */
  readonly bothFamilies: boolean;
}

/** Change of the rules of one family that lets the stopped packets of an expression through. */
export type QueryChange =
  /** With these rules they are accepted, and all packets outside of the expression have the outcome that they had. */
  | {
      readonly code: "proved";
      readonly rules: readonly ChangeRule[];
      /** True if some of them are still stopped, by the kernel itself: no rule can let them through. */
      readonly exceptRefused: boolean;
    }
  /** No rule or policy stops a packet of the expression for certain. */
  | { readonly code: "nothing-stopped" }
  /** A container engine's own rule or policy stops them; it writes its rules again. */
  | { readonly code: "engine-chain"; readonly table: TableId; readonly chain: string }
  /** No change of few accepting rules was proved. */
  | { readonly code: "none-proved" };

/** More rules in a row, and more places that are tried, are not looked for. */
const MOST_STEPS = 3;
const MOST_TRIES = 10;

const DIRECTIONS = { INPUT: "input", FORWARD: "forward", OUTPUT: "output" } as const;

/**
 * Returns the change for one family.
 * @throws BudgetExceeded
 */
export function changeFor(
  ruleset: Ruleset,
  host: Host,
  expression: Expression,
  budget: number | undefined,
): QueryChange {
  return new ChangeSearch(ruleset, host, expression, budget).run();
}

class ChangeSearch {
  private tries = 0;
  private blocked: RulePosition | null = null;

  constructor(
    private readonly ruleset: Ruleset,
    private readonly host: Host,
    private readonly expression: Expression,
    private readonly budget: number | undefined,
  ) {}

  run(): QueryChange {
    const start = this.with([]);
    if (start.parts().length === 0) return { code: "nothing-stopped" };
    const found = this.extend([], start);
    if (found !== null) {
      const least = this.reduced(found);
      return {
        code: "proved",
        rules: least.flatMap((added) => this.ruleTexts(added, least)),
        exceptRefused: this.with(least).hasRefused(),
      };
    }
    if (this.blocked === null) return { code: "none-proved" };
    const { table, chain } = this.blocked;
    return { code: "engine-chain", table, chain };
  }

  private with(added: readonly AddedRules[]): ChangedRules {
    const after = added.reduce(withRules, this.ruleset);
    return new ChangedRules(this.ruleset, after, this.host, this.expression, this.budget);
  }

  /** Leaves out rules without which the change is still proved. */
  private reduced(added: readonly AddedRules[]): readonly AddedRules[] {
    const single = added.flatMap((one) =>
      one.rules.map((rule, i) => ({ ...one, rules: [rule], texts: [one.texts[i]!] })),
    );
    return single.reduce<readonly AddedRules[]>((left, one) => {
      const rest = left.filter((other) => other !== one);
      return rest.length > 0 && this.with(rest).isProved() ? rest : left;
    }, single);
  }

  /** Adds rules for the first part that is still stopped, at each place in turn, until a change is proved. */
  private extend(added: readonly AddedRules[], changed: ChangedRules): readonly AddedRules[] | null {
    const [part] = changed.parts();
    if (part === undefined) return changed.isProved() ? added : null;
    if (added.length === MOST_STEPS) return null;
    const matches = changed.matches(part);
    if (matches === null) return null;
    for (const place of this.places(part)) {
      const isTried = added.some((one) => one.table === place.table && one.chain === place.chain);
      if (isTried || ++this.tries > MOST_TRIES) continue;
      const rules = acceptingRules(place, matches, this.ruleset);
      if (rules === null) continue;
      const next = [...added, rules];
      const found = this.extend(next, this.with(next));
      if (found !== null) return found;
    }
    return null;
  }

  /** Returns places for a rule that lets a part through: where its owner adds rules, then directly in front of what stops it. */
  private places({ hook, decider, to }: StoppedPart): RulePosition[] {
    const { ruleset } = this;
    const direct = placeOf(decider);
    const { table } = direct;
    const places: RulePosition[] = [];
    // ufw has no match for the destination before a translation.
    const isTranslated = to.dst !== undefined || to.dport !== undefined;
    if (hook in DIRECTIONS && !isTranslated && hasUfwDefaults(ruleset, table)) {
      const name = ufwCommandChain(ruleset.family, DIRECTIONS[hook as keyof typeof DIRECTIONS]);
      if (chainOf(ruleset, table, name) !== undefined) places.push({ table, chain: name, before: null });
    }
    const user = iptablesName(table) === "filter" ? chainOf(ruleset, table, DOCKER_USER) : undefined;
    if (hook === "FORWARD" && user !== undefined)
      places.push({ table, chain: user.name, before: user.rules[0]?.index ?? null });
    if (engineOfChain(table, direct.chain) === null) places.push(direct);
    else this.blocked ??= direct;
    return places;
  }

  private ruleTexts(added: AddedRules, all: readonly AddedRules[]): ChangeRule[] {
    const { ruleset } = this;
    const { table, chain, before, rules, texts } = added;
    const after = all.reduce(withRules, ruleset);
    return texts.map((text, i): ChangeRule => {
      const ufw = iptablesName(table) === null ? null : ufwCommand(rules[i]!, after);
      const command = ufw === null ? commandOf(added, text, ruleset.family) : `ufw ${ufw}`;
      const bothFamilies = ufw !== null && !/(from|to) \d|(from|to) \S*:/.test(ufw);
      const shown =
        iptablesName(table) === null ? text : ruleNote(rules[i]!, after).text.replace(/^-A \S+ ?/, "");
      return { table, chain, before, text: shown, command, bothFamilies };
    });
  }
}

/** Returns the place in front of a rule, or at the end of a chain whose policy decides. */
function placeOf(decider: StoppedPart["decider"]): RulePosition {
  if (decider.kind === "policy")
    return { table: decider.chain.table, chain: decider.chain.name, before: null };
  const { table, chain, index } = decider.rule;
  return { table, chain, before: index };
}

/** Quotes a name for a shell if it needs quotation marks: names of chains come from the input. */
const shellWord = (word: string): string =>
  /^[\w@/.:=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Returns the command that adds a rule: of iptables or nft. */
function commandOf({ table, chain, before }: RulePosition, text: string, family: Family): string {
  const name = iptablesName(table);
  const to = [...table.split(" "), chain].map(shellWord).join(" ");
  if (name === null)
    return before === null
      ? `nft add rule ${to} ${text}`
      : `nft insert rule ${to} index ${before - 1} ${text}`;
  const backend = namedBackend(table);
  const program = backend === null ? (family === 4 ? "iptables" : "ip6tables") : programOf(backend, family);
  const option = name === "filter" ? "" : ` -t ${name}`;
  return before === null
    ? `${program}${option} -A ${shellWord(chain)} ${text}`
    : `${program}${option} -I ${shellWord(chain)} ${before} ${text}`;
}
