/** Fix of one family: audit, lift, apply to the model, prove; repeat without the passages whose proof fails. */
import { auditFamily, type FamilyAudit, findingsOf } from "../audit/audit.ts";
import type { Finding } from "../audit/finding.ts";
import { containerAt, type Host } from "../host/host.ts";
import { DOCKER_CHAIN, DOCKER_USER } from "../host/known/docker.ts";
import type { Source } from "../host/read.ts";
import type { Address, Family } from "../packet/field.ts";
import { and, is, or, type Predicate } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import {
  type Chain,
  chainOf,
  iptablesName,
  type Rule,
  type Ruleset,
  type TableId,
} from "../rules/ruleset.ts";
import { canonicalRules } from "./canonical-rules.ts";
import type { FixLanguage } from "./chain-names.ts";
import type { Cost } from "./cost.ts";
import type { Strategy, StrategyChoice } from "./endpoint-rules.ts";
import type { IpSet } from "./endpoint-sets.ts";
import { cutsOf, type UncutFlows } from "./established-flows.ts";
import { type Lifted, lift } from "./lift.ts";
import { nftChains } from "./nft-chains.ts";
import { PLACES } from "./place.ts";
import { setVocabulary } from "./policy-walker.ts";
import { foreseen, type Proof, type Proved, prove } from "./prove.ts";
import { type FamilyRefusal, type FixDoubt, type FixNote, limitOf, type OpenReason } from "./reasons.ts";
import { passageKey, passageName } from "./whole-passages.ts";
import type { FamilyRules } from "./write/family.ts";

/** Options of a fix. */
export interface FixOptions {
  /** Match of endpoints; `auto`, the default, chooses for each endpoint. */
  readonly strategy?: Strategy | "auto";
  /** The printed form can create ipsets (script, systemd); `auto` then uses one for many endpoints. */
  readonly sets?: boolean;
  /**
   * Language of the rules: `iptables`, the default, for DOCKER-USER; `nftables` for tables of their own, which need no chain of
   * Docker's.
   */
  readonly language?: FixLanguage;
  /** Texts that the rulesets were read from; the printed forms contain their digests. */
  readonly inputs?: readonly Source[];
}

/** A finding that stays open, or a doubt. */
export type OpenItem =
  /** Id of the finding, or name of blocked packets that are part of no finding. */
  | { readonly finding: string; readonly reason: OpenReason }
  | { readonly finding: null; readonly reason: FixDoubt };

/**
 * Result of a fix for the findings of one family: there were none, all are closed, some stay open, no rules are
 * printed, or the rules of the family were not given.
 */
export type Coverage = "clean" | "closed" | "open" | "refused" | "absent";

/** Fix of one family. */
export interface FamilyFix extends FamilyRules {
  readonly proof: Proof;
  readonly cost: Cost | null;
  readonly choices: readonly StrategyChoice[];
  readonly left: readonly OpenItem[];
  readonly notes: readonly FixNote[];
  readonly coverage: Coverage;
  readonly holds: boolean;
  /** The ruleset with the fix. */
  readonly after: Ruleset;
}

/**
 * Fixes one family. If its analysis exceeds a limit, it gets no rules; the other family keeps its fix.
 * @param unknownTranslations whether packets may be translated to addresses that the model does not know
 */
export function fixFamily(
  live: Ruleset,
  host: Host,
  options: FixOptions,
  unknownTranslations: boolean,
): FamilyFix {
  const { family } = live;
  const code = refusalOf(live, host);
  if (code !== null) return withoutRules(live, { code, family });
  try {
    return repair(live, host, options, unknownTranslations);
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    return withoutRules(live, { code: "limit-exceeded", family, limit: limitOf(error) });
  }
}

/**
 * Returns why rules made from this input could close ports that the owner allows; `null` if they cannot. A policy is
 * the owner's whole INPUT. Made from a part of INPUT, the policy drops packets that the missing rules accept.
 */
function refusalOf(ruleset: Ruleset, host: Host): Exclude<FamilyRefusal["code"], "limit-exceeded"> | null {
  if (ruleset.damaged === true) return "damaged-ruleset";
  const hasDocker = (table: TableId): boolean => chainOf(ruleset, table, DOCKER_CHAIN) !== undefined;
  const publishes = host.containers.some((c) => c.published.length > 0) || !ruleset.tables.has("nat");
  const endpoints = chainOf(ruleset, "filter", DOCKER_CHAIN)?.rules.length ?? 0;
  if (endpoints > 0 && !hasDocker("nat") && publishes) return "docker-nat-missing";
  return hasDocker("nat") && !ruleset.tables.has("filter") ? "filter-missing" : null;
}

