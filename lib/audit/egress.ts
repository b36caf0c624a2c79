/** Packets that containers send out of the host. */

import { containerInputs } from "../host/bridge-ports.ts";
import { fromContainers } from "../host/packet-origin.ts";
import { isInRanges, prefixRange } from "../packet/address.ts";
import type { Scalar } from "../packet/field.ts";
import { EMPTY } from "../reach/node-store.ts";
import { firstPackets, isAccepted, mayPass, packetsOf } from "./endings.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Passage, Passages } from "./finding.ts";
import { buildFinding, endpointAt, type FindingSubject } from "./finding-builder.ts";
import { routedWalk } from "./intent.ts";
import type { Unsettled } from "./unsettled.ts";

/** Returns the packets that containers of a bridge send out of the host; the intent is that of OUTPUT. */
export function egress(model: FamilyModel, bridge: string, unsettled: Unsettled): Passages {
  const { domain, full, host, mine, outside } = model;
  const { diagrams } = domain;
  const device = host.interfaces.find((i) => i.name === bridge);
  if (device === undefined) return { passages: [], passing: EMPTY, blocked: EMPTY, straight: new Map() };
  const from = fromContainers(host, bridge);
  const walk = routedWalk(full, model.explicit, (observe) => full.arrive(full.start(from), observe));
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
  const intent = diagrams.union(diagrams.subtract(diagrams.complement(denied), walk.denied), walk.allowed);
  const all = packetsOf(domain, firstPackets(full, leaving));
  const blocked = diagrams.subtract(all, intent);
  const subnets = device.addresses.filter((a) => a.family === model.family).map((a) => prefixRange(a.prefix));
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
  const passage: Passage = {
    kind: "egress-bypass",
    proto: null,
    endpoint: null,
    listen: null,
    bridge,
    all,
    blocked,
    finding,
  };
  const passing = packetsOf(domain, leaving);
  return {
    passages: all === EMPTY ? [] : [passage],
    passing,
    blocked: diagrams.subtract(passing, intent),
    straight: new Map(),
  };
}

/** Returns an address next to each of the host's outside addresses, as destinations that are on the link. */
const outsideNeighbours = ({ family, host, outside }: FamilyModel): Scalar[] =>
  host.interfaces
    .filter((i) => outside.includes(i.name))
    .flatMap((i) => i.addresses.filter((a) => a.family === family))
    .map((a): Scalar => (typeof a.address === "number" ? a.address + 1 : a.address + 1n));
