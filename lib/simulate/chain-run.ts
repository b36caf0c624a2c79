/**
 * How a chain decides one packet: rule after rule, with the kernel's own stack of jumps (net/ipv4/netfilter/ip_tables.c
 * ipt_do_table). Where the inputs do not tell whether a rule matches, the packet goes both ways.
 */

import { CT, type Field } from "../packet/field.ts";
import { evaluate } from "../packet/predicate.ts";
import { type BoundChain, type Program, stepOf } from "../path/program.ts";
import type { Part } from "../path/walk.ts";
import { type Change, changed, type Effect, type Nat, type Verdict } from "../rules/effect.ts";
import type { Rule, TableName } from "../rules/ruleset.ts";
import type { PacketState } from "./packet-state.ts";

/** How a built-in chain let go of a packet. */
export type ChainResult = Verdict | "undecided" | { readonly nat: Nat; readonly rule: Rule };

/** Where to go on after a chain: the rule behind the jump. */
interface Frame {
  readonly chain: BoundChain;
  readonly next: number;
  readonly below: Frame | null;
}

/** A packet that goes more ways than this in one chain is undecided. */
const MOST_CHAIN_BRANCHES = 256;
/** A packet that goes more ways than this in all chains together is undecided. */
const MOST_PACKET_BRANCHES = 4096;
/** A packet that meets more rules and ends of chains than this, on all its ways together, is undecided. */
const MOST_PACKET_STEPS = 1 << 16;
/** A packet that is held against more rules than this is undecided; some 0.2 s. */
const MOST_RULES_TRIED = 1 << 26;

/** The work that one packet has cost so far. */
export class WorkLimit {
  private branches = 0;
  private steps = 0;
  private rules = 0;

  /** Counts a way that the packet may go besides. */
  countBranch(): void {
    this.branches++;
  }

  /** Counts a step, and the rules that were passed to find it. */
  countStep(passed: number): void {
    this.steps++;
    this.rules += passed;
  }

  /** Why the packet is not followed any further, `null` while it is. */
  get exceeded(): string | null {
    if (this.branches > MOST_PACKET_BRANCHES) return TOO_MANY_BRANCHES;
    if (this.steps > MOST_PACKET_STEPS)
      return `the packet meets more than ${MOST_PACKET_STEPS} rules and ends of chains, which are not followed`;
    return this.rules > MOST_RULES_TRIED
      ? `the packet is held against more than ${MOST_RULES_TRIED} rules, which are not followed`
      : null;
  }
}

const TOO_MANY_BRANCHES = "too many unknown matches to follow every branch";

/** Whether an unknown is a `limit`, which is taken to match, as within its burst. */
export const isLimitKey = (key: string): boolean => key.startsWith("limit@");

/** Runs a built-in chain. A chain that the ruleset does not have accepts. */
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
  let why: string | undefined;
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
      const way = evaluate(effect.when, state);
      if (typeof way === "boolean") effect = way ? effect.yes : effect.no;
      else matches = way;
    }
    if (matches === false) {
      frame = next;
      continue;
    }
    if (matches !== true) {
      const place = `${chain.table} ${chain.name} rule ${bound.rule.index}`;
      if (isLimitKey(matches.key))
        state = state
          .settle(matches.key, true)
          .assume(`${place}: limit is taken to match, as within its burst`);
      else if (out.length + open.length >= MOST_CHAIN_BRANCHES) {
        state = state.assume(TOO_MANY_BRANCHES);
        outcome = "undecided";
      } else {
        const at = { table: chain.table, chain: chain.name, rule: bound.rule.index };
        effort.countBranch();
        open.push({ state: state.withTrail(trail).suppose({ ...matches, truth: false, at }), frame });
        state = state.suppose({ ...matches, truth: true, at });
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
        state = state.assume(`${effect.key}: ${effect.why}`);
        outcome = "undecided";
        break;
      case "hotdrop":
      case "stolen":
        outcome = "drop";
        why = effect.why;
        break;
      case "note":
      case "assign":
        frame = next;
        break;
      case "jump":
        frame = { chain: program.target(bound), next: 0, below: next };
        break;
      case "goto":
        // A goto leaves no way back: the end of the other chain returns to whoever called this one.
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
  out.push({ state: state.withTrail(trail), outcome, why });
}

/**
 * A packet as an effect has changed it.
 * @param settled the packet as it went on, with what was taken to be so
 */
export function applyAssignments(effect: Effect, start: PacketState, settled: PacketState): PacketState {
  let state = start;
  let rest: Effect | undefined = effect;
  while (rest?.kind === "fork") rest = evaluate(rest.when, settled) === true ? rest.yes : rest.no;
  for (; rest?.kind === "assign"; rest = rest.next) state = assignPacketField(state, rest.field, rest.change);
  return state;
}

/** A field changed by a rule, as far as the kernel lets it. */
export function assignPacketField(state: PacketState, field: Field, change: Change): PacketState {
  const { connection } = state;
  // What has a connection already keeps it, and what a rule has said of it (xt_ct_target).
  if (field === "ctstate" && (connection !== null || state.field("ctstate") !== CT.INVALID)) return state;
  const ofConnection = field === "ctmark" || (change.kind === "copy" && change.from === "ctmark");
  if (ofConnection && connection === null) return state;
  // What a packet does not say of itself counts as 0, so that the value is always known.
  const from = change.kind === "copy" ? (state.field(change.from) ?? 0) : undefined;
  const value = changed(state.field(field) ?? 0, change, from)!;
  return state.with(field, value);
}

/** The built-in chain a stack of frames began with. */
function bottomChain(frame: Frame): BoundChain {
  let bottom = frame;
  while (bottom.below !== null) bottom = bottom.below;
  return bottom.chain;
}
