/** Ways of an audit, extended by their packets that open no connection, and their names. */
import type { FamilyAudit, Way } from "../audit/audit.ts";
import { fromContainers } from "../host/packet-origin.ts";
import { printAddress } from "../packet/address.ts";
import { type Family, protoName } from "../packet/field.ts";
import { and, is, or } from "../packet/predicate.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";

/**
 * Returns the ways of an audit with all of their packets. Findings are about first packets; the intent also applies to
 * packets in conntrack state INVALID. Memoized.
 */
export function wholeWays(audit: FamilyAudit): readonly Way[] {
  let ways = memo.get(audit);
  if (ways === undefined) memo.set(audit, (ways = extendWays(audit)));
  return ways;
}

const memo = new WeakMap<FamilyAudit, readonly Way[]>();

/** Returns a key of a way that is the same in every audit of the same rules, for any domain. */
export const wayKey = ({ kind, proto, endpoint, listen, bridge, beyond }: Way): string =>
  [
    kind,
    proto,
    endpoint?.ip,
    endpoint?.port,
    listen?.address,
    listen?.port,
    bridge,
    ...(beyond?.inputs ?? []),
  ].join(" ");

/** Returns the id of a way's finding; the endpoint if the intent blocks only packets that open no connection. */
export function wayName({ kind, proto, endpoint, bridge, finding }: Way, family: Family): string {
  if (finding !== null) return finding.id;
  const place =
    endpoint === null ? (bridge ?? "any") : `${printAddress(endpoint.ip)}/${endpoint.port ?? "any"}`;
  return `${kind}/${family}/${protoName(proto ?? 0)}/${place}`;
}

/** Assigns each passing packet that is part of no way to the most specific way that it fits. */
function extendWays(audit: FamilyAudit): readonly Way[] {
  const { domain, passing, ways, straight } = audit;
  const { diagrams } = domain;
  let others = diagrams.subtract(passing, diagrams.unionAll(ways.map((way) => way.all)));
  if (others === EMPTY) return ways;
  const added = new Map<Way, Node>();
  for (const way of ways) {
    if (way.beyond === undefined || way.bridge === null) continue;
    const inputs = domain.set(or(...way.beyond.inputs.map((name) => is("in", name))));
    const set = diagrams.intersect(diagrams.intersect(others, inputs), straight.get(way.bridge) ?? EMPTY);
    added.set(way, set);
    others = diagrams.subtract(others, set);
  }
  const { sets, rest } = byEndpoint(audit, others);
  for (const [way, set] of sets) added.set(way, set);
  for (const way of ways)
    if (isInterfaceWay(way))
      added.set(way, diagrams.intersect(rest, straight.get(way.bridge ?? "") ?? EMPTY));
  return ways.map((way) => {
    const set = added.get(way);
    return set === undefined
      ? way
      : {
          ...way,
          all: diagrams.union(way.all, set),
          blocked: diagrams.union(way.blocked, diagrams.intersect(audit.blocked, set)),
        };
  });
}

/** Splits packets by the endpoint they go to and by the bridge they come from. */
function byEndpoint(
  { domain, full, ways }: FamilyAudit,
  packets: Node,
): { readonly sets: ReadonlyMap<Way, Node>; readonly rest: Node } {
  const specific = ways.filter(
    ({ endpoint, listen, kind }) => (endpoint !== null && listen === null) || kind === "egress-bypass",
  );
  const { parts, rest } = domain.partition(
    packets,
    specific.map(({ endpoint, proto, bridge }) =>
      endpoint === null
        ? fromContainers(full.program.host, bridge!)
        : and(
            is("dst", endpoint.ip),
            ...(proto === null ? [] : [is("proto", proto)]),
            ...(endpoint.port === null ? [] : [is("dport", endpoint.port)]),
          ),
    ),
  );
  const sets = new Map<Way, Node>();
  for (const [part, set] of domain.diagrams.split(parts)) sets.set(specific[part - 1]!, set);
  return { sets, rest };
}

/** Returns whether a way contains all packets that leave by an interface and go to no known endpoint. */
const isInterfaceWay = ({ kind, endpoint, bridge, beyond }: Way): boolean =>
  endpoint === null &&
  bridge !== null &&
  beyond === undefined &&
  (kind === "direct-bypass" || kind === "forward-bypass");
