/** Facts about one chain: its author, its position, its rules, its end, and what is easily misunderstood about it. */

import { isDockerRule } from "../../audit/docker-rules.ts";
import { hasUfw, hasUfwDefaults } from "../../audit/ufw-rules.ts";
import { type KnownChain, knownChain } from "../../host/known/chains.ts";
import { DOCKER_CHAIN, DOCKER_INGRESS, DOCKER_USER, dockerLayout } from "../../host/known/docker.ts";
import { ufwCommandDirection } from "../../host/known/ufw.ts";
import { hasOpenOrder, hookStages } from "../../path/hook-stages.ts";
import type { BoundRule } from "../../path/program.ts";
import type { Hook } from "../../rules/base-chain.ts";
import { type Chain, calledChain, hookOf, iptablesName, type TableId } from "../../rules/ruleset.ts";
import { changeAdvice } from "../text/chain-purpose.ts";
import type { ChainPitfall } from "./pitfalls.ts";
import { portMappingNote } from "./port-mappings.ts";
import { hasTest, type ReadableCondition } from "./readable-condition.ts";
import { returnPoint } from "./return-point.ts";
import type { ReturnPoint } from "./rule-action.ts";
import { isFinalReturn, type RuleFacts, ruleCondition, ruleFacts } from "./rule-facts.ts";
import type { RulesetIndex } from "./ruleset-index.ts";

/** A table, or connection tracking, at a hook. */
export type HookStage = TableId | "connection tracking";

/** Position of a chain: at a hook, called by other chains, or reached by no packet. */
export type ChainLocation =
  /**
   * The kernel evaluates the chain at a hook, after and before these other stages. The rules do not show the order of `beside`,
   * which have the same priority.
   */
  | {
      readonly code: "base-chain";
      readonly hook: Hook;
      readonly after: readonly HookStage[];
      readonly before: readonly HookStage[];
      readonly beside: readonly HookStage[];
    }
  | { readonly code: "not-called" }
  /** Rules of other chains call it. `hooks` is empty if no hook leads to these chains. */
  | { readonly code: "called"; readonly callers: readonly ChainCaller[]; readonly hooks: readonly Hook[] };

/** A chain with the numbers of its rules that call another one. */
export interface ChainCaller {
  /** Name of the calling chain. */
  readonly chain: string;
  /** Numbers of the calling rules. */
  readonly rules: readonly number[];
  /** Line of the first of these rules; 0 if no text contains it. */
  readonly line: number;
}

/** Result for packets that reach the end of a chain. */
export type ChainEnd =
  /** No packet reaches the end: this rule decides every packet that reaches it. */
  | { readonly code: "not-reached"; readonly rule: number }
  /** `ufw`: ufw sets this policy. */
  | {
      readonly code: "policy";
      readonly policy: "ACCEPT" | "DROP";
      readonly empty: boolean;
      readonly ufw: boolean;
    }
  | { readonly code: "return"; readonly to: ReturnPoint };

/** Facts about a chain. */
export interface ChainFacts {
  readonly chain: Chain;
  readonly purpose: KnownChain | null;
  /** Docker versions with this layout of rules; `null` for chains of other programs. */
  readonly docker: string | null;
  readonly hooks: readonly Hook[];
  readonly location: ChainLocation;
  /** Called chains, in the order of the first call. */
  readonly calls: readonly string[];
  /** Numbers of the rules that no packet matches. */
  readonly dead: readonly number[];
  readonly rules: readonly RuleFacts[];
  readonly end: ChainEnd;
  readonly pitfalls: readonly ChainPitfall[];
}

/**
 * Returns the facts about a chain.
 * @param only number of the only rule to explain; `null` for none, `undefined` for all
 */
export function chainFacts(chain: Chain, only: number | undefined | null, index: RulesetIndex): ChainFacts {
  const purpose = knownChain(chain.table, chain.name);
  const hooks = index.calls.hooks(chain.table, chain.name);
  const bound = index.program.chain(chain.table, chain.name)!.rules;
  const final = bound.find((each) => index.isFinal(each));
  const isDockers = purpose?.by === "Docker" || purpose?.purpose === "docker-user";
  const shadows = index.shadowsOf(chain.table);
  const explained = only === undefined ? bound : bound.filter(({ rule }) => rule.index === only);
  return {
    chain,
    purpose,
    docker: isDockers ? dockerLayout(index.ruleset) : null,
    hooks,
    location: location(chain, hooks, index),
    calls: [...new Set(chain.rules.flatMap((rule) => rule.calledChains))],
    dead: chain.rules.filter((rule) => shadows.has(rule)).map((rule) => rule.index),
    rules: explained.map((each) => ruleFacts(each, chain, hooks, final, index)),
    end: chainEnd(chain, final, index),
    pitfalls: chainPitfalls(chain, purpose, hooks, bound, index),
  };
}

