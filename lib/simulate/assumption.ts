/** Assumptions that an answer of the simulator rests on. `lib/report/text` has the sentences. */
import type { Family } from "../packet/field.ts";
import type { UnknownReason } from "../packet/unknown-reason.ts";
import type { RulePlace } from "../rules/effect.ts";

/** Choice of a port, or of the identifier of ICMP, that the inputs do not determine. */
export type PortChoice =
  /** The rule has `--random`. */
  | { readonly code: "random"; readonly what: ChosenNumber }
  /** Another connection has the old port. */
  | { readonly code: "in-use"; readonly what: ChosenNumber; readonly old: number }
  /** The rule has a range. */
  | {
      readonly code: "range";
      readonly what: ChosenNumber;
      readonly first: number;
      readonly last: number;
    };

/** The number that a translation chooses. */
export type ChosenNumber = "port" | "identifier";

/** Reason why a supposed value is unknown. */
export type SuppositionReason =
  | UnknownReason
  /** The verdict of an earlier packet is undecided, so its connection may exist or not. */
  | { readonly code: "earlier-packet" }
  /** Later rules distinguish the ports that the kernel can choose. */
  | { readonly code: "port-distinguished"; readonly choice: PortChoice }
  /** The kernel may choose a port that another connection has. */
  | { readonly code: "port-collision" }
  /** The sequence number of a new connection must be after that of an ended one. */
  | { readonly code: "tcp-sequence" };

/** Value of an unknown on a branch, and the rule that contains the unknown. */
export interface Supposition {
  /** Code of the assumption. */
  readonly code: "supposed";
  /** Name, as `assume` and `--assume` accept it. */
  readonly key: string;
  /** Value on this branch. */
  readonly truth: boolean;
  /** Reason why it is unknown. */
  readonly reason: SuppositionReason;
  /** The rule; `null` for an unknown of the routing decision or of a translation. */
  readonly at: RulePlace | null;
}

/** Assumption about a packet, for one branch. */
export type Assumption =
  | Supposition
  /** A `-m limit` is assumed to match, as it does within its burst. */
  | { readonly code: "limit-matches"; readonly at: RulePlace }
  /** No rules of the family were given; they are assumed to be empty. */
  | { readonly code: "no-rules"; readonly family: Family }
  /** The host is assumed to have joined the multicast group. */
  | { readonly code: "group-joined" }
  /** The kernel chooses a port; `assumed` represents it, or is `null` where each branch supposes a range. */
  | { readonly code: "port-chosen"; readonly choice: PortChoice; readonly assumed: number | null }
  /** Later rules distinguish more ranges of ports than are followed, so the packet is undecided. */
  | { readonly code: "port-distinguished"; readonly choice: PortChoice }
  /** The interface has no address that the translation could use, so the packet is dropped. */
  | { readonly code: "no-interface-address"; readonly interface: string }
  /** A connection is masqueraded for this interface and leaves by another one, so the kernel removes it. */
  | { readonly code: "masquerade-removed"; readonly interface: string }
  /** The effect of a target is unknown, so the packet is undecided. */
  | { readonly code: "unknown-effect"; readonly key: string; readonly reason: UnknownReason }
  | LimitExceeded;

/** Limit of the work for a packet, beyond which the packet is undecided. */
export type LimitExceeded =
  /** Too many unknowns to follow every branch. */
  | { readonly code: "too-many-branches" }
  /** The packet matches more rules than are followed. */
  | { readonly code: "too-many-matches"; readonly limit: number }
  /** More rules are evaluated for the packet than the limit. */
  | { readonly code: "too-many-rules"; readonly limit: number };

/** Returns the assumptions without repetitions, the first of equal ones. */
export function distinctAssumptions(list: readonly Assumption[]): readonly Assumption[] {
  if (list.length < 2) return list;
  const byText = new Map<string, Assumption>();
  // Branches share the objects of the assumptions that precede their fork.
  for (const each of new Set(list)) {
    const text = JSON.stringify(each);
    if (!byText.has(text)) byText.set(text, each);
  }
  return [...byText.values()];
}
