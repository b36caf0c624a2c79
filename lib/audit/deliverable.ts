/** Packets that can arrive for the host itself, before any rule: the universe of "everyone". */
import type { Host } from "../host/host.ts";
import { ownAddresses } from "../host/own-addresses.ts";
import { comesIn } from "../host/packet-origin.ts";
import { prefixes } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import { ANY, and, not, type Predicate, within } from "../packet/predicate.ts";
import type { Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import { singleState } from "../reach/set-state.ts";

/** Sources that routers forward: no link-local and no unspecified or loopback address. */
const FORWARDABLE_SOURCE: Readonly<Record<Family, Predicate>> = {
  4: ANY,
  6: not(within("src", prefixes(6, "::/127", "fe80::/10"))),
};

/** Returns the predicate of packets for the host's own addresses whose source another host can have. */
export function sendable(host: Host, family: Family): Predicate {
  const own = host.interfaces.flatMap((i) => i.addresses).filter((a) => a.family === family);
  const toHost = within(
    "dst",
    own.map((a): Range => [a.address, a.address]),
  );
  return and(
    comesIn(host),
    FORWARDABLE_SOURCE[family],
    own.length === 0 ? ANY : toHost,
    not(within("src", ownAddresses(host, family).broadcast)),
  );
}

/** Returns those sendable packets that the kernel accepts as input; evaluates routing and rp_filter, but no rule. */
export function deliverablePackets(reach: SetEngine, host: Host, family: Family): Node {
  const { program } = reach;
  const start = singleState(reach.start(sendable(host, family)));
  const entered = reach
    .choose(start, program.entries())
    .map(({ state, outcome }) =>
      outcome.changes.reduce((s, [field, value]) => reach.assign(s, field, value), state),
    );
  const delivered = entered
    .flatMap((state) => reach.choose(state, program.refused()))
    .flatMap(({ state, outcome }) => (outcome === null ? reach.choose(state, program.routesIn) : []))
    .flatMap(({ state, outcome }) =>
      outcome.kind === "local" ? reach.choose(reach.assign(state, "out", ""), program.sources()) : [],
    );
  return reach.domain.diagrams.unionAll(
    delivered.flatMap(({ state, outcome }) => (outcome === null ? [state.set] : [])),
  );
}
