/** Facts about one rule: its condition, its action, its author, and what is easily misunderstood about it. */
import { isDockerRule } from "../../audit/docker-rules.ts";
import { ufwCommand } from "../../audit/ufw-rules.ts";
import { knownChain } from "../../host/known/chains.ts";
import { DOCKER_USER } from "../../host/known/docker.ts";
import { type Family, UNNAMED_BRIDGE_PORT } from "../../packet/field.ts";
import { type Predicate, unknownReasonOf } from "../../packet/predicate.ts";
import type { BoundRule } from "../../path/program.ts";
import type { Shadow } from "../../reach/shadowed-rules.ts";
import type { Hook } from "../../rules/base-chain.ts";
import { usual } from "../../rules/effect.ts";
import { type Chain, calledChain, chainOf, iptablesName, type Rule } from "../../rules/ruleset.ts";
import type { DeadRule, RulePitfall } from "./pitfalls.ts";
import { type PortMapping, portMappingNote } from "./port-mappings.ts";
import {
  alwaysHolds,
  conjunction,
  countTests,
  depth,
  type FieldTest,
  hasTest,
  neverHolds,
  partsOf,
  type ReadableCondition,
  readableConditionOf,
  requiredPorts,
  requiredProtocol,
} from "./readable-condition.ts";
import { returnPoint } from "./return-point.ts";
import { effectAction, type PrintedTarget, type RuleAction } from "./rule-action.ts";
import type { RulesetIndex } from "./ruleset-index.ts";

/** Facts about a rule. */
export interface RuleFacts {
  readonly rule: Rule;
  /** As iptables-save prints it, without its chain. */
  readonly text: string;
  /** Program that wrote the rule; `null` if unknown. */
  readonly by: string | null;
  /** The ufw command that wrote the rule; `null` for any other rule. */
  readonly ufw: string | null;
  readonly condition: ReadableCondition;
  readonly action: RuleAction;
  /** Why no packet matches the rule; `null` if packets may match it. */
  readonly dead: DeadRule | null;
  readonly pitfalls: readonly RulePitfall[];
}

/** Most rules that an explanation names as those that take all packets of another. */
const MOST_NAMED_RULES = 4;

/** At most this many published ports are listed. */
export const MOST_PORTS = 6;

/**
 * Returns the facts about a rule.
 * @param hooks the hooks from which its chain is reached
 * @param final the first rule of its chain that decides every packet
 */
export function ruleFacts(
  bound: BoundRule,
  chain: Chain,
  hooks: readonly Hook[],
  final: BoundRule | undefined,
  index: RulesetIndex,
): RuleFacts {
  const { rule } = bound;
  const condition = ruleCondition(rule, index);
  const dead = deadRule(rule, final, index.shadowsOf(rule.table).get(rule));
  return {
    rule,
    text: rule.text(index.ruleset),
    by: writer(bound, condition, index),
    ufw: ufwCommand(rule, index.ruleset),
    condition,
    action: ruleAction(bound, chain, index),
    dead,
    pitfalls: [
      ...(dead === null ? [] : [dead]),
      ...statefulMatches(rule, index),
      ...lintPitfalls(rule, dead, index),
      ...seenPorts(rule, condition, hooks, index),
      ...missedPorts(rule, condition, hooks, index),
    ],
  };
}

/** Returns true for the unconditional RETURN that Docker up to 28.1 appends to DOCKER-USER. */
export const isFinalReturn = ({ rule, effect }: BoundRule, condition: ReadableCondition): boolean =>
  iptablesName(rule.table) === "filter" &&
  rule.chain === DOCKER_USER &&
  effect.kind === "return" &&
  alwaysHolds(condition);

function writer(bound: BoundRule, condition: ReadableCondition, { host }: RulesetIndex): string | null {
  const { rule } = bound;
  if (isFinalReturn(bound, condition)) return "Docker";
  const byChain = knownChain(rule.table, rule.chain)?.by;
  if (byChain !== undefined) return byChain;
  if (isDockerRule(rule, host)) return "Docker";
  const called = calledChain(rule);
  const byCall = called === null ? null : (knownChain(rule.table, called)?.by ?? null);
  // Docker writes the jump to the chain whose rules are the owner's.
  return byCall === "you" ? "Docker" : byCall;
}

function ruleAction(bound: BoundRule, chain: Chain, index: RulesetIndex): RuleAction {
  const { rule } = bound;
  const effect = usual(bound.effect);
  if (effect.kind === "jump" || effect.kind === "goto") {
    const empty = (chainOf(index.ruleset, rule.table, effect.chain)?.rules.length ?? 0) === 0;
    return { code: effect.kind, chain: effect.chain, empty };
  }
  if (effect.kind === "return") return { code: "return", to: returnPoint(chain, index) };
  return effectAction(effect, printedTarget(rule, index), index.host);
}

