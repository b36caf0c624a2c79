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
  private readonly uplinks: ReadonlySet<string>;
  /** Bridge of each port that packets arrive on. */
  private readonly bridges: ReadonlyMap<string, string>;

  /** @param bridgeOf bridge of each port that leads outside */
  constructor(host: Host, family: Family, bridgeOf: ReadonlyMap<string, string>) {
    this.uplinks = new Set(
      host.routes.flatMap((r) =>
        r.family === family && r.table === "main" && maskBits(r.to.mask) === 0 && r.dev !== null
          ? [r.dev]
          : [],
      ),
    );
    const bridges = new Map<string, string>(bridgeOf);
    for (const bridge of host.bridges)
      for (const name of containerInputs(host, bridge)) if (!bridges.has(name)) bridges.set(name, bridge);
    this.bridges = bridges;
  }

  /** Returns the name that `-i` matches for packets of an interface: the bridge of a port. */
  visibleName(name: string): string {
    return this.bridges.get(name) ?? name;
  }

  /** Returns the visible names of interfaces that are in some group, in the order of `names`. */
  namesIn(names: readonly string[], groups: readonly SourceGroup[]): string[] {
    const inSome = new Set(groups.flatMap((group) => group.in));
    return [...new Set(names.map((name) => this.visibleName(name)))].filter((name) => inSome.has(name));
  }

  /**
   * Returns an interface that packets of a set arrive on: one of the first group where groups are given; the interface of
   * the default route if possible.
   */
  pick(domain: Domain, set: Node, names: readonly string[], groups?: readonly SourceGroup[]): string | null {
    const first = groups === undefined ? null : new Set(groups[0]?.in);
    const isCandidate = (name: string): boolean =>
      (first === null || first.has(this.visibleName(name))) &&
      domain.diagrams.intersect(set, domain.set(is("in", name))) !== EMPTY;
    return (
      names.find((name) => this.uplinks.has(this.visibleName(name)) && isCandidate(name)) ??
      names.find(isCandidate) ??
      null
    );
  }
}
