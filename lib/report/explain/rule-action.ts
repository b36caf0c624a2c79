/** The effect of a rule as data for an explanation: addresses are printed, containers are named. */
import { containerAt, type Host } from "../../host/host.ts";
import { printAddress, printPrefix } from "../../packet/address.ts";
import type { Field } from "../../packet/field.ts";
import { unknownReasonOf } from "../../packet/predicate.ts";
import type { UnknownReason } from "../../packet/unknown-reason.ts";
import {
  type Change,
  type DropReason,
  type Effect,
  ends,
  type Nat,
  type Verdict,
} from "../../rules/effect.ts";
import { dropReasonText, unknownReasonText } from "../text/reason-text.ts";

/** Point at which evaluation continues after a chain ends or a rule returns. */
export type ReturnPoint =
  /** No rule calls the chain. */
  | { readonly code: "not-called" }
  | { readonly code: "several-callers" }
  /** `chain` went to this chain (goto), so the packet returns to the caller of `chain`. */
  | { readonly code: "caller-of"; readonly chain: string }
  | { readonly code: "rule"; readonly chain: string; readonly rule: number }
  /** The call was the last rule of `chain`; `policy` is `null` for a user chain. */
  | { readonly code: "end"; readonly chain: string; readonly policy: "ACCEPT" | "DROP" | null }
  /** The rule is in a base chain, so its policy applies. */
  | { readonly code: "policy"; readonly chain: string; readonly policy: "ACCEPT" | "DROP" };

/** New address of a translated packet. */
export type NewAddress =
  | { readonly kind: "unchanged" }
  /** An address of the interface (MASQUERADE) or of this host (REDIRECT). */
  | { readonly kind: "interface" }
  /** The network part is replaced by that of a prefix (NETMAP). */
  | { readonly kind: "prefix"; readonly prefix: string }
  /** One address, or the first and last of a range; `container` is the name of the container with that address. */
  | {
      readonly kind: "range";
      readonly first: string;
      readonly last: string;
      readonly container: string | null;
    };

/** Action of a rule on the packets that match it. */
export type RuleAction =
  | { readonly code: "jump" | "goto"; readonly chain: string; readonly empty: boolean }
  | { readonly code: "return"; readonly to: ReturnPoint }
  | { readonly code: "verdict"; readonly verdict: Verdict }
  | {
      readonly code: "translate";
      readonly side: Nat["side"];
      readonly to: NewAddress;
      readonly ports: Nat["ports"];
      readonly random: boolean;
    }
  /** Evaluation continues with the next rule; `target` is empty for a rule without a target. */
  | { readonly code: "continue"; readonly target: string; readonly sideEffect: string | null }
  /** The packet determines the action: `target` looks it up in a map. */
  | { readonly code: "select"; readonly target: string }
  /** A field is changed and evaluation continues. */
  | { readonly code: "set"; readonly field: Field; readonly change: Change }
  /** The inputs do not determine the verdict of the target. */
  | {
      readonly code: "unknown";
      readonly target: string;
      /** Reason, a sentence. */
      readonly why: string;
      /** The same as a code. */
      readonly reason: UnknownReason;
    }
  /** The kernel may keep the packet (`may-keep`), or it keeps it or a match drops it; `why` is `reason` as a sentence. */
  | { readonly code: "may-keep" | "drop"; readonly why: string; readonly reason: DropReason };

/** A rule's target as iptables-save prints it, and its side effect if it has no verdict. */
export interface PrintedTarget {
  readonly text: string;
  readonly sideEffect: string | null;
}

/** Returns the action of an effect other than a call or a return, which depend on the other chains. */
export function effectAction(
  effect: Exclude<Effect, { kind: "jump" | "goto" | "return" }>,
  target: PrintedTarget,
  host: Host,
): RuleAction {
  switch (effect.kind) {
    case "verdict":
      return { code: "verdict", verdict: effect.verdict };
    case "nat": {
      const { side, ports, random } = effect;
      return { code: "translate", side, to: newAddress(effect, host), ports, random };
    }
    case "note":
      return { code: "continue", target: target.text, sideEffect: target.sideEffect };
    case "opaque":
      return unknownAction(target, effect.reason);
    case "fork": {
      const reason = unknownReasonOf(effect.when);
      if (reason !== null) return unknownAction(target, reason);
      const [stolen] = [...ends(effect)].flatMap((end) => (end.kind === "stolen" ? [end.reason] : []));
      if (stolen === undefined) return { code: "select", target: target.text };
      return { code: "may-keep", why: dropReasonText(stolen), reason: stolen };
    }
    case "choice":
      return { code: "select", target: target.text };
    case "hotdrop":
    case "stolen":
      return { code: "drop", why: dropReasonText(effect.reason), reason: effect.reason };
    case "assign":
      return { code: "set", field: effect.field, change: effect.change };
  }
}

const unknownAction = ({ text }: PrintedTarget, reason: UnknownReason): RuleAction => ({
  code: "unknown",
  target: text,
  why: unknownReasonText(reason),
  reason,
});

function newAddress({ to }: Nat, host: Host): NewAddress {
  switch (to.kind) {
    case "keep":
      return { kind: "unchanged" };
    case "interface":
      return { kind: "interface" };
    case "netmap":
      return { kind: "prefix", prefix: printPrefix(to) };
    case "range": {
      const container = to.first === to.last ? containerAt(host, to.first) : null;
      return {
        kind: "range",
        first: printAddress(to.first),
        last: printAddress(to.last),
        container: container?.name ?? null,
      };
    }
  }
}
