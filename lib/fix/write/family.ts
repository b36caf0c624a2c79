/** The rules of one family as every form prints them, and the calls that lead from FORWARD to them. */
import { sha256 as hash } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { printBody } from "../../iptables/print.ts";
import type { Family } from "../../packet/field.ts";
import { chainOf, type Rule, type Ruleset } from "../../rules/ruleset.ts";
import { CHAIN, isHook, isOurs } from "../chain-names.ts";
import type { IpSet } from "../endpoint-sets.ts";
import type { Cut } from "../established-flows.ts";

/** The rules of one family. */
export interface FamilyRules {
  readonly family: Family;
  /** Our chains with their rules, each without `-A CHAIN`; none where nothing has to be closed. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: readonly IpSet[];
  /** Chains of fail2ban, CrowdSec or SSHGuard that our rules call; none whose bans our rules copy. */
  readonly banChains: readonly string[];
  /** The rules that are in force, with a fix of ours where there is one already. */
  readonly ruleset: Ruleset;
  /** The text they were read from, where it is known. */
  readonly input: string | null;
  /** Flows that the intent forbids. */
  readonly cuts: readonly Cut[];
}

/** The program that changes the rules of a family. */
export const tool = (family: Family): string => (family === 4 ? "iptables" : "ip6tables");

/** Seconds that a command waits for the xtables lock (iptables(8), `-w`) before it fails. */
export const WAIT = 30;

/** How packets get from FORWARD to our chain in the rules that were analysed. */
export interface Calls {
  /** Whether chain DOCKER-USER is there. */
  readonly user: boolean;
  /** Whether a rule of FORWARD that is not ours calls DOCKER-USER. */
  readonly docker: boolean;
  /** Rules of ours in FORWARD that call DOCKER-USER, each without `-A FORWARD`. */
  readonly hooks: readonly string[];
  /** Rules of DOCKER-USER that call our chain, each without `-A DOCKER-USER`. */
  readonly jumps: readonly string[];
}

export function callsOf(ruleset: Ruleset): Calls {
  const calls = (from: string, to: string): readonly Rule[] =>
    (chainOf(ruleset, "filter", from)?.rules ?? []).filter((rule) => rule.reading.chain === to);
  const body = (rule: Rule): string => printBody(rule, ruleset).trim();
  const forward = calls("FORWARD", "DOCKER-USER");
  const hooks = forward.filter(isHook);
  return {
    user: chainOf(ruleset, "filter", "DOCKER-USER") !== undefined,
    docker: forward.length > hooks.length,
    hooks: hooks.map(body),
    jumps: calls("DOCKER-USER", CHAIN).map(body),
  };
}

/** Chains of an earlier fix that this one does not use. */
export const stale = ({ ruleset, chains }: FamilyRules): string[] =>
  [...(ruleset.tables.get("filter")?.chains.keys() ?? [])].filter(
    (name) => isOurs(name) && !chains.has(name),
  );

/** Our rules as `-A` lines. */
export const appended = (chains: FamilyRules["chains"]): string[] =>
  [...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`));

/** The digest of a text in UTF-8 (FIPS 180-4), in hexadecimal. */
export const sha256 = (text: string): string => bytesToHex(hash(utf8ToBytes(text)));

const digest = (input: string | null): string => (input === null ? "rules" : `sha256 ${sha256(input)}`);

/** The lines above every form: what it does and from which input, how to use it, and what it cannot do. */
export const heading = (
  parts: readonly FamilyRules[],
  how: string,
  limits: readonly string[] = [],
): string[] => [
  `# fwcheck: the firewall's own policy, made to hold for containers (${parts.map((p) => `${tool(p.family)}-save of ${digest(p.input)}`).join(", ")}).`,
  `# ${how}`,
  ...limits.map((limit) => `# ${limit}`),
];
