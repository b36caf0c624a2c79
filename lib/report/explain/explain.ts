/** Explains chains and rules: data with codes, and sentences. */
import type { Host } from "../../host/host.ts";
import type { HostInference } from "../../host/inference.ts";
import type { Family } from "../../packet/field.ts";
import type { Hook } from "../../rules/base-chain.ts";
import { type Chain, chainOf, type Ruleset, type TableId, tablesOf } from "../../rules/ruleset.ts";
import { purposeText } from "../text/chain-purpose.ts";
import { inferenceText } from "../text/inference-text.ts";
import { sentence } from "../text/list.ts";
import { type ChainEnd, type ChainFacts, type ChainLocation, chainFacts } from "./chain-facts.ts";
import { chainPitfallText, endText, locationText, rulePitfallText, ruleSentences } from "./explain-text.ts";
import type { Naming } from "./field-text.ts";
import type { ChainPitfall, RulePitfall } from "./pitfalls.ts";
import type { RuleAction } from "./rule-action.ts";
import type { RuleFacts } from "./rule-facts.ts";
import { RulesetIndex } from "./ruleset-index.ts";

/** Explanation of a rule. Texts contain text of the ruleset: print them with `safe`. */
export interface RuleExplained {
  /** Number in its chain, from 1. */
  readonly rule: number;
  /** Line in the input, from 1. */
  readonly line: number;
  /** As iptables-save prints it, without its chain. */
  readonly text: string;
  /** Program that wrote it: `Docker`, `ufw` and so on; `null` if unknown. */
  readonly by: string | null;
  /** The ufw command that wrote it, without the word `ufw`; absent for any other rule. */
  readonly ufw?: string;
  /** The packets that match it and what happens to them, in a sentence or two. */
  readonly says: string;
  /** Action on packets that match it. */
  readonly action: RuleAction;
  /** True if no packet can match it; one of the pitfalls has the reason. */
  readonly dead: boolean;
  /** Pitfalls: facts that are easily misunderstood, a sentence each. */
  readonly notes: readonly string[];
  /** The same as data, in the same order. */
  readonly pitfalls: readonly RulePitfall[];
  /** Packets and bytes that matched it; `null` if the text has no counters. */
  readonly counters: { readonly packets: number; readonly bytes: number } | null;
}

/** Explanation of a chain. */
export interface ChainExplained {
  /** 4 or 6. */
  readonly family: Family;
  /** Name of the file that contains it. */
  readonly source: string;
  /** Its table. */
  readonly table: TableId;
  /** Its name. */
  readonly chain: string;
  /** Program that fills it: `Docker`, `ufw`, `you`; `null` if its name does not show that. */
  readonly by: string | null;
  /** Docker versions with this layout of rules; absent for chains of other programs. */
  readonly docker?: string;
  /** Its purpose, a sentence; `null` if its name does not show that. */
  readonly what: string | null;
  /** Policy of a built-in chain, else `null`. */
  readonly policy: "ACCEPT" | "DROP" | null;
  /** Hooks from which packets reach it. */
  readonly hooks: readonly Hook[];
  /** Its position at a hook, or the rules that call it, a sentence each. */
  readonly place: readonly string[];
  /** The same as data. */
  readonly location: ChainLocation;
  /** Called chains, in the order of the first call. */
  readonly calls: readonly string[];
  /** Number of its rules; `rules` may contain fewer. */
  readonly length: number;
  /** Numbers of the rules that no packet can match. */
  readonly dead: readonly number[];
  /** Its rules, or the selected one. */
  readonly rules: readonly RuleExplained[];
  /** Result for packets that no rule decides, a sentence. */
  readonly end: string;
  /** The same as data. */
  readonly endAction: ChainEnd;
  /** Pitfalls: facts that are easily misunderstood, a sentence each. */
  readonly notes: readonly string[];
  /** The same as data, in the same order. */
  readonly pitfalls: readonly ChainPitfall[];
}