const printedTarget = (rule: Rule, { ruleset }: RulesetIndex): PrintedTarget => ({
  text: rule.targetText(ruleset).replace(/^-[jg] /, ""),
  sideEffect: rule.sideEffect,
});

/** Conditions with more tests or levels than this are printed as the rule writes them. */
const MOST_TESTS = 8;
const MOST_DEPTH = 2;

/** Returns the conjunction of a rule's matches. */
export const ruleCondition = (rule: Rule, { ruleset, program }: RulesetIndex): ReadableCondition =>
  conjunction(
    rule.conditions.map((each) =>
      readableCondition(each.predicate(program.facts), each.text(ruleset), ruleset.family),
    ),
  );

/** Converts a predicate; parts that are unknown or hard to read are printed as the rule writes them. */
function readableCondition(p: Predicate, text: string, family: Family): ReadableCondition {
  const condition = readableConditionOf(p, family, () => text);
  const asWritten: FieldTest = { kind: "text", text, unknown: unknownReasonOf(p), not: false };
  const isUnprintable = (test: FieldTest): boolean =>
    test.kind === "in" && test.ranges.some(([lo]) => lo === UNNAMED_BRIDGE_PORT);
  if (
    countTests(condition) > MOST_TESTS ||
    depth(condition) > MOST_DEPTH ||
    hasTest(condition, isUnprintable)
  )
    return asWritten;
  const isUnknown = (part: ReadableCondition): boolean => hasTest(part, (test) => test.kind === "text");
  if (!isUnknown(condition)) return condition;
  return conjunction([...partsOf(condition).filter((part) => !isUnknown(part)), asWritten]);
}

function deadRule(rule: Rule, final: BoundRule | undefined, shadow: Shadow | undefined): DeadRule | null {
  if (final !== undefined && rule.index > final.rule.index)
    return { code: "after-final-rule", rule: final.rule.index };
  switch (shadow?.kind) {
    case undefined:
      return null;
    case "contradiction":
      return { code: "contradiction" };
    case "elsewhere":
      return { code: "no-such-traffic" };
    case "taken":
      return {
        code: "covered",
        by: shadow.by.slice(0, MOST_NAMED_RULES).map(({ rule: each }) => each.index),
        more: shadow.by.length > MOST_NAMED_RULES,
      };
  }
}

/** Matches that hold for every packet and update state, such as `recent --set`. */
function statefulMatches(rule: Rule, { program, ruleset }: RulesetIndex): RulePitfall[] {
  return rule.conditions
    .filter((each) => each.opaque && each.predicate(program.facts).kind === "any")
    .map((each) => ({ code: "stateful-match", match: each.text(ruleset) }));
}

function lintPitfalls(rule: Rule, dead: DeadRule | null, index: RulesetIndex): RulePitfall[] {
  return index.lintOf(rule).flatMap((lint): RulePitfall[] =>
    // The rule after an unconditional one is reported as dead already.
    lint.kind === "behind-return" && dead?.code === "after-final-rule" ? [] : [{ code: "lint", lint }],
  );
}

/** Published ports whose packets the rule can match under the address of the container. */
function seenPorts(
  rule: Rule,
  condition: ReadableCondition,
  hooks: readonly Hook[],
  { published }: RulesetIndex,
): RulePitfall[] {
  const table = iptablesName(rule.table);
  if (table === "nat" || table === "raw" || !hooks.includes("FORWARD")) return [];
  const { dst } = rule.reading;
  if (dst === undefined || dst.not) return [];
  const proto = requiredProtocol(condition);
  const ports = requiredPorts(condition);
  const seen = published.filter(
    (p) =>
      dst.value.address === p.address &&
      (proto === undefined || p.proto === proto) &&
      (ports === undefined || ports.some(([lo, hi]) => p.port >= lo && p.port <= hi)),
  );
  if (seen.length === 0 || seen.length > MOST_PORTS) return [];
  return [{ code: "sees-published", ports: seen.map(portMappingNote) }];
}

/** Published ports that a rule of INPUT matches by number although their packets are forwarded. */
function missedPorts(
  rule: Rule,
  condition: ReadableCondition,
  hooks: readonly Hook[],
  { published }: RulesetIndex,
): RulePitfall[] {
  if (iptablesName(rule.table) !== "filter" || !hooks.includes("INPUT") || hooks.length > 1) return [];
  const proto = requiredProtocol(condition);
  const ports = requiredPorts(condition);
  if (ports === undefined || neverHolds(condition)) return [];
  const isMatched = (p: PortMapping): boolean =>
    (proto === undefined || p.proto === proto) && ports.some(([lo, hi]) => p.first >= lo && p.last <= hi);
  const missed = published.filter(isMatched);
  if (missed.length === 0) return [];
  const listed = missed.slice(0, MOST_PORTS);
  return [
    {
      code: "misses-published",
      ports: listed.map(portMappingNote),
      more: missed.length - listed.length,
    },
  ];
}
