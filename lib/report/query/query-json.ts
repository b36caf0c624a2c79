/** The answer of a query as a JSON document. */
import type { PacketBox } from "../../compare/packet-boxes.ts";
import type { DecidedShare, QueryAnswer, QueryFamily, QueryGroup } from "../../compare/query.ts";
import type { QueryChange } from "../../compare/query-change.ts";
import { type DeciderJson, type DoubtJson, deciderJson, doubtJson } from "../audit-json.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { inferenceText } from "../text/inference-text.ts";
import { changeSentence } from "./change-text.ts";
import { boxText, outcomeText } from "./group-text.ts";

/** A group of packets, with its sentences. */
export interface QueryGroupJson extends Omit<QueryGroup, "packets" | "deciders"> {
  /** What becomes of the packets, in words. */
  readonly text: string;
  /** The packets, each box with its words. */
  readonly packets: readonly (PacketBox & { readonly text: string })[];
  /** Rules and policies that decide them. */
  readonly deciders: readonly (Omit<DecidedShare, "decider"> & { readonly decider: DeciderJson })[];
}

/** Answer for one family, with its sentences. */
export interface QueryFamilyJson extends Omit<QueryFamily, "groups" | "change"> {
  /** Groups of packets that satisfy the expression. */
  readonly groups: readonly QueryGroupJson[];
  /** Change that lets the stopped packets through, with `--explain-drop`. */
  readonly change?: QueryChange & {
    /** The change in words, without its commands. */
    readonly sentence: string;
  };
}

/** The JSON document of an answer. */
export interface QueryJson extends Omit<QueryAnswer, "families" | "doubts"> {
  /** Version of the document's format. */
  readonly version: 1;
  /** `some`: packets satisfy the expression; `none`: no packet does; `inconclusive`: something is not known. */
  readonly outcome: "some" | "none" | "inconclusive";
  /** One for each family. */
  readonly families: readonly (Omit<QueryFamily, "groups"> & {
    readonly groups: readonly QueryGroupJson[];
  })[];
  /** Facts that were inferred, a sentence for each of `inferences`. */
  readonly inferred: readonly string[];
  /** Reasons why the answer may be wrong, a sentence for each of `doubts`. */
  readonly inconclusive: readonly string[];
  /** The same as codes with typed fields. */
  readonly doubts: readonly DoubtJson[];
}

/** Returns true if nothing about an answer is unknown. */
export const isSettled = ({ families, doubts }: QueryAnswer): boolean =>
  doubts.length === 0 && families.every(({ groups }) => groups.every((g) => g.certainty === "certain"));

/** Returns the JSON document of an answer. */
export const queryJson = (answer: QueryAnswer): QueryJson => ({
  version: 1,
  expression: answer.expression,
  outcome: !isSettled(answer)
    ? "inconclusive"
    : answer.families.some(({ matches }) => matches === "some")
      ? "some"
      : "none",
  families: answer.families.map(familyJson),
  inferred: answer.inferences.map(inferenceText),
  inferences: answer.inferences,
  inconclusive: answer.doubts.map(doubtText),
  doubts: answer.doubts.map(doubtJson),
});

const familyJson = ({ change, groups, ...family }: QueryFamily): QueryFamilyJson => ({
  ...family,
  groups: groups.map(groupJson),
  ...(change === undefined ? {} : { change: { ...change, sentence: changeSentence(change) } }),
});

const groupJson = (group: QueryGroup): QueryGroupJson => ({
  ...group,
  text: outcomeText(group),
  packets: group.packets.map((box) => ({ ...box, text: boxText(box, group) })),
  deciders: group.deciders.map(({ decider, share }) => ({ decider: deciderJson(decider), share })),
});
