/** Validation of source addresses on arrival: rp_filter and martians (net/ipv4/fib_frontend.c fib_validate_source). */
import type { Host } from "../host/host.ts";
import { isInRanges, LOOPBACK, MULTICAST, prefixRange } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import { ANY, and, is, NEVER, not, or, type Predicate, within } from "../packet/predicate.ts";
import { type Case, decide } from "./decision-list.ts";
import type { EndReason, RefusalCases } from "./end-reason.ts";
import { fibCases } from "./fib.ts";
import { byInterface, ipv4Setting } from "./interface-settings.ts";
import { hasPolicyRouting } from "./policy-rules.ts";
import { LIMITED_BROADCAST, UNSPECIFIED } from "./routing-decision.ts";
import { ARRIVING, sourceLookup } from "./routing-lookup.ts";
import type { RouteResult } from "./routing-table.ts";

type SourceCase = RefusalCases[number];

const MARTIAN: EndReason = { code: "martian-source", source: "own" };
const WRONG_INTERFACE: EndReason = { code: "rp-filter" };

/**
 * Returns the reason why the kernel refuses a source address on arrival: an address of the host, or rp_filter
 * (fib_validate_source). It applies to IPv4 packets after the routing decision.
 */
export function sourceCases(host: Host, family: Family): SourceCase[] {
  if (family === 6) return [{ when: ANY, outcome: null }];
  const settings = sourceSettings(host);
  const { accepts, unfiltered } = settings;
  // With policy routing or additional local routes the tables are evaluated even without rp_filter; with realms
  // (fib_num_tclassid_users) even if accept_local is on.
  const counted = [...host.routes, ...(host.rules ?? [])].some((r) => r.family === 4 && r.realm === true);
  const full = counted || hasPolicyRouting(host, 4) || localRoutes(host);
  const own = host.interfaces.flatMap((i) =>
    i.addresses.filter((a) => a.family === 4 && !a.invented).map((a): Range => [a.address, a.address]),
  );
  const reverse = fibCases(host, 4, { ...sourceLookup(host), alone: manyReceivers(host) });
  return [
    ...turningSources(host, settings),
    // The kernel does not look 0.0.0.0 up, since DHCP clients send from it.
    { when: within("src", UNSPECIFIED), outcome: null },
    ...(counted ? [] : [{ when: and(unfiltered, accepts), outcome: null }]),
    ...(full ? [] : [{ when: and(unfiltered, within("src", own)), outcome: MARTIAN }]),
    ...(full ? [] : [{ when: unfiltered, outcome: null }]),
    ...reverse.flatMap((found) => reverseRoute(found, settings)),
    { when: unfiltered, outcome: null },
    { when: ANY, outcome: WRONG_INTERFACE },
  ];
}

/**
 * Returns the refusal of sources that are no unicast addresses, for packets that leave by their input interface. With
 * send_redirects their source is always looked up. Routes do not depend on it, so that they are the same for all interfaces.
 */
function turningSources(host: Host, { accepts }: SourceSettings): SourceCase[] {
  const devices = fibCases(host, 4, ARRIVING).flatMap(({ outcome }) =>
    (outcome.kind === "unicast" || outcome.kind === "broadcast") && outcome.dev !== null ? [outcome.dev] : [],
  );
  const turning = [...new Set(devices)]
    .filter((dev) => ipv4Setting(host, "send_redirects", dev, "or", 1) !== 0)
    .map((dev) => and(is("out", dev), is("in", dev)));
  if (turning.length === 0) return [];
  const notUnicast = decide(
    fibCases(host, 4, sourceLookup(host)).map(({ when, outcome: { kind } }) => ({
      when,
      outcome: kind === "broadcast" || kind === "anycast" ? ANY : kind === "local" ? not(accepts) : NEVER,
    })),
  );
  return [
    { when: and(or(...turning), notUnicast), outcome: { code: "martian-source", source: "not-unicast" } },
  ];
}

/** Packets whose input interface has a setting that decides about sources. */
interface SourceSettings {
  /** accept_local: an address of the host is a valid source. */
  readonly accepts: Predicate;
  /** rp_filter is 0. */
  readonly unfiltered: Predicate;
  /** rp_filter is 1: the reverse route must lead out by the input interface. */
  readonly strict: Predicate;
  /** The interface has no IPv4 address. */
  readonly unnumbered: Predicate;
}

function sourceSettings(host: Host): SourceSettings {
  const filter = (name: string): number => ipv4Setting(host, "rp_filter", name, "max");
  return {
    accepts: byInterface(host, (name) => ipv4Setting(host, "accept_local", name, "or") !== 0),
    unfiltered: byInterface(host, (name) => filter(name) === 0),
    strict: byInterface(host, (name) => filter(name) === 1),
    unnumbered: within(
      "in",
      host.interfaces
        .filter((i) => !i.addresses.some((a) => a.family === 4))
        .map((i): Range => [i.name, i.name]),
    ),
  };
}

/**
 * Returns the packets to multicast and broadcast addresses. Their source is looked up without a destination
 * (ip_mc_validate_source, brd_input).
 */
const manyReceivers = (host: Host): Predicate =>
  or(
    within("dst", [...MULTICAST[4], [LIMITED_BROADCAST, LIMITED_BROADCAST]]),
    decide(
      (hasPolicyRouting(host, 4) ? fibCases(host, 4, ARRIVING) : []).map(({ when, outcome: { kind } }) => ({
        when,
        outcome: kind === "broadcast" ? ANY : NEVER,
      })),
    ),
  );

/** Returns the decisions for packets whose reverse route is found. */
function reverseRoute(
  { when, outcome: found }: Case<RouteResult>,
  { accepts, unfiltered, strict, unnumbered }: SourceSettings,
): SourceCase[] {
  switch (found.kind) {
    case "unicast": {
      const devices = found.devs.map((dev): Range => [dev, dev]);
      return [
        { when: and(when, within("in", devices)), outcome: null },
        { when: and(when, unnumbered, not(unfiltered)), outcome: WRONG_INTERFACE },
        { when: and(when, strict), outcome: WRONG_INTERFACE },
        { when, outcome: null },
      ];
    }
    case "refused":
      // A route that refuses counts as no route.
      return [
        { when: and(when, unfiltered), outcome: null },
        { when, outcome: WRONG_INTERFACE },
      ];
    case "local":
      return [
        { when: and(when, accepts, not(strict)), outcome: null },
        ...(found.dev === null ? [] : [{ when: and(when, accepts, is("in", found.dev)), outcome: null }]),
        { when: and(when, accepts), outcome: WRONG_INTERFACE },
        { when, outcome: MARTIAN },
      ];
    default:
      return [{ when, outcome: MARTIAN }];
  }
}

/** Returns true if there are local routes that no address implies (fib_has_custom_local_routes). */
const localRoutes = (host: Host): boolean =>
  host.routes.some(({ family, type, to }) => {
    if (family !== 4 || type !== "local") return false;
    const [first, last] = prefixRange(to);
    if (isInRanges(first, LOOPBACK[4])) return false;
    return first !== last || !host.interfaces.some((i) => i.addresses.some((a) => a.address === first));
  });
