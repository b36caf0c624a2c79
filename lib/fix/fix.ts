/** From findings to rules: lifted, applied to the model as printed, proved, and only then given out. */
import { auditFamily, type FamilyAudit, findingsOf } from "../audit/audit.ts";
import { doubts, unpublished as unpublishedPorts, usesIpv6 } from "../audit/doubts.ts";
import type { Finding } from "../audit/finding.ts";
import { containerAt, type Host } from "../host/host.ts";
import type { Source } from "../host/read.ts";
import { readRuleset } from "../iptables/load.ts";
import { printBody, printRuleset } from "../iptables/print.ts";
import type { Address, Family } from "../packet/field.ts";
import { and, is, or, type Predicate } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import {
  type Chain,
  chainOf,
  countRules,
  type Match,
  type Rule,
  type Ruleset,
  type TableName,
} from "../rules/ruleset.ts";
import { restored, withoutFix } from "./apply-restore.ts";
import type { Cost } from "./cost.ts";
import { nameOf, setVocabulary, wayKey } from "./decision-lists.ts";
import { cutsOf } from "./established-flows.ts";
import { type Choice, type IpSet, type Lifted, lift, type Strategy } from "./lift.ts";
import { foreseen, type Proof, prove } from "./prove.ts";
import type { FamilyRules } from "./write/family.ts";
import { restore, undo } from "./write/restore.ts";
import { script } from "./write/script.ts";
import { setsText } from "./write/sets.ts";
import { type Block, type LeftOut, ufwBlock, ufwUndo } from "./write/ufw.ts";
import { unit } from "./write/unit.ts";

/** How to fix. */
export interface FixOptions {
  /** `auto` chooses for each endpoint; the default. */
  readonly strategy?: Strategy | "auto";
  /** Whether the form to be used can bring ipsets with it (script, systemd): `auto` takes one where there are many. */
  readonly sets?: boolean;
  /** The texts that the rulesets were read from: their digests stand in what is printed. */
  readonly inputs?: readonly Source[];
}

/** A fix in all its forms, with its proof; the contract's JSON. */
export interface Fix {
  /** Rules of our chains, in iptables' words, `-A` included. */
  readonly rules4: readonly string[];
  /** The same for ip6tables. */
  readonly rules6: readonly string[];
  /** For `iptables-restore --noflush`; `""` where IPv4 needs nothing. */
  readonly restore: string;
  /** For `ip6tables-restore --noflush`. */
  readonly restore6: string;
  /** For `ipset restore`, before the rules; `""` where no set is needed. */
  readonly sets: string;
  /** A POSIX sh script for both families, with `--check`, `--undo` and `--cut`. */
  readonly script: string;
  /**
   * Blocks for ufw's after.rules and after6.rules, the lines that take them away, why there is none, and the rules that
   * they leave out.
   */
  readonly ufw: {
    readonly after: string;
    readonly after6: string;
    readonly undo: readonly string[];
    readonly cannot: readonly string[];
    readonly leftOut: readonly LeftOut[];
  };
  /** A unit for systemd that applies the script after docker.service. */
  readonly unit: string;
  /** Both families' rulesets with the fix in them, as the save commands would print them. */
  readonly saved: string;
  /** Commands that take the fix away again. */
  readonly undo: readonly string[];
  /** How each endpoint is closed, and why so. */
  readonly choices: readonly Choice[];
  /** What the fix does, over all packets. */
  readonly proof: Proof;
  /** By family: what packets pass before and with the fix; `null` where nothing is changed. */
  readonly cost: { readonly ipv4: Cost | null; readonly ipv6: Cost | null };
  /** By family: what became of its findings. */
  readonly families: { readonly ipv4: Coverage; readonly ipv6: Coverage };
  /** Findings that stay open and doubts about the inputs, a sentence each, with the reason and the remedy. */
  readonly failed: readonly string[];
  /** The same as data: what each sentence is about. */
  readonly left: readonly Left[];
  /** What to know of the fix; a sentence each. */
  readonly warnings: readonly string[];
  /** Whether these rules are in force already. */
  readonly inForce: boolean;
  /**
   * Whether the proof holds: the printed rules close what `proof.closed` names, every other finding is named in
   * `failed`, and nothing else is changed. A fix that does not hold is not to be used.
   */
  readonly holds: boolean;
}

