/** Packets between two zones as data: services, sources, destinations, and an example. */
import type { DoubtCollector } from "../audit/doubt.ts";
import { SetDescriber, type SetDescription } from "../audit/set-description.ts";
import { protoName } from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet-json.ts";
import type { Decision } from "../path/walk.ts";
import type { Node } from "../reach/node-store.ts";
import { flow } from "../simulate/flow.ts";
import { Simulator } from "../simulate/simulator.ts";
import type { HostPaths, TranslatedPart, Translation } from "./host-paths.ts";
import { ServiceSplitter } from "./service-groups.ts";
import { HOST_ZONE, type Zone } from "./zones.ts";

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
  /** The host receives the packets, and docker-proxy passes their contents on to the container; absent for all others. */
  readonly proxied?: true;
  /** Some of these packets do not get through: other source ports, lengths or the like. */
  readonly partly: boolean;
  /** Names of the unknowns that decide whether the packets get through, as `--assume` takes them. */
  readonly unknowns: readonly string[];
  /** One packet that gets through. */
  readonly witness: PacketJson;
  /**
   * Result of the connection that the witness opens: `accept` where its replies arrive, too; absent for packets that do not arrive, and for
   * spoofed sources.
   */
  readonly replies?: Decision;
}

/** Describes packets between zones. */
export class EntryWriter {
  private readonly splitter: ServiceSplitter;
  private readonly describers = new Map<Zone, SetDescriber>();

  constructor(
    private readonly paths: HostPaths,
    private readonly doubts: DoubtCollector,
  ) {
    this.splitter = new ServiceSplitter(paths.domain, paths.first);
  }

  /**
   * Returns the entries of packets that one zone sends to another, all with the same translation.
   * @param arrive false for packets that do not get through
   */
  entries(from: Zone, to: Zone, { translated, proxied, set }: TranslatedPart, arrive = true): MatrixEntry[] {
    const { certainty, domain } = this.paths;
    const { diagrams } = domain;
    const row = this.paths.row(from);
    const packets = certainty.ordinaryPart(set);
    const may = diagrams.project(packets, domain.unknownLevels);
    const toZone =
      translated === null && !proxied ? diagrams.union(row.routed(to), may) : row.routed(HOST_ZONE);
    const describer = this.describer(from);
    const { whole, partial } = this.splitter.split(may, row.sent);
    return [...whole, ...partial].map((group): MatrixEntry => {
      const own = diagrams.intersect(group.packets, packets);
      return {
        services: group.services,
        sources: describer.sources(own),
        destinations: describer.destinations(own, toZone),
        translated,
        ...(proxied ? { proxied } : {}),
        partly: partial.includes(group),
        unknowns: certainty.unknownsOf(own),
        ...this.example(from, own, arrive),
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
  private example(from: Zone, set: Node, arrive: boolean): Pick<MatrixEntry, "witness" | "replies"> {
    const { host, program, family, sources } = this.paths;
    const { packet, assume } = this.paths.witness(from, set);
    const witness = packetJson(packet);
    // Replies to a spoofed source go elsewhere.
    if (sources === "spoofed") return { witness };
    const connection = flow(new Simulator([program.ruleset], host, { assume }), host, packet);
    const first = connection.packets[0]!.trace.answer.verdict;
    if (first !== "undecided" && (first === "accept") !== arrive)
      this.doubts.add({
        code: "engines-disagree",
        family,
        kind: "matrix",
        proto: protoName(packet.proto),
        packet: witness,
      });
    return arrive ? { witness, replies: connection.verdict } : { witness };
  }
}
