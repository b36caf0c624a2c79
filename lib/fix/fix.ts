/** Fixes both families: rules for DOCKER-USER that close the findings of an audit, in every printed form, with proof. */
import { auditFamily, findingsOf } from "../audit/audit.ts";
import { engineDoubts, portsWithoutRule, usesIpv6 } from "../audit/engine-doubts.ts";
import type { Host } from "../host/host.ts";
import { DOCKER_CHAIN, DOCKER_USER } from "../host/known/docker.ts";
import { isDockerTable } from "../host/known/tables.ts";
import { isNftRuleset, isNftScript } from "../host/rulesets.ts";
import { printTables } from "../iptables/print.ts";
import type { Family } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import { chainOf, countRules, iptablesName, type Ruleset, tablesOf } from "../rules/ruleset.ts";
import { type FixLanguage, nftTableId } from "./chain-names.ts";
import type { Cost } from "./cost.ts";
import type { StrategyChoice } from "./endpoint-rules.ts";
import { type Coverage, type FamilyFix, type FixOptions, fixFamily, type OpenItem } from "./family-fix.ts";
import type { Proof } from "./prove.ts";
import { type FixNote, limitOf } from "./reasons.ts";
import { type LeftOutRule, type UfwRefusal, ufwBlock, ufwUndo } from "./write/after-rules.ts";
import { appended, familyTool, tool } from "./write/family.ts";
import { addedRules, nftForm, nftUndo } from "./write/nft.ts";
import { nftScript } from "./write/nft-script.ts";
import { restore, undo } from "./write/restore.ts";
import { script } from "./write/script.ts";
import { setsText } from "./write/sets.ts";
import { nftUnit, unit } from "./write/unit.ts";

export type { FixLanguage } from "./chain-names.ts";
export type { Coverage, FixOptions, OpenItem } from "./family-fix.ts";

/** A fix in all its forms, with its proof. */
export interface Fix {
  /** Language of the rules. Forms for the other language are `""`. */
  readonly language: FixLanguage;
  /** Rules of our chains: `-A CHAIN RULE`, or `add rule ip fwcheck CHAIN RULE` for nft. */
  readonly rules4: readonly string[];
  /** The same for ip6tables. */
  readonly rules6: readonly string[];
  /** For `nft -f`, with the tables of both families. */
  readonly nft: string;
  /**
   * Programs that change the rules of each family. They name the backend of the container engine where both backends of
   * iptables have rules: `iptables-legacy`.
   */
  readonly programs: { readonly ipv4: string; readonly ipv6: string };
  /** For `iptables-restore --noflush`; `""` where IPv4 needs no rules. */
  readonly restore: string;
  /** For `ip6tables-restore --noflush`. */
  readonly restore6: string;
  /** For `ipset restore`, before the rules; `""` where no set is needed. */
  readonly sets: string;
  /** A POSIX sh script for both families, with `--check`, `--undo` and `--cut`. */
  readonly script: string;
  /** Blocks for ufw's after.rules and after6.rules. */
  readonly ufw: UfwFix;
  /** A unit for systemd that applies the script after docker.service. */
  readonly unit: string;
  /** Both families' rulesets with the fix, as the save commands print them. */
  readonly saved: string;
  /** Commands that remove the fix. */
  readonly undo: readonly string[];
  /** Strategy of each endpoint, and the reason. */
  readonly choices: readonly StrategyChoice[];
  /** Effect of the fix, over all packets. */
  readonly proof: Proof;
  /** By family: rules that packets pass without and with the fix; `null` where it adds no rules. */
  readonly cost: { readonly ipv4: Cost | null; readonly ipv6: Cost | null };
  /** By family: result for its findings. */
  readonly families: { readonly ipv4: Coverage; readonly ipv6: Coverage };
  /** Findings that stay open, and doubts. */
  readonly left: readonly OpenItem[];
  /** Remarks on the use of the fix. */
  readonly notes: readonly FixNote[];
  /** These rules are in force already. */
  readonly inForce: boolean;
  /**
   * The proof holds: the printed rules close what `proof.closed` names, `left` names every other finding, and
   * no other packet is affected. Do not use a fix that does not hold.
   */
  readonly holds: boolean;
}