/** What a fix leaves. */
export interface Left {
  /** Id of the finding that stays open, or name of the packets for which there is no finding; `null` for a doubt. */
  readonly finding: string | null;
  /** The reason and, where there is one, the remedy. */
  readonly why: string;
}

const doubt = (why: string): Left => ({ finding: null, why });
/** What a fix leaves, as `failed` has it. */
export const leftText = ({ finding, why }: Left): string => (finding === null ? why : `${finding}: ${why}`);

/**
 * What became of the findings of a family: there were none, all are closed, some are left open, no rules are printed,
 * or its rules were not given.
 */
export type Coverage = "clean" | "closed" | "open" | "refused" | "absent";

/** One family's part. */
interface Part extends FamilyRules {
  readonly proof: Proof;
  readonly cost: Cost | null;
  readonly choices: readonly Choice[];
  readonly left: readonly Left[];
  readonly warnings: readonly string[];
  readonly coverage: Coverage;
  readonly holds: boolean;
  readonly after: Ruleset;
}

/**
 * Writes rules for DOCKER-USER that close every finding that rules there can close, and proves that they do and
 * change nothing else. What cannot be closed is named in `failed`, and keeps nothing else open.
 * @param rulesets at most one a family
 */
export function fix(rulesets: readonly Ruleset[], host: Host, options: FixOptions = {}): Fix {
  const unpublished = new Map(rulesets.map((r) => [r, unpublishedPorts(Program.of(r, host), host)]));
  const parts = rulesets.map((ruleset) =>
    family(withoutUnread(ruleset), host, options, (unpublished.get(ruleset) ?? []).length > 0),
  );
  const of = (family: Family): Part | undefined => parts.find((p) => p.family === family);
  const printed = (family: Family): string[] =>
    [...(of(family)?.chains ?? [])].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`));
  const text = (family: Family): string => (of(family) === undefined ? "" : restore(of(family)!));
  const block = (family: Family): Block => {
    const part = of(family);
    return part === undefined ? { text: "", leftOut: [] } : ufwBlock(part);
  };
  const blocks = [block(4), block(6)] as const;
  const [after, after6] = blocks.map((made) => ("text" in made ? made.text : "")) as [string, string];
  const some = parts.some((p) => p.chains.size > 0);
  const all = [
    ...parts.flatMap((p) => p.left),
    ...rulesets.flatMap((ruleset) => notRead(ruleset, host)),
    ...[...doubts(rulesets, host), ...[...unpublished.values()].flat()].map(doubt),
  ];
  const left = [...new Map(all.map((each) => [leftText(each), each])).values()];
  return {
    rules4: printed(4),
    rules6: printed(6),
    restore: text(4),
    restore6: text(6),
    sets: setsText(parts.flatMap((p) => p.sets)),
    script: some ? script(parts) : "",
    ufw: {
      after,
      after6,
      undo: ufwUndo(parts),
      cannot: blocks.flatMap((made, i) => ("why" in made ? [`IPv${i === 0 ? 4 : 6}: ${made.why}`] : [])),
      leftOut: blocks.flatMap((made) => made.leftOut),
    },
    unit: some ? unit(parts) : "",
    saved: parts
      .map(
        (p) =>
          `# Generated by ${p.family === 4 ? "iptables" : "ip6tables"}-save, and changed by fwcheck\n${printRuleset(p.after)}`,
      )
      .join(""),
    undo: parts.flatMap(undo),
    choices: parts.flatMap((p) => p.choices),
    proof: {
      closed: parts.flatMap((p) => p.proof.closed),
      remaining: parts.flatMap((p) => p.proof.remaining),
      changed: parts.flatMap((p) => p.proof.changed),
    },
    cost: { ipv4: of(4)?.cost ?? null, ipv6: of(6)?.cost ?? null },
    families: {
      ipv4: of(4)?.coverage ?? "absent",
      // A caller who says that the inputs are complete says that nothing filters IPv6; without it there is nothing to fix.
      ipv6: of(6)?.coverage ?? (host.complete && !usesIpv6(host) ? "clean" : "absent"),
    },
    failed: left.map(leftText),
    left,
    warnings: parts.flatMap((p) => p.warnings),
    inForce: some && parts.every((p) => p.chains.size === 0 || isInForce(p)),
    holds: parts.every((p) => p.holds),
  };
}

