/** Rules of the owner's that allow what Docker drops before they can speak. */
import { prefixRange } from "../packet/address.ts";
import { within } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, type Node } from "../reach/diagram.ts";
import type { States } from "../reach/state.ts";
import { describe, type Group, type Way } from "./finding.ts";
import { isAccepted } from "./intent.ts";
import type { Question } from "./question.ts";

/** Rules of the owner's that allow what Docker drops before they can speak. */
export function ineffective(
  q: Question,
  seen: readonly Ending<States>[],
  wanted: { endings: Ending<States>[]; allowed: Node },
): Way[] {
  const { diagrams } = q.domain;
  const firsts = q.firsts(seen);
  if (wanted.allowed === EMPTY) return [];
  const stopped = q.union(firsts, (e) => e.verdict === "drop" || e.verdict === "reject");
  const allowed = diagrams.mask(wanted.allowed, q.union(q.firsts(wanted.endings), isAccepted));
  const dead = diagrams.mask(allowed, stopped);
  return q.host.bridges.flatMap((bridge): Way[] => {
    const set = diagrams.mask(subnetsOf(q, bridge), dead);
    const group: Group = {
      kind: "ineffective-allow",
      listen: null,
      container: null,
      inputs: q.outside,
      target: {},
    };
    const finding = describe(q, group, set, set, "routed");
    return finding === null
      ? []
      : [
          {
            kind: group.kind,
            proto: null,
            endpoint: null,
            listen: null,
            bridge,
            all: set,
            blocked: EMPTY,
            finding,
          },
        ];
  });
}

/** Packets for the addresses behind a bridge. */
function subnetsOf(q: Question, bridge: string): Node {
  const ranges = q.host.routes
    .filter((r) => r.family === q.ruleset.family && r.dev === bridge && r.type === "unicast")
    .map((r) => prefixRange(r.to));
  return ranges.length === 0 ? EMPTY : q.set(within("dst", ranges));
}
