/** Outcomes of packets as the proof of a fix compares them: dropped and rejected packets are stopped alike. */
import type { Field } from "../packet/field.ts";
import { ANY } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import type { Node } from "../reach/node-store.ts";
import { groupOutcomes, type Outcome, outcomeKey } from "../reach/outcome.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import { type SetState, type SetStates, singleState } from "../reach/set-state.ts";
import type { ChainPlace } from "./chain-names.ts";

/** Packets by outcome: verdict, delivery, output interface and header. */
export type Outcomes = ReadonlyMap<string, Node>;

/** Outcome of dropped and rejected packets. Which of the two is the owner's decision. */
export const STOPPED = "stopped";

/** Fields that a fix must not change. */
const FIELDS: readonly Field[] = ["src", "dst", "sport", "dport", "mark", "ctmark", "tos", "ttl"];

/** Groups the packets of a walk by outcome. */
export const outcomesOf = (endings: readonly Ending<SetStates>[], engine: SetEngine): Outcomes =>
  new Map([...groupOutcomes(endings, engine, FIELDS, proofKey)].map(([outcome, { set }]) => [outcome, set]));

/** Returns a key of what a proof compares: not the reason of an end, which rules of a fix may change. */
const proofKey = (outcome: Outcome): string =>
  outcome.verdict === "drop" || outcome.verdict === "reject"
    ? STOPPED
    : outcomeKey({ ...outcome, reason: null, unsure: [] });

/**
 * Evaluates one base chain for all packets.
 * @param bindings fields with a known value; all others have every value
 */
export function chainOutcomes(
  engine: SetEngine,
  { table, chain }: ChainPlace,
  bindings: SetState["bindings"],
): Outcomes {
  const start: SetState = { ...engine.start(ANY), bindings };
  const endings = engine.decideTable(start, table, chain).map(({ state, outcome }) => ({
    state: singleState(state),
    verdict: outcome,
    delivery: "forward" as const,
    out: null,
    reason: null,
    hook: null,
  }));
  return outcomesOf(endings, engine);
}
