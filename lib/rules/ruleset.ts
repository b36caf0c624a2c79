/**
 * Rulesets: tables, chains and rules of one family, in any rule language. A chain is identified by table and name, never by
 * its name alone.
 */
import type { Family } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";
import { type BaseChain, HOOKS, type Hook } from "./base-chain.ts";
import type { Effect } from "./effect.ts";
import type { Facts } from "./facts.ts";
import type { Action, CopyMode, KnownConditions, Negatable, Reading, SetLookup, Traits } from "./reading.ts";
import type { FamilyRulesetDoubt, RulesetDoubt } from "./ruleset-doubt.ts";
import {
  type Backend,
  iptablesName,
  isTableName,
  namedBackend,
  otherTableId,
  TABLES,
  type TableId,
  type TableName,
} from "./table-name.ts";

export {
  BACKENDS,
  type Backend,
  iptablesName,
  isTableName,
  namedBackend,
  programOf,
  TABLES,
  type TableId,
  type TableName,
} from "./table-name.ts";

/** Packets and bytes. */
export type Counters = readonly [packets: number | bigint, bytes: number | bigint];

/** A release of the program that printed a ruleset: 1.8.11 is `[1, 8, 11]`. */
export type Release = readonly [number, number, number];

/** A ruleset's members that the text of its rules depends on. */
export type PrintFormat = Pick<Ruleset, "family" | "release">;

/** One condition of a rule. A rule matches a packet if all of its conditions do. */
export interface Condition {
  /** Name for messages: that of the match, `""` for the conditions before all matches. */
  readonly name: string;
  /** Its restrictions in the form that analyses read. */
  readonly reading: KnownConditions;
  /** Its result may depend on more than the packet and the host. */
  readonly opaque: boolean;
  /** Prints it as the save program does. */
  text(format: PrintFormat): string;
  /** Compiles it alone. */
  predicate(facts: Facts): Predicate;
  /** Splits it into conditions that can be copied one by one; none for a condition that fwcheck does not know. */
  parts(): readonly CopyPart[];
}

/** A condition, or a single option, that can be copied into another chain. */
export interface CopyPart extends Omit<Condition, "opaque" | "parts"> {
  readonly copy: CopyMode;
  /** Protocol that a rule with this part has to match as well. */
  readonly protocol: number | undefined;
  /** Prints a condition that matches the same packets by their header before DNAT; `null` if there is none. */
  originalText(format: PrintFormat): string | null;
}

/** Meaning of a rule on a host. */
export interface CompiledRule {
  /** Packets that the effect applies to: those that match, and those that a match drops. */
  readonly when: Predicate;
  /** Effect of the target. Chains that it names may be missing. */
  readonly effect: Effect;
}

/** One rule of a chain, in any rule language. */
export interface Rule {
  /** Table that contains the chain. */
  readonly table: TableId;
  /** Chain that contains the rule. */
  readonly chain: string;
  /** Number in its chain, from 1, as `iptables -L --line-numbers` counts. */
  readonly index: number;
  /** Line in its source, from 1; 0 for a rule that is in no text. */
  readonly line: number;
  /** Packets and bytes that it matched so far; `null` where the text has none. */
  readonly counters: Counters | null;
  /** The rule matches if each condition does. */
  readonly conditions: readonly Condition[];
  /** Conditions and action for analyses. */
  readonly reading: Reading;
  /** The action of `reading`, which is cheaper. */
  readonly action: Action;
  /** Chains that it can jump or go to, each once: several where a map selects the chain. It is cheaper than `reading`. */
  readonly calledChains: readonly string[];
  /** Properties of its matches and its target. */
  readonly traits: Traits;
  /** Name of its target as the kernel's trace and listings print it; `""` if it has none. */
  readonly targetName: string;
  /** Effect of its target on anything but the packet: `writes a line to the kernel's log`; `null` if it has none. */
  readonly sideEffect: string | null;
  /** Prints it as the save program does, without its chain and counters. */
  text(format: PrintFormat): string;
  /** Prints its target as the save program does; `""` if it has none. */
  targetText(format: PrintFormat): string;
  /** Compiles it on a host. */
  compile(facts: Facts): CompiledRule;
}

