/** What the owner meant: what their own rules say of packets, as if Docker had written none. */
import type { Ending, Observer } from "../path/walk.ts";
import type { Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetStates } from "../reach/set-state.ts";
import type { Question } from "./context.ts";
import { ufwForwardChain } from "./ufw-rules.ts";

/** What the owner's `ufw route` rules say of the packets as FORWARD sees them: both sets over packets as sent. */
export function explicit(
  q: Question,
  reach: SetEngine,
  walk: (observe: Observer<SetStates>) => Ending<SetStates>[],
): { endings: Ending<SetStates>[]; allowed: Node; denied: Node } {
  const { diagrams } = q.domain;
  const chain = reach.program.chain("filter", ufwForwardChain(q.ruleset));
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

export const isAccepted = (e: Ending<SetStates>): boolean => e.verdict === "accept";
export const passes = (e: Ending<SetStates>): boolean => e.verdict === "accept" || e.verdict === "undecided";
