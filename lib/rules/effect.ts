/** Effects of targets: a small closed language, as predicates are for matches. */
import { type Address, CT, CT_TEMPLATE, type Field, type Scalar } from "../packet/field.ts";
import { and, type Predicate } from "../packet/predicate.ts";
import { extensionReason, type UnknownReason } from "../packet/unknown-reason.ts";
import type { TableId } from "./table-name.ts";

/** Final verdict of a base chain or of the whole path. */
export type Verdict = "accept" | "drop" | "reject";

/** A change of a field's value. */
export type Change =
  /** `(old & ~clear) ^ xor` expresses set, and, or and xor (xt_MARK). */
  | { readonly kind: "bits"; readonly clear: number; readonly xor: number }
  /** `old + by`, clamped to the range of the field. */
  | { readonly kind: "add"; readonly by: number }
  /**
   * `(old & ~clear) ^ ((from & mask) << shift)`: save and restore of CONNMARK, `meta mark set ct mark`. A negative shift is one
   * to the right.
   */
  | {
      readonly kind: "copy";
      readonly from: Field;
      readonly mask: number;
      readonly clear: number;
      readonly shift?: number;
    }
  /** `(old & keep) ^ xor` of an IPv6 address. */
  | { readonly kind: "address"; readonly keep: bigint; readonly xor: bigint };

/** Address translation (struct nf_nat_range2). Absent addresses or ports stay unchanged. */
export interface Nat {
  readonly kind: "nat";
  /** Side that the rule changes. For NETMAP the hook determines it. */
  readonly side: "dst" | "src";
  /** Source of the new address: the rule, the interface (MASQUERADE, REDIRECT), or the old address with another prefix. */
  readonly to:
    | { readonly kind: "range"; readonly first: Address; readonly last: Address }
    | { readonly kind: "keep" }
    | { readonly kind: "interface" }
    | { readonly kind: "netmap"; readonly address: Address; readonly mask: Address };
  /** First and last port; `base` shifts a port range onto another (DNAT `8000-8010:9000-9010/8000`). */
  readonly ports: { readonly first: number; readonly last: number; readonly base?: number } | null;
  /** `--random`, `--random-fully` or `--persistent`: the choice of the kernel is unpredictable. */
  readonly random: boolean;
  /** `--persistent`: a source gets the same address for every destination. */
  readonly persistent?: boolean;
}

export interface Ended {
  readonly kind: "verdict";
  readonly verdict: Verdict;
}

/**
 * Changes a field. Evaluation continues with `next`, whose predicates see the new value, or with the next rule if it is
 * absent.
 */
export interface Assign {
  readonly kind: "assign";
  readonly field: Field;
  readonly change: Change;
  readonly next?: Effect;
}

/** One of the cases of a choice. */
export interface ChoiceCase {
  readonly when: Predicate;
  readonly effect: Effect;
}

/**
 * The effect of the first case that holds: a lookup in a map. If none holds, the rule does nothing, and evaluation continues
 * with the next rule. Cases of one kind of effect may share the object.
 */
export interface Choice {
  readonly kind: "choice";
  readonly cases: readonly ChoiceCase[];
}

export type Effect =
  | Ended
  | { readonly kind: "return" }
  | { readonly kind: "jump"; readonly chain: string }
  | { readonly kind: "goto"; readonly chain: string }
  | Assign
  | Nat
  /** No verdict and no change: no target, LOG, NFLOG, counters. */
  | {
      readonly kind: "note";
      /** A condition after a change does not hold: the change stays, and the trace does not report the rule. */
      readonly breaks?: true;
    }
  /** One of two effects; the predicate may be an unknown. */
  | { readonly kind: "fork"; readonly when: Predicate; readonly yes: Effect; readonly no: Effect }
  | Choice
  /** A match drops the packet (`hotdrop`). No rule matches, and TRACE reports nothing. */
  | { readonly kind: "hotdrop"; readonly reason: DropReason }
  /** The kernel keeps the packet (NF_STOLEN) and sends others instead, which are not modelled. */
  | { readonly kind: "stolen"; readonly reason: DropReason }
  /** Something outside the inputs decides the verdict; the result names it. */
  | { readonly kind: "opaque"; readonly key: string; readonly reason: UnknownReason };

/** Place of a rule in its ruleset. */
export interface RulePlace {
  /** Its table. */
  readonly table: TableId;
  /** Its chain. */
  readonly chain: string;
  /** Number in its chain, from 1. */
  readonly rule: number;
}

/** Reason why a rule without the target DROP takes a packet. `lib/report/text` has the sentences. */
export type DropReason =
  /** A match drops a packet that it cannot parse; `packet` describes it, as the extension declares it. */
  | {
      readonly code: "match-drops";
      readonly at: RulePlace;
      readonly match: string;
      readonly packet: string;
    }
  /** The kernel keeps the packet; `text` is the reason that the target declares. */
  | { readonly code: "target-keeps"; readonly text: string };

