/** One packet of a difference, which the simulator confirms on both sides. */
import { sharedVerdict } from "../audit/decision.ts";
import { InputInterfaces } from "../audit/input-interfaces.ts";
import { REMOTE, WitnessPicker } from "../audit/witness-picker.ts";
import { outsidePorts } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { outsideInterfaces } from "../host/packet-origin.ts";
import type { Scalar } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import { printAssumption } from "../path/unknown-key.ts";
import type { Domain } from "../reach/domain.ts";
import type { Node } from "../reach/node-store.ts";
import type { Outcome } from "../reach/outcome.ts";
import type { Witness } from "../reach/witness.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { Simulator } from "../simulate/simulator.ts";
import type { Origin } from "./packet-paths.ts";

/** Chooses packets of sets, as a host would send or receive them. */
export class Examples {
  private readonly inputs: InputInterfaces;
  private readonly picker: WitnessPicker;
  private readonly names: readonly string[];
  private readonly own: readonly Scalar[];

  constructor(
    private readonly domain: Domain,
    host: Host,
  ) {
    const { family } = domain;
    this.inputs = new InputInterfaces(host, family, outsidePorts(host));
    const outside = outsideInterfaces(host);
    this.picker = new WitnessPicker(domain, host, family, this.inputs, outside);
    const others = host.interfaces.map(({ name }) => name).filter((name) => !outside.includes(name));
    this.names = [...outside, ...others];
    this.own = host.interfaces
      .flatMap(({ addresses }) => addresses)
      .flatMap(({ address, family: of }) => (of === family ? [address] : []));
  }

  /** Returns one packet of a set. */
  of(origin: Origin, set: Node): Witness {
    const remote = REMOTE[this.domain.family];
    if (origin === "sent")
      return this.picker.pick(set, null, { in: [""], src: [...this.own], dst: [remote] });
    return this.picker.pick(set, this.inputs.pick(this.domain, set, this.names), {});
  }
}

/** Returns true if the simulator gives a packet this outcome. */
export function confirms(
  ruleset: Ruleset,
  host: Host,
  packet: Packet,
  assume: ReadonlyMap<string, boolean>,
  outcome: Outcome,
): boolean {
  const answer = new Simulator([ruleset], host, { assume }).packet(packet);
  if (sharedVerdict(answer) !== outcome.verdict) return false;
  if (outcome.verdict !== "accept") return true;
  const branches = answer.branches ?? [answer];
  return branches.every(({ delivery, out }) => delivery === outcome.delivery && out === outcome.out);
}

/** Prints values of unknowns as arguments of `--assume`. */
export const assumptions = (assume: ReadonlyMap<string, boolean>): string[] =>
  [...assume].map(([key, truth]) => printAssumption(key, truth));
