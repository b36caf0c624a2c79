/** Packets from outside: to published ports, to the containers' own addresses, and forwarded elsewhere by Docker's rules. */

import { fromOutside } from "../host/packet-origin.ts";
import { EMPTY } from "../reach/node-store.ts";
import { directAccess, indistinctAccess } from "./direct-access.ts";
import {
  firstPackets,
  isAccepted,
  mayPass,
  packetsOf,
  restrict,
  type SetEnding,
  withForm,
} from "./endings.ts";
import { proxyExposures } from "./exposure.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Exposure, Passages } from "./finding.ts";
import { ineffectiveAllows } from "./ineffective-allow.ts";
import { routedWalk } from "./intent.ts";
import { type ListeningSocket, listeningSockets } from "./listening.ts";
import { publishedPorts, publisherOf } from "./published-ports.ts";
import { stoppedPorts } from "./stopped-ports.ts";
import type { Unsettled } from "./unsettled.ts";

/** Packets from outside, with the exposures and the sockets of the host that they reach. */
export interface Ingress extends Passages {
  readonly exposures: readonly Exposure[];
  readonly listening: readonly ListeningSocket[];
}

/** Audits the packets from outside of one family. */
export function ingress(model: FamilyModel, unsettled: Unsettled): Ingress {
  const { domain, full, host, mine } = model;
  const { diagrams } = domain;
  const outside = fromOutside(host);
  const actual = routedWalk(full, model.explicit, (observe) => full.arrive(full.start(outside), observe));
  const intended = routedWalk(mine, model.explicit, (observe) => mine.arrive(mine.start(outside), observe));
  const delivered = mine.deliver(mine.start(outside));
  unsettled.add(actual.endings);
  unsettled.add([...delivered, ...intended.endings].filter((e) => e.verdict === "undecided"));
  const input = packetsOf(domain, delivered, isAccepted);
  // A route rule about the translated packet overrides the verdict of INPUT on the untranslated one.
  const inputIntent = diagrams.union(diagrams.subtract(input, actual.denied), actual.allowed);
  const forwardIntent = packetsOf(domain, intended.endings, isAccepted);

  const forwarded = actual.endings.filter((e) => mayPass(e) && e.delivery === "forward" && e.out !== null);
  const translated = withForm(full, forwarded, (form) => publisherOf(model, form) !== undefined);
  const straight = withForm(full, forwarded, (form) => publisherOf(model, form) === undefined);
  const published = publishedPorts(model, translated, inputIntent, input, unsettled);
  const [distinct, indistinct] = splitByVisibility(model, firstPackets(full, straight));
  const direct = directAccess(model, distinct, forwardIntent, unsettled);
  const exposures = [...published.exposures, ...direct.exposures, ...proxyExposures(model, actual.endings)];
  const passages = [
    ...published.passages,
    ...direct.passages,
    ...indistinctAccess(model, indistinct, forwardIntent, unsettled),
    ...ineffectiveAllows(model, actual, intended, unsettled),
    ...stoppedPorts(model, actual.endings, input, unsettled),
  ];
  const [toPorts, elsewhere] = [packetsOf(domain, translated), packetsOf(domain, straight)];
  return {
    passages,
    exposures,
    listening: model.detail === "all" ? listeningSockets(model, actual.endings, exposures) : [],
    straight: new Map(
      [...new Set(straight.map((e) => e.out!))].map((out) => [
        out,
        packetsOf(domain, straight, (e) => e.out === out),
      ]),
    ),
    passing: diagrams.union(toPorts, elsewhere),
    blocked: diagrams.union(
      diagrams.subtract(toPorts, inputIntent),
      diagrams.subtract(elsewhere, forwardIntent),
    ),
  };
}

/** Splits packets into those whose input interface rules can match, and those of `NamedSets.indistinct`. */
function splitByVisibility(
  { domain, sets }: FamilyModel,
  endings: readonly SetEnding[],
): readonly [readonly SetEnding[], readonly SetEnding[]] {
  const { indistinct } = sets;
  return indistinct === EMPTY
    ? [endings, []]
    : [
        restrict(domain, endings, domain.diagrams.complement(indistinct)),
        restrict(domain, endings, indistinct),
      ];
}
