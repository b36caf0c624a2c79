/** Passages of an audit, extended by their packets that open no connection, and their names. */
import type { FamilyAudit, Passage } from "../audit/audit.ts";
import { fromContainers } from "../host/packet-origin.ts";
import { printAddress } from "../packet/address.ts";
import { type Family, protoName } from "../packet/field.ts";
import { and, is, or } from "../packet/predicate.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";

/**
 * Returns the passages of an audit with all of their packets. Findings are about first packets; the intent also applies to
 * packets in conntrack state INVALID. Memoized.
 */
export function wholePassages(audit: FamilyAudit): readonly Passage[] {
  let passages = memo.get(audit);
  if (passages === undefined) memo.set(audit, (passages = extendPassages(audit)));
  return passages;
}

const memo = new WeakMap<FamilyAudit, readonly Passage[]>();

/** Returns a key of a passage that is the same in every audit of the same rules, for any domain. */
export const passageKey = ({ kind, proto, endpoint, listen, bridge, beyond }: Passage): string =>
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

/** Returns the id of a passage's finding; the endpoint if the intent blocks only packets that open no connection. */
export function passageName({ kind, proto, endpoint, bridge, finding }: Passage, family: Family): string {
  if (finding !== null) return finding.id;
  const place =
    endpoint === null ? (bridge ?? "any") : `${printAddress(endpoint.ip)}/${endpoint.port ?? "any"}`;
  return `${kind}/${family}/${protoName(proto ?? 0)}/${place}`;
}

/** Assigns each passing packet that is part of no passage to the most specific passage that it fits. */
function extendPassages(audit: FamilyAudit): readonly Passage[] {
  const { domain, passing, passages, straight } = audit;
  const { diagrams } = domain;
  let others = diagrams.subtract(passing, diagrams.unionAll(passages.map((passage) => passage.all)));
  if (others === EMPTY) return passages;
  const added = new Map<Passage, Node>();
  for (const passage of passages) {
    if (passage.beyond === undefined || passage.bridge === null) continue;
    const inputs = domain.set(or(...passage.beyond.inputs.map((name) => is("in", name))));
    const set = diagrams.intersect(diagrams.intersect(others, inputs), straight.get(passage.bridge) ?? EMPTY);
    added.set(passage, set);
    others = diagrams.subtract(others, set);
  }
  const { sets, rest } = byEndpoint(audit, others);
  for (const [passage, set] of sets) added.set(passage, set);
  for (const passage of passages)
    if (isInterfacePassage(passage))
      added.set(passage, diagrams.intersect(rest, straight.get(passage.bridge ?? "") ?? EMPTY));
  return passages.map((passage) => {
    const set = added.get(passage);
    return set === undefined
      ? passage
      : {
          ...passage,
          all: diagrams.union(passage.all, set),
          blocked: diagrams.union(passage.blocked, diagrams.intersect(audit.blocked, set)),
        };
  });
}

/** Splits packets by the endpoint they go to and by the bridge they come from. */
function byEndpoint(
  { domain, full, passages }: FamilyAudit,
  packets: Node,
): { readonly sets: ReadonlyMap<Passage, Node>; readonly rest: Node } {
  const specific = passages.filter(
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
  const sets = new Map<Passage, Node>();
  for (const [part, set] of domain.diagrams.split(parts)) sets.set(specific[part - 1]!, set);
  return { sets, rest };
}

/** Returns whether a passage contains all packets that leave by an interface and go to no known endpoint. */
const isInterfacePassage = ({ kind, endpoint, bridge, beyond }: Passage): boolean =>
  endpoint === null &&
  bridge !== null &&
  beyond === undefined &&
  (kind === "direct-bypass" || kind === "forward-bypass");