/** The fix for ufw, which loads it at boot and at each reload. */
export interface UfwFix {
  /** Block for after.rules; `""` where IPv4 needs none or can have none. */
  readonly after: string;
  /** Block for after6.rules. */
  readonly after6: string;
  /** Commands that remove the blocks and their rules. */
  readonly undo: readonly string[];
  /** Families whose fix ufw cannot load, with the reason. */
  readonly refusals: readonly UfwRefusal[];
  /** Rules that the blocks leave out. */
  readonly leftOut: readonly LeftOutRule[];
}

/**
 * Generates rules for DOCKER-USER that close every finding that rules there can close, and proves that they change
 * nothing else. `left` names each finding that stays open; it keeps no other finding open.
 * @param rulesets at most one per family
 */
export function fix(rulesets: readonly Ruleset[], host: Host, given: FixOptions = {}): Fix {
  const language = given.language ?? fixLanguage(rulesets);
  const options = { ...given, language };
  const unserved = new Map(rulesets.map((r) => [r, portsWithoutRule(Program.of(r, host), host)]));
  const parts = rulesets.map((ruleset) =>
    fixFamily(withoutUnread(ruleset), host, options, (unserved.get(ruleset) ?? []).length > 0),
  );
  const [ipv4, ipv6] = ([4, 6] as const).map((family) => parts.find((part) => part.family === family));
  const hasRules = parts.some((part) => part.chains.size > 0);
  return {
    language,
    programs: {
      ipv4: ipv4 === undefined ? familyTool(4) : tool(ipv4),
      ipv6: ipv6 === undefined ? familyTool(6) : tool(ipv6),
    },
    ...(language === "iptables" ? iptablesForms(parts, hasRules) : nftForms(parts, hasRules, options)),
    choices: parts.flatMap((part) => part.choices),
    proof: {
      closed: parts.flatMap((part) => part.proof.closed),
      remaining: parts.flatMap((part) => part.proof.remaining),
      changed: parts.flatMap((part) => part.proof.changed),
    },
    cost: { ipv4: ipv4?.cost ?? null, ipv6: ipv6?.cost ?? null },
    families: {
      ipv4: ipv4?.coverage ?? "absent",
      // If the caller states that the inputs are complete and there are no ip6tables rules, nothing filters IPv6.
      ipv6: ipv6?.coverage ?? (host.complete && !usesIpv6(host) ? "clean" : "absent"),
    },
    left: distinct([
      ...parts.flatMap((part) => part.left),
      ...rulesets.flatMap((ruleset) => blockedByUnread(ruleset, host)),
      ...[...engineDoubts(rulesets, host), ...[...unserved.values()].flat()].map(
        (doubt): OpenItem => ({ finding: null, reason: { code: "audit", doubt } }),
      ),
    ]),
    notes: parts.flatMap((part) => part.notes),
    inForce: hasRules && parts.every((part) => part.chains.size === 0 || isInForce(part, language)),
    holds: parts.every((part) => part.holds),
  };
}

/**
 * Returns the language of the host's container engine: nftables where one of its tables exists, or where Docker has no chains
 * of iptables and the host has tables of nftables.
 */
export function fixLanguage(rulesets: readonly Ruleset[]): FixLanguage {
  const tables = rulesets.flatMap(tablesOf);
  if (tables.some(({ name }) => isDockerTable(name))) return "nftables";
  const hasDocker = rulesets.some((ruleset) =>
    [DOCKER_USER, DOCKER_CHAIN].some((chain) => chainOf(ruleset, "filter", chain) !== undefined),
  );
  return !hasDocker && tables.some(({ name }) => iptablesName(name) === null) ? "nftables" : "iptables";
}

/** Forms of a fix: its printed rules. */
type Forms = Pick<
  Fix,
  "nft" | "restore" | "restore6" | "rules4" | "rules6" | "saved" | "script" | "sets" | "ufw" | "undo" | "unit"
>;

/** Returns a function that applies another one to the part of a family; without rules it returns `none`. */
const ofFamily =
  (parts: readonly FamilyFix[]) =>
  <T>(family: Family, print: (part: FamilyFix) => T, none: T): T => {
    const part = parts.find((each) => each.family === family);
    return part === undefined ? none : print(part);
  };

