/**
 * Audit: finds the packet sets that reach a container, or leave one, although the owner's own rules block them. Each finding
 * has one packet that proves it on the simulator.
 */
import type { Host } from "../host/host.ts";
import type { HostInference } from "../host/inference.ts";
import type { Family } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import type { Domain } from "../reach/domain.ts";
import type { Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { Vocabulary } from "../reach/variables.ts";
import { countRules, type Ruleset } from "../rules/ruleset.ts";
import { dockerUserLint } from "./docker-user-lint.ts";
import { budgetDoubt, type Doubt, DoubtCollector } from "./doubt.ts";
import { egress } from "./egress.ts";
import { engineDoubts, hasEngineRules, otherPublishers, portsWithoutRule } from "./engine-doubts.ts";
import { engineLint } from "./engine-lint.ts";
import { publications } from "./engine-rules.ts";
import { type AuditOptions, FamilyModel } from "./family-model.ts";
import type { Exposure, Finding, Passage } from "./finding.ts";
import { ingress } from "./ingress.ts";
import type { Lint } from "./lint.ts";
import { type ListeningSocket, unauditedSocketDoubts, unauditedSockets } from "./listening.ts";
import { withMissing } from "./missing-tables.ts";
import { type AuditNote, familyNotes, hostNetworkNotes } from "./notes.ts";
import { ownerRuleLint } from "./owner-rules.ts";
import { type AuditScope, scopeDoubts, scopeNotes, scopeOf } from "./scope.ts";
import { Unsettled } from "./unsettled.ts";

export type { AuditOptions } from "./family-model.ts";
export type { Passage } from "./finding.ts";

/** Result of an audit, as data; `auditJson` adds sentences, a version and a summary. */
export interface Audit {
  /** Rules, engines and ports that the inputs contain. */
  readonly looked: AuditScope;
  /** Facts about the host that were inferred because no input has them. */
  readonly inferences: readonly HostInference[];
  /** Number of entries in the expectations; `null` without expectations. */
  readonly expectations: number | null;
  /** Published ports that packets from outside reach, intended or not. */
  readonly exposures: readonly Exposure[];
  /** Sockets of the host itself and the packets that reach them; `null` where the inputs list no sockets. */
  readonly listening: readonly ListeningSocket[] | null;
  /** Packets that bypass the owner's rules. */
  readonly findings: readonly Finding[];
  /** Rules of the owner that do not have the effect they seem to have. */
  readonly lint: readonly Lint[];
  /** Reasons why the audit is inconclusive; while there are any, no findings does not mean "all clear". */
  readonly doubts: readonly Doubt[];
  /** Facts that are no findings, but easily overlooked. */
  readonly notes: readonly AuditNote[];
}

/** Audit of one family, with the packet sets that fixes and proofs need. */
export interface FamilyAudit {
  readonly family: Family;
  readonly domain: Domain;
  /** Evaluates all rules. */
  readonly full: SetEngine;
  /** Evaluates the owner's rules alone. */
  readonly mine: SetEngine;
  /** Packets, first of a connection or not, that pass to or from a container. */
  readonly passing: Node;
  /** Those that the intent blocks: the packets that a fix may change. */
  readonly blocked: Node;
  /** Those that no rule of Docker's translates, by the interface they leave by. */
  readonly straight: ReadonlyMap<string, Node>;
  /** Packets that pass with a header that is not followed to the end; `doubts` has the reasons. */
  readonly notFollowed: Node;
  /** Packets by endpoint or bridge, from which fixes are made. */
  readonly passages: readonly Passage[];
  readonly exposures: readonly Exposure[];
  readonly listening: readonly ListeningSocket[];
  readonly doubts: readonly Doubt[];
  readonly notes: readonly AuditNote[];
}

const FAMILIES: readonly Family[] = [4, 6];

/**
 * Finds every set of packets that reaches a container, or that one sends, although the owner's own rules block it. A family
 * that exceeds the budget becomes a doubt, never an error.
 * @param rulesets at most one per family
 */
export function audit(rulesets: readonly Ruleset[], host: Host, options: AuditOptions = {}): Audit {
  const doubts = new DoubtCollector();
  const programs = rulesets.map((ruleset) => Program.of(ruleset, host));
  const looked = scopeOf(programs, host);
  doubts.add(...engineDoubts(rulesets, host), ...programs.flatMap((p) => portsWithoutRule(p, host)));
  const families = rulesets.flatMap((ruleset) => {
    const result = auditWithinBudget(ruleset, host, options);
    if (!("code" in result)) return [result];
    doubts.add(result);
    return [];
  });
  const unaudited = FAMILIES.filter((family) => families.every((f) => f.family !== family));
  doubts.add(
    ...scopeDoubts(looked, programs),
    ...unauditedSocketDoubts(host, unaudited),
    ...families.flatMap((f) => f.doubts),
  );
  const linted = programs.map(lintProgram);
  const exposures = families.flatMap((f) => f.exposures);
  return {
    looked,
    inferences: host.inferences,
    expectations: options.expect?.length ?? null,
    exposures,
    listening: host.listening === undefined ? null : allSockets(families, host),
    findings: families.flatMap(findingsOf),
    lint: linted.flatMap((each) => each.lint),
    doubts: doubts.all,
    notes: [
      ...hostNetworkNotes(host),
      ...families.flatMap((f) => f.notes),
      ...linted.flatMap((each) => each.notes),
      ...scopeNotes(looked, programs, exposures, host),
    ],
  };
}

/** Returns the audit of one family, or the doubt that explains why there is none. */
function auditWithinBudget(ruleset: Ruleset, host: Host, options: AuditOptions): FamilyAudit | Doubt {
  const { family } = ruleset;
  if (isLargeCluster(ruleset, host))
    return { code: "large-cluster", family, rules: countRules(ruleset), limit: MOST_CLUSTER_RULES };
  try {
    return auditFamily(withMissing(ruleset, host), host, [], options);
  } catch (error) {
    if (error instanceof BudgetExceeded) return budgetDoubt(family, error);
    throw error;
  }
}

/** Most rules of a pod network that are followed on a host without a container engine. */
const MOST_CLUSTER_RULES = 20_000;

/**
 * Returns true if a pod network has very many rules and the host has nothing that an audit of them could find: no engine's
 * rule, bridge, container or published port, and no listed socket. The audit is inconclusive in any case, since the exposure of
 * pods is unknown (`other-publisher`); following every service would take over 10 s and 1 GB.
 */
const isLargeCluster = (ruleset: Ruleset, host: Host): boolean =>
  countRules(ruleset) > MOST_CLUSTER_RULES &&
  host.bridges.length === 0 &&
  host.containers.length === 0 &&
  host.networks.length === 0 &&
  host.listening === undefined &&
  otherPublishers(ruleset).size > 0 &&
  !hasEngineRules(ruleset) &&
  publications(Program.of(ruleset, host)).length === 0;

/** Returns the lint of one family, each shadowed rule once. */
function lintProgram(program: Program): { readonly lint: Lint[]; readonly notes: AuditNote[] } {
  const [engines, owner] = [engineLint(program), ownerRuleLint(program)];
  // Where Docker uses nftables, nothing has to call DOCKER-USER.
  const isLeft = engines.some(({ kind }) => kind === "docker-user-left-behind");
  const user = dockerUserLint(program).filter(({ kind }) => !isLeft || kind !== "docker-user-not-called");
  // A rule after an unconditional one in DOCKER-USER is also shadowed; report it once.
  const unreached = new Set(user.flatMap((l) => (l.kind === "behind-return" ? [l.rule!.line] : [])));
  const others = owner.lint.filter((l) => l.kind !== "shadowed" || !unreached.has(l.rule!.line));
  return {
    lint: [...user, ...engines, ...others],
    notes: owner.skipped ? [{ code: "shadow-search-skipped", family: program.ruleset.family }] : [],
  };
}

/** Returns the sockets of both families; those of a family that was not audited are `maybe` open. */
const allSockets = (families: readonly FamilyAudit[], host: Host): ListeningSocket[] =>
  FAMILIES.flatMap(
    (family) => families.find((f) => f.family === family)?.listening ?? unauditedSockets(host, family),
  );

/** Returns the findings of a family's audit. */
export const findingsOf = (family: FamilyAudit): Finding[] =>
  family.passages.flatMap((passage) => (passage.finding === null ? [] : [passage.finding]));

/**
 * Audits one family.
 * @param more predicates that the domain must distinguish as well, so that other rulesets can be compared with this one
 * @throws BudgetExceeded when the diagrams exceed their budget
 */
export function auditFamily(
  ruleset: Ruleset,
  host: Host,
  more: readonly Vocabulary[] = [],
  options: AuditOptions = {},
): FamilyAudit {
  const model = new FamilyModel(ruleset, host, more, options);
  const doubts = new DoubtCollector();
  const unsettled = new Unsettled(model, doubts);
  const inbound = ingress(model, unsettled);
  const flows = [inbound, egress(model, unsettled)];
  const passages = flows.flatMap((flow) => flow.passages);
  const { domain, family, full, mine } = model;
  return {
    family,
    domain,
    full,
    mine,
    passages,
    passing: domain.diagrams.unionAll(flows.map((flow) => flow.passing)),
    blocked: domain.diagrams.unionAll(flows.map((flow) => flow.blocked)),
    straight: inbound.straight,
    notFollowed: unsettled.notFollowed,
    exposures: inbound.exposures,
    listening: inbound.listening,
    doubts: doubts.all,
    notes: familyNotes(model, passages, inbound.exposures),
  };
}