/**
 * The ruleset without the base chains that were not read: a fix brings the policy of these rules to containers. What else
 * may drop, drops with it as without it; `failed` names it.
 */
function withoutUnread(ruleset: Ruleset): Ruleset {
  if (ruleset.unread === undefined) return ruleset;
  const { unread: _, ...read } = ruleset;
  return read;
}

/** What only a base chain that was not read may block: its policy is not known, so it cannot be lifted. */
function notRead(ruleset: Ruleset, host: Host): Left[] {
  if (ruleset.unread === undefined) return [];
  try {
    const findings = findingsOf(auditFamily(ruleset, host, [], { detail: "findings" }));
    return findings.flatMap(({ id, intended, unread }) =>
      unread !== undefined && intended.verdict === "undecided"
        ? [{ finding: id, why: `only ${list(unread)} may block it, and its policy is not read` }]
        : [],
    );
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    return [
      doubt(
        `IPv${ruleset.family}: ${error.message}: what only a firewall that is not read may block is not known`,
      ),
    ];
  }
}

/** One family's fix. A host that is too large for it keeps the other family's. */
function family(live: Ruleset, host: Host, options: FixOptions, translations: boolean): Part {
  const why = unsafe(live, host);
  if (why !== null) return without(live, `IPv${live.family}: ${why}: no rules are printed for this family`);
  try {
    return repaired(live, host, options, translations);
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    return without(live, `IPv${live.family}: ${error.message}: no rules are printed for this family`);
  }
}

/**
 * Why rules made of this input could close what the owner allows; `null` where they cannot. A policy is the owner's
 * whole INPUT: made of a part of it, it drops what the missing rules accept.
 */
function unsafe(ruleset: Ruleset, host: Host): string | null {
  if (ruleset.damaged === true)
    return "some of its rules may be missing, and a policy made of the others could close what they allow";
  const docker = (table: TableName): boolean => chainOf(ruleset, table, "DOCKER") !== undefined;
  const published = host.containers.some((c) => c.published.length > 0) || !ruleset.tables.has("nat");
  const endpoints = chainOf(ruleset, "filter", "DOCKER")?.rules.length ?? 0;
  if (endpoints > 0 && !docker("nat") && published)
    return "Docker's chains of table nat are missing, so a rule for a container's address could close a port that the firewall allows";
  if (docker("nat") && !ruleset.tables.has("filter"))
    return "table filter is missing, so what the firewall allows is not known";
  return null;
}

/** A family for which no rules are printed. */
const without = (live: Ruleset, why: string): Part => ({
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
  left: [doubt(why)],
  warnings: [],
  coverage: "refused",
  holds: true,
});

/** More attempts than this, each with fewer ways, are a sign that something is not understood: all are left open. */
const MOST_ATTEMPTS = 8;

