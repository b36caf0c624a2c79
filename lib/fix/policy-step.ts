/** Steps of the owner's policy: rules and policies in the order of evaluation, and the packets that they apply to. */
import type { Node } from "../reach/node-store.ts";
import type { Rule } from "../rules/ruleset.ts";
import type { ReadPoint } from "./read-point.ts";

/** One step: a rule or policy, and the packets of a passage that it applies to. */
export interface PolicyStep {
  readonly readPoint: ReadPoint;
  /** `null` for a policy, and for packets that do not reach the rules. */
  readonly rule: Rule | null;
  /** Rules whose jumps lead to this one, outermost first. */
  readonly callers: readonly Rule[];
  /**
   * `once`: a jump whose condition must be evaluated once, since evaluation changes state; `inner` has the steps of its
   * chain. `call`: a jump to a chain of bans; `inner` has its steps as they are now. `note`: logs, or records an address.
   */
  readonly kind: "note" | "accept" | "drop" | "reject" | "once" | "call" | "unknown";
  /** Packets that it applies to; for `call`, those that enter the chain. */
  readonly set: Node;
  readonly inner: readonly PolicyStep[];
  /**
   * Packets that satisfy all matches except those by ipset, whose elements may change. Absent where there are none.
   */
  readonly candidates?: Node;
  /** Jumps of `callers` whose ipset matches `candidates` ignores too, since the sets contain none of the packets now. */
  readonly setJumps?: readonly Rule[];
}

/** Steps by the number of the passage. */
export type StepLists = Map<number, PolicyStep[]>;

/** Appends steps to the list of a passage. */
export const append = (lists: StepLists, number: number, steps: readonly PolicyStep[]): void =>
  void lists.set(number, [...(lists.get(number) ?? []), ...steps]);

/** Returns the packets that a step decides. */
export const decidedBy = ({ kind, set, inner }: PolicyStep): Node[] =>
  kind === "note" ? [] : kind === "once" || kind === "call" ? inner.flatMap(decidedBy) : [set];
