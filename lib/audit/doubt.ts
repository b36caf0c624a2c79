/** Doubts: reasons why an audit is inconclusive, as codes with typed fields. `lib/report/text` has the sentences. */
import type { HostDoubt } from "../host/host-doubt.ts";
import type { Family } from "../packet/field.ts";
import type { PacketJson } from "../packet/packet-json.ts";
import type { BudgetExceeded } from "../reach/budget.ts";
import type { Uncertainty } from "../reach/uncertainty.ts";
import type { FamilyRulesetDoubt } from "../rules/ruleset-doubt.ts";
import type { FindingKind } from "./finding.ts";

/** Endpoint of a container as a DNAT rule names it. */
export interface PublishedEndpoint {
  /** Address as text. */
  readonly ip: string;
  /** Port; `null` where the rule keeps the port. */
  readonly port: number | null;
  /** Name of the protocol; `null` where the rule matches any. */
  readonly proto: string | null;
}

/** Reason why an audit is inconclusive. */
export type Doubt =
  /** An input about the host is missing, damaged or contradictory. */
  | HostDoubt
  /** The kernel may evaluate other rules than those of the text. */
  | FamilyRulesetDoubt
  /** Docker uses its nftables backend, and no listing has its tables. */
  | { readonly code: "docker-nftables" }
  /** Docker runs with `"iptables": false`. */
  | { readonly code: "docker-without-iptables" }
  /** Containers of an engine publish ports (or its bridges exist), and no ruleset has its rules. `engine` absent: Docker. */
  | {
      readonly code: "no-docker-chain";
      readonly evidence: "published-ports" | "bridges";
      readonly engine?: "podman";
    }
  /** Docker's chains of table filter are given without those of table nat. */
  | { readonly code: "no-docker-nat"; readonly family: Family }
  /** Docker's chains of table nat are given without table filter. */
  | { readonly code: "no-filter-table"; readonly family: Family }
  /** Docker's chains are given without table raw, which that release of Docker fills. */
  | { readonly code: "no-raw-table"; readonly family: Family }
  /** A pod network publishes ports by DNAT rules of its own, which are not audited. */
  | { readonly code: "other-publisher"; readonly family: Family; readonly engine: string }
  /** A table of nftables, of no known program, translates packets to addresses on container bridges. */
  | { readonly code: "translates-to-containers"; readonly family: Family; readonly table: string }
  /** The rules contain chains of a pod network, which are not audited, and none of a container engine. */
  | { readonly code: "other-engine"; readonly engine: string }
  /** No container engine was found. */
  | { readonly code: "no-engine" }
  /** Containers of this network are attached to the wire, past iptables. */
  | { readonly code: "unfiltered-network"; readonly network: string; readonly driver: "macvlan" | "ipvlan" }
  /** A container's address is on none of the host's bridges. */
  | { readonly code: "container-off-bridge"; readonly container: string; readonly ip: string }
  /** Only rules of one program were given; other firewalls of the host are unknown. */
  | {
      readonly code: "rules-only";
      readonly missing: readonly Family[];
      /** A listing of nft was given: only rules of iptables-legacy are unknown. */
      readonly listed?: true;
    }
  /** A published endpoint is reached by no route over a container bridge. */
  | { readonly code: "unreachable-endpoint"; readonly family: Family; readonly endpoint: PublishedEndpoint }
  /** DNAT rules publish ports, and the output of engines names no container. */
  | { readonly code: "no-containers"; readonly family: Family; readonly endpoint: PublishedEndpoint }
  /** An engine publishes a port of a container, and no DNAT rule does. `engine` absent: Docker. */
  | {
      readonly code: "port-without-rule";
      readonly container: string;
      readonly port: number;
      readonly engine?: "podman";
    }
  /** No ruleset of this family was given. */
  | { readonly code: "no-ruleset"; readonly family: Family }
  /** Sockets listen in a family whose rules were not audited. */
  | { readonly code: "unaudited-sockets"; readonly family: Family; readonly count: number }
  /** For some packets no verdict is known, for example because the order of base chains is not known. */
  | { readonly code: "undecided-packets"; readonly family: Family }
  /** Routes were not given, and the answer depends on which sources are behind which interface. */
  | { readonly code: "routes-inferred"; readonly family: Family }
  /** The diagrams of a family exceed their budget. */
  | {
      readonly code: "budget-exceeded";
      readonly family: Family;
      readonly budget: number;
      readonly unit: BudgetExceeded["unit"];
      /** The chain or routing decision that was evaluated; `null` for all together. */
      readonly by: string | null;
    }
  /**
   * A pod network has more rules than `limit` and no container engine's rules are among them: this family was not audited,
   * since the answer would be inconclusive in any case.
   */
  | {
      readonly code: "large-cluster";
      readonly family: Family;
      readonly rules: number;
      readonly limit: number;
    }
  /** Some packets were not followed to the end. */
  | { readonly code: "not-followed"; readonly family: Family; readonly reason: Uncertainty }
  /** The simulator contradicts the sets: a bug of fwcheck. */
  | {
      readonly code: "engines-disagree";
      readonly family: Family;
      /** The kind of finding; `matrix` for a packet of a service matrix, `query` for one of an answer to a query. */
      readonly kind: FindingKind | "matrix" | "query";
      readonly proto: string;
      readonly packet: PacketJson;
    };

/** Collects doubts in order, each once. The only writer of `Audit.doubts`. */
export class DoubtCollector {
  private readonly byKey = new Map<string, Doubt>();

  add(...doubts: readonly Doubt[]): void {
    for (const doubt of doubts) {
      const key = JSON.stringify(doubt);
      if (!this.byKey.has(key)) this.byKey.set(key, doubt);
    }
  }

  get all(): readonly Doubt[] {
    return [...this.byKey.values()];
  }
}

/** Returns the doubt about a family whose diagrams exceed their budget. */
export const budgetDoubt = (family: Family, { budget, unit, by }: BudgetExceeded): Doubt => ({
  code: "budget-exceeded",
  family,
  budget,
  unit,
  by,
});
