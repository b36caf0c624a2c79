/** Examples of packets of a query, confirmed by the simulator. */
import type { Doubt } from "../audit/doubt.ts";
import { InputInterfaces } from "../audit/input-interfaces.ts";
import { WitnessPicker } from "../audit/witness-picker.ts";
import { outsidePorts } from "../host/bridge-ports.ts";
import { outsideInterfaces } from "../host/packet-origin.ts";
import { LOOPBACK } from "../packet/address.ts";
import { protoName, type Scalar } from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet-json.ts";
import { not, within } from "../packet/predicate.ts";
import { printAssumption } from "../path/unknown-key.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { Outcome } from "../reach/outcome.ts";
import type { Preferences } from "../reach/witness.ts";
import { Simulator } from "../simulate/simulator.ts";
import { isUnsure, type QueryPaths, type QueryWalk } from "./query-paths.ts";

/** A packet, or the doubt that the simulator gives it another outcome. */
export interface ConfirmedWitness {
  readonly packet: PacketJson | null;
  /** Values of unknowns with which it has its outcome. */
  readonly assume: readonly string[];
  readonly disagreement: Doubt | null;
}

export class QueryWitness {
  private readonly picker: WitnessPicker;
  private readonly preferred: Preferences;

  constructor(
    private readonly paths: QueryPaths,
    private readonly walk: QueryWalk,
  ) {
    const { host, domain } = paths;
    const { family, origin } = walk.asked;
    const inputs = new InputInterfaces(host, family, outsidePorts(host));
    this.picker = new WitnessPicker(domain, host, family, inputs, outsideInterfaces(host));
    const own = host.interfaces
      .filter(({ name }) => name !== "lo")
      .flatMap((i): Scalar[] => i.addresses.filter((a) => a.family === family).map((a) => a.address));
    this.preferred = {
      in: host.interfaces.map(({ name }) => name),
      ...(origin === "sent" && own.length > 0 ? { src: own } : {}),
    };
  }

  /** Returns a packet of a set that is not empty, with the values of these unknowns. */
  pick(set: Node, outcome: Outcome, unknowns: readonly string[]): ConfirmedWitness {
    const { paths, walk } = this;
    const { diagrams } = paths.domain;
    const { family, origin } = walk.asked;
    const usual = diagrams.intersect(set, paths.domain.set(not(within("src", LOOPBACK[family]))));
    const { packet: found, assume } = this.picker.pick(usual === EMPTY ? set : usual, null, this.preferred);
    const packet = origin === "sent" ? { ...found, in: null } : found;
    const answer = new Simulator([paths.program.ruleset], paths.host, { assume }).packet(packet);
    const agrees = isUnsure(outcome)
      ? true
      : answer.verdict === outcome.verdict &&
        answer.delivery === outcome.delivery &&
        answer.out === outcome.out;
    const values = [...assume].filter(([key]) => unknowns.includes(key));
    const assumed = values.map(([key, truth]) => printAssumption(key, truth));
    if (agrees) return { packet: packetJson(packet), assume: assumed, disagreement: null };
    const proto = protoName(packet.proto);
    return {
      packet: null,
      assume: [],
      disagreement: { code: "engines-disagree", family, kind: "query", proto, packet: packetJson(packet) },
    };
  }
}
