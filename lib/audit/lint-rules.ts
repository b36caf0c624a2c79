/**
 * Finds dead, shadowed, redundant and correlated rules in all tables, over all packets and all elements that sets with a name can have.
 * Each table is compared by itself: all packets enter its base chains.
 */
import type { Host } from "../host/host.ts";
import { knownChain } from "../host/known/chains.ts";
import type { Family } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import { findCorrelatedRules } from "../reach/correlated-rules.ts";
import { findRedundantRules, type Redundancy } from "../reach/redundant-rules.ts";
import { type Shadow, ShadowSearch } from "../reach/shadowed-rules.ts";
import { TableDomain } from "../reach/table-domain.ts";
import {
  allRules,
  type Chain,
  iptablesName,
  type Rule,
  type Ruleset,
  type TableId,
  tablesOf,
} from "../rules/ruleset.ts";
import { isDockerRule } from "./docker-rules.ts";
import { isOwners } from "./owner-rules.ts";
import type { AnomalyCause, AnomalyDetail, RuleAnomaly, RuleLint, UnsettledTable } from "./rule-anomaly.ts";
import { ruleNote } from "./rule-note.ts";

/** Most intervals that the diagrams of one table may have. */
const BUDGET = 20_000_000;

/** Options of `lintRules`. */
export interface LintOptions {
  /** Also reports rules that programs wrote: Docker, ufw, fail2ban and others. */
  readonly all?: boolean | undefined;
  /** Also reports rules whose order decides about packets that both match. */
  readonly correlated?: boolean | undefined;
  /** Most intervals that the diagrams of one table may have. */
  readonly budget?: number | undefined;
}

/** Anomaly of a rule for the packets of one family. */
interface FamilyAnomaly {
  readonly ruleset: Ruleset;
  readonly rule: Rule;
  readonly detail: AnomalyDetail;
}

/** Anomalies of one table for the packets of one family, by the place of the rule. */
interface TableResult {
  readonly ruleset: Ruleset;
  readonly table: TableId;
  readonly rules: number;
  /** `null` if a limit was exceeded. */
  readonly found: ReadonlyMap<string, FamilyAnomaly> | null;
  /** Correlated rules. */
  readonly correlated?: ReadonlyMap<string, FamilyAnomaly>;
  readonly exceeded?: BudgetExceeded;
}

/**
 * Returns the rules that no packet matches, or that can be removed without a change for any packet. A table that exceeds the
 * budget is `unsettled`, never an error.
 * @param rulesets at most one per family
 */
