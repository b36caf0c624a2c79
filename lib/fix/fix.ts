/** From findings to rules: lifted, applied to the model as printed, proved, and only then given out. */
import { auditFamily, type FamilyAudit, findingsOf } from "../audit/audit.ts";
import { doubts } from "../audit/doubts.ts";
import type { Finding } from "../audit/finding.ts";
import { containerAt, type Host } from "../host/host.ts";
import type { Source } from "../host/read.ts";
import type { Address, Family } from "../packet/field.ts";
import { and, is, or, type Predicate } from "../packet/predicate.ts";
import { readRuleset } from "../rules/load.ts";
import { printBody, printRuleset } from "../rules/print.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { restored, withoutFix } from "./apply.ts";
import type { Cost } from "./cost.ts";
import { cutsOf } from "./cut.ts";
import { type FamilyRules, restore, script, setsText, ufwBlock, ufwUndo, undo, unit } from "./emit.ts";
import { type Choice, type IpSet, type Lifted, lift, type Strategy } from "./lift.ts";
import { foreseen, type Proof, prove } from "./prove.ts";

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
  /** Blocks for ufw's after.rules and after6.rules, the lines that take them away, and why there is none. */
  readonly ufw: {
    readonly after: string;
    readonly after6: string;
    readonly undo: readonly string[];
    readonly cannot: readonly string[];
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
  /** What is left open, and why and what would close it; a sentence each. */
  readonly failed: readonly string[];
  /** What to know of the fix; a sentence each. */
  readonly warnings: readonly string[];
  /** Whether these rules are in force already. */
  readonly inForce: boolean;
  /**
   * Whether the proof holds: every finding is closed or named in `failed`, and nothing else is changed. A fix that
   * does not hold is not to be used.
   */
  readonly holds: boolean;
}

/** One family's part. */
interface Part extends FamilyRules {
  readonly proof: Proof;
  readonly cost: Cost | null;
  readonly choices: readonly Choice[];
  readonly failed: readonly string[];
  readonly warnings: readonly string[];
  readonly holds: boolean;
  readonly after: Ruleset;
}

/**
 * Writes rules for DOCKER-USER that close every finding that rules there can close, and proves that they do and
 * change nothing else.
 * @param rulesets at most one a family
 * @throws BudgetExceeded when the host is too large for the diagrams' budget
 */
export function fix(rulesets: readonly Ruleset[], host: Host, options: FixOptions = {}): Fix {
  const parts = rulesets.map((ruleset) => family(ruleset, host, options));
  const of = (family: Family): Part | undefined => parts.find((p) => p.family === family);
  const spelled = (family: Family): string[] =>
    [...(of(family)?.chains ?? [])].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`));
  const text = (family: Family): string => (of(family) === undefined ? "" : restore(of(family)!));
  const block = (family: Family): { text: string; why: string | null } => {
    const part = of(family);
    const made = part === undefined ? { text: "" } : ufwBlock(part);
    return "why" in made ? { text: "", why: `IPv${family}: ${made.why}` } : { text: made.text, why: null };
  };
  const [after, after6] = [block(4), block(6)];
  const some = parts.some((p) => p.chains.size > 0);
  return {
    rules4: spelled(4),
    rules6: spelled(6),
    restore: text(4),
    restore6: text(6),
    sets: setsText(parts.flatMap((p) => p.sets)),
    script: some ? script(parts) : "",
    ufw: {
      after: after.text,
      after6: after6.text,
      undo: ufwUndo(parts),
      cannot: [after.why, after6.why].filter((why) => why !== null),
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
    failed: [...parts.flatMap((p) => p.failed), ...doubts(rulesets, host)],
    warnings: parts.flatMap((p) => p.warnings),
    inForce: some && parts.every((p) => p.chains.size === 0 || isInForce(p)),
    holds: parts.every((p) => p.holds),
  };
}

function family(live: Ruleset, host: Host, { strategy = "auto", sets = false, inputs }: FixOptions): Part {
  const ruleset = withoutFix(live);
  const audited = auditFamily(ruleset, host, [foreseen(host, ruleset.family)], { detail: "findings" });
  const lifted = lift(audited, host, strategy, sets);
  const { family } = ruleset;
  const { cuts, left } = cutsOf(audited, host, lifted.closed);
  const rules: FamilyRules = {
    family,
    chains: canonical(lifted.chains, family),
    sets: lifted.sets,
    ruleset: live,
    input: inputs?.find((source) => source.name === live.source)?.text ?? null,
    cuts,
  };
  const after = restored(live, restore(rules));
  const open = new Map(lifted.open);
  let proof: Proof = { closed: [], remaining: findingsOf(audited).map((f) => f.id), changed: [] };
  let cost: Cost | null = null;
  if (rules.chains.size > 0) {
    const then = withSets(host, lifted.sets);
    const proved = prove(ruleset, after, host, audited, then, new Set(open.keys()));
    ({ proof, cost } = proved);
    for (const finding of proved.left) {
      const why = open.has(finding.id) ? null : beforeUs(finding);
      if (why !== null) open.set(finding.id, why);
    }
  }
  const failed = [...open].map(([id, why]) => `${id}: ${why}`);
  return {
    ...rules,
    after,
    proof,
    cost,
    choices: lifted.choices,
    failed: [...audited.inconclusive, ...failed],
    warnings: warningsOf(lifted, audited, host, left),
    holds:
      audited.inconclusive.length === 0 &&
      proof.changed.length === 0 &&
      proof.remaining.every((id) => open.has(id)),
  };
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
  rulesIn(ruleset) === rulesIn(after) && printRuleset(ruleset) === printRuleset(after);

const rulesIn = ({ tables }: Ruleset): number => {
  let count = 0;
  for (const { chains } of tables.values()) for (const { rules } of chains.values()) count += rules.length;
  return count;
};

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

/** The rules as iptables-save will print them once they are in force. */
function canonical(chains: Lifted["chains"], family: Family): Map<string, readonly string[]> {
  if (chains.size === 0) return new Map();
  const text = [
    "*filter",
    ...[...chains.keys()].map((chain) => `:${chain} - [0:0]`),
    ...[...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`)),
    "COMMIT\n",
  ].join("\n");
  const { rulesets, diagnostics } = readRuleset([{ name: "fix", text, family }]);
  const wrong = diagnostics.find((d) => d.severity === "error");
  if (wrong !== undefined)
    throw new Error(`fwcheck cannot read its own rules: ${wrong.message}: ${wrong.found}`);
  return new Map(
    [...rulesets[0]!.tables.get("filter")!.chains.values()]
      .filter((chain) => chains.has(chain.name))
      .map((chain) => [chain.name, chain.rules.map((rule) => printBody(rule, { family }).trimStart())]),
  );
}
