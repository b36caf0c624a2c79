/** Options and context of texts about packets. */
import type { Host } from "../../host/host.ts";
import { familyOf } from "../../packet/address.ts";
import type { Step } from "../../path/program.ts";
import { chainOf, type Rule, type Ruleset } from "../../rules/ruleset.ts";
import type { Outcome } from "../../simulate/answer.ts";
import { PLAIN, type Style } from "../text/terminal.ts";

/** Level of detail: the verdict; the path without steps that had no effect; every step. */
export type TraceDetail = "short" | "usual" | "all";

/** Format of a text about packets. */
export interface TraceOptions {
  /** The rulesets of the trace. */
  readonly rulesets: readonly Ruleset[];
  /** The host of the trace: its inferences and its containers. */
  readonly host: Host;
  /** Colours; none by default. */
  readonly style?: Style;
  /** Columns to wrap at; 80 by default. */
  readonly width?: number;
  /** Level of detail; `usual` by default. */
  readonly detail?: TraceDetail;
}

/** Context of the text about one packet. */
export interface TextContext {
  /** Rules of the packet's family. */
  readonly ruleset: Ruleset | undefined;
  readonly host: Host;
  readonly style: Style;
  readonly width: number;
  readonly detail: TraceDetail;
}

/** Returns the context for a packet with this destination. */
export const textContext = (dst: string, options: TraceOptions): TextContext => ({
  ruleset: options.rulesets.find((r) => r.family === familyOf(dst)),
  host: options.host,
  style: options.style ?? PLAIN,
  width: options.width ?? 80,
  detail: options.detail ?? "usual",
});

/** Returns the rule of a step, or of any other place; `undefined` if the ruleset does not contain it. */
export function ruleAt(
  table: Step["table"],
  chain: string,
  index: number,
  { ruleset }: TextContext,
): Rule | undefined {
  return ruleset === undefined
    ? undefined
    : chainOf(ruleset, table, chain)?.rules.find((r) => r.index === index);
}

/** Returns the colour of a verdict. */
export const verdictColour = (verdict: Outcome["verdict"], style: Style): ((text: string) => string) =>
  verdict === "accept" ? style.green : verdict === "undecided" ? style.yellow : style.red;
