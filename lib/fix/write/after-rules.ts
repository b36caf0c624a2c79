/** Prints a fix as blocks for ufw's after.rules and after6.rules. */
import { hasUfwDefaults } from "../../audit/ufw-rules.ts";
import { knownChain } from "../../host/known/chains.ts";
import { DOCKER_USER } from "../../host/known/docker.ts";
import { printRule } from "../../iptables/print.ts";
import type { Family } from "../../packet/field.ts";
import {
  type Chain,
  calledChain,
  chainOf,
  filterTables,
  type Rule,
  type Ruleset,
} from "../../rules/ruleset.ts";
import { CHAIN, callsOurs, isOurs } from "../chain-names.ts";
import { callsOf, checkCommand, type FamilyRules, heading, stale } from "./family.ts";
import { foreign, type Need, ourRules } from "./needs.ts";
import { undo } from "./restore.ts";

/** A rule that a block leaves out, since an object that it names does not exist when ufw loads its rules. */
export interface LeftOutRule {
  /** 4 or 6. */
  readonly family: Family;
  /** The rule as iptables-save prints it. */
  readonly rule: string;
  /** Missing objects: `chain f2b-web`, `ipset blk`. */
  readonly needs: readonly string[];
  /** Effect that is missing: `denies`, `allows` or `other`. */
  readonly effect: "denies" | "allows" | "other";
  /** Program that adds the rule again when it starts; `null` where none is known. */
  readonly by: string | null;
}

/** Reason why ufw cannot load a family's fix. */
export interface UfwRefusal {
  /**
   * `docker-user-not-called`: Docker does not call DOCKER-USER from FORWARD, and ufw's files cannot keep a call in front
   * of Docker's rules. `sets-needed`: ufw loads its rules before ipsets exist. `ufw-in-other-backend`: ufw writes to the
   * backend of iptables that Docker does not use.
   */
  readonly code: "docker-user-not-called" | "sets-needed" | "ufw-in-other-backend";
  /** 4 or 6. */
  readonly family: Family;
}

/** A block for one of ufw's files, or the reason why there is none. */
export interface UfwBlock {
  /** `""` where there is no block. */
  readonly text: string;
  readonly leftOut: readonly LeftOutRule[];
  readonly refusal: UfwRefusal | null;
}

/** Returns the reason why ufw cannot load a fix; `null` where it can. */
function refusalOf({ ruleset, family, sets }: FamilyRules): UfwRefusal | null {
  const { user, docker, hooks } = callsOf(ruleset);
  if (!user || !docker || hooks.length > 0) return { code: "docker-user-not-called", family };
  const ufw = filterTables(ruleset).filter((table) => hasUfwDefaults(ruleset, table));
  if (ufw.length > 0 && !ufw.includes("filter")) return { code: "ufw-in-other-backend", family };
  return sets.length > 0 ? { code: "sets-needed", family } : null;
}

/**
 * Returns a block for `/etc/ufw/after.rules` (`after6.rules` for family 6). ufw loads it before Docker starts and at each
 * reload. It declares DOCKER-USER, which empties that chain, so it contains the owner's other rules of the chain. A rule
 * that names a missing chain or set would make ufw fail at boot; such rules are left out by name.
 */
