/** Rules of the owner's that allow what Docker drops before they can speak. */
import { is } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, type Node } from "../reach/diagram.ts";
import { type States, valueIn } from "../reach/state.ts";
import { describe, type Group, type Way } from "./finding.ts";
import { isAccepted, passes } from "./intent.ts";
import type { Question } from "./question.ts";

/** What became of packets, and which of them the owner's route rules allow as FORWARD sees them. */
interface Seen {
  readonly endings: readonly Ending<States>[];
  readonly allowed: Node;
}

/** Rules of the owner's that allow what Docker drops before they can speak. */
export function ineffective(q: Question, seen: Seen, wanted: Seen): Way[] {
  const { diagrams } = q.domain;
  if (wanted.allowed === EMPTY) return [];
  // In raw nobody knows yet what is a first packet: the walk through the owner's own rules does.
  const stopped = q.union(seen.endings, (e) => e.verdict === "drop" || e.verdict === "reject");
  const allowed = diagrams.mask(wanted.allowed, q.union(q.firsts(wanted.endings), isAccepted));
  const dead = diagrams.minus(diagrams.mask(allowed, stopped), served(q, seen));
  return q.host.bridges.flatMap((bridge): Way[] => {
    const set = diagrams.mask(q.set(q.subnets(bridge)), dead);
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

/**
 * Packets for endpoints that published ports lead to and route rules allow: there the rule does what it is for, since
 * ufw's users allow a published port by the container's own address and port.
 */
function served(q: Question, { endings, allowed }: Seen): Node {
  const { diagrams } = q.domain;
  return diagrams.overAll(
    endings.filter(passes).flatMap(({ state, delivery }) => {
      if (delivery !== "forward") return [];
      return [...diagrams.split(diagrams.mask(allowed, state.set))].flatMap(([id, set]) => {
        const form = state.forms.get(id)!;
        const [dst, dport] = [valueIn(form, "dst"), valueIn(form, "dport")];
        if (dst === undefined) return [];
        const there = q.set(is("dst", dst), ...(dport === undefined ? [] : [is("dport", dport)]));
        const alike = dport === undefined ? [q.domain.only(set, "dport")] : [];
        return [q.domain.only(set, "proto"), ...alike].reduce((all, part) => diagrams.mask(all, part), there);
      });
    }),
  );
}
