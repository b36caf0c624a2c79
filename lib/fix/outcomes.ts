/** Results of all packets of a walk, so that two rulesets can be compared. */
import type { Field } from "../packet/field.ts";
import { ANY } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import type { Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, type SetState, type SetStates, singleState } from "../reach/set-state.ts";
import type { ChainPlace } from "./chain-names.ts";

/** Packets by outcome: verdict, delivery, output interface and header. */
export type Outcomes = ReadonlyMap<string, Node>;

/** Outcome of dropped and rejected packets. Which of the two is the owner's decision. */
export const STOPPED = "stopped";

/** Groups the packets of a walk by outcome. */
export function outcomesOf(endings: readonly Ending<SetStates>[], { chains, domain }: SetEngine): Outcomes {
  const { diagrams } = domain;
  const sets = new Map<string, Node[]>();
  for (const ending of endings)
    for (const [outcome, { set }] of chains.groupByHeader(ending.state, (header) =>
      outcomeOf(ending, header),
    )) {
      const list = sets.get(outcome);
      if (list === undefined) sets.set(outcome, [diagrams.members(set)]);
      else list.push(diagrams.members(set));
    }
  return new Map([...sets].map(([outcome, list]) => [outcome, diagrams.unionAll(list)]));
}

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

function outcomeOf({ verdict, delivery, out }: Ending<SetStates>, { bindings }: HeaderState): string {
  if (verdict === "drop" || verdict === "reject") return STOPPED;
  const header = (["src", "dst", "sport", "dport", "mark", "ctmark", "tos", "ttl"] satisfies Field[]).map(
    (field) => {
      const bound = bindings[field];
      return bound === undefined ? "" : "value" in bound ? String(bound.value) : `=${bound.variable}`;
    },
  );
  return [verdict, delivery, out, ...header].join("|");
}