/** Returns the result for a family that gets no rules. */
const withoutRules = (live: Ruleset, reason: FamilyRefusal): FamilyFix => ({
  family: live.family,
  chains: new Map(),
  sets: [],
  banChains: [],
  ruleset: live,
  input: null,
  cuts: [],
  after: live,
  proof: { closed: [], remaining: [], changed: [] },
  cost: null,
  choices: [],
  left: [{ finding: null, reason }],
  notes: [],
  coverage: "refused",
  holds: true,
});

/** After this many failed proofs no rules are trusted: all passages stay open. */
const MOST_ATTEMPTS = 8;

function repair(live: Ruleset, host: Host, options: FixOptions, unknownTranslations: boolean): FamilyFix {
  const { strategy = "auto", sets = false, language = "iptables", inputs } = options;
  const { family } = live;
  const place = PLACES[language];
  const ruleset = place.without(live);
  const vocabularies = [foreseen(host, family), setVocabulary(Program.of(ruleset, host))];
  const audit = (rules: Ruleset): FamilyAudit =>
    auditFamily(rules, host, vocabularies, { detail: "findings" });
  const unsettled = audit(ruleset);
  const followed = withoutOpaque(ruleset, host);
  const audited = followed === ruleset ? unsettled : audit(followed);
  const failed = new Map<string, OpenReason>();
  for (let attempt = 1; ; attempt++) {
    const lifted = lift(audited, host, { strategy, sets, failed, unknownTranslations, language });
    const { cuts, left: uncut } = cutsOf(audited, host, lifted.closed);
    const rules: FamilyRules = {
      family,
      ...writtenRules(lifted, family, language),
      banChains: lifted.called.filter((chain) => !lifted.copied.includes(chain)),
      ruleset: live,
      input: inputs?.find((source) => source.name === live.source)?.text ?? null,
      cuts,
    };
    const after = place.with(live, rules);
    let proved: Proved | null = null;
    if (rules.chains.size > 0) {
      proved = prove(
        followed,
        withoutOpaque(after, host),
        host,
        audited,
        withSets(host, lifted.sets),
        {
          closed: new Set(lifted.closed.map(passageKey)),
          open: new Set(lifted.open.map(({ passage }) => passageKey(passage))),
        },
        language,
      );
      const failures = failuresOf(proved, lifted, attempt === MOST_ATTEMPTS);
      for (const [key, reason] of failures) failed.set(key, reason);
      if (failures.size > 0) continue;
    }
    const proof = proved?.proof ?? {
      closed: [],
      remaining: findingsOf(audited).map((f) => f.id),
      changed: [],
    };
    const open = openFindings(lifted, proved, proof, family);
    return {
      ...rules,
      after,
      proof,
      cost: proved?.cost ?? null,
      choices: lifted.choices,
      left: [
        ...unsettled.doubts.map((doubt): OpenItem => ({ finding: null, reason: { code: "audit", doubt } })),
        ...[...open].map(([finding, reason]): OpenItem => ({ finding, reason })),
      ],
      notes: notesOf(lifted, family, host, uncut),
      coverage:
        open.size > 0 || proof.remaining.length > 0 ? "open" : proof.closed.length > 0 ? "closed" : "clean",
      holds: proof.changed.length === 0,
    };
  }
}

/** Returns the lifted rules in the language of the fix. */
const writtenRules = (
  { chains, sets, called }: Lifted,
  family: Family,
  language: FixLanguage,
): Pick<FamilyRules, "chains" | "sets"> =>
  language === "nftables"
    ? nftChains(chains, sets, family)
    : { chains: canonicalRules(chains, called, family), sets };

/**
 * Returns the passages whose rules fail the proof, by `passageKey`. If the failure belongs to no passage, or after the last
 * attempt, it returns every closed passage.
 */
function failuresOf({ breaking, proof }: Proved, lifted: Lifted, last: boolean): Map<string, OpenReason> {
  const failures = new Map<string, OpenReason>();
  const [first] = proof.changed;
  for (const [key, { packet, difference }] of breaking)
    failures.set(key, { code: "proof-failed", difference, packet });
  if (first !== undefined && (breaking.size === 0 || last)) {
    const { packet, difference } = first;
    for (const passage of lifted.closed)
      failures.set(passageKey(passage), { code: "proof-failed-overall", difference, packet });
  }
  return failures;
}

