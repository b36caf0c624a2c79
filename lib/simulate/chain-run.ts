/**
 * Evaluates a chain on one packet, rule by rule and with a stack of jumps as in the kernel (ipt_do_table in
 * net/ipv4/netfilter/ip_tables.c). If a match is unknown, evaluation branches.
 */

import { CT, type Field } from "../packet/field.ts";
import { evaluate, type Unknown } from "../packet/predicate.ts";
import { effectOn } from "../path/chosen-effect.ts";
import type { EndReason } from "../path/end-reason.ts";
import { type BoundChain, type BoundRule, type Program, stepOf } from "../path/program.ts";
import type { Part } from "../path/walk.ts";
import {
  type Change,
  changed,
  type Effect,
  type Nat,
  NOTE,
  type RulePlace,
  type Verdict,
} from "../rules/effect.ts";
import type { Rule, TableId } from "../rules/ruleset.ts";
import type { PacketState } from "./packet-state.ts";
import { TOO_MANY_BRANCHES, type WorkLimit } from "./work-limit.ts";

/** Outcome of a base chain for a packet. */
export type ChainResult = Verdict | "undecided" | { readonly nat: Nat; readonly rule: Rule };

/** A stack frame: the next rule of a chain, and the frame to return to. */
interface Frame {
  readonly chain: BoundChain;
  readonly next: number;
  readonly below: Frame | null;
}

/** Returns the frame for the end of a chain without a caller. */
const endOf = ({ chain }: Frame): Frame => ({ chain, next: chain.rules.length, below: null });

/** Most branches of a packet in one base chain. */
const MOST_CHAIN_BRANCHES = 256;
/** Returns true for unknowns of `-m limit`, which is assumed to match, as it does within its burst. */
export const isLimitKey = (key: string): boolean => key.startsWith("limit@");

/** Evaluates a base chain. A chain that the ruleset does not contain accepts. */
export function runChain(
  start: PacketState,
  program: Program,
  table: TableId,
  name: string,
  effort: WorkLimit,
): Part<PacketState, ChainResult>[] {
  const chain = program.chain(table, name);
  if (chain === undefined) return [{ state: start, outcome: "accept" }];
  const branches: Branches = { done: [], open: [] };
  branches.open.push({ state: start, frame: { chain, next: 0, below: null } });
  while (branches.open.length > 0) {
    const { state, frame } = branches.open.pop()!;
    branches.done.push(new BranchRun(state, frame, program, branches, effort).run());
  }
  return branches.done;
}

/** Branches of a packet in one base chain. */
interface Branches {
  readonly done: Part<PacketState, ChainResult>[];
  /** Branches whose evaluation continues at a frame. */
  readonly open: { readonly state: PacketState; readonly frame: Frame }[];
}

/** Evaluates rules until the outcome of one branch is known. An unknown match adds another branch. */
class BranchRun {
  private trail: PacketState["trail"];
  private outcome: ChainResult | undefined;
  private reason: EndReason | undefined;

  constructor(
    private state: PacketState,
    private frame: Frame,
    private readonly program: Program,
    private readonly branches: Branches,
    private readonly effort: WorkLimit,
  ) {
    this.trail = state.trail;
  }

  run(): Part<PacketState, ChainResult> {
    while (this.outcome === undefined) this.step();
    return { state: this.state.withTrail(this.trail), outcome: this.outcome, reason: this.reason };
  }

  /** Evaluates the next rule that can match. */
  private step(): void {
    const { effort, frame, state } = this;
    if (effort.exceeded !== null) {
      this.state = state.assume(effort.exceeded);
      this.outcome = "undecided";
      return;
    }
    const { rules, classifier } = frame.chain;
    const found = classifier.next(state, state, frame.next);
    const index = found >> 1;
    const bound = rules[index];
    effort.countStep(index - frame.next);
    if (bound === undefined) {
      this.leaveChain();
      return;
    }
    const matches = (found & 1) === 0 || evaluate(bound.when, state);
    const next: Frame = { chain: frame.chain, next: index + 1, below: frame.below };
    if (matches === false) this.frame = next;
    else if (matches === true) this.follow(bound, next);
    else this.branch(bound, matches);
  }

