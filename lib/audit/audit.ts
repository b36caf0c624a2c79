/**
 * Where the rules let packets through to or from a container that the owner's own rules block: over all packets, as
 * sets, each finding with one packet that proves it on the simulator.
 */
import type { Host } from "../host/host.ts";
import type { Family } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import type { Domain } from "../reach/domain.ts";
import type { Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { Vocabulary } from "../reach/variables.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { type AuditOptions, Question } from "./context.ts";
import { type Looked, lookedAt, lookedRemarks, nothingAudited, unauditedEngines } from "./coverage.ts";
import { doubts, unpublished } from "./doubts.ts";
import { egress } from "./egress.ts";
import type { Exposure, Finding, Way } from "./finding.ts";
import { ingress } from "./ingress.ts";
import { type Lint, lint } from "./lint.ts";
import { type Listening, unaudited, unauditedDoubt } from "./listening.ts";
import { withMissing } from "./missing-tables.ts";
import { ownerRules } from "./owner-rules.ts";
import { hostNetwork, remarks } from "./remarks.ts";

export type { AuditOptions } from "./context.ts";
export type { Way } from "./finding.ts";

/** What an audit found; the contract's JSON. */
export interface Audit {
  /** What it looked at: rules, container engines, ports. */
  readonly looked: Looked;
  /** What of the host was not given but inferred, a sentence each. */
  readonly inferred: readonly string[];
  /** What is reachable from outside, whether it should be or not. */
  readonly exposures: readonly Exposure[];
  /** What listens on the host itself, and who reaches it from outside; `null` where the inputs do not say what listens. */
  readonly listening: readonly Listening[] | null;
  /** Where containers bypass what the owner wrote. */
  readonly findings: readonly Finding[];
  /** Rules in DOCKER-USER that do not do what they seem to. */
  readonly lint: readonly Lint[];
  /** What could not be settled, a sentence each: never to be read as "all clear". */
  readonly inconclusive: readonly string[];
  /** What is governed or closed although one might doubt it, a sentence each. */
  readonly remarks: readonly string[];
}

/** One family's audit with its sets. */
export interface FamilyAudit {
  readonly family: Family;
  readonly domain: Domain;
  /** The way through all rules, and through the owner's alone. */
  readonly full: SetEngine;
  readonly mine: SetEngine;
  /** Every packet, first of a connection or not, that passes to or from a container. */
  readonly passing: Node;
  /** Those of them that the intent blocks: what a fix may change. */
  readonly blocked: Node;
  /** Those that pass at the address they were sent to or by the owner's own translation, by the interface they leave by. */
  readonly straight: ReadonlyMap<string, Node>;
  /** Packets that pass with a header that is not followed to the end: why is in `inconclusive`. */
  readonly unsure: Node;
  /** Each published or directly reached endpoint with the packets that come its way: what a fix is made of. */
  readonly ways: readonly Way[];
  readonly exposures: readonly Exposure[];
  /** The sockets of the host itself. */
  readonly listening: readonly Listening[];
  readonly inconclusive: readonly string[];
  readonly remarks: readonly string[];
}

/**
 * Finds every set of packets that reaches a container, or that one sends, although the owner's own rules say no, each with one
 * packet that proves it. What outgrows the budget or cannot be settled is a sentence in `inconclusive`, never an error.
 * @param rulesets at most one a family
 */
export function audit(rulesets: readonly Ruleset[], host: Host, options: AuditOptions = {}): Audit {
  const inconclusive = [
    ...doubts(rulesets, host),
    ...rulesets.flatMap((ruleset) => unpublished(Program.of(ruleset, host), host)),
  ];
  const families = rulesets.flatMap((ruleset) => {
    try {
      return [auditFamily(withMissing(ruleset, host), host, [], options)];
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) throw error;
      inconclusive.push(
        `IPv${ruleset.family}: ${error.message}, and nothing is said of this family: ${error.remedy}`,
      );
      return [];
    }
  });
  const programs = rulesets.map((ruleset) => Program.of(ruleset, host));
  const linted = programs.map((program) => {
    const [user, owners] = [lint(program), ownerRules(program)];
    // A rule behind an unconditional one in DOCKER-USER is shadowed, and named once.
    const behind = new Set(user.flatMap((l) => (l.kind === "behind-return" ? [l.rule!.line] : [])));
    const others = owners.lint.filter((l) => l.kind !== "shadowed" || !behind.has(l.rule!.line));
    return { lint: [...user, ...others], unsearched: owners.unsearched };
  });
  const looked = lookedAt(programs, host);
  const exposures = families.flatMap((f) => f.exposures);
  return {
    looked,
    inferred: host.inferred,
    exposures,
    listening:
      host.listening === undefined
        ? null
        : ([4, 6] as const).flatMap(
            (family) => families.find((f) => f.family === family)?.listening ?? unaudited(host, family),
          ),
    findings: families.flatMap((f) => findingsOf(f)),
    lint: linted.flatMap((each) => each.lint),
    inconclusive: [
      ...inconclusive,
      ...nothingAudited(looked),
      ...unauditedDoubt(
        host,
        ([4, 6] as const).filter((family) => families.every((f) => f.family !== family)),
      ),
      ...unauditedEngines(looked, programs),
      ...families.flatMap((f) => f.inconclusive),
    ],
    remarks: [
      ...hostNetwork(host),
      ...families.flatMap((f) => f.remarks),
      ...linted.flatMap((each) => each.unsearched),
      ...lookedRemarks(looked, programs, exposures, host),
    ],
  };
}

/** The findings of a family's audit. */
export const findingsOf = (family: FamilyAudit): Finding[] =>
  family.ways.flatMap((way) => (way.finding === null ? [] : [way.finding]));

/**
 * Audits one family.
 * @param more what the domain must be able to tell apart besides, so that other rulesets can be held against this one
 * @param told how much of it is put into words; everything unless said
 * @throws BudgetExceeded when the diagrams outgrow their budget
 */
export function auditFamily(
  ruleset: Ruleset,
  host: Host,
  more: readonly Vocabulary[] = [],
  options: AuditOptions = {},
): FamilyAudit {
  const q = new Question(ruleset, host, more, options);
  const exposures: Exposure[] = [];
  const inward = ingress(q, exposures);
  const outward = q.host.bridges.map((bridge) => egress(q, bridge));
  const flows = [inward, ...outward];
  const ways = flows.flatMap((f) => f.ways);
  return {
    family: ruleset.family,
    domain: q.domain,
    full: q.full,
    mine: q.mine,
    ways,
    passing: q.domain.diagrams.unionAll(flows.map((f) => f.passing)),
    blocked: q.domain.diagrams.unionAll(flows.map((f) => f.blocked)),
    straight: inward.straight,
    unsure: q.unsure,
    exposures,
    listening: inward.listening,
    inconclusive: [...q.inconclusive],
    remarks: remarks(q, ways, exposures),
  };
}
