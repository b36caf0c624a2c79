/** Rules of endpoints: the strategy that matches them, and the rules that apply the policies of their passages. */
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
import type { RunMember } from "./port-runs.ts";
import type { OpenReason, StrategyReason } from "./reasons.ts";

/**
 * Match of an endpoint: by its internal address, by the original destination in conntrack, or by an ipset of
 * endpoints.
 */
export type Strategy = "internal-ip" | "conntrack" | "ipset";

/** The strategy of one endpoint, or of consecutive ports of one container. */
export interface StrategyChoice {
  /** 4 or 6. */
  readonly family: Family;
  /** Container, address, port or ports, and protocol: `web 172.17.0.2:80/tcp`, `turn 172.17.0.3:49152-65535/udp`. */
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

/** Result for the endpoints of a run. */
export type EndpointRules =
  | {
      readonly choice: StrategyChoice;
      readonly rules: readonly string[];
      readonly members: readonly SetMember[];
    }
  /** The endpoints stay open. */
  | { readonly open: OpenReason };

/** Properties of all endpoints of a fix. */
export interface EndpointOptions {
  /** `null` to choose for each endpoint. */
  readonly requested: Strategy | null;
  /** Unknown packets may be translated to endpoints, so that no rule may match by address alone. */
  readonly unknownTranslations: boolean;
}

/** An endpoint with its passages that are closed, at least one, and the facts that decide its strategy. */
export interface ClosedEndpoint {
  readonly group: readonly PassagePolicy[];
  readonly facts: EndpointFacts;
}

/** Properties of an endpoint that decide its strategy. */
interface EndpointFacts {
  readonly closedPassages: number;
  readonly allPassages: number;
  readonly sameIntent: boolean;
  readonly keepsAddress: boolean;
  /** All its passages have the same port of the host, or none. */
  readonly oneListenPort: boolean;
}

/**
 * Returns an endpoint with its facts.
 * @param group its passages that are closed, at least one
 * @param passages all passages with the same endpoint, and those without an endpoint
 */
export function closedEndpoint(
  group: readonly PassagePolicy[],
  passages: readonly Passage[],
  audit: FamilyAudit,
  host: Host,
): ClosedEndpoint {
  const [{ passage }] = group as [PassagePolicy];
  const container = containerAt(host, passage.endpoint!.ip);
  const all = passages.filter((other) => leadsTo(other, passage, audit));
  const key = (each: PassagePolicy): string => policyKey(verdictsOf(each.policy));
  const facts = {
    closedPassages: group.length,
    allPassages: all.length,
    // Passages that stay open, or are open as intended, need other rules than the closed ones.
    sameIntent: group.length === all.length && group.every((each) => key(each) === key(group[0]!)),
    keepsAddress: container === null || container.fixed,
    oneListenPort:
      new Set(all.flatMap(({ listen }) => (listen === null || listen.port === null ? [] : [listen.port])))
        .size <= 1,
  };
  return { group, facts };
}

/** Returns true if the rules of an endpoint match the destination that packets were sent to. */
const usesConntrack = (
  { sameIntent }: EndpointFacts,
  { requested, unknownTranslations }: EndpointOptions,
): boolean => !sameIntent || requested === "conntrack" || unknownTranslations;

/** Returns the endpoint as a member of a run: endpoints with consecutive ports that the same matches and policies close. */
export function runMember(
  { group, facts }: ClosedEndpoint,
  matches: PassageMatches,
  options: EndpointOptions,
): RunMember {
  const [{ passage, policy }] = group as [PassagePolicy];
  const { endpoint, proto } = passage;
  const { ip, port } = endpoint!;
  const common = [ip, proto, ...Object.values(facts)].join(" ");
  if (port === null || proto === null || !hasPorts(proto)) return { key: common, ports: [] };
  if (!usesConntrack(facts, options)) return { key: `${common} ${policyKey(policy)}`, ports: [port] };
  // Two ranges in one match select all pairs of their ports, also those of another passage of the endpoint.
  if (!facts.oneListenPort) return { key: common, ports: [] };
  const originals = group.map((each) => matches.originalPort(each.passage));
  const paths = group.map(
    (each, i) =>
      `${originals[i] === null ? "direct" : each.passage.listen!.address} ${policyKey(each.policy)}`,
  );
  return {
    key: [common, ...paths].join("\n"),
    ports: [port, ...originals.filter((original) => original !== null)],
  };
}

/**
 * Returns the rules of a run of endpoints.
 * @param manyRuns one set is cheaper than a rule for each run
 */
export function endpointRules(
  run: readonly ClosedEndpoint[],
  { audit, host, matches }: { audit: FamilyAudit; host: Host; matches: PassageMatches },
  chains: PolicyChains,
  options: EndpointOptions,
  manyRuns: boolean,
): EndpointRules {
  const [{ group, facts }] = run as [ClosedEndpoint];
  const [{ passage, policy }] = group as [PassagePolicy];
  const more = run.length - 1;
  const { family } = audit;
  const container = containerAt(host, passage.endpoint!.ip);
  const label = endpointLabel(passage, more, family, container?.name ?? null);
  const chosen = chooseStrategy(passage, label, options, facts, manyRuns);
  if ("open" in chosen) return chosen;
  const choice: StrategyChoice = { family, endpoint: label, ...chosen };
  switch (choice.strategy) {
    case "conntrack": {
      const rules = group.map(
        (each) =>
          `${matches.byOriginalDestination(each.passage, more)} ${chains.targetOf(each.policy, each.passage.proto)}`,
      );
      return { choice, rules, members: [] };
    }
    case "ipset": {
      const members = run.map((each) => {
        const { endpoint, proto } = each.group[0]!.passage;
        return { policy, entry: { ip: endpoint!.ip, proto: proto!, port: endpoint!.port! } };
      });
      return { choice, rules: [], members };
    }
    case "internal-ip":
      return {
        choice,
        rules: [`${matches.byAddress(passage, more)} ${chains.targetOf(policy, passage.proto)}`],
        members: [],
      };
  }
}

function endpointLabel(
  { endpoint, proto }: Passage,
  more: number,
  family: Family,
  container: string | null,
): string {
  const { ip, port } = endpoint!;
  const address = family === 6 && port !== null ? `[${printAddress(ip)}]` : printAddress(ip);
  const name = container === null ? "" : `${container} `;
  const last = port === null || more === 0 ? "" : `-${port + more}`;
  return `${name}${address}${port === null ? "" : `:${port}${last}`}/${protoName(proto ?? 0)}`;
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

function chooseStrategy(
  { endpoint, proto }: Passage,
  label: string,
  { requested, unknownTranslations }: EndpointOptions,
  { closedPassages, allPassages, sameIntent, keepsAddress }: EndpointFacts,
  manyRuns: boolean,
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
  const useSet = requested === "ipset" || manyRuns;
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
