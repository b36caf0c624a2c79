/** Route rules of the owner that allow packets which Docker's rules drop first. */
import { is } from "../packet/predicate.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { valueIn } from "../reach/set-state.ts";
import { firstPackets, isAccepted, mayPass, packetsOf } from "./endings.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Finding, Passage } from "./finding.ts";
import { buildFinding } from "./finding-builder.ts";
import type { RoutedWalk } from "./intent.ts";
import type { Unsettled } from "./unsettled.ts";

/**
 * Returns the passages of packets that route rules allow and Docker's rules drop, one for each deciding rule.
 * @param actual walk through all rules
 * @param intended walk through the owner's rules alone
 */
export function ineffectiveAllows(
  model: FamilyModel,
  actual: RoutedWalk,
  intended: RoutedWalk,
  unsettled: Unsettled,
): Passage[] {
  if (intended.routed === EMPTY) return [];
  unsettled.add(intended.endings);
  const dead = deadAllows(model, actual, intended);
  const findingOf = (set: Node, place?: string): Finding | null =>
    buildFinding(
      model,
      unsettled,
      {
        kind: "ineffective-allow",
        listen: null,
        container: null,
        inputs: model.outside,
        target: {},
        ...(place === undefined ? {} : { place }),
      },
      set,
      set,
      "forward",
    );
  return groupByRule(model, dead, findingOf).map(
    ({ bridges, port, set }): Passage => ({
      kind: "ineffective-allow",
      proto: null,
      endpoint: null,
      listen: null,
      bridge: bridges[0]!,
      all: set,
      blocked: EMPTY,
      finding: findingOf(set, `${bridges.join("+")}/${port}`),
    }),
  );
}

/** Returns the packets that a route rule allows and another rule drops first, except those for published endpoints. */
function deadAllows(model: FamilyModel, actual: RoutedWalk, intended: RoutedWalk): Node {
  const { domain, full } = model;
  const { diagrams } = domain;
  // Table raw precedes connection tracking; only the walk through the owner's rules knows which packets are first ones.
  const stopped = packetsOf(domain, actual.endings, (e) => e.verdict === "drop" || e.verdict === "reject");
  const allowed = diagrams.intersect(
    intended.routed,
    packetsOf(domain, firstPackets(full, intended.endings), isAccepted),
  );
  return diagrams.subtract(diagrams.intersect(allowed, stopped), publishedTargets(model, actual));
}

/** Packets to one or more bridges that the same rule of the owner allows. */
interface RuleGroup {
  readonly bridges: string[];
  readonly port: number | "any";
  set: Node;
}

/** Groups packets by the deciding rule: a command without an interface concerns all bridges, and makes one finding. */
function groupByRule(
  model: FamilyModel,
  dead: Node,
  findingOf: (set: Node) => Finding | null,
): readonly RuleGroup[] {
  const { diagrams } = model.domain;
  const groups = new Map<string, RuleGroup>();
  for (const bridge of model.host.bridges) {
    const set = diagrams.intersect(model.set(model.bridgeSubnets(bridge)), dead);
    const finding = findingOf(set);
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
  return [...groups.values()];
}

/**
 * Returns packets for the endpoints that published ports lead to. A route rule for such an endpoint is effective: ufw's
 * documentation allows a published port by the container's own address and port.
 */
function publishedTargets(model: FamilyModel, { endings, routed }: RoutedWalk): Node {
  const { domain } = model;
  const { diagrams } = domain;
  return diagrams.unionAll(
    endings.filter(mayPass).flatMap(({ state, delivery }) => {
      if (delivery !== "forward") return [];
      return [...diagrams.split(diagrams.intersect(routed, state.set))].flatMap(([id, set]) => {
        const form = state.headers.get(id)!;
        const [dst, dport] = [valueIn(form, "dst"), valueIn(form, "dport")];
        if (dst === undefined) return [];
        const endpoint = model.set(is("dst", dst), ...(dport === undefined ? [] : [is("dport", dport)]));
        const kept = [
          domain.projectOnto(set, "proto"),
          ...(dport === undefined ? [domain.projectOnto(set, "dport")] : []),
        ];
        return [kept.reduce((all, part) => diagrams.intersect(all, part), endpoint)];
      });
    }),
  );
}