function repaired(live: Ruleset, host: Host, options: FixOptions, translations: boolean): Part {
  const { strategy = "auto", sets = false, inputs } = options;
  const { family } = live;
  const ruleset = withoutFix(live);
  const more = [foreseen(host, family), setVocabulary(Program.of(ruleset, host))];
  const unsettled = auditFamily(ruleset, host, more, { detail: "findings" });
  const followed = withoutOpaque(ruleset, host);
  const audited =
    followed === ruleset ? unsettled : auditFamily(followed, host, more, { detail: "findings" });
  const left = new Map<string, string>();
  for (let attempt = 1; ; attempt++) {
    const lifted = lift(audited, host, strategy, sets, { open: left, translations });
    const { cuts, left: uncut } = cutsOf(audited, host, lifted.closed);
    const rules: FamilyRules = {
      family,
      chains: canonical(lifted, family),
      sets: lifted.sets,
      banChains: lifted.called.filter((chain) => !lifted.copied.includes(chain)),
      ruleset: live,
      input: inputs?.find((source) => source.name === live.source)?.text ?? null,
      cuts,
    };
    const after = restored(live, restore(rules));
    const open = new Map(lifted.open.map(({ way, why }) => [nameOf(way, family), why]));
    let proof: Proof = { closed: [], remaining: findingsOf(audited).map((f) => f.id), changed: [] };
    let cost: Cost | null = null;
    if (rules.chains.size > 0) {
      const proved = prove(followed, withoutOpaque(after, host), host, audited, withSets(host, lifted.sets), {
        closed: new Set(lifted.closed.map(wayKey)),
        open: new Set(lifted.open.map(({ way }) => wayKey(way))),
      });
      if (proved.breaking.size > 0 || proved.proof.changed.length > 0) {
        const { proof } = proved;
        for (const [key, { packet, why }] of proved.breaking)
          left.set(key, `the proof fails for its rules: ${why}: ${JSON.stringify(packet)}`);
        // Where no way is to blame, or ever more are, none of the rules is trusted.
        if (proved.breaking.size === 0 || attempt === MOST_ATTEMPTS)
          for (const way of lifted.closed)
            left.set(
              wayKey(way),
              `the proof fails for the rules as a whole: ${proof.changed[0]!.why}: ${JSON.stringify(proof.changed[0]!.packet)}; please report this`,
            );
        continue;
      }
      ({ proof, cost } = proved);
      for (const finding of proved.left)
        if (!open.has(finding.id)) open.set(finding.id, beforeUs(finding) ?? STILL);
    }
    for (const id of proof.remaining) if (!open.has(id)) open.set(id, STILL);
    return {
      ...rules,
      after,
      proof,
      cost,
      choices: lifted.choices,
      left: [
        ...unsettled.inconclusive.map(doubt),
        ...[...open].map(([finding, why]): Left => ({ finding, why })),
      ],
      warnings: warningsOf(lifted, audited, host, uncut),
      coverage:
        open.size > 0 || proof.remaining.length > 0 ? "open" : proof.closed.length > 0 ? "closed" : "clean",
      holds: proof.changed.length === 0,
    };
  }
}

/** Why a finding is left for which there is no other reason. */
const STILL = "the audit of the rules with the fix still finds it; please report this";

/**
 * The ruleset with the targets of raw and mangle that are not followed (`CT --zone`, unknown ones) doing nothing. The
 * rest of the path is the same for packets that meet them: a proof holds for them, too, unless the target rewrites
 * the packet. The first packet in a zone of conntrack is NEW as anywhere (nf_conntrack_in).
 */