/** Returns an effect that is unknown for the reason that a target declares. */
export const unknownEffect = (key: string, text: string): Effect => ({
  kind: "opaque",
  key,
  reason: extensionReason(text),
});

export const ACCEPT: Ended = { kind: "verdict", verdict: "accept" };
export const DROP: Effect = { kind: "verdict", verdict: "drop" };
export const NOTE: Effect = { kind: "note" };
/** The rule ends at a condition that does not hold (NFT_BREAK). */
export const BREAK: Effect = { kind: "note", breaks: true };
/** Prepares the connection. Later rules of raw do not change that (xt_ct_target, notrack_tg). */
export const PREPARE: Effect = {
  kind: "assign",
  field: "ctstate",
  change: { kind: "bits", clear: 7, xor: CT_TEMPLATE },
};

/** Excludes a packet without a connection from connection tracking (xt_ct_target, nft_notrack_eval). */
export const UNTRACK: Assign = {
  kind: "assign",
  field: "ctstate",
  change: { kind: "bits", clear: 7, xor: CT.UNTRACKED },
};

/** An effect that needs no decision about the packet. */
export type PlainEffect = Exclude<Effect, { kind: "fork" | "choice" }>;

/** Yields all possible effects without forks and choices; of assignments also those that follow. */
export function* ends(effect: Effect): Generator<PlainEffect> {
  switch (effect.kind) {
    case "fork":
      yield* ends(effect.yes);
      yield* ends(effect.no);
      break;
    case "choice":
      for (const each of effect.cases) yield* ends(each.effect);
      break;
    case "assign":
      yield effect;
      if (effect.next !== undefined) yield* ends(effect.next);
      break;
    default:
      yield effect;
  }
}

/** An effect without forks and choices, and the packets that get it. */
export interface ConditionalEnd {
  /** Implied by each packet that gets it; the negation of a fork's condition is left out. */
  readonly when: Predicate;
  readonly effect: PlainEffect;
}

/** Yields the ends of an effect with their conditions; of assignments the effect that follows. */
export function* conditionalEnds(when: Predicate, effect: Effect): Generator<ConditionalEnd> {
  switch (effect.kind) {
    case "fork":
      yield* conditionalEnds(and(when, effect.when), effect.yes);
      yield* conditionalEnds(when, effect.no);
      break;
    case "choice":
      for (const each of effect.cases) yield* conditionalEnds(and(when, each.when), each.effect);
      break;
    case "assign":
      if (effect.next === undefined) yield { when, effect };
      else yield* conditionalEnds(when, effect.next);
      break;
    default:
      yield { when, effect };
  }
}

/** Returns the effect without the forks of packets that a match drops. */
export const usual = (effect: Effect): Effect =>
  effect.kind === "fork" && effect.yes.kind === "hotdrop" ? usual(effect.no) : effect;

/** Yields the predicates of all forks and choices. */
export function* forks(effect: Effect): Generator<Predicate> {
  switch (effect.kind) {
    case "fork":
      yield effect.when;
      yield* forks(effect.yes);
      yield* forks(effect.no);
      break;
    case "choice":
      for (const each of effect.cases) {
        yield each.when;
        yield* forks(each.effect);
      }
      break;
    case "assign":
      if (effect.next !== undefined) yield* forks(effect.next);
  }
}

/**
 * Returns the value of a field after a change.
 * @param from value of the source field of `copy`
 * @returns `undefined` if the old value or `from` is needed and unknown
 */
export function changed(
  old: Scalar | undefined,
  change: Change,
  from: Scalar | undefined,
): number | bigint | undefined {
  if (change.kind === "bits" && change.clear === 0xffff_ffff) return change.xor;
  if (change.kind === "address")
    return change.keep === 0n
      ? change.xor
      : typeof old === "bigint"
        ? (old & change.keep) ^ change.xor
        : undefined;
  if (typeof old !== "number") return undefined;
  switch (change.kind) {
    case "bits":
      return ((old & ~change.clear) ^ change.xor) >>> 0;
    case "add":
      return Math.min(0xff, Math.max(0, old + change.by));
    case "copy":
      return typeof from === "number"
        ? ((old & ~change.clear) ^ shiftBits(from & change.mask, change.shift ?? 0)) >>> 0
        : undefined;
  }
}

/** Shifts a number of 32 bits to the left, or to the right if `by` is negative. Bits that leave it are lost. */
export const shiftBits = (value: number, by: number): number =>
  Math.abs(by) > 31 ? 0 : (by < 0 ? value >>> -by : value << by) >>> 0;
