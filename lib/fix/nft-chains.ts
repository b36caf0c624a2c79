/** Translates the generated rules, which are rules of iptables, for a table of nftables. */
import { nftRules } from "../iptables/nft-text.ts";
import { withParts } from "../iptables/typed-rule.ts";
import type { Family } from "../packet/field.ts";
import { type Rule, setLookups } from "../rules/ruleset.ts";
import { type ChainTexts, loadChains } from "./canonical-rules.ts";
import { CHAIN, isOurs, nftChain, nftFamily, policyChain } from "./chain-names.ts";
import type { IpSet } from "./endpoint-sets.ts";
import type { PolicyRule } from "./policy-printer.ts";
import type { CopyFailure } from "./reasons.ts";

/** Chains and sets of a fix in nftables. */
export interface NftChains {
  readonly chains: ChainTexts;
  readonly sets: readonly IpSet[];
}

/**
 * Translates the chains of a fix.
 * @throws Error for a rule that nftables cannot express; `nftPolicy` finds those of policies before
 */
export function nftChains(chains: ChainTexts, sets: readonly IpSet[], family: Family): NftChains {
  if (chains.size === 0) return { chains: new Map(), sets: [] };
  const names = new Map(sets.map(({ name }, i) => [name, `endpoints-${i + 1}`]));
  return {
    chains: new Map(
      loadChains(chains, [], family).map(({ name, rules }) => [
        nftChain(name),
        rules.flatMap((rule) => translated(rule, family, names)),
      ]),
    ),
    sets: sets.map((set) => ({ ...set, name: names.get(set.name)! })),
  };
}

/** Returns a policy that nftables can express: without rules that only log, if it has no form for them; else why it cannot. */
export function nftPolicy(
  policy: readonly PolicyRule[],
  family: Family,
): readonly PolicyRule[] | CopyFailure {
  const out: PolicyRule[] = [];
  for (const rule of policy) {
    const refusal = refusalOf(rule, family);
    if (refusal !== null && rule.kind !== "note") return refusal;
    const inner = nftPolicy(rule.inner, family);
    if ("code" in inner) return inner;
    if (refusal === null) out.push({ ...rule, inner });
  }
  return out;
}

function refusalOf({ matches, kind, target }: PolicyRule, family: Family): CopyFailure | null {
  const line = `${matches} ${kind === "once" ? `-g ${policyChain(1)}` : target}`.trim();
  const called = kind === "call" ? [target.replace(/^-j /, "")] : [];
  const [chain] = loadChains(new Map([[CHAIN, [line]]]), [policyChain(1), ...called], family);
  const text = nftRules(chain!.rules[0]!, family, NAMES);
  return "code" in text ? { code: "no-nft-form", part: text.part, rule: line } : null;
}

/** A rule that returns leaves our chains: nothing follows them in the base chain. */
const NAMES = {
  chain: (name: string): string | null => (isOurs(name) ? nftChain(name) : null),
  returns: "accept",
  // Our first rule reads the connection, for which the kernel reassembles fragments.
  defragmented: true,
} as const;

function translated(rule: Rule, family: Family, sets: ReadonlyMap<string, string>): readonly string[] {
  const [lookup] = setLookups(rule);
  const set = lookup === undefined ? undefined : sets.get(lookup.value.set);
  // A rule with a set of the fix has no other matches.
  const rest = set === undefined ? rule : withParts(rule, { matches: [] });
  const texts = nftRules(rest, family, NAMES);
  if ("code" in texts) throw new Error(`fwcheck cannot write its own rule for nft: ${texts.part}`);
  return set === undefined
    ? texts
    : texts.map((text) => `${nftFamily(family)} daddr . meta l4proto . th dport @${set} ${text}`);
}
