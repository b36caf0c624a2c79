/** Base chains whose rules are read, and the packets that reach them. */
import type { Observer } from "../path/walk.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetState, SetStates } from "../reach/set-state.ts";
import type { Hook } from "../rules/base-chain.ts";
import type { TableId } from "../rules/ruleset.ts";

/** A base chain, and the packets as its rules see them. */
export interface ReadPoint {
  readonly engine: SetEngine;
  /** States at the head of the chain; their sets are of packets as sent. */
  readonly states: readonly SetState[];
  /** The rules see the header before Docker's DNAT. Rules of FORWARD see it after. */
  readonly beforeNat: boolean;
}

/** Returns the states in which packets reach a table of a hook. */
export function statesAt(
  engine: SetEngine,
  hook: Hook,
  walk: (observe: Observer<SetStates>) => unknown,
  table: TableId = "filter",
): SetState[] {
  const states: SetState[] = [];
  walk((some, base) => {
    if (base.table === table && base.hook === hook) states.push(...engine.chains.splitByHeader(some));
  });
  return states;
}
