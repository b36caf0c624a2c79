/** JSON documents of the simulator: its answers, with a sentence beside each code. */
import type { Host } from "../host/host.ts";
import type { HostInference } from "../host/inference.ts";
import type { Answer, Outcome } from "../simulate/answer.ts";
import type { Assumption } from "../simulate/assumption.ts";
import type { Flow, FlowPacket } from "../simulate/flow.ts";
import { assumptionText, flowBreakText, flowNoteText } from "./text/assumption-text.ts";
import { inferenceText } from "./text/inference-text.ts";
import { endReasonText } from "./text/reason-text.ts";

/** Sentences of an outcome. */
export interface OutcomeTexts {
  /** Assumptions that the answer rests on, a sentence for each of `assumptionCodes`. */
  readonly assumptions: readonly string[];
  /** Reason of a verdict that no rule gave, a sentence for `reasonCode`; absent without one. */
  readonly reason?: string;
}

/** Outcome of one branch, with sentences. */
export interface OutcomeJson extends Outcome, OutcomeTexts {}

/** JSON document of an answer (`simulate --json`). */
export interface AnswerJson extends Omit<Answer, "assumptionCodes" | "branches">, OutcomeTexts {
  /** Inferences about the host, and assumptions that the answer rests on. */
  readonly assumptionCodes: readonly (HostInference | Assumption)[];
  /** One outcome for each branch, if the verdict depends on an unknown. */
  readonly branches?: readonly OutcomeJson[];
}

/** Inferences about a host, as sentences and as codes. */
export interface InferenceTexts {
  /** The sentences. */
  readonly texts: readonly string[];
  /** The codes. */
  readonly codes: readonly HostInference[];
}

/** Returns the inferences about a host for `answerJson`. */
export const inferenceTexts = ({ inferences }: Pick<Host, "inferences">): InferenceTexts => ({
  texts: inferences.map(inferenceText),
  codes: inferences,
});

const NO_INFERENCES: InferenceTexts = { texts: [], codes: [] };

/**
 * Returns the JSON document of an answer.
 * @param inferred inferences about the host, which precede the assumptions
 */
export function answerJson(answer: Answer, inferred: InferenceTexts = NO_INFERENCES): AnswerJson {
  const { packet, verdict, delivery, out, sent, path, branches, reasonCode } = answer;
  // Hot path of `--packets`: a literal is faster in V8 than a spread.
  const json = {
    packet,
    verdict,
    delivery,
    out,
    sent,
    path,
    assumptions: [...inferred.texts, ...answer.assumptionCodes.map(assumptionText)],
    assumptionCodes: [...inferred.codes, ...answer.assumptionCodes],
  };
  if (reasonCode === undefined && branches === undefined) return json;
  return {
    ...json,
    ...reasonWithText(answer),
    ...(branches === undefined ? {} : { branches: branches.map(branchJson) }),
  };
}

/** Returns the outcome of a branch, with a sentence before each code. */
function branchJson(branch: Outcome): OutcomeJson {
  const { verdict, delivery, out, sent, path, assumptionCodes, assume } = branch;
  return {
    verdict,
    delivery,
    out,
    sent,
    path,
    assumptions: assumptionCodes.map(assumptionText),
    assumptionCodes,
    ...reasonWithText(branch),
    ...(assume === undefined ? {} : { assume }),
  };
}

const reasonWithText = ({ reasonCode }: Pick<Outcome, "reasonCode">) =>
  reasonCode === undefined ? {} : { reason: endReasonText(reasonCode), reasonCode };

/** JSON document of a connection (`simulate --flow --json`). */
export interface FlowJson extends Omit<Flow, "packets"> {
  /** Version of the document's format. */
  readonly version: 1;
  /** Reason why the receiver cannot use the last packet, a sentence for `brokenCode`; `null` without one. */
  readonly broken: string | null;
  /** Peculiarities of a connection that can still work, a sentence for each of `noteCodes`. */
  readonly notes: readonly string[];
  /** The answer for each packet, with its role and its sender. */
  readonly packets: readonly (Pick<FlowPacket, "step" | "from"> & AnswerJson)[];
}

/**
 * Returns the JSON document of a connection.
 * @param document returns the document of one packet's answer
 */
export const flowJson = (
  { verdict, brokenCode, noteCodes, packets }: Flow,
  document: (answer: Answer) => AnswerJson = (answer) => answerJson(answer),
): FlowJson => ({
  version: 1,
  verdict,
  broken: brokenCode === null ? null : flowBreakText(brokenCode),
  brokenCode,
  notes: noteCodes.map(flowNoteText),
  noteCodes,
  packets: packets.map(({ step, from, trace }) => ({ step, from, ...document(trace.answer) })),
});
