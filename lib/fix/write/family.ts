/** Rules of one family that all forms print, and the calls from FORWARD to these rules. */
import { sha256 as hash } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { DOCKER_USER } from "../../host/known/docker.ts";
import { printBody } from "../../iptables/print.ts";
import type { Family } from "../../packet/field.ts";
import {
  calledChain,
  chainOf,
  hasBothBackends,
  programOf,
  type Rule,
  type Ruleset,
} from "../../rules/ruleset.ts";
import { CHAIN, isHook, isOurs } from "../chain-names.ts";
import type { IpSet } from "../endpoint-sets.ts";
import type { Cut } from "../established-flows.ts";

/** Rules of one family. */
export interface FamilyRules {
  readonly family: Family;
  /** Our chains with their rules, each without `-A CHAIN`; none if nothing has to be closed. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: readonly IpSet[];
  /** Chains of fail2ban, CrowdSec or SSHGuard that our rules call and do not copy. */
  readonly banChains: readonly string[];
  /** Rules in force, with an earlier fix if there is one. */
  readonly ruleset: Ruleset;
  /** Text that they were read from; `null` where unknown. */
  readonly input: string | null;
  /** Existing flows that the intent forbids. */
  readonly cuts: readonly Cut[];
}

/** Returns the program that changes the rules of a family, whatever its backend. */
export const familyTool = (family: Family): string => (family === 4 ? "iptables" : "ip6tables");

/** Returns the program that changes the engine's rules: where both backends have rules, the one of the engine's backend. */
export const tool = ({ family, ruleset }: Pick<FamilyRules, "family" | "ruleset">): string =>
  ruleset.backend !== undefined && hasBothBackends(ruleset)
    ? programOf(ruleset.backend, family)
    : familyTool(family);

/** Returns the command that audits the rules again: of both backends, where both have rules. */
export const checkCommand = (part: Pick<FamilyRules, "family" | "ruleset">): string =>
  hasBothBackends(part.ruleset)
    ? "fwcheck collect | fwcheck audit -"
    : `${tool(part)}-save | fwcheck audit -`;

/** Seconds that a command waits for the xtables lock before it fails (iptables(8), `-w`). */
export const WAIT = 30;

/** Calls from FORWARD to our chain in the analysed rules. */
export interface Calls {
  /** Chain DOCKER-USER exists. */
  readonly user: boolean;
  /** A rule of FORWARD that is not ours calls DOCKER-USER. */
  readonly docker: boolean;
  /** Rules of ours in FORWARD that call DOCKER-USER, each without `-A FORWARD`. */
  readonly hooks: readonly string[];
  /** Rules of DOCKER-USER that call our chain, each without `-A DOCKER-USER`. */
  readonly jumps: readonly string[];
}

export function callsOf(ruleset: Ruleset): Calls {
  const calls = (from: string, to: string): readonly Rule[] =>
    (chainOf(ruleset, "filter", from)?.rules ?? []).filter((rule) => calledChain(rule) === to);
  const body = (rule: Rule): string => printBody(rule, ruleset).trim();
  const forward = calls("FORWARD", DOCKER_USER);
  const hooks = forward.filter(isHook);
  return {
    user: chainOf(ruleset, "filter", DOCKER_USER) !== undefined,
    docker: forward.length > hooks.length,
    hooks: hooks.map(body),
    jumps: calls(DOCKER_USER, CHAIN).map(body),
  };
}

/** Returns the chains of an earlier fix that this one does not use. */
export const stale = ({ ruleset, chains }: FamilyRules): string[] =>
  [...(ruleset.tables.get("filter")?.chains.keys() ?? [])].filter(
    (name) => isOurs(name) && !chains.has(name),
  );

/** Returns our rules as `-A` lines. */
export const appended = (chains: FamilyRules["chains"]): string[] =>
  [...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`));

/** Returns the SHA-256 digest of a text in UTF-8, in hexadecimal. */
export const sha256 = (text: string): string => bytesToHex(hash(utf8ToBytes(text)));

const digest = (input: string | null): string => (input === null ? "rules" : `sha256 ${sha256(input)}`);

/**
 * Returns the comment lines at the start of a form.
 * @param how how to apply, check and undo it
 * @param limits cases that it does not cover
 */
export const heading = (
  parts: readonly FamilyRules[],
  how: string,
  limits: readonly string[] = [],
): string[] => [
  `# fwcheck: the firewall's own policy, made to hold for containers (${parts.map((p) => `${tool(p)}-save of ${digest(p.input)}`).join(", ")}).`,
  `# ${how}`,
  ...limits.map((limit) => `# ${limit}`),
];