/** A chain with its rules. */
export interface Chain {
  /** Table that contains the chain. */
  readonly table: TableId;
  /** Unique in its table only. */
  readonly name: string;
  /** The hook that calls it; `null` for a chain that only rules call. */
  readonly base: BaseChain | null;
  /** Policy of a base chain; `null` for a chain that only rules call. */
  readonly policy: "ACCEPT" | "DROP" | null;
  /** Packets and bytes that its policy decided; `null` where the text has none. */
  readonly counters: Counters | null;
  /** In the order of evaluation. */
  readonly rules: readonly Rule[];
  /** Line in its source that declares it, from 1; 0 where no line does. */
  readonly line: number;
}

/** One table with its chains. */
export interface Table {
  /** Its id in a ruleset: the name of an iptables table, family and name of a table of nftables. */
  readonly name: TableId;
  /** By name, in the order of the text. */
  readonly chains: ReadonlyMap<string, Chain>;
}

/**
 * A base chain that the kernel evaluates and the text does not contain: of nftables, of the other backend of iptables, or of
 * a missing table. Its verdict is unknown. It can only drop more packets: an accept is final in its own base chain alone
 * (nft(8), VERDICT STATEMENTS).
 */
export interface Unread {
  /** The hook that it is attached to. */
  readonly hook: Hook;
  /** Name of its owner: `nftables table inet filter`. */
  readonly by: string;
  /** Packets that it can drop; absent where it can drop any. */
  readonly when?: Predicate;
  /** It can also translate a packet or change its header or mark; the further path is then unknown. */
  readonly changes?: boolean;
}

/** Returns base chains of an owner at every hook that may drop and change packets. */
export const unknownChains = (by: string): Unread[] => HOOKS.map((hook) => ({ hook, by, changes: true }));

/** Rules of a chain with a condition or statement of nftables that iptables-save does not print. */
export interface UnprintedRules {
  readonly table: TableId;
  readonly chain: string;
  /**
   * Number of rules of the chain when they were listed. If the dump has another number, any of its rules may be meant.
   * `null` for rules of the dump itself.
   */
  readonly size: number | null;
  /** Numbers of the rules in the chain, from 1. */
  readonly rules: readonly number[];
}

/** Rules that the kernel evaluates and a dump lacks, as a snapshot shows them. A report embeds them as JSON. */
export interface MissingRules {
  /** Base chains that the dump does not have. */
  readonly unread?: readonly Unread[];
  /** Rules that the dump does not have in full. */
  readonly unprinted?: readonly UnprintedRules[];
}

/** All tables of one family. A table without a text is absent: the kernel evaluates no rules in it. */
export interface Ruleset {
  /** 4 for iptables, 6 for ip6tables. */
  readonly family: Family;
  /** Name of the file it comes from. */
  readonly source: string;
  /** Programs whose output it comes from: with both, all rules of the family but those of iptables-legacy. Absent if unknown. */
  readonly programs?: readonly ("iptables-save" | "nft")[];
  /** Release of the iptables that printed it, whose form is used to print it again; absent if unknown. */
  readonly release?: Release;
  /** By id. A table of nftables' family inet is in the rulesets of both families. */
  readonly tables: ReadonlyMap<TableId, Table>;
  /** Backend of the tables whose id is the plain name of an iptables table; absent if unknown. */
  readonly backend?: Backend;
  /**
   * Base chains of a hook, as table and chain, in the order in which the kernel runs them; `conntrack` and `nat` are
   * connection tracking and translation. Absent if it is not known: then only the priorities determine the order.
   */
  readonly hookOrder?: ReadonlyMap<Hook, readonly string[]>;
  /** Family and name of each table of nftables whose text was read, those that are not followed included. */
  readonly nftTables?: readonly string[];
  /** Base chains that are not in `tables`; absent if none is known. */
  readonly unread?: readonly Unread[];
  /**
   * Reasons why the kernel may have other rules: the text names other rules, some of its lines are invalid, it is cut off, or
   * a table is given twice.
   */
  readonly doubts: readonly RulesetDoubt[];
  /** The text has all tables of the family, as in a snapshot, which runs the save program without `-t`. */
  readonly whole?: boolean;
  /** Rules may be missing: the text is cut off, some of its lines are invalid, or a table is given twice. */
  readonly damaged?: boolean;
}

/** Returns a chain by table and name. */
export const chainOf = (ruleset: Ruleset, table: TableId, name: string): Chain | undefined =>
  ruleset.tables.get(table)?.chains.get(name);