function location(chain: Chain, hooks: readonly Hook[], { calls, ruleset }: RulesetIndex): ChainLocation {
  const hook = hookOf(chain);
  if (hook !== null) {
    const bases = hookStages(ruleset, hook);
    const at = bases.findLastIndex((base) => base?.table === chain.table && base.name === chain.name);
    const stages = (from: number, to: number, isSame: boolean): HookStage[] =>
      bases
        .slice(from, to)
        .filter((base) => (base !== null && hasOpenOrder(base, chain.base!, ruleset)) === isSame)
        .map((base) => (base === null ? "connection tracking" : base.table));
    return {
      code: "base-chain",
      hook,
      after: stages(0, at, false),
      before: stages(at + 1, bases.length, false),
      beside: [...stages(0, at, true), ...stages(at + 1, bases.length, true)],
    };
  }
  const rules = calls.callers(chain.table, chain.name);
  if (rules.length === 0) return { code: "not-called" };
  const names = [...new Set(rules.map((rule) => rule.chain))];
  const callers = names.map((name): ChainCaller => {
    const own = rules.filter((rule) => rule.chain === name);
    return { chain: name, rules: own.map((rule) => rule.index), line: own[0]!.line };
  });
  return { code: "called", callers, hooks };
}

function chainEnd(chain: Chain, final: BoundRule | undefined, index: RulesetIndex): ChainEnd {
  if (final !== undefined) return { code: "not-reached", rule: final.rule.index };
  if (chain.policy === null) return { code: "return", to: returnPoint(chain, index) };
  return {
    code: "policy",
    policy: chain.policy,
    empty: chain.rules.length === 0,
    ufw: hasUfwDefaults(index.ruleset, chain.table),
  };
}

function chainPitfalls(
  chain: Chain,
  purpose: KnownChain | null,
  hooks: readonly Hook[],
  bound: readonly BoundRule[],
  index: RulesetIndex,
): ChainPitfall[] {
  const { name } = chain;
  const table = iptablesName(chain.table);
  const out: ChainPitfall[] = [];
  if (purpose !== null && changeAdvice(purpose) !== undefined) out.push({ code: "managed", chain: purpose });
  if (table === "raw" && hooks.includes("PREROUTING")) out.push({ code: "before-nat" });
  if (table === "nat") out.push({ code: "first-packet-only" });
  if (table === "nat" && name === DOCKER_CHAIN && index.published.length > 0)
    out.push({ code: "bypasses-input", ufw: hasUfw(index.ruleset) });
  const isForwardOnly = hooks.length === 1 && hooks[0] === "FORWARD";
  const example = index.published.find((p) => p.first !== p.port) ?? index.published[0];
  if (
    (table === "filter" || table === "mangle") &&
    isForwardOnly &&
    purpose?.by !== "Docker" &&
    example !== undefined
  )
    out.push({ code: "after-dnat", port: portMappingNote(example) });
  if (table === "filter") out.push(...filterPitfalls(chain, bound, index));
  return out;
}

/** Pitfalls of a chain of table filter. */
function filterPitfalls(chain: Chain, bound: readonly BoundRule[], index: RulesetIndex): ChainPitfall[] {
  const { name } = chain;
  const { published, host } = index;
  const readableConditionOf = ({ rule }: BoundRule): ReadableCondition => ruleCondition(rule, index);
  const out: ChainPitfall[] = [];
  if (name === DOCKER_INGRESS && bound.some((each) => acceptsAnywhere(each, readableConditionOf(each))))
    out.push({ code: "any-container" });
  if (name === DOCKER_USER) {
    const last = bound.at(-1);
    if (last === undefined) out.push({ code: "no-owner-rules" });
    else if (isFinalReturn(last, readableConditionOf(last)))
      out.push({ code: "appended-unreachable", rule: chain.rules.length });
  }
  if ((name === "INPUT" || ufwCommandDirection(name) === "input") && published.length > 0) {
    const ports = published.map((port) => portMappingNote(port).published);
    out.push({ code: "misses-published", ports: [...new Set(ports)] });
  }
  if ((name === "OUTPUT" || ufwCommandDirection(name) === "output") && host.bridges.length > 0)
    out.push({ code: "misses-containers" });
  if (name === "FORWARD") out.push(...dockerBeforeUfw(chain, index));
  if (chain.policy === null && bound.some(({ effect }) => effect.kind === "verdict"))
    out.push({ code: "verdict-is-final" });
  return out;
}

/** Returns true if a rule accepts new connections to every destination. */
const acceptsAnywhere = ({ effect }: BoundRule, condition: ReadableCondition): boolean =>
  effect.kind === "verdict" &&
  effect.verdict === "accept" &&
  !hasTest(condition, (test) => test.kind !== "text" && /^(src|dst|out|ct.*)$/.test(test.field));

/** Rules of Docker in FORWARD that run before those of ufw. */
function dockerBeforeUfw(chain: Chain, { host }: RulesetIndex): ChainPitfall[] {
  const ufw = chain.rules.find((rule) => {
    const called = calledChain(rule);
    return called !== null && knownChain(chain.table, called)?.by === "ufw";
  });
  if (ufw === undefined) return [];
  const docker = chain.rules.filter((rule) => rule.index < ufw.index && isDockerRule(rule, host));
  if (docker.length === 0) return [];
  return [{ code: "docker-before-ufw", first: docker[0]!.index, last: docker.at(-1)!.index, ufw: ufw.index }];
}
