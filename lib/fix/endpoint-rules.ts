/** Rules of one endpoint: the strategy that matches it, and the rules that apply the policies of its passages. */
import type { FamilyAudit, Passage } from "../audit/audit.ts";
import { containerAt, type Host } from "../host/host.ts";
import { printAddress } from "../packet/address.ts";
import { type Family, hasPorts, protoName } from "../packet/field.ts";
import { and, is } from "../packet/predicate.ts";
import { EMPTY } from "../reach/node-store.ts";
import type { SetMember } from "./endpoint-sets.ts";
import type { PassageMatches } from "./passage-matches.ts";
import type { PolicyChains } from "./policy-chains.ts";
import { type PolicyRule, policyKey, verdictsOf } from "./policy-printer.ts";
import type { OpenReason, StrategyReason } from "./reasons.ts";

/**
 * Match of an endpoint: by its internal address, by the original destination in conntrack, or by an ipset of
 * endpoints.
 */
export type Strategy = "internal-ip" | "conntrack" | "ipset";

/** The strategy of one endpoint. */
export interface StrategyChoice {
  /** 4 or 6. */
  readonly family: Family;
  /** Container, address, port and protocol. */
  readonly endpoint: string;
  /** Match that its rules use. */
  readonly strategy: Strategy;
  /** Why this strategy. */
  readonly reason: StrategyReason;
}

/** A passage with its policy. */
export interface PassagePolicy {
  readonly passage: Passage;
  readonly policy: readonly PolicyRule[];
}

/** Result for one endpoint. */
export type EndpointRules =
  | { readonly choice: StrategyChoice; readonly rules: readonly string[]; readonly member: SetMember | null }
  /** The endpoint stays open. */
  | { readonly open: OpenReason };

/** Properties of all endpoints of a fix. */
export interface EndpointOptions {
  /** `null` to choose for each endpoint. */
  readonly requested: Strategy | null;
  /** One set is cheaper than a rule for each endpoint. */
  readonly manyEndpoints: boolean;
  /** Unknown packets may be translated to endpoints, so that no rule may match by address alone. */
  readonly unknownTranslations: boolean;
}

/**
 * Returns the rules of one endpoint.
 * @param group its passages that are closed, at least one
 * @param passages all passages with the same endpoint, and those without an endpoint
 */
export function endpointRules(
  group: readonly PassagePolicy[],
  passages: readonly Passage[],
  { audit, host, matches }: { audit: FamilyAudit; host: Host; matches: PassageMatches },
  chains: PolicyChains,
  options: EndpointOptions,
): EndpointRules {
  const [{ passage, policy }] = group as [PassagePolicy];
  const { ip, port } = passage.endpoint!;
  const { family } = audit;
  const container = containerAt(host, ip);
  const label = endpointLabel(passage, family, container?.name ?? null);
  const all = passages.filter((other) => leadsTo(other, passage, audit));
  const key = (each: PassagePolicy): string => policyKey(verdictsOf(each.policy));
  const chosen = chooseStrategy(passage, label, options, {
    closedPassages: group.length,
    allPassages: all.length,
    // Passages that stay open, or are open as intended, need other rules than the closed ones.
    sameIntent: group.length === all.length && group.every((each) => key(each) === key(group[0]!)),
    keepsAddress: container === null || container.fixed,
  });
  if ("open" in chosen) return chosen;
  const choice: StrategyChoice = { family, endpoint: label, ...chosen };
  switch (choice.strategy) {
    case "conntrack": {
      const rules = group.map(
        (each) =>
          `${matches.byOriginalDestination(each.passage)} ${chains.targetOf(each.policy, each.passage.proto)}`,
      );
      return { choice, rules, member: null };
    }
    case "ipset":
      return { choice, rules: [], member: { policy, entry: { ip, proto: passage.proto!, port: port! } } };
    case "internal-ip":
      return {
        choice,
        rules: [`${matches.byAddress(passage)} ${chains.targetOf(policy, passage.proto)}`],
        member: null,
      };
  }
}

function endpointLabel({ endpoint, proto }: Passage, family: Family, container: string | null): string {
  const { ip, port } = endpoint!;
  const address = family === 6 && port !== null ? `[${printAddress(ip)}]` : printAddress(ip);
  const name = container === null ? "" : `${container} `;
  return `${name}${address}${port === null ? "" : `:${port}`}/${protoName(proto ?? 0)}`;
}

/** Returns whether packets of a passage go to the endpoint of another one. */
function leadsTo(passage: Passage, { endpoint, proto }: Passage, { domain }: FamilyAudit): boolean {
  const { ip, port } = endpoint!;
  if (passage.endpoint !== null)
    return passage.endpoint.ip === ip && passage.endpoint.port === port && passage.proto === proto;
  const toEndpoint = and(
    is("dst", ip),
    ...(proto === null ? [] : [is("proto", proto)]),
    ...(port === null ? [] : [is("dport", port)]),
  );
  return (
    passage.kind === "direct-bypass" &&
    domain.diagrams.intersect(passage.all, domain.set(toEndpoint)) !== EMPTY
  );
}

/** Properties of an endpoint that decide its strategy. */
interface EndpointFacts {
  readonly closedPassages: number;
  readonly allPassages: number;
  readonly sameIntent: boolean;
  readonly keepsAddress: boolean;
}

function chooseStrategy(
  { endpoint, proto }: Passage,
  label: string,
  { requested, manyEndpoints, unknownTranslations }: EndpointOptions,
  { closedPassages, allPassages, sameIntent, keepsAddress }: EndpointFacts,
): { readonly strategy: Strategy; readonly reason: StrategyReason } | { readonly open: OpenReason } {
  if (!sameIntent && requested === "internal-ip")
    return { open: { code: "different-intents", endpoint: label } };
  if (unknownTranslations && (requested === "internal-ip" || requested === "ipset"))
    return { open: { code: "unknown-translations", endpoint: label } };
  if (!sameIntent)
    return { strategy: "conntrack", reason: { code: "different-intents", paths: allPassages, keepsAddress } };
  if (requested === "conntrack")
    return { strategy: "conntrack", reason: { code: "conntrack-requested", keepsAddress } };
  if (unknownTranslations)
    return { strategy: "conntrack", reason: { code: "unknown-translations", keepsAddress } };
  const useSet = requested === "ipset" || manyEndpoints;
  if (useSet && endpoint!.port !== null && proto !== null && hasPorts(proto))
    return {
      strategy: "ipset",
      reason: { code: requested === "ipset" ? "ipset-requested" : "many-endpoints" },
    };
  return {
    strategy: "internal-ip",
    reason: useSet ? { code: "no-port" } : { code: "one-intent", paths: closedPassages },
  };
}
