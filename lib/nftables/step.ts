/** Steps of a rule: its statements, in the order in which the kernel evaluates them. */
import type { Predicate } from "../packet/predicate.ts";
import type { Effect } from "../rules/effect.ts";
import type { Action, Traits } from "../rules/reading.ts";
import type { RuleCondition } from "./condition.ts";
import type { CompileContext } from "./operand.ts";

/** A statement that is no condition. */
export interface StatementStep {
  readonly kind: "statement";
  readonly action: Action;
  /** Name as the kernel's trace prints its verdict: `accept`, `jump x`; `""` if it has none. */
  readonly verdict: string;
  readonly traits: Traits;
  /** Chains that it may jump or go to. */
  readonly chains: readonly string[];
  /** Effect on anything but the packet: `writes a line to the kernel's log`; absent if it has none. */
  readonly sideEffect?: string;
  /** Set whose elements it adds or removes. */
  readonly changesSet?: { readonly name: string; readonly removes: boolean };
  /** Reject with a TCP reset. */
  readonly resets?: boolean;
  /** ICMP error of a reject. */
  readonly icmpError?: string;
  /** Prefix of a line in the kernel's log; `""` for none. */
  readonly logPrefix?: string;
  text(): string;
  /** Packets for which the statement ends the rule; absent if it never does so. It holds for the packets that go on. */
  goesOn?(at: CompileContext): Predicate;
  /**
   * Returns the effect of the statement and of all that follow it.
   * @param rest returns the effect of the statements that follow
   */
  run(at: CompileContext, rest: () => Effect): Effect;
}

/** A condition, or a statement. */
export type Step = { readonly kind: "condition"; readonly condition: RuleCondition } | StatementStep;

/** No traits: rules share the object. */
export const NO_TRAITS: Traits = {};
/** It reads or changes the connection of the packet. */
export const CONNTRACK_TRAITS: Traits = { needsConntrack: true };

/** Returns a statement with an effect of its own. */
export const statement = (
  action: Action,
  text: () => string,
  run: StatementStep["run"],
  more: Partial<Omit<StatementStep, "kind" | "action" | "text" | "run">> = {},
): StatementStep => ({
  kind: "statement",
  action,
  verdict: "",
  traits: NO_TRAITS,
  chains: [],
  text,
  run,
  ...more,
});

/** Returns a statement without an effect on the packet. */
export const note = (
  text: () => string,
  sideEffect: string | null = null,
  more: Partial<StatementStep> = {},
): StatementStep =>
  statement("none", text, (_at, rest) => rest(), { ...(sideEffect === null ? {} : { sideEffect }), ...more });