  /** Applies the effect of a rule that matches. If an unknown decides it, the rule is evaluated again in both branches. */
  private follow(bound: BoundRule, next: Frame): void {
    let { state } = this;
    let effect = effectOn(bound.effect, state);
    while ("kind" in effect && effect.kind === "assign") {
      state = assignPacketField(state, effect.field, effect.change);
      effect = effectOn(effect.next ?? NOTE, state);
    }
    if (!("kind" in effect)) {
      this.branch(bound, effect);
      return;
    }
    this.state = state;
    this.apply(bound, effect, next);
  }

  /** The end of a chain: returns to the caller, or applies the policy. */
  private leaveChain(): void {
    const { below, chain } = this.frame;
    this.trail = { last: chain.end, before: this.trail };
    if (below !== null) this.frame = below;
    else this.outcome = chain.policy ?? "accept";
  }

  /** Continues with the rule matching; another branch continues with the rule not matching. */
  private branch({ rule }: BoundRule, unknown: Unknown): void {
    const { branches, frame, state } = this;
    const { chain } = frame.chain;
    const at: RulePlace = { table: chain.table, chain: chain.name, rule: rule.index };
    if (isLimitKey(unknown.key))
      this.state = state.settle(unknown.key, true).assume({ code: "limit-matches", at });
    else if (branches.done.length + branches.open.length >= MOST_CHAIN_BRANCHES) {
      this.state = state.assume(TOO_MANY_BRANCHES);
      this.outcome = "undecided";
    } else {
      this.effort.countBranch();
      branches.open.push({ state: state.withTrail(this.trail).suppose(unknown, false, at), frame });
      this.state = state.suppose(unknown, true, at);
    }
  }

  /** Applies the last effect of a rule that matches. */
  private apply(bound: BoundRule, effect: Effect, next: Frame): void {
    const reported = effect.kind === "note" ? effect.breaks !== true : effect.kind !== "hotdrop";
    if (reported) this.trail = { last: stepOf(bound), before: this.trail };
    switch (effect.kind) {
      case "verdict":
        this.outcome = effect.verdict;
        break;
      case "nat":
        this.outcome = { nat: effect, rule: bound.rule };
        break;
      case "opaque":
        this.state = this.state.assume({ code: "unknown-effect", key: effect.key, reason: effect.reason });
        this.outcome = "undecided";
        break;
      case "hotdrop":
      case "stolen":
        this.outcome = "drop";
        this.reason = effect.reason;
        break;
      case "note":
        this.frame = next;
        break;
      case "jump":
        this.frame = { chain: this.program.target(bound, effect.chain), next: 0, below: next };
        break;
      case "goto":
        // A goto pushes no frame: the end of the other chain returns to the caller of this one.
        this.frame = {
          chain: this.program.target(bound, effect.chain),
          next: 0,
          below: this.frame.below ?? endOf(this.frame),
        };
        break;
      case "return":
        if (this.frame.below === null) this.leaveChain();
        else this.frame = this.frame.below;
    }
  }
}

/**
 * Applies the assignments of an effect to a packet.
 * @param settled the packet after the rule, whose suppositions decide forks and choices
 */
export function applyAssignments(effect: Effect, start: PacketState, settled: PacketState): PacketState {
  let state = start;
  const resolved = (part: Effect): Effect | Unknown =>
    effectOn(part, { field: (field) => state.field(field), settled: (key) => settled.settled(key) });
  for (let rest = resolved(effect); "kind" in rest && rest.kind === "assign"; ) {
    state = assignPacketField(state, rest.field, rest.change);
    rest = resolved(rest.next ?? NOTE);
  }
  return state;
}

/** Assigns a field, if the kernel allows it. */
export function assignPacketField(state: PacketState, field: Field, change: Change): PacketState {
  const { connection } = state;
  // A packet with a connection, or with a template from an earlier rule, is left alone (xt_ct_target).
  if (field === "ctstate" && (connection !== null || state.field("ctstate") !== CT.INVALID)) return state;
  const ofConnection = field === "ctmark" || (change.kind === "copy" && change.from === "ctmark");
  if (ofConnection && connection === null) return state;
  // A missing field counts as 0, so that the new value is always known.
  const from = change.kind === "copy" ? (state.field(change.from) ?? 0) : undefined;
  const value = changed(state.field(field) ?? 0, change, from)!;
  return state.with(field, value);
}
