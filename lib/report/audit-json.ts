/** The audit as a JSON document: the data of `Audit`, with sentences, a version and a summary. */
import type { Audit } from "../audit/audit.ts";
import type { DecidedWithoutRule, Decider, DecidingRule } from "../audit/decision.ts";
import type { Doubt } from "../audit/doubt.ts";
import type {
  BypassedBans,
  Exposure,
  Finding,
  FindingKind,
  Intended,
  UnexpectedPackets,
} from "../audit/finding.ts";
import type { Lint } from "../audit/lint.ts";
import type { ListeningSocket } from "../audit/listening.ts";
import type { AuditNote } from "../audit/notes.ts";
import type { SourceGroup, Sources } from "../audit/set-description.ts";
import type { HostInference } from "../host/inference.ts";
import { banListText, deciderText, doubtText, lintText, noteText } from "./text/audit-sentences.ts";
import { countUnexpected } from "./text/audit-text.ts";
import { dependencies, everySource } from "./text/finding-text.ts";
import { inferenceText } from "./text/inference-text.ts";
import { listeningSourcesText } from "./text/listening-text.ts";
import { uncertaintyText } from "./text/reason-text.ts";
import { hostDestinationsText, permittedText, sourcesText, trafficText } from "./text/set-text.ts";

/** Sources in words, beside the data. */
export interface SourceTexts {
  /** Sources of the packets: `everyone`, networks, or `everyone but` networks. */
  readonly from: string;
  /** The same by interface. */
  readonly by: readonly SourceGroupJson[];
}

/** A group of sources, with its sentences. */
export interface SourceGroupJson extends SourceGroup {
  /** The sources in words. */
  readonly from: string;
  /** The host's addresses that the packets are for; absent for all. */
  readonly to?: string;
}

/** Rule or policy that decides a packet. */
export type DeciderJson =
  | DecidingRule
  | (DecidedWithoutRule & {
      /** The policy or other cause, a sentence. */
      readonly policy: string;
      /** The `reason` of `outside-rules`, a sentence. */
      readonly text?: string;
    });

/** A doubt, with the sentence of its reason. */
export type DoubtJson = Doubt & {
  /** The `reason` of `not-followed`, a sentence. */
  readonly text?: string;
};

/** A finding, with its sentences. */
export interface FindingJson extends Omit<Finding, "by" | "bans" | "intended">, SourceTexts {
  /** Packets that the owner's rules let through, in words. */
  readonly allowed: string;
  /** Packets that get through, where one port does not describe them: `tcp 25 to anywhere`. */
  readonly what?: string;
  /** Bans that are bypassed. */
  readonly bans?: BypassedBans & {
    /** The lists in words: `fail2ban (f2b-sshd)`. */
    readonly by: readonly string[];
    /** The banned sources in words. */
    readonly from: string;
  };
  /** Verdict of the owner's rules. */
  readonly intended: Omit<Intended, "rule"> & { readonly rule: DeciderJson };
}

/** An exposure, with its sentences. */
export interface ExposureJson extends Omit<Exposure, "by" | "unexpected">, SourceTexts {
  /** Packets that no expectation covers. */
  readonly unexpected?: Omit<UnexpectedPackets, "by" | "rule"> & SourceTexts & { readonly rule: DeciderJson };
}

/** A socket of the host, with its sentences. */
export interface ListeningSocketJson extends Omit<ListeningSocket, "by" | "rule">, SourceTexts {
  /** Other ports that a translation redirects here, in words. */
  readonly as?: string;
  /** Rule or policy that accepts or drops one such packet; `null` where none decides. */
  readonly rule: DeciderJson | null;
}

/** A lint, with its sentence. */
export type LintJson = Lint & {
  /** The effect of the rule, and what to write instead. */
  readonly message: string;
};

/** Counts of an audit, and the exit code. */
export interface AuditSummary {
  /** `findings`; else `inconclusive` where there are doubts; else `clean`. */
  readonly outcome: "findings" | "inconclusive" | "clean";
  /** Number of findings. */
  readonly findings: number;
  /** Findings that hold for every value of the unknowns. */
  readonly must: number;
  /** Findings that depend on unknowns. */
  readonly may: number;
  /** Findings whose packets the expectations cover; absent without expectations. */
  readonly expected?: number;
  /** Number of findings by kind; kinds without a finding are absent. */
  readonly kinds: Readonly<Partial<Record<FindingKind, number>>>;
  /** Number of exposures. */
  readonly exposures: number;
  /** Exposures with packets that no expectation covers. */
  readonly unexpected: number;
  /** Number of lint results. */
  readonly lint: number;
  /** Number of doubts. */
  readonly doubts: number;
  /** Exit code of the command, with its meaning; absent in a document that no command printed. */
  readonly exit?: { readonly code: number; readonly meaning: string };
}

