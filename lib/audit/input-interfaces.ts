/** Interfaces that packets arrive on, and the names that iptables matches for them. */

import { containerInputs } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { maskBits } from "../packet/address.ts";
import type { Family } from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { SourceGroup } from "./set-description.ts";

export class InputInterfaces {
  /** Interfaces of default routes. */
  private readonly uplinks: readonly string[];

  /** @param bridgeOf bridge of each port that leads outside */
  constructor(
    private readonly host: Host,
    family: Family,
    private readonly bridgeOf: ReadonlyMap<string, string>,
  ) {
    this.uplinks = host.routes.flatMap((r) =>
      r.family === family && r.table === "main" && maskBits(r.to.mask) === 0 && r.dev !== null ? [r.dev] : [],
    );
  }

  /** Returns the name that `-i` matches for packets of an interface: the bridge of a port. */
  visibleName(name: string): string {
    return (
      this.bridgeOf.get(name) ??
      this.host.bridges.find((bridge) => containerInputs(this.host, bridge).includes(name)) ??
      name
    );
  }

  /** Returns the visible names of interfaces that are in some group, in the order of `names`. */
  namesIn(names: readonly string[], groups: readonly SourceGroup[]): string[] {
    return [...new Set(names.map((name) => this.visibleName(name)))].filter((name) =>
      groups.some((group) => group.in.includes(name)),
    );
  }

  /**
   * Returns an interface that packets of a set arrive on: one of the first group where groups are given; the interface of
   * the default route if possible.
   */
  pick(domain: Domain, set: Node, names: readonly string[], groups?: readonly SourceGroup[]): string | null {
    const candidates = names.filter(
      (name) =>
        (groups === undefined || groups[0]?.in.includes(this.visibleName(name)) === true) &&
        domain.diagrams.intersect(set, domain.set(is("in", name))) !== EMPTY,
    );
    return candidates.find((name) => this.uplinks.includes(this.visibleName(name))) ?? candidates[0] ?? null;
  }
}