function iptablesForms(parts: readonly FamilyFix[], hasRules: boolean): Forms {
  const of = ofFamily(parts);
  return {
    rules4: of(4, ({ chains }) => appended(chains), []),
    rules6: of(6, ({ chains }) => appended(chains), []),
    nft: "",
    restore: of(4, restore, ""),
    restore6: of(6, restore, ""),
    sets: setsText(parts.flatMap((part) => part.sets)),
    script: hasRules ? script(parts) : "",
    ufw: ufwFix(parts),
    unit: hasRules ? unit(parts) : "",
    // Printed on demand: the text is as large as the input.
    get saved() {
      return parts.map(savedText).join("");
    },
    undo: parts.flatMap(undo),
  };
}

function nftForms(parts: readonly FamilyFix[], hasRules: boolean, { inputs = [] }: FixOptions): Forms {
  const of = ofFamily(parts);
  const listing = inputs.find(({ text }) => isNftRuleset(text) && !isNftScript(text))?.text ?? null;
  return {
    rules4: of(4, addedRules, []),
    rules6: of(6, addedRules, []),
    nft: hasRules ? nftForm(parts, listing) : "",
    restore: "",
    restore6: "",
    sets: "",
    script: hasRules ? nftScript(parts, listing) : "",
    ufw: { after: "", after6: "", undo: [], refusals: [], leftOut: [] },
    unit: hasRules ? nftUnit(listing) : "",
    saved: "",
    undo: nftUndo(parts),
  };
}

/**
 * Returns the ruleset without the base chains that were not read. A fix applies the policy of the rules that were read;
 * unread chains drop the same packets with and without it. `left` names the findings that depend on them.
 */
function withoutUnread(ruleset: Ruleset): Ruleset {
  if (ruleset.unread === undefined) return ruleset;
  const { unread: _, ...read } = ruleset;
  return read;
}

/** Returns the findings that only an unread base chain may block. Its policy is unknown, so no rule can copy it. */
function blockedByUnread(ruleset: Ruleset, host: Host): OpenItem[] {
  if (ruleset.unread === undefined) return [];
  const { family } = ruleset;
  try {
    const findings = findingsOf(auditFamily(ruleset, host, [], { detail: "findings" }));
    return findings.flatMap(({ id, intended, unread }): OpenItem[] =>
      unread !== undefined && intended.verdict === "undecided"
        ? [{ finding: id, reason: { code: "policy-not-read", unread } }]
        : [],
    );
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    return [{ finding: null, reason: { code: "unread-not-searched", family, limit: limitOf(error) } }];
  }
}

/** Removes equal entries. */
const distinct = (left: readonly OpenItem[]): OpenItem[] => [
  ...new Map(left.map((each) => [JSON.stringify(each), each])).values(),
];

function ufwFix(parts: readonly FamilyFix[]): UfwFix {
  const blocks = [...parts]
    .sort((a, b) => a.family - b.family)
    .map((part) => ({ family: part.family, ...ufwBlock(part) }));
  const textOf = (family: Family): string => blocks.find((block) => block.family === family)?.text ?? "";
  return {
    after: textOf(4),
    after6: textOf(6),
    undo: ufwUndo(parts),
    refusals: blocks.flatMap(({ refusal }) => (refusal === null ? [] : [refusal])),
    leftOut: blocks.flatMap(({ leftOut }) => leftOut),
  };
}

const savedText = (part: FamilyFix): string =>
  `# Generated by ${tool(part)}-save, and changed by fwcheck\n${printTables(part.after)}`;

/** Returns whether the live rules contain the chains of a fix unchanged. */
const isInForce = ({ ruleset, after }: FamilyFix, language: FixLanguage): boolean =>
  countRules(ruleset) === countRules(after) &&
  (language === "iptables"
    ? printTables(ruleset) === printTables(after)
    : ownRules(ruleset) === ownRules(after));

/** Returns the rules of a fix for nftables as one text. */
const ownRules = (ruleset: Ruleset): string =>
  [...(ruleset.tables.get(nftTableId(ruleset.family))?.chains.values() ?? [])]
    .map(({ name, rules }) => [name, ...rules.map((rule) => rule.text(ruleset))].join("\n"))
    .sort()
    .join("\n\n");