/** Explanation of chains. */
export interface Explanation {
  /** Version of this format. */
  readonly version: 1;
  /** Facts about the host that were inferred because no input has them, a sentence for each of `inferences`. */
  readonly inferred: readonly string[];
  /** The same as codes with typed fields. */
  readonly inferences: readonly HostInference[];
  /** The selected chains: families in the order of the rulesets, tables in the order of a hook. */
  readonly chains: readonly ChainExplained[];
}

/** Selects chains and rules. */
export interface ExplainOptions {
  /** Name of a chain, or `table/name`; all chains if absent. */
  readonly chain?: string | undefined;
  /** Number of a rule, from 1; all rules if absent. Chains without such a rule are left out. */
  readonly rule?: number | undefined;
  /** Leaves out the rules, for a list of chains. */
  readonly map?: boolean | undefined;
  /** Only this family; all families of the rulesets if absent. */
  readonly family?: Family | undefined;
}

/**
 * Explains chains or one rule. A name that several tables or both families contain selects all of these chains.
 * @returns no chains if no chain has the name and the rule
 */
export function explain(
  rulesets: readonly Ruleset[],
  host: Host,
  { chain, rule, map, family }: ExplainOptions = {},
): Explanation {
  const chains = rulesets
    .filter((ruleset) => family === undefined || ruleset.family === family)
    .flatMap((ruleset) => {
      const index = new RulesetIndex(ruleset, host);
      const selected = chainsNamed(ruleset, chain).filter(
        ({ rules }) => rule === undefined || rules.some((each) => each.index === rule),
      );
      return selected.map((each) =>
        chainExplained(chainFacts(each, map === true ? null : rule, index), index),
      );
    });
  const { inferences } = host;
  return { version: 1, inferred: inferences.map(inferenceText), inferences, chains };
}

/** Chains with the name, or with `table/name`; all chains without a name. */
function chainsNamed(ruleset: Ruleset, name: string | undefined): Chain[] {
  const tables = tablesOf(ruleset);
  if (name === undefined) return tables.flatMap((table) => [...table.chains.values()]);
  const exact = tables.flatMap((table) => table.chains.get(name) ?? []);
  if (exact.length > 0) return exact;
  const slash = name.indexOf("/");
  const table = name.slice(0, Math.max(0, slash));
  const chain = chainOf(ruleset, table, name.slice(slash + 1));
  return chain === undefined ? [] : [chain];
}

function chainExplained(facts: ChainFacts, { ruleset, program, host }: RulesetIndex): ChainExplained {
  const { chain, purpose, docker, location, end, pitfalls } = facts;
  const naming: Naming = { facts: program.facts, host };
  return {
    family: ruleset.family,
    source: ruleset.source,
    table: chain.table,
    chain: chain.name,
    by: purpose?.by ?? null,
    ...(docker === null ? {} : { docker }),
    what: purpose === null ? null : sentence(`This chain ${purposeText(purpose)}`),
    policy: chain.policy,
    hooks: facts.hooks,
    place: locationText(location, chain.table),
    location,
    calls: facts.calls,
    length: chain.rules.length,
    dead: facts.dead,
    rules: facts.rules.map((each) => ruleExplained(each, naming)),
    end: endText(end, chain.name),
    endAction: end,
    notes: pitfalls.map(chainPitfallText),
    pitfalls,
  };
}

function ruleExplained(facts: RuleFacts, naming: Naming): RuleExplained {
  const { rule, text, by, ufw, action, dead, pitfalls } = facts;
  return {
    rule: rule.index,
    line: rule.line,
    text,
    by,
    ...(ufw === null ? {} : { ufw }),
    says: ruleSentences(facts, naming),
    action,
    dead: dead !== null,
    notes: pitfalls.map(rulePitfallText),
    pitfalls,
    counters:
      rule.counters === null ? null : { packets: Number(rule.counters[0]), bytes: Number(rule.counters[1]) },
  };
}
