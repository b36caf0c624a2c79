/** Packets that containers send out of the host. */
import { containerInputs, fromContainers } from "../host/host.ts";
import { prefixRange, within } from "../packet/address.ts";
import type { Scalar } from "../packet/field.ts";
import { EMPTY } from "../reach/node-store.ts";
import type { Question } from "./context.ts";
import { describe, endpointOf, type Flow, type Group, type Way } from "./finding.ts";
import { explicit, isAccepted, passes } from "./intent.ts";

/** Packets that containers behind a bridge send out of the host. */
export function egress(q: Question, bridge: string): Flow {
  const { diagrams } = q.domain;
  const device = q.host.interfaces.find((i) => i.name === bridge);
  if (device === undefined) return { ways: [], passing: EMPTY, blocked: EMPTY, straight: new Map() };
  const from = fromContainers(q.host, bridge);
  const seen = explicit(q, q.full, (observe) => q.full.arrive(q.full.start(from), observe));
  const leaving = seen.endings.filter(
    (e) => passes(e) && e.delivery === "forward" && q.outside.includes(e.out ?? ""),
  );
  // Only what the rules on the way out say counts: a route that is missing is nobody's word, and what comes back in by
  // loopback is INPUT's business.
  const sent = q.mine.send(q.mine.start(from));
  q.heed(sent.filter((e) => e.verdict === "undecided"));
  const no = q.union(sent, (e) => !isAccepted(e) && (e.hook === "OUTPUT" || e.hook === "POSTROUTING"));
  const intent = diagrams.union(diagrams.subtract(diagrams.complement(no), seen.denied), seen.allowed);
  const all = q.union(q.firsts(leaving));
  const blocked = diagrams.subtract(all, intent);
  const subnets = device.addresses
    .filter((a) => a.family === q.ruleset.family)
    .map((a) => prefixRange(a.prefix));
  const containers = q.host.containers.flatMap((c) => c.addresses).filter((a) => within(a, subnets));
  const somebody = subnets.map(
    ([first]): Scalar => (typeof first === "bigint" ? first + 2n : (first as number) + 2),
  );
  const target = { src: [...containers, ...somebody], dst: neighbours(q) };
  const group: Group = {
    kind: "egress-bypass",
    listen: null,
    // What every container on the bridge may send is no one container's finding.
    container: containers.length === 1 ? endpointOf(q, containers[0]!, null) : null,
    inputs: containerInputs(q.host, bridge),
    to: { among: all },
    target,
  };
  const finding = describe(q, group, blocked, diagrams.intersect(all, intent), "output");
  const way: Way = {
    kind: "egress-bypass",
    proto: null,
    endpoint: null,
    listen: null,
    bridge,
    all,
    blocked,
    finding,
  };
  const passing = q.union(leaving);
  return {
    ways: all === EMPTY ? [] : [way],
    passing,
    blocked: diagrams.subtract(passing, intent),
    straight: new Map(),
  };
}

/** Neighbours on the outside interfaces: where a container's packet would really go. */
const neighbours = (q: Question): Scalar[] =>
  q.host.interfaces
    .filter((i) => q.outside.includes(i.name))
    .flatMap((i) => i.addresses.filter((a) => a.family === q.ruleset.family))
    .map((a): Scalar => (typeof a.address === "number" ? a.address + 1 : a.address + 1n));
