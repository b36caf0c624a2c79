/** Translates a rule of iptables to rules of nft(8) that match the same packets and have the same effect. */
import type { Family } from "../packet/field.ts";
import type { Rule } from "../rules/ruleset.ts";
import { ALWAYS, allOf, isQuotable, type NftContext, type NftForm } from "./nft-form.ts";
import { printMatch, printTarget, ruleProtocol, spellingOf } from "./print.ts";
import { asIptables, type IptablesRule, type Match, type Target } from "./rule.ts";
import { byteLength } from "./word-codecs.ts";

/** Properties of the table that the rules are written for. */
export interface NftTextOptions {
  /** Returns the chain of nft for the chain of a jump; `null` if there is none. */
  chain(name: string): string | null;
  /** Statement for RETURN: `accept` in a base chain whose policy is to accept. */
  readonly returns: "return" | "accept";
  /**
   * The kernel reassembles packets before the chain, as it does where a rule of the network namespace needs connection tracking.
   * Otherwise rules of IPv6 that read ports have no exact form.
   */
  readonly defragmented: boolean;
}

/** A match or target without an exact form in nft. */
export interface NftRefusal {
  readonly code: "no-nft-form";
  /** As iptables prints it: `-m recent --rcheck --name seen`. */
  readonly part: string;
}

/** Most rules that one rule becomes. */
const MOST_RULES = 32;

/** Longest comment of nft, in bytes (NFTNL_UDATA_COMMENT_MAXLEN). */
const MOST_COMMENT = 128;

/**
 * Translates a rule to rules for a chain of a table of family `ip` or `ip6` that is at hook forward, or called from there. At
 * most one of the rules matches a packet; none is returned for a rule that matches no packet.
 *
 * A packet whose transport header is cut off is the exception: iptables drops it where a match reads the header (hotdrop), which
 * the predicates do not contain either; nft leaves the rule.
 * @returns the rules in any order, or the part that has no exact form. The rate of `limit` is the nearest one.
 */
export function nftRules(
  given: Rule,
  family: Family,
  options: NftTextOptions,
): readonly string[] | NftRefusal {
  const rule = asIptables(given);
  const context: NftContext = { ...options, family, proto: ruleProtocol(rule.matches) };
  const spelling = spellingOf(rule, { family });
  const [unknown] = rule.unknown;
  if (unknown !== undefined) return refusal(unknown.words.join(" "));
  let form: NftForm = ALWAYS;
  for (const match of rule.matches) {
    const all = allOf(form, match.extension.nft?.(match.values, context) ?? null);
    if (all === null || all.length > MOST_RULES) return refusal(printMatch(match, spelling));
    form = all;
  }
  const stateful = rule.matches.find(isStateful);
  // Each rule would have a state of its own.
  if (stateful !== undefined && form.length > 1) return refusal(printMatch(stateful, spelling));
  const statement = statementOf(rule.target, context, options);
  if (statement === null) return refusal(printTarget(rule.target, spelling));
  const comment = commentOf(rule);
  return form.map((list) => {
    const words = stateful === undefined ? withoutImplied(list) : list;
    return [...words, statement, ...comment].join(" ");
  });
}

const refusal = (part: string): NftRefusal => ({ code: "no-nft-form", part });

/** The result of the match depends on earlier packets. */
const isStateful = ({ extension }: Match): boolean => extension.opaque !== undefined;

function statementOf(target: Target, context: NftContext, options: NftTextOptions): string | null {
  switch (target.kind) {
    case "none":
      return "counter";
    case "unknown":
      return null;
    case "extension":
      return target.extension.nft?.(target.values, context) ?? null;
    case "jump":
    case "goto": {
      const chain = options.chain(target.chain);
      return chain === null ? null : `${target.kind} ${chain}`;
    }
  }
}

const L4PROTO = "meta l4proto ";

/** Removes the test of a protocol that the next expression implies: `meta l4proto tcp tcp dport 80`. */
function withoutImplied(list: readonly string[]): readonly string[] {
  return list.filter((text, i) => {
    const next = list[i + 1];
    return !text.startsWith(L4PROTO) || next?.startsWith(`${text.slice(L4PROTO.length)} `) !== true;
  });
}

/** Returns the first comment that nft accepts, as the words of a rule. */
function commentOf({ reading }: IptablesRule): string[] {
  const text = reading.comments?.find((each) => byteLength(each) <= MOST_COMMENT && isQuotable(each));
  return text === undefined || text === "" ? [] : [`comment "${text}"`];
}
