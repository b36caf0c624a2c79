/**
 * What a target does to a packet: a small closed set, as predicates are for matches.
 */
import { type Address, CT_TEMPLATE, type Field, type Scalar } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";

/** How a walk ends, or how a table lets go of a packet. */
export type Verdict = "accept" | "drop" | "reject";

/** A change of a field's value. */
export type Change =
  /** `(old & ~clear) ^ xor`, which spells set, and, or and xor alike (xt_MARK's form). */
  | { readonly kind: "bits"; readonly clear: number; readonly xor: number }
  /** `old + by`, kept within the field. */
  | { readonly kind: "add"; readonly by: number }
  /** `(old & ~clear) ^ (from & mask)`: CONNMARK's save and restore. */
  | { readonly kind: "copy"; readonly from: Field; readonly mask: number; readonly clear: number };

/** Address translation, as nf_nat_range2 holds it. Absent addresses or ports are left as they are. */
export interface Nat {
  readonly kind: "nat";
  /** What the rule changes; of NETMAP the hook says it. */
  readonly side: "dst" | "src";
  /** Where the new address comes from: the rule, the interface (MASQUERADE, REDIRECT), or the old one by prefix. */
  readonly to:
    | { readonly kind: "range"; readonly first: Address; readonly last: Address }
    | { readonly kind: "keep" }
    | { readonly kind: "interface" }
    | { readonly kind: "netmap"; readonly address: Address; readonly mask: Address };
  /** First and last port; `base` shifts a port range onto another (DNAT `8000-8010:9000-9010/8000`). */
  readonly ports: { readonly first: number; readonly last: number; readonly base?: number } | null;
  /** `--random`, `--random-fully` or `--persistent`: the kernel chooses, nobody can foretell. */
  readonly random: boolean;
  /** `--persistent`: a source gets the same address wherever it goes. */
  readonly persistent?: boolean;
}

export interface Ended {
  readonly kind: "verdict";
  readonly verdict: Verdict;
}

/** Changes a field, and goes on with another effect; with the next rule where there is none. */
export interface Assign {
  readonly kind: "assign";
  readonly field: Field;
  readonly change: Change;
  readonly next?: Assign | Ended;
}

export type Effect =
  | Ended
  | { readonly kind: "return" }
  | { readonly kind: "jump"; readonly chain: string }
  | { readonly kind: "goto"; readonly chain: string }
  | Assign
  | Nat
  /** Nothing that decides: no target, LOG, NFLOG, counters. */
  | { readonly kind: "note" }
  /** One of two: what decides may be an unknown. */
  | { readonly kind: "fork"; readonly when: Predicate; readonly yes: Effect; readonly no: Effect }
  /** A match threw the packet away (`hotdrop`): no rule has matched, and TRACE tells nothing of it. */
  | { readonly kind: "hotdrop"; readonly why: string }
  /** The kernel keeps the packet (NF_STOLEN) and sends others in its place, which are not followed. */
  | { readonly kind: "stolen"; readonly why: string }
  /** The packet's fate is decided by something fwcheck cannot see; the walk says so. */
  | { readonly kind: "opaque"; readonly key: string; readonly why: string };

export const ACCEPT: Ended = { kind: "verdict", verdict: "accept" };
export const DROP: Effect = { kind: "verdict", verdict: "drop" };
export const NOTE: Effect = { kind: "note" };
/** The connection is prepared, and what comes behind in raw changes nothing of it (xt_ct_target, notrack_tg). */
export const PREPARE: Effect = {
  kind: "assign",
  field: "ctstate",
  change: { kind: "bits", clear: 7, xor: CT_TEMPLATE },
};

/** All that an effect can come to, each by itself. */
export function* ends(effect: Effect): Generator<Exclude<Effect, { kind: "fork" }>> {
  if (effect.kind === "fork") {
    yield* ends(effect.yes);
    yield* ends(effect.no);
    return;
  }
  let rest: Exclude<Effect, { kind: "fork" }> | undefined = effect;
  for (; rest !== undefined; rest = rest.kind === "assign" ? rest.next : undefined) yield rest;
}

/** What an effect is but for packets that a match throws away. */
export const usual = (effect: Effect): Effect =>
  effect.kind === "fork" && effect.yes.kind === "hotdrop" ? usual(effect.no) : effect;

/** What decides between the ends of an effect. */
export function* forks(effect: Effect): Generator<Predicate> {
  if (effect.kind !== "fork") return;
  yield effect.when;
  yield* forks(effect.yes);
  yield* forks(effect.no);
}

/**
 * A field's value after a change.
 * @param from what `copy` takes it from
 * @returns `undefined` where it cannot be worked out, since the old value or `from` is not known
 */
export function changed(
  old: Scalar | undefined,
  change: Change,
  from: Scalar | undefined,
): number | undefined {
  if (change.kind === "bits" && change.clear === 0xffff_ffff) return change.xor;
  if (typeof old !== "number") return undefined;
  switch (change.kind) {
    case "bits":
      return ((old & ~change.clear) ^ change.xor) >>> 0;
    case "add":
      return Math.min(0xff, Math.max(0, old + change.by));
    case "copy":
      return typeof from === "number" ? ((old & ~change.clear) ^ (from & change.mask)) >>> 0 : undefined;
  }
}
