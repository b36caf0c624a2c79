/** Doubts about the inputs of a question that is asked of all packets. */
import type { Doubt } from "../audit/doubt.ts";
import { engineDoubts } from "../audit/engine-doubts.ts";
import type { Host } from "../host/host.ts";
import { isInRanges, LINK_SCOPE } from "../packet/address.ts";
import type { Ruleset } from "../rules/ruleset.ts";

/** Returns the doubts that need no walk of packets, with one for each family in which the host has addresses and no rules were given. */
export const questionDoubts = (rulesets: readonly Ruleset[], host: Host): Doubt[] => [
  ...engineDoubts(rulesets, host),
  ...([4, 6] as const)
    .filter((family) => rulesets.every((ruleset) => ruleset.family !== family))
    .filter((family) =>
      host.interfaces.some(
        ({ name, addresses }) =>
          name !== "lo" &&
          addresses.some((a) => a.family === family && (family === 4 || !isInRanges(a.address, LINK_SCOPE))),
      ),
    )
    .map((family): Doubt => ({ code: "no-ruleset", family })),
];