/** Returns the findings that stay open, by id or name, with the reason. */
function openFindings(
  { open }: Lifted,
  proved: Proved | null,
  { remaining }: Proof,
  family: Family,
): Map<string, OpenReason> {
  const reasons = new Map(open.map(({ passage, reason }) => [passageName(passage, family), reason]));
  for (const finding of proved?.left ?? [])
    if (!reasons.has(finding.id)) reasons.set(finding.id, acceptedBefore(finding) ?? { code: "still-found" });
  for (const id of remaining) if (!reasons.has(id)) reasons.set(id, { code: "still-found" });
  return reasons;
}

/**
 * Returns the ruleset without the targets of raw and mangle that the engine does not follow (`CT --zone`, unknown
 * ones). The rest of the path is the same for packets that reach them, so the proof holds for these packets too,
 * unless the target rewrites them. The first packet of a conntrack zone is NEW like any other (nf_conntrack_in).
 */
function withoutOpaque(ruleset: Ruleset, host: Host): Ruleset {
  const program = Program.of(ruleset, host);
  const tables = new Map(ruleset.tables);
  for (const [name, table] of ruleset.tables) {
    if (!["raw", "mangle"].includes(iptablesName(name) ?? "")) continue;
    const chains = new Map<string, Chain>();
    for (const [key, chain] of table.chains) {
      const opaque = new Set<Rule>();
      for (const { rule, effect } of program.chain(name, key)?.rules ?? [])
        if (effect.kind === "opaque") opaque.add(rule);
      if (opaque.size > 0)
        chains.set(key, { ...chain, rules: chain.rules.filter((rule) => !opaque.has(rule)) });
    }
    if (chains.size > 0) tables.set(name, { ...table, chains: new Map([...table.chains, ...chains]) });
  }
  return [...tables].every(([name, table]) => table === ruleset.tables.get(name))
    ? ruleset
    : { ...ruleset, tables };
}

/**
 * Returns the rule that accepts the rest of a finding before FORWARD calls DOCKER-USER; `null` if the packets reach
 * DOCKER-USER. The proof has shown that nothing else of the finding remains.
 */
function acceptedBefore({ actual: { path } }: Finding): OpenReason | null {
  const last = path.findLast((s) => s.table === "filter");
  if (path.some((step) => step.chain === DOCKER_USER) || last?.step !== "rule") return null;
  const { chain, rule, line } = last;
  return { code: "accepted-before-docker-user", chain, rule, line };
}

function notesOf(
  lifted: Lifted,
  family: Family,
  host: Host,
  uncut: readonly UncutFlows[],
): readonly FixNote[] {
  const dynamic = new Set(
    lifted.closed.flatMap(({ endpoint }) => {
      const container = endpoint === null ? null : containerAt(host, endpoint.ip);
      return container === null || container.fixed ? [] : [container.name];
    }),
  );
  const notes: FixNote[] = [];
  if (dynamic.size > 0 && lifted.choices.some((c) => c.strategy !== "conntrack"))
    notes.push({ code: "addresses-may-change", family, containers: [...dynamic] });
  if (lifted.closed.length > 0) notes.push({ code: "flows-stay", family });
  for (const chain of lifted.copied) notes.push({ code: "bans-copied", family, chain });
  for (const { finding, reason } of uncut) notes.push({ code: "flows-not-cut", family, finding, reason });
  return notes;
}

/** Returns the host with the ipsets that a fix creates. */
function withSets(host: Host, sets: readonly IpSet[]): Host {
  if (sets.length === 0) return host;
  const members = new Map<string, Predicate>(
    sets.map(({ name, entries }) => [
      name,
      or(
        ...entries.map(({ ip, proto, port }) =>
          and(is("dst", ip as Address), is("proto", proto), is("dport", port)),
        ),
      ),
    ]),
  );
  const families = new Map<string, Family>(sets.map(({ name, family }) => [name, family]));
  return {
    ...host,
    member: (name, sides, family) =>
      families.get(name) === family && sides.join() === "dst,dst"
        ? members.get(name)
        : host.member(name, sides, family),
  };
}
