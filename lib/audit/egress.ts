/** Packets that containers send out of the host. */

import { containerInputs } from "../host/bridge-ports.ts";
import type { Interface } from "../host/host.ts";
import { fromContainers } from "../host/packet-origin.ts";
import { isInRanges, prefixRange } from "../packet/address.ts";
import type { Scalar } from "../packet/field.ts";
import { or } from "../packet/predicate.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { firstPackets, isAccepted, mayPass, packetsOf } from "./endings.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Passage, Passages } from "./finding.ts";
import { buildFinding, endpointAt, type FindingSubject } from "./finding-builder.ts";
import { routedWalk } from "./intent.ts";
import type { Unsettled } from "./unsettled.ts";

/** Packets that containers send out of the host, for all bridges together. */
interface LeavingPackets {
  /** All packets, and those of them that open a connection. */
  readonly passing: Node;
  readonly first: Node;
  /** Packets that the owner's rules permit. */
  readonly intent: Node;
}

/** Returns the packets that containers send out of the host, by bridge; the intent is that of OUTPUT. */
export function egress(model: FamilyModel, unsettled: Unsettled): Passages {
  const { domain, host } = model;
  const { diagrams } = domain;
  const bridges = host.bridges.flatMap((bridge) => host.interfaces.find((i) => i.name === bridge) ?? []);
  const leaving = leavingPackets(model, bridges, unsettled);
  return {
    passages: bridges.flatMap((bridge) => bridgePassage(model, bridge, leaving, unsettled)),
    passing: leaving.passing,
    blocked: diagrams.subtract(leaving.passing, leaving.intent),
    straight: new Map(),
  };
}

/** Walks the packets of all bridges at once: a walk for each would evaluate all rules as often as there are bridges. */
function leavingPackets(
  model: FamilyModel,
  bridges: readonly Interface[],
  unsettled: Unsettled,
): LeavingPackets {
  const { domain, full, host, mine, outside } = model;
  const { diagrams } = domain;
  const from = or(...bridges.map(({ name }) => fromContainers(host, name)));
  const walk = routedWalk(full, model.explicit, (observe) =>
    full.forward(full.start(from), outside, observe),
  );
  const leaving = walk.endings.filter(
    (e) => mayPass(e) && e.delivery === "forward" && outside.includes(e.out ?? ""),
  );
  const sent = mine.send(mine.start(from));
  unsettled.add(sent.filter((e) => e.verdict === "undecided"));
  unsettled.add(leaving);
  // Count only verdicts of OUTPUT and POSTROUTING; a missing route or loopback delivery is not policy.
  const denied = packetsOf(
    domain,
    sent,
    (e) => !isAccepted(e) && (e.hook === "OUTPUT" || e.hook === "POSTROUTING"),
  );
  return {
    passing: packetsOf(domain, leaving),
    first: packetsOf(domain, firstPackets(full, leaving)),
    intent: diagrams.union(diagrams.subtract(diagrams.complement(denied), walk.denied), walk.allowed),
  };
}

/** Returns the passage of the packets of one bridge; none if no packet leaves. */
function bridgePassage(
  model: FamilyModel,
  { name: bridge, addresses }: Interface,
  { first, intent }: LeavingPackets,
  unsettled: Unsettled,
): Passage[] {
  const { domain, host } = model;
  const { diagrams } = domain;
  const all = diagrams.intersect(domain.set(fromContainers(host, bridge)), first);
  if (all === EMPTY) return [];
  const blocked = diagrams.subtract(all, intent);
  const subnets = addresses.filter((a) => a.family === model.family).map((a) => prefixRange(a.prefix));
  const containers = host.containers.flatMap((c) => c.addresses).filter((a) => isInRanges(a, subnets));
  const unlisted = subnets.map(
    ([first]): Scalar => (typeof first === "bigint" ? first + 2n : (first as number) + 2),
  );
  const subject: FindingSubject = {
    kind: "egress-bypass",
    listen: null,
    // Name a container only where the bridge has exactly one.
    container: containers.length === 1 ? endpointAt(model, containers[0]!, null) : null,
    inputs: containerInputs(host, bridge),
    to: { among: all },
    target: { src: [...containers, ...unlisted], dst: outsideNeighbours(model) },
  };
  const finding = buildFinding(model, unsettled, subject, blocked, diagrams.intersect(all, intent), "output");
  return [
    {
      kind: "egress-bypass",
      proto: null,
      endpoint: null,
      listen: null,
      bridge,
      all,
      blocked,
      finding,
    },
  ];
}

/** Returns an address next to each of the host's outside addresses, as destinations that are on the link. */
const outsideNeighbours = ({ family, host, outside }: FamilyModel): Scalar[] =>
  host.interfaces
    .filter((i) => outside.includes(i.name))
    .flatMap((i) => i.addresses.filter((a) => a.family === family))
    .map((a): Scalar => (typeof a.address === "number" ? a.address + 1 : a.address + 1n));
