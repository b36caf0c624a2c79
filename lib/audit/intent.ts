/** Verdicts of the owner's rules about forwarded traffic on packets of a walk: `ufw route`, and accepts in nftables. */
import { ufwCommandChain } from "../host/known/ufw.ts";
import type { BoundChain } from "../path/program.ts";
import type { Observer } from "../path/walk.ts";
import type { Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetStates } from "../reach/set-state.ts";
import { iptablesName } from "../rules/ruleset.ts";
import type { SetEnding } from "./endings.ts";

/** A walk, with the packets (as sent) that the owner's rules about forwarded traffic accept and drop. */
export interface RoutedWalk {
  readonly endings: readonly SetEnding[];
  readonly allowed: Node;
  /** Those of them that `ufw route` accepts. */
  readonly routed: Node;
  /** A drop in a base chain of nftables is final, so only `ufw route` has any here. */
  readonly denied: Node;
}

/**
 * Walks packets and evaluates the chain of `ufw route` on those that reach table filter of FORWARD, even if a rule of Docker's
 * decides them first; in base chains of nftables the accepts that name a destination.
 * @param explicit evaluates these accepts; `null` if there are none
 */
export function routedWalk(
  reach: SetEngine,
  explicit: SetEngine | null,
  walk: (observe: Observer<SetStates>) => readonly SetEnding[],
): RoutedWalk {
  const { diagrams } = reach.domain;
  const { program } = reach;
  const routes = ufwCommandChain(program.ruleset.family, "forward");
  const explicitly: Node[] = [];
  const routed: Node[] = [];
  const denied: Node[] = [];
  const evaluate = (engine: SetEngine, states: SetStates, bound: BoundChain | undefined): void => {
    if (bound === undefined) return;
    for (const { state, outcome } of engine.chains.evaluateChain(states, bound)) {
      const kind = outcome?.kind;
      const packets = engine.chains.members(state.set);
      if (kind === "accept") (engine === reach ? routed : explicitly).push(packets);
      if (engine === reach && (kind === "drop" || kind === "reject")) denied.push(packets);
    }
  };
  const endings = walk((states, base) => {
    if (base.hook !== "FORWARD") return;
    if (iptablesName(base.table) === "filter") evaluate(reach, states, program.chain(base.table, routes));
    if (explicit !== null) evaluate(explicit, states, explicit.program.chain(base.table, base.name));
  });
  return {
    endings,
    allowed: diagrams.unionAll([...routed, ...explicitly]),
    routed: diagrams.unionAll(routed),
    denied: diagrams.unionAll(denied),
  };
}
