/** Outcomes of packet sets as data: verdict, delivery, output interface, final header, and the reason where no rule decides. */
import type { Field } from "../packet/field.ts";
import type { EndReason } from "../path/end-reason.ts";
import type { Decision, Ending } from "../path/walk.ts";
import type { Rule } from "../rules/ruleset.ts";
import { EMPTY, FULL, type Node } from "./node-store.ts";
import type { SetEngine } from "./set-engine.ts";
import type { Binding, HeaderState, SetStates } from "./set-state.ts";
import type { Uncertainty } from "./uncertainty.ts";

/** Result of a walk for packets. */
export interface Outcome {
  readonly verdict: Decision;
  /** `none` for packets that are not accepted. */
  readonly delivery: Ending<SetStates>["delivery"];
  /** Output interface; `null` for packets that do not leave. */
  readonly out: string | null;
  /** New values of the fields of the question; a field without one has its original value. Empty for stopped packets. */
  readonly header: Readonly<Partial<Record<Field, Binding>>>;
  /** Reason, if no rule decides. */
  readonly reason: EndReason | null;
  /** Reasons why the result is not certain. */
  readonly unsure: readonly Uncertainty[];
  /** Rules that translated the packets, in order. */
  readonly translated: readonly Rule[];
}

/** Packets with one outcome, as they were sent. */
export interface OutcomeSet {
  readonly outcome: Outcome;
  readonly set: Node;
}

/** Returns the outcome of packets that end with a header state. */
export function outcomeOf(
  { verdict, delivery, out, reason }: Ending<SetStates>,
  { bindings, unsure, translated }: HeaderState,
  fields: readonly Field[],
): Outcome {
  if (verdict === "drop" || verdict === "reject")
    return { verdict, delivery: "none", out: null, header: {}, reason, unsure, translated };
  const header: Partial<Record<Field, Binding>> = {};
  for (const field of fields) {
    const bound = bindings[field];
    if (bound !== undefined && !isOriginal(bound, field)) header[field] = bound;
  }
  return { verdict, delivery, out, header, reason, unsure, translated };
}

const isOriginal = (binding: Binding, field: Field): boolean =>
  "variable" in binding && binding.variable === field && binding.decrement === undefined;

/** Returns a text that equal outcomes share, whichever rules translated the packets. */
export const outcomeKey = ({ verdict, delivery, out, header, reason, unsure }: Outcome): string =>
  [
    verdict,
    delivery,
    out,
    ...Object.entries(header)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([field, bound]) =>
        "value" in bound
          ? `${field}=${bound.value}`
          : `${field}=${bound.variable}-${String(bound.decrement ?? 0)}`,
      ),
    reason === null ? "" : JSON.stringify(reason),
    unsure.length === 0 ? "" : JSON.stringify(unsure),
  ].join("|");

/**
 * Groups the packets of a walk by outcome.
 * @param fields fields of the final header that outcomes distinguish
 * @param keyOf key of the groups; outcomes with equal keys are one group, with the first outcome
 */
export function groupOutcomes(
  endings: readonly Ending<SetStates>[],
  { chains, domain: { diagrams } }: SetEngine,
  fields: readonly Field[],
  keyOf: (outcome: Outcome) => string = outcomeKey,
): Map<string, OutcomeSet> {
  const groups = new Map<string, { readonly outcome: Outcome; readonly sets: Node[] }>();
  for (const ending of endings) {
    const outcomes = new Map<string, Outcome>();
    const property = (header: HeaderState): string => {
      const outcome = outcomeOf(ending, header, fields);
      const key = keyOf(outcome);
      if (!outcomes.has(key)) outcomes.set(key, outcome);
      return key;
    };
    for (const [key, { set }] of chains.groupByHeader(ending.state, property)) {
      const members = diagrams.members(set);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { outcome: outcomes.get(key)!, sets: [members] });
      else group.sets.push(members);
    }
  }
  return new Map(
    [...groups].map(([key, { outcome, sets }]) => [key, { outcome, set: diagrams.unionAll(sets) }]),
  );
}

/**
 * Returns the packets for which two outcomes give these fields the same values.
 * A value that the domain has no interval for is never equal to an original value.
 */
export function equalHeaders(
  one: Outcome["header"],
  other: Outcome["header"],
  fields: readonly Field[],
  { domain }: SetEngine,
): Node {
  let equal: Node = FULL;
  for (const field of fields) {
    const [a, b] = [one[field] ?? { variable: field }, other[field] ?? { variable: field }];
    const same = equalBindings(a, b);
    if (same !== null) {
      if (!same) return EMPTY;
      continue;
    }
    const [value, original] = "value" in a ? [a.value, b] : ["value" in b ? b.value : "", a];
    if ("value" in original || original.decrement !== undefined) return EMPTY;
    const tested = domain.singleton(original.variable, value);
    if (tested === null) return EMPTY;
    equal = domain.diagrams.intersect(equal, tested);
  }
  return equal;
}

/** Returns whether bindings are equal for all packets; `null` if that depends on the packet. */
function equalBindings(a: Binding, b: Binding): boolean | null {
  if ("value" in a && "value" in b) return a.value === b.value;
  if ("value" in a || "value" in b) return null;
  return a.variable === b.variable && a.decrement === b.decrement;
}
