/** The JSON document of a comparison: its data, with a sentence beside each code. */
import type { ChangeKind, Diff, PacketChange } from "../../compare/difference.ts";
import { changeText, decidersText, limitText, remarksOf, sideDoubtText } from "./change-text.ts";
import { diffSummary } from "./diff-text.ts";

/** A change, with its sentences. */
export interface PacketChangeJson extends PacketChange {
  /** The packets and both results, a sentence. */
  readonly text: string;
  /** The rules that decide on each side, in words. */
  readonly because: { readonly before: string; readonly after: string };
  /** Cause, unknowns and other packets, a sentence each. */
  readonly remarks: readonly string[];
}

/** A comparison as JSON. Sentences may change between releases; codes and fields change only with `version`. */
export interface DiffJson extends Omit<Diff, "changes"> {
  /** Version of this format. */
  readonly version: 1;
  /** The result. */
  readonly summary: {
    /** `same`, `different`, or `inconclusive` where nothing differs and there are doubts. */
    readonly outcome: "same" | "different" | "inconclusive";
    /** Exit code. */
    readonly exit: number;
    /** The result, a sentence. */
    readonly text: string;
    /** Number of changes of each kind. */
    readonly kinds: Readonly<Partial<Record<ChangeKind, number>>>;
  };
  /** Packets that fare differently. */
  readonly changes: readonly PacketChangeJson[];
  /** `doubts` as sentences. */
  readonly inconclusive: readonly string[];
  /** `limits` as sentences. */
  readonly notCompared: readonly string[];
}

/** Returns the JSON document of a comparison. */
export function diffJson(diff: Diff, exit: number): DiffJson {
  const { changes, doubts, limits, ...rest } = diff;
  const kinds: Partial<Record<ChangeKind, number>> = {};
  for (const { kind } of changes) kinds[kind] = (kinds[kind] ?? 0) + 1;
  return {
    version: 1,
    summary: {
      outcome: changes.length > 0 ? "different" : doubts.length > 0 ? "inconclusive" : "same",
      exit,
      text: diffSummary(diff),
      kinds,
    },
    changes: changes.map((change) => ({
      ...change,
      text: changeText(change),
      because: { before: decidersText(change.before), after: decidersText(change.after) },
      remarks: remarksOf(change),
    })),
    ...rest,
    doubts,
    inconclusive: doubts.map(sideDoubtText),
    limits,
    notCompared: limits.map(limitText),
  };
}
