/** The JSON document of `fwcheck fix --json`: the data of a fix, with a sentence beside each code. */

import type { StrategyChoice } from "../fix/endpoint-rules.ts";
import type { Fix, UfwFix } from "../fix/fix.ts";
import type { ChangedPacket, Proof } from "../fix/prove.ts";
import type { FixDoubt, OpenReason } from "../fix/reasons.ts";
import { doubtJson } from "./audit-json.ts";
import {
  differenceText,
  fixDoubtText,
  fixNoteText,
  fixSummary,
  openItemText,
  openReasonText,
  strategyReasonText,
  ufwRefusalText,
} from "./text/fix-text.ts";

/** A fix as JSON. Sentences may change between releases; codes and fields change only with `version`. */
export interface FixJson extends Omit<Fix, "ufw" | "choices" | "proof" | "left"> {
  /** Version of this format. */
  readonly version: 1;
  /** The result. */
  readonly summary: {
    /** The first line that `fwcheck fix` prints on stderr. */
    readonly text: string;
    /** Number of findings that the rules close. */
    readonly closed: number;
    /** Number of findings that stay open. */
    readonly open: number;
    /** Number of doubts that do not belong to a finding. */
    readonly doubts: number;
  };
  /** The fix for ufw. */
  readonly ufw: UfwFix & {
    /** `refusals` as sentences. */
    readonly cannot: readonly string[];
  };
  /** Strategy of each endpoint, and the reason. */
  readonly choices: readonly (StrategyChoice & {
    /** `reason` as a sentence. */
    readonly because: string;
  })[];
  /** Effect of the fix, over all packets. */
  readonly proof: Omit<Proof, "changed"> & {
    readonly changed: readonly (ChangedPacket & {
      /** `difference` as a sentence. */
      readonly why: string;
    })[];
  };
  /** `left` as sentences, with the finding's id in front. */
  readonly failed: readonly string[];
  /** Findings that stay open, and doubts. */
  readonly left: readonly {
    readonly finding: string | null;
    readonly reason: OpenReason | FixDoubt;
    /** `reason` as a sentence. */
    readonly why: string;
  }[];
  /** `notes` as sentences. */
  readonly warnings: readonly string[];
}

/** Adds the sentences of doubts to a reason. */
function reasonJson(reason: OpenReason | FixDoubt): OpenReason | FixDoubt {
  if (reason.code === "not-followed") return { ...reason, doubts: reason.doubts.map(doubtJson) };
  return reason.code === "audit" ? { ...reason, doubt: doubtJson(reason.doubt) } : reason;
}

/** Returns the JSON document of a fix. */
export function fixJson(fix: Fix): FixJson {
  const { ufw, choices, proof, left, notes, ...rest } = fix;
  return {
    version: 1,
    summary: {
      text: fixSummary(fix),
      closed: proof.closed.length,
      open: proof.remaining.length,
      doubts: left.filter(({ finding }) => finding === null).length,
    },
    ...rest,
    ufw: { ...ufw, cannot: ufw.refusals.map(ufwRefusalText) },
    choices: choices.map((choice) => ({ ...choice, because: strategyReasonText(choice.reason) })),
    proof: {
      ...proof,
      changed: proof.changed.map((each) => ({ ...each, why: differenceText(each.difference) })),
    },
    failed: left.map(openItemText),
    left: left.map((each) => ({
      ...each,
      reason: reasonJson(each.reason),
      why: each.finding === null ? fixDoubtText(each.reason) : openReasonText(each.reason),
    })),
    notes,
    warnings: notes.map(fixNoteText),
  };
}