/** Returns the id that a table of a backend of iptables has in a ruleset. */
export const idOfBackend = (
  { backend: plain }: Pick<Ruleset, "backend">,
  backend: Backend,
  name: TableName,
): TableId => (plain === undefined || plain === backend ? name : otherTableId(backend, name));

/** Returns the backend of a table of iptables; `null` for a table of nftables and where it is unknown. */
export const backendOf = ({ backend }: Pick<Ruleset, "backend">, id: TableId): Backend | null =>
  isTableName(id) ? (backend ?? null) : namedBackend(id);

/** Returns the ids of the tables of iptables in a ruleset, of both backends. */
export const iptablesTables = ({ tables }: Pick<Ruleset, "tables">): TableId[] =>
  [...tables.keys()].filter((id) => iptablesName(id) !== null);

/** Returns the ids of the tables filter of iptables in a ruleset, of both backends. */
export const filterTables = (ruleset: Pick<Ruleset, "tables">): TableId[] =>
  iptablesTables(ruleset).filter((id) => iptablesName(id) === "filter");

/** Returns true if both backends of iptables have tables in a ruleset. */
export const hasBothBackends = (ruleset: Pick<Ruleset, "tables">): boolean =>
  iptablesTables(ruleset).some((id) => namedBackend(id) !== null);

/** Returns the tables of a ruleset: those of iptables in the order of `TABLES`, then all others in their order. */
export function tablesOf({ tables }: Ruleset): Table[] {
  const ofIptables = TABLES.flatMap((name) => tables.get(name) ?? []);
  return ofIptables.length === tables.size
    ? ofIptables
    : [...ofIptables, ...[...tables.values()].filter((table) => !ofIptables.includes(table))];
}

/** Returns the chain that a rule jumps or goes to if it is the same for all packets; `null` for any other rule. */
export const calledChain = ({ calledChains }: Rule): string | null =>
  calledChains.length === 1 ? calledChains[0]! : null;

/** Returns the hook that calls a chain; `null` for a chain that only rules call. */
export const hookOf = ({ base }: Chain): Hook | null => base?.hook ?? null;

/** Returns the base chains of all tables. */
export const baseChainsOf = (ruleset: Ruleset): BaseChain[] =>
  tablesOf(ruleset).flatMap(({ chains }) => [...chains.values()].flatMap(({ base }) => base ?? []));

/** Returns a ruleset in which no hook calls the other base chains; tables of iptables without one are absent. */
export function withBaseChains(ruleset: Ruleset, keep: (base: BaseChain) => boolean): Ruleset {
  const tables = [...ruleset.tables].flatMap(([id, table]): [TableId, Table][] => {
    const all = [...table.chains.values()];
    const lost = all.filter(({ base }) => base !== null && !keep(base));
    if (lost.length === 0) return [[id, table]];
    if (iptablesName(id) !== null && all.every(({ base }) => base === null || !keep(base))) return [];
    const chains = new Map(table.chains);
    for (const chain of lost) chains.set(chain.name, { ...chain, base: null, policy: null });
    return [[id, { ...table, chains }]];
  });
  return { ...ruleset, tables: new Map(tables) };
}

/** Yields the rules of all chains of all tables. */
export function* allRules({ tables }: Ruleset): Generator<Rule, undefined> {
  for (const { chains } of tables.values()) for (const { rules } of chains.values()) yield* rules;
}

/** Returns the number of rules in all tables. */
export function countRules({ tables }: Ruleset): number {
  let count = 0;
  for (const { chains } of tables.values()) for (const { rules } of chains.values()) count += rules.length;
  return count;
}

/** Returns the doubts of a ruleset, each with its family. */
export const rulesetDoubts = (ruleset: Ruleset): FamilyRulesetDoubt[] =>
  ruleset.doubts.map((doubt) => ({ ...doubt, family: ruleset.family }));

/** Returns the lookups of a rule in sets. For a rule without one it is cheaper than `reading`. */
export const setLookups = (rule: Rule): readonly Negatable<SetLookup>[] =>
  rule.traits.matchesSets === true ? (rule.reading.sets ?? []) : [];

/** Returns the name of a rule's target as the trace and the listings print it; `""` if it has none. */
export const targetName = (rule: Rule): string => rule.targetName;
