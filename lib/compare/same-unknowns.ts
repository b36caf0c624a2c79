/**
 * Pairs the unknowns of two rulesets. A limit starts to count when its rule is loaded, so equal rules of a chain give equal
 * packets the same result. The key of such an unknown has the number of its rule, and insertions change that number.
 */
import type { Host } from "../host/host.ts";
import { printRule } from "../iptables/print.ts";
import { and, not, or, type Predicate, visitLeaves } from "../packet/predicate.ts";
import type { BoundRule } from "../path/bound-chain.ts";
import { Program } from "../path/program.ts";
import { type Effect, ends, forks } from "../rules/effect.ts";
import { siteKey } from "../rules/facts.ts";
import { iptablesName, type Rule, type Ruleset, type Table } from "../rules/ruleset.ts";

/** A ruleset whose unknowns have the keys of their counterparts in another ruleset, or keys of their own. */
export interface PairedRuleset {
  readonly ruleset: Ruleset;
  /** The keys that the unknowns have in the ruleset as it was given, by the new ones. */
  readonly given: ReadonlyMap<string, string>;
}

/** Returns `after` with the unknowns of each rule that `before` has, too, under the key that they have there. */
export function withPairedUnknowns(
  before: Ruleset,
  hostBefore: Host,
  after: Ruleset,
  host: Host,
): PairedRuleset {
  const given = new Map<string, string>();
  if (before === after) return { ruleset: after, given };
  const counterparts = new Map<string, string[]>();
  for (const { rule, name } of rulesWithUnknowns(before, hostBefore)) {
    const others = counterparts.get(name);
    if (others === undefined) counterparts.set(name, [siteKey("", rule)]);
    else others.push(siteKey("", rule));
  }
  const renamed = new Map<Rule, Rule>();
  for (const { rule, name, keys } of rulesWithUnknowns(after, host)) {
    const own = siteKey("", rule);
    const place = counterparts.get(name)?.shift() ?? `${own} (after)`;
    if (place === own) continue;
    const rename = new Map(keys.map((key) => [key, key.slice(0, -own.length) + place]));
    for (const [key, now] of rename) given.set(now, key);
    renamed.set(
      rule,
      withKeys(rule, (key) => rename.get(key) ?? key),
    );
  }
  return { ruleset: renamed.size === 0 ? after : replaceRules(after, renamed), given };
}

/** Returns the values of unknowns under the keys that they have in a ruleset as it was given. */
export const givenKeys = (
  assume: ReadonlyMap<string, boolean>,
  { given }: Pick<PairedRuleset, "given">,
): ReadonlyMap<string, boolean> =>
  given.size === 0 ? assume : new Map([...assume].map(([key, truth]) => [given.get(key) ?? key, truth]));

interface RuleWithUnknowns {
  readonly rule: Rule;
  /** Table, chain and text. */
  readonly name: string;
  /** Keys of unknowns that only this rule has. */
  readonly keys: readonly string[];
}

function* rulesWithUnknowns(ruleset: Ruleset, host: Host): Generator<RuleWithUnknowns> {
  const program = Program.of(ruleset, host);
  for (const [table, { chains }] of ruleset.tables)
    for (const name of chains.keys())
      for (const bound of program.chain(table, name)!.rules) {
        const { rule } = bound;
        const place = siteKey("", rule);
        const keys = unknownsOf(bound).filter((key) => key.endsWith(place));
        if (keys.length > 0) yield { rule, name: `${table}\n${name}\n${textOf(rule, ruleset)}`, keys };
      }
}

const textOf = (rule: Rule, ruleset: Ruleset): string =>
  iptablesName(rule.table) === null ? rule.text(ruleset) : printRule(rule, ruleset);

/** Returns the keys of all unknowns of a rule. */
function unknownsOf({ when, effect }: BoundRule): string[] {
  const keys = new Set<string>();
  for (const predicate of [when, ...forks(effect)])
    visitLeaves(predicate, (leaf) => {
      if (leaf.kind === "opaque") keys.add(leaf.key);
    });
  for (const end of ends(effect)) if (end.kind === "opaque") keys.add(end.key);
  return [...keys];
}

type Rename = (key: string) => string;

/** Returns a rule that compiles to the same with other keys of unknowns; all its other members are those of the rule. */
const withKeys = (rule: Rule, rename: Rename): Rule =>
  Object.create(rule, {
    compile: {
      value: (facts: Parameters<Rule["compile"]>[0]) => {
        const { when, effect } = rule.compile(facts);
        return { when: renamePredicate(when, rename), effect: renameEffect(effect, rename) };
      },
    },
  }) as Rule;

function renamePredicate(predicate: Predicate, rename: Rename): Predicate {
  switch (predicate.kind) {
    case "opaque":
      return { ...predicate, key: rename(predicate.key) };
    case "not":
      return not(renamePredicate(predicate.not, rename));
    case "and":
      return and(...predicate.all.map((each) => renamePredicate(each, rename)));
    case "or":
      return or(...predicate.some.map((each) => renamePredicate(each, rename)));
    default:
      return predicate;
  }
}

function renameEffect(effect: Effect, rename: Rename): Effect {
  switch (effect.kind) {
    case "opaque":
      return { ...effect, key: rename(effect.key) };
    case "fork":
      return {
        ...effect,
        when: renamePredicate(effect.when, rename),
        yes: renameEffect(effect.yes, rename),
        no: renameEffect(effect.no, rename),
      };
    case "choice":
      return {
        ...effect,
        cases: effect.cases.map((each) => ({
          when: renamePredicate(each.when, rename),
          effect: renameEffect(each.effect, rename),
        })),
      };
    case "assign":
      return effect.next === undefined ? effect : { ...effect, next: renameEffect(effect.next, rename) };
    default:
      return effect;
  }
}

function replaceRules(ruleset: Ruleset, renamed: ReadonlyMap<Rule, Rule>): Ruleset {
  const tables = new Map<Table["name"], Table>();
  for (const [id, table] of ruleset.tables) {
    const chains = new Map(
      [...table.chains].map(([name, chain]) => [
        name,
        chain.rules.some((rule) => renamed.has(rule))
          ? { ...chain, rules: chain.rules.map((rule) => renamed.get(rule) ?? rule) }
          : chain,
      ]),
    );
    tables.set(id, { ...table, chains });
  }
  return { ...ruleset, tables };
}
