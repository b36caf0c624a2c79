/** Operations on the endings of a walk of packet sets. */
import { CT } from "../packet/field.ts";
import type { Ending } from "../path/walk.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, type SetStates, valueIn } from "../reach/set-state.ts";

export type SetEnding = Ending<SetStates>;

export const isAccepted = ({ verdict }: SetEnding): boolean => verdict === "accept";
export const mayPass = ({ verdict }: SetEnding): boolean => verdict === "accept" || verdict === "undecided";

/** Returns the packets, as sent, of all endings that satisfy a condition. */
export function packetsOf(
  { diagrams }: Domain,
  endings: readonly SetEnding[],
  which: (ending: SetEnding) => boolean = () => true,
): Node {
  return diagrams.unionAll(endings.filter(which).map((e) => diagrams.members(e.state.set)));
}

/** Restricts endings to packets whose form satisfies a condition. */
export const withForm = (
  { chains }: SetEngine,
  endings: readonly SetEnding[],
  has: (form: HeaderState) => boolean,
): SetEnding[] =>
  endings.flatMap((ending) => {
    const state = chains.groupByHeader(ending.state, has).get(true);
    return state === undefined ? [] : [{ ...ending, state }];
  });

/** Restricts endings to packets of a set. */
export const restrict = ({ diagrams }: Domain, endings: readonly SetEnding[], packets: Node): SetEnding[] =>
  endings.flatMap((ending) => {
    const set = diagrams.intersect(packets, ending.state.set);
    return set === EMPTY ? [] : [{ ...ending, state: { ...ending.state, set } }];
  });

/** Restricts endings to the first packet of each connection: later packets take the same path. */
export function firstPackets(reach: SetEngine, endings: readonly SetEnding[]): SetEnding[] {
  // Frames that a bridge forwards without iptables never reach connection tracking.
  const bridged = endings.filter((e) => e.hook === null);
  const followed = bridged.length === 0 ? endings : endings.filter((e) => e.hook !== null);
  const firsts = withForm(reach, followed, (form) => {
    const state = valueIn(form, "ctstate");
    // Without connection tracking every packet is treated like a first one.
    if (state === CT.INVALID) return !reach.program.tracks;
    return state === CT.NEW || state === CT.UNTRACKED || state === undefined;
  });
  return [...firsts, ...bridged];
}
