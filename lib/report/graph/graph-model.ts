/**
 * The chain graph as data: the hooks in the order of the packet path, for each hook its tables, for each table the base
 * chain and the chains below it. A chain that several hooks reach is in the graph once per hook, so no call crosses
 * from one hook to another.
 */
import type { Family } from "../../packet/field.ts";
import type { Hook } from "../../rules/base-chain.ts";
import type { TableId } from "../../rules/ruleset.ts";
import type { Trace } from "../../simulate/answer.ts";
import type { Author } from "../explain/author.ts";

/** Action of a row on a packet that matches; `several` for rules with different actions. */
export type RowAction =
  | "accept"
  | "drop"
  | "reject"
  | "return"
  | "jump"
  | "goto"
  | "nat"
  | "change"
  | "note"
  | "unknown"
  | "several";

/** One rule of a chain, or several consecutive rules. */
export interface GraphRow {
  /** Number of its first rule, from 1. */
  readonly first: number;
  /** Number of its last rule. */
  readonly last: number;
  /**
   * Condition of the rule, shortened: `tcp dport 80`, `ufw allow 22/tcp`; empty if the rule matches every packet. For a
   * row of several rules, their number: `12 rules`.
   */
  readonly condition: string;
  /** Action on a packet that matches. */
  readonly action: RowAction;
  /** Its target, shortened: `ACCEPT`, `DNAT 172.17.0.2:80`, the name of a chain. */
  readonly target: string;
  /** Id of the chain that it calls; `null` if it calls none, or the chain is not drawn. */
  readonly to: string | null;
  /** Author of its rules; `null` if they have different authors. */
  readonly author: Author | null;
  /** Its rules as iptables-save prints them; the first ones if there are many. */
  readonly rules: readonly string[];
  /** The traced packet matched it. */
  readonly passed: boolean;
}

/** A chain at a hook. */
export interface GraphChain {
  /** Unique in the graph: hook, table and name. */
  readonly id: string;
  /** The hook that reaches it; `null` if none does. */
  readonly hook: Hook | null;
  /** Its table. */
  readonly table: TableId;
  /** Its name, unique in its table. */
  readonly name: string;
  /** Policy of a built-in chain; `null` for any other. */
  readonly policy: "ACCEPT" | "DROP" | null;
  /** Program that fills it, or the owner; `null` for a built-in chain, which may have rules of all. */
  readonly author: Author | null;
  /** Number of its rules. */
  readonly size: number;
  /** Line in the input that declares it, from 1; 0 if none does. */
  readonly line: number;
  /** Other hooks that reach it. */
  readonly also: readonly Hook[];
  /** Its rules in order. */
  readonly rows: readonly GraphRow[];
  /** The traced packet reached it. */
  readonly passed: boolean;
  /** Its policy applied to the traced packet. */
  readonly ended: boolean;
}

/** A stage of a hook: connection tracking (`table` is `null`), or a table. */
export interface GraphStage {
  /** The table; `null` for connection tracking. */
  readonly table: TableId | null;
  /** Its chains, the base chain first. */
  readonly chains: readonly GraphChain[];
}

/** A hook with its stages; with the hook `null`, the chains that no hook reaches. */
export interface GraphHook {
  /** The hook; `null` for the chains that no hook reaches. */
  readonly hook: Hook | null;
  /** In the order of priorities. */
  readonly stops: readonly GraphStage[];
  /** The traced packet reached it. */
  readonly passed: boolean;
}

/** A jump or goto that is drawn as a line. */
export interface GraphCall {
  /** Id of the calling chain. */
  readonly from: string;
  /** Id of the called chain. */
  readonly to: string;
  /** Packets do not return to the caller of a `goto`. */
  readonly kind: "jump" | "goto";
  /** Index of the caller's row. */
  readonly row: number;
  /** Number of rules in that row. */
  readonly rules: number;
  /** The traced packet matched the row. */
  readonly passed: boolean;
}

/** A point of the packet path: a hook, or what is between hooks. */
export type PathPoint = Hook | "network" | "routing" | "programs" | "out";

/** A section of the packet path from one point to the next. */
export interface GraphStep {
  /** Start of the section. */
  readonly from: PathPoint;
  /** End of the section. */
  readonly to: PathPoint;
  /** The traced packet passed both. */
  readonly passed: boolean;
}

/** Numbers of chains and calls that the graph leaves out. */
export interface GraphOmissions {
  /** Chains without rules. */
  readonly empty: number;
  /** Chains that no hook reaches. */
  readonly uncalled: number;
  /** Chains that are called by folded rows only. */
  readonly folded: number;
  /** Calls of chains that are not drawn because there are too many. */
  readonly calls: number;
}

/** The chains of one ruleset. */
export interface ChainGraph {
  /** Version of this format. */
  readonly version: 1;
  /** 4 for iptables, 6 for ip6tables. */
  readonly family: Family;
  /** Name of the file that contains the rules. */
  readonly source: string;
  /** PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING; then, if selected, the chains that no hook reaches. */
  readonly hooks: readonly GraphHook[];
  /** The lines between chains. */
  readonly calls: readonly GraphCall[];
  /** The packet path between the hooks. */
  readonly way: readonly GraphStep[];
  /** Rules that nat PREROUTING reaches translate destinations (DNAT): packets to the host may be forwarded. */
  readonly rewrites: boolean;
  /** Only a selected chain, the chains above and those below it are drawn. */
  readonly part: boolean;
  /** The traced packet and its verdict; `null` without a trace. */
  readonly traced: string | null;
  /** Numbers of chains and calls that are left out. */
  readonly omitted: GraphOmissions;
  /** Doubts about the rules, and what is left out with the option that draws it; a sentence each. */
  readonly notes: readonly string[];
}

/** A chain by its table and name. */
export interface ChainName {
  /** Its table. */
  readonly table: TableId;
  /** Unique in its table only. */
  readonly name: string;
}

/** Selects what is drawn. */
export interface GraphOptions {
  /** Draws every chain and every rule, including empty and uncalled chains. */
  readonly all?: boolean;
  /** Draws only this chain, the chains above and those below it. */
  readonly chain?: ChainName;
  /** Trace of a packet whose path is marked. */
  readonly trace?: Trace;
}

/** Returns the id of a chain at a hook. */
export const chainId = (hook: Hook | null, table: TableId, name: string): string =>
  `${hook ?? "-"}/${table}/${name}`;
