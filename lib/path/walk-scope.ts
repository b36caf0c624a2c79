/** Limits a walk to packets that the host forwards to some interfaces, so that its cost does not depend on the others. */
import type { Case } from "./decision-list.ts";
import type { Program } from "./program.ts";
import type { RouteCase } from "./routing-decision.ts";

/** Cases of a walk that ends where a packet takes another way. */
export interface WalkScope {
  /** Routing decisions; `null` for packets that are not followed. */
  readonly routes: readonly Case<RouteCase["outcome"] | null>[];
}

/**
 * Returns the scope of packets that are routed to some interfaces. Packets that stay on a bridge are not followed.
 * @param outputs no bridges of containers: such a bridge can switch packets to itself
 */
export const forwardedTo = (program: Program, outputs: ReadonlySet<string>): WalkScope => ({
  routes: program.routesIn.map(({ when, outcome }) => ({
    when,
    outcome: outcome.kind === "via" && outputs.has(outcome.out) ? outcome : null,
  })),
});