function withoutOpaque(ruleset: Ruleset, host: Host): Ruleset {
  const program = Program.of(ruleset, host);
  const tables = new Map(ruleset.tables);
  for (const name of ["raw", "mangle"] as const) {
    const table = ruleset.tables.get(name);
    if (table === undefined) continue;
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
 * What accepts the packets of a finding that is left before DOCKER-USER is asked; `null` where it is asked. That
 * nothing else of the finding is left, the proof has shown.
 */
function beforeUs({ actual: { path } }: Finding): string | null {
  const last = path.findLast((s) => s.table === "filter");
  if (path.some((step) => step.chain === "DOCKER-USER") || last?.step !== "rule") return null;
  const line = last.line > 0 ? ` (line ${last.line})` : "";
  return `closed in part; filter ${last.chain} rule ${last.rule}${line} accepts the rest before DOCKER-USER is asked: put DOCKER-USER in front of it, with iptables -D FORWARD -j DOCKER-USER && iptables -I FORWARD 1 -j DOCKER-USER`;
}

/** Whether the chains of a fix are there as it would write them. */
const isInForce = ({ ruleset, after }: Part): boolean =>
  countRules(ruleset) === countRules(after) && printRuleset(ruleset) === printRuleset(after);

function warningsOf(lifted: Lifted, { family }: FamilyAudit, host: Host, left: readonly string[]): string[] {
  const changing = new Set(
    lifted.closed.flatMap(({ endpoint }) => {
      const container = endpoint === null ? null : containerAt(host, endpoint.ip);
      return container === null || container.fixed ? [] : [container.name];
    }),
  );
  const byAddress = lifted.choices.some((c) => c.strategy !== "conntrack");
  return [
    ...(changing.size > 0 && byAddress
      ? [
          `IPv${family}: Docker may give ${list([...changing])} another address, and theirs to another container: run fwcheck fix again when they are recreated, give them an address (--ip), or use --strategy conntrack`,
        ]
      : []),
    ...(lifted.closed.length > 0
      ? [
          `IPv${family}: connections that are there already live on, UDP's as long as packets come; sh fix.sh --cut (--format script) ends those that the policy forbids`,
        ]
      : []),
    ...lifted.copied.map(
      (chain) =>
        `IPv${family}: the bans of chain ${chain} are copied as they are now, since rules behind the translation cannot call it with the same effect: run fwcheck fix again when they change`,
    ),
    ...left.map((sentence) => `IPv${family}: --cut leaves flows: ${sentence}`),
  ];
}

const list = (names: readonly string[]): string =>
  names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");

/** The host once the sets of a fix are there. */
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
  const known = new Map<string, Family>(sets.map(({ name, family }) => [name, family]));
  return {
    ...host,
    member: (name, sides, family) =>
      known.get(name) === family && sides.join() === "dst,dst"
        ? members.get(name)
        : host.member(name, sides, family),
  };
}

/** The rules as iptables-save will print them once they are in force, and what they name of the owner's. */
function canonical({ chains, called }: Lifted, family: Family): FamilyRules["chains"] {
  if (chains.size === 0) return new Map();
  const text = [
    "*filter",
    ...[...chains.keys(), ...called].map((chain) => `:${chain} - [0:0]`),
    ...[...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`)),
    "COMMIT\n",
  ].join("\n");
  const { rulesets, diagnostics } = readRuleset([{ name: "fix", text, family }]);
  const wrong = diagnostics.find((d) => d.severity === "error");
  if (wrong !== undefined)
    throw new Error(`fwcheck cannot read its own rules: ${wrong.message}: ${wrong.found}`);
  const ours = [...rulesets[0]!.tables.get("filter")!.chains.values()].filter(({ name }) => chains.has(name));
  return new Map(
    ours.map((chain) => [
      chain.name,
      chain.rules.map((rule) => printBody(withOneMatch(rule), { family }).trimStart()),
    ]),
  );
}

/**
 * The rule with one match of a protocol's header: a lifted rule has those of all rules that it is made of. iptables-nft
 * turns them into expressions of nft and prints them as one, so that the rule would not be found again as it was loaded.
 */
function withOneMatch(rule: Rule): Rule {
  const matches: Match[] = [];
  for (const match of rule.matches) {
    const { protocol } = match.extension;
    const at = protocol === undefined ? -1 : matches.findIndex((m) => m.extension === match.extension);
    const before = matches[at];
    if (before === undefined || Object.keys(match.values).some((key) => Object.hasOwn(before.values, key)))
      matches.push(match);
    else matches[at] = { ...before, values: { ...before.values, ...match.values } };
  }
  // A rule that was loaded reads its parts from its text when they are needed: a spread would not copy them.
  const { table, chain, index, line, counters, unknown, target, syntax } = rule;
  return { table, chain, index, line, counters, matches, unknown, target, syntax };
}