/** The JSON document of an audit (`--json`). */
export interface AuditJson extends Audit {
  /** Version of the document's format. */
  readonly version: 1;
  /** Counts and exit code. */
  readonly summary: AuditSummary;
  /** Facts about the host that were inferred because no input has them, a sentence for each of `inferences`. */
  readonly inferred: readonly string[];
  /** The same as codes with typed fields. */
  readonly inferences: readonly HostInference[];
  /** Published ports that packets from outside reach, intended or not. */
  readonly exposures: readonly ExposureJson[];
  /** Sockets of the host itself; `null` where the inputs list no sockets. */
  readonly listening: readonly ListeningSocketJson[] | null;
  /** Packets that bypass the owner's rules. */
  readonly findings: readonly FindingJson[];
  /** Rules of the owner that do not have the effect they seem to have. */
  readonly lint: readonly LintJson[];
  /** Reasons why the audit is inconclusive, a sentence for each of `doubts`. */
  readonly inconclusive: readonly string[];
  /** The same as codes with typed fields. */
  readonly doubts: readonly DoubtJson[];
  /** Facts that are no findings, but easily overlooked, a sentence for each of `notes`. */
  readonly remarks: readonly string[];
  /** The same as codes with typed fields. */
  readonly notes: readonly AuditNote[];
}

const EXIT_MEANINGS: Readonly<Record<number, string>> = {
  0: "no finding and no exposure that counts, and no doubt",
  1: "findings that --fail-on counts, or exposures that --expect does not cover",
  2: "nothing that counts was found, but the audit is inconclusive",
};

/**
 * Returns the JSON document of an audit.
 * @param exit exit code of the command that prints it
 */
export function auditJson(audit: Audit, exit?: number): AuditJson {
  const { looked, inferences, doubts, notes } = audit;
  return {
    version: 1,
    summary: summaryOf(audit, exit),
    looked,
    expectations: audit.expectations,
    inferred: inferences.map(inferenceText),
    inferences,
    exposures: audit.exposures.map(exposureJson),
    listening: audit.listening === null ? null : audit.listening.map(listeningJson),
    findings: audit.findings.map(findingJson),
    lint: audit.lint.map((lint) => ({ ...lint, message: lintText(lint) })),
    inconclusive: doubts.map(doubtText),
    doubts: doubts.map(doubtJson),
    remarks: notes.map(noteText),
    notes,
  };
}

function summaryOf(
  { doubts, expectations, exposures, findings, lint }: Audit,
  exit: number | undefined,
): AuditSummary {
  const kinds: Partial<Record<FindingKind, number>> = {};
  for (const { kind } of findings) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const must = findings.filter((f) => f.certainty === "must").length;
  return {
    outcome: findings.length > 0 ? "findings" : doubts.length > 0 ? "inconclusive" : "clean",
    findings: findings.length,
    must,
    may: findings.length - must,
    ...(expectations === null ? {} : { expected: findings.filter((f) => f.expected === true).length }),
    kinds,
    exposures: exposures.length,
    unexpected: countUnexpected({ exposures }),
    lint: lint.length,
    doubts: doubts.length,
    ...(exit === undefined ? {} : { exit: { code: exit, meaning: EXIT_MEANINGS[exit] ?? "an error" } }),
  };
}

/** Returns the sentences of sources; `all` is the word for all sources. */
const sourceTexts = (
  { by, sources }: { readonly by: readonly SourceGroup[]; readonly sources: Sources },
  all?: string,
): SourceTexts => ({
  from: sourcesText(sources, all),
  by: by.map(({ destinations, ...group }) => ({
    ...group,
    from: sourcesText(group.sources, all),
    ...(destinations === undefined ? {} : { destinations, to: hostDestinationsText(destinations) }),
  })),
});

/** Returns the JSON of a doubt. */
export const doubtJson = (doubt: Doubt): DoubtJson =>
  doubt.code === "not-followed" ? { ...doubt, text: uncertaintyText(doubt.reason) } : doubt;

/** Returns the JSON of a rule or policy that decides. */
export function deciderJson(rule: Decider): DeciderJson {
  if (rule.code === "rule") return rule;
  const policy = deciderText(rule);
  return rule.code === "outside-rules" ? { ...rule, text: policy, policy } : { ...rule, policy };
}

function findingJson({ bans, ...finding }: Finding): FindingJson {
  const { intended, permitted, traffic } = finding;
  return {
    ...finding,
    ...sourceTexts(finding, everySource(finding.kind)),
    depends: dependencies(finding),
    allowed: permittedText(permitted, finding.in),
    ...(traffic === undefined ? {} : { what: trafficText(traffic) }),
    ...(bans === undefined
      ? {}
      : { bans: { ...bans, by: bans.lists.map(banListText), from: sourcesText(bans.sources) } }),
    intended: { ...intended, rule: deciderJson(intended.rule) },
  };
}

const exposureJson = ({ unexpected, ...exposure }: Exposure): ExposureJson => ({
  ...exposure,
  ...sourceTexts(exposure),
  ...(unexpected === undefined
    ? {}
    : {
        unexpected: { ...unexpected, ...sourceTexts(unexpected), rule: deciderJson(unexpected.rule) },
      }),
});

const listeningJson = (socket: ListeningSocket): ListeningSocketJson => ({
  ...socket,
  ...sourceTexts(socket),
  from: listeningSourcesText(socket),
  ...(socket.redirectedPorts === undefined ? {} : { as: socket.redirectedPorts.join(", ") }),
  rule: socket.rule === null ? null : deciderJson(socket.rule),
});
