/**
 * Evaluates a chain on one packet, rule by rule and with a stack of jumps as in the kernel (ipt_do_table in
 * net/ipv4/netfilter/ip_tables.c). If a match is unknown, evaluation branches.
 */

import { CT, type Field } from "../packet/field.ts";
import { evaluate } from "../packet/predicate.ts";
import type { EndReason } from "../path/end-reason.ts";
import { type BoundChain, type Program, stepOf } from "../path/program.ts";
import type { Part } from "../path/walk.ts";
import {
  type Change,
  changed,
  type Effect,
  type Nat,
  type RulePlace,
  type Verdict,
} from "../rules/effect.ts";
import type { Rule, TableName } from "../rules/ruleset.ts";
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

/** Most branches of a packet in one base chain. */
const MOST_CHAIN_BRANCHES = 256;
/** Returns true for unknowns of `-m limit`, which is assumed to match, as it does within its burst. */
export const isLimitKey = (key: string): boolean => key.startsWith("limit@");

/** Evaluates a base chain. A chain that the ruleset does not contain accepts. */
export function runChain(
  start: PacketState,
  program: Program,
  table: TableName,
  name: string,
  effort: WorkLimit,
): Part<PacketState, ChainResult>[] {
  const chain = program.chain(table, name);
  if (chain === undefined) return [{ state: start, outcome: "accept" }];
  const out: Part<PacketState, ChainResult>[] = [];
  const open: { state: PacketState; frame: Frame }[] = [
    { state: start, frame: { chain, next: 0, below: null } },
  ];
  while (open.length > 0) {
    const { state, frame } = open.pop()!;
    runUntilDecided(state, frame, program, out, open, effort);
  }
  return out;
}

function runUntilDecided(
  from: PacketState,
  at: Frame,
  program: Program,
  out: Part<PacketState, ChainResult>[],
  open: { state: PacketState; frame: Frame }[],
  effort: WorkLimit,
): void {
  let state = from;
  let { trail } = from;
  let frame: Frame = at;
  let outcome: ChainResult | undefined;
  let reason: EndReason | undefined;
  while (outcome === undefined) {
    const { chain, rules, classifier } = frame.chain;
    const { exceeded } = effort;
    if (exceeded !== null) {
      state = state.assume(exceeded);
      outcome = "undecided";
      break;
    }
    const found = classifier.next(state, state, frame.next);
    const bound = rules[found >> 1];
    effort.countStep((found >> 1) - frame.next);
    if (bound === undefined) {
      trail = { last: frame.chain.end, before: trail };
      if (frame.below !== null) frame = frame.below;
      else outcome = frame.chain.policy ?? "accept";
      continue;
    }
    const next: Frame = { chain: frame.chain, next: (found >> 1) + 1, below: frame.below };
    let matches = (found & 1) === 0 || evaluate(bound.when, state);
    let { effect } = bound;
    while (matches === true && effect.kind === "fork") {
      const holds = evaluate(effect.when, state);
      if (typeof holds === "boolean") effect = holds ? effect.yes : effect.no;
      else matches = holds;
    }
    if (matches === false) {
      frame = next;
      continue;
    }
    if (matches !== true) {
      const at: RulePlace = { table: chain.table, chain: chain.name, rule: bound.rule.index };
      if (isLimitKey(matches.key))
        state = state.settle(matches.key, true).assume({ code: "limit-matches", at });
      else if (out.length + open.length >= MOST_CHAIN_BRANCHES) {
        state = state.assume(TOO_MANY_BRANCHES);
        outcome = "undecided";
      } else {
        effort.countBranch();
        open.push({ state: state.withTrail(trail).suppose(matches, false, at), frame });
        state = state.suppose(matches, true, at);
      }
      continue;
    }
    if (effect.kind !== "hotdrop") trail = { last: stepOf(bound), before: trail };
    while (effect.kind === "assign") {
      state = assignPacketField(state, effect.field, effect.change);
      if (effect.next === undefined) break;
      effect = effect.next;
    }
    switch (effect.kind) {
      case "verdict":
        outcome = effect.verdict;
        break;
      case "nat":
        outcome = { nat: effect, rule: bound.rule };
        break;
      case "opaque":
        state = state.assume({ code: "unknown-effect", key: effect.key, reason: effect.reason });
        outcome = "undecided";
        break;
      case "hotdrop":
      case "stolen":
        outcome = "drop";
        reason = effect.reason;
        break;
      case "note":
      case "assign":
        frame = next;
        break;
      case "jump":
        frame = { chain: program.target(bound), next: 0, below: next };
        break;
      case "goto":
        // A goto pushes no frame: the end of the other chain returns to the caller of this one.
        frame = { chain: program.target(bound), next: 0, below: frame.below };
        if (frame.below === null)
          frame = {
            ...frame,
            below: { chain: bottomChain(at), next: bottomChain(at).rules.length, below: null },
          };
        break;
      case "return":
        if (frame.below !== null) frame = frame.below;
        else {
          trail = { last: frame.chain.end, before: trail };
          outcome = frame.chain.policy ?? "accept";
        }
    }
  }
  out.push({ state: state.withTrail(trail), outcome, reason });
}

/**
 * Applies the assignments of an effect to a packet.
 * @param settled the packet after the rule, whose suppositions decide forks
 */
export function applyAssignments(effect: Effect, start: PacketState, settled: PacketState): PacketState {
  let state = start;
  let rest: Effect | undefined = effect;
  while (rest?.kind === "fork") rest = evaluate(rest.when, settled) === true ? rest.yes : rest.no;
  for (; rest?.kind === "assign"; rest = rest.next) state = assignPacketField(state, rest.field, rest.change);
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

/** Returns the base chain at the bottom of a stack. */
function bottomChain(frame: Frame): BoundChain {
  let bottom = frame;
  while (bottom.below !== null) bottom = bottom.below;
  return bottom.chain;
}
