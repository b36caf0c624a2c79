/**
 * The service matrix of a host: for each pair of zones the services that get through, over all first packets of
 * connections. After "service matrix" of fffuu (Diekmann et al., Verified iptables Firewall Analysis, 2016), with
 * translation, routing and containers.
 */
import { budgetDoubt, type Doubt, DoubtCollector } from "../audit/doubt.ts";
import { engineDoubts } from "../audit/engine-doubts.ts";
import { SetDescriber, type SetDescription } from "../audit/set-description.ts";
import type { Host } from "../host/host.ts";
import type { HostInference } from "../host/inference.ts";
import type { Family } from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet-json.ts";
import type { Decision } from "../path/walk.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { flow } from "../simulate/flow.ts";
import { Simulator } from "../simulate/simulator.ts";
import { HostPaths, type Translation } from "./host-paths.ts";
import { ServiceSplitter } from "./service-groups.ts";
import type { Zone, ZoneDetail, ZoneKind, ZoneSources } from "./zones.ts";

/** Services between two zones with the same sources and destinations. */
export interface MatrixEntry {
  /** Protocols with ports, as sent: `tcp 80`; `ping` are echo requests of ICMP; `all` alone for everything. */
  readonly services: readonly string[];
  /** Sources, within those that the zone can have. */
  readonly sources: SetDescription;
  /** Destinations as sent, within those that lead to the other zone, or within the host's own where they are translated. */
  readonly destinations: SetDescription;
  /** Address and port that the destination becomes; `null` where it is not translated. */
  readonly translated: Translation | null;
  /** Some of these packets do not get through: other source ports, lengths or the like. */
  readonly partly: boolean;
  /** Names of the unknowns that decide whether the packets get through, as `--assume` takes them. */
  readonly unknowns: readonly string[];
  /** One packet that gets through. */
  readonly witness: PacketJson;
  /** Result of the connection that the witness opens: `accept` where its replies arrive, too; absent for spoofed sources. */
  readonly replies?: Decision;
}

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
  doubts.add(...engineDoubts(rulesets, host));
  const families = rulesets.flatMap((ruleset): FamilyMatrix[] => {
    try {
      return [familyMatrix(new HostPaths(ruleset, host, by, budget, sources), doubts)];
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
    const [arriving, sent] = [paths.reaching(to, zones[0]!), paths.reaching(to, paths.self)];
    return { to, arriving, sent };
  });
  const senders = zones.filter(({ kind }) => paths.sources === "own" || kind !== "host");
  const cells = senders.flatMap((from) => {
    const row = paths.row(from);
    return columns
      .filter(({ to }) => from !== to || from.kind !== "host")
      .map(({ to, arriving, sent }): MatrixCell => {
        const entries = (from.kind === "host" ? sent : arriving).flatMap(({ translated, set }) => {
          const packets = diagrams.intersect(row.sent, set);
          return packets === EMPTY ? [] : writer.entries(from, to, translated, packets);
        });
        return { from: from.name, to: to.name, entries };
      });
  });
  return { family, zones: zones.map(({ name, kind }) => ({ name, kind })), cells };
}

/** Describes the packets of cells. */
class EntryWriter {
  private readonly splitter: ServiceSplitter;
  private readonly describers = new Map<Zone, SetDescriber>();

  constructor(
    private readonly paths: HostPaths,
    private readonly doubts: DoubtCollector,
  ) {
    this.splitter = new ServiceSplitter(paths.domain);
  }

  /** Returns the entries of packets that one zone sends to another, all with the same translation. */
  entries(from: Zone, to: Zone, translated: Translation | null, set: Node): MatrixEntry[] {
    const { certainty, domain, self } = this.paths;
    const { diagrams } = domain;
    const row = this.paths.row(from);
    const packets = certainty.ordinaryPart(set);
    const may = diagrams.project(packets, domain.unknownLevels);
    const toZone = translated === null ? diagrams.union(row.routed(to), may) : row.routed(self);
    const describer = this.describer(from);
    const { whole, partial } = this.splitter.split(may, row.sent);
    return [...whole, ...partial].map((group): MatrixEntry => {
      const own = diagrams.intersect(group.packets, packets);
      return {
        services: group.services,
        sources: describer.sources(own),
        destinations: describer.destinations(own, toZone),
        translated,
        partly: partial.includes(group),
        unknowns: certainty.unknownsOf(own),
        ...this.example(from, own),
      };
    });
  }

  private describer(from: Zone): SetDescriber {
    let describer = this.describers.get(from);
    if (describer === undefined) {
      const { domain } = this.paths;
      describer = new SetDescriber(domain, this.paths.row(from).possible, (name) => name);
      this.describers.set(from, describer);
    }
    return describer;
  }

  /** Returns a packet of a set, and how the connection ends that it opens. */
  private example(from: Zone, set: Node): Pick<MatrixEntry, "witness" | "replies"> {
    const { host, program, family } = this.paths;
    const { packet, assume } = this.paths.witness(from, set);
    if (this.paths.sources === "spoofed") return { witness: packetJson(packet) };
    const connection = flow(new Simulator([program.ruleset], host, { assume }), host, packet);
    const first = connection.packets[0]!.trace.answer.verdict;
    if (first === "drop" || first === "reject")
      this.doubts.add({
        code: "engines-disagree",
        family,
        kind: "matrix",
        proto: String(packet.proto),
        packet: packetJson(packet),
      });
    return { witness: packetJson(packet), replies: connection.verdict };
  }
}