export function lintRules(rulesets: readonly Ruleset[], host: Host, options: LintOptions = {}): RuleLint {
  const anyElements: Host = { ...host, setsVary: true };
  const results = rulesets.flatMap((ruleset) => {
    const program = Program.of(ruleset, anyElements);
    return tablesOf(ruleset).map(({ name }) => lintTable(program, name, options));
  });
  const groups = new Map<string, TableResult[]>();
  for (const result of results) {
    // A table of nftables' family inet is in the rulesets of both families; tables of iptables only share the name.
    const key =
      iptablesName(result.table) === null ? result.table : `${result.ruleset.family} ${result.table}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  const anomalies = [...groups.values()].flatMap((group) =>
    inOrder([...mergeFamilies(group, host), ...mergeCorrelated(group, host)], group),
  );
  const listed = options.all === true ? anomalies : anomalies.filter(({ program }) => program === null);
  return {
    anomalies: listed,
    omitted: anomalies.length - listed.length,
    rules: [...groups.values()].reduce((sum, [first]) => sum + first!.rules, 0),
    unsettled: results.flatMap(unsettledTable),
  };
}

function unsettledTable({ exceeded, ruleset, table }: TableResult): UnsettledTable[] {
  if (exceeded === undefined) return [];
  return [{ family: ruleset.family, table, limit: exceeded.budget, unit: exceeded.unit }];
}

function lintTable(program: Program, table: TableId, options: LintOptions): TableResult {
  const { ruleset } = program;
  const chains = [...ruleset.tables.get(table)!.chains.values()];
  const rules = chains.reduce((sum, chain) => sum + chain.rules.length, 0);
  const result = { ruleset, table, rules };
  const search = withinBudget(
    () => new ShadowSearch(new TableDomain(program, table, options.budget ?? BUDGET), "fewest"),
  );
  if (search instanceof BudgetExceeded) return { ...result, found: null, exceeded: search };
  const redundant = withinBudget(() => new Map(findRedundantRules(search)));
  if (redundant instanceof BudgetExceeded) return { ...result, found: null, exceeded: redundant };
  const last = lastTracker(ruleset);
  if (last !== null) redundant.delete(last);
  const found = new Map<string, FamilyAnomaly>();
  for (const chain of chains)
    for (const each of chainAnomalies(chain, search, redundant, ruleset))
      found.set(placeOf(each.rule), { ...each, ruleset });
  if (options.correlated !== true) return { ...result, found };
  const pairs = withinBudget(() => findCorrelatedRules(search));
  if (pairs instanceof BudgetExceeded) return { ...result, found, exceeded: pairs };
  const correlated = [...pairs].map(([rule, earlier]): [string, FamilyAnomaly] => {
    const by = earlier.map((each): AnomalyCause => ({ rule: ruleNote(each, ruleset), decides: "otherwise" }));
    return [placeOf(rule), { rule, ruleset, detail: { kind: "correlated", by } }];
  });
  return { ...result, found, correlated: new Map(correlated) };
}

/** Returns a result, or the limit that it exceeds. */
function withinBudget<T>(compute: () => T): T | BudgetExceeded {
  try {
    return compute();
  } catch (error) {
    if (error instanceof BudgetExceeded) return error;
    throw error;
  }
}

const placeOf = ({ chain, index }: Rule): string => `${index} ${chain}`;

function* chainAnomalies(
  chain: Chain,
  search: ShadowSearch,
  redundant: ReadonlyMap<Rule, Redundancy>,
  ruleset: Ruleset,
): Generator<Omit<FamilyAnomaly, "ruleset">> {
  const { rules } = chain;
  const [first] = rules;
  if (first === undefined) return;
  if (!search.isEntered(search.table.program.chain(chain.table, chain.name)!)) {
    yield { rule: first, detail: { kind: "dead", reason: "chain-not-entered", rules: rules.length } };
    return;
  }
  for (const rule of rules) {
    const shadow = search.found.get(rule);
    const redundancy = redundant.get(rule);
    if (shadow !== undefined) yield { rule, detail: shadowDetail(shadow, ruleset) };
    else if (redundancy !== undefined) {
      const by = redundancy.by.map(
        (each): AnomalyCause => ({ rule: ruleNote(each, ruleset), decides: "same" }),
      );
      yield { rule, detail: { kind: "redundant", reason: "later", by, reachesEnd: redundancy.reachesEnd } };
    }
  }
}

/** Traits that make the kernel register connection tracking or reassemble fragments. */
const REGISTERING = [
  "needsConntrack",
  "needsConntrackIpv4",
  "needsConntrackIpv6",
  "preparesConnection",
  "defragments",
] as const;

/** Returns the rule without which connection tracking, and with it NAT, would be off; `null` if several keep it on. */
function lastTracker(ruleset: Ruleset): Rule | null {
  let last: Rule | null = null;
  for (const rule of allRules(ruleset)) {
    if (!REGISTERING.some((trait) => rule.traits[trait] === true)) continue;
    if (last !== null) return null;
    last = rule;
  }
  return last;
}

function shadowDetail(shadow: Shadow, ruleset: Ruleset): AnomalyDetail {
  if (shadow.kind === "contradiction") return { kind: "dead", reason: "contradiction" };
  if (shadow.kind === "elsewhere") return { kind: "dead", reason: "no-packet" };
  const by = shadow.by.map(({ decides, rule }): AnomalyCause => ({ rule: ruleNote(rule, ruleset), decides }));
  return by.every(({ decides }) => decides === "same")
    ? { kind: "redundant", reason: "earlier", by }
    : { kind: "shadowed", by };
}

/** Returns the anomalies of a table; those of a table for both families are anomalies for the packets of each. */
function mergeFamilies(results: readonly TableResult[], host: Host): RuleAnomaly[] {
  const [first, ...others] = results;
  if (first === undefined || results.some(({ found }) => found === null)) return [];
  return [...first.found!].flatMap(([place, anomaly]): RuleAnomaly[] => {
    const all = [anomaly, ...others.flatMap(({ found }) => found!.get(place) ?? [])];
    if (all.length < results.length) return [];
    // For the packets of one family the rule may only contradict itself: the other family shows more.
    const shown = all.reduce((best, each) => (weight(each.detail) > weight(best.detail) ? each : best));
    const families = results.map(({ ruleset }): Family => ruleset.family);
    const rule = ruleNote(shown.rule, shown.ruleset);
    return [{ ...shown.detail, families, rule, program: programOfRule(shown.rule, host) }];
  });
}

/** Returns the correlated rules of a table; for the packets of one family is enough. */
function mergeCorrelated(results: readonly TableResult[], host: Host): RuleAnomaly[] {
  const merged = new Map<string, RuleAnomaly>();
  for (const { correlated, ruleset } of results)
    for (const [place, { detail, rule }] of correlated ?? []) {
      const families = [...(merged.get(place)?.families ?? []), ruleset.family];
      const program = programOfRule(rule, host);
      merged.set(place, { ...detail, families, rule: ruleNote(rule, ruleset), program });
    }
  return [...merged.values()];
}

/** Sorts the anomalies of a table by their rules. */
function inOrder(anomalies: readonly RuleAnomaly[], results: readonly TableResult[]): RuleAnomaly[] {
  const { ruleset, table } = results[0]!;
  const chains = new Map([...ruleset.tables.get(table)!.chains.keys()].map((name, i) => [name, i]));
  const orderOf = ({ rule }: RuleAnomaly): number => chains.get(rule.chain)!;
  return [...anomalies].sort((a, b) => orderOf(a) - orderOf(b) || a.rule.rule - b.rule.rule);
}

/** Rank of an anomaly among those of the families: one that removes packets' way through the rule counts most. */
function weight(detail: AnomalyDetail): number {
  if (detail.kind === "shadowed") return 2;
  if (detail.kind !== "redundant") return 0;
  return detail.reason === "later" ? 3 : 1;
}

/** Returns the program that wrote a rule; `null` for rules of the owner. */
function programOfRule(rule: Rule, host: Host): string | null {
  if (isOwners(rule, host)) return programOfCall(rule);
  if (isDockerRule(rule, host)) return "Docker";
  return knownChain(rule.table, rule.chain)?.by ?? null;
}

/** Returns the program that fills a chain that a rule calls, and that so wrote the call; `null` if there is none. */
function programOfCall({ calledChains, table }: Rule): string | null {
  for (const name of calledChains) {
    const by = knownChain(table, name)?.by;
    // Docker writes the call of the chain whose rules are the owner's.
    if (by !== undefined) return by === "you" ? "Docker" : by;
  }
  return null;
}
