/** Verdicts of the owner's `ufw route` rules on packets of a walk. */
import { ufwCommandChain } from "../host/known/ufw.ts";
import type { Observer } from "../path/walk.ts";
import type { Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetStates } from "../reach/set-state.ts";
import type { SetEnding } from "./endings.ts";

/** A walk, with the packets (as sent) that `ufw route` rules accept and drop when FORWARD evaluates them. */
export interface RoutedWalk {
  readonly endings: readonly SetEnding[];
  readonly allowed: Node;
  readonly denied: Node;
}

/**
 * Walks packets and evaluates the chain of `ufw route` on those that reach table filter of FORWARD, even if a rule of Docker's decides them first.
 */
export function routedWalk(
  reach: SetEngine,
  walk: (observe: Observer<SetStates>) => readonly SetEnding[],
): RoutedWalk {
  const { diagrams } = reach.domain;
  const chain = reach.program.chain("filter", ufwCommandChain(reach.program.ruleset.family, "forward"));
  const allowed: Node[] = [];
  const denied: Node[] = [];
  const endings = walk((states, { table, hook }) => {
    if (chain === undefined || table !== "filter" || hook !== "FORWARD") return;
    for (const { state, outcome } of reach.chains.evaluateChain(states, chain)) {
      const kind = outcome?.kind;
      if (kind === "accept") allowed.push(reach.chains.members(state.set));
      if (kind === "drop" || kind === "reject") denied.push(reach.chains.members(state.set));
    }
  });
  return { endings, allowed: diagrams.unionAll(allowed), denied: diagrams.unionAll(denied) };
}
