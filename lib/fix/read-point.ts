/** Base chains whose rules are read, and the packets that reach them. */
import type { Observer } from "../path/walk.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetState, SetStates } from "../reach/set-state.ts";
import type { Hook } from "../rules/base-chain.ts";
import type { ChainPlace } from "./chain-names.ts";

/** A base chain, and the packets as its rules see them. */
export interface ReadPoint {
  readonly engine: SetEngine;
  /** States at the head of the chain; their sets are of packets as sent. */
  readonly states: readonly SetState[];
  /** The rules see the header before Docker's DNAT. Rules of FORWARD see it after. */
  readonly beforeNat: boolean;
}

/**
 * Returns the states in which packets reach a base chain of a hook.
 * @param place the chain; by default that of table filter of iptables, or the first chain of the hook where there is none
 */
export function statesAt(
  engine: SetEngine,
  hook: Hook,
  walk: (observe: Observer<SetStates>) => unknown,
  place: ChainPlace | undefined = filterChain(engine, hook),
): SetState[] {
  const states: SetState[] = [];
  let wanted = place;
  walk((some, { hook: at, table, name }) => {
    if (at !== hook) return;
    wanted ??= { table, chain: name };
    if (wanted.table === table && wanted.chain === name) states.push(...engine.chains.splitByHeader(some));
  });
  return states;
}

const filterChain = ({ program }: SetEngine, hook: Hook): ChainPlace | undefined =>
  program.chain("filter", hook) === undefined ? undefined : { table: "filter", chain: hook };
