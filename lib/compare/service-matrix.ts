/**
 * The service matrix of a host: for each pair of zones the services that get through, over all first packets of
 * connections. After "service matrix" of fffuu (Diekmann et al., Verified iptables Firewall Analysis, 2016), with
 * translation, routing and containers.
 */
import { budgetDoubt, type Doubt, DoubtCollector } from "../audit/doubt.ts";
import type { Host } from "../host/host.ts";
import type { HostInference } from "../host/inference.ts";
import type { Family } from "../packet/field.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import { EMPTY } from "../reach/node-store.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { EntryWriter, type MatrixEntry } from "./entry-writer.ts";
import { HostPaths } from "./host-paths.ts";
import { questionDoubts } from "./question-doubts.ts";
import { HOST_ZONE, type ZoneDetail, type ZoneKind, type ZoneSources, zonesOf } from "./zones.ts";

/** Services from one zone to another. */
export interface MatrixCell {
  /** Name of the zone that opens the connections. */
  readonly from: string;
  /** Name of the zone that receives them. */
  readonly to: string;
  /** Services that get through; none where nothing does. */
  readonly entries: readonly MatrixEntry[];
}

/** The matrix of one family. */
export interface FamilyMatrix {
  /** 4 or 6. */
  readonly family: Family;
  /** Zones in the order of rows and columns. */
  readonly zones: readonly { readonly name: string; readonly kind: ZoneKind }[];
  /** One cell for each pair of different zones, and for each zone whose members can reach each other over the host. */
  readonly cells: readonly MatrixCell[];
}

/** Result of `serviceMatrix`, as data. */
export interface ServiceMatrix {
  /** Sources of the packets: the zones' own, or spoofed ones. */
  readonly sources: ZoneSources;
  /** One for each family whose rules were given and that stays within the budget. */
  readonly families: readonly FamilyMatrix[];
  /** Facts about the host that were inferred because no input has them. */
  readonly inferences: readonly HostInference[];
  /** Reasons why the matrix may be wrong; while there are any, an empty cell does not mean that nothing gets through. */
  readonly doubts: readonly Doubt[];
}

/** Options of `serviceMatrix`. */
export interface MatrixOptions {
  /** Rows and columns for networks of containers (the default) or for each container. */
  readonly by?: ZoneDetail | undefined;
  /**
   * `spoofed` for packets whose source cannot be in the zone that they arrive from: cells show what they reach in spite of
   * rp_filter and the rules. The host has no row then. Default: `own`.
   */
  readonly sources?: ZoneSources | undefined;
  /** Most intervals that the diagrams of one family may have, about 20 bytes each. Default: 50 million. */
  readonly budget?: number | undefined;
}

/**
 * Returns the services that get through from each zone to each other, over all packets that open a connection. A family
 * that exceeds the budget becomes a doubt, never an error.
 * @param rulesets at most one per family
 */
export function serviceMatrix(
  rulesets: readonly Ruleset[],
  host: Host,
  { by = "network", sources = "own", budget }: MatrixOptions = {},
): ServiceMatrix {
  const doubts = new DoubtCollector();
  doubts.add(...questionDoubts(rulesets, host));
  const families = rulesets.flatMap((ruleset): FamilyMatrix[] => {
    try {
      return [
        familyMatrix(
          new HostPaths(ruleset, host, zonesOf(host, ruleset.family, by), { budget, sources }),
          doubts,
        ),
      ];
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) throw error;
      doubts.add(budgetDoubt(ruleset.family, error));
      return [];
    }
  });
  return { sources, families, inferences: host.inferences, doubts: doubts.all };
}

function familyMatrix(paths: HostPaths, doubts: DoubtCollector): FamilyMatrix {
  const { zones, family } = paths;
  const { diagrams } = paths.domain;
  doubts.add(...paths.doubts());
  if (paths.sources === "spoofed" && !paths.host.routed.includes(family))
    doubts.add({ code: "routes-inferred", family });
  const writer = new EntryWriter(paths, doubts);
  const columns = zones.map((to) => {
    const [arriving, sent] = [paths.reaching(to, zones[0]!), paths.reaching(to, HOST_ZONE)];
    return { to, arriving, sent };
  });
  const senders = zones.filter(({ kind }) => paths.sources === "own" || kind !== "host");
  const cells = senders.flatMap((from) => {
    const row = paths.row(from);
    return columns
      .filter(({ to }) => from !== to || from.kind !== "host")
      .map(({ to, arriving, sent }): MatrixCell => {
        const entries = (from.kind === "host" ? sent : arriving).flatMap((part) => {
          const set = diagrams.intersect(row.sent, part.set);
          return set === EMPTY ? [] : writer.entries(from, to, { ...part, set });
        });
        return { from: from.name, to: to.name, entries };
      });
  });
  return { family, zones: zones.map(({ name, kind }) => ({ name, kind })), cells };
}
