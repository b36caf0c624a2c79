/** Effects that depend on the packet: forks and choices. */
import { Classifier } from "../packet/classifier.ts";
import { evaluate, type PacketValues, type Unknown } from "../packet/predicate.ts";
import { BREAK, type Choice, type Effect } from "../rules/effect.ts";

/** Returns the effect of the first case that holds for a packet, or the unknown that decides it. Long lists have an index. */
function chosenEffect({ cases }: Choice, packet: PacketValues): Effect | Unknown {
  const classifier = Classifier.forList(cases);
  for (let from = 0; ; from++) {
    const found = classifier.next(packet, packet, from);
    from = found >> 1;
    const chosen = cases[from];
    if (chosen === undefined) return BREAK;
    const holds = (found & 1) === 0 || evaluate(chosen.when, packet);
    if (holds === true) return chosen.effect;
    if (holds !== false) return holds;
  }
}

/** Returns the part of an effect that applies to a packet, without forks and choices, or the unknown that decides it. */
export function effectOn(effect: Effect, packet: PacketValues): Effect | Unknown {
  let part = effect;
  for (;;) {
    let chosen: Effect | Unknown;
    if (part.kind === "choice") chosen = chosenEffect(part, packet);
    else if (part.kind !== "fork") return part;
    else {
      const holds = evaluate(part.when, packet);
      if (typeof holds !== "boolean") return holds;
      chosen = holds ? part.yes : part.no;
    }
    if (!("kind" in chosen)) return chosen;
    part = chosen;
  }
}
