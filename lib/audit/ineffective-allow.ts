/** Rules of the owner's that allow what Docker drops before they can speak. */
import { is } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { type SetStates, valueIn } from "../reach/set-state.ts";
import type { Question } from "./context.ts";
import { describe, type Finding, type Way } from "./finding.ts";
import { isAccepted, passes } from "./intent.ts";

/** What became of packets, and which of them the owner's route rules allow as FORWARD sees them. */
interface Seen {
  readonly endings: readonly Ending<SetStates>[];
  readonly allowed: Node;
}

/** Rules of the owner's that allow what Docker drops before they can speak. */
export function ineffective(q: Question, seen: Seen, wanted: Seen): Way[] {
  const { diagrams } = q.domain;
  if (wanted.allowed === EMPTY) return [];
  // In raw nobody knows yet what is a first packet: the walk through the owner's own rules does.
  const stopped = q.union(seen.endings, (e) => e.verdict === "drop" || e.verdict === "reject");
  const allowed = diagrams.intersect(wanted.allowed, q.union(q.firsts(wanted.endings), isAccepted));
  const dead = diagrams.subtract(diagrams.intersect(allowed, stopped), served(q, seen));
  const described = (set: Node, place?: string): Finding | null =>
    describe(
      q,
      {
        ...{ kind: "ineffective-allow", listen: null, container: null, inputs: q.outside, target: {} },
        ...(place === undefined ? {} : { place }),
      },
      set,
      set,
      "routed",
    );
  // One command can be about all bridges, and is one finding.
  const groups = new Map<string, { readonly bridges: string[]; readonly port: number | "any"; set: Node }>();
  for (const bridge of q.host.bridges) {
    const set = diagrams.intersect(q.set(q.subnets(bridge)), dead);
    const finding = described(set);
    if (finding === null) continue;
    const key = JSON.stringify(finding.intended.rule);
    const group = groups.get(key);
    if (group === undefined)
      groups.set(key, { bridges: [bridge], port: finding.witness.dport ?? "any", set });
    else {
      group.bridges.push(bridge);
      group.set = diagrams.union(group.set, set);
    }
  }
  return [...groups.values()].map(({ bridges, port, set }): Way => {
    const finding = described(set, `${bridges.join("+")}/${port}`);
    return {
      ...{ kind: "ineffective-allow", proto: null, endpoint: null, listen: null, bridge: bridges[0]! },
      ...{ all: set, blocked: EMPTY, finding },
    };
  });
}

/**
 * Packets for endpoints that published ports lead to and route rules allow: there the rule does what it is for, since
 * ufw's users allow a published port by the container's own address and port.
 */
function served(q: Question, { endings, allowed }: Seen): Node {
  const { diagrams } = q.domain;
  return diagrams.unionAll(
    endings.filter(passes).flatMap(({ state, delivery }) => {
      if (delivery !== "forward") return [];
      return [...diagrams.split(diagrams.intersect(allowed, state.set))].flatMap(([id, set]) => {
        const form = state.headers.get(id)!;
        const [dst, dport] = [valueIn(form, "dst"), valueIn(form, "dport")];
        if (dst === undefined) return [];
        const there = q.set(is("dst", dst), ...(dport === undefined ? [] : [is("dport", dport)]));
        const alike = dport === undefined ? [q.domain.projectOnto(set, "dport")] : [];
        return [q.domain.projectOnto(set, "proto"), ...alike].reduce(
          (all, part) => diagrams.intersect(all, part),
          there,
        );
      });
    }),
  );
}
