/** Limits a walk to packets that the host forwards to some interfaces, so that its cost does not depend on the others. */
import { requiredRanges, singleValues } from "../packet/required-ranges.ts";
import type { Entry } from "./bridge.ts";
import type { Case } from "./decision-list.ts";
import type { Program } from "./program.ts";
import type { RouteCase } from "./routing-decision.ts";

/** Cases of a walk that ends where a packet takes another way. */
export interface WalkScope {
  /** Entries; bridges that treat packets alike are one entry, so the name of the bridge is missing. */
  readonly entries: readonly Case<Entry>[];
  /** Routing decisions; `null` for packets that are not followed. */
  readonly routes: readonly Case<RouteCase["outcome"] | null>[];
}

/**
 * Returns the scope of packets that are routed to some interfaces. Packets that stay on a bridge are not followed.
 * @param outputs no bridges of containers: such a bridge can switch packets to itself
 */
export const forwardedTo = (program: Program, outputs: ReadonlySet<string>): WalkScope => ({
  entries: program.entries().map(merged),
  routes: program.routesIn.map(({ when, outcome }) => ({
    when,
    outcome: outcome.kind === "via" && outputs.has(outcome.out) ? outcome : null,
  })),
});

/** Returns an entry without what only switched packets depend on, and without an assignment of the name it requires. */
function merged({ when, outcome }: Case<Entry>): Case<Entry> {
  const { bridge, changes } = outcome;
  if (bridge === null) return { when, outcome };
  const [name] = singleValues(requiredRanges(when, "in"), 1);
  return {
    when,
    outcome: {
      ...outcome,
      bridge: { ...bridge, name: "", physout: "" },
      changes: changes.filter(([field, value]) => field !== "in" || value !== name),
    },
  };
}