export function ufwBlock(part: FamilyRules): UfwBlock {
  const { chains, ruleset, family } = part;
  if (chains.size === 0) return { text: "", leftOut: [], refusal: null };
  const refusal = refusalOf(part);
  if (refusal !== null) return { text: "", leftOut: [], refusal };
  const owners = (chainOf(ruleset, "filter", DOCKER_USER)?.rules ?? []).filter((rule) => !callsOurs(rule));
  const { brought, lacking } = loadable(part);
  const [kept, leftOut] = [[] as Rule[], [] as LeftOutRule[]];
  for (const rule of [...owners, ...ourRules(part)]) {
    const missing = lacking(rule);
    if (missing.length === 0) kept.push(rule);
    else leftOut.push(leave(rule, missing, part));
  }
  const carried = [...brought.values()];
  const old = stale(part);
  return {
    leftOut,
    refusal,
    text: `${[
      `# BEGIN fwcheck IPv${family}`,
      ...heading(
        [part],
        `Append to ${afterRules(family)}, then: ufw reload. Check: ${checkCommand(part)}. Undo: ${ufwUndo([part]).join("; ")}`,
        leftOut.map((each) => `Left out: ${leftOutRuleText(each)}`),
      ),
      "*filter",
      `:${DOCKER_USER} - [0:0]`,
      ...[...chains.keys(), ...carried.map((chain) => chain.name), ...old].map(
        (chain) => `:${chain} - [0:0]`,
      ),
      `-A ${DOCKER_USER} -j ${CHAIN}`,
      ...kept.map((rule) => printRule(rule, ruleset)),
      ...carried.flatMap((chain) => chain.rules.map((rule) => printRule(rule, ruleset))),
      ...old.map((chain) => `-X ${chain}`),
      "COMMIT",
      `# END fwcheck IPv${family}`,
    ].join("\n")}\n`,
  };
}

/** Chains that ufw creates before it loads after.rules (ufw-init-functions, `ufw_start`; before.rules). */
const EARLY =
  /^ufw6?-((before|after)-(logging-)?|(reject|track|skip-to-policy)-)(input|output|forward)$|^ufw6?-(logging-deny|logging-allow|not-local)$/;

/** Chains that ufw empties and fills after after.rules, from user.rules. */
const LATER = /^ufw6?-user-/;

/** Returns a test for objects that ufw cannot provide, and the chains of ufw that the block declares for its rules. */
function loadable(part: FamilyRules): {
  readonly brought: ReadonlyMap<string, Chain>;
  readonly lacking: (rule: Rule) => Need[];
} {
  const brought = new Map<string, Chain>();
  const lacking = (rule: Rule): Need[] => foreign(rule, part).filter((need) => !provided(need));
  const provided = ({ kind, name }: Need): boolean => {
    if (kind !== "chain") return false;
    if (EARLY.test(name) || brought.has(name)) return true;
    const chain = chainOf(part.ruleset, "filter", name);
    if (chain === undefined || !/^ufw6?-/.test(name)) return false;
    const carried = LATER.test(name) ? { ...chain, rules: [] } : chain;
    brought.set(name, carried);
    if (carried.rules.every((rule) => lacking(rule).length === 0)) return true;
    brought.delete(name);
    return false;
  };
  return { brought, lacking };
}

/** Returns what a rule does: its own verdict, or the strictest one of the chain that it calls. */
function effectOf(rule: Rule, ruleset: Ruleset): LeftOutRule["effect"] {
  const { action } = rule;
  if (action === "drop" || action === "reject") return "denies";
  if (action === "accept" || action === "return") return "allows";
  const called = new Set(
    chainOf(ruleset, "filter", calledChain(rule) ?? "")?.rules.map((rule) => rule.action),
  );
  return called.has("drop") || called.has("reject") ? "denies" : called.has("accept") ? "allows" : "other";
}

/** Describes a rule that is left out. */
function leave(rule: Rule, missing: readonly Need[], { ruleset, family }: FamilyRules): LeftOutRule {
  const programs = missing.map(({ name }) => knownChain("filter", name)?.by ?? null);
  const [by] = programs;
  return {
    family,
    rule: printRule(rule, ruleset),
    needs: missing.map(({ kind, name }) => `${kind} ${name}`),
    effect: effectOf(rule, ruleset),
    // A program restores its own rules, but not a rule of ours that names its chain.
    by: !isOurs(rule.chain) && by !== undefined && programs.every((each) => each === by) ? by : null,
  };
}

const EFFECT = {
  denies: "what it denies passes",
  allows: "what it allows is held to the policy",
  other: "what it does is missing",
} as const;

/** Returns a rule that is left out as one line of the block: the rule, the effect and the remedy. */
export function leftOutRuleText({ family, rule, needs, effect, by }: LeftOutRule): string {
  const until = isOurs(rule.split(" ")[1] ?? "")
    ? "in containers; use --format systemd, which adds it as soon as that is there"
    : by === null
      ? "until you add it again, after each boot and each ufw reload; or use --format systemd"
      : `until ${by} adds it again when it starts; after a ufw reload restart ${by}`;
  return `IPv${family} ${rule} (needs ${needs.join(" and ")}, which is not there at boot): ${EFFECT[effect]} ${until}`;
}

const afterRules = (family: Family): string => `/etc/ufw/after${family === 4 ? "" : "6"}.rules`;

/** Returns the commands that remove the blocks and the rules that they loaded. */
export const ufwUndo = (parts: readonly FamilyRules[]): string[] =>
  parts
    .filter((part) => part.chains.size > 0 && refusalOf(part) === null)
    .flatMap((part) => [
      `sed -i '/^# BEGIN fwcheck IPv${part.family}$/,/^# END fwcheck IPv${part.family}$/d' ${afterRules(part.family)}`,
      ...undo(part),
    ]);
