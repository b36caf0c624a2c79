/** Verdicts, verdict maps, reject and queue (nft(8), VERDICT STATEMENT, REJECT STATEMENT). */
import { type Expression, printStatement, type Reject, type Verdict } from "nftables-parser-ts";
import { type Family, PROTO } from "../../packet/field.ts";
import { ANY, is, NEVER, opaque, type Predicate } from "../../packet/predicate.ts";
import { ACCEPT, DROP, type Effect, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import type { Action } from "../../rules/reading.ts";
import type { Data } from "../element-set.ts";
import { readLookup } from "../lookup.ts";
import { type CompileContext, unknownOf } from "../operand.ts";
import { readsConnection } from "../read-value.ts";
import type { RuleScope } from "../rule-scope.ts";
import { CONNTRACK_TRAITS, NO_TRAITS, type StatementStep, statement } from "../step.ts";
import type { StatementOf } from "../syntax.ts";

const whyQueue = "a program in user space decides";

/** The program accepts or drops the packet. Without a program the kernel drops it, except with `bypass`. */
export const queued = ({ site, bases }: CompileContext): Effect => {
  const key = siteKey("queue", site);
  // A reinjected packet is not translated, and the next packet of the connection is evaluated in the chain again.
  return bases().some(({ type }) => type === "nat")
    ? unknownEffect(key, whyQueue)
    : { kind: "fork", when: opaque(key, whyQueue), yes: ACCEPT, no: DROP };
};

/** Chain of a jump or goto: one that exists, or that of the rules in braces. */
export function calledChain(verdict: Verdict, scope: RuleScope, at: Expression["at"]): string {
  const { rules } = verdict;
  if (rules !== undefined) return scope.anonymousChain(rules);
  const name = scope.uses === undefined ? verdict.chain! : scope.uses.chain(() => verdict.chain!);
  if (!scope.hasChain(name)) scope.report(`chain ${name} does not exist in this table`, name, at);
  return name;
}

/** Returns the effect of a verdict; `null` for `continue`. */
function effectOf(verdict: Verdict["verdict"], chain: string, at: CompileContext): Effect | null {
  switch (verdict) {
    case "accept":
      return ACCEPT;
    case "drop":
      return DROP;
    case "return":
      return { kind: "return" };
    case "jump":
    case "goto":
      return { kind: verdict, chain };
    case "queue":
      return queued(at);
    case "continue":
      return null;
  }
}

const ACTIONS: Readonly<Record<Verdict["verdict"], Action>> = {
  accept: "accept",
  drop: "drop",
  return: "return",
  jump: "jump",
  goto: "goto",
  queue: "other",
  continue: "none",
};

/** Reads a verdict. */
export function readVerdict(given: StatementOf<"verdict">, scope: RuleScope): StatementStep {
  const calls = given.verdict === "jump" || given.verdict === "goto";
  const chain = calls ? calledChain(given, scope, given.at) : "";
  return statement(
    ACTIONS[given.verdict],
    () => printStatement(given),
    (at, rest) => effectOf(given.verdict, chain, at) ?? rest(),
    { verdict: calls ? `${given.verdict} ${chain}` : given.verdict, chains: calls ? [chain] : [] },
  );
}

const whyUnread = "fwcheck does not evaluate this map";

/** Reads a verdict map: the effect of the element for the key; without one the rule ends. */
export function readVerdictMap(given: StatementOf<"vmap">, scope: RuleScope): StatementStep {
  const lookup = readLookup(given.key, given.map, scope);
  const text = (): string => printStatement(given);
  if (lookup === null)
    return statement("other", text, ({ site }) => unknownEffect(siteKey("vmap", site), whyUnread), {
      traits: readsConnection(given.key, scope) ? CONNTRACK_TRAITS : NO_TRAITS,
      goesOn: (at) => unknownOf("element of vmap", whyUnread, at),
    });
  const chainOf = new Map<Data, string>();
  const chains = new Set<string>();
  for (const data of lookup.data()) {
    if (data.kind !== "verdict") scope.report("expected a verdict", "", given.at);
    else if (data.verdict === "jump" || data.verdict === "goto") {
      const chain = calledChain(data, scope, given.at);
      chainOf.set(data, chain);
      chains.add(chain);
    }
  }
  return statement(
    "other",
    text,
    (at, rest) => lookup.choose(at, (data) => verdictEffect(data, chainOf.get(data) ?? "", at) ?? rest()),
    {
      verdict: "vmap",
      chains: [...chains],
      traits: lookup.needsConntrack ? CONNTRACK_TRAITS : NO_TRAITS,
      goesOn: (at) => lookup.found(at),
    },
  );
}

const verdictEffect = (data: Data, chain: string, at: CompileContext): Effect | null =>
  data.kind === "verdict"
    ? effectOf(data.verdict, chain, at)
    : unknownEffect(siteKey("vmap", at.site), "the map has no verdict");

/** Reads a reject; `icmp` and `icmpv6` imply a family in tables of both, a reset implies TCP. */
export function readReject(given: Reject): StatementStep {
  const [kind] = given.words;
  const resets = kind === "tcp";
  const family: Family | null = kind === "icmp" ? 4 : kind === "icmpv6" ? 6 : null;
  const goesOn = ({ facts }: CompileContext): Predicate =>
    resets ? is("proto", PROTO.tcp) : family === null || facts.family === family ? ANY : NEVER;
  return statement(
    "reject",
    () => printStatement(given),
    () => ({ kind: "verdict", verdict: "reject" }),
    {
      verdict: "drop",
      resets,
      ...(resets || kind === undefined ? {} : { icmpError: given.words.at(-1)! }),
      ...(resets || family !== null ? { goesOn } : {}),
    },
  );
}
